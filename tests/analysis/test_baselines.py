"""The baselines: scikit-learn on the vectors of the encoder as it came, on the rows of T of each round of a run."""

import numpy as np
import pytest
import torch
from helpers import row_of
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from lib.analysis import baselines
from lib.data.rows import load_tokenizer, tokenise
from lib.errors import StudyError
from lib.method.active_learning import prepare
from lib.runs.results import Run, load
from lib.runs.run import run


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "KEPT", tmp_path / "vectors")
    baselines._vectors.cache_clear()


@pytest.fixture(scope="module")
def finished(tiny_protocol, tmp_path_factory):
    """BALD's and random's finished runs of a task of pairs and one of single texts, and their store."""
    store = tmp_path_factory.mktemp("store")
    tasks, strategies = ("mnli", "sst2"), ("bald", "random")
    protocols = [tiny_protocol(task=task, strategy=strategy) for task in tasks for strategy in strategies]
    for protocol in protocols:
        run(protocol, store)
    return protocols, store


@pytest.fixture
def store(finished):
    """The store of the runs, in which no baseline is kept."""
    for path in (finished[1] / "baselines").glob("*"):
        path.unlink()
    return finished[1]


@torch.no_grad()
def slow_features(classifier, tokenizer, row, max_length) -> np.ndarray:
    vectors = []
    for text in row[:-1]:
        batch = tokenise([(text, 0)], tokenizer, max_length).batch([0])
        mean_H = row_of(classifier.encoder(batch), batch, 0).mean(0)
        vectors.append((mean_H / mean_H.norm()).numpy())
    if len(vectors) == 1:
        return vectors[0]
    u, v = vectors
    return np.concatenate([u, v, abs(u - v), u * v])


def test_each_round_is_fitted_on_its_own_rows_of_t(finished, store):
    protocols, _ = finished
    found = baselines.load(protocols, store).set_index(["run", "round"])
    for protocol in protocols:
        classifier, tokenizer = prepare(protocol)[1], load_tokenizer(protocol.encoder)
        texts = baselines.texts_of(protocol)
        features = [
            np.stack([slow_features(classifier, tokenizer, row, protocol.max_length) for row in rows])
            for rows in (texts.train[:60], texts.validation[:30])
        ]
        labels, truth = (np.array([row[-1] for row in rows]) for rows in (texts.train, texts.validation[:30]))
        labelled = list(range(10))
        for record in load("rounds", [protocol], store).itertuples():
            model = LogisticRegression(max_iter=1000).fit(features[0][labelled], labels[labelled])
            row, predictions = found.loc[(record.run, record.round)], model.predict(features[1])
            assert row["labelled"] == len(labelled)
            assert row["accuracy"] == pytest.approx(accuracy_score(truth, predictions), abs=0.04)
            assert row["macro_f1"] == pytest.approx(f1_score(truth, predictions, average="macro"), abs=0.06)
            labelled += list(record.picked)


def test_nothing_is_encoded_or_fitted_twice(finished, store, monkeypatch):
    protocols, _ = finished
    encoded, fitted = [], []
    encode, fit = baselines.sentence_vectors, baselines.BASELINES["logistic regression"]
    monkeypatch.setattr(baselines, "sentence_vectors", lambda *given: encoded.extend(given[2]) or encode(*given))
    fits = {"logistic regression": lambda *given: fitted.append(given[0].tobytes()) or fit(*given)}
    monkeypatch.setattr(baselines, "BASELINES", fits)
    first = baselines.load(protocols, store)
    assert encoded
    assert len(fitted) == len(set(fitted)), "runs share S"
    done = len(fitted)
    assert baselines.load(protocols, store).equals(first)
    assert len(fitted) == done
    for path in (store / "baselines").iterdir():
        path.unlink()
    baselines._vectors.cache_clear()  # as another process
    baselines.load(protocols, store)
    assert len(fitted) == 2 * done
    assert len(encoded) == len(set(encoded))


def test_without_texts_what_is_kept_is_read_and_a_line_says_what_is_missing(finished, store, monkeypatch, capsys):
    protocols, _ = finished
    before = baselines.load(protocols[:2], store)

    def gone(*_):
        raise StudyError("the Hub is out of reach")

    monkeypatch.setattr(baselines, "read_texts", gone)
    assert baselines.load(protocols, store).equals(before)
    assert capsys.readouterr().out == "Baselines of SST-2 are not shown. the Hub is out of reach\n"


def test_another_baseline_is_one_entry(finished, store, monkeypatch):
    protocols, _ = finished
    baselines.load(protocols[:1], store)
    fits = baselines.BASELINES | {"first class": lambda vectors, labels, others: np.zeros(len(others), int)}
    monkeypatch.setattr(baselines, "BASELINES", fits)
    found = baselines.load(protocols[:1], store)
    truth = [row[-1] for row in baselines.texts_of(protocols[0]).validation[:30]]
    assert found.groupby("round")["baseline"].agg(set).map(lambda names: names == fits.keys()).all()
    assert (found.loc[found["baseline"] == "first class", "accuracy"] == np.mean(np.array(truth) == 0)).all()


def test_a_run_that_is_not_finished_has_no_rows(tiny_protocol, store):
    assert not Run(tiny_protocol(seed=7), store).done
    assert not len(baselines.load([tiny_protocol(seed=7)], store))


def test_one_class_alone_is_predicted_everywhere():
    vectors = np.random.default_rng(0).normal(size=(5, 1, 3)).astype(np.float32)
    assert baselines.logistic_regression(vectors[:2], np.array([4, 4]), vectors).tolist() == [4] * 5


def test_lengths_of_picks_and_pool_are_those_of_their_tokens(finished):
    protocols, store = finished
    tokens_N = prepare(protocols[0])[0].train.lengths_N
    for protocol in protocols[:2]:
        labelled = list(range(10))
        for record in load("rounds", [protocol], store).itertuples():
            pool = [row for row in range(60) if row not in labelled]
            if record.round == protocol.rounds:
                assert record.lengths == {}
                continue
            assert record.lengths["pool"] == pytest.approx(np.mean([tokens_N[row] for row in pool]))
            assert record.lengths["picked"] == pytest.approx(np.mean([tokens_N[row] for row in record.picked]))
            assert ("rho" in record.lengths) == (protocol.strategy == "bald")
            if "rho" in record.lengths:
                scored = load("pool", [protocol], store).query("round == @record.round")
                ranks = rankdata(scored["score"]), rankdata(tokens_N[scored["row"]])
                assert record.lengths["rho"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
            labelled += list(record.picked)

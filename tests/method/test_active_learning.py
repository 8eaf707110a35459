"""The loop: what it picks, what runs of a seed share, and that a run is the same however often it was stopped."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT, refused, stopped_before, stored, tiny_config, write_checkpoint

from lib.data.tasks import load_task
from lib.method import acquisition, active_learning
from lib.method.active_learning import settled
from lib.method.model import build_classifier
from lib.method.parameter_change import mean_absolute_difference, snapshot
from lib.method.training import train
from lib.protocol import choices
from lib.runs import results
from lib.runs.run import run

PATIENCE = 300  # seconds that a process of its own may take on a busy machine
CHILD = """
import json, os, signal, sys
from lib.runs import results
from lib.protocol import Protocol
from lib.runs.run import run

fields, store, killed = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
write_json = results.write_json

def write_and_die(path, content):
    write_json(path, content)
    if path.parts[-2:] == (f"round-{killed:02}.tmp", "round.json"):
        os.kill(os.getpid(), signal.SIGKILL)

results.write_json = write_and_die
run(Protocol(**fields), store)
"""


def start(protocol, store, killed_in_round: int) -> subprocess.Popen:
    """The run in a process of its own, which dies in the middle of writing a round."""
    fields = json.dumps(dataclasses.asdict(protocol))
    return subprocess.Popen([sys.executable, "-c", CHILD, fields, str(store), str(killed_in_round)], cwd=ROOT)


def task_of(protocol):
    return load_task(protocol.task, protocol.hub, protocol.encoder, protocol.max_length)


@pytest.fixture(scope="module")
def finished(tiny_protocol, tmp_path_factory):
    """finished(**changes) → protocol, its rounds and its store; each run is computed once."""
    store = tmp_path_factory.mktemp("results")

    def compute(**changes):
        protocol = tiny_protocol(**changes)
        return protocol, run(protocol, store), store

    return compute


# what is picked


@pytest.mark.parametrize(("strategy", "task"), [*((name, "sst2") for name in choices("strategy")), ("bald", "snli")])
def test_picks_come_from_the_pool_never_twice_and_never_from_the_start(strategy, task, finished):
    protocol, rounds, _ = finished(task=task, strategy=strategy)
    picked = np.concatenate(rounds["picked"].tolist())
    assert [len(picks) for picks in rounds["picked"]] == [5, 5, 0]
    assert len(set(picked)) == len(picked)
    assert set(picked) <= set(range(protocol.start, protocol.pool))


@pytest.mark.parametrize("strategy", ["bald", "random"])
def test_class_counts_equal_a_recount(strategy, finished):
    protocol, rounds, _ = finished(task="snli", strategy=strategy)
    labels_N = task_of(protocol).train.labels_N
    labelled = list(range(protocol.start))
    for record in rounds.to_dict("records"):
        pool = [row for row in range(protocol.pool) if row not in labelled]
        assert record["labelled"] == len(labelled)
        assert record["class_counts"] == [sum(labels_N[labelled] == c) for c in range(3)]
        assert record["pool_counts"] == [sum(labels_N[pool] == c) for c in range(3)]
        labelled += record["picked"]


def test_a_guess_is_right_as_often_as_the_most_frequent_class(finished):
    protocol, rounds, _ = finished(task="snli")
    labels = task_of(protocol).validation.labels_N[: protocol.validation_rows].tolist()
    assert set(rounds["majority"]) == {max(map(labels.count, labels)) / len(labels)}


def test_a_pool_can_be_acquired_to_its_last_row(finished):
    _, rounds, _ = finished(pool=20, query=5, rounds=2)
    assert sorted(np.concatenate(rounds["picked"].tolist())) == list(range(10, 20))
    assert rounds["labelled"].tolist() == [10, 15, 20]


@pytest.mark.parametrize("strategy", ["bald", "entropy", "margin", "variation_ratio", "unguarded_bald"])
def test_the_rows_with_the_highest_scores_are_picked(strategy, finished):
    protocol, rounds, store = finished(strategy=strategy, samples=50)
    pool = results.load("pool", [protocol], store)
    left = set(range(protocol.start, protocol.pool))
    for round_, picked in enumerate(rounds["picked"][: protocol.rounds]):
        scored = pool[pool["round"] == round_].set_index("row")
        assert set(scored.index) == left
        assert scored.loc[picked, "score"].is_monotonic_decreasing
        assert scored.loc[picked, "score"].min() >= scored["score"].drop(picked).max()
        left -= set(picked)
    assert set(pool["round"]) == {0, 1}  # nothing is scored once nothing is acquired


def test_random_scores_nothing_and_ignores_the_number_of_samples(finished):
    protocol, rounds, store = finished(strategy="random")
    assert results.load("pool", [protocol], store).empty
    _, other, _ = finished(strategy="random", samples=3)
    assert other["picked"].tolist() == rounds["picked"].tolist()


@pytest.mark.parametrize("strategy", ["bald", "powerbald"])
def test_samples_of_the_rows_worth_showing_are_stored(strategy, finished):
    """The highest and lowest scores and all picks, with the passes that their scores were made of."""
    protocol, rounds, store = finished(task="snli", strategy=strategy)
    pool, samples = (results.load(table, [protocol], store) for table in ("pool", "samples"))
    for round_, picked in enumerate(rounds["picked"][: protocol.rounds]):
        scored, shown = (table[table["round"] == round_].set_index("row") for table in (pool, samples))
        ranked = scored["score"].sort_values().index
        assert set(shown.index) == {*ranked[-2 * protocol.query :], *ranked[: protocol.query], *picked}
        assert shown.index.is_monotonic_increasing
        for row, kept in shown.iterrows():
            assert kept["probabilities"].dtype == kept["features"].dtype == np.float16
            assert len(kept["features"]) == 3 * protocol.maps
            probs_SC = kept["probabilities"].astype(float).reshape(protocol.samples, 2)
            probs_SC = np.column_stack([probs_SC, 1 - probs_SC.sum(1)])
            expected = acquisition.bald(torch.from_numpy(probs_SC).log()[:, None])
            assert scored.loc[row, "bald"] == pytest.approx(float(expected), abs=2e-3)
    assert results.load("samples", [finished(strategy="random")[0]], store).empty


def test_a_draw_gives_other_rows_and_a_pair_of_one_draw_shares_them(finished):
    listed, first, second = (finished(draw=draw, validation_rows=20) for draw in (0, 1, 2))
    _, random, _ = finished(draw=1, validation_rows=20, strategy="random")
    seen = [rows_of(*one) for one in (listed, first, second)]
    assert seen[0] == (set(range(10)), set(range(60)), set(range(20)))
    for kind in range(3):
        assert len({frozenset(one[kind]) for one in seen}) == 3
        assert {len(one[kind]) for one in seen} == {len(seen[0][kind])}
    assert random["accuracy"][0] == first[1]["accuracy"][0], "one S10, one θ0, one order: the same first round"
    assert set(random["picked"][0]) <= seen[1][1] - seen[1][0]


def rows_of(protocol, rounds, store) -> tuple[set, set, set]:
    """S10, S10 with U, and the validation rows, from a run's tables alone."""
    pool = results.load("pool", [protocol], store)
    unlabelled = set(pool.loc[pool["round"] == 0, "row"])
    start = set(active_learning.split_rows(protocol, task_of(protocol))[0].tolist())
    validation = results.load("validation", [protocol], store)
    return start, start | unlabelled, set(validation["row"])


def test_needing_more_rows_than_the_task_has_is_refused(tiny_protocol, tmp_path):
    with refused("sst2", "200", "10 + rounds=2 × query=100", "210"):
        run(tiny_protocol(query=100, pool=20_000), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


# what a round holds


def test_accuracy_and_loss_equal_a_recount_of_the_predictions(finished):
    protocol, rounds, store = finished(task="snli")
    predictions = results.load("validation", [protocol], store)
    labels_N = task_of(protocol).validation.labels_N
    for record in rounds.to_dict("records"):
        table = predictions[predictions["round"] == record["round"]]
        assert table["row"].tolist() == list(range(protocol.validation_rows))
        assert table["label"].tolist() == labels_N[: protocol.validation_rows].tolist()
        log_probs_NC = table[["log_prob_0", "log_prob_1", "log_prob_2"]].to_numpy(np.float64)
        np.testing.assert_allclose(np.exp(log_probs_NC).sum(1), 1, atol=1e-6)
        right = log_probs_NC.argmax(1) == table["label"].to_numpy()
        assert record["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
        loss = -log_probs_NC[np.arange(len(table)), table["label"]].mean()
        assert record["loss"] == pytest.approx(loss, abs=1e-6)


def test_without_a_number_all_validation_rows_are_evaluated(finished):
    protocol, _, store = finished(validation_rows=0, rounds=0)
    assert len(results.load("validation", [protocol], store)) == 60


@pytest.mark.parametrize("restart", ["cold", "warm"])
def test_a_round_trains_from_theta_0_or_goes_on_from_the_last(restart, finished):
    """Trained again by hand, on what was labelled in each round."""
    protocol, rounds, store = finished(restart=restart)
    stored_layers = results.load("layers", [protocol], store)
    task = task_of(protocol)
    theta_0 = snapshot(build_classifier(protocol, 2))
    classifier = build_classifier(protocol, 2)
    labelled = list(range(10))
    for round_, picked in enumerate(rounds["picked"]):
        if restart == "cold":
            classifier = build_classifier(protocol, 2)
        train(classifier, task.train, labelled, protocol, round_)
        expected = mean_absolute_difference(theta_0, snapshot(classifier))
        assert stored_layers.loc[stored_layers["round"] == round_, "mean"].tolist() == expected["mean"].tolist()
        labelled += picked


@pytest.mark.parametrize("frozen", [2, 4, -2])
def test_frozen_layers_have_not_changed_in_any_round(frozen, finished):
    protocol, _, store = finished(frozen=frozen)
    layers = results.load("layers", [protocol], store)
    kept = {"embeddings", *(f"encoder {n}" for n in range(frozen))} if frozen > 0 else {"encoder 2", "encoder 3"}
    assert set(layers.loc[layers["mean"] == 0, "layer"]) == kept
    assert ((layers["mean"] == 0) == layers["layer"].isin(kept)).all()


@pytest.mark.parametrize("frozen", [1, 4])
def test_keeping_the_frozen_prefix_changes_nothing(frozen, finished, tmp_path, monkeypatch):
    protocol, kept, store = finished(frozen=frozen)
    monkeypatch.setattr(active_learning, "frozen_prefix", lambda *_: None)
    computed = run(protocol, tmp_path)
    assert computed["picked"].tolist() == kept["picked"].tolist()
    assert computed["accuracy"].tolist() == kept["accuracy"].tolist()
    ours, others = (results.load("pool", [protocol], s)["score"] for s in (store, tmp_path))
    np.testing.assert_allclose(ours, others, atol=1e-4)  # other batches round otherwise, and training magnifies it


def test_the_health_of_scores_is_stored(finished):
    protocol, rounds, store = finished(samples=50)
    pool = results.load("pool", [protocol], store)
    for round_, health in enumerate(rounds["health"][: protocol.rounds]):
        scores = pool.loc[pool["round"] == round_, "score"]
        assert health["passes_differ"] is True
        assert -1e-9 < health["smallest_raw_bald"] <= scores.min() + 1e-7
        assert health["share_at_zero"] == (scores == 0).mean()
        assert health["ties_at_rank_query"] == 0
        ranked = scores.sort_values(ascending=False).to_numpy()
        assert health["gap_at_rank_query"] == pytest.approx(ranked[4] - ranked[5], abs=1e-7)


def test_health_tells_when_dropout_is_off(finished):
    """What the scores around 1e-8 in the paper's Table 4 look like."""
    _, rounds, _ = finished(dropout=0.0)
    for health in rounds["health"][:2]:
        assert health["passes_differ"] is False
        assert abs(health["smallest_raw_bald"]) < 1e-9


# what runs of a seed share


def test_strategies_of_a_seed_share_theta_0_the_start_and_the_first_round(finished):
    both = [finished(strategy=strategy) for strategy in ("bald", "random")]
    first, second = (build_classifier(protocol, 2).state_dict() for protocol, *_ in both)
    assert all(torch.equal(first[name], second[name]) for name in first)
    bald, random = (
        rounds.iloc[0].drop(["run", "strategy", "picked", "lengths", "health", "examined"]) for _, rounds, _ in both
    )
    pd.testing.assert_series_equal(bald, random)
    for table in ("layers", "validation"):
        frames = [results.load(table, [protocol], store, columns=()) for protocol, _, store in both]
        ours, others = (frame[frame["round"] == 0].drop(columns="run") for frame in frames)
        ours = ours[others.columns]  # random makes no stochastic pass over the validation rows
        pd.testing.assert_frame_equal(ours, others, check_exact=True)
    assert both[0][1]["picked"][0] != both[1][1]["picked"][0]


def test_runs_of_other_seeds_start_from_the_same_rows_but_not_the_same_decoder(finished):
    (first, ours, _), (second, others, _) = (finished(seed=seed) for seed in (0, 1))
    assert ours["class_counts"][0] == others["class_counts"][0]
    assert ours["loss"][0] != others["loss"][0]
    decoders = [build_classifier(protocol, 2).decoder.output.weight for protocol in (first, second)]
    assert not torch.equal(*decoders)


# the same run, in other processes, stopped and continued


@pytest.mark.parametrize("restart", ["cold", "warm"])
@pytest.mark.parametrize("round_", [0, 1, 2])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(restart, round_, tiny_protocol, tmp_path, monkeypatch):
    protocol = tiny_protocol(restart=restart)
    run(protocol, tmp_path / "whole")
    with stopped_before(round_, monkeypatch):
        run(protocol, tmp_path / "stopped")
    before = stored(tmp_path / "stopped")
    assert sum(name.endswith("round.json") for name in before) == round_
    run(protocol, tmp_path / "stopped")
    after = stored(tmp_path / "stopped")
    assert after == stored(tmp_path / "whole")
    assert before.items() <= after.items()


def test_a_run_that_was_killed_while_it_wrote_ends_with_the_same_bytes(tiny_protocol, tmp_path):
    """Picks, accuracies, parameter changes, scores and predictions: of another process, then of this one."""
    protocol = tiny_protocol()
    assert start(protocol, tmp_path / "killed", killed_in_round=2).wait(PATIENCE) == -signal.SIGKILL
    assert list((tmp_path / "killed").glob("*/round-02.tmp")), "it did not die where it should"
    run(protocol, tmp_path / "killed")
    run(protocol, tmp_path / "whole")
    killed, whole = stored(tmp_path / "killed"), stored(tmp_path / "whole")
    assert killed == whole
    assert sum(name.endswith((".json", ".parquet")) for name in whole) == 1 + 3 * 3 + 2 * 2


def test_a_finished_run_is_read_not_computed(finished, monkeypatch):
    protocol, rounds, store = finished()
    monkeypatch.setattr("lib.runs.run.compute", None)
    pd.testing.assert_frame_equal(run(protocol, store), rounds)


def test_a_run_waits_for_another_process_that_computes_it(tiny_protocol, tmp_path):
    protocol = tiny_protocol(rounds=0)
    waiting = threading.Thread(target=run, args=(protocol, tmp_path))
    with results.Run(protocol, tmp_path).locked():
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive()
        assert not list(tmp_path.rglob("*.json"))
    waiting.join(60)
    assert results.Run(protocol, tmp_path).done


@pytest.mark.parametrize("before", [(False, False, True, True), (True, True, False, False), (True, False, True, False)])
def test_on_a_gpu_algorithms_are_deterministic_inside_and_as_they_were_after(before, tiny_protocol, monkeypatch):
    """Strictly, without TensorFloat-32, without filling new tensors; whatever was chosen before is chosen after."""

    def settings():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
            torch.backends.cudnn.allow_tf32,
        )

    def choose(chosen, warns, fills, rounds):
        torch.use_deterministic_algorithms(chosen, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = fills
        torch.backends.cudnn.allow_tf32 = rounds

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    at_first = settings()
    choose(*before)
    try:
        with settled(tiny_protocol()):
            assert settings() == (True, False, False, False)
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert settings() == before
    finally:
        choose(*at_first)


def test_a_run_leaves_threads_and_random_numbers_as_they_were(tiny_protocol, tmp_path):
    threads, numbers = torch.get_num_threads(), torch.get_rng_state()
    run(tiny_protocol(threads=2, rounds=0, epochs=1, validation_rows=4), tmp_path)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), numbers)


def test_a_tokenizer_of_more_words_than_are_embedded_is_refused(tiny_protocol, tmp_path):
    encoder = str(write_checkpoint(tmp_path / "few", tiny_config(vocab_size=2000)))
    with refused("its tokenizer gives token", "embeds 2000", "its own tokenizer"):
        run(tiny_protocol(encoder=encoder), tmp_path / "store")
    assert not (tmp_path / "store").exists()

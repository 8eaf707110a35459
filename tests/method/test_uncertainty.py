"""The S passes after the encoder are the S passes of the whole model; a score depends on its own row alone."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers import SLOW_LOGITS, row_of

from lib.data.rows import load_tokenizer, tokenise
from lib.data.tasks import load_task
from lib.method import prefix, uncertainty
from lib.method.acquisition import STRATEGIES, highest
from lib.method.model import build_classifier
from lib.method.scoring import examine
from lib.method.training import train
from lib.method.uncertainty import draw_masks, pool_features, predict_log_probs, sample_log_probs

POOL = np.arange(10, 100)
SAMPLES = 12


@pytest.fixture(scope="module")
def rows(tiny_hub, tiny_encoder):
    return load_task("mnli", tiny_hub, tiny_encoder, 32).train


def trained(protocol, rows):
    classifier = build_classifier(protocol, 3)
    train(classifier, rows, range(10), protocol, 0)
    return classifier


@pytest.fixture(scope="module", params=[("cnn", "penultimate"), ("cnn", "decoder"), ("linear", "penultimate")])
def classifier(request, tiny_protocol, rows):
    decoder, mc_dropout = request.param
    settings = {"decoder": decoder, "mc_dropout": mc_dropout, "hidden": 16, "dropout": 0.3, "epochs": 4}
    return trained(tiny_protocol(task="mnli", **settings), rows)


@pytest.fixture(scope="module")
def masks(classifier):
    return draw_masks(classifier, SAMPLES, seed=5)


def scores(classifier, rows, pool, masks, strategy="bald"):
    return STRATEGIES[strategy].score(sample_log_probs(classifier, pool_features(classifier, rows, pool), masks))


@torch.no_grad()
def test_passes_after_the_encoder_equal_passes_of_the_whole_model(classifier, rows, masks):
    """Pass by pass and row by row: encoder and decoder run again, with the pass's masks on the inputs of layers."""
    pool = POOL[:8]
    log_probs_SNC = sample_log_probs(classifier, pool_features(classifier, rows, pool), masks)
    slow = SLOW_LOGITS["cnn" if hasattr(classifier.decoder, "convolutions") else "linear"]
    for s in range(SAMPLES):
        mask = {name: masks_SW[s] for name, masks_SW in masks.items()}
        for n, row in enumerate(pool):
            batch = rows.batch([row])
            logits = slow(classifier.decoder, row_of(classifier.encoder(batch), batch, 0), mask)
            torch.testing.assert_close(log_probs_SNC[s, n], logits.log_softmax(0), rtol=0, atol=1e-5)


def test_stochastic_passes_differ(classifier, rows, masks):
    log_probs_SNC = sample_log_probs(classifier, pool_features(classifier, rows, POOL), masks)
    for s in range(1, SAMPLES):
        assert (log_probs_SNC[s] != log_probs_SNC[0]).any(1).float().mean() > 0.9
    assert (scores(classifier, rows, POOL, masks) > 1e-6).float().mean() > 0.9


def test_passes_without_sampling_are_equal(classifier, rows):
    first, second = (predict_log_probs(classifier, pool_features(classifier, rows, POOL)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_prediction_is_the_pass_that_drops_nothing(classifier, rows, masks):
    features_NF = pool_features(classifier, rows, POOL)
    whole = {name: torch.ones_like(masks_SW[:1]) for name, masks_SW in masks.items()}
    if "value_dropout" in whole:  # the largest value of each map, and none of the three below it
        whole["value_dropout"] = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(whole["hidden_dropout"].shape[1])[None]
    expected = predict_log_probs(classifier, features_NF)
    torch.testing.assert_close(sample_log_probs(classifier, features_NF, whole)[0], expected, rtol=0, atol=1e-5)


def test_masks_come_from_their_seed_and_are_one_a_pass(classifier, masks):
    again, other = draw_masks(classifier, SAMPLES, seed=5), draw_masks(classifier, SAMPLES, seed=6)
    for name, masks_SW in masks.items():
        assert torch.equal(masks_SW, again[name])
        assert not torch.equal(masks_SW, other[name])
    assert len(torch.cat(list(masks.values()), 1).unique(dim=0)) == SAMPLES


@pytest.mark.parametrize(
    ("mc_dropout", "expected"),
    [("penultimate", {"hidden_dropout"}), ("decoder", {"value_dropout", "hidden_dropout", "output_dropout"})],
)
def test_the_places_of_mc_dropout_are_the_protocols(mc_dropout, expected, tiny_protocol):
    classifier = build_classifier(tiny_protocol(mc_dropout=mc_dropout), 2)
    assert draw_masks(classifier, 2, seed=0).keys() == expected


def test_features_are_in_the_order_asked_for(classifier, rows):
    order = np.random.default_rng(0).permutation(POOL)
    expected = torch.cat([pool_features(classifier, rows, [row]) for row in order])
    torch.testing.assert_close(pool_features(classifier, rows, order), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 40, 333, 100_000])
def test_a_score_does_not_depend_on_its_batch(tokens, classifier, rows, masks, monkeypatch):
    features_NF, scores_N = pool_features(classifier, rows, POOL), scores(classifier, rows, POOL, masks)
    monkeypatch.setitem(prefix.TOKENS, "cpu", tokens)
    torch.testing.assert_close(pool_features(classifier, rows, POOL), features_NF, rtol=0, atol=1e-5)
    other_N = scores(classifier, rows, POOL, masks)
    torch.testing.assert_close(other_N, scores_N, rtol=0, atol=1e-5)
    assert picks(other_N) == picks(scores_N)


def picks(scores_N) -> list[int]:
    return highest(scores_N, 10, np.random.default_rng(0)).tolist()


@pytest.mark.parametrize("strategy", ["bald", "entropy", "margin"])
def test_a_score_does_not_depend_on_the_order_of_the_pool(strategy, classifier, rows, masks):
    order = np.random.default_rng(1).permutation(len(POOL))
    scores_N = scores(classifier, rows, POOL, masks, strategy)
    shuffled_N = scores(classifier, rows, POOL[order], masks, strategy)
    torch.testing.assert_close(shuffled_N, scores_N[order], rtol=0, atol=1e-5)
    assert order[picks(shuffled_N)].tolist() == picks(scores_N)


def test_a_score_does_not_depend_on_what_else_is_in_the_pool(classifier, rows, masks):
    scores_N = scores(classifier, rows, POOL, masks)
    for n in (0, 44, 89):
        alone = scores(classifier, rows, POOL[[n]], masks)
        torch.testing.assert_close(alone, scores_N[[n]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("elements", [1, 700, 10**9])
def test_a_score_does_not_depend_on_how_passes_are_cut_into_chunks(elements, classifier, rows, masks, monkeypatch):
    features_NF = pool_features(classifier, rows, POOL)
    whole_SNC = sample_log_probs(classifier, features_NF, masks)
    monkeypatch.setitem(uncertainty.ELEMENTS, "cpu", elements)
    pieces = uncertainty.chunks(classifier, features_NF, SAMPLES)
    assert (len(pieces) == len(POOL)) == (elements == 1)
    in_pieces = torch.cat([sample_log_probs(classifier, piece, masks) for piece in pieces], 1)
    torch.testing.assert_close(in_pieces, whole_SNC, rtol=0, atol=1e-5)


@pytest.mark.parametrize("passes", [1, 5, SAMPLES])
def test_passes_do_not_depend_on_how_many_are_in_memory_at_once(passes, classifier, rows, masks, monkeypatch):
    features_NF = pool_features(classifier, rows, POOL)
    slow_SNC = torch.cat([sample_log_probs(classifier, features_NF, one) for one in singly(masks)])
    monkeypatch.setattr(uncertainty, "PASSES", passes)
    torch.testing.assert_close(sample_log_probs(classifier, features_NF, masks), slow_SNC, rtol=0, atol=1e-5)


def singly(masks) -> list[dict]:
    return [{name: masks_SW[s : s + 1] for name, masks_SW in masks.items()} for s in range(SAMPLES)]


def test_a_view_shows_a_strategy_the_passes_of_the_pool_and_of_t(classifier, rows, masks):
    labelled = np.array([7, 2, 5])
    of_labelled = partial(uncertainty.labelled_view, classifier, masks, rows, labelled)
    view = uncertainty.View(classifier, masks, pool_features(classifier, rows, POOL), of_labelled=of_labelled)
    expected = sample_log_probs(classifier, pool_features(classifier, rows, POOL[[8, 3]]), masks)
    torch.testing.assert_close(view.log_probs([8, 3]), expected, rtol=0, atol=1e-5)
    assert view.labels_N is None, "of U nobody knows them"
    torch.testing.assert_close(view.labelled.features_NF, pool_features(classifier, rows, labelled), rtol=0, atol=1e-5)
    assert view.labelled.labels_N.tolist() == rows.labels_N[labelled].tolist()
    assert view.labelled is view.labelled, "encoded once"


@pytest.mark.parametrize("samples", [1, 1000])
@pytest.mark.parametrize("number", [10, 100_000])
def test_a_chunk_stays_in_its_bounds_as_samples_and_pool_grow(samples, number, tiny_protocol):
    classifier = build_classifier(tiny_protocol(hidden=128), 2)
    for piece in uncertainty.chunks(classifier, torch.empty(number, 3), samples):
        assert len(piece) * samples * 128 <= uncertainty.ELEMENTS["cpu"]


def test_rows_of_three_and_four_tokens_are_scored_like_others(tiny_protocol, rows):
    """Shorter than the widest filter."""
    texts = ["dull", "never dull", "an odd slow film", "the story is never dull", "warm"]
    short = tokenise([(text, 0) for text in texts], load_tokenizer("all-MiniLM-L6-v2"), 32)
    assert short.lengths_N.tolist() == [3, 4, 6, 7, 3]
    classifier = trained(tiny_protocol(task="mnli"), rows)
    masks = draw_masks(classifier, SAMPLES, seed=0)
    together = scores(classifier, short, np.arange(5), masks)
    alone = torch.cat([scores(classifier, short, [n], masks) for n in range(5)])
    assert (together > 0).all()
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("precision", "low", "high"), [("float32", 1e-9, 1e-5), ("bfloat16", 1e-4, 0.05)])
def test_what_a_batch_does_to_its_rows_is_measured_in_the_precision_of_the_run(
    precision, low, high, tiny_protocol, rows
):
    protocol = tiny_protocol(task="mnli", precision=precision)
    classifier = trained(protocol, rows)
    features_NF = pool_features(classifier, rows, POOL)
    measured = examine(classifier, features_NF, rows, POOL, protocol)["encoder_difference"]
    alone_MF = torch.cat([pool_features(classifier, rows, [row]) for row in POOL[:16]]).double()
    squares = [(one - other).square().mean() for one, other in zip(alone_MF, features_NF.double(), strict=False)]
    expected = (sum(squares) / 16) ** 0.5 / features_NF.double().var(0, correction=0).mean() ** 0.5
    assert measured == pytest.approx(float(expected), rel=0.01)
    assert low < measured < high


def test_features_that_depend_on_their_batch_are_found(tiny_protocol, rows, monkeypatch):
    protocol = tiny_protocol(task="mnli")
    classifier = trained(protocol, rows)

    features = classifier.decoder.features
    monkeypatch.setattr(classifier.decoder, "features", lambda *batch: features(*batch) + features(*batch).mean(0))
    features_NF = pool_features(classifier, rows, POOL)
    assert examine(classifier, features_NF, rows, POOL, protocol)["encoder_difference"] > 0.1


def test_real_rows_on_a_real_encoder_are_picked_whatever_their_batch(tiny_protocol, monkeypatch):
    protocol = tiny_protocol(task="reviews", encoder="all-MiniLM-L6-v2", maps=16, hidden=16, max_length=64)
    task = load_task("reviews", encoder=protocol.encoder, max_length=64)
    classifier = build_classifier(protocol, 2)
    train(classifier, task.train, range(10), protocol, 0)
    masks = draw_masks(classifier, 50, seed=0)
    pool = np.arange(10, 90)
    scores_N = scores(classifier, task.train, pool, masks)
    monkeypatch.setitem(prefix.TOKENS, "cpu", 100)
    other_N = scores(classifier, task.train, pool, masks)
    torch.testing.assert_close(other_N, scores_N, rtol=0, atol=1e-5)
    assert picks(other_N) == picks(scores_N)

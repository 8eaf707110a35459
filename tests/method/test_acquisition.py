"""Scores are what their formulas say, in their bounds, and picks depend on scores alone."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import mutual_info_score

from lib.data.tasks import display_name
from lib.errors import StudyError
from lib.figures import looks
from lib.method import acquisition
from lib.method.acquisition import STRATEGIES, bald, highest, margin, predictive_entropy, variation_ratio
from lib.protocol import Protocol

SCORES = {name: one.score for name, one in STRATEGIES.items() if name not in ("random", "unguarded_bald")}


def random_log_probs(samples=20, rows=7, classes=3, spread=2.0, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(samples, rows, classes, generator=generator, dtype=dtype)
    return logits.log_softmax(-1)


def slow_bald(log_probs_SNC):
    """Equation 1, term by term: entropy of the mean prediction minus the mean entropy of the predictions."""
    probs = log_probs_SNC.exp().tolist()
    samples, rows, classes = log_probs_SNC.shape
    scores = []
    for n in range(rows):
        entropy_of_mean = mean_entropy = 0.0
        for c in range(classes):
            mean = sum(probs[s][n][c] for s in range(samples)) / samples
            entropy_of_mean -= mean * math.log(mean) if mean > 0 else 0.0
            for s in range(samples):
                p = probs[s][n][c]
                mean_entropy -= p * math.log(p) / samples if p > 0 else 0.0
        scores.append(entropy_of_mean - mean_entropy)
    return torch.tensor(scores, dtype=torch.float64)


def one_hot_log_probs(classes_SN, classes: int):
    return torch.nn.functional.one_hot(torch.tensor(classes_SN), classes).double().log()  # log 0 = -inf


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("spread", [0.01, 1.0, 20.0])
def test_bald_is_equation_1(classes, spread):
    log_probs_SNC = random_log_probs(classes=classes, spread=spread)
    torch.testing.assert_close(bald(log_probs_SNC), slow_bald(log_probs_SNC), rtol=0, atol=1e-12)


def test_bald_is_scikit_learns_mutual_information_of_pass_and_prediction():
    """Of 1000 draws in every pass, so many fall on each class: a contingency table of pass and class."""
    rng = np.random.default_rng(0)
    counts_NSC = np.stack([rng.multinomial(1000, p, size=20) for p in rng.dirichlet([1, 1, 1], size=7)])
    counts_NSC[:, :10] = counts_NSC[:, :10, ::-1]  # half of the passes think otherwise
    expected = [mutual_info_score(None, None, contingency=counts_SC) for counts_SC in counts_NSC]
    log_probs_SNC = torch.from_numpy(counts_NSC / 1000).log().transpose(0, 1)
    np.testing.assert_allclose(bald(log_probs_SNC), expected, rtol=0, atol=1e-12)


def test_bald_is_scipys_entropy_of_the_mean_minus_the_mean_entropy():
    log_probs_SNC = random_log_probs(classes=5, seed=1)
    probs_SNC = log_probs_SNC.exp().numpy()
    expected = scipy.stats.entropy(probs_SNC.mean(0), axis=-1) - scipy.stats.entropy(probs_SNC, axis=-1).mean(0)
    np.testing.assert_allclose(bald(log_probs_SNC), expected, rtol=0, atol=1e-12)


def test_bald_is_zero_when_all_passes_agree():
    log_probs_SNC = random_log_probs(samples=1).expand(50, -1, -1)
    torch.testing.assert_close(bald(log_probs_SNC), torch.zeros(7, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_bald_is_log_c_when_each_pass_is_sure_of_another_class(classes):
    log_probs_SNC = one_hot_log_probs([[s] for s in range(classes)], classes)
    assert bald(log_probs_SNC).item() == pytest.approx(math.log(classes), abs=1e-12)


@given(
    logits=arrays(
        np.float32,
        array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=8),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)
def test_bald_lies_between_0_and_log_c_whatever_the_input(logits):
    scores_N = bald(torch.from_numpy(logits).log_softmax(-1))
    assert scores_N.dtype == torch.float64
    assert ((scores_N >= 0) & (scores_N <= math.log(logits.shape[-1]))).all()


def test_float32_rounding_stays_below_what_bald_calls_rounding():
    """Passes that differ by one unit in the last place: the raw score may be negative, but not by 1e-9."""
    log_probs_SNC = random_log_probs(samples=1, rows=200, dtype=torch.float32).repeat(50, 1, 1)
    log_probs_SNC[::2] = log_probs_SNC[::2].nextafter(torch.tensor(0.0))
    raw_N = acquisition.mutual_information(log_probs_SNC)
    assert raw_N.abs().max() < 1e-9
    assert (bald(log_probs_SNC) >= 0).all()


@pytest.mark.parametrize("strategy", SCORES)
def test_the_order_of_the_passes_does_not_matter(strategy):
    log_probs_SNC = random_log_probs()
    shuffled = log_probs_SNC[torch.randperm(20, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(SCORES[strategy](shuffled), SCORES[strategy](log_probs_SNC), rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", SCORES)
def test_scores_move_with_their_rows_and_do_not_depend_on_other_rows(strategy):
    log_probs_SNC, order = random_log_probs(), torch.tensor([4, 0, 6])
    alone, among_others = SCORES[strategy](log_probs_SNC[:, order]), SCORES[strategy](log_probs_SNC)[order]
    torch.testing.assert_close(alone, among_others, rtol=0, atol=1e-14)


@pytest.mark.parametrize("strategy", SCORES)
def test_what_is_not_a_log_probability_is_an_error(strategy):
    logits = random_log_probs() + 0.01
    nan = random_log_probs()
    nan[3, 2] = math.nan
    for wrong in (logits, nan, random_log_probs().exp(), random_log_probs()[0], random_log_probs()[:0]):
        with pytest.raises(ValueError):
            SCORES[strategy](wrong)


def test_entropy_is_the_entropy_of_the_mean_prediction():
    log_probs_SNC = random_log_probs()
    expected = scipy.stats.entropy(log_probs_SNC.exp().mean(0).numpy(), axis=-1)
    np.testing.assert_allclose(predictive_entropy(log_probs_SNC), expected, rtol=0, atol=1e-12)
    sure = one_hot_log_probs([[0], [0]], 3)
    assert predictive_entropy(sure).item() == 0


def test_margin_is_one_minus_the_gap_between_the_two_likeliest_classes():
    log_probs_SNC = random_log_probs()
    expected = []
    for probs in log_probs_SNC.exp().mean(0).tolist():
        *_, second, first = sorted(probs)
        expected.append(1 - (first - second))
    np.testing.assert_allclose(margin(log_probs_SNC), expected, rtol=0, atol=1e-12)


def test_variation_ratio_is_the_share_of_passes_outvoted():
    votes_SN = [[0, 1], [0, 1], [0, 2], [1, 0], [2, 1]]
    assert variation_ratio(one_hot_log_probs(votes_SN, 3)).tolist() == pytest.approx([2 / 5, 2 / 5])
    log_probs_SNC = random_log_probs()
    votes_SN = log_probs_SNC.argmax(-1).tolist()
    expected = [1 - max(votes.count(c) for c in range(3)) / 20 for votes in zip(*votes_SN, strict=True)]
    assert variation_ratio(log_probs_SNC).tolist() == pytest.approx(expected)


def test_random_scores_come_from_the_generator_alone():
    first, second, other = (acquisition.random(100, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert ((first >= 0) & (first < 1)).all()


def test_a_strategy_that_is_registered_is_allowed_named_and_drawn(monkeypatch):
    with pytest.raises(StudyError, match="strategy='least' is not known: choose bald, "):
        Protocol(task="sst2", strategy="least")
    monkeypatch.setitem(
        STRATEGIES, "least", acquisition.Strategy("least BALD", lambda log_probs_SNC: -bald(log_probs_SNC))
    )
    assert Protocol(task="sst2", strategy="least").strategy == "least"
    assert display_name("least") == "least BALD"
    assert "least" in looks.colours()
    assert "least" in looks.dashes()


def test_the_highest_scores_are_picked_best_first():
    scores_N = np.random.default_rng(0).permutation(1000) / 1000
    picked = highest(scores_N, 20, np.random.default_rng(1))
    assert picked.tolist() == sorted(range(1000), key=lambda n: -scores_N[n])[:20]
    assert highest(torch.from_numpy(scores_N), 20, np.random.default_rng(2)).tolist() == picked.tolist()


def test_ties_are_broken_by_the_run_not_by_position():
    scores_N = np.zeros(50)
    scores_N[30] = 1
    times_picked = np.zeros(50)
    for seed in range(2000):
        picked = highest(scores_N, 10, np.random.default_rng(seed))
        assert picked[0] == 30
        times_picked[picked] += 1
    others = np.delete(times_picked, 30)
    # each of 49 equals has 9 chances in 49: chi-squared would find a preference for the front or the back
    assert scipy.stats.chisquare(others).pvalue > 1e-4


def test_more_picks_than_rows_is_an_error():
    with pytest.raises(ValueError, match=r"query=4 .* 3"):
        highest(np.zeros(3), 4, np.random.default_rng(0))
    assert sorted(highest(np.zeros(3), 3, np.random.default_rng(0))) == [0, 1, 2]


def test_health_counts_zeros_ties_and_the_gap_at_rank_query():
    scores_N = torch.tensor([0.5, 0.0, 0.3, 0.3, 0.1, 0.0, 0.3, 0.9])
    said = acquisition.health(scores_N, 3)  # ranks: .9 .5 .3 | .3 .3 .1 0 0
    assert said["share_at_zero"] == 2 / 8
    assert said["ties_at_rank_query"] == 2
    assert said["gap_at_rank_query"] == pytest.approx(0.2)
    assert acquisition.health(torch.zeros(4), 2)["gap_at_rank_query"] == 0

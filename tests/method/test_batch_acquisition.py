"""Batches: BatchBALD is the joint mutual information, PowerBALD draws from its distribution."""

import itertools
import math
import types

import numpy as np
import pytest
import scipy.stats
import torch

from lib.method import acquisition
from lib.method.acquisition import STRATEGIES, bald, batchbald, half_at_random, joint_entropy, powerbald, unguarded_bald
from lib.runs import results
from lib.runs.run import run


def random_log_probs(samples=12, rows=6, classes=3, seed=0, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(samples, rows, classes, generator=generator, dtype=torch.float64)).log_softmax(-1)


def slow_joint_entropy(probs_SNC, rows) -> float:
    """-Σ p log p over every sequence of labels of the rows, p the mean over the passes of the product."""
    entropy = 0.0
    for labels in itertools.product(range(probs_SNC.shape[2]), repeat=len(rows)):
        p = np.mean([math.prod(probs_C[n][c] for n, c in zip(rows, labels, strict=True)) for probs_C in probs_SNC])
        entropy -= p * math.log(p) if p > 0 else 0.0
    return entropy


def slow_information(probs_SNC, rows) -> float:
    return slow_joint_entropy(probs_SNC, rows) - sum(scipy.stats.entropy(probs_SNC[:, n], axis=1).mean() for n in rows)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("batch", [[], [2], [0, 4], [5, 1, 3]])
def test_the_joint_entropy_is_that_of_every_sequence_of_labels(classes, batch):
    probs_SNC = random_log_probs(classes=classes).exp()
    probs_NSC = probs_SNC.transpose(0, 1)
    expected = [slow_joint_entropy(probs_SNC.numpy(), [*batch, n]) for n in range(6)]
    np.testing.assert_allclose(joint_entropy(probs_NSC[batch], probs_NSC, None), expected, atol=1e-12)


def test_the_sampled_joint_entropy_comes_close_to_the_exact_one():
    probs_NSC = random_log_probs(rows=8).exp().transpose(0, 1)
    exact = joint_entropy(probs_NSC[:6], probs_NSC, None)
    estimates = [joint_entropy(probs_NSC[:6], probs_NSC, np.random.default_rng(s), limit=500) for s in range(20)]
    error = torch.stack(estimates) - exact
    assert error.abs().max() < 0.4
    assert (error.mean(0).abs() < 4 * error.std(0) / math.sqrt(20)).all(), "the estimate is off to one side"


def test_rows_of_probability_zero_are_no_trouble():
    one_hot_SNC = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 4, 3).log()  # each pass sure of another class
    probs_NSC = one_hot_SNC.exp().transpose(0, 1)
    for limit in (2000, 2):
        entropies_N = joint_entropy(probs_NSC[:2], probs_NSC, np.random.default_rng(0), limit=limit)
        np.testing.assert_allclose(entropies_N, math.log(3), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_batchbald_picks_greedily_what_adds_most_information(seed):
    log_probs_SNC = random_log_probs(seed=seed)
    probs_SNC = log_probs_SNC.exp().numpy()
    expected: list[int] = []
    for _ in range(3):
        left = [n for n in range(6) if n not in expected]
        expected.append(max(left, key=lambda n: slow_information(probs_SNC, [*expected, n])))
    assert batchbald(log_probs_SNC, 3, np.random.default_rng(0)).tolist() == expected
    assert expected[0] == int(bald(log_probs_SNC).argmax())


def test_batchbald_does_not_pick_a_copy_while_there_is_news():
    log_probs_SNC = random_log_probs(rows=8)
    best = int(bald(log_probs_SNC).argmax())
    log_probs_SNC[:, (best + 1) % 8] = log_probs_SNC[:, best]
    copies = {best, (best + 1) % 8}
    assert copies <= set(np.argsort(-bald(log_probs_SNC).numpy())[:2]), "BALD takes both"
    picks = batchbald(log_probs_SNC, 2, np.random.default_rng(0))
    assert len(copies & set(picks.tolist())) == 1


@pytest.mark.parametrize("query", [1, 20, 40])
def test_no_row_is_picked_twice_and_a_generator_gives_the_same_batch_again(query):
    log_probs_SNC = random_log_probs(rows=40)
    for picks in (
        [batchbald(log_probs_SNC, query, np.random.default_rng(3)) for _ in range(2)],
        [powerbald(bald(log_probs_SNC), query, np.random.default_rng(3)) for _ in range(2)],
    ):
        assert picks[0].tolist() == picks[1].tolist()
        assert len(set(picks[0].tolist())) == query


def view_of(log_probs_SNC):
    return types.SimpleNamespace(log_probs=lambda positions: log_probs_SNC[:, positions])


def test_batchbald_picks_from_the_rows_with_the_highest_bald(monkeypatch):
    monkeypatch.setattr(acquisition, "CANDIDATES", 12)
    log_probs_SNC = random_log_probs(rows=50)
    scores_N = bald(log_probs_SNC)
    picks = STRATEGIES["batchbald"].pick(scores_N, 5, np.random.default_rng(0), view_of(log_probs_SNC))
    assert set(picks) <= set(np.argsort(-scores_N.numpy())[:12])
    assert picks[0] == int(scores_N.argmax())


@pytest.mark.parametrize("strategy", ["batchbald", "powerbald", "bald", "half_bald"])
def test_more_picks_than_rows_is_an_error(strategy):
    log_probs_SNC = random_log_probs()
    with pytest.raises(ValueError, match="query=7 rows"):
        STRATEGIES[strategy].pick(bald(log_probs_SNC), 7, np.random.default_rng(0), view_of(log_probs_SNC))


@pytest.mark.parametrize("query", [1, 4, 5])
def test_half_at_random_takes_the_highest_and_draws_the_rest_evenly_from_all_others(query):
    scores_N, rng = np.array([0.1, 0.7, 0.3, 0.9, 0.2, 0.5, 0.4, 0.0]), np.random.default_rng(0)
    highest = query - query // 2
    drawn = np.zeros(8, int)
    for _ in range(2000):
        picks = half_at_random(scores_N, query, rng)
        assert picks[:highest].tolist() == [3, 1, 5][:highest]
        assert len(set(picks.tolist())) == query
        drawn[picks[highest:]] += 1
    others = np.setdiff1d(np.arange(8), [3, 1, 5][:highest])
    assert drawn.sum() == drawn[others].sum() == 2000 * (query // 2)
    if query > 1:
        assert scipy.stats.chisquare(drawn[others]).pvalue > 1e-4


def test_powerbald_draws_without_replacement_with_probability_proportional_to_the_score():
    scores_N = np.array([0.1, 0.4, 0.0, 0.2, 0.3])
    rng = np.random.default_rng(0)
    pairs = [tuple(powerbald(scores_N, 2, rng).tolist()) for _ in range(20_000)]
    possible = list(itertools.permutations([0, 1, 3, 4], 2))
    expected = [scores_N[a] * scores_N[b] / (1 - scores_N[a]) for a, b in possible]
    counts = [pairs.count(pair) for pair in possible]
    assert sum(counts) == 20_000, "a row with score 0 is not drawn while others are left"
    assert scipy.stats.chisquare(counts, 20_000 * np.array(expected)).pvalue > 1e-4


def test_powerbald_draws_rows_without_a_score_last_and_evenly():
    rng = np.random.default_rng(0)
    picks = [powerbald([0.0, 0.5, 0.0, 0.0], 2, rng).tolist() for _ in range(3000)]
    assert {first for first, _ in picks} == {1}
    assert scipy.stats.chisquare([sum(second == n for _, second in picks) for n in (0, 2, 3)]).pvalue > 1e-4


def test_unguarded_float32_shows_rounding_where_bald_is_exactly_zero():
    """All passes agree, as with dropout off: what is left is rounding, of the size of the scores of Table 4."""
    log_probs_SNC = random_log_probs(samples=1, rows=300).float().log_softmax(-1).expand(50, -1, -1)
    noise_N = unguarded_bald(log_probs_SNC)
    assert noise_N.dtype == torch.float32
    assert noise_N.min() < 0 < noise_N.max()
    assert 1e-9 < noise_N.abs().max() < 1e-6
    assert (bald(log_probs_SNC) == 0).all()
    spread = random_log_probs(rows=30)
    torch.testing.assert_close(unguarded_bald(spread).double(), bald(spread), atol=1e-5, rtol=0)


@pytest.mark.parametrize("strategy", ["batchbald", "powerbald"])
def test_a_run_picks_the_batch_that_its_scores_and_its_seed_give(strategy, tiny_protocol, tmp_path):
    protocol = tiny_protocol(strategy=strategy, rounds=1, query=8)
    picked = run(protocol, tmp_path)["picked"][0]
    pool = results.load("pool", [protocol], tmp_path)
    assert len(set(picked)) == 8
    assert set(picked) <= set(pool["row"])
    assert (pool["score"] == pool["bald"]).all()
    again = run(protocol, tmp_path / "again")["picked"][0]
    assert again == picked
    if strategy == "batchbald":
        assert picked[0] == pool.loc[pool["score"].idxmax(), "row"]


def test_with_dropout_off_bald_is_zero_and_its_unguarded_form_is_not(tiny_protocol, tmp_path):
    protocol = tiny_protocol(strategy="unguarded_bald", mc_dropout="off", rounds=1, samples=50)
    run(protocol, tmp_path)
    pool = results.load("pool", [protocol], tmp_path)
    assert (pool["bald"] == 0).all()
    assert 0 < pool["score"].abs().max() < 1e-6


@pytest.mark.slow
def test_batchbald_over_a_large_pool_takes_seconds():
    generator = torch.Generator().manual_seed(0)
    log_probs_SNC = torch.randn(50, 1000, 3, generator=generator).log_softmax(-1)
    picks = batchbald(log_probs_SNC, 100, np.random.default_rng(0))
    assert len(set(picks.tolist())) == 100

"""How often verdicts are wrong, by simulation: studies without an effect, studies with one, and the power announced.

The made-up studies have 3, 5 or 10 seeds, and two, three or six uneven classes as TREC has them.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from lib.analysis.claims.claim import LESS, MORE, SAME
from lib.analysis.claims.estimates import (
    Estimate,
    beyond_each,
    log_ratio_of_spreads,
    mean_of,
    seeds_needed,
    shift_of,
    verdict,
)
from lib.analysis.claims.verdicts import CLAIMS, corrected
from lib.analysis.qualitative import fair_spreads

STUDIES = 1000
SEEDS = (3, 5, 10)
SIZES = np.arange(110, 911, 100)
# start, and shares of U
CLASSES = {
    2: ([6, 4], [0.5, 0.5]),
    3: ([5, 2, 3], [1 / 3, 1 / 3, 1 / 3]),
    6: ([2, 3, 0, 4, 1, 0], [0.23, 0.21, 0.02, 0.22, 0.15, 0.17]),
}
CLAIM = {claim.text: claim for claim in CLAIMS}


# ---- the rule


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("unit", [1.0, 2.0])
def test_every_interval_of_a_grid_has_the_verdict_of_the_rule(margin, unit):
    """The rule in words: within the margin nothing differs; else beyond zero something does; else nobody knows."""
    table = {
        "no difference": {MORE: "not supported", LESS: "not supported", SAME: "supported"},
        "more": {MORE: "supported", LESS: "not supported", SAME: "not supported"},
        "less": {MORE: "not supported", LESS: "supported", SAME: "not supported"},
        "unknown": dict.fromkeys((MORE, LESS, SAME), "inconclusive"),
    }
    ends = np.arange(-8, 8.5, 0.5)
    seen = set()
    for low in ends:
        for high in ends[ends >= low]:
            if max(-low, high) <= margin * unit:
                found = "no difference"
            elif min(low, high) > 0:
                found = "more"
            elif max(low, high) < 0:
                found = "less"
            else:
                found = "unknown"
            seen.add(found)
            for expected, said in table[found].items():
                assert verdict(Estimate((low + high) / 2, low, high, 3, unit=unit), expected, margin) == said
    assert seen == set(table)


def test_a_negligible_effect_supports_no_difference_and_no_claim_of_one():
    estimate = Estimate(0.005, 0.001, 0.009, 3)
    assert [verdict(estimate, expected, 0.01) for expected in (MORE, LESS, SAME)] == [
        "not supported",
        "not supported",
        "supported",
    ]


def test_no_difference_is_what_two_one_sided_tests_say():
    rng = np.random.default_rng(0)
    said = []
    for _ in range(200):
        ours, theirs = rng.normal(0.8, 0.004, (2, rng.choice(SEEDS)))
        p, *_ = ttost_paired(ours, theirs, -0.01, 0.01)
        said.append(p <= 0.025)
        assert (verdict(mean_of(ours - theirs), SAME, 0.01) == "supported") == said[-1]
    assert 20 < sum(said) < 180


# ---- studies without an effect


def drawn(rng, classes: int, seeds: int, runs: int = STUDIES, favoured: float = 0.0) -> np.ndarray:
    """Rows of each class in T: runs × seeds × sizes × classes. favoured: share of a batch that is the first class's."""
    start, shares = CLASSES[classes]
    shares = np.array(shares) * (1 - favoured) + favoured * (np.arange(classes) == 0)
    return start + rng.multinomial(100, shares, (runs, seeds, len(SIZES))).cumsum(2)


def slopes(gaps) -> np.ndarray:
    """Rows for each hundred rows of T, by the textbook's formula."""
    x = SIZES - SIZES.mean()
    return 100 * (gaps * x).sum(-1) / (x**2).sum()


def share(verdicts, *which: str) -> float:
    return float(np.mean([said in which for said in verdicts]))


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("classes", CLASSES)
def test_a_bald_that_picks_at_random_skews_nothing(classes, seeds):
    rng = np.random.default_rng([classes, seeds])
    bald, random = (np.ptp(drawn(rng, classes, seeds), axis=-1) for _ in range(2))
    grown = [mean_of(study, 100 / 800) for study in slopes(bald) - slopes(random)]
    wider = [mean_of(study, 1, unit=9.1) for study in (bald - random)[..., -1]]
    for estimates in (grown, wider):
        assert share([verdict(one, MORE, 1.0) for one in estimates], "supported") <= 0.035
        assert share([verdict(one, SAME, 1.0) for one in estimates], "not supported") <= 0.07
        assert 0.02 <= np.mean([one.p < 0.05 for one in estimates]) <= 0.07


@pytest.mark.parametrize(("classes", "seeds"), [(2, 3), (3, 5), (6, 3), (6, 10)])
def test_a_fair_draw_is_seldom_called_unfair_and_an_unfair_one_often(classes, seeds):
    rng = np.random.default_rng([classes, seeds])
    start, shares = CLASSES[classes]
    fair = slopes(fair_spreads(start, (10**7 * np.array(shares)).astype(int), SIZES))
    estimates = [shift_of(study, fair) for study in slopes(np.ptp(drawn(rng, classes, seeds), axis=-1))]
    assert 0.03 <= share([verdict(one, SAME, 1.0) for one in estimates], "not supported") <= 0.07
    assert 0.03 <= np.mean([one.p < 0.05 for one in estimates]) <= 0.07
    unfair = slopes(np.ptp(drawn(rng, classes, seeds, runs=100, favoured=0.3), axis=-1))
    said = [verdict(shift_of(study, fair), SAME, 1.0) for study in unfair]
    assert share(said, "not supported") >= 0.95


def test_a_fair_draw_is_supported_where_there_are_enough_seeds():
    rng = np.random.default_rng(0)
    fair = slopes(fair_spreads([6, 4], [10**7] * 2, SIZES))
    one = shift_of(slopes(np.ptp(drawn(rng, 2, 10, 1), axis=-1))[0], fair)
    assert verdict(one, SAME, 1.0) == "inconclusive"
    many = shift_of(slopes(np.ptp(drawn(rng, 2, 200, 1), axis=-1))[0], fair)
    assert verdict(many, SAME, 1.0) == "supported"


@pytest.mark.parametrize("classes", CLASSES)
def test_fair_draws_are_those_of_the_multinomial_and_from_a_small_pool_those_of_shuffled_rows(classes):
    start, shares = CLASSES[classes]
    rng = np.random.default_rng(classes)
    gaps = fair_spreads(start, (10**7 * np.array(shares)).astype(int), SIZES)
    expected = np.ptp(drawn(rng, classes, 10), axis=-1).reshape(-1, len(SIZES))
    for ours, theirs in zip(gaps.T, expected.T, strict=True):
        assert ours.mean() == pytest.approx(theirs.mean(), rel=0.04)
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-4
    pool = np.repeat(np.arange(classes), np.round(150 * np.array(shares)).astype(int))
    labels = [rng.permutation(pool) for _ in range(3000)]
    for rows in (30, len(pool)):
        shuffled = [np.ptp(start + np.bincount(some[:rows], minlength=classes)) for some in labels]
        ours = fair_spreads(start, np.bincount(pool), [sum(start) + rows])[:, 0]
        assert ours.mean() == pytest.approx(np.mean(shuffled), rel=0.03)


@pytest.mark.parametrize("seeds", SEEDS)
def test_where_every_class_is_picked_alike_none_is_picked_most(seeds):
    for classes, (_, shares) in {3: CLASSES[3], 6: (0, [1 / 6] * 6)}.items():
        rows = np.random.default_rng(seeds).multinomial(900, shares, (STUDIES, seeds))
        said = [verdict(most(study, classes), MORE, 0.0) for study in rows]
        assert share(said, "supported") <= 0.035
        assert share(said, "not supported") <= 0.07


def most(rows_SC, classes: int) -> Estimate:
    return beyond_each(
        lambda level: [mean_of(rows_SC[:, 0] - rows_SC[:, c], 1, level) for c in range(1, classes)], MORE
    )


@pytest.mark.parametrize("seeds", SEEDS)
def test_without_an_effect_means_and_spreads_are_seldom_called_one(seeds):
    rng = np.random.default_rng(seeds)
    called = {"mean": [], "spread": [], "spread of what goes together": [], "narrowest": []}
    for _ in range(STUDIES):
        common, curves = rng.normal(size=(seeds, 1)), rng.normal(size=(5, seeds, 4))
        called["mean"].append(verdict(mean_of(rng.normal(size=seeds)), MORE, 0.0))
        pair = rng.normal(size=(2, seeds))
        called["spread"].append(verdict(log_ratio_of_spreads(*pair), MORE, 0.0))
        pair = common + rng.normal(size=(2, seeds, 4))
        called["spread of what goes together"].append(verdict(log_ratio_of_spreads(*pair), MORE, 0.0))
        called["narrowest"].append(verdict(narrowest(curves[:, :, :1]), LESS, 0.0))
    for kind, said in called.items():
        assert share(said, "supported", "not supported") <= 0.07, kind
        assert share(said, "supported") <= 0.035, kind
    for kind in ("mean", "spread"):
        assert share(called[kind], "supported", "not supported") >= 0.03, kind


def narrowest(curves_FSK) -> Estimate:
    ours, *others = curves_FSK
    return beyond_each(lambda level: [log_ratio_of_spreads(ours, other, level) for other in others], LESS)


def test_the_narrowest_is_narrower_than_each_other_and_not_than_their_mean():
    rng = np.random.default_rng(0)
    spreads = np.array([1.0, 0.2, 9.0, 9.0, 9.0])[:, None, None]  # narrower than most, and five times one of them
    said = [verdict(narrowest(spreads * rng.normal(size=(5, 20, 1))), LESS, 0.0) for _ in range(100)]
    assert share(said, "not supported") >= 0.95
    spreads = np.array([0.2, 1.0, 1.0, 1.0, 1.0])[:, None, None]
    said = [verdict(narrowest(spreads * rng.normal(size=(5, 20, 1))), LESS, 0.0) for _ in range(100)]
    assert share(said, "supported") >= 0.95


def test_in_studies_without_an_effect_holm_finds_none(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: None)  # multipletests calls it each time
    rng = np.random.default_rng(0)
    names = [claim.text for claim in CLAIMS if claim.accuracy]
    found, by_chance = [], []
    for _ in range(STUDIES // 2):
        tests = [{"claim": name, "p": mean_of(rng.normal(size=5)).p} for name in names for _ in range(3)]
        others = [{"claim": "BALD skews the classes", "p": 1e-9}, {"claim": names[0], "p": np.nan}]
        p = corrected(tests + others)
        assert np.isnan(p[-2:]).all()
        found.append(np.nanmin(p) < 0.05)
        by_chance.append(np.mean([test["p"] < 0.05 for test in tests]))
    assert 0.02 <= np.mean(found) <= 0.07
    assert np.mean(by_chance) == pytest.approx(0.05, abs=0.01)


def test_holm_is_the_textbooks():
    names = [claim.text for claim in CLAIMS if claim.accuracy]
    p = np.random.default_rng(3).random(len(names)) ** 3
    expected = np.empty(len(p))
    largest = 0.0
    for place, number in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, (len(p) - place) * p[number]))
        expected[number] = largest
    assert corrected([{"claim": n, "p": v} for n, v in zip(names, p, strict=True)]) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("values", [[0.1, 0.4, 0.35, 0.2], [-1.0, 2.0, 0.3], [3, 3, 4]])
def test_p_is_that_of_scipys_test(values):
    assert mean_of(values).p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    other = np.array([0.3, 0.9, -0.2, 0.1])
    ratio = np.var(values, ddof=1) / np.var(other[: len(values)], ddof=1)
    df = len(values) - 1
    expected = 2 * min(stats.f.cdf(ratio, df, df), stats.f.sf(ratio, df, df))
    assert log_ratio_of_spreads(values, other[: len(values)]).p == pytest.approx(expected)


# ---- the power announced


def scaled(rng, value: float, spread: float, seeds: int = 5) -> np.ndarray:
    """Values of this mean and this standard deviation exactly."""
    values = rng.normal(size=seeds)
    return value + spread * (values - values.mean()) / values.std(ddof=1)


def decided(estimates, expected: int, margin: float) -> float:
    return 1 - share([verdict(estimate, expected, margin) for estimate in estimates], "inconclusive")


@pytest.mark.parametrize(
    ("value", "spread", "margin", "most"),
    [
        (0.01, 0.03, 0.0, 0.83),
        (0.01, 0.03, 0.01, 0.83),
        (0.01, 0.01, 0.0, 0.85),  # one seed more or less is three in a hundred
        (0.0, 0.02, 0.01, 0.9),  # it may also seem to differ
        (0.004, 0.006, 0.01, 1.0),  # clearly above zero, or clearly within the margin: either is a verdict
    ],
)
def test_with_the_seeds_needed_four_studies_in_five_get_a_verdict(value, spread, margin, most):
    rng = np.random.default_rng(5)
    seeds = seeds_needed(mean_of(scaled(rng, value, spread)), margin)
    assert 0.77 <= decided(map(mean_of, rng.normal(value, spread, (STUDIES, seeds))), MORE, margin) <= most
    few = rng.normal(value, spread, (STUDIES, max(2, seeds // 2)))
    assert decided(map(mean_of, few), MORE, margin) < 0.75


def test_the_seeds_needed_of_an_effect_of_a_third_of_its_spread_are_73():
    estimate = mean_of(scaled(np.random.default_rng(5), 0.01, 0.03))
    assert seeds_needed(estimate, 0.0) == 73  # with 38, every second study has a verdict
    assert estimate.power(np.array([38]), 0.0) == pytest.approx(0.515, abs=0.01)


def test_with_the_seeds_needed_four_studies_in_five_tell_spreads_apart():
    rng = np.random.default_rng(5)
    seeds = seeds_needed(log_ratio_of_spreads(scaled(rng, 0, 0.02), scaled(rng, 0, 0.05)), 0.0)
    for number, least, most in ((seeds, 0.77, 0.87), (seeds // 2, 0, 0.7)):
        pairs = np.moveaxis(rng.normal(size=(2, STUDIES, number)), 1, 0) * [[0.02], [0.05]]
        assert least <= decided((log_ratio_of_spreads(*pair) for pair in pairs), LESS, 0.0) <= most


def test_with_the_seeds_needed_four_studies_in_five_find_the_narrowest_and_the_most():
    rng = np.random.default_rng(5)
    spreads = np.array([0.4, 1.0, 1.0, 1.0])[:, None, None]
    exact = np.stack([scaled(rng, 0, spread)[:, None] for spread in spreads[:, 0, 0]])
    seeds = seeds_needed(narrowest(exact), 0.0)
    studies = (narrowest(spreads * rng.normal(size=(4, seeds, 1))) for _ in range(STUDIES // 2))
    assert 0.77 <= decided(studies, LESS, 0.0) <= 0.95
    exact = np.stack([scaled(rng, mean, 10, 6) for mean in (310, 290, 300)], axis=1)
    seeds = seeds_needed(most(exact, 3), 0.0)
    studies = (most(rng.normal([310, 290, 300], 10, (seeds, 3)), 3) for _ in range(STUDIES // 2))
    assert decided(studies, MORE, 0.0) >= 0.6  # how classes go together in these few seeds is chance


def test_with_the_seeds_needed_four_studies_in_five_know_a_fair_draw():
    rng = np.random.default_rng(5)
    fair = slopes(fair_spreads([6, 4], [10**7] * 2, SIZES))
    estimate = shift_of(np.full(5, fair.mean()), fair)
    seeds = seeds_needed(estimate, 1.0)
    studies = slopes(np.ptp(drawn(rng, 2, seeds, 200), axis=-1))
    assert 0.7 <= decided((shift_of(study, fair) for study in studies), SAME, 1.0) <= 0.9


def test_where_nothing_is_known_or_a_verdict_is_out_of_reach_no_number_is_given():
    assert seeds_needed(mean_of([1.0]), 0.0) is None
    assert seeds_needed(mean_of([1e-6, 1.0, -1.0]), 0.0) is None


# ---- the same through the claims themselves, on tables as the store has them


def counts_of(study_SKC, strategy: str) -> pd.DataFrame:
    seeds, sizes, classes = study_SKC.shape
    start = CLASSES[classes][0]
    rows = np.concatenate([np.broadcast_to(start, (seeds, 1, classes)), study_SKC], axis=1)
    names = [f"class {c}" for c in range(classes)]
    levels = [range(seeds), range(sizes + 1), names]
    table = pd.DataFrame(
        {"rows": rows.ravel()}, index=pd.MultiIndex.from_product(levels, names=["seed", "round", "class"])
    )
    table = table.reset_index().assign(task="made up", strategy=strategy)
    return table.assign(labelled=table["round"].map(dict(enumerate([10, *SIZES]))))


def evidence_of(rng, classes: int, seeds: int) -> SimpleNamespace:
    pieces = [counts_of(drawn(rng, classes, seeds, 1)[0], strategy) for strategy in ("bald", "random")]
    counts = pd.concat(pieces, ignore_index=True)
    pool = pd.Series((10**7 * np.array(CLASSES[classes][1])).astype(int), index=counts["class"].unique())
    return SimpleNamespace(counts=counts, pool=pool)


def test_a_claim_measures_what_the_simulations_above_simulate():
    evidence = evidence_of(np.random.default_rng(0), 6, 5)
    rows = evidence.counts.set_index(["strategy", "seed", "labelled"]).groupby(level=[0, 1, 2])["rows"]
    gaps = (rows.max() - rows.min()).unstack()
    found = {strategy: slopes(gaps.loc[strategy][SIZES].to_numpy()) for strategy in ("bald", "random")}
    expected = mean_of(found["bald"] - found["random"], 100 / 800)
    ours = CLAIM["BALD's skew grows"].measure(evidence)
    assert (ours.value, ours.low, ours.p) == pytest.approx((expected.value, expected.low, expected.p))
    fair = slopes(fair_spreads(CLASSES[6][0], evidence.pool, SIZES))
    ours = CLAIM["random's skew stays"].measure(evidence)
    assert ours.value == pytest.approx(found["random"].mean() - fair.mean())
    ours = CLAIM["BALD skews the classes"].measure(evidence)
    last = (gaps.loc["bald"] - gaps.loc["random"])[910]
    assert (ours.value, ours.unit) == pytest.approx((last.mean(), 9.1))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("classes", CLASSES)
def test_of_a_thousand_whole_studies_without_an_effect_few_find_skew(classes, seeds):
    rng = np.random.default_rng([classes, seeds])
    said = {"BALD skews the classes": [], "BALD's skew grows": [], "random's skew stays": []}
    for _ in range(STUDIES):
        evidence = evidence_of(rng, classes, seeds)
        for text, verdicts in said.items():
            claim = CLAIM[text]
            verdicts.append(verdict(claim.measure(evidence), claim.expected, claim.margin))
    assert share(said["BALD skews the classes"], "supported") <= 0.035
    assert share(said["BALD's skew grows"], "supported") <= 0.035
    assert share(said["random's skew stays"], "not supported") <= 0.07

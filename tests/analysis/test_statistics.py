"""Intervals, areas and differences against scipy, seaborn and plain loops; the paper's numbers as it prints them."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from helpers import refused
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib.analysis import statistics
from lib.runs import plans

RUNS = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=2, max_size=8)


def curves(strategies=("bald", "random"), tasks=("a", "b"), seeds=3, sizes=(10, 30, 40, 100)) -> pd.DataFrame:
    """Invented learning curves, their rows in any order."""
    rng = np.random.default_rng(5)
    rows = [
        {"task": task, "strategy": strategy, "seed": seed, "labelled": size, "accuracy": rng.random()}
        for task in tasks
        for strategy in strategies
        for seed in range(seeds)
        for size in sizes
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def only(table: pd.DataFrame, **levels) -> pd.DataFrame:
    for column, level in levels.items():
        table = table[table[column] == level]
    return table


# ---- intervals


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_the_bootstrap_interval_is_the_one_that_seaborn_draws(runs):
    values = np.random.default_rng(runs).random(runs)
    means = sns.algorithms.bootstrap(values, func="mean", n_boot=10_000, seed=0)
    assert statistics.bootstrap_interval(values) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), rel=1e-14)
    aggregate = sns._statistics.EstimateAggregator("mean", ("ci", 95), n_boot=10_000, seed=0)
    drawn = aggregate(pd.DataFrame({"accuracy": values}), "accuracy")
    expected = drawn["accuracymin"], drawn["accuracymax"]
    assert statistics.bootstrap_interval(values) == pytest.approx(expected, rel=1e-14)


def test_with_three_runs_the_bootstrap_interval_is_their_range():
    assert statistics.bootstrap_interval([0.5, 0.8, 0.6]) == pytest.approx((0.5, 0.8))


@given(RUNS.filter(lambda values: len(values) >= statistics.FEWEST))
def test_the_bootstrap_interval_lies_within_the_range_of_the_runs(values):
    low, high = statistics.bootstrap_interval(values)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


@given(RUNS.filter(lambda values: np.std(values) > 1e-9))
def test_the_t_interval_is_scipys(values):
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert statistics.t_interval(values) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("interval", [statistics.bootstrap_interval, statistics.t_interval])
def test_one_run_has_no_interval_and_equal_runs_have_one_of_no_width(interval):
    assert np.isnan(interval([0.5])).all()
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_a_summary_is_the_mean_and_interval_of_each_group():
    rounds = curves()
    summary = statistics.summary(rounds, "accuracy", ["task", "strategy", "labelled"])
    assert len(summary) == 2 * 2 * 4
    for row in summary.to_dict("records"):
        values = only(rounds, task=row["task"], strategy=row["strategy"], labelled=row["labelled"])["accuracy"]
        assert row["runs"] == len(values) == 3
        assert row["mean"] == pytest.approx(sum(values) / 3)
        assert (row["low"], row["high"]) == statistics.bootstrap_interval(values)
        assert row["width"] == row["high"] - row["low"]


def test_mean_widths_are_of_groups_with_the_most_runs_of_their_task():
    """Those of other numbers of runs differ for that reason alone: of three runs the interval is their range."""
    rounds = curves(strategies=(0, 2, -2)).rename(columns={"strategy": "frozen"})
    rounds = rounds[(rounds["frozen"] != -2) | (rounds["task"] != "a") | (rounds["seed"] < 2)]
    intervals = statistics.summary(rounds, "accuracy", ["task", "frozen", "labelled"])
    found = statistics.mean_widths(intervals, ["task", "frozen"])
    assert len(found) == 2 * 3
    for row in found.to_dict("records"):
        some = only(rounds, task=row["task"], frozen=row["frozen"]).groupby("labelled")["accuracy"]
        fewer = (row["task"], row["frozen"]) == ("a", -2)
        assert row["runs"] == (2 if fewer else 3)
        assert row["mean"] == pytest.approx(math.nan if fewer else np.mean(some.max() - some.min()), nan_ok=True)
    drawn = np.random.default_rng(0).normal(size=(200, 10))
    widths = [np.mean([np.diff(statistics.bootstrap_interval(row[:n])) for row in drawn]) for n in (3, 10)]
    assert widths[0] > 1.2 * widths[1]


@pytest.mark.parametrize("interval", [statistics.bootstrap_interval, statistics.t_interval])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_fewer_than_three_runs_have_a_mean_and_no_interval(interval, runs):
    rounds = curves()
    rounds = rounds[rounds["seed"] < runs]
    table = statistics.summary(rounds, "accuracy", ["task", "strategy", "labelled"], interval)
    assert table["mean"].notna().all()
    assert table[["low", "high", "width"]].notna().to_numpy().all() == (runs == 3)
    assert table[["low", "high", "width"]].isna().to_numpy().all() == (runs < 3)


def test_a_seed_that_one_level_has_alone_is_left_out_unless_its_task_has_no_other_level():
    rounds = curves(seeds=4, strategies=(0, 2, -2), tasks="abc").rename(columns={"strategy": "frozen"})
    unfinished = (rounds["task"] == "a") & (rounds["frozen"] == -2) & (rounds["seed"] > 0)
    alone = (rounds["task"] != "b") & (rounds["frozen"] != 0) & (rounds["seed"] == 3)
    only_zero = (rounds["task"] == "c") & (rounds["frozen"] != 0)
    rounds = rounds[~unfinished & ~alone & ~only_zero]
    left = statistics.of_shared_seeds(rounds, "frozen").groupby(["task", "frozen"])["seed"].unique()
    seeds = {place: sorted(there) for place, there in left.items()}
    assert [seeds["a", F] for F in (0, 2, -2)] == [[0, 1, 2], [0, 1, 2], [0]]
    assert [seeds["b", F] for F in (0, 2, -2)] == [[0, 1, 2, 3]] * 3
    assert [place for place in seeds if place[0] == "c"] == [("c", 0)]
    assert seeds["c", 0] == [0, 1, 2, 3]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_deviation_has_the_interval_that_follows_from_chi_square(seeds):
    rounds = curves(seeds=seeds, tasks="a")
    table = statistics.deviations(rounds, "accuracy", ["strategy", "labelled"])
    assert len(table) == 2 * 4
    for row in table.to_dict("records"):
        values = list(only(rounds, strategy=row["strategy"], labelled=row["labelled"])["accuracy"])
        assert row["runs"] == seeds
        if seeds == 1:
            assert np.isnan([row["deviation"], row["low"], row["high"]]).all()
            continue
        squares = sum((value - sum(values) / seeds) ** 2 for value in values)
        assert row["deviation"] == pytest.approx(math.sqrt(squares / (seeds - 1)))
        # squares / σ² follows χ² with n - 1 degrees of freedom
        assert stats.chi2.cdf(squares / row["low"] ** 2, seeds - 1) == pytest.approx(0.975)
        assert stats.chi2.cdf(squares / row["high"] ** 2, seeds - 1) == pytest.approx(0.025)


# ---- learning curves


def test_the_area_under_a_curve_is_its_mean_height():
    rounds = curves()
    areas = statistics.area_under_curve(rounds, ["task", "strategy", "seed"])
    assert len(areas) == 2 * 2 * 3
    for row in areas.to_dict("records"):
        curve = only(rounds, task=row["task"], strategy=row["strategy"], seed=row["seed"])
        y = dict(zip(curve["labelled"], curve["accuracy"], strict=True))
        trapezoids = 20 * (y[10] + y[30]) / 2 + 10 * (y[30] + y[40]) / 2 + 60 * (y[40] + y[100]) / 2
        assert row["area"] == pytest.approx(trapezoids / 90)


def test_the_area_under_one_point_is_its_height():
    rounds = curves(sizes=[10])
    areas = statistics.area_under_curve(rounds, ["task", "strategy", "seed"])
    pd.testing.assert_series_equal(areas["area"], rounds["accuracy"], check_names=False, check_index=False)


@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        ((10, 30, 40, 400), [(10, 40), (40, 400)]),
        ((10, 30, 41, 400), [(10, 30), (30, 400)]),
        ((10, 50, 60), [(10, 60)]),  # the smallest is already more than a tenth
        ((1, 10), [(1, 10)]),
    ],
)
def test_gains_are_slopes_over_the_first_tenth_of_the_rows_and_over_the_rest(sizes, steps):
    rounds = curves(seeds=2, sizes=sizes)
    table = statistics.gains(rounds, ["task", "strategy", "seed"])
    assert len(table) == 2 * 2 * 2 * len(steps)
    for (task, strategy, seed), some in table.groupby(["task", "strategy", "seed"]):
        y = only(rounds, task=task, strategy=strategy, seed=seed).set_index("labelled")["accuracy"]
        assert list(zip(some["from"], some["to"], strict=True)) == steps
        for (x0, x1), gain in zip(steps, some["gain"], strict=True):
            assert gain == pytest.approx((y[x1] - y[x0]) / (x1 - x0) * 100)


# ---- paired differences


def test_a_paired_difference_has_the_interval_of_scipys_paired_test():
    rounds = curves(strategies=("bald", "random", "entropy"))
    table = statistics.paired_difference(rounds, "accuracy", "strategy", "random", ["task", "labelled"])
    assert set(table["strategy"]) == {"bald", "entropy"}
    assert len(table) == 2 * 4 * 2
    for row in table.to_dict("records"):
        group = only(rounds, task=row["task"], labelled=row["labelled"]).sort_values("seed")
        ours, theirs = (only(group, strategy=name)["accuracy"].to_numpy() for name in (row["strategy"], "random"))
        expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(expected))
        assert row["mean"] == pytest.approx((ours - theirs).mean())
        assert row["runs"] == 3


def test_a_seed_without_its_pair_is_left_out_of_the_difference():
    rounds = curves(tasks="a", sizes=[10])
    alone = rounds[(rounds["seed"] != 1) | (rounds["strategy"] != "random")]
    (row,) = statistics.paired_difference(alone, "accuracy", "strategy", "random", ["task"]).to_dict("records")
    y = rounds.set_index(["strategy", "seed"])["accuracy"]
    assert row["runs"] == 2
    assert row["mean"] == pytest.approx((y["bald", 0] - y["random", 0] + y["bald", 2] - y["random", 2]) / 2)


def test_values_that_are_all_missing_have_no_difference():
    table = pd.DataFrame({"task": "mnli", "strategy": ["bald", "random"], "seed": 0, "macro_f1": np.nan})
    assert statistics.paired_difference(table, "macro_f1", "strategy", "random", ["task"]).empty


def test_a_single_pair_has_a_difference_without_interval():
    (row,) = statistics.paired_difference(
        curves(tasks="a", sizes=[10], seeds=1), "accuracy", "strategy", "random", ["task"]
    ).to_dict("records")
    assert row["runs"] == 1
    assert np.isnan([row["low"], row["high"], row["width"]]).all()
    assert not np.isnan(row["mean"])


def test_nothing_to_compare_with_is_one_line_before_and_no_row_after():
    rounds = curves().rename(columns={"strategy": "frozen"}).replace({"frozen": {"bald": 2, "random": -2}})
    protocols = [SimpleNamespace(frozen=level) for level in (2, -2)]
    with refused("frozen=0", "2 or -2"):
        plans.comparable(protocols, "frozen", 0)
    with refused("frozen=2", "alone"):
        plans.comparable(protocols[:1], "frozen", 2)
    for runs in (rounds, rounds.iloc[:0], only(rounds, frozen=2)):  # as where the others failed or are not published
        found = statistics.paired_difference(runs, "accuracy", "frozen", 0, ["task"])
        assert found.columns.tolist() == ["task", "frozen", "runs", "mean", "low", "high", "width"]
        assert found.empty


LAYERS = [("embeddings", pd.NA, "encoder"), ("encoder 0", 0, "encoder"), ("encoder 1", 1, "encoder")]
LAYERS += [("convolution 3", 2, "decoder"), ("batch norm", pd.NA, "decoder"), ("output", 3, "decoder")]


def layers(seeds=3, unmoved=("embeddings", "encoder 0")) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = [
        {"task": "qnli", "strategy": strategy, "seed": seed, "layer": layer, "number": number, "part": part}
        | {"mean": 0.0 if layer in unmoved else rng.uniform(1e-5, 1e-3)}
        for strategy in ("bald", "random")
        for seed in range(seeds)
        for layer, number, part in LAYERS
    ]
    return pd.DataFrame(rows).astype({"number": "Int64"})


@pytest.mark.parametrize("seeds", [1, 3])
def test_layers_are_compared_within_a_seed_in_percent_of_random(seeds):
    changes = layers(seeds)
    table = statistics.relative_layer_differences(changes)
    assert [tuple(row) for row in table[["layer", "part"]].to_numpy()] == [(layer, part) for layer, _, part in LAYERS]
    assert table["number"].isna().tolist() == [True, False, False, False, True, False]
    assert table["number"].dropna().tolist() == [0, 1, 2, 3]
    mean = changes.set_index(["layer", "strategy", "seed"])["mean"]
    for row in table.to_dict("records"):
        percents = []
        for seed in range(seeds):
            bald, random = mean[row["layer"], "bald", seed], mean[row["layer"], "random", seed]
            percents.append(0 if bald == random == 0 else 100 * (bald / random - 1))
        assert row["runs"] == seeds
        assert row["mean"] == pytest.approx(sum(percents) / seeds)
        if seeds == 1:
            assert np.isnan([row["low"], row["high"]]).all()
        elif row["layer"] in ("embeddings", "encoder 0"):
            assert (row["low"], row["high"]) == (0, 0)
        else:
            expected = stats.ttest_1samp(percents, 0).confidence_interval(0.95)
            assert (row["low"], row["high"]) == pytest.approx(tuple(expected))


# ---- what is there twice, correlations, equivalence


TWICE = "accuracy is there twice for"


@pytest.mark.parametrize(
    "read",
    [
        lambda table: statistics.wide(table, ["task", "seed", "labelled"], "strategy", "accuracy"),
        lambda table: statistics.paired_difference(table, "accuracy", "strategy", "random", ["task", "labelled"]),
        lambda table: statistics.area_under_curve(table, ["task", "strategy", "seed"]),
        lambda table: statistics.gains(table, ["task", "strategy", "seed"]),
    ],
)
def test_two_runs_in_one_place_are_refused_and_not_averaged(read):
    table = curves()
    read(table)
    refused(lambda: read(pd.concat([table, table.tail(1)])), TWICE, "give runs that differ in one of")


def test_layers_of_two_runs_of_a_seed_are_refused():
    keys = {"task": "qnli", "layer": "a", "number": 0, "part": "encoder", "seed": 0}
    layers = pd.DataFrame([{**keys, "strategy": name, "mean": 1.0} for name in ("bald", "random", "random")])
    statistics.relative_layer_differences(layers.head(2))
    refused(lambda: statistics.relative_layer_differences(layers), "mean is there twice for task=qnli, layer=a")


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_interval_of_a_mean_correlation_holds_the_true_one_nineteen_times_in_twenty(rho):
    rng = np.random.default_rng(0)
    studies, seeds, rows = 1000, 5, 40
    x, noise = rng.normal(size=(2, studies, seeds, rows))
    y = rho * x + math.sqrt(1 - rho**2) * noise
    ranks = [stats.rankdata(values, axis=-1) for values in (x, y)]
    centred = [values - values.mean(-1, keepdims=True) for values in ranks]
    spearman = (centred[0] * centred[1]).mean(-1) / (ranks[0].std(-1) * ranks[1].std(-1))
    true = 6 / math.pi * math.asin(rho / 2)  # of Spearman's ρ, for normal x and y
    numbers = np.repeat(np.arange(studies), seeds)
    table = pd.DataFrame({"study": numbers, "rho": spearman.ravel(), "rows": rows})
    found = statistics.mean_correlations(table, ["study"])
    assert 0.925 <= ((found["low"] < true) & (true < found["high"])).mean() <= 0.97
    assert found[["low", "high"]].abs().max(axis=None) < 1
    assert found["runs"].eq(seeds).all()
    first = np.arctanh(spearman[0])
    assert found.iloc[0]["mean"] == pytest.approx(np.tanh(first.mean()))
    expected = stats.ttest_1samp(first, 0).confidence_interval(0.95)
    assert tuple(found.iloc[0][["low", "high"]]) == pytest.approx(tuple(np.tanh(expected)))


def test_a_perfect_correlation_has_a_finite_z_and_the_next_possible_one_a_smaller():
    for rows in (3, 10, 1000):
        perfect, next_, none = statistics.fisher_z([1, 1 - 12 / (rows**3 - rows), 0], rows)  # two neighbours swapped
        assert np.isfinite(perfect)
        assert perfect > next_ > none == 0
        assert statistics.fisher_z(-1, rows) == -perfect
    assert np.isnan(statistics.fisher_z(np.nan, 10))


def test_a_correlation_that_no_seed_has_stays_unknown():
    table = pd.DataFrame({"class": "a", "rho": [np.nan, 0.5, 0.7], "rows": 10})
    assert statistics.mean_correlations(table, ["class"])["runs"].tolist() == [2]
    assert statistics.mean_correlations(table.assign(rho=np.nan), ["class"])["mean"].isna().all()


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent(seeds):
    rng = np.random.default_rng(seeds)
    theirs = rng.normal(0.7, 0.02, (1000, seeds))
    for spread in (0.001, 0.005, 0.02):
        ours = theirs + rng.normal(0.01, spread, (1000, seeds))
        p = [statistics.equivalence(*pair, 0.01) for pair in zip(ours, theirs, strict=True)]
        assert np.mean(np.array(p) <= 0.025) <= 0.04
        if spread == 0.001:
            assert np.mean(np.array(p) <= 0.025) >= 0.01


def test_noise_is_no_equivalence_and_ten_seeds_show_it_four_times_in_five():
    rng = np.random.default_rng(0)
    for seeds, spread, least, most in ((3, 0.008, 0.0, 0.15), (10, 0.008, 0.8, 1.0), (10, 0.03, 0.0, 0.01)):
        p = [statistics.equivalence(ours, np.zeros(seeds), 0.01) for ours in rng.normal(0, spread, (1000, seeds))]
        assert least <= np.mean(np.array(p) <= 0.025) <= most


def test_equivalence_is_the_interval_within_the_margin():
    rng = np.random.default_rng(1)
    for _ in range(200):
        ours = rng.normal(rng.choice([-0.006, 0.0, 0.004]), 0.004, rng.choice([3, 5, 10]))
        low, high = statistics.t_interval(ours)
        assert (statistics.equivalence(ours, np.zeros(len(ours)), 0.01) <= 0.025) == (max(-low, high) <= 0.01)
    assert statistics.equivalence([0.5, 0.75], [0.5, 0.75], 0.01) == 0
    assert statistics.equivalence([0.75, 0.75], [0.5, 0.5], 0.01) == 1


# ---- the paper's numbers, as its text prints them

TASKS = ("mnli", "qnli", "sst2", "snli")
TABLE_1 = """
0 0.53±0.021 0.76±0.010 0.78±0.059 0.67±0.015
3 0.51±0.021 0.78±0.003 0.80±0.045 0.69±0.002
-3 0.52±0.010 0.78±0.002 0.84±0.013 0.69±0.008
6 0.51±0.024 0.75±0.014 0.81±0.006 0.63±0.014
-6 0.47±0.020 0.77±0.010 0.64±0.094 0.64±0.067
"""
TABLE_2 = """
0 0.054 0.049 0.108 0.061
3 0.043 0.032 0.078 0.032
-3 0.038 0.024 0.047 0.028
6 0.050 0.033 0.071 0.082
-6 0.050 0.050 0.113 0.161
"""
TABLE_3 = """
110 13 30 3 4
210 19 24 3 2
310 20 16 1 2
410 29 18 2 2
510 30 36 9 4
610 28 40 6 6
710 37 44 3 2
810 34 44 4 4
910 25 36 9 4
"""


def printed(table: str):
    """First number of each line → the others, as text."""
    lines = [line.split() for line in table.strip().splitlines()]
    return {int(first): others for first, *others in lines}


def test_the_papers_table_1_is_the_papers():
    ours = statistics.paper(1).set_index(["frozen", "task"])
    assert len(ours) == 20
    for frozen, cells in printed(TABLE_1).items():
        for task, cell in zip(TASKS, cells, strict=True):
            row = ours.loc[(frozen, task)]
            assert (row["value"], row["half_width"]) == tuple(map(float, cell.split("±")))
            assert (row["strategy"], row["labelled"], row["page"]) == ("bald", 910, 7)


def test_the_papers_table_2_is_the_papers():
    ours = statistics.paper(2).set_index(["frozen", "task"])["value"]
    assert len(ours) == 20
    for frozen, cells in printed(TABLE_2).items():
        assert [ours[frozen, task] for task in TASKS] == [float(cell) for cell in cells]


def test_the_papers_table_3_is_the_papers():
    ours = statistics.paper(3).set_index(["labelled", "strategy", "task"])["value"]
    assert len(ours) == 36
    columns = [("bald", "mnli"), ("bald", "qnli"), ("random", "mnli"), ("random", "qnli")]
    for labelled, cells in printed(TABLE_3).items():
        assert [ours[labelled, *column] for column in columns] == [int(cell) for cell in cells]


@pytest.mark.parametrize(("number", "text"), [(1, TABLE_1), (2, TABLE_2), (3, TABLE_3)])
def test_the_papers_tables_are_shown_as_they_are_printed(number, text):
    shown = statistics.papers_table(number)
    assert [str(first) for first in shown.iloc[:, 0]] == [line.split()[0] for line in text.strip().splitlines()]
    for (_, row), (_, cells) in zip(shown.iterrows(), printed(text).items(), strict=True):
        ours = [[float(part) for part in cell.split(" ± ")] for cell in row.iloc[1:]]
        assert ours == [[float(part) for part in cell.split("±")] for cell in cells]


def test_the_papers_table_4_is_the_papers():
    ours = statistics.paper(4)
    assert ours["value"].tolist() == [-8.2e8, -5.9e8, 6.2e8, 8.6e8, 5.2e8]
    assert ours["queried"].tolist() == ["no", "no", "yes", "yes", "yes"]
    assert (ours["labelled"] == 510).all()


def test_the_papers_f_freezes_about_the_same_share_of_layers():
    six = {F: statistics.papers_frozen(F, 6) for F in (0, 2, -2, 3, -3, 6)}
    assert six == {0: 0, 2: 3, -2: -3, 3: 6, -3: -6, 6: None}
    assert {F: statistics.papers_frozen(F, 12) for F in (0, 3, -3, 6, -6, 9)} == {
        **{F: F for F in (0, 3, -3, 6, -6)},
        9: None,
    }


def test_our_table_1_stands_beside_the_papers():
    ours = [("sst2", -2), ("reviews", -2), ("snli", 3), ("sst2", 6), ("mnli", 0)]
    table = pd.DataFrame(ours, columns=["task", "frozen"]).assign(runs=3, mean=0.5, low=0.4, high=0.7, width=0.3)
    beside = statistics.beside_paper(table, 1, layers=6)
    pd.testing.assert_frame_equal(beside[["task", "frozen", "runs", "mean"]], table[["task", "frozen", "runs", "mean"]])
    assert beside["half_width"].tolist() == [0.15] * 5
    assert beside["paper"].fillna(-1).tolist() == [0.84, -1, 0.63, -1, 0.53]
    assert beside["paper_frozen"].fillna(-1).tolist() == [-3, -1, 6, -1, 0]
    assert beside["paper_half_width"].fillna(-1).tolist() == [0.013, -1, 0.014, -1, 0.021]
    assert not {"low", "high", "width"} & set(beside)


def test_our_table_2_and_table_3_stand_beside_the_papers():
    table = pd.DataFrame({"task": ["snli", "qnli"], "frozen": [-6, 3], "mean": [0.1, 0.2]})
    assert statistics.beside_paper(table, 2, layers=12)["paper"].tolist() == [0.161, 0.032]
    table = pd.DataFrame({"task": "mnli", "strategy": ["bald", "random", "bald"], "labelled": [410, 910, 10]})
    beside = statistics.beside_paper(table, 3)
    assert beside["paper"].fillna(-1).tolist() == [29, 9, -1]
    assert "paper_half_width" not in beside


def test_a_table_of_other_tasks_has_no_empty_columns_of_the_paper():
    table = pd.DataFrame({"task": ["reviews"], "frozen": [2], "mean": [0.1]})
    assert list(statistics.beside_paper(table, 1, layers=6)) == ["task", "frozen", "mean"]

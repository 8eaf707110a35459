"""What a strategy picked: class counts, tables 3 and 4, word overlap and rank correlations, against plain recounts."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from helpers import refused, script
from scipy import stats

from lib.analysis import qualitative
from lib.data import study_rows
from lib.data.tasks import read_texts
from lib.data.words import overlap
from lib.runs import plans, sweep
from lib.runs.results import Run

subsets = script("subsets")


@pytest.fixture(scope="module")
def study(tiny_protocol, tiny_hub, tmp_path_factory):
    """Two seeds of BALD and random on single sentences and on pairs. → protocols, rounds, texts, store"""
    store = tmp_path_factory.mktemp("qualitative")
    combinations = [
        (task, strategy, seed) for task in ("sst2", "mnli") for strategy in ("bald", "random") for seed in (0, 1)
    ]
    protocols = [tiny_protocol(task=task, strategy=strategy, seed=seed) for task, strategy, seed in combinations]
    texts = {task: read_texts(task, tiny_hub) for task in ("sst2", "mnli")}
    return protocols, sweep(protocols, store), texts, store


def counted(rows: list[tuple], columns=("labelled", "class", "rows")) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns).assign(task="t", strategy="bald", seed=0)


# ---- classes of T


def test_class_counts_are_a_recount_of_the_labelled_rows(study):
    _, rounds, texts, _ = study
    counts = qualitative.class_counts(rounds, {task: read.labels for task, read in texts.items()})
    assert len(counts) == sum(len(texts[task].labels) for task in rounds["task"])
    for (task, strategy, seed), run in rounds.groupby(["task", "strategy", "seed"]):
        labelled = list(range(10))
        for round_ in run.sort_values("round").to_dict("records"):
            names = Counter(texts[task].labels[texts[task].train[row][-1]] for row in labelled)
            ours = counts[(counts["task"] == task) & (counts["strategy"] == strategy) & (counts["seed"] == seed)]
            ours = ours[ours["round"] == round_["round"]]
            assert dict(zip(ours["class"], ours["rows"], strict=True)) == {c: names[c] for c in texts[task].labels}
            assert set(ours["labelled"]) == {len(labelled)}
            labelled += round_["picked"]


def test_the_spread_is_the_largest_class_minus_the_smallest():
    counts = counted([(10, "a", 3), (10, "b", 3), (10, "c", 4), (30, "a", 20), (30, "b", 0), (30, "c", 10)])
    spread = qualitative.class_spread(pd.concat([counts, counts.assign(seed=1, rows=counts["rows"] * 2)]))
    assert spread[["seed", "labelled", "spread"]].to_numpy().tolist() == [
        [0, 10, 1],
        [0, 30, 20],
        [1, 10, 2],
        [1, 30, 40],
    ]


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ([(3, 2), (5, 4), (9, 8)], 0),
        ([(3, 2), (4, 5), (9, 8)], 2),
        ([(3, 2), (5, 5), (9, 8)], 0),  # a tied class keeps its lead
        ([(3, 2), (5, 5), (6, 9)], 1),
        ([(3, 3), (4, 5), (6, 7)], 0),  # at first nobody leads
        ([(3, 3), (5, 4), (6, 7)], 1),
        ([(4, 2)], 0),
    ],
)
def test_changes_of_the_largest_class(sizes, changes):
    rows = [(10 * (i + 1), name, size) for i, pair in enumerate(sizes) for name, size in zip("ab", pair, strict=True)]
    counts = counted(rows).sample(frac=1, random_state=1)
    other = counts.assign(seed=1, rows=7)  # always tied
    table = qualitative.largest_class_changes(pd.concat([counts, other])).set_index("seed")
    assert table["changes"].to_dict() == {0: changes, 1: 0}


def test_rank_correlations_are_scipys_in_each_group():
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"seed": rng.integers(2, size=60), "class": rng.choice(["x", "y"], 60)})
    table["overlap"] = rng.integers(5, size=60) / 4  # with ties
    table["bald"] = table["overlap"] * rng.random(60)
    correlations = qualitative.rank_correlations(table, "overlap", "bald", ["class", "seed"])
    assert len(correlations) == 4
    for row in correlations.to_dict("records"):
        some = table[(table["class"] == row["class"]) & (table["seed"] == row["seed"])]
        assert row["rows"] == len(some)
        assert row["rho"] == pytest.approx(stats.spearmanr(some["overlap"], some["bald"]).statistic)


def test_there_is_no_rank_correlation_where_nothing_varies():
    table = pd.DataFrame(
        {"class": list("aaabbbcc"), "overlap": [1, 2, 3, 1, 1, 1, 1, 2], "bald": [0, 0, 0, 1, 2, 3, 1, 2]}
    )
    assert qualitative.rank_correlations(table, "overlap", "bald", ["class"])["rho"].isna().all()
    nothing = qualitative.rank_correlations(table[:0], "overlap", "bald", ["class"])
    assert list(nothing) == ["class", "rows", "rho"]
    assert nothing.empty


# ---- scored rows


@pytest.mark.parametrize(("after", "scored_round"), [(0, 0), (1, 1), (5, 1)])
def test_scored_rows_are_the_pool_as_scored_after_so_many_acquisitions(after, scored_round, study):
    protocols, _, texts, store = study
    scored = qualitative.scored_rows(protocols, texts, after, store)
    expected = 0
    for protocol in protocols:
        if protocol.strategy == "random":
            continue
        folder = Run(protocol, store).folder
        pool = pd.read_parquet(folder / f"round-{scored_round:02}" / "pool.parquet").set_index("row")
        picked = {row for path in folder.glob("round-*/round.json") for row in json.loads(path.read_text())["picked"]}
        ours = scored[(scored["task"] == protocol.task) & (scored["seed"] == protocol.seed)].set_index("row")
        assert sorted(ours.index) == sorted(pool.index)
        for number, row in ours.iterrows():
            first, *second, label = texts[protocol.task].train[number]
            labels = texts[protocol.task].labels
            assert (row["first"], row["class"]) == (first, labels[label])
            assert row["bald"] == pool["bald"][number]
            assert row["predicted"] == labels[pool["prediction"][number]]
            assert row["queried"] == (number in picked)
            if second:
                assert (row["second"], row["overlap"]) == (second[0], overlap(first, second[0]))
            else:
                assert pd.isna(row["second"])
                assert pd.isna(row["overlap"])
        expected += len(pool)
    assert len(scored) == expected


@pytest.fixture
def listed(tiny_protocol, tiny_hub, tmp_path, monkeypatch):
    """Runs of tasks whose rows are the study's, which are listed. → protocols, texts, store"""
    monkeypatch.setattr(study_rows, "FOLDER", tmp_path / "lists")
    caches = study_rows.pinned, study_rows.facts
    for cache in caches:
        cache.cache_clear()
    for task in ("sst2", "mnli"):
        monkeypatch.setitem(subsets.PINNED, task, (200, 60))
        subsets.write(task, tiny_hub)
    protocols = [tiny_protocol(task=task, rows="study", rounds=1) for task in ("sst2", "mnli")]
    sweep(protocols, tmp_path / "store")
    yield protocols, {task: read_texts(task, tiny_hub) for task in ("sst2", "mnli")}, tmp_path / "store"
    for cache in caches:
        cache.cache_clear()


def test_without_texts_the_studys_rows_have_all_but_their_texts(listed):
    protocols, texts, store = listed
    whole = qualitative.scored_rows(protocols, texts, 5, store)
    assert set(whole["task"]) == {"sst2", "mnli"}
    without = qualitative.scored_rows(protocols, {}, 5, store)
    same = [column for column in qualitative.SCORED if column not in ("first", "second")]
    pd.testing.assert_frame_equal(without[same], whole[same])
    assert without[["first", "second"]].isna().all(axis=None)
    half = qualitative.scored_rows(protocols, {"mnli": texts["mnli"]}, 5, store)
    pd.testing.assert_frame_equal(half[same], whole[same])
    assert half.groupby("task")["first"].count().to_dict() == {"mnli": 50, "sst2": 0}


def test_examples_without_texts_are_told_by_the_numbers_of_their_rows(listed):
    protocols, texts, store = listed
    for given in ({}, {"mnli": texts["mnli"]}):
        table = qualitative.extremes(qualitative.scored_rows(protocols, given, 5, store), 2)
        shown = ["first", "second"] if given else []
        assert list(table) == ["task", "queried", "bald", *shown, "row", "overlap", "class", "predicted"]
        for row in table.to_dict("records"):
            *words, label = texts[row["task"]].train[row["row"]]
            assert row["class"] == texts[row["task"]].labels[label]
            assert pd.isna(row["overlap"]) if len(words) == 1 else row["overlap"] == overlap(*words)


def test_without_texts_rows_that_are_not_the_studys_are_left_out(study):
    protocols, _, texts, store = study
    scored = qualitative.scored_rows(protocols, {"mnli": texts["mnli"]}, 5, store)
    assert set(scored["task"]) == {"mnli"}


def test_random_alone_has_no_scored_rows(study):
    protocols, _, texts, store = study
    unscored = [protocol for protocol in protocols if protocol.strategy == "random"]
    scored = qualitative.scored_rows(unscored, texts, 5, store)
    assert scored.empty
    assert qualitative.rank_correlations(scored, "overlap", "bald", ["task", "class"]).empty
    assert qualitative.extremes(scored, 2).empty


def test_mistakes_are_one_line(study):
    protocols, *_ = study
    with refused("after=-1", "0 or more"):
        plans.readable(protocols, -1, 2)
    with refused("examples=0", "1 or more"):
        plans.readable(protocols, 5, 0)
    assert plans.readable(protocols, 0, 1) == protocols


def test_extremes_are_the_lowest_and_the_highest_scores_of_each_class(study):
    protocols, _, texts, store = study
    scored = qualitative.scored_rows(protocols, texts, 5, store)
    scored = scored[scored["seed"] == 0]
    table = qualitative.extremes(scored, 2)
    assert list(table) == ["task", "queried", "bald", "first", "second", "class", "predicted"]
    assert len(table) == (2 + 3) * 4
    for (task, name), some in table.groupby(["task", "class"]):
        scores = sorted(scored[(scored["task"] == task) & (scored["class"] == name)]["bald"])
        assert some["bald"].tolist() == scores[:2] + scores[-2:]
        for row in some.to_dict("records"):
            same = scored[(scored["task"] == task) & (scored["first"] == row["first"])]
            assert row["queried"] in set(same["queried"])
            assert row["predicted"] in set(same["predicted"])


def test_examples_of_a_small_class_are_shown_once(study):
    protocols, _, texts, store = study
    scored = qualitative.scored_rows(protocols[:1], texts, 5, store)
    few = scored.groupby("class").head(3)
    assert len(qualitative.extremes(few, 2)) == len(few.drop_duplicates(["first", "bald"]))
    assert "second" not in qualitative.extremes(few, 2)  # single sentences


def test_the_papers_random_gaps_stand_beside_those_of_coins_and_three_sided_dice():
    table = qualitative.papers_random_and_fair_draws().set_index(["task", "labelled"])
    rng = np.random.default_rng(0)
    for task, classes in (("qnli", 2), ("mnli", 3)):
        sizes = table.loc[task].index
        steps = rng.multinomial(100, [1 / classes] * classes, (2000, len(sizes)))
        steps[:, 0] += rng.multinomial(10, [1 / classes] * classes, 2000)
        gaps = np.ptp(steps.cumsum(1), axis=-1)
        np.testing.assert_allclose(table.loc[task, "mean"], gaps.mean(0), rtol=0.06)
        as_even = (gaps.mean(1) <= table.loc[task, "paper"].mean()).mean()
        assert table.loc[task, "as_even"].nunique() == 1
        assert table.loc[task, "as_even"].iloc[0] == pytest.approx(as_even, abs=0.005)
    assert (table.loc[("qnli", 910), "paper"], table.loc[("mnli", 910), "paper"]) == (4, 9)


def test_lengths_are_a_row_for_each_acquisition_and_say_how_much_longer_picks_are(study):
    protocols, rounds, _, _ = study
    lengths = qualitative.lengths(rounds)
    assert len(lengths) == sum(protocol.rounds for protocol in protocols)
    for row in lengths.itertuples():
        (record,) = rounds[(rounds["run"] == row.run) & (rounds["round"] == row.round)]["lengths"]
        assert row.longer == record["picked"] / record["pool"]
        assert np.isnan(row.rho) if row.strategy == "random" else row.rho == record["rho"]
    assert qualitative.lengths(rounds.iloc[:0]).empty

"""Labels saved, fine-tuning against the baseline, macro-F1: tables compared with slow, obvious countings."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from lib.analysis import worth

SIZES = (10, 110, 210, 310)
# accuracy of (strategy, seed) at each of SIZES
ACCURACIES = {
    ("random", 0): (0.5, 0.6, 0.65, 0.7),
    ("random", 1): (0.5, 0.55, 0.7, 0.68),
    ("bald", 0): (0.5, 0.71, 0.69, 0.72),
    ("bald", 1): (0.5, 0.52, 0.60, 0.66),
}


def rounds(accuracies=ACCURACIES, **columns) -> pd.DataFrame:
    rows = [
        {"task": "sst2", "strategy": strategy, "seed": seed, "labelled": size, "accuracy": accuracy}
        for (strategy, seed), curve in accuracies.items()
        for size, accuracy in zip(SIZES, curve, strict=True)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_the_labels_needed_are_the_first_size_at_which_randoms_last_accuracy_is_reached():
    table = worth.labels_needed(rounds()).set_index(["strategy", "seed"])
    assert table["target"].to_dict() == {("random", 0): 0.7, ("random", 1): 0.68, ("bald", 0): 0.7, ("bald", 1): 0.68}
    # BALD's first seed reaches 0.7 at 110 (that it falls again does not matter); its second never does: one batch more
    assert table["labels"].to_dict() == {("random", 0): 310, ("random", 1): 210, ("bald", 0): 110, ("bald", 1): 410}
    assert table.index[~table["reached"]].to_list() == [("bald", 1)]


def test_the_order_of_rounds_in_the_table_changes_nothing():
    shuffled = rounds().sample(frac=1, random_state=0)
    keys = ["strategy", "seed"]
    expected = worth.labels_needed(rounds()).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(worth.labels_needed(shuffled).sort_values(keys, ignore_index=True), expected)


def test_a_seed_that_random_lacks_needs_no_labels():
    some = {key: curve for key, curve in ACCURACIES.items() if key != ("random", 1)}
    assert worth.labels_needed(rounds(some))["seed"].unique().tolist() == [0]
    assert not len(worth.labels_needed(rounds().query("strategy == 'bald'")))


def test_labels_saved_have_the_interval_of_scipys_paired_test():
    three = ACCURACIES | {("random", 2): (0.5, 0.55, 0.60, 0.65), ("bald", 2): (0.5, 0.66, 0.60, 0.66)}
    saved = worth.labels_saved(worth.labels_needed(rounds(three)))
    [row] = saved.to_dict("records")
    test = stats.ttest_rel([310, 210, 310], [110, 410, 110]).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((test.low, test.high))
    assert {name: row[name] for name in ("strategy", "runs", "labels", "random's labels", "saved", "reached")} == {
        "strategy": "bald",
        "runs": 3,
        "labels": 210,
        "random's labels": pytest.approx(830 / 3),
        "saved": pytest.approx(200 / 3),
        "reached": "2 of 3",
    }


def test_macro_f1_is_the_mean_of_each_class_counted_by_hand():
    validation = pd.DataFrame({"label": [0, 0, 0, 1, 1, 2], "prediction": [0, 0, 1, 1, 0, 1], "run": "a", "round": 3})
    scores = []
    for c in range(3):
        right = ((validation["label"] == c) & (validation["prediction"] == c)).sum()
        called, there = (validation["prediction"] == c).sum(), (validation["label"] == c).sum()
        scores.append(2 * right / (called + there))
    table = pd.DataFrame({"run": ["a", "a"], "round": [3, 4]})
    found = worth.with_macro_f1(table, validation)["macro_f1"]
    assert found[0] == pytest.approx(np.mean(scores))
    assert np.isnan(found[1])  # a round whose predictions are not there


def test_fine_tuning_is_compared_with_the_baseline_of_the_same_run_and_size():
    table = rounds()
    below = table["accuracy"] - 0.1 * (1 + table["seed"])
    table = table.assign(baseline_accuracy=below, baseline_macro_f1=0.4, macro_f1=0.5)
    found = worth.against_baseline(table[table["strategy"] == "random"], ["task", "labelled"])
    assert found["mean"].to_numpy() == pytest.approx(np.full(len(SIZES), 0.15))
    assert found["labelled"].to_list() == list(SIZES)
    means = worth.values(table, ["strategy", "labelled"])
    assert means["macro_f1"].to_numpy() == pytest.approx(np.full(len(means), 0.5))
    assert means["baseline"].to_numpy() == pytest.approx(means["mean"].to_numpy() - 0.15)


def test_baselines_stand_beside_the_rounds_of_their_run_whether_or_not_it_has_an_old_one():
    old = pd.DataFrame({"run": "old", "round": [0, 1], "accuracy": 0.9, "baseline": [{"accuracy": 0.1}] * 2})
    table = pd.concat([old, pd.DataFrame({"run": "new", "round": [1, 0], "accuracy": 0.8})], ignore_index=True)
    found = pd.DataFrame({"run": ["new", "new", "old"], "round": [0, 1, 1], "accuracy": [0.3, 0.4, 0.5]})
    found = found.assign(baseline="logistic regression", macro_f1=0.2)
    found = pd.concat([found, found.assign(baseline="another", accuracy=0.0)])
    beside = worth.with_baseline(table, found)
    assert beside["baseline_accuracy"].to_list() == pytest.approx([np.nan, 0.5, 0.4, 0.3], nan_ok=True)
    assert worth.baseline_curves(beside)["accuracy"].to_list() == [0.5, 0.4, 0.3]


def test_the_interval_of_an_accuracy_ends_at_one():
    table = rounds()
    table = pd.concat([table, table[table["seed"] == 1].assign(seed=2)])
    table = table.assign(accuracy=np.where(table["seed"] == table["seed"].min(), 0.9, 1.0))
    means = worth.values(table.assign(macro_f1=0.5), ["strategy", "labelled"])
    assert (means["high"] == 1).all()
    assert means["low"].between(0, 0.99).all()


@pytest.mark.parametrize(
    "columns", [{}, {"baseline_accuracy": np.nan, "baseline_macro_f1": np.nan}], ids=["no column", "no values"]
)
def test_runs_without_a_baseline_have_no_line_and_no_row(columns):
    assert not len(worth.baseline_curves(rounds(**columns)))
    assert not len(worth.against_baseline(rounds(**columns), ["task", "labelled"]))
    assert not len(worth.baseline_curves(rounds(**columns).iloc[:0]))


def guessed(right: float, seeds=3, classes=2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rounds and validation rows of runs of which a share is right about every class, the last round alone."""
    rng = np.random.default_rng(8)
    told, validation = [], []
    for seed, strategy in itertools.product(range(seeds), ("bald", "random")):
        run = f"{strategy}{seed}"
        told += [{"task": "own", "strategy": strategy, "run": run, "round": n, "labelled": (10, 20)[n]} for n in (0, 1)]
        label = np.repeat(range(classes), [900] + [100] * (classes - 1))  # uneven
        other = (label + rng.integers(1, classes, len(label))) % classes
        prediction = np.where(rng.random(len(label)) < right, label, other)
        validation += [pd.DataFrame({"run": run, "round": n, "label": label, "prediction": prediction}) for n in (0, 1)]
    return pd.DataFrame(told), pd.concat(validation, ignore_index=True)


@pytest.mark.parametrize(("right", "classes"), [(0.5, 2), (0.8, 2), (0.25, 4), (0.6, 4)])
def test_recall_is_the_mean_over_classes_and_shows_whether_anything_was_learnt(right, classes):
    told, validation = guessed(right, classes=classes)
    [row] = worth.recalls(told, validation).to_dict("records")
    assert (row["task"], row["labelled"], row["guess"]) == ("own", 20, 1 / classes)
    last = [some for (_, n), some in validation.groupby(["run", "round"]) if n == 1]
    slow = [
        np.mean([np.mean(some.loc[some["label"] == c, "prediction"] == c) for c in range(classes)]) for some in last
    ]
    assert row["mean"] == pytest.approx(np.mean(slow))
    assert (row["p"] < 0.05) == (right > 1 / classes)


def test_two_repetitions_that_differ_do_not_hide_what_each_has_learnt():
    """Right about 72 % and 90 % of 748 rows: the t interval of two such numbers reaches below a guess."""
    told, some = guessed(0.72, seeds=1)
    again, others = guessed(0.9, seeds=1)
    others["run"], again["run"] = others["run"] + "b", again["run"] + "b"
    [row] = worth.recalls(pd.concat([told, again]), pd.concat([some, others])).to_dict("records")
    assert row["p"] < 0.01


def test_a_guess_is_called_learnt_as_rarely_as_the_level_says():
    rng = np.random.default_rng(1)
    told, _ = guessed(0.5)
    places = told[["run", "round"]].drop_duplicates()
    p = []
    for _ in range(100):
        label = np.repeat([0, 1, 2], [30, 10, 3])
        validation = pd.concat(
            pd.DataFrame({"run": run, "round": n, "label": label, "prediction": rng.choice(3, 43, p=[0.5, 0.3, 0.2])})
            for run, n in places.itertuples(index=False)
        )
        p += worth.recalls(told, validation)["p"].tolist()
    assert np.mean(np.array(p) <= 0.05) <= 0.09


@pytest.mark.parametrize("rows", [1, 12])
def test_p_is_that_of_scipys_permutation_test(rows):
    rng = np.random.default_rng(rows)
    label, prediction = rng.integers(3, size=(2, rows))
    recall, p = worth.guesses(label, prediction)

    def statistic(one, other):
        return recall_score(one, other, average="macro", labels=np.unique(one), zero_division=0)

    assert recall == pytest.approx(statistic(label, prediction))
    if rows > 1:
        test = stats.permutation_test(
            (prediction,),
            lambda some: statistic(label, some),
            permutation_type="pairings",
            alternative="greater",
            n_resamples=2000,
            rng=0,
        )
        assert p == pytest.approx(test.pvalue, abs=0.04)
    else:
        assert p == 1


def test_labels_saved_of_two_seeds_have_no_interval():
    [row] = worth.labels_saved(worth.labels_needed(rounds())).to_dict("records")
    assert row["runs"] == 2
    assert np.isnan([row["low"], row["high"]]).all()

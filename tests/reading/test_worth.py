"""Labels saved, fine-tuning against the baseline, macro-F1: tables compared with slow, obvious countings."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.reading import worth

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
    saved = worth.labels_saved(worth.labels_needed(rounds()))
    [row] = saved.to_dict("records")
    test = stats.ttest_rel([310, 210], [110, 410]).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((test.low, test.high))
    assert {name: row[name] for name in ("strategy", "runs", "labels", "random's labels", "saved", "reached")} == {
        "strategy": "bald",
        "runs": 2,
        "labels": 260,
        "random's labels": 260,
        "saved": 0,
        "reached": "1 of 2",
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
    below = [
        {"accuracy": accuracy - 0.1 * (1 + seed), "macro_f1": 0.4}
        for accuracy, seed in table[["accuracy", "seed"]].values
    ]
    table = table.assign(baseline=below, macro_f1=0.5)
    found = worth.against_baseline(table[table["strategy"] == "random"], ["task", "labelled"])
    assert found["mean"].to_numpy() == pytest.approx(np.full(len(SIZES), 0.15))
    assert found["labelled"].to_list() == list(SIZES)
    means = worth.values(table, ["strategy", "labelled"])
    assert means["macro_f1"].to_numpy() == pytest.approx(np.full(len(means), 0.5))
    assert means["baseline"].to_numpy() == pytest.approx(means["mean"].to_numpy() - 0.15)


def test_the_interval_of_an_accuracy_ends_at_one():
    table = rounds()
    table = table.assign(accuracy=np.where(table["seed"] == table["seed"].min(), 0.9, 1.0))
    means = worth.values(table.assign(macro_f1=0.5), ["strategy", "labelled"])
    assert (means["high"] == 1).all()
    assert means["low"].between(0, 0.99).all()


@pytest.mark.parametrize("columns", [{}, {"baseline": None}], ids=["no column", "no values"])
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
    means = {}
    for strategy in ("bald", "random"):
        runs = [validation[(validation["run"] == f"{strategy}{n}") & (validation["round"] == 1)] for n in range(3)]
        slow = [
            np.mean([np.mean(some.loc[some["label"] == c, "prediction"] == c) for c in range(classes)]) for some in runs
        ]
        half = stats.t.ppf(0.975, 2) * np.std(slow, ddof=1) / np.sqrt(3)
        means[np.mean(slow) - half] = np.mean(slow)
    assert (row["low"], row["mean"]) == pytest.approx(max(means.items()))
    assert (row["low"] > row["guess"]) == (right > 1 / classes)

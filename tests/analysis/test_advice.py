"""What is learnt is said as the tables have it: the side, the tasks, the numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.analysis import advice
from lib.analysis.statistics import t_interval
from lib.analysis.wording import NOTHING


def differences(*rows: tuple) -> pd.DataFrame:
    """task, mean, low, high of BALD minus random over five runs."""
    table = pd.DataFrame(rows, columns=["task", "mean", "low", "high"])
    return table.assign(strategy="bald", runs=5, labelled=110, frozen=2)


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [
        (0.02, 0.04, "better"),
        (-0.04, -0.02, "worse"),
        (-0.009, 0.009, "alike"),
        (0.001, 0.009, "alike"),  # certain and negligible: no effect
        (-0.02, 0.009, "unclear"),
        (0.001, 0.02, "better"),
        (float("nan"), float("nan"), "unclear"),  # a single run tells nothing
    ],
)
def test_each_interval_has_one_side(low, high, side):
    found = advice.sides(differences(("sst2", 0.0, low, high)))
    assert [name for name, tasks in found.items() if tasks] == [side]


def test_a_strategy_that_helps_on_one_task_and_harms_on_another_is_said_in_one_sentence():
    said = advice.say_area(differences(("sst2", 0.023, 0.008, 0.039), ("trec", -0.037, -0.063, -0.011)))
    assert said.startswith("BALD is better than random on SST-2 (+0.023) and is worse than random on TREC (−0.037).")
    assert "over 5 seeds" in said


def test_where_runs_cannot_tell_it_is_said_how_many_seeds_would():
    """Against the power of a paired t test by simulation: four studies in five of so many seeds find the difference."""
    rng = np.random.default_rng(0)
    values = np.array([0.06, -0.02, 0.03, 0.0, 0.03])
    low, high = t_interval(values)
    said = advice.say_area(differences(("sst2", values.mean(), low, high)))
    seeds = int(re.search(r"To tell would probably take (\d+) seeds on SST-2\.$", said)[1])
    studies = rng.normal(values.mean(), values.std(ddof=1), (4000, seeds))
    found = np.mean([stats.ttest_1samp(study, 0).pvalue < 0.05 for study in studies])
    assert found == pytest.approx(0.8, abs=0.07)
    clear = advice.say_area(differences(("sst2", 0.023, 0.008, 0.039), ("trec", 0.001, -0.005, 0.007)))
    assert "would probably take" not in clear, "a difference, and none"


def test_two_repetitions_have_a_mean_and_no_side():
    """Their t interval is twelve standard errors wide, whatever the classifier has learnt."""
    two = differences(("own", -0.01, np.nan, np.nan)).assign(runs=2)
    said = advice.say_area(two)
    assert "no clear difference from random on own (−0.010)" in said
    assert "two repetitions: no interval" in said
    assert "excludes zero" not in said


def test_labels_saved_say_both_numbers_and_whether_chance_alone_can_give_them():
    columns = ["task", "strategy", "labels", advice.RANDOMS, "saved", "low", "high", "runs", "reached"]
    rows = [
        ("sst2", "bald", 390, 650, 260, 149, 371, 5, "5 of 5"),
        ("trec", "bald", 850, 670, -180, -316, -44, 5, "5 of 5"),
    ]
    said = advice.say_saved(pd.DataFrame(rows, columns=columns))
    assert "BALD needs 390 labels instead of 650 on SST-2 and 850 labels instead of 670 on TREC." in said
    unsure = pd.DataFrame([("sst2", "bald", 390, 450, 60, -149, 371, 5, "5 of 5")], columns=columns)
    interval = "labels saved: 60, 95 % interval −149 to 371"  # of a task alone
    assert f"390 labels instead of 450 on SST-2 ({interval}; which chance alone can give)" in advice.say_saved(unsure)


def test_where_nothing_was_learnt_this_is_said_in_place_of_a_comparison():
    """As on a file with random labels."""
    columns = ["task", "strategy", "labels", advice.RANDOMS, "saved", "low", "high", "runs", "reached"]
    rows = [("sst2", "bald", 390, 650, 260, 149, 371, 5, "5 of 5"), ("own", "bald", 76, 142, 66, -90, 200, 5, "5 of 5")]
    saved = pd.DataFrame(rows, columns=columns)
    areas = differences(("sst2", 0.023, 0.008, 0.039), ("own", 0.006, -0.02, 0.03))
    columns = ["task", "labelled", "mean", "p", "guess"]
    recalls = pd.DataFrame([("sst2", 910, 0.82, 0.001, 0.5), ("own", 604, 0.51, 0.3, 0.5)], columns=columns)
    said = advice.say_whether_it_pays(areas, saved, recalls)
    assert "On own no run is clearly better than a guess: with 604 labels" in said
    assert "is 0.51, and a guess has 0.50 (" in said
    assert said.endswith(f"{advice.say_area(areas.iloc[:1])} {advice.say_saved(saved.iloc[:1])}")
    alone = advice.say_whether_it_pays(areas.iloc[1:], saved.iloc[1:], recalls.iloc[1:])
    assert alone == said.partition(" BALD is better")[0]
    both = recalls.assign(p=0.001)
    assert advice.say_whether_it_pays(areas, saved, both) == f"{advice.say_area(areas)} {advice.say_saved(saved)}"


def test_a_size_that_no_run_reached_is_not_said_as_a_number_of_labels():
    columns = ["task", "strategy", "labels", advice.RANDOMS, "saved", "low", "high", "runs", "reached"]
    rows = [
        ("mnli", "bald", 1010, 843, -167, -310, 20, 3, "0 of 3"),
        ("sst2", "bald", 700, 650, -50, -90, -9, 3, "2 of 3"),
    ]
    said = advice.say_saved(pd.DataFrame(rows, columns=columns))
    assert "BALD needs at least 700 labels instead of 650 on SST-2" in said
    assert said.endswith("; BALD never gets there on MNLI (random: 843).")
    assert "1010" not in said


def test_the_first_batch_names_every_task_under_its_verdict():
    clear = ("trec", -0.118, -0.191, -0.044), ("own", -0.02, -0.03, -0.01), ("mnli", 0.055, 0.013, 0.097)
    said = advice.say_first_batch(differences(*clear, ("qnli", 0.011, -0.017, 0.03)))
    less, more, unclear = said.split("; ")
    assert "less accurate" in less
    assert "TREC (−0.118" in less
    assert "own (−0.020" in less
    assert "more accurate" in more
    assert "MNLI (+0.055" in more
    assert "not clearly different" in unclear
    assert "QNLI (+0.011" in unclear


def test_a_first_batch_without_an_interval_has_no_verdict():
    said = advice.say_first_batch(differences(("trec", -0.118, float("nan"), float("nan"))))
    assert "TREC (−0.118" in said
    assert "without an interval" in said
    assert "accurate" not in said


def test_of_frozen_layers_the_range_is_said_and_which_differences_are_clear():
    table = pd.concat([differences(("trec", -0.02, -0.03, -0.012)), differences(("sst2", 0.003, -0.005, 0.01))])
    said = advice.say_freezing(table.assign(frozen=[-2, 2]))
    assert "by −0.020 to +0.003; clear is only F = −2 on TREC (−0.020)." in said
    assert "none of these differences is clear" in advice.say_freezing(table[1:])


def test_the_baseline_is_compared_at_few_labels_and_at_the_last_size():
    few, many = differences(("trec", 0.2, 0.1, 0.3)), differences(("trec", 0.001, -0.005, 0.005)).assign(labelled=910)
    said = advice.say_baseline(pd.concat([few.assign(labelled=10), few, many]))
    assert "with 110 random labels fine-tuning is ahead on TREC" in said
    assert "with 910 random labels it makes no difference on TREC" in said


def test_a_rare_class_is_counted_where_there_is_one():
    counts = {("bald", 0): [5, 60], ("bald", 1): [7, 60], ("random", 0): [15, 60], ("random", 1): [17, 60]}
    rows = [
        {
            "task": task,
            "strategy": strategy,
            "seed": seed,
            "labelled": size,
            "class_counts": held if size == 910 else [0, 10],
        }
        | {"pool_counts": [80, 5000] if task == "trec" else [2400, 2600]}
        for task in ("trec", "sst2")
        for (strategy, seed), held in counts.items()
        for size in (10, 910)
    ]
    rounds = pd.DataFrame(rows)
    assert advice.rarest(rounds) == {"trec": {"bald": 6, "random": 16}}
    few = differences(("trec", 0.3, 0.2, 0.4))
    last = differences(("trec", -0.135, -0.162, -0.108), ("sst2", 0.03, -0.001, 0.061)).assign(labelled=910)
    said = advice.say_rare_classes(pd.concat([few, last]), rounds)
    assert "BALD's is below random's on TREC (−0.135)" in said
    assert "these runs cannot tell on SST-2" in said
    assert "6 rows where random has 16 on TREC" in said
    assert "+0.300" not in said
    assert advice.rarest(rounds.drop(columns="pool_counts")) == {}


@pytest.mark.parametrize(
    "say", [advice.say_area, advice.say_saved, advice.say_first_batch, advice.say_baseline, advice.say_freezing]
)
def test_nothing_is_said_of_nothing(say):
    assert say(pd.DataFrame()) == NOTHING


def test_where_one_class_is_most_of_the_rows_the_answer_tells_macro_f1():
    rows = [
        {"task": task, "strategy": strategy, "seed": seed, "labelled": size, "majority": majority}
        | {"macro_f1": 0.5 + 0.1 * (strategy == "bald") + 0.01 * seed * (strategy == "bald") + size / 1000}
        for task, majority in (("trec", 0.3), ("sst2", 0.96))
        for strategy in ("bald", "random")
        for seed in range(3)
        for size in (10, 110, 210)
    ]
    said = advice.say_uneven(pd.DataFrame(rows))
    assert "On SST-2 96 % of the validation rows are of one class" in said
    assert "BALD's minus random's is +0.110, 95 % interval +0.085 to +0.135" in said
    assert "TREC" not in said
    assert advice.say_uneven(pd.DataFrame(rows[:18])) == ""


def test_where_one_batch_teaches_everything_smaller_ones_are_proposed():
    curves = {"trec": (0.3, 0.975, 0.981), "sst2": (0.6, 0.75, 0.8), "qnli": (0.5, 0.51, 0.51)}
    rows = [
        {"task": task, "strategy": strategy, "seed": seed, "labelled": 10 + 100 * place, "majority": 0.5}
        | {"accuracy": accuracy + 0.001 * seed - 0.2 * (strategy == "bald")}
        for task, curve in curves.items()
        for strategy in ("bald", "random")
        for seed in range(3)
        for place, accuracy in enumerate(curve)
    ]
    said = advice.say_saturated(pd.DataFrame(rows))
    assert "On TREC one batch at random teaches almost everything: accuracy 0.976 with 110 labels and 0.982" in said
    assert said.endswith("`-p query 10`.")
    assert "SST-2" not in said, "it goes on learning"
    assert "QNLI" not in said, "it has learnt nothing"
    assert advice.say_saturated(pd.DataFrame(rows[:9])) == "", "no random runs"

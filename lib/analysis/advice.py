"""What is learnt, for somebody who has to decide about labelling: plain sentences, each made from a table.

Numbers stand in the tables of the notebooks; a sentence has the one that matters.
"""

import pandas as pd

from lib.analysis import statistics
from lib.analysis.claims.estimates import of_interval, seeds_needed
from lib.analysis.wording import NOTHING, few, is_clear, listed, named, number, with_interval

RANDOMS = "random's labels"
WITHIN = 0.01  # of accuracy: less does not matter
UNEVEN = 0.8  # share of the most frequent class, from which on accuracy says little


def sides(differences: pd.DataFrame, name: str = "task") -> dict[str, list[str]]:
    """better, worse, alike (the interval within ± WITHIN) or unclear → the levels of a table of paired differences."""
    found = {"better": [], "worse": [], "alike": [], "unclear": []}
    for row in differences.to_dict("records"):
        if row["low"] >= -WITHIN and row["high"] <= WITHIN:
            side = "alike"
        elif row["low"] > 0 or row["high"] < 0:
            side = "better" if row["low"] > 0 else "worse"
        else:
            side = "unclear"
        found[side].append(f"{named(row[name])} ({number(row['mean'])})")
    return found


def say_sides(differences: pd.DataFrame, verbs: dict[str, str]) -> str:
    """One clause for each side that has tasks: verbs: side → words before the tasks."""
    found = sides(differences)
    return "; ".join(f"{verbs[side]} {listed(tasks)}" for side, tasks in found.items() if tasks)


def say_whether_it_pays(differences: pd.DataFrame, saved: pd.DataFrame, recalls: pd.DataFrame) -> str:
    """Does asking the model pay, and how many labels does it save? Tasks on which nothing was learnt are said first.

    What is compared on them are guesses, so that no more is said of them.

    recalls: as lib.analysis.worth.recalls gives them; differences, saved: as `say_area` and `say_saved` take them.
    """
    blind = recalls[recalls["p"] > 1 - statistics.LEVEL]
    said = [
        f"On {named(row['task'])} no run is clearly better than a guess: with {row['labelled']} labels the mean recall "
        f"of the classes is {row['mean']:.2f}, and a guess has {row['guess']:.2f} (validation rows, permutation test: "
        f"p = {row['p']:.2f}). Label more rows first, or check that the texts show the labels."
        for row in blind.to_dict("records")
    ]
    differences, saved = (table[~table["task"].isin(blind["task"])] for table in (differences, saved))
    said += [say_area(differences)] if len(differences) or not said else []
    return " ".join([*said, *([say_saved(saved)] if len(saved) or not said else [])])


def say_area(differences: pd.DataFrame) -> str:
    """Does asking the model pay? differences: of the area under the curve from random's, by task and strategy."""
    if not len(differences):
        return NOTHING
    verbs = {"better": "is better than random on", "worse": "is worse than random on"}
    verbs |= {"alike": "makes no difference on", "unclear": "shows no clear difference from random on"}
    said = []
    for strategy, some in differences.groupby("strategy", sort=False):
        clauses = [f"{verbs[side]} {listed(tasks)}" for side, tasks in sides(some).items() if tasks]
        said.append(f"{named(strategy)} {listed(clauses)}.")
    fewest, most = differences["runs"].min(), differences["runs"].max()
    seeds = "one seed" if most == 1 else f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds"
    what = "the mean accuracy over all sizes of T minus random's"
    rule = "better or worse: its 95 % interval excludes zero"
    if fewest < statistics.FEWEST:
        rule = few(most) if most < statistics.FEWEST else f"{rule}; no interval of fewer than {statistics.FEWEST}"
    brackets = f"(In brackets {what}, over {seeds}; {rule}.)"
    return " ".join([*said, brackets, *say_seeds(differences)])


def say_uneven(rounds: pd.DataFrame) -> str:
    """What macro-F1 says where one class is most of the rows, so that accuracy says little: over all sizes of T."""
    largest = rounds.groupby("task", sort=False)["majority"].mean()
    some = rounds[rounds["task"].isin(largest.index[largest >= UNEVEN])].dropna(subset="macro_f1")
    areas = statistics.area_under_curve(some, ["task", "strategy", "seed"], "macro_f1")
    found = statistics.paired_difference(areas, "area", "strategy", "random", ["task"])
    return " ".join(
        f"On {named(row['task'])} {100 * largest[row['task']]:.0f} % of the validation rows are of one class, so that "
        "accuracy says little. Macro-F1, in which each class counts alike, says more: over all sizes of T "
        f"{named(row['strategy'])}'s minus random's is {with_interval(row)}."
        for row in found.to_dict("records")
    )


def say_saturated(rounds: pd.DataFrame) -> str:
    """Where random is as accurate after its first batch as in the end: batches too large to show who gets there first.

    Tasks on which it is hardly better in the end than the most frequent class are left out.
    """
    said = []
    for task, some in rounds[rounds["strategy"] == "random"].groupby("task", sort=False):
        curve, sizes = some.groupby("labelled")["accuracy"].mean(), sorted(some["labelled"].unique())
        if (
            len(sizes) > 2
            and curve.iloc[1] >= curve.iloc[-1] - WITHIN
            and curve.iloc[-1] > some["majority"].mean() + 0.05
        ):
            smaller = max(1, (sizes[1] - sizes[0]) // 10)
            said.append(
                f"On {named(task)} one batch at random teaches almost everything: accuracy {curve.iloc[1]:.3f} with "
                f"{sizes[1]} labels and {curve.iloc[-1]:.3f} with {sizes[-1]}. Which strategy gets there with fewer "
                f"labels, smaller batches can show: `-p query {smaller}`."
            )
    return " ".join(said)


def say_seeds(differences: pd.DataFrame) -> list[str]:
    """How many seeds would probably tell, where these do not: for an effect and a spread as these runs have them."""
    told, several = [], differences["strategy"].nunique() > 1
    for row in differences.to_dict("records"):
        within = row["low"] >= -WITHIN and row["high"] <= WITHIN
        if row["runs"] > 1 and row["low"] <= 0 <= row["high"] and not within:
            estimate = of_interval(row["mean"], row["low"], row["high"], row["runs"])
            seeds = seeds_needed(estimate, WITHIN) or "more than 1,000"
            strategy = f" for {named(row['strategy'])}" if several else ""
            told.append(f"{seeds} seeds on {named(row['task'])}{strategy}")
    return [f"To tell would probably take {listed(told)}."] if told else []


def say_saved(saved: pd.DataFrame) -> str:
    """How many labels each strategy needs until it is as good as random is at the end, and random itself."""
    if not len(saved):
        return NOTHING
    parts, alone = [], saved["task"].nunique() == 1
    for strategy, some in saved.groupby("strategy", sort=False):
        rows = some.to_dict("records")
        needs = [
            f"{say_labels(row)} labels instead of {row[RANDOMS]:.0f} on {named(row['task'])}{_doubt(row, alone)}"
            for row in rows
            if _reached(row)
        ]
        never = [f"{named(row['task'])} (random: {row[RANDOMS]:.0f})" for row in rows if not _reached(row)]
        if needs:
            parts.append(f"{named(strategy)} needs {listed(needs)}")
        if never:
            parts.append(f"{named(strategy)} never gets there on {listed(never)}")
    return f"To be as accurate as random is in the end, {'; '.join(parts)}."


def _reached(row: dict) -> int:
    """Runs that got there."""
    return int(row["reached"].partition(" ")[0])


def say_labels(row: dict) -> str:
    """Mean over runs; a run that never got there counts as one batch more, so the mean is a least one."""
    if not _reached(row):
        return "never"
    return f"{'at least ' * (_reached(row) < row['runs'])}{row['labels']:.0f}"


def _doubt(row: dict, with_saved: bool) -> str:
    if pd.isna(row["low"]):
        return f" ({few(row['runs'])})"
    saved, low, high = (f"{row[name]:z.0f}".replace("-", "−") for name in ("saved", "low", "high"))
    said = [f"labels saved: {saved}, {statistics.INTERVAL} {low} to {high}"] if with_saved else []
    said += ["which chance alone can give"] if row["low"] <= 0 <= row["high"] else []
    return f" ({'; '.join(said)})" if said else ""


def say_first_batch(differences: pd.DataFrame) -> str:
    """BALD's accuracy minus random's at the smallest size of T, its first batch: the tasks of each verdict."""
    if not len(differences):
        return NOTHING
    size = differences["labelled"].min()
    first = differences[differences["labelled"] == size]
    less, more, single = first["high"] < 0, first["low"] > 0, first["low"].isna()
    verdicts = {
        "less accurate than random on": less,
        "more accurate than random on": more,
        "not clearly different from random on": ~(less | more | single),
        "compared with random without an interval on": single,
    }
    parts = []
    for verdict, of in verdicts.items():
        tasks = [f"{named(row['task'])} ({with_interval(row)})" for row in first[of].to_dict("records")]
        if tasks:
            parts.append(f"{verdict} {listed(tasks)}")
    return f"With {size} labels, after its first batch, BALD is {'; '.join(parts)}."


def say_rare_classes(differences: pd.DataFrame, rounds: pd.DataFrame) -> str:
    """Macro-F1 of BALD minus random at the last size of T, and how much of the pool's rarest class T holds there.

    differences: columns task, labelled, mean, low, high; rounds: as lib.runs.results.load gives them.
    """
    if not len(differences):
        return NOTHING
    last = differences[differences["labelled"] == differences["labelled"].max()]
    verbs = {"better": "BALD's is above random's on", "worse": "BALD's is below random's on"}
    verbs |= {"alike": "it is the same on", "unclear": "these runs cannot tell on"}
    said = f"Macro-F1, in which a rare class counts as much as a frequent one: {say_sides(last, verbs)}."
    held = [
        f"{counts['bald']:.0f} rows where random has {counts['random']:.0f} on {named(task)}"
        for task, counts in rarest(rounds).items()
    ]
    return f"{said} Of the pool's rarest class BALD has labelled {listed(held)}." if held else said


def rarest(rounds: pd.DataFrame) -> dict[str, dict[str, float]]:
    """task → strategy → rows in T, at its last size, of the class that the pool has fewest of: means over seeds.

    Tasks are left out whose rarest class is not rare: at least half of an equal share.
    """
    found = {}
    for task, some in rounds.groupby("task", sort=False) if "pool_counts" in rounds else ():
        pool = next((counts for counts in some["pool_counts"] if counts is not None and len(counts)), None)
        if pool is None or min(pool) * len(pool) >= sum(pool) / 2 or not {"bald", "random"} <= set(some["strategy"]):
            continue
        last = some[some["labelled"] == some["labelled"].max()]
        rare = last["class_counts"].str[min(range(len(pool)), key=pool.__getitem__)]
        found[task] = rare.groupby(last["strategy"]).mean().to_dict()
    return found


def say_baseline(differences: pd.DataFrame) -> str:
    """Is fine-tuning worth it? Fine-tuning minus logistic regression on random rows: columns task, labelled, mean, …"""
    if not len(differences):
        return NOTHING
    sizes = sorted(differences["labelled"].unique())
    few, many = sizes[min(1, len(sizes) - 1)], sizes[-1]
    verbs = {
        "better": "fine-tuning is ahead on",
        "worse": "it is behind on",
        "alike": "it makes no difference on",
        "unclear": "these runs cannot tell on",
    }
    parts = [
        f"with {size} random labels {say_sides(differences[differences['labelled'] == size], verbs)}"
        for size in dict.fromkeys((few, many))
    ]
    return f"Against logistic regression on the frozen encoder, {'; '.join(parts)}."


def say_freezing(differences: pd.DataFrame) -> str:
    """Does it harm to freeze layers? BALD's area with F minus without, columns task, frozen, mean, low, high."""
    if not len(differences):
        return NOTHING
    low, high = number(differences["mean"].min()), number(differences["mean"].max())
    said = f"Freezing layers, which saves computing, changes BALD's mean accuracy by {low} to {high}"
    clear = [
        f"F = {row['frozen']} on {named(row['task'])} ({number(row['mean'])})".replace("= -", "= −")
        for _, row in differences[is_clear(differences)].iterrows()
    ]
    return f"{said}; clear is only {listed(clear)}." if clear else f"{said}; none of these differences is clear."

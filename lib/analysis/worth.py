"""What someone who pays for labels asks: is fine-tuning worth it, how many labels are saved, is a rare class forgotten?

Rounds of runs in (lib.runs.results.load), tables out; every comparison is within a seed.
"""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import f1_score

from lib.analysis.statistics import paired_difference, summary, t_interval

KEYS = ["task", "strategy", "seed"]
DRAWS = 9_999  # of a permutation test


def with_macro_f1(rounds: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """The rounds with the column `macro_f1`: the mean over classes of F1 on the validation rows, each class alike.

    validation: columns run, round, label, prediction. nan where a round's predictions are not there.
    """
    scores = {
        place: f1_score(some["label"], some["prediction"], average="macro", zero_division=0)
        for place, some in validation.groupby(["run", "round"], sort=False)
    }
    found = [scores.get(place) for place in zip(rounds["run"], rounds["round"], strict=True)]
    return rounds.assign(macro_f1=pd.Series(found, rounds.index, float))


def recalls(rounds: pd.DataFrame, validation: pd.DataFrame) -> pd.DataFrame:
    """Mean recall of the classes (balanced accuracy) in each task's last round, and whether it is better than a guess.

    Columns task, labelled, mean (over runs), guess (1 / classes, whatever the classes' shares: what labels that have
    nothing to do with the texts give), p: probability that a guess does as well as the best run, by `guesses` within
    each run and Bonferroni's correction over the runs.
    """
    last = rounds[rounds["labelled"] == rounds.groupby("task")["labelled"].transform("max")]
    tasks = dict(zip(zip(last["run"], last["round"], strict=True), last["task"], strict=True))
    rows = []
    for place, some in validation.groupby(["run", "round"], sort=False):
        if place in tasks:
            recall, p = guesses(some["label"], some["prediction"])
            rows.append({"task": tasks[place], "mean": recall, "guess": 1 / some["label"].nunique(), "p": p})
    table = pd.DataFrame(rows, columns=["task", "mean", "guess", "p"])
    found = table.groupby("task", sort=False).agg(
        mean=("mean", "mean"), guess=("guess", "first"), p=("p", lambda p: min(1.0, len(p) * p.min()))
    )
    sizes = last.groupby("task")["labelled"].max()
    return found.reset_index().assign(labelled=lambda table: table["task"].map(sizes))


def guesses(labels_N, predictions_N) -> tuple[float, float]:
    """Mean recall of the classes of one run's predictions, and p of a permutation test over the rows (one-sided).

    p: how often predictions that have nothing to do with the labels, but name each class as often, do as well. They are
    drawn as random contingency tables with the same margins (Ojala and Garriga 2010, test 1 for a trained classifier).
    """
    counts = pd.crosstab(np.asarray(labels_N), np.asarray(predictions_N))  # classes that a row has × that are predicted
    right_CP = np.equal.outer(counts.index.to_numpy(), counts.columns.to_numpy())
    rows_C = counts.sum(axis=1).to_numpy()
    recall = ((counts.to_numpy() * right_CP).sum(1) / rows_C).mean()
    if 1 in counts.shape:  # there is one such table alone
        return float(recall), 1.0
    drawn_DCP = stats.random_table(rows_C, counts.sum()).rvs(DRAWS, random_state=0)
    drawn_D = ((drawn_DCP * right_CP).sum(2) / rows_C).mean(1)
    return float(recall), float((1 + (drawn_D >= recall - 1e-9).sum()) / (1 + DRAWS))


def with_baseline(rounds: pd.DataFrame, baselines: pd.DataFrame, name: str = "logistic regression") -> pd.DataFrame:
    """The rounds with the columns `baseline_accuracy` and `baseline_macro_f1`; nan where there is no baseline.

    baselines: as lib.analysis.baselines.load gives them; name: which.
    """
    some = baselines[baselines["baseline"] == name].set_index(["run", "round"])[["accuracy", "macro_f1"]]
    return rounds.join(some.astype(float).add_prefix("baseline_"), on=["run", "round"])


def baseline_curves(rounds: pd.DataFrame) -> pd.DataFrame:
    """The rounds with the baseline's accuracy and macro-F1 in place of fine-tuning's, where they have them."""
    if "baseline_accuracy" not in rounds:
        return rounds.iloc[:0]
    known = rounds[rounds["baseline_accuracy"].notna()]
    return known.assign(accuracy=known["baseline_accuracy"], macro_f1=known["baseline_macro_f1"])


def against_baseline(rounds: pd.DataFrame, by: list[str], value: str = "accuracy") -> pd.DataFrame:
    """Fine-tuning minus the baseline on the same rows of T, paired by seed: by + runs, mean, low, high, width."""
    kinds = {"fine-tuning": rounds, "baseline": baseline_curves(rounds)}
    both = pd.concat([table.assign(trained=kind) for kind, table in kinds.items()], ignore_index=True)
    return paired_difference(both, value, "trained", "baseline", by).drop(columns="trained")


def labels_needed(rounds: pd.DataFrame, minus: str = "random") -> pd.DataFrame:
    """The number of labels with which each run first reaches the accuracy that `minus` has, in its seed, at the end.

    Columns task, strategy, seed, target (that accuracy), labels and reached. A run that never reaches it is counted as
    one batch beyond its last size, which flatters it.
    """
    last = rounds[rounds["strategy"] == minus].sort_values("labelled").groupby(["task", "seed"])["accuracy"].last()
    rows = []
    for (task, strategy, seed), run in rounds.groupby(KEYS, sort=False):
        if (task, seed) in last:
            run, target = run.sort_values("labelled"), last[task, seed]
            there, sizes = run.loc[run["accuracy"] >= target, "labelled"], run["labelled"].to_numpy()
            beyond = sizes[-1] + (sizes[-1] - sizes[-2] if len(sizes) > 1 else 0)
            labels = there.iloc[0] if len(there) else beyond
            rows.append(
                {"task": task, "strategy": strategy, "seed": seed, "target": target, "labels": int(labels)}
                | {"reached": bool(len(there))}
            )
    return pd.DataFrame(rows, columns=[*KEYS, "target", "labels", "reached"])


def labels_saved(needed: pd.DataFrame, minus: str = "random") -> pd.DataFrame:
    """How many labels fewer than `minus` each strategy needs: a row a task and strategy, with the paired t interval.

    Columns task, strategy, runs, target, labels, minus's labels (both means), saved, low, high, reached (of the runs).
    """
    saved = paired_difference(needed, "labels", "strategy", minus, ["task"])
    means = needed.groupby(["task", "strategy"])[["target", "labels", "reached"]].mean()
    rows = []
    for row in saved.to_dict("records"):
        ours, theirs = means.loc[row["task"], row["strategy"]], means.loc[row["task"], minus]
        rows.append(
            {"task": row["task"], "strategy": row["strategy"], "runs": row["runs"], "target": theirs["target"]}
            | {"labels": ours["labels"], f"{minus}'s labels": theirs["labels"], "saved": -row["mean"]}
            | {
                "low": -row["high"],
                "high": -row["low"],
                "reached": f"{ours['reached'] * row['runs']:.0f} of {row['runs']}",
            }
        )
    columns = ["task", "strategy", "runs", "target", "labels", f"{minus}'s labels", "saved", "low", "high", "reached"]
    return pd.DataFrame(rows, columns=columns)


def macro_f1_difference(rounds: pd.DataFrame, minus: str = "random") -> pd.DataFrame:
    """Macro-F1 minus that of `minus` within each seed, at each size of T."""
    return paired_difference(rounds, "macro_f1", "strategy", minus, ["task", "labelled"])


def values(rounds: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean accuracy of fine-tuning with its interval, mean macro-F1, and the baseline's accuracy on the same rows.

    An accuracy lies between 0 and 1, and so do the ends of its interval.
    """
    table = summary(rounds, "accuracy", by, t_interval)
    table[["low", "high"]] = table[["low", "high"]].clip(0, 1)
    extra = rounds.groupby(by, sort=False)["macro_f1"].mean().rename("macro_f1")
    baseline = baseline_curves(rounds).groupby(by, sort=False)["accuracy"].mean().rename("baseline")
    return table.drop(columns="width").join(extra, on=by).join(baseline, on=by)

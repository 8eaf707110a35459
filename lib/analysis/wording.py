"""Sentences made from tables, so that no sentence of a notebook can contradict its numbers."""

from functools import wraps

import numpy as np
import pandas as pd

from lib.analysis.statistics import INTERVAL
from lib.data.escaping import in_markdown
from lib.data.tasks import display_name

NOTHING = "The runs that this needs are not there."
HARDLY = 0.05  # so little above chance is nothing learnt; of very uneven classes a tenth of what there is to learn
OF_DATA = {
    "sst2": "SST-2 trains on phrases and validates on whole sentences, and BALD picks long rows. With the 6-layer "
    "encoder, random rows as long as BALD's do as well "
    "([measured](../docs/decisions.md#what-bald-gains-on-sst-2-is-the-length-of-its-rows)): a gain on SST-2 promises "
    "none on other data."
}
MOST = 4  # differences of single runs that a sentence lists; of more, it gives the ends


def named(name) -> str:
    """The display name of a task, class or strategy in a sentence, which is Markdown: escaped."""
    return in_markdown(display_name(name))


def of_rows(say):
    """A sentence about an empty table says that there is nothing to tell."""

    @wraps(say)
    def answer(table: pd.DataFrame, *arguments) -> str:
        return say(table, *arguments) if len(table) else NOTHING

    return answer


def listed(parts: list[str]) -> str:
    """'a, b and c'"""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last


def joined(*sentences: str) -> str:
    """One paragraph of those that have something to tell; NOTHING if only the first, a heading, is left."""
    told = [sentence for sentence in sentences if sentence not in ("", NOTHING)]
    return " ".join(told if len(told) > 1 else [*told, NOTHING])


def number(value: float, digits: int = 3) -> str:
    """Signed, with the sign that print has: +0.012, −0.010"""
    return f"{value:+.{digits}f}".replace("-", "−")


def with_interval(row, digits: int = 3, unit: str = "") -> str:
    """+0.012, 95 % interval −0.010 to +0.034; without an interval: +0.012, one run"""
    mean, low, high = (number(row[name], digits) for name in ("mean", "low", "high"))
    return f"{mean}{unit}, " + (few(row["runs"]) if np.isnan(row["low"]) else f"{INTERVAL} {low} to {high}")


def few(runs: int) -> str:
    """Why so few runs have no interval."""
    return "one run" if runs == 1 else "two repetitions: no interval"


def uncertain(table: pd.DataFrame) -> str:
    """What is to be known of differences that have no interval. table: column runs."""
    if table["runs"].max() == 1:
        return "in a single run and so with unknown certainty"
    return "in fewer than three repetitions and so with unknown certainty"


def is_clear(table: pd.DataFrame) -> pd.Series:
    """Whether the interval of each row excludes zero; never where there is none."""
    return (table["low"] > 0) | (table["high"] < 0)


@of_rows
def say_differences(differences: pd.DataFrame, of: str, quantity: str, minus) -> str:
    """From a table of paired differences, which levels of `of` clearly differ from `minus`, and how many do not."""
    levels = differences[of].map(lambda level: in_markdown(level_of(of, level)))
    table, opening = differences.assign(level=levels), f"Compared with {in_markdown(level_of(of, minus))}, {quantity}"
    if table["low"].isna().all():
        many, by_mean = len(table) > MOST, table.sort_values("mean", kind="stable")
        shown = by_mean.iloc[[0, -1]] if many else table
        said = [f"{number(row['mean'])} with {row['level']} on {named(row['task'])}" for _, row in shown.iterrows()]
        by = f"in {len(table)} comparisons by {' to '.join(said)}" if many else f"by {listed(said)}"
        return f"{opening} differs, {uncertain(table)}, {by}."
    clear, intervals = table[is_clear(table)], table["low"].count()
    alone = _say_alone(len(table) - intervals)
    if not len(clear):
        return f"{opening} does not clearly differ: {_all_intervals(intervals)} zero.{alone}"
    said = []
    for (level, higher), some in clear.groupby(["level", clear["low"] > 0], sort=False):
        tasks = listed([f"{named(row['task'])} ({with_interval(row)})" for _, row in some.iterrows()])
        said.append(f"is {'higher' if higher else 'lower'} with {level} on {tasks}")
    return f"{opening} {'; '.join(said)}.{_say_others(intervals - len(clear))}{alone}"


def level_of(of: str, level) -> str:
    """The display name of a level of a column, as plain text: F = −2, BALD"""
    return f"F = {level}".replace("-", "−") if of == "frozen" else display_name(level)


def _all_intervals(count: int) -> str:
    return {1: "the interval includes", 2: "both intervals include"}.get(count, f"all {count} intervals include")


def _say_others(count: int) -> str:
    if not count:
        return ""
    return f" In the other {f'{count} comparisons' if count > 1 else 'comparison'} no difference is clear."


def _say_alone(count: int) -> str:
    """Of comparisons without an interval."""
    if not count:
        return ""
    return f" {f'{count} more comparisons have' if count > 1 else 'One more has'} too few runs for an interval."


def say_data(runs: pd.DataFrame) -> list[str]:
    """What a reader of BALD's runs must know of their data. runs: columns task and, where it is known, strategy."""
    if "strategy" in runs and "bald" not in set(runs["strategy"]):
        return []
    return [OF_DATA[task] for task in runs["task"].unique() if task in OF_DATA]


def say_precision(runs: pd.DataFrame) -> list[str]:
    """Which runs were computed in which precision, if not all of a task in one: columns task, seed, run, precision."""
    runs = runs.drop_duplicates("run")
    parts = []
    for task, some in runs.groupby("task", sort=False):
        kinds = [
            f"{len(those)} runs in {precision} (seeds {', '.join(map(str, sorted(those['seed'].unique())))})"
            for precision, those in some.groupby("precision")
        ]
        if len(kinds) > 1:
            parts.append(f"on {named(task)} {' and '.join(kinds)}")
    if not parts:
        return []
    return [f"The encoder computed {'; '.join(parts)}: what differs between these runs is, in part, rounding."]


def say_ties(rounds: pd.DataFrame) -> list[str]:
    """A sentence for each strategy whose scores left its picks to chance, since more rows than it picks share one."""
    sentences = []
    scored = rounds[rounds["health"].map(bool).astype(bool)] if "health" in rounds else rounds[:0]
    for (task, strategy), some in scored.groupby(["task", "strategy"], sort=False):
        tied = some["health"].map(lambda health: health["ties_at_rank_query"]) >= some["picked"].map(len)
        if tied.any():
            same = not some["health"].map(lambda health: health["passes_differ"]).any()
            why = ": its stochastic passes do not differ, as with S = 1" if same else ""
            sentences.append(
                f"On {named(task)}, in {tied.sum()} of {len(some)} rounds, {named(strategy)} gave more rows than it "
                f"picks the score of its last pick, and chance chose among them{why}."
            )
    return sentences


def say_chance(rounds: pd.DataFrame) -> list[str]:
    """A sentence for each task whose classifiers are hardly better than guessing at the last round.

    Guessing is saying the most frequent class each time.
    """
    if not {"accuracy", "majority"} <= set(rounds):
        return []
    sentences = []
    last = rounds[rounds["labelled"] == rounds.groupby("task")["labelled"].transform("max")]
    means = last.groupby("task")[["accuracy", "majority"]].mean()
    for task, accuracy, chance in means.loc[rounds["task"].unique()].itertuples():
        if accuracy - chance < min(HARDLY, 0.1 * (1 - chance)):
            sentences.append(
                f"On {named(task)} the classifiers have learnt next to nothing: at the largest size of T their mean "
                f"accuracy is {accuracy:.3f}, where guessing gives {chance:.3f}. What is compared there are guesses."
            )
    return sentences

"""What is learnt from the runs of one profile: the tables, a sentence of each, and README's table.

A sentence is made from its table, so that the two cannot contradict each other.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.analysis import advice, baselines, statistics, worth
from lib.analysis.wording import NOTHING, number
from lib.data.tasks import display_name
from lib.protocol import Profile, Protocol
from lib.runs import results


@dataclass(frozen=True)
class Comparisons:
    """The tables that the sentences are made from: differences paired by seed, from the runs that the store has."""

    areas: pd.DataFrame  # BALD − random, of the mean accuracy over all sizes of T
    sizes: pd.DataFrame  # BALD − random, of the accuracy at each size after the first
    saved: pd.DataFrame  # lib.analysis.worth.labels_saved
    macro_f1: pd.DataFrame  # BALD − random at each size
    baseline: pd.DataFrame  # fine-tuning − logistic regression on random's rows, at each size
    freezing: pd.DataFrame  # F − 0 of BALD, of the mean accuracy over all sizes of T
    rounds: pd.DataFrame


def compare(study: Profile, *, tasks="", runs=0, store="", **changes) -> Comparisons:
    """From the runs of a profile that are in the store; nothing is computed. Empty tables for what it does not have."""
    store = Path(store or results.STORE)

    def finished(**settings) -> list[Protocol]:
        asked = study.grid(tasks=tasks, runs=runs, **settings, **changes)
        return [protocol for protocol in asked if results.Run(protocol, store).done]

    def load(table: str, **settings) -> pd.DataFrame:
        return results.load(table, finished(**settings), store)

    rounds, validation = (load(table, strategies="bald,random") for table in ("rounds", "validation"))
    rounds = worth.with_baseline(rounds, baselines.load(finished(strategies="bald,random"), store))
    areas = statistics.area_under_curve(rounds, ["task", "strategy", "seed"])
    frozen_areas = statistics.area_under_curve(load("rounds", frozen=study.frozen), ["task", "frozen", "seed"])
    sizes = statistics.paired_difference(rounds, "accuracy", "strategy", "random", ["task", "labelled"])
    return Comparisons(
        statistics.paired_difference(areas, "area", "strategy", "random", ["task"]),
        sizes[sizes["labelled"] > sizes["labelled"].min()],
        worth.labels_saved(worth.labels_needed(rounds)),
        worth.macro_f1_difference(worth.with_macro_f1(rounds, validation)),
        worth.against_baseline(rounds[rounds["strategy"] == "random"], ["task", "labelled"]),
        statistics.paired_difference(frozen_areas, "area", "frozen", 0, ["task"]),
        rounds,
    )


def sentences(found: Comparisons) -> list[str]:
    """Those of lib.analysis.advice; none for what there are no runs of."""
    said = [
        advice.say_area(found.areas),
        advice.say_saved(found.saved),
        advice.say_first_batch(found.sizes),
        advice.say_rare_classes(found.macro_f1, found.rounds),
        advice.say_baseline(found.baseline),
        advice.say_freezing(found.freezing),
    ]
    return [sentence for sentence in said if sentence != NOTHING]


def overview(found: Comparisons) -> pd.DataFrame:
    """One column a task, for README: differences with their 95 % intervals in brackets."""
    few, last = (found.sizes["labelled"].agg(which) for which in ("min", "max"))
    rows = {
        "seeds": found.areas.set_index("task")["runs"].to_dict(),
        "accuracy over all sizes of T: BALD − random": _cells(found.areas),
        f"accuracy with {few} labels: BALD − random": _cells(found.sizes[found.sizes["labelled"] == few]),
        f"accuracy with {last} labels: BALD − random": _cells(found.sizes[found.sizes["labelled"] == last]),
        f"macro-F1 with {last} labels: BALD − random": _cells(found.macro_f1[found.macro_f1["labelled"] == last]),
        f"labels needed to reach random's accuracy with {last}: BALD / random": {
            row["task"]: f"{advice.say_labels(row)} / {row[advice.RANDOMS]:.0f}"
            for row in found.saved.to_dict("records")
        },
        f"accuracy with {last} random labels: fine-tuning − logistic regression": _cells(
            found.baseline[found.baseline["labelled"] == last]
        ),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=found.areas["task"], dtype=str)
    return table.fillna("–").rename(columns=display_name).rename_axis("").reset_index()


def _cells(differences: pd.DataFrame) -> dict[str, str]:
    """task → +0.023 (+0.008 to +0.039); of one run without the interval."""
    return {
        row["task"]: number(row["mean"])
        + ("" if pd.isna(row["low"]) else f" ({number(row['low'])} to {number(row['high'])})")
        for row in differences.to_dict("records")
    }

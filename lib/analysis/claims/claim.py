"""What a claim is, and how one is measured: what the claims of several sections share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.analysis import statistics
from lib.analysis.claims.estimates import Estimate, mean_of
from lib.analysis.claims.evidence import NoRuns

MORE, LESS, SAME = 1, -1, 0
ACCURACY = 0.01  # smallest differences that matter: of accuracy,
PERCENT = 5.0  # of |Δθ|, in percent,
ROWS = 1.0  # of rows of a class, for each hundred rows of T
RATIO = "ratio of standard deviations over runs"
# what decides: the distribution of the interval
STUDENT, FISHER = "Student t over seeds", "F of two variances"
FAIR = "fair draws of the same sizes, simulated"
# how a value that is measured on another scale is shown
SHOWN = {"difference": float, "ratio": np.exp, "correlation": np.tanh}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and how the runs of one task measure it."""

    text: str
    place: str  # in the paper
    measure: Callable  # Evidence → Estimate
    quantity: str  # what is measured
    expected: int  # MORE, LESS or SAME as nothing
    margin: float = 0.0  # smallest difference that matters
    test: str = STUDENT
    scale: str = "difference"  # a key of SHOWN
    accuracy: bool = False  # one of the tests of accuracies, over which Holm's correction is taken
    labels: tuple[str, ...] = ()  # classes that the task must have
    rests_on: str = "main"  # the runs: a property of Evidence that gives their protocols
    paper: Callable = lambda task: None  # the paper's own number for the quantity, where a table has it


def difference(table: pd.DataFrame, value: str, of: str, this, minus, **options) -> Estimate:
    """Paired difference within each seed between two levels of a column. options: those of `mean_of`."""
    wide = statistics.wide(table, ["seed"], of, value)
    if this not in wide or minus not in wide:
        raise NoRuns
    return mean_of(wide[this] - wide[minus], **options)


def papers_difference(value: Callable) -> Callable:
    """From Tables 1 to 3, where they have the task: value(number of the table, strategy, F)."""

    def read(task: str) -> float | None:
        def cell(number: int, strategy: str, frozen: int) -> float:
            table = statistics.paper(number)
            keys = (table["task"] == task) & (table["strategy"] == strategy) & (table["frozen"] == frozen)
            return table.loc[keys, "value"].to_numpy()[-1]

        try:
            return value(cell)
        except IndexError:
            return None

    return read

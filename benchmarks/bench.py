"""What the measurements work on, how they are timed, and a row of their table."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch.utils.benchmark import Timer

from lib.method import gpus
from lib.method.active_learning import prepare
from lib.method.model import outline
from lib.protocol import Protocol


@dataclass(frozen=True)
class Result:
    """A row of the table: a value and, if it is compared, its ratio to what it is compared with."""

    what: str
    value: float
    unit: str
    against: str = ""
    ratio: float = np.nan
    lowest: float = np.nan  # ratio of a turn
    highest: float = np.nan
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What the measurements work on. Both sides of a comparison compute in `precision`.

    hub: folder with mnli and sst2; empty: the embedded tasks. precision: "auto" becomes what a run would use on this
    machine. Raises StudyError for another precision.
    """

    hub: str = ""
    precision: str = "auto"
    encoder: str = "all-MiniLM-L6-v2"
    rows: int = 400  # that are encoded
    labelled: int = 320  # that are trained on
    pool: int = 4000  # rows of the smaller pool
    turns: int = 3
    seconds: float = 1.0  # that each function is timed in a turn, at least

    def __post_init__(self):
        object.__setattr__(self, "precision", self.protocol().on_this_machine().precision)

    def protocol(self, pairs: bool = False, **changes) -> Protocol:
        task = ("mnli" if pairs else "sst2") if self.hub else ("editorials" if pairs else "reviews")
        fields = {"task": task, "hub": self.hub, "encoder": self.encoder, "rows": "first", "precision": self.precision}
        return Protocol(**fields | changes)

    def prepared(self, pairs: bool = False, **changes):
        """A protocol, the training rows of its task, and its classifier."""
        protocol = self.protocol(pairs, rounds=0, pool=10**6, **changes)
        task, classifier = prepare(protocol)
        return protocol, task.train, classifier

    @property
    def half(self) -> int:
        return len(outline(self.protocol(), 2).encoder.layers) // 2

    def in_turns(self, *functions: Callable[[], object]) -> np.ndarray:
        """times_TF: median seconds of a call of each function, in each turn.

        torch's Timer calls a function once to warm up, then until `seconds` have passed. In turns, because a machine
        may be busy for a while.
        """
        timers = [Timer("function()", globals={"function": function}) for function in functions]
        return np.array(
            [[t.blocked_autorange(min_run_time=self.seconds).median for t in timers] for _ in range(self.turns)]
        )


def compared(ratios_T) -> dict[str, float]:
    """The fields of a Result that say how its ratio differs between turns."""
    return {"ratio": np.median(ratios_T), "lowest": np.min(ratios_T), "highest": np.max(ratios_T)}


def elapsed(function: Callable[[], object]) -> float:
    """Seconds of one call that is too long to be repeated."""
    gpus.wait()
    start = time.perf_counter()
    function()
    gpus.wait()
    return time.perf_counter() - start


def peak() -> float:
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def described(protocol: Protocol, rows, numbers) -> str:
    return f"{len(numbers):,} rows of {protocol.task}, {rows.lengths_N[numbers].mean():.0f} tokens each"

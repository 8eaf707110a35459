"""What the measurements work on, how they time it, and a row of their table."""

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from lib import gpus
from lib.protocol import Protocol


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    what: str
    value: float
    unit: str
    floor: str  # what it is compared with
    ratio: float
    goal: str
    memory: float = 0.0  # MB, the peak of the process
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What the measurements work on."""

    hub: str = ""
    encoder: str = "all-MiniLM-L6-v2"
    rows: int = 2000  # that are encoded
    labelled: int = 910  # that are trained on
    repeats: int = 3

    def protocol(self, pairs: bool = False, **changes) -> Protocol:
        task = ("mnli" if pairs else "sst2") if self.hub else ("editorials" if pairs else "reviews")
        return Protocol(**{"task": task, "hub": self.hub, "encoder": self.encoder, "rows": "first", **changes})

    def prepared(self, pairs: bool = False, **changes):
        """A protocol, the training rows of its task, and its classifier."""
        from lib.active_learning import prepare

        protocol = self.protocol(pairs, rounds=0, pool=10**6, **changes)
        task, classifier = prepare(protocol)
        return protocol, task.train, classifier

    @property
    def half(self) -> int:
        from lib.model import outline

        return len(outline(self.protocol(), 2).encoder.layers) // 2


def peak() -> float:
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def seconds(function) -> float:
    gpus.wait()
    start = time.perf_counter()
    function()
    gpus.wait()
    return time.perf_counter() - start


def in_turns(repeats: int, *functions) -> np.ndarray:
    """times_RF: seconds of each function, called in turns."""
    return np.array([[seconds(function) for function in functions] for _ in range(repeats)])


def ratio(times_RF, over: int = 1) -> float:
    """Median over the turns of the first function's time over another's."""
    return float(np.median(times_RF[:, 0] / times_RF[:, over]))


def length(rows, numbers) -> str:
    return f"{len(numbers):,} rows of {rows.lengths_N[numbers].mean():.0f} tokens"

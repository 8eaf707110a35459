"""What of a run is published: all that a notebook reads, as it is; what only the explorer reads, of fewer runs."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from lib.protocol import Profile, Protocol, digest
from lib.runs.published import pack
from lib.runs.results import TABLES, Run

SHOWN = 5  # the round whose scores are read: `after` of notebook 05, and of the ledger of claims
SAMPLED = 3  # seeds of which the explorer reads the passes
NOISE = "unguarded_bald"  # notebook 06 reads its scores of all rounds
LEFT_OUT = (
    "scores of the pool: all rounds are kept of each task's BALD run as the profile has it with seed 0, and of runs "
    "that score rounding noise; round {shown} of that BALD run with other seeds, and of other runs with seed 0; none "
    "of other runs with other seeds",
    "sampled probabilities and features: kept where that BALD run's scores are, of seeds 0 to {last}",
    "entropy of the pool: to the digits of float16",
    "probabilities of validation rows: of the last round; but for that BALD run, to the digits of float16",
)


@dataclass(frozen=True)
class Scope:
    """What is kept of the runs of a profile. shown: the round whose scores are read."""

    study: Profile
    shown: int = SHOWN

    @cached_property
    def _main(self) -> set[str]:
        return {digest(p.canonical()) for p in self.study.grid(strategies="bald", frozen=(0,), runs=1)}

    def is_main(self, protocol: Protocol) -> bool:
        """Whether a run is its task's BALD run as the profile has it, with whatever seed."""
        return digest(replace(protocol, seed=0).canonical()) in self._main

    def rounds(self, kind: str, protocol: Protocol) -> range:
        """The rounds of which a run's `pool` or `samples` are kept."""
        main, first, every = self.is_main(protocol), protocol.seed == 0, range(protocol.rounds)
        shown = every[self.shown : self.shown + 1] or every[-1:]
        if (main and first) or (kind == "pool" and protocol.strategy == NOISE):
            return every
        if kind == "samples":
            return shown if main and protocol.seed < SAMPLED else range(0)
        return shown if main or first else range(0)

    def pack(self, kind: str, run: Run, frame: pd.DataFrame) -> pa.Table | None:
        """The rows of a run's table that are kept, as they are stored, under the run's name; None if there are none."""
        if len(frame) and kind in ("pool", "samples"):
            frame = frame[frame["round"].isin(self.rounds(kind, run.protocol))]
        if not len(frame):
            return None
        if kind == "pool":
            frame = frame.assign(entropy=_half(frame["entropy"]))
            if (frame["score"] == frame["bald"]).all():
                frame = frame.drop(columns="score")
        if kind == "validation":
            frame = _last_probabilities(frame, run.protocol.rounds, exact=self.is_main(run.protocol))
        return pack(pd.DataFrame({"run": run.name, "round": frame["round"], **frame}))

    def tables(self, runs: list[Run]) -> dict[str, list[pa.Table]]:
        """Kind → the rows of each run that has some."""
        packed = {kind: [self.pack(kind, run, run.table(kind)) for run in runs] for kind in TABLES}
        return {kind: [piece for piece in pieces if piece is not None] for kind, pieces in packed.items()}

    def left_out(self) -> list[str]:
        return [sentence.format(shown=self.shown, last=SAMPLED - 1) for sentence in LEFT_OUT]


def _last_probabilities(frame: pd.DataFrame, last: int, exact: bool) -> pd.DataFrame:
    frame, before = frame.copy(), frame["round"] < last
    for name in frame.columns.difference(["round", "row", "label", "prediction"]):
        frame[name] = (frame[name] if exact else _half(frame[name])).mask(before)
    return frame


def _half(column: pd.Series) -> pd.Series:
    """To the digits of float16, in float32, whose last bits then take no room."""
    return column.astype(np.float16).astype(np.float32)

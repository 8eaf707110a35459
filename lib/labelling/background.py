"""A model that chooses rows in a thread of its own while a person goes on labelling, and says how far it is."""

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from lib.data.rows import Rows

ONE_AT_A_TIME = threading.RLock()  # dropout draws from numbers that all threads share
BACKWARD = 3  # a step of training, in passes through the encoder

Tell = Callable[[str, int], None]  # "training" or "scoring", and tokens of a batch that goes through the encoder


@dataclasses.dataclass(frozen=True)
class Told(Rows):
    """Rows that tell of each batch that is made of them."""

    tell: Callable[[int], None]

    def batch(self, rows, *args):
        self.tell(int(self.lengths_N[np.asarray(rows)].sum()))
        return super().batch(rows, *args)


def told(rows: Rows, what: str, tell: Tell | None) -> Rows:
    """The same rows; `tell` is called before each batch of them, if it is given."""
    if tell is None:
        return rows
    fields = {field.name: getattr(rows, field.name) for field in dataclasses.fields(Rows)}
    return Told(**fields, tell=lambda tokens: tell(what, tokens))


@dataclasses.dataclass(frozen=True)
class Work:
    """What a choice will take."""

    labels: int  # rows that the model is trained on
    rows: int  # of the pool
    steps: int  # of training
    tokens: dict[str, int]  # through the encoder: "training" in all epochs, "scoring"


class Background:
    """A choice in a thread of its own. It notes nothing: whoever started it takes the result when it is done."""

    def __init__(self, choose: Callable[[Tell], dict], work: Work):
        self.work, self.began, self.what = work, time.monotonic(), ""
        self.batches, self.tokens = Counter(), Counter()
        self.chosen = self.error = None
        self.ended = threading.Event()  # is_alive() is False after an interrupted join(), while the thread still runs
        self.thread = threading.Thread(target=self._run, args=(choose,), daemon=True)
        self.thread.start()

    def _run(self, choose) -> None:
        try:
            with ONE_AT_A_TIME:
                self.chosen = choose(self._tell)
        except BaseException as error:  # it is raised where the result is asked for
            self.error = error
        finally:
            self.ended.set()

    def _tell(self, what: str, tokens: int) -> None:
        self.what = what
        self.batches[what] += 1
        self.tokens[what] += tokens

    @property
    def done(self) -> bool:
        return self.ended.is_set()

    def wait(self) -> None:
        """Until it is done; in its own thread, not at all."""
        if threading.current_thread() is not self.thread:
            self.ended.wait()

    def result(self) -> dict:
        """What was chosen. Raises what the choice raised."""
        self.wait()
        if self.error is not None:
            raise self.error
        return self.chosen

    def __str__(self) -> str:
        """How far it is: the step of training or the share that is scored, and about how many seconds are left."""
        work, done = self.work, self.tokens
        if self.what == "scoring":
            share = min(1, done["scoring"] / max(1, work.tokens["scoring"]))
            said = f"Scoring {work.rows:,} rows: {100 * share:.0f} %"
        else:
            step = min(self.batches["training"], work.steps)
            said = f"Training on {work.labels:,} labels: step {step} of {work.steps}"
        passed, whole = (BACKWARD * tokens["training"] + tokens["scoring"] for tokens in (done, Counter(work.tokens)))
        if not passed:
            return f"{said} …"
        left = (time.monotonic() - self.began) * max(0, whole / passed - 1)
        return f"{said}, about {max(1, round(left))} s left …"

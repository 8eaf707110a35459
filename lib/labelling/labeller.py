"""The widget in which a person labels rows: a button and a key a class, skip, undo, and answers to correct."""

import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import anywidget
import traitlets

from lib.data.escaping import in_html, isolated, shortened, visible
from lib.errors import StudyError, brief
from lib.labelling.agreement import say_agreement, say_stop
from lib.labelling.keys import class_keys, command_keys
from lib.labelling.state import Labelling

HERE = Path(__file__).parent
SHOWN = 5  # pending rows in the static view
EARLIER = 200  # answers that may be corrected in the page, the last ones; `Labelling.label` corrects any


class Labeller(anywidget.AnyWidget):
    """Shows the pending rows of a Labelling one after the other; when all have an answer, trains and asks for more.

    An answer names the row that it is about, so that a key pressed twice answers nothing else. It is on the disk
    before the next row is shown. While the model is trained and chooses, rows drawn at random are asked; the page asks
    twice a second how far it is.
    """

    _esm = HERE / "labeller.js"
    _css = HERE / "labeller.css"
    shown = traitlets.Dict().tag(sync=True)  # all that the page needs to know
    progress = traitlets.Dict().tag(sync=True)  # of the model that is trained meanwhile

    def __init__(self, labelling: Labelling, stop_at: float):
        super().__init__()
        self.labelling, self.stop_at = labelling, stop_at
        self.correcting = None  # the answered row that is shown again
        self.on_msg(lambda _, answer, __: self.hear(answer))
        self.go_on()

    def hear(self, answer: dict) -> None:
        """A message from the page: it takes milliseconds, in which no interrupt leaves half an answer."""
        with uninterrupted():
            self.receive(answer)

    def receive(self, answer: dict) -> None:
        """An answer from the page: {"row": 17, "label": "positive"}, {"row": 17, "skip": true} or {"undo": true}.

        With "ambiguous", of a row that one could label otherwise: why, or "".
        {"correct": 17} shows an answered row again; {"correct": null} goes back to the rows without an answer.
        {"progress": true} asks how far the model is.
        """
        try:
            if "progress" in answer:
                if self.labelling.model.choosing:
                    turn = self.progress.get("turn", 0) + 1  # a new value is sent even if nothing else has changed
                    self.progress = {"said": self.working(), "turn": turn}
                    return
                if not self.shown["working"]:  # an earlier message has taken what was chosen
                    return
            elif "correct" in answer:
                answered = {one["row"] for one in earlier(self.labelling)}
                self.correcting = answer["correct"] if answer["correct"] in answered else None
            elif answer.get("undo"):
                self.correcting = None
                self.labelling.undo()
            elif answer.get("row") is not None and answer["row"] == self.shown["row"]:
                if answer.get("skip"):
                    self.labelling.skip(answer["row"], answer.get("ambiguous"))
                else:
                    self.labelling.label(answer["row"], answer["label"], answer.get("ambiguous"))
                self.correcting = None
            self.go_on()
        except StudyError as error:
            self.show(error=f"{error}")
        except (Exception, KeyboardInterrupt) as error:  # nobody sees what a callback raises
            self.show(error=f"{brief(error)}: answers so far are saved; run all cells to go on or see more")

    def go_on(self) -> None:
        """Show the next row. Before that, if rows are due, choose them, or let the model begin or end to do so."""
        labelling = self.labelling
        if labelling.model.background and not labelling.model.choosing:
            labelling.end_batch()
        if labelling.due and not labelling.model.background:
            if labelling.ready:
                labelling.begin_batch()
            else:
                labelling.next_batch()
        self.show()

    def show(self, error: str = "") -> None:
        turn = self.shown.get("turn", 0) + 1  # a new value is sent even if nothing else has changed
        described = describe(self.labelling, self.stop_at, self.correcting)
        self.shown = {**described, "working": self.working(), "error": error, "turn": turn}

    def working(self) -> str:
        """How far the model is that chooses rows; "" if none does."""
        background = self.labelling.model.background
        return f"{background}" if background else ""

    def _repr_mimebundle_(self, **options):
        """The live widget and, for a page without a kernel, a table of what is asked next."""
        bundle = super()._repr_mimebundle_(**options)
        data, *metadata = bundle if isinstance(bundle, tuple) else (bundle,)
        data = {**(data or {}), "text/html": static(self.labelling, self.stop_at)}
        return (data, *metadata) if metadata else data


@contextmanager
def uninterrupted():
    """Ignore interrupts of the kernel in the block."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def describe(labelling: Labelling, stop_at: float, correcting: int | None = None) -> dict:
    """All that the widget shows, as plain values. correcting: the row shown, if it has an answer already."""
    pending, said, rows = labelling.pending, labelling.said, labelling.rows
    row = pending[0] if pending else None
    last = len(said.batches) - 1  # the batch that is being labelled
    size = size_of(labelling, last) if said.batches else 0
    answered = len([n for n in labelling.asked(last) if n not in pending]) if size else 0
    skipped = sum(label is None for label in said.answers.values())
    doubtful = sum("ambiguous" in line for line in said.lines.values())
    place = place_of(labelling, row) if pending else ""
    before = {}  # what was answered about a row that is shown again
    if correcting is not None:
        before = said.lines[rows.keys[correcting]]
        row, place = correcting, f"correcting an answer: {before['label'] or 'skipped'}"
    keys = class_keys(rows.labels)
    return {
        "labels": list(rows.labels),
        "keys": keys,
        "commands": command_keys(keys),
        "counts": list(labelling.counts.values()),
        "columns": list(rows.columns),
        "row": row,
        "texts": [] if row is None else [lines(text) for text in rows.texts[row]],
        "place": place,
        "correcting": correcting is not None,
        "ambiguous": before.get("ambiguous"),
        "earlier": earlier(labelling),
        "done": answered / size if size else 0,
        "total": f"{len(labelling.labelled)} labelled, {skipped} skipped, {len(labelling.pool) + len(pending)} left"
        + f", {doubtful} ambiguous" * bool(doubtful),
        "last": last_answer(labelling),
        "agreement": say_agreement(labelling),
        "advice": say_stop(labelling, stop_at),
    }


def size_of(labelling: Labelling, number: int) -> int:
    """Rows of a batch, also of one whose other rows are still being chosen."""
    batch = labelling.said.batches[number]
    size = len(batch["rows"])
    return min(labelling.protocol.query, size + len(labelling.pool)) if batch.get("begun") else size


def place_of(labelling: Labelling, row: int) -> str:
    """Where a row that was asked about stands: its batch, and its place there."""
    key, batches = labelling.rows.keys[row], labelling.said.batches
    number = max(n for n, batch in enumerate(batches) if key in batch["rows"])
    place = batches[number]["rows"].index(key) + 1
    return f"batch {number + 1}, row {place} of {size_of(labelling, number)}"


def last_answer(labelling: Labelling) -> str:
    """What undo would take back; "" if there is nothing."""
    answers = labelling.said.answers
    if not answers:
        return ""
    key, label = list(answers.items())[-1]
    if key not in labelling.row_of:
        return f"{label or 'skipped'}: a row that is gone"
    return say_answer(labelling, labelling.row_of[key], label)


def earlier(labelling: Labelling) -> list[dict]:
    """The last answers about rows of the file, newest first: row, batch (0: it was not asked about), said."""
    said = labelling.said
    batch_of = {key: number for number, batch in enumerate(said.batches, 1) for key in batch["rows"]}
    known = [(labelling.row_of[key], key, label) for key, label in said.answers.items() if key in labelling.row_of]
    return [
        {"row": row, "batch": batch_of.get(key, 0), "said": say_answer(labelling, row, label)}
        for row, key, label in reversed(known[-EARLIER:])
    ]


def say_answer(labelling: Labelling, row: int, label: str | None) -> str:
    return f"{label or 'skipped'}: {visible(shortened(labelling.rows.texts[row][0], 60))}"


def lines(text: str) -> str:
    """A text with its line breaks, and signs for what cannot be seen."""
    return "\n".join(map(visible, text.split("\n")))


def static(labelling: Labelling, stop_at: float) -> str:
    """The same without a kernel: how far labelling is, and the rows that are asked next. Texts are escaped."""
    shown, rows = describe(labelling, stop_at), labelling.rows
    counts = ", ".join(f"{name}: {number}" for name, number in labelling.counts.items())
    told = [shown["total"], counts, shown["agreement"], shown["advice"]]
    head = "".join(f'<th style="text-align: left">{in_html(name)}</th>' for name in rows.columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align: left">{isolated(text)}</td>' for text in rows.texts[n]) + "</tr>"
        for n in labelling.pending[:SHOWN]
    )
    table = f"<p>Asked next:</p><table><tr>{head}</tr>{body}</table>" if body else ""
    note = "<p>To label, open this notebook in JupyterLab and run its cells.</p>"
    return "".join(f"<p>{in_html(line)}</p>" for line in told if line) + table + note

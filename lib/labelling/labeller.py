"""The widget in which a person labels rows: a button and a number key a class, skip, undo, and answers to correct."""

from pathlib import Path

import anywidget
import traitlets

from lib.data.escaping import in_html, isolated, shortened, visible
from lib.fields import StudyError, brief
from lib.labelling.agreement import say_agreement, say_stop
from lib.labelling.state import Labelling

HERE = Path(__file__).parent
SHOWN = 5  # pending rows in the static view
EARLIER = 200  # answers that may be corrected in the page, the last ones; `Labelling.label` corrects any


class Labeller(anywidget.AnyWidget):
    """Shows the pending rows of a Labelling one after the other; when all have an answer, trains and asks for more.

    An answer names the row that it is about, so that a key pressed twice, or while the model is trained, answers
    nothing else. It is on the disk before the next row is shown.
    """

    _esm = HERE / "labeller.js"
    _css = HERE / "labeller.css"
    shown = traitlets.Dict().tag(sync=True)  # all that the page needs to know

    def __init__(self, labelling: Labelling, stop_at: float):
        super().__init__()
        self.labelling, self.stop_at = labelling, stop_at
        self.correcting = None  # the answered row that is shown again
        self.on_msg(lambda _, answer, __: self.receive(answer))
        self.go_on()

    def receive(self, answer: dict) -> None:
        """An answer from the page: {"row": 17, "label": "positive"}, {"row": 17, "skip": true} or {"undo": true}.

        With "ambiguous", of a row that one could label otherwise: why, or "".
        {"correct": 17} shows an answered row again; {"correct": null} goes back to the rows without an answer.
        """
        try:
            if "correct" in answer:
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
        """Show the next row; before that, if no row is pending, train and choose the next batch."""
        labelling = self.labelling
        if not labelling.pending and len(labelling.pool):
            self.show(busy=self.work())
            labelling.next_batch()
        self.show()

    def work(self) -> str:
        labelling = self.labelling
        if not labelling.ready:
            return "Drawing rows at random …"
        return f"Training on {len(labelling.labelled)} labels, then scoring {len(labelling.pool)} rows …"

    def show(self, busy: str = "", error: str = "") -> None:
        turn = self.shown.get("turn", 0) + 1  # a new value is sent even if nothing else has changed
        described = describe(self.labelling, self.stop_at, self.correcting)
        self.shown = {**described, "busy": busy, "error": error, "turn": turn}

    def _repr_mimebundle_(self, **options):
        """The live widget and, for a page without a kernel, a table of what is asked next."""
        bundle = super()._repr_mimebundle_(**options)
        data, *metadata = bundle if isinstance(bundle, tuple) else (bundle,)
        data = {**(data or {}), "text/html": static(self.labelling, self.stop_at)}
        return (data, *metadata) if metadata else data


def describe(labelling: Labelling, stop_at: float, correcting: int | None = None) -> dict:
    """All that the widget shows, as plain values. correcting: the row shown, if it has an answer already."""
    pending, said, rows = labelling.pending, labelling.said, labelling.rows
    size = len(said.batches[-1]["rows"]) if said.batches else 0
    row = pending[0] if pending else None
    skipped = sum(label is None for label in said.answers.values())
    doubtful = sum("ambiguous" in line for line in said.lines.values())
    place = f"batch {len(said.batches)}, row {size - len(pending) + 1} of {size}" if pending else ""
    before = {}  # what was answered about a row that is shown again
    if correcting is not None:
        before = said.lines[rows.keys[correcting]]
        row, place = correcting, f"correcting an answer: {before['label'] or 'skipped'}"
    return {
        "labels": list(rows.labels),
        "counts": list(labelling.counts.values()),
        "columns": list(rows.columns),
        "row": row,
        "texts": [] if row is None else [lines(text) for text in rows.texts[row]],
        "place": place,
        "correcting": correcting is not None,
        "ambiguous": before.get("ambiguous"),
        "earlier": earlier(labelling),
        "done": (size - len(pending)) / size if size else 0,
        "total": f"{len(labelling.labelled)} labelled, {skipped} skipped, {len(labelling.pool)} left"
        + f", {doubtful} ambiguous" * bool(doubtful),
        "last": last_answer(labelling),
        "agreement": say_agreement(labelling),
        "advice": say_stop(labelling, stop_at),
    }


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
    """The last answers about rows of the file, newest first: row, said."""
    answers = [(labelling.row_of.get(key), label) for key, label in labelling.said.answers.items()]
    known = [(row, label) for row, label in answers if row is not None][-EARLIER:]
    return [{"row": row, "said": say_answer(labelling, row, label)} for row, label in reversed(known)]


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

"""Labelling one's own rows by active learning: what is known, and what is asked next."""

from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score

from lib.data.classes import class_names
from lib.data.own_rows import OwnRows
from lib.data.tasks import UNLABELLED
from lib.errors import StudyError, join_or
from lib.labelling.chooser import Chooser, Wanted
from lib.labelling.journal import Journal, Said
from lib.method.model import Classifier
from lib.protocol import Protocol
from lib.runs.files import read_json, write_json


def output_folder(path: Path, save: str, answers: str) -> Path:
    """Where labels and classifier go: as given, or beside the file; a column's answers never mix with a person's."""
    return Path(save) if save else path.with_name(f"{path.stem}-{'answered' if answers else 'labelled'}")


class Labelling:
    """The labels of one file, kept in a journal; the rows that are asked next, a batch at a time.

    The first `protocol.start` labels are of rows drawn at random. Then each batch has `at_random` rows drawn at
    random, which say without bias how often the model is right about unlabelled rows, and up to `protocol.query` in
    all, the others by the protocol's strategy. Those at random may be asked while the others are chosen: see
    `begin_batch`. Rows are numbers into `rows`. renamed: classes that had another name when labels were given, as
    `former_names` takes it. Raises StudyError as OwnRows, Journal and `former_names` do.
    """

    def __init__(
        self,
        rows: OwnRows,
        protocol: Protocol,
        folder: Path,
        at_random: int = 0,
        answers: str = "",
        annotator: str = "",
        balance: float = 0.0,
        renamed: str = "",
    ):
        if not 0 <= at_random <= protocol.query:
            raise StudyError(f"at_random={at_random} is not allowed: give 0 to query={protocol.query}")
        self.model = Chooser(rows, protocol, balance)  # a mistake is said before any answer
        self.rows, self.protocol, self.folder, self.at_random = rows, protocol, Path(folder), at_random
        self.annotator = annotator  # whose labels these are, "" if nobody asks
        self.journal = Journal(self.folder / "journal.jsonl", {"columns": list(rows.columns), "answers": answers})
        self.row_of = {key: n for n, key in enumerate(rows.keys)}
        self.rename(former_names(renamed, rows.labels))
        if others := set(self.said.answers.values()) - {None, *rows.labels}:
            named = ", ".join(map(repr, sorted(others)))
            plural, it = ("labels", "them") if len(others) > 1 else ("label", "it")
            raise StudyError(
                f"{self.journal.path} holds the {plural} {named}: add {it} to labels, give the present name as "
                "renamed='old=new', or choose save"
            )

    # ---- what is known

    @property
    def said(self) -> Said:
        return self.journal.said()

    @property
    def labels_N(self) -> np.ndarray:
        """Class of each row, from the file or the journal; UNLABELLED where there is none."""
        labels_N = self.rows.labels_N.copy()
        for key, label in self.said.answers.items():
            if key in self.row_of and label is not None:
                labels_N[self.row_of[key]] = self.rows.labels.index(label)
        return labels_N

    @property
    def labelled(self) -> np.ndarray:
        return np.flatnonzero(self.labels_N != UNLABELLED)

    @property
    def counts(self) -> dict[str, int]:
        """Labelled rows of each class."""
        counts = Counter(self.labels_N[self.labelled].tolist())
        return {name: counts[c] for c, name in enumerate(self.rows.labels)}

    def asked(self, number: int | None = None) -> list[int]:
        """Rows of a batch, or of all, that are still in the file, in the order of asking."""
        batches = self.said.batches[slice(number, None if number is None else number + 1)]
        return [self.row_of[key] for batch in batches for key in batch["rows"] if key in self.row_of]

    @property
    def pending(self) -> list[int]:
        """Rows that were asked about and have no answer yet."""
        answered = {self.row_of.get(key) for key in self.said.answers}
        labels_N = self.rows.labels_N
        return [n for n in self.asked() if n not in answered and labels_N[n] == UNLABELLED]

    @property
    def pool(self) -> np.ndarray:
        """Rows that have no label and were not asked about."""
        return np.setdiff1d(np.flatnonzero(self.labels_N == UNLABELLED), self.asked())

    # ---- answers

    def label(self, row: int, name: str, ambiguous: str | None = None) -> None:
        """Give a row that was asked about, or has a label, this label: it is on the disk when this returns.

        ambiguous: why one could label it otherwise, "" without a reason; None if it is clear.
        """
        if name not in self.rows.labels:
            raise StudyError(f"label {name!r} is not in the list: choose {join_or(map(repr, self.rows.labels))}")
        self._answer(row, name, ambiguous)

    def skip(self, row: int, ambiguous: str | None = None) -> None:
        """Leave a row that was asked about without a label: it is not asked about again."""
        self._answer(row, None, ambiguous)

    def _answer(self, row: int, label: str | None, ambiguous: str | None = None) -> None:
        if row in self.pool or not 0 <= row < len(self.rows):
            raise StudyError(f"row {row} was not asked about: answer those that are pending, or correct an answer")
        noted = {} if ambiguous is None else {"ambiguous": ambiguous}
        self.journal.append(**self.answer(row, label), **noted)

    def answer(self, row: int, label: str | None) -> dict:
        """A line of the journal: so that it can be told which row it was about, whatever becomes of the file."""
        rows, held = self.rows, self.rows.labels_N[row]
        about = {"row": rows.keys[row], "number": rows.numbers[row], "texts": list(rows.texts[row])}
        return {**about, "label": label, "file": None if held == UNLABELLED else rows.labels[held]}

    def rename(self, names: dict[str, str]) -> None:
        """Let labels under former names of classes count under the present ones: former → present."""
        said = {*self.said.answers.values(), *(name for batch in self.said.batches for name in batch["predicted"])}
        if said.intersection(names):
            self.journal.append(renamed=names)
            if last := self._last_predictions():
                self._keep_predictions(
                    last["batch"], {key: names.get(name, name) for key, name in last["predictions"].items()}
                )

    def undo(self) -> None:
        """Take back the last answer: the one before it holds again, or its row is asked about again, first of all."""
        if self.said.answers:
            self.journal.append(undo=True)

    # ---- the next batch

    @property
    def begun(self) -> list[int] | None:
        """Of a batch whose other rows are still to be chosen, those that were drawn at random; None if none is."""
        batches = self.said.batches
        return self.asked(len(batches) - 1) if batches and batches[-1].get("begun") else None

    @property
    def number(self) -> int:
        """Of the batch that is to be chosen next, or was begun."""
        return len(self.said.batches) - (self.begun is not None)

    @property
    def due(self) -> bool:
        """Whether rows are to be chosen: none is pending and there are some, or a batch was only begun."""
        return self.begun is not None or (not self.pending and len(self.pool) > 0)

    @property
    def learnt_N(self) -> np.ndarray:
        """The labels that the next model is trained on: not those of a batch whose other rows it still has to choose.

        So what it predicts for these rows, too, was predicted before it saw their labels.
        """
        labels_N = self.labels_N
        labels_N[self.begun or []] = UNLABELLED
        return labels_N

    @property
    def ready(self) -> bool:
        """Whether there are labels enough for a model to choose: `protocol.start`, and of two classes."""
        known = self.learnt_N[self.learnt_N != UNLABELLED]
        return len(known) >= self.protocol.start and len(set(known.tolist())) > 1

    @property
    def by_chance(self) -> np.ndarray:
        """The pool in the order in which rows are drawn at random: one for the whole file, the same for everyone."""
        order = self.protocol.generator("random", 0).permutation(len(self.rows))
        return order[np.isin(order, self.pool)]

    def next_batch(self) -> None:
        """Choose the rows to ask about next, if they are due, and note them in the journal."""
        if not self.due:
            return
        if self.ready:
            self.note(self.model.choose(self.wanted))
            return
        begun, known = self.begun or [], int((self.learnt_N != UNLABELLED).sum())
        wanted = self.protocol.start - known if known < self.protocol.start else self.protocol.query
        rows = [*begun, *self.by_chance[: max(0, wanted - len(begun))]]
        self._ask(rows, ["random"] * len(rows), [None] * len(rows))

    def begin_batch(self) -> None:
        """Let a model choose the next batch in the background; ask about its rows drawn at random meanwhile."""
        if self.begun is None and self.at_random:
            drawn = self.wanted.drawn.tolist()
            self._ask(drawn, ["random"] * len(drawn), [None] * len(drawn), begun=True)
        self.model.start(self.wanted)

    def end_batch(self) -> None:
        """Ask about what the model has chosen, when it has. Raises what the choice raised."""
        self.note(self.model.result())

    @property
    def wanted(self) -> Wanted:
        """The batch that a model is to choose next."""
        begun = self.begun
        drawn = self.by_chance[: min(self.at_random, self.protocol.query)] if begun is None else begun
        pool = np.union1d(self.pool, begun or []).astype(np.int64)
        return Wanted(self.number, self.learnt_N, pool, np.array(drawn, np.int64))

    def note(self, chosen: dict) -> None:
        """Ask about what `choose` has chosen: first what was asked meanwhile, and the row that is being read."""
        begun, pending, predictions = self.begun or [], self.pending, chosen["predictions"]
        shown = [n for n in begun if n not in pending or n == pending[0]]
        picked = dict(zip(chosen["rows"], chosen["picked"], strict=True))
        rows = [*shown, *(n for n in picked if n not in shown)]
        kappa = self._compare({self.rows.keys[n]: name for n, name in predictions.items()})
        predicted = [predictions[n] for n in rows]
        self._ask(rows, [picked[n] for n in rows], predicted, labelled=chosen["labelled"], kappa=kappa)

    def _ask(self, rows, picked: list[str], predicted: list, **more) -> None:
        batch = {"batch": self.number, "labelled": len(self.labelled), "rows": [self.rows.keys[n] for n in rows]}
        self.journal.append(**{**batch, "picked": picked, "predicted": predicted, **more})

    def fit(self) -> Classifier:
        """The classifier trained from θ_0 on all labels. Raises StudyError if they are of one class."""
        return self.model.fit(self.labels_N)

    def _compare(self, predictions: dict[str, str]) -> float | None:
        """Cohen's κ with the last model, over the rows that both predicted unlabelled; None if there is none."""
        number, last = self.number, self._last_predictions()
        self._keep_predictions(number, predictions)
        before = self.said.batches[number - 1]["predicted"] if number else [None]
        if last is None or last["batch"] != number - 1 or None in before:  # no model chose the batch before
            return None
        both = [key for key in predictions if key in last["predictions"]]
        return kappa([predictions[key] for key in both], [last["predictions"][key] for key in both])

    def _last_predictions(self) -> dict | None:
        return read_json(self.folder / "predictions.json")

    def _keep_predictions(self, number: int, predictions: dict[str, str]) -> None:
        write_json(self.folder / "predictions.json", {"batch": number, "predictions": predictions})

    def answer_from_column(self, batches: int) -> None:
        """Let the answers of the file stand for a person, until there are so many batches or no row is left."""
        for number in range(batches):
            if number == len(self.said.batches):
                self.next_batch()
            for row in [row for row in self.asked(number) if row in self.pending]:
                answer = self.rows.answers_N[row]
                self._answer(row, None if answer == UNLABELLED else self.rows.labels[answer])


def former_names(renamed: str, labels: tuple[str, ...]) -> dict[str, str]:
    """'neg=negative, pos=positive' → former name: present name. Raises StudyError unless only the second is a class."""
    names = {}
    for pair in class_names(renamed):
        former, sign, present = (part.strip() for part in pair.partition("="))
        if not sign or not former or present not in labels:
            raise StudyError(
                f"renamed={renamed!r} is not allowed: write 'former name=present name', the present one being "
                f"{join_or(map(repr, labels))}"
            )
        if former in labels:
            raise StudyError(f"renamed={renamed!r}: {former!r} is still a class: leave it out of labels")
        names[former] = present
    return names


def kappa(first_N, second_N) -> float:
    """Cohen's κ, the agreement of two models beyond chance; 0 if both always say one class: they learnt nothing."""
    if len(np.union1d(first_N, second_N)) < 2:
        return 0.0
    return float(cohen_kappa_score(first_N, second_N))

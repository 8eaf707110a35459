"""Labelling one's own rows by active learning: what is known, what is asked next, and what the model makes of it."""

import copy
import dataclasses
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import cohen_kappa_score

from lib import scoring, uncertainty
from lib.active_learning import device, settled
from lib.data.rows import Rows, check_embedded, load_tokenizer, tokenise
from lib.data.tasks import UNLABELLED
from lib.fields import StudyError, one_of
from lib.labelling.journal import Journal, Said
from lib.labelling.own_rows import OwnRows
from lib.model import Classifier, build_classifier
from lib.protocol import Protocol
from lib.training import train


def recipe(
    rows: OwnRows, start: int, query: int, encoder: str = "", max_length: int = 128, strategy: str = "bald"
) -> Protocol:
    """How to train on one's own rows: the study's protocol. Raises StudyError for too few rows, or no such strategy."""
    if len(rows) < start + query:
        raise StudyError(
            f"{rows.path} has {len(rows)} rows, fewer than start={start} and a batch of query={query}: "
            "lower them, or add rows"
        )
    from dask.system import CPU_COUNT

    named = {"strategy": strategy, **({"encoder": encoder} if encoder else {})}
    threads = max(1, CPU_COUNT // 2)  # with a thread for each core, whatever else runs makes all of them wait
    sizes = {"start": start, "query": query, "rounds": 1, "pool": len(rows), "max_length": max_length}
    return Protocol(task="own rows", threads=threads, **sizes, **named)


def as_tokens(texts: list[tuple[str, ...]], protocol: Protocol) -> Rows:
    """Texts without labels, as the encoder reads them. Raises StudyError if it does not go together with them."""
    rows = [(*those, UNLABELLED) for those in texts]
    tokenised = tokenise(rows, load_tokenizer(protocol.encoder), protocol.max_length)
    check_embedded(tokenised, protocol.encoder)
    return tokenised


def output_folder(path: Path, save: str, answers: str) -> Path:
    """Where labels and classifier go: as given, or beside the file; a column's answers never mix with a person's."""
    return Path(save) if save else path.with_name(f"{path.stem}-{'answered' if answers else 'labelled'}")


class Labelling:
    """The labels of one file, kept in a journal; the rows that are asked next, a batch at a time.

    The first `protocol.start` labels are of rows drawn at random. Then each batch has `at_random` rows drawn at
    random, which say without bias how often the model is right about unlabelled rows, and up to `protocol.query` in
    all, the others by the protocol's strategy. Rows are numbers into `rows`. Raises StudyError as OwnRows and Journal
    do.
    """

    def __init__(
        self,
        rows: OwnRows,
        protocol: Protocol,
        folder: Path,
        at_random: int = 0,
        answers: str = "",
        annotator: str = "",
    ):
        if not 0 <= at_random <= protocol.query:
            raise StudyError(f"at_random={at_random} is not allowed: give 0 to query={protocol.query}")
        # a mistake is said before any answer
        self.theta_0 = build_classifier(protocol, len(rows.labels)).to(device())
        self.tokenised = as_tokens(rows.texts, protocol)
        self.rows, self.protocol, self.folder, self.at_random = rows, protocol, Path(folder), at_random
        self.annotator = annotator  # whose labels these are, "" if nobody asks
        self.journal = Journal(self.folder / "journal.jsonl", {"columns": list(rows.columns), "answers": answers})
        self.row_of = {key: n for n, key in enumerate(rows.keys)}
        if others := set(self.said.answers.values()) - {None, *rows.labels}:
            named = ", ".join(map(repr, sorted(others)))
            plural, it = ("labels", "them") if len(others) > 1 else ("label", "it")
            raise StudyError(f"{self.journal.path} holds the {plural} {named}: add {it} to labels, or choose save")
        self.fitted = None  # labels_N and the classifier that was trained on them

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
            raise StudyError(f"label {name!r} is not in the list: choose {one_of(map(repr, self.rows.labels))}")
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

    def undo(self) -> None:
        """Take back the last answer: the one before it holds again, or its row is asked about again, first of all."""
        if self.said.answers:
            self.journal.append(undo=True)

    # ---- the next batch

    @property
    def ready(self) -> bool:
        """Whether there are labels enough to train on: `protocol.start`, and of two classes."""
        return len(self.labelled) >= self.protocol.start and sum(map(bool, self.counts.values())) > 1

    @property
    def by_chance(self) -> np.ndarray:
        """The pool in the order in which rows are drawn at random: one for the whole file, the same for everyone."""
        order = self.protocol.generator("random", 0).permutation(len(self.rows))
        return order[np.isin(order, self.pool)]

    def next_batch(self) -> None:
        """Choose the rows to ask about next, if none is pending and any is left, and note them in the journal."""
        if self.pending or not len(self.pool):
            return
        number, pool, query = len(self.said.batches), self.pool, self.protocol.query
        by_chance = self.by_chance
        if not self.ready:
            wanted = self.protocol.start - len(self.labelled)
            rows = by_chance[: wanted if wanted > 0 else query]
            self._ask(number, rows, ["random"] * len(rows), [None] * len(rows))
            return
        classifier = self.fit()
        with settled(self.protocol):
            features_NF = uncertainty.pool_features(classifier, self.tokenised, pool)
            predictions_N = uncertainty.predict_log_probs(classifier, features_NF).argmax(1).cpu().numpy()
            drawn = np.searchsorted(pool, np.sort(by_chance[: min(self.at_random, query)]))
            others = np.setdiff1d(np.arange(len(pool)), drawn)
            best = self._best(classifier, features_NF[others], others, min(query - len(drawn), len(others)), number)
        chance = self.protocol.generator("random", number)
        order = chance.permutation([*drawn, *best])  # nothing tells a person which rows the model is unsure of
        names = np.array(self.rows.labels)[predictions_N]
        picked = ["random" if place in set(drawn) else self.protocol.strategy for place in order]
        agreement = self._compare(number, dict(zip((self.rows.keys[n] for n in pool), names.tolist(), strict=True)))
        self._ask(number, pool[order], picked, names[order].tolist(), kappa=agreement)

    def _best(self, classifier, features_NF, places, query: int, number: int) -> np.ndarray:
        """The `query` places that the strategy picks, by default those with the highest BALD."""
        if not query:
            return places[:0]
        masks = scoring.round_masks(classifier, self.protocol, number)
        protocol = dataclasses.replace(self.protocol, query=query)
        return scoring.acquire(classifier, features_NF, masks, places, protocol, number)[0]

    def _ask(self, number: int, rows, picked: list[str], predicted: list, **more) -> None:
        keys = self.rows.keys
        batch = {"batch": number, "labelled": len(self.labelled), "rows": [keys[n] for n in rows]}
        self.journal.append(**batch, picked=picked, predicted=predicted, **more)

    def fit(self) -> Classifier:
        """The classifier trained from θ_0 on all labels, the same for the same labels.

        Raises StudyError if they are of one class.
        """
        if sum(map(bool, self.counts.values())) < 2:
            raise StudyError(f"labels so far: {self.counts}: label rows of two classes or more before training")
        if self.fitted is None or not np.array_equal(self.fitted[0], self.labels_N):
            classifier, labels_N = copy.deepcopy(self.theta_0), self.labels_N
            rows = dataclasses.replace(self.tokenised, labels_N=labels_N)
            with settled(self.protocol):
                train(classifier, rows, self.labelled, self.protocol, len(self.labelled))
            self.fitted = labels_N, classifier
        return self.fitted[1]

    def _compare(self, number: int, predictions: dict[str, str]) -> float | None:
        """Cohen's κ with the last model, over the rows that both predicted unlabelled; None if there is none."""
        path = self.folder / "predictions.json"
        last = json.loads(path.read_text("utf-8")) if path.exists() else None
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps({"batch": number, "predictions": predictions}), "utf-8")
        os.replace(scratch, path)
        before = self.said.batches[-1]["predicted"] if number else [None]
        if last is None or last["batch"] != number - 1 or None in before:  # no model chose the batch before
            return None
        both = [key for key in predictions if key in last["predictions"]]
        return kappa([predictions[key] for key in both], [last["predictions"][key] for key in both])

    def answer_from_column(self, batches: int) -> None:
        """Let the answers of the file stand for a person, until there are so many batches or no row is left."""
        for number in range(batches):
            if number == len(self.said.batches):
                self.next_batch()
            for row in [row for row in self.asked(number) if row in self.pending]:
                answer = self.rows.answers_N[row]
                self._answer(row, None if answer == UNLABELLED else self.rows.labels[answer])


def kappa(first_N, second_N) -> float:
    """Cohen's κ, the agreement of two models beyond chance; 0 if both always say one class: they learnt nothing."""
    if len(np.union1d(first_N, second_N)) < 2:
        return 0.0
    return float(cohen_kappa_score(first_N, second_N))

"""A user's own rows: texts from a csv or jsonl file, each once, and the labels that some of them already have."""

import csv
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lib.data.classes import blank, check_classes, class_names, classes_in, classes_of, settle
from lib.data.files import read_table
from lib.data.sources import ROOT
from lib.data.tasks import UNLABELLED
from lib.data.values import as_text
from lib.errors import StudyError, counted, did_you_mean, truncated
from lib.protocol import digest

NO_ROW_LEFT = "no row is left to label"
DEMONSTRATION = ROOT / "demonstration" / "reviews.csv"


@dataclass(frozen=True)
class OwnRows:
    """N different rows of a file, in its order."""

    path: Path
    columns: tuple[str, ...]  # the text column, or two
    labels: tuple[str, ...]  # names of the C classes
    texts: list[tuple[str, ...]]
    numbers: list[int]  # places in the file; the first row is 1
    labels_N: np.ndarray  # class that the file gives, or UNLABELLED
    answers_N: np.ndarray  # class that a person would give, or UNLABELLED
    others: list[dict]  # what other columns hold, as in the file
    notes: tuple[str, ...]  # what was left out or looks strange
    in_file: int  # rows of the file, with those that were left out

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def keys(self) -> list[str]:
        """What a row is known by, wherever it stands in the file: a digest of its texts."""
        return [digest(texts)[:16] for texts in self.texts]


def read_rows(
    path, text_column: str, second_text_column="", labels="", label_column="", answers="", contradicting="refused"
) -> OwnRows:
    """Rows of a file that `lib.data.files.read_table` takes, such as a .csv with a header.

    labels: names of the classes, or one string as `class_names` takes it; none: those that occur in label_column
    and answers. label_column: a label, or nothing for a row still to be labelled. answers: a column with the labels
    that a person would give. contradicting: whether one text with two labels is "refused" or, where the labels are not
    to be mended, "left out". Rows without text and repeated texts are left out, and `notes` says how many, and what
    was taken for no label. Raises StudyError for anything that cannot be read.
    """
    path = Path(path)
    held, guessed = read_table(path)
    table = [(number, {name: as_text(value) for name, value in row.items()}) for number, row in held.items()]
    text_column, second_text_column, label_column, answers = (
        (name or "").strip() for name in (text_column, second_text_column, label_column, answers)
    )
    columns = tuple(filter(None, (text_column, second_text_column)))
    found = list(dict.fromkeys(name for _, row in table for name in row))
    for name in filter(None, (*columns, label_column, answers)):
        if name not in found:
            listed = truncated([*map(repr, found)])
            raise StudyError(f"{path} has no column {name!r}{did_you_mean(name, found)}: choose from {listed}")
    if len(set(columns)) < len(columns) or not columns:
        raise StudyError(f"text columns {text_column!r} and {second_text_column!r}: name one, or two different ones")
    for name in (label_column, answers):
        if name in columns:
            raise StudyError(f"{name!r} is named for the text and for its label: name two different columns")
    given, sources = class_names(labels), dict.fromkeys((label_column, answers))
    notes = settle(table, sources, given, path)
    kept, left_out = different(table, columns, (label_column, answers), path, contradicting)
    classes = given or classes_in(kept, sources, path)
    check_classes(classes, labels)
    notes += [
        f"{name!r} is a column here and a label, too: if the first line of the file is a row, write a header above it"
        for name in filter(None, sources)
        if name in classes
    ]
    labels_N, answers_N = (classes_of(kept, name, classes, path) for name in (label_column, answers))
    texts = [tuple(row[name] for name in columns) for _, row in kept]
    numbers = [number for number, _ in kept]
    if (labels_N != UNLABELLED).all():
        left_out.append(f"{NO_ROW_LEFT}: {label_column!r} has a label for each; for a trial, name it answers")
    others = [name for name in found if name not in (*columns, *sources)]
    more = [{name: held[number].get(name) for name in others} for number in numbers]
    return OwnRows(
        path,
        columns,
        tuple(classes),
        texts,
        numbers,
        labels_N,
        answers_N,
        more,
        (*guessed, *left_out, *notes),
        in_file=len(held),
    )


def different(table, columns, sources, path: Path, contradicting: str) -> tuple[list[tuple[int, dict]], list[str]]:
    """The rows that have text, each text once, and what was left out. sources: the columns of labels and of answers.

    Raises StudyError for contradicting labels; of contradicting answers, the first holds, as a note says.
    """
    first, missing, times, contradictions, doubtful = {}, [], Counter(), {name: [] for name in sources}, set()
    for number, row in table:
        texts = tuple(row.get(name, "") for name in columns)
        if any(map(blank, texts)):
            missing.append(next(filter(blank, texts)))
            continue
        times[texts] += 1
        if texts not in first:
            first[texts] = (number, {**row, **dict(zip(columns, texts, strict=True))})
            continue
        number_before, before = first[texts]
        for name in filter(None, contradictions):
            here, there = row.get(name, ""), before.get(name, "")
            if here and there and here != there:
                contradictions[name].append(f"rows {number_before} and {number} ({there!r} and {here!r})")
                doubtful.add(texts)
            before[name] = there or here
    if not first:
        raise StudyError(f"{path}: no row has text in {' and '.join(map(repr, columns))}: name other columns")
    labels, answers = (contradictions[name] for name in sources)
    if labels and contradicting == "left out":
        first = {texts: row for texts, row in first.items() if texts not in doubtful}
        if not first:
            raise StudyError(
                f"{path}: every text has two labels, as {truncated(labels, 2)}: correct them, or name others"
            )
    elif labels:
        what = "the same text but different labels: correct one of each two"
        raise StudyError(f"{path}: {truncated(labels)} have {what}")
    repeated = sum(times[texts] - 1 for texts in first)
    notes = [f"left out, without text: {counted(len(missing), 'row')}{written(missing)}"] if missing else []
    notes += [f"left out, since their text occurs before: {counted(repeated, 'row')}"] if repeated else []
    if labels:
        rows = sum(times[texts] for texts in doubtful)
        notes.append(f"left out, since their text has different labels: {counted(rows, 'row')}")
    notes += [f"the same text but different answers, of which the first holds: {truncated(answers)}"] if answers else []
    return list(first.values()), notes


def written(missing: list[str]) -> str:
    """How a file writes that there is no text, beside empty cells: " ('nan' in 16 rows)"."""
    words = [f"{word!r} in {counted(number, 'row')}" for word, number in Counter(missing).most_common() if word]
    return f" ({truncated(words, 5)})" if words else ""


def write_demonstration(path: Path = DEMONSTRATION, rows: int = 200) -> Path:
    """Write a csv with the first sentences of the task `reviews`, in columns text and label. → its path"""
    from lib.data.tasks import read_texts

    task = read_texts("reviews")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text, task.labels[label]) for text, label in task.train[:rows])
    return path

"""Which classes the labels of a file are, and what in a column of labels is none."""

import ast
import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from lib.data.spelling import in_order, one_spelling, parts_of, plain, say_alike, say_several
from lib.data.tasks import UNLABELLED
from lib.data.values import is_missing
from lib.errors import StudyError, join_or, names, truncated

MANY, SHARE = 20, 0.8  # more classes than this, one for so much of the rows: the column holds something else


def class_names(labels) -> tuple[str, ...]:
    """Names, or a string of them with commas between; one that has commas itself stands in double quotes."""
    if isinstance(labels, str) and '"' in labels:
        labels = next(csv.reader([labels], skipinitialspace=True))
    return tuple(plain(str(name)) for name in names("labels", labels))


def settle(table: list[tuple[int, dict[str, str]]], columns, given, path: Path) -> list[str]:
    """Write labels as classes in the table's columns: lists of one as what they hold, nothing as "". → notes

    A class that is written in several ways gets one name, as `one_spelling` says. given: names that are classes as they
    stand. Raises StudyError for a list of several labels.
    """
    nothing = Counter()
    for number, row in table:
        for column in filter(row.get, columns):
            held = row[column]
            if plain(held) not in given:
                row[column] = "" if blank(held) else single(held, f"{path}, row {number}, column {column!r}")
                nothing[held] += not row[column]
    counts = Counter(row[column] for _, row in table for column in filter(row.get, columns))
    now, merged = one_spelling(counts, given)
    for _, row in table:
        row |= {column: now[row[column]] for column in columns if row.get(column) in now}
    notes = [
        f"taken for no label: {held!r} in {number} rows; if it is a class, name all classes in labels"
        for held, number in nothing.items()
        if number
    ]
    classes = given or in_order({now.get(label, label) for label in counts})
    return notes + merged + say_several(counts, given) + say_alike(classes)


def blank(label: str) -> bool:
    return is_missing(plain(label))


def single(label: str, where: str) -> str:
    """What a list of one label holds, as JSON or Python write it, "" if that is nothing; another label as it is."""
    if label[:1] + label[-1:] not in ("[]", "()", "{}"):
        return label
    between = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", label)  # NumPy writes no commas
    for read in (json.loads, ast.literal_eval):
        try:
            held = read(between)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if not isinstance(held, list | tuple | set):
            return label
        held = [str(value).strip() for value in held]
        held = [value for value in held if not blank(value)]
        if len(held) > 1:
            raise StudyError(f"{where}: {label} are {len(held)} labels: give each row one")
        return held[0] if held else ""
    return label


def classes_in(rows: list[tuple[int, dict[str, str]]], columns, path: Path) -> list[str]:
    """The classes that occur in the columns, in order. Raises StudyError if nearly every row has one of its own."""
    found = in_order({row.get(column, "") for _, row in rows for column in columns} - {""})
    if len(found) > max(MANY, SHARE * len(rows)):
        named = " and ".join(map(repr, filter(None, columns)))
        raise StudyError(
            f"{path}: {named} would give {len(found)} classes for {len(rows)} rows: choose a column that holds "
            "classes, or name them in labels"
        )
    return found


def check_classes(classes, given) -> None:
    if not all(classes):
        raise StudyError(f"labels={given!r}: a name is empty, which stands for no label: give each class a name")
    if len(set(classes)) < len(classes):
        raise StudyError(f"labels={given!r}: a name occurs twice: give each class once")
    if len(classes) < 2:
        told = f"one class only, {classes[0]!r}" if classes else "no class"
        raise StudyError(f"{told}: name two or more, as in labels='negative,positive'")


def classes_of(rows: list[tuple[int, dict[str, str]]], column: str, classes, path: Path) -> np.ndarray:
    """Class of each row that a column gives, UNLABELLED for nothing. Raises StudyError for another label."""
    numbers = {"": UNLABELLED, **{name: c for c, name in enumerate(classes)}}
    others = {}
    for number, row in rows:
        if (held := row.get(column, "")) not in numbers:
            others.setdefault(held, []).append(number)
    quoted = " in double quotes" if any("," in held for held in others) else ""
    for held, places in others.items():
        if parts := parts_of(held, set(classes), Counter()):
            raise StudyError(
                f"{path}, row {places[0]}, column {column!r}: {held!r} are {len(parts)} labels: give each row one, or, "
                f"if it is a class, add it to labels{quoted}"
            )
    if others:
        found = [f"{held!r} (row {truncated(places, 1)})" for held, places in list(others.items())[:MANY]]
        some, are, it = ("labels", "are", "them") if len(others) > 1 else ("label", "is", "it")
        raise StudyError(
            f"{path}: the {some} {', '.join(found)} in column {column!r} {are} not in the list: "
            f"choose {join_or(map(repr, classes))}, or add {it} to labels{quoted}"
        )
    return np.array([numbers[row.get(column, "")] for _, row in rows], np.int64)

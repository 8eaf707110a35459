"""Training and validation rows of a file: rows that repeat each other, or share a text, stay on one side."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lib.errors import StudyError, counted

VALIDATION = 5  # every fifth row of each class is for validation
LARGEST = 0.1  # of all rows: a larger group of rows that share a text is no longer kept together
FEW = 10  # rows of a class, from which on its share of validation rows is checked
SHARE = (0.1, 0.3)  # of a class for validation: what is near enough to a fifth
LINK = re.compile(r"\b(?:https?://|www\.)\S+|\b(?:[\w-]+\.)+[a-z]{2,}/\S*", re.IGNORECASE)
RETWEET = re.compile(r"^\s*RT\b[\s:]*(?:@\w+)?")
REPEATED = "differ from another row only in case, blanks, punctuation, a link or RT"


@dataclass(frozen=True)
class Split:
    """Rows are tuples of one or two texts and the number of the class, in the order in which they were given."""

    train: list[tuple]
    validation: list[tuple]
    notes: tuple[str, ...] = ()  # which rows were kept together, and which could not be


class _Letters(dict):
    """For str.translate: letters, marks and digits stay, all else goes."""

    def __missing__(self, code: int) -> int | None:
        self[code] = code if unicodedata.category(chr(code))[0] in "LMN" else None
        return self[code]


_LETTERS = _Letters()


@cache
def normalised(text: str) -> str:
    """The text without case, blanks, punctuation, links and RT: near-duplicates are equal. Signs alone stay."""
    bare = LINK.sub(" ", RETWEET.sub(" ", text))
    return unicodedata.normalize("NFKC", bare).casefold().translate(_LETTERS) or text


def texts_of(row: tuple) -> set[str]:
    """The normalised texts of a row, by which rows of pairs are near each other."""
    return set(map(normalised, row[:-1]))


def whole(row: tuple) -> tuple[str, ...]:
    return tuple(map(normalised, row[:-1]))


def groups(keys: list[set]) -> np.ndarray:
    """group_N of N rows: rows that have a key in common are in one group, also by way of others."""
    numbers = {}
    places = [(n, numbers.setdefault(key, len(numbers))) for n, those in enumerate(keys) for key in those]
    size = len(keys) + len(numbers)
    row_E, key_E = np.array(places, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(places), np.int8), (row_E, len(keys) + key_E)), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(keys)]


def divide(rows: list[tuple], group_N: np.ndarray) -> tuple[list[tuple], list[tuple]]:
    """Training and validation rows. Every fifth row of each class validates, as nearly as whole groups allow.

    The largest groups come first, so that single rows make up for them; those of one size come in the rows' order.
    """
    members = defaultdict(list)
    for n, group in enumerate(group_N):
        members[group].append(n)
    seen, held, chosen = Counter(), Counter(), set()
    for group in sorted(members.values(), key=len, reverse=True):
        counts = Counter(rows[n][-1] for n in group)
        seen.update(counts)
        missing = {c: seen[c] // VALIDATION - held[c] for c in counts}
        if sum(abs(missing[c] - counts[c]) - abs(missing[c]) for c in counts) < 0:
            held.update(counts)
            chosen.update(group)
    train = [row for n, row in enumerate(rows) if n not in chosen]
    return train, [rows[n] for n in sorted(chosen)]


def even(rows: list[tuple], validation: list[tuple]) -> bool:
    """Whether about a fifth of the rows of every class is for validation; of a rare class it may be fewer or more."""
    held = Counter(row[-1] for row in validation)
    every = Counter(row[-1] for row in rows)
    low, high = SHARE
    return bool(validation) and all(low <= held[c] / n <= high for c, n in every.items() if n >= FEW)


def split(rows: list[tuple], value_of: Callable[[tuple], str] | None = None, column: str = "") -> Split:
    """Rows without a near-duplicate or a shared text: of each class every fifth, in the given order, is for validation.

    Rows that repeat each other, and pairs that share a text, stay on one side as long as about a fifth of each class
    can validate: `notes` says what was done. value_of: the value of a row in `column`, "" for none; rows of one value
    always stay on one side. Raises StudyError if they leave no row to validate.
    """
    valued = [{("value", value)} if value_of and (value := value_of(row)) else set() for row in rows]
    texts, wholes = [texts_of(row) for row in rows], [whole(row) for row in rows]
    pairs = bool(rows) and len(rows[0]) > 2
    levels = {"either text": texts, "the first text": [{one[0]} for one in wholes]} if pairs else {}
    levels |= {"the whole row": [{one} for one in wholes], "": [set() for _ in rows]}
    for name, keys in levels.items():
        group_N = groups([one | other for one, other in zip(valued, keys, strict=True)])
        train, validation = divide(rows, group_N)
        if not name or (even(rows, validation) and (name == "the whole row" or largest(groups(keys)) <= LARGEST)):
            break
    if not validation:
        some = counted(len(set(map(value_of, rows)) - {""}), "value") if value_of else "rows that repeat each other"
        raise StudyError(
            f"--group {column}: {some} in {len(rows):,} rows, and no row is left to validate: name a column with more "
            "values, or give other rows with --validation FILE"
        )
    notes = [f"rows with the same value in {column!r} stay together in training or validation"] if value_of else []
    return Split(
        train, validation, (*notes, *said(wholes, texts if pairs else [], name), *left(train, validation, name))
    )


def largest(group_N: np.ndarray) -> float:
    """The share of the rows that the largest group holds."""
    return np.bincount(group_N).max() / len(group_N)


def said(wholes: list[tuple], texts: list[set], kept_by: str) -> list[str]:
    """How many rows repeat each other or share a text, and whether they stay together. texts: of pairs, else none."""
    times, shared = Counter(wholes), Counter(text for those in texts for text in those)
    repeated = sum(number for number in times.values() if number > 1)
    sharing = sum(any(shared[text] > 1 for text in those) for those in texts)
    together = "they stay together in training or validation"
    notes = []
    if repeated:
        notes.append(f"near-duplicates: {counted(repeated, 'row')} {REPEATED}" + (f"; {together}" if kept_by else ""))
    if sharing > repeated:
        how = {
            "either text": together,
            "the first text": "too many to keep together, so only those with the same first text stay together",
        }
        what = how.get(kept_by, "too many to keep together in training or validation")
        notes.append(f"shared texts: {counted(sharing, 'row')} of {len(texts):,} share a text with another row; {what}")
    return notes


def left(train: list[tuple], validation: list[tuple], kept_by: str = "") -> list[str]:
    """What of the validation rows is in the training rows all the same."""
    wholes, texts = {whole(row) for row in train}, {text for row in train for text in texts_of(row)}
    repeating = sum(whole(row) in wholes for row in validation)
    sharing = sum(not texts.isdisjoint(texts_of(row)) for row in validation)
    number = f"of {counted(len(validation), 'validation row')}"
    notes = [f"{number}, {repeating:,} repeat a training row: accuracy is too high"] if repeating else []
    if sharing > repeating:
        which = "their second text" if kept_by == "the first text" else "a text"
        notes.append(f"{number}, {sharing:,} share {which} with a training row: accuracy may be too high")
    return notes


def apart(train: list[tuple], validation: list[tuple]) -> Split:
    """The training rows without those that a given validation row repeats, and all validation rows."""
    exact, near = {row[:-1] for row in validation}, {whole(row) for row in validation}
    others = [row for row in train if row[:-1] not in exact]
    kept = [row for row in others if whole(row) not in near]
    notes = []
    if same := len(train) - len(others):
        notes.append(f"left out, since a validation row has the same text: {counted(same, 'row')}")
    if close := len(others) - len(kept):
        notes.append(
            f"left out, since a validation row differs only in case, blanks or the like: {counted(close, 'row')}"
        )
    return Split(kept, validation, (*notes, *left(kept, validation)))

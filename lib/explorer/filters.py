"""Which rows of a pool the explorer shows, and in which order."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import regex

from lib.errors import StudyError
from lib.explorer.data import NEVER

ANY = -1  # no class
REPEATS = 10_000  # product of the counts in an expression: each repetition takes memory
PATIENCE = 0.5  # seconds that a regular expression may take


@dataclass(frozen=True)
class Filters:
    """What the rows shown have in common; the defaults keep all."""

    label: int = ANY
    prediction: str = ""  # "right" or "wrong"
    queried: str = ""  # "now": after this round, "later", "never"
    picked: str = ""  # of two runs until this round: "first" alone, "second" alone, "both" or "neither"
    low: float = -np.inf  # score
    high: float = np.inf
    search: str = ""  # words that all must occur, or one regular expression
    regular: bool = False


def matching(table: pd.DataFrame, filters: Filters, round_: int, picks: tuple[set, set] = ((), ())) -> np.ndarray:
    """matching_N: whether a row of Explored.table passes the filters. Raises StudyError for a wrong expression."""
    kept = table["score"].between(filters.low, filters.high).to_numpy(copy=True)
    if filters.label != ANY:
        kept &= (table["label"] == filters.label).to_numpy()
    if filters.prediction:
        kept &= (table["right"] == (filters.prediction == "right")).to_numpy()
    if filters.queried:
        queried = table["queried"].to_numpy()
        kept &= {"now": queried == round_, "later": queried > round_, "never": queried == NEVER}[filters.queried]
    if filters.picked:
        first, second = (table["row"].isin(picked).to_numpy() for picked in picks)
        sets = {"first": first & ~second, "second": second & ~first, "both": first & second}
        kept &= (sets | {"neither": ~first & ~second})[filters.picked]
    if filters.search.strip() and filters.regular:
        both = zip(table["first"].to_numpy()[kept], table["second"].to_numpy()[kept], strict=True)
        kept[kept] = regular_expression(filters.search)([f"{first}\n{second}" for first, second in both])
    else:
        for word in filters.search.lower().split():
            kept[kept] = [word in words for words in table["words"].to_numpy()[kept]]
    return kept


def regular_expression(search: str) -> Callable[[list[str]], list[bool]]:
    """→ a function of texts: which match? ^ and $ are the ends of a text.

    Raises StudyError for expressions that are wrong or would stop the kernel: `(a+)+$`, `a{999999999}`.
    """
    if math.prod(int(count) for count in regex.findall(r"(\d+)\}", search)) > REPEATS:
        raise StudyError(f"{search!r} repeats something more than {REPEATS:,} times: lower the counts in braces")
    try:
        expression = regex.compile(search, regex.IGNORECASE | regex.MULTILINE)
    except regex.error as error:
        raise StudyError(f"{search!r} is not a regular expression ({error}): correct it, or search words") from None

    def found(texts: list[str]) -> list[bool]:
        end = time.monotonic() + PATIENCE
        try:
            return [matches(text, end - time.monotonic()) for text in texts]
        except TimeoutError:
            raise StudyError(f"{search!r} takes longer than {PATIENCE} s on these rows: make it simpler") from None

    def matches(text: str, left: float) -> bool:
        if left <= 0:
            raise TimeoutError
        return expression.search(text, timeout=left) is not None

    return found


def spans(filters: Filters) -> Callable[[str], list[tuple[int, int]]]:
    """→ a function of a text: where what is searched stands in it, in order and apart. Nothing for a wrong search."""
    if not filters.search.strip():
        return lambda text: []
    written = filters.search if filters.regular else "|".join(map(regex.escape, filters.search.split()))
    try:
        expression = regex.compile(written, regex.IGNORECASE | regex.MULTILINE)
    except regex.error:
        return lambda text: []

    def found(text: str) -> list[tuple[int, int]]:
        try:
            return [one.span() for one in expression.finditer(text, timeout=PATIENCE / 10) if one.group()]
        except TimeoutError:
            return []

    return found


def cut(text: str, found: list[tuple[int, int]]) -> list[str]:
    """A text in pieces, of which every second is one that was found."""
    ends = [0, *(end for span in found for end in span), len(text)]
    return [text[begin:end] for begin, end in pairwise(ends)]


def ordered(table: pd.DataFrame, kept: np.ndarray, column: str, descending: bool) -> np.ndarray:
    """Positions in `table` of the rows kept, sorted by a column; rows that are equal stay in the order of rank."""
    values = table[column].to_numpy()[kept]
    if values.dtype == object:
        values = pd.factorize(values, sort=True)[0]
    order = np.argsort(-values.astype(float) if descending else values, kind="stable")
    return np.flatnonzero(kept)[order]

"""The study's rows, by a hash of each: whoever has the whole of a data set gets exactly these, in this order.

The lists (docs/measurements/subsets.py writes them) hold no text: 8 bytes a row, and of training rows the label and how
many words the two texts share. What a run can see is named by them, too, so that it is found without the rows.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np

from lib.data.words import overlap
from lib.errors import StudyError

FOLDER = Path(__file__).resolve().parent / "subsets"
SPLITS = ("train", "validation")
FACTS = ("labels", "overlap")


def row_hashes(rows: list[tuple], labels: tuple[str, ...]) -> np.ndarray:
    """hashes_N, uint64: the beginning of SHA-256 of each row's texts and the name of its label."""
    written = (json.dumps([*texts, labels[label]]).encode() for *texts, label in rows)
    return np.frombuffer(b"".join(hashlib.sha256(row).digest()[:8] for row in written), ">u8").astype(np.uint64)


@cache
def pinned(task: str) -> tuple[np.ndarray, np.ndarray] | None:
    """hashes_N of the study's training and validation rows; None for a task whose rows are not listed."""
    return _listed(task, SPLITS)


@cache
def facts(task: str) -> tuple[np.ndarray, np.ndarray] | None:
    """labels_N, overlap_N of the study's training rows: the number of the label; word overlap, nan of a single text.

    None for a task whose rows are not listed.
    """
    return _listed(task, FACTS)


def _listed(task: str, names: tuple[str, ...]) -> tuple[np.ndarray, ...] | None:
    path = FOLDER / f"{task}.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        return tuple(file[name] for name in names)


def facts_of(rows: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """What `facts` gives, of rows with their texts."""
    labels_N = np.array([label for *_, label in rows], np.uint8)
    overlap_N = np.array([overlap(*texts) if len(texts) == 2 else np.nan for *texts, _ in rows])
    return labels_N, overlap_N


def places(wanted_N: np.ndarray, there_M: np.ndarray) -> np.ndarray:
    """places_N: where each wanted hash is found first, -1 if nowhere. Rows of one hash are the same row."""
    hashes, first = np.unique(there_M, return_index=True)
    ranks_N = np.searchsorted(hashes, wanted_N)
    found_N = np.isin(wanted_N, hashes)
    places_N = np.full(len(wanted_N), -1)
    places_N[found_N] = first[ranks_N[found_N]]
    return places_N


def select(task: str, splits: list[list[tuple]], labels: tuple[str, ...], where: str) -> list[list[tuple]]:
    """Of the labelled rows of both splits, the study's, in its order. Raises StudyError if some are not there."""
    found = [places(wanted, row_hashes(rows, labels)) for wanted, rows in zip(pinned(task), splits, strict=True)]
    missing, every = (sum(f(places_N) for places_N in found) for f in (lambda p: int((p < 0).sum()), len))
    if missing:
        raise StudyError(
            f"{missing:,} of the study's {every:,} rows of task {task!r} are not in {where}: give the whole data set, "
            "or --rows first, which takes the data set's first rows instead: another study"
        )
    return [[rows[place] for place in places_N] for rows, places_N in zip(splits, found, strict=True)]


def fingerprint(labels: tuple[str, ...], train_N: np.ndarray, validation_M: np.ndarray) -> str:
    """SHA-256 of the names of the labels and of rows, as their hashes, in their order."""
    sha = hashlib.sha256(json.dumps([labels, len(train_N), len(validation_M)]).encode())
    for hashes in (train_N, validation_M):
        sha.update(hashes.astype(">u8").tobytes())
    return sha.hexdigest()

"""A person's own labelled rows as a task: a folder with train.jsonl, validation.jsonl and about.json.

The folder stands where a folder laid out like the Hub stands for other tasks, in a protocol's `hub`: what a run's key
holds of it is the fingerprint of the rows, so that it may lie anywhere.
"""

import json
from functools import cache
from pathlib import Path

from lib.errors import StudyError

ABOUT, TRAIN, VALIDATION = "about.json", "train.jsonl", "validation.jsonl"


def holds(folder: str, task: str) -> bool:
    """Whether a folder is a person's own data set, and of this name."""
    return bool(folder) and (Path(folder) / ABOUT).is_file() and read_about(folder)["name"] == task


@cache
def read_about(folder: str) -> dict:
    """name, labels and columns. Raises StudyError."""
    try:
        about = json.loads((Path(folder) / ABOUT).read_text("utf-8"))
        return {name: about[name] for name in ("name", "labels", "columns")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{folder}/{ABOUT} cannot be read ({error}): give the data with --data again") from error


def read_splits(folder: str) -> tuple[list[tuple], list[tuple]]:
    """Training and validation rows: one or two texts, and the number of the class. Raises StudyError."""
    try:
        return tuple(
            [tuple(json.loads(line)) for line in (Path(folder) / name).read_text("utf-8").split("\n") if line]
            for name in (TRAIN, VALIDATION)
        )
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(f"{folder} cannot be read ({error}): give the data with --data again") from error

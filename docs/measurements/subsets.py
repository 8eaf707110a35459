"""Write lib/data/subsets/ anew, from a folder laid out like the Hub that has the study's rows in their order.

python docs/measurements/subsets.py --hub FOLDER
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from lib.data import study_rows
from lib.data.study_rows import FACTS, SPLITS
from lib.data.tasks import read_texts
from lib.errors import StudyError

PINNED = {"mnli": (20_000, 2000), "qnli": (20_000, 2000), "sst2": (20_000, 872), "snli": (20_000, 2000)}
PINNED |= {"trec": (5452, 500)}  # task → rows of each split


def write(task: str, hub: str) -> Path:
    """Pin the first rows of a task in a folder laid out like the Hub. Raises StudyError if there are too few."""
    texts = read_texts(task, hub)
    for split, number in zip((texts.train, texts.validation), PINNED[task], strict=True):
        if len(split) < number:
            raise StudyError(f"task {task!r} has {len(split):,} rows in {hub}, of {number:,} that are to be listed")
    kept = [hashes[:number] for hashes, number in zip(texts.hashes, PINNED[task], strict=True)]
    kept += study_rows.facts_of(texts.train[: PINNED[task][0]])
    study_rows.FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(study_rows.FOLDER / f"{task}.npz", **dict(zip((*SPLITS, *FACTS), kept, strict=True)))
    return study_rows.FOLDER / f"{task}.npz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hub", required=True, metavar="FOLDER")
    given = parser.parse_args()
    try:
        for task in PINNED:
            print(write(task, given.hub))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Three labelled files of which it is known what --data has to answer. What it answered: ../decisions.md

    python docs/measurements/known_answers.py --hub FOLDER --to FOLDER
    ./run_all.sh --data FOLDER/needles.csv --only 02

needles.csv: 15 % questions of five kinds (TREC), the rest phrases from movie reviews (SST-2), which are one class. A
random batch labels mostly what is known already, so asking has to pay. shuffled.csv: phrases with each other's labels,
so there is nothing to learn. tiny.csv: eighty phrases, too few to tell anything.
"""

import argparse
import random
from pathlib import Path

import pandas as pd

from lib.data.tasks import read_texts

QUESTIONS, PHRASES = 360, 2040
SHUFFLED, TINY = 600, 80


def needles(trec, sst2) -> list[tuple[str, str]]:
    rng = random.Random(0)
    kinds = [(text, trec.labels[label]) for text, label in trec.train if trec.labels[label] != "ABBR"]
    rows = rng.sample(kinds, QUESTIONS) + [(text, "opinion") for text, _ in rng.sample(sst2.train, PHRASES)]
    rng.shuffle(rows)
    return rows


def phrases(sst2, rows: int, shuffled: bool) -> list[tuple[str, str]]:
    rng = random.Random(0)
    texts, labels = zip(*rng.sample(sst2.train, rows), strict=True)
    labels = rng.sample(labels, rows) if shuffled else labels
    return [(text, sst2.labels[label]) for text, label in zip(texts, labels, strict=True)]


def main(given) -> None:
    trec, sst2 = (read_texts(name, given.hub) for name in ("trec", "sst2"))
    files = {
        "needles": needles(trec, sst2),
        "shuffled": phrases(sst2, SHUFFLED, shuffled=True),
        "tiny": phrases(sst2, TINY, shuffled=False),
    }
    for name, rows in files.items():
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(Path(given.to, f"{name}.csv"), index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="")
    parser.add_argument("--to", default=".")
    main(parser.parse_args())

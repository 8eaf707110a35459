"""Is bfloat16 harmless? The rows that it picks after the same training, and the accuracy of training in it. ../speed.md

    python docs/measurements/bfloat16.py --hub FOLDER --seeds 10

Each pair of trainings has the same seed, in bfloat16 and in float32. Where the processor does not multiply bfloat16,
the same roundings are made slowly.
"""

import argparse

import numpy as np
import pandas as pd

from lib.analysis.statistics import equivalence, t_interval
from lib.method.active_learning import prepare, settled
from lib.method.scoring import evaluate, highest_rows, overlap
from lib.method.training import train
from lib.method.uncertainty import pool_features
from lib.protocol import Protocol

HARMLESS = 0.01  # of accuracy: smaller differences do not matter


def picks(fields: dict, labelled: int, pool: int) -> dict[str, float]:
    """Which share of the highest BALD scores stays: in the other precision, and with other masks. Trained in float32.

    fields: of Protocol. pool: the last so many training rows are scored; a twentieth of them are picked.
    """
    protocol = Protocol(**fields, precision="float32", start=labelled, query=pool // 20, rounds=1)
    with settled(protocol):
        task, classifier = prepare(protocol)
        train(classifier, task.train, np.arange(labelled), protocol, 0)
        numbers = np.arange(len(task.train))[-pool:]

        def top(features_NF, draw: int) -> set:
            return highest_rows(classifier, features_NF, protocol, draw)[protocol.samples]

        exact_NF = pool_features(classifier, task.train, numbers)
        classifier.encoder.precision = "bfloat16"
        rounded_NF = pool_features(classifier, task.train, numbers)
        exact = top(exact_NF, 0)
        return {"bfloat16": overlap(exact, top(rounded_NF, 0)), "other masks": overlap(exact, top(exact_NF, 1))}


def accuracies(fields: dict, labelled: int, seeds: int, evaluated: int) -> pd.DataFrame:
    """A row a seed: accuracy on the first validation rows, trained and evaluated in each precision."""
    rows = []
    for seed in range(seeds):
        rows.append({})
        for precision in ("bfloat16", "float32"):
            protocol = Protocol(**fields, seed=seed, precision=precision, start=labelled, rounds=0, pool=10**6)
            with settled(protocol):
                task, classifier = prepare(protocol)
                train(classifier, task.train, np.arange(labelled), protocol, 0)
                validation = np.arange(len(task.validation))[:evaluated]
                rows[-1][precision] = evaluate(classifier, task.validation, validation, None, {})[1]["accuracy"]
        print(f"seed {seed}: {rows[-1]}", flush=True)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", default="", help="folder with sst2; without, the embedded reviews")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    fields = {"task": "sst2" if given.hub else "reviews", "hub": given.hub, "rows": "first"}
    print(f"share of the 100 highest of 2,000 rows that stays: {picks(fields, 910, 2000)}")
    table = accuracies(fields, 303, given.seeds, 1000)
    low, high = t_interval(table["bfloat16"] - table["float32"])
    p = equivalence(table["bfloat16"], table["float32"], HARMLESS)
    print(f"{table.mean().to_dict()}; the difference lies between {low:+.3f} and {high:+.3f} (95 %, t)")
    print(f"that it is {HARMLESS} or more: p = {p:.2g}")


if __name__ == "__main__":
    main()

"""Is BALD's gain on SST-2 more than long rows? Results and reading: ../decisions.md

    python docs/measurements/matched_length.py --hub FOLDER --seeds 0 1 2 3 4

For each seed of the published study, classifiers are trained on three sets of labels of the same size: those that BALD
had picked, those drawn at random, and rows drawn at random among those as long as BALD's, one for each of its picks.
All three are trained here, in float32, and evaluated on the validation rows (whole sentences) and on rows of the pool
that are in none of the sets (phrases). Appends to matched_length.csv beside this file; what is there is not computed
again.
"""

import argparse
import copy
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from lib.analysis import statistics
from lib.method import scoring
from lib.method.active_learning import prepare, settled
from lib.method.training import train
from lib.protocol import profile
from lib.runs import results

FILE = Path(__file__).with_suffix(".csv")
ROUNDS = (3, 9)  # after which classifiers are trained: 310 and 910 labels
PHRASES = 2000  # rows of the pool
MATCHED = "random, as long as BALD's"


def as_long(picked: np.ndarray, pool: np.ndarray, lengths_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each pick a row of the pool, drawn at random among those of its length; none twice."""
    rows = rng.permutation(pool)
    drawn = []
    for length, count in zip(*np.unique(lengths_N[picked], return_counts=True), strict=True):
        drawn.append(rows[lengths_N[rows] == length][:count])
    return np.concatenate(drawn)


def main(given) -> None:
    table = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known = {(row["seed"], row["rows"], row["labels"]) for row in table}
    for seed in given.seeds:
        pair = profile("minilm").grid(tasks=given.task, strategies="bald,random", hub=given.hub)
        bald, random = (protocol for protocol in pair if protocol.seed == seed)
        picked = {p.strategy: results.load("rounds", [p])["picked"].tolist() for p in (bald, random)}
        protocol = dataclasses.replace(bald, precision="float32")
        with settled(protocol):
            task, theta_0 = prepare(protocol)
            first, pool = np.arange(protocol.start), np.arange(protocol.start, protocol.pool)
            lengths_N = task.train.lengths_N
            sets = {}
            for rounds in ROUNDS:
                for name, rows in picked.items():
                    sets[rounds, name] = np.concatenate(rows[:rounds]).astype(np.int64)
                rng = np.random.default_rng([seed, rounds])
                sets[rounds, MATCHED] = as_long(sets[rounds, "bald"], pool, lengths_N, rng)
            unseen = np.setdiff1d(pool, np.concatenate([*sets.values()]))
            phrases = np.random.default_rng(seed).choice(unseen, PHRASES, replace=False)
            evaluated = {"sentences": (task.validation, np.arange(len(task.validation)))}
            evaluated["phrases"] = (task.train, phrases)
            for (rounds, name), rows in sets.items():
                labelled = np.concatenate([first, rows])
                if (seed, name, len(labelled)) in known:
                    continue
                classifier = copy.deepcopy(theta_0)
                train(classifier, task.train, labelled, protocol, rounds)
                told = {"task": given.task, "seed": seed, "rows": name, "labels": len(labelled)}
                told["mean_length"] = round(float(lengths_N[labelled].mean()), 2)
                told["shared_with_bald"] = round(float(np.isin(rows, sets[rounds, "bald"]).mean()), 4)
                for where, (those, numbers) in evaluated.items():
                    _, metrics = scoring.evaluate(classifier, those, numbers, None, {})
                    told[f"accuracy, {where}"] = round(metrics["accuracy"], 4)
                table.append(told)
                pd.DataFrame(table).to_csv(FILE, index=False)
                print(*(f"{key}={value}" for key, value in told.items()), flush=True)
    summarise(pd.DataFrame(table))


def summarise(table: pd.DataFrame) -> None:
    """Means over seeds, and the paired difference of BALD's rows from each other set, with its t interval."""
    for where in ("sentences", "phrases"):
        value = f"accuracy, {where}"
        print(f"\n{value}")
        print(table.pivot_table(index="labels", columns="rows", values=value).round(3).to_string())
        for minus in ("random", MATCHED):
            found = statistics.paired_difference(table, value, "rows", minus, ["labels"]).query("rows == 'bald'")
            print(found[["labels", "rows", "runs", "mean", "low", "high"]].round(3).to_string(header=False))
            print(f"   minus {minus}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", required=True)
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    main(parser.parse_args())

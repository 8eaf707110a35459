"""What repeating the rows of rare classes does to macro-F1 and accuracy. Results and decision: ../decisions.md

    python docs/measurements/balance.py --hub FOLDER --seeds 0 1 2 3

Rows at random are labelled and trained on as notebook 07 does, with several values of its `balance`: TREC, whose rarest
class has 2 % of the rows, and SST-2 thinned until 5 % of its rows are positive. Evaluated on other training rows: no
row of a validation or test split is read. Appends to balance.csv beside this file; what is there is not computed again.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, recall_score

from lib.data.tasks import UNLABELLED, load_task
from lib.labelling.chooser import balanced
from lib.method import uncertainty
from lib.method.active_learning import settled
from lib.method.model import build_classifier
from lib.method.training import train
from lib.protocol import Protocol

FILE = Path(__file__).with_suffix(".csv")
BALANCES = (0.0, 0.5, 1.0)
SIZES = (50, 110, 210)
HELD_OUT, RARE = 1000, 0.05


def rows_of(name: str, labels_N, seed: int, count: int = 2 * max(SIZES)) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of `count` or more rows to label, in a random order, and of those to evaluate on."""
    order = np.random.default_rng(seed).permutation(len(labels_N))
    if name == "sst2":
        positive, negative = (order[labels_N[order] == c] for c in (1, 0))
        size = HELD_OUT + count
        some = [*positive[: round(RARE * size)], *negative[: size - round(RARE * size)]]
        order = np.random.default_rng(seed).permutation(some)
    return order[HELD_OUT:], order[:HELD_OUT]


def measured(truth_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> dict:
    """Accuracy, macro-F1, and the recall of the class that has the fewest of these rows."""
    recalls = recall_score(truth_N, predicted_N, average=None, labels=range(classes), zero_division=0)
    found = {"accuracy": accuracy_score(truth_N, predicted_N)}
    found |= {"macro_f1": f1_score(truth_N, predicted_N, average="macro", labels=range(classes), zero_division=0)}
    return found | {"recall_of_rarest": recalls[np.bincount(truth_N, minlength=classes).argmin()]}


def main(given) -> None:
    table = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known = {(row["task"], row["seed"], row["labelled"], row["balance"]) for row in table}
    for seed in given.seeds:
        for name in ("trec", "sst2"):
            protocol = Protocol(task=name, hub=given.hub, seed=seed, threads=1, precision="float32")
            task = load_task(name, given.hub, protocol.encoder, protocol.max_length)
            theta_0 = build_classifier(protocol, task.num_labels)
            to_label, held_out = rows_of(name, task.train.labels_N, seed)
            for size in SIZES:
                labels_N = np.full(len(task.train), UNLABELLED)
                labels_N[to_label[:size]] = task.train.labels_N[to_label[:size]]
                for balance in BALANCES:
                    if (name, seed, size, balance) in known:
                        continue
                    classifier, numbers = copy.deepcopy(theta_0), balanced(labels_N, balance)
                    with settled(protocol):
                        train(classifier, task.train, numbers, protocol, size)
                        features_NF = uncertainty.pool_features(classifier, task.train, held_out)
                    predicted = uncertainty.predict_log_probs(classifier, features_NF).argmax(1).numpy()
                    truth = task.train.labels_N[held_out]
                    told = {"task": name, "seed": seed, "labelled": size, "balance": balance, "trained": len(numbers)}
                    table.append(told | measured(truth, predicted, task.num_labels))
                    pd.DataFrame(table).to_csv(FILE, index=False, float_format="%.4f")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    main(parser.parse_args())

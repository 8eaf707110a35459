"""Which strategy should the labelling notebook begin with? Results and decision: ../decisions.md

    python docs/measurements/strategies.py --hub FOLDER --seeds 0 1 2 3

Files are labelled as notebook 07 does it (10 labels at random, then batches of 20, 5 of them at random,
balance 0.5), once with each strategy: TREC, six uneven classes, and SST-2 thinned until 5 % of its rows are positive,
1,000 rows each. Evaluated on other training rows: no row of a validation or test split is read. Appends to
strategies.csv beside this file; what is there is not computed again.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from balance import measured, rows_of

from lib import labelling
from lib.data.own_rows import read_rows
from lib.data.tasks import read_texts
from lib.labelling.chooser import as_tokens
from lib.method import uncertainty
from lib.method.active_learning import settled

FILE = Path(__file__).with_suffix(".csv")
STRATEGIES = ("random", "bald", "powerbald", "margin", "entropy")
START, QUERY, AT_RANDOM, BALANCE = 10, 20, 5, 0.5  # the defaults of notebook 07
BATCHES = (3, 6)  # after which the classifier is evaluated: 50 and 110 labels
POOL = 1000


def evaluated(session: labelling.Labelling, texts: list[tuple[str, ...]], truth: np.ndarray) -> dict:
    """What the classifier of all labels so far says of other rows."""
    predicted = np.full(len(texts), session.labels_N[session.labelled[0]])  # all rows of one class so far: that one
    if session.ready:
        classifier, tokenised = session.fit(), as_tokens(texts, session.protocol)
        with settled(session.protocol):
            features_NF = uncertainty.pool_features(classifier, tokenised, range(len(texts)))
        predicted = uncertainty.predict_log_probs(classifier, features_NF).argmax(1).numpy()
    return measured(truth, predicted, len(session.rows.labels))


def main(given) -> None:
    table = pd.read_csv(FILE).to_dict("records") if FILE.exists() else []
    known = {(row["task"], row["seed"], row["strategy"]) for row in table if row["batches"] == max(given.batches)}
    for seed in given.seeds:
        for name in ("trec", "sst2"):
            task = read_texts(name, given.hub)
            labels_N = np.array([label for *_, label in task.train])
            to_label, held_out = rows_of(name, labels_N, seed, POOL)
            texts = [task.train[number][:-1] for number in held_out]
            classes = ",".join(map(str, range(len(task.labels))))
            for strategy in STRATEGIES:
                if (name, seed, strategy) in known:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "rows.csv")
                    some = [task.train[number] for number in to_label[:POOL]]
                    pd.DataFrame(some, columns=["text", "label"]).to_csv(path, index=False)
                    rows = read_rows(path, "text", labels=classes, answers="label")
                    protocol = labelling.recipe(rows, START, QUERY, strategy=strategy)
                    protocol = dataclasses.replace(protocol, seed=seed, threads=1, precision="float32")
                    session = labelling.Labelling(rows, protocol, folder, AT_RANDOM, "label", balance=BALANCE)
                    for batches in given.batches:
                        session.answer_from_column(batches)
                        told = {"task": name, "seed": seed, "strategy": strategy, "batches": batches}
                        told |= {"labelled": len(session.labelled)}
                        table.append(told | evaluated(session, texts, labels_N[held_out]))
                    pd.DataFrame(table).to_csv(FILE, index=False, float_format="%.4f")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hub", default="")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    main(parser.parse_args())

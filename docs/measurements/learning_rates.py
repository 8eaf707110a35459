"""The search behind the learning rates, batch size and hidden width: on training rows only.

    python docs/measurements/learning_rates.py --hub FOLDER --tasks sst2 mnli

Trains once on S_910 for each candidate and seed and evaluates on the last 1,000 training rows: never on validation
rows. (They are outside U where a task has more than 21,000 training rows; every run chooses among U by itself.)
"""

import argparse
import itertools
import sys

import numpy as np
import pandas as pd

from lib.errors import StudyError
from lib.method.active_learning import prepare, settled
from lib.method.scoring import evaluate
from lib.method.training import train
from lib.protocol import Protocol

HELD_OUT = 1000


def search(task_name: str, hub: str, seeds: int, **candidates) -> pd.DataFrame:
    """One row for each candidate and seed: its fields, held-out accuracy and loss. candidates: field → values."""
    rows = []
    for values in itertools.product(*candidates.values()):
        fields = dict(zip(candidates, values, strict=True))
        for seed in range(seeds):
            protocol = Protocol(task=task_name, hub=hub, rows="first", seed=seed, start=910, rounds=0, **fields)
            protocol = protocol.on_this_machine()
            with settled(protocol):
                task, classifier = prepare(protocol)
                held_out = np.arange(len(task.train))[-HELD_OUT:]
                train(classifier, task.train, np.arange(protocol.start), protocol, 0)
                _, metrics = evaluate(classifier, task.train, held_out, None, {})
            rows.append({"task": task_name, **fields, "seed": seed, **metrics})
            print(
                *(f"{name}={value:.4g}" if isinstance(value, float) else value for name, value in rows[-1].items()),
                flush=True,
            )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hub", default="")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mnli"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--encoder-lr", nargs="+", type=float, default=[5e-5, 1e-4, 2e-4, 4e-4])
    parser.add_argument("--decoder-lr", nargs="+", type=float, default=[1e-3])
    parser.add_argument("--batch-size", nargs="+", type=int, default=[16])
    parser.add_argument("--hidden", nargs="+", type=int, default=[128])
    given = parser.parse_args()
    tables = [
        search(
            task,
            given.hub,
            given.seeds,
            encoder_lr=given.encoder_lr,
            decoder_lr=given.decoder_lr,
            batch_size=given.batch_size,
            hidden=given.hidden,
        )
        for task in given.tasks
    ]
    table = pd.concat(tables)
    fields = [name for name in table if name not in ("seed", "accuracy", "loss")]
    print(table.groupby(fields)[["accuracy", "loss"]].mean().round(4).to_markdown())


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

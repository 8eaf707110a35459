"""One run, computed into the store: each round is there before the next begins."""

from pathlib import Path

import pandas as pd

from lib.data.tasks import Task
from lib.method.active_learning import prepare, rounds, settled
from lib.method.model import Classifier
from lib.protocol import Protocol
from lib.runs import own_strategies, results


def run(protocol: Protocol, store=results.STORE) -> pd.DataFrame:
    """Compute one run, or what is left of it, and return its rounds as `results.load("rounds", …)` does.

    A run that was killed goes on from its last finished round.
    """
    record = results.Run(protocol, Path(store))
    while not record.done:
        record = record.settled()
        with settled(record.protocol), own_strategies.ready(protocol.strategy):
            prepared = prepare(record.protocol)  # a mistake is found before anything is written
            with record.locked():
                # another process may have finished it while this one waited, or begun it in another precision
                if not record.done and record.settled() == record:
                    compute(record, *prepared)
                    record.finish()
    return results.load("rounds", [protocol], store)


def compute(record: results.Run, task: Task, theta_0: Classifier, last: int | None = None) -> None:
    """Write the rounds that are not there yet; up to the round `last` alone, if given."""
    record.begin()
    finished = [record.read_round(number) for number in range(record.rounds_done)]
    for round_ in rounds(record.protocol, task, theta_0, finished):
        record.write_round(round_.number, round_.record, round_.timings, **round_.tables)
        if round_.number == last:
            return

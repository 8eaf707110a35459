"""Many protocols: computed in this process, or on the Dask scheduler that DASK_SCHEDULER_ADDRESS names."""

import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from lib import active_learning, results
from lib.protocol import Protocol, StudyError
from lib.results import Run

ADDRESS = "DASK_SCHEDULER_ADDRESS"


class SweepError(RuntimeError):
    """Some runs failed; the others are in the store."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended: `error` is empty, or one line; `details` is the traceback."""

    protocol: Protocol
    name: str
    error: str = ""
    mistake: bool = False  # a user's, not the program's
    details: str = ""


def sweep(protocols: list[Protocol], store="") -> pd.DataFrame:
    """Compute what is missing of these runs and return the rounds of all of them (see `results.load`).

    store: folder of the store; empty: results/ of the checkout.

    A run that fails does not stop the others. Raises StudyError if all that failed were a user's mistakes, else
    SweepError; both after the other runs have ended.
    """
    store = store or results.STORE
    missing = [run for run in plan(protocols, store) if not run.done]
    outcomes = _on_dask(missing) if os.environ.get(ADDRESS) and missing else map(_compute, missing)
    failed = []
    for outcome in tqdm(outcomes, total=len(missing), desc="runs", leave=False, disable=not missing):
        if outcome.error:
            failed.append(outcome)
            if not outcome.mistake:
                print(outcome.details, file=sys.stderr)
    if failed:
        lines = dict.fromkeys(f"{outcome.name}: {outcome.error}" for outcome in failed)
        mistakes = all(outcome.mistake for outcome in failed)
        raise (StudyError if mistakes else SweepError)(
            f"{len(failed)} of {len(missing)} runs failed: {'; '.join(lines)}"
        )
    return results.load("rounds", protocols, store)


def plan(protocols: list[Protocol], store=results.STORE) -> list[Run]:
    """Each run once, the most expensive first, so that workers end at about the same time."""
    runs = {run.name: run for run in (Run(protocol, Path(store)) for protocol in protocols)}
    return sorted(runs.values(), key=lambda run: cost(run.protocol), reverse=True)


def cost(protocol: Protocol) -> int:
    """Rows that pass through the encoder, a backward pass counted as two: a measure of time within one task."""
    p = protocol
    trained = sum(p.start + p.query * round_ for round_ in range(p.rounds + 1)) * p.epochs * 3
    evaluated = (p.validation_rows or 5000) * (p.rounds + 1)
    scored = 0 if p.strategy == "random" else p.pool * p.rounds
    return trained + evaluated + scored


def _compute(run: Run) -> Outcome:
    try:
        active_learning.run(run.protocol, run.store)
    except Exception as error:
        mistake = isinstance(error, StudyError)
        line = str(error) if mistake else f"{type(error).__name__}: {error}".splitlines()[0]
        return Outcome(run.protocol, run.name, line, mistake, traceback.format_exc())
    return Outcome(run.protocol, run.name)


def _on_dask(runs: list[Run]):
    """Outcomes as they come from the workers of the scheduler."""
    from distributed import Client, as_completed

    with Client(os.environ[ADDRESS]) as client:
        futures = {client.submit(_compute, run, pure=False): run for run in runs}
        for future in as_completed(futures):
            if future.status == "finished":
                yield future.result()
            else:
                run, error = futures[future], future.exception()
                yield Outcome(run.protocol, run.name, f"{type(error).__name__}: {error}".splitlines()[0])

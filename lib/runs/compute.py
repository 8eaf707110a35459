"""Many protocols: computed in this process, or on the workers of a Dask scheduler."""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain

import dask
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from tqdm.auto import tqdm

from lib.errors import StudyError, truncated
from lib.method import gpus
from lib.protocol import METHOD_VERSION, Protocol
from lib.runs import cluster, own_strategies, results
from lib.runs.costs import cost, plan, say_time
from lib.runs.ledger import ledger, say_missing, titled
from lib.runs.results import DamagedRun, Run


class SweepError(RuntimeError):
    """All runs failed."""


class NothingToDraw(StudyError):
    """None of the runs is there, and nothing is to be computed."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended: `error` is empty, or one line."""

    run: str
    error: str = ""
    mistake: bool = False  # a user's, not the program's
    round: int = 0  # in which it failed
    file: str = ""  # where the traceback is


def sweep(protocols: list[Protocol], store="", redraw: bool = False, scheduler: str = "") -> pd.DataFrame:
    """Compute what is missing of these runs and return the rounds of all of them (see `results.load`).

    store: folder of the store; empty: results/ of the checkout.
    redraw: compute nothing; a line says what is missing, and the others are returned. NothingToDraw is raised if there
    is none.
    scheduler: address of the Dask scheduler whose workers compute the runs; empty: that of Dask's own configuration or,
    if it names none, this process computes them.

    A run that fails does not stop the others: a table says which failed, and the rounds of the others are returned;
    `results.load` leaves them out, too. Raises, after all runs have ended, StudyError if all that failed were a user's
    mistakes, SweepError if no run is left.
    """
    store = store or results.STORE
    runs = plan(protocols, store)
    if redraw:
        _left_out(runs, store)
        return results.load("rounds", protocols, store)
    if found := failed(runs, scheduler):
        mistakes = all(outcome.mistake for outcome in found)
        if not mistakes:
            report(found)
        if mistakes or len(found) == len(runs):
            error = f"{len(found)} of {len(runs)} runs failed: {_causes(found)}"
            raise StudyError(error) if mistakes else SweepError(error)
    return results.load("rounds", protocols, store)


def failed(runs: list[Run], scheduler: str = "") -> list[Outcome]:
    """Compute what is missing of these runs. → those that failed, finished ones whose files were altered among them."""
    missing = [run for run in runs if not run.done]
    return [outcome for outcome in chain(map(_check, runs), follow(missing, scheduler)) if outcome.error]


def _left_out(runs: list[Run], store) -> None:
    """Say which runs failed, and how many are not there. Raises NothingToDraw if none is."""
    if failures := [(run, run.failure) for run in runs if run.failure]:
        report([Outcome(run.name, why["error"], round=why["round"], file=str(run.folder)) for run, why in failures])
    line = say_missing(ledger([run.protocol for run in runs], store))
    if line and not any(run.done for run in runs):
        raise NothingToDraw(line)
    if line:
        print(line)


# ---- computing


def follow(runs: list[Run], scheduler: str) -> Iterator[Outcome]:
    """Compute these runs, with one line each and an estimate of what is left; in a notebook with a bar."""
    if not runs:
        return
    if get_ipython() is not None:
        yield from tqdm(_outcomes(runs, scheduler), total=len(runs), desc="runs", leave=False)
        return
    left, start = {run.name: cost(run.protocol) for run in runs}, time.perf_counter()
    titles = titled(runs)
    whole = sum(left.values())
    print(f"{len(runs)} runs to compute", flush=True)
    for outcome in _outcomes(runs, scheduler):
        del left[outcome.run]
        elapsed = time.perf_counter() - start
        share = 1 - sum(left.values()) / whole
        # others are under way, and the first runs bear the start of the workers
        estimate = f"; {say_time(elapsed / share - elapsed)} left" if share > 0.1 else ""
        end = f"failed: {outcome.error}" if outcome.error else "done"
        print(f"{len(runs) - len(left)}/{len(runs)} {titles[outcome.run]} {end}{estimate}", flush=True)
        yield outcome


def _outcomes(runs: list[Run], scheduler: str) -> Iterator[Outcome]:
    address = scheduler or dask.config.get("scheduler-address", None)
    if not address:
        yield from (_compute(run) for run in runs)
        return
    packed = own_strategies.pack(dict.fromkeys(run.protocol.strategy for run in runs))
    for run, outcome, error in cluster.compute_on(address, _Task(METHOD_VERSION, packed), runs):
        yield outcome or _failed(run, error, "")


@dataclass(frozen=True)
class _Task:
    """What a worker does with a run, if it has one thread and the method of who sent it."""

    method: int  # METHOD_VERSION of who sent it
    strategies: bytes  # those that are somebody's own

    def __call__(self, run: Run) -> Outcome:
        if refused := cluster.refused(self.method):
            return Outcome(run.name, refused, True)
        gpus.take()
        with own_strategies.unpacked(self.strategies):
            return _compute(run, in_worker=True)


def _compute(run: Run, in_worker: bool = False) -> Outcome:
    """A worker that has lost its GPU ends, so that Dask tries the run elsewhere and starts another in its place."""
    from lib.runs.run import run as compute_run

    try:
        compute_run(run.protocol, run.store)
    except DamagedRun as error:
        return _failed(run, error, traceback.format_exc())
    except StudyError as error:
        return Outcome(run.name, str(error), True, run.rounds_done)
    except Exception as error:
        if in_worker and gpus.lost(error):
            traceback.print_exc()
            os._exit(1)
        return _failed(run, error, traceback.format_exc())
    return Outcome(run.name)


def _check(run: Run) -> Outcome:
    """A finished run whose files were altered counts as failed, until they are put back."""
    if not run.done:
        return Outcome(run.name)
    try:
        run.check()
        if run.failure:
            (run.folder / "failed.json").unlink()
    except DamagedRun as error:
        return _failed(run, error, traceback.format_exc())
    return Outcome(run.name)


def _failed(run: Run, error: BaseException, details: str) -> Outcome:
    line = (str(error).strip().splitlines() or [""])[0]
    line = line if isinstance(error, DamagedRun) else f"{type(error).__name__}: {line}"
    file = run.fail(line, details or line)
    return Outcome(run.name, line, False, run.rounds_done, str(file or "the store cannot be written"))


# ---- telling


def _causes(failed: list[Outcome]) -> str:
    """Each cause once, with the first run that failed of it and how many others did."""
    runs_of: dict[str, list[str]] = {}
    for outcome in failed:
        runs_of.setdefault(outcome.error, []).append(outcome.run)
    return "; ".join(f"{truncated(runs, 1)}: {error}" for error, runs in runs_of.items())


def report(failed: list[Outcome]) -> None:
    """The table of failures, where it can be read: in the notebook, else on stderr."""
    table = pd.DataFrame([asdict(outcome) for outcome in failed])[["run", "round", "error", "file"]]
    if get_ipython() is None:
        print(f"{len(failed)} runs failed:\n{table.to_string(index=False)}", file=sys.stderr)
        return
    text = f"{len(failed)} runs are missing, because they failed:\n\n{table.to_string(index=False)}"
    display({"text/plain": text}, raw=True)

"""What a command does once it is parsed: compute the runs that the notebooks need, execute them, publish."""

import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.command import status
from lib.command.execution import KERNEL, MISTAKES, NOTHING, execute_all
from lib.command.notebooks import Command, nearest
from lib.data import sources
from lib.data.tasks import texts_of
from lib.errors import StudyError
from lib.protocol import digest, profile
from lib.runs.cluster import answers, local_cluster
from lib.runs.compute import Outcome, failed
from lib.runs.costs import cost
from lib.runs.costs import plan as plan_runs
from lib.runs.ledger import ledger, say_missing
from lib.runs.packing import Scope
from lib.runs.results import STORE, Run


def carry_out(command: Command, executed: Path) -> int:
    """→ the exit code. executed: the folder for executed notebooks, one in it for each profile. Raises StudyError."""
    stop_on_signals()
    if not command.data:
        return _carry_out(command, executed)
    from lib.command.own_data import prepared

    with prepared(command) as ready:
        return _carry_out(ready, executed)


def _carry_out(command: Command, executed: Path) -> int:
    if status.asks_the_hub(command):
        stay_offline()
    if command.verb == "run":
        return run(command, executed / command.name)
    if command.verb == "publish":
        return publish(command, executed / command.name)
    return status.show(command)


def stop_on_signals() -> None:
    """SIGTERM and a closed terminal stop the command as Ctrl-C does; nohup stays what it is."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)


def stay_offline() -> None:
    """If the Hub does not answer, it is not asked again, for half a minute a data set."""
    if not sources.hub_answers():
        sources.offline()


# ---- the run


def run(command: Command, executed: Path) -> int:
    """Compute what is missing of all runs that the notebooks need, then execute the notebooks, which draw them."""
    prepare_environment()
    place = nearest(str(executed))
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise StudyError(
            f"{executed} cannot be written to, where executed notebooks go: run them in a clone of your own, or one by "
            "papermill, with results and output elsewhere"
        )
    needed = status.needed_runs(command)  # a mistake in the third notebook is said before anything is computed
    hindrance = "" if command.redraw else cannot_compute(needed)
    failures = [] if command.redraw or hindrance else compute(command, needed)
    for failure in failures:
        print(f"run {failure.run}, round {failure.round}: {failure.error}; see {failure.file}", file=sys.stderr)
    errors = []
    for done in execute_all(command.jobs, executed, command.workers or os.cpu_count()):
        name, seconds = done.source.stem, f"{done.seconds:.0f} s"
        print(f"{name}: {'failed after ' if done.error not in ('', NOTHING) else ''}{seconds}", flush=True)
        if done.error == NOTHING:
            print(f"{name}: {done.message}", flush=True)
        elif done.error:
            errors.append(done.error)
            print(f"{name}: {done.message}; see {os.path.relpath(done.target)}", file=sys.stderr)
    if command.html:
        from lib.command.pages import write

        print(f"pages: {os.path.relpath(write(executed, {path.name for path, _ in command.jobs}))}", flush=True)
    if failures:
        print(f"run_all.sh: {len(failures)} runs failed; the notebooks show the others", file=sys.stderr)
    if errors:
        print(f"run_all.sh: {len(errors)} of {len(command.jobs)} notebooks failed", file=sys.stderr)
    if command.redraw or hindrance:
        say_what_is_missing(needed)
    if errors or failures:
        return 2 if set(errors) <= set(MISTAKES) and not failures else 1
    if hindrance:
        raise StudyError(f"what is not there cannot be computed, and the notebooks show the rest: {hindrance}")
    return 0


def cannot_compute(needed: list) -> str:
    """Why the missing runs cannot be computed, if others can be shown: rows or weights that cannot be reached.

    Raises StudyError if none can be shown.
    """
    runs = distinct_runs(needed)
    missing = [run.protocol for run in runs if not run.done]
    try:
        for encoder in dict.fromkeys(protocol.encoder for protocol in missing):
            sources.checkpoint(encoder)
        texts_of(missing)
    except StudyError as error:
        if len(missing) == len(runs):
            raise
        return str(error)
    return ""


def distinct_runs(needed: list) -> list[Run]:
    """Each run that the notebooks need, once. needed: as `status.needed_runs` gives it."""
    return [*{run.folder: run for _, protocols, store in needed for run in plan_runs(protocols, store)}.values()]


def say_what_is_missing(needed: list) -> None:
    """One line of all runs that the notebooks need; none if all are there."""
    entries = {entry.run.folder: entry for _, protocols, store in needed for entry in ledger(protocols, store)}
    if line := say_missing(list(entries.values())):
        print(f"all: {line}; --dry-run names them", flush=True)


# ---- the committed study


def publish(command: Command, executed: Path) -> int:
    """Add the finished runs that the notebooks need to the committed study, with figures and executed notebooks."""
    from lib.command import publish as publishing

    needed = status.needed_runs(command)
    entries = {entry.run.name: entry for _, protocols, store in needed for entry in ledger(protocols, store)}
    runs = [entry.run for entry in entries.values() if entry.run.live]
    store = Path(next((store for *_, store in needed), STORE))  # one for all notebooks
    notebooks = [path for path, _ in command.jobs]
    for line in publishing.publish(Scope(profile(command.profile)), runs, store, notebooks, executed):
        print(line, flush=True)
    if line := say_missing(list(entries.values())):
        print(line)
    return 0


def compute(command: Command, needed: list) -> list[Outcome]:
    """All runs of all notebooks in one sweep: no worker waits for a notebook. → those that failed.

    Raises StudyError for a user's mistake.
    """
    runs, places = distinct_runs(needed), status.stage_numbers(command)
    missing = [run for run in runs if not run.done]
    texts_of([run.protocol for run in missing])  # their names needed no rows; that some are not there is said once

    def order(run) -> tuple[float, float]:  # of the plan; what is not in it, the most expensive first
        _, place = places.get(digest(run.protocol.canonical()), ("", math.inf))
        return place, -cost(run.protocol)

    with workers(command, bool(missing)) as scheduler:
        outcomes = failed(sorted(runs, key=order), scheduler)
    if mistakes := dict.fromkeys(outcome.error for outcome in outcomes if outcome.mistake):
        raise StudyError("; ".join(mistakes))
    return outcomes


def prepare_environment() -> None:
    """What kernels and workers inherit: one thread each, and this environment's kernel before any other."""
    kernel = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL)
    if not kernel.is_dir():
        raise StudyError(f"no kernel {KERNEL!r} in {sys.prefix}: start with ./run_all.sh, which makes it")
    others = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(kernel.parent.parent), others])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def workers(command: Command, needed: bool) -> Iterator[str]:
    """The address of the scheduler that the command names, else of workers on this machine if needed; empty: none."""
    if address := command.scheduler:
        if not (dashboard := answers(address)):
            raise StudyError(f"no Dask scheduler answers at {address}: start one there, or leave it out")
        print(f"runs go to the Dask scheduler at {address}; progress: {dashboard}", flush=True)
        yield address
        return
    with local_cluster(command.workers if needed else 0) as started:
        if started:
            print(f"{len(started.workers)} workers; progress: {started.dashboard_link}", flush=True)
        yield started.scheduler_address if started else ""

"""Runs the numbered notebooks, for run_all.sh: python -m lib check|run|help CALLER_FOLDER [status] [OPTION]..."""

import math
import os
import signal
import sys
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.command import help, status
from lib.command.options import (
    OPTIONS,
    Command,
    UsageError,
    nearest,
    plan,
    read_notebooks,
)
from lib.command.verbs import plan_audit, plan_benchmark, plan_label
from lib.fields import SCHEDULER

__all__ = ["OPTIONS", "main", "plan", "read_notebooks"]

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = CHECKOUT / "notebooks"
EXECUTED = CHECKOUT / "executed"


def main(arguments: list[str], notebooks: Path = NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Returns the exit code: 0, 1 if a notebook failed, 2 for a user's mistake, 130 if interrupted."""
    verb, caller, *options = arguments
    try:
        if verb == "help":
            print(help.text(read_notebooks(notebooks)))
            return 0
        if options[:1] == ["benchmark"]:
            return benchmark(plan_benchmark(options[1:], Path(caller)), verb)
        if options[:1] in (["check"], ["verify"]):
            return audit(plan_audit(options, Path(caller)), verb)
        if options[:1] == ["label"]:
            return label(*plan_label(options[1:], Path(caller), read_notebooks(notebooks)), verb)
        command = plan(options, Path(caller), read_notebooks(notebooks))
        if verb == "check":
            return 0
        stop_on_signals()
        if not command.data:
            return carry_out(command, executed)
        from lib.command.own_data import prepared

        with prepared(command) as ready:
            return carry_out(ready, executed)
    except UsageError as error:
        print(f"run_all.sh: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be closed
            print("\nrun_all.sh: stopped; the same command continues", file=sys.stderr)
        return 130


def carry_out(command: Command, executed: Path) -> int:
    if status.asks_the_hub(command):
        stay_offline()
    if command.verb == "run":
        return run(command, executed / command.name)
    if command.verb == "publish":
        return publish(command, executed / command.name)
    return status.show(command)


def benchmark(given: dict[str, str], verb: str) -> int:
    if verb == "check":
        return 0
    stop_on_signals()
    from benchmarks.table import main as measure_all  # lies in the checkout, where run_all.sh starts this
    from lib.fields import StudyError

    try:
        return measure_all(**given)
    except StudyError as error:
        raise UsageError(error) from error


def label(notebook: Path, values: dict, of_jupyterlab: list[str], verb: str) -> int:
    if verb == "check":
        return 0
    prepare_environment()
    from lib.command.label import open_in_jupyterlab, prepare

    copied, about = prepare(notebook, values)
    print(about, f"{copied}: run all cells; answers are kept beside it", sep="\n", flush=True)
    open_in_jupyterlab(copied, of_jupyterlab)
    return 0


def audit(given: dict, verb: str) -> int:
    """`check` or `verify`: 1 if something is not as it should be."""
    if verb == "check":
        return 0
    stop_on_signals()
    from lib.fields import StudyError
    from lib.runs import audit
    from lib.runs.results import STORE

    store = Path(given.pop("store") or STORE)
    try:
        if given.pop("verb") == "verify":
            if not given["hub"]:
                stay_offline()
            same, line = audit.verify(store, **given)
            print(line)
            return 0 if same else 1
        problems = audit.check(store) + audit.check_studies()
    except StudyError as error:
        raise UsageError(error) from error
    runs = len(list(store.rglob("protocol.json")))
    published = f" and {number} published" if (number := audit.published_runs()) else ""
    print("\n".join([*problems, f"{runs} runs{published}, {len(problems)} problems"]))
    return 1 if problems else 0


def stop_on_signals() -> None:
    """SIGTERM and a closed terminal stop the command as Ctrl-C does; nohup stays what it is."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)


def stay_offline() -> None:
    """If the Hub does not answer, it is not asked again, for half a minute a data set."""
    from lib.data.sources import hub_answers, offline

    if not hub_answers():
        offline()


# ---- the run


def run(command: Command, executed: Path) -> int:
    """Compute what is missing of all runs that the notebooks need, then execute the notebooks, which draw them."""
    prepare_environment()
    from lib.command.execution import MISTAKES, NOTHING, execute_all, failures_in
    from lib.runs.results import REDRAW

    os.environ.pop(REDRAW, None)
    place = nearest(str(executed))
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UsageError(
            f"{executed} cannot be written to, where executed notebooks go: run them in a clone of your own, or one by "
            "papermill, with results and output elsewhere"
        )
    needed = status.needed_runs(command)  # a mistake in the third notebook is said before anything is computed
    hindrance = "" if command.redraw else cannot_compute(needed)
    if command.redraw or hindrance:
        os.environ[REDRAW] = "1"
    else:
        compute(command, needed)
    errors, failures = [], {}
    for done in execute_all(command.jobs, executed, command.workers or os.cpu_count()):
        name, seconds = done.source.stem, f"{done.seconds:.0f} s"
        print(f"{name}: {'failed after ' if done.error not in ('', NOTHING) else ''}{seconds}", flush=True)
        found = {run_: failure for run_, failure in failures_in(done.target).items() if run_ not in failures}
        for run_, failure in found.items():
            where = f"run {run_}, round {failure['round']}"
            print(f"{where}: {failure['error']}; see {failure['file']}", file=sys.stderr)
        failures |= found
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
    if os.environ.get(REDRAW):
        say_what_is_missing(needed)
    if errors or failures:
        return 2 if set(errors) <= set(MISTAKES) and not failures else 1
    if hindrance:
        raise UsageError(f"what is not there cannot be computed, and the notebooks show the rest: {hindrance}")
    return 0


def cannot_compute(needed: list) -> str:
    """Why the missing runs cannot be computed, if others can be shown: rows or weights that cannot be reached.

    Raises UsageError if none can be shown.
    """
    from lib.data import sources
    from lib.data.tasks import texts_of
    from lib.fields import StudyError
    from lib.runs.costs import plan as plan_runs

    runs = {run.folder: run for _, protocols, store in needed for run in plan_runs(protocols, store)}.values()
    missing = [run.protocol for run in runs if not run.done]
    try:
        for encoder in dict.fromkeys(protocol.encoder for protocol in missing):
            sources.checkpoint(encoder)
        texts_of(missing)
    except StudyError as error:
        if len(missing) == len(runs):
            raise UsageError(error) from error
        return str(error)
    return ""


def say_what_is_missing(needed: list) -> None:
    """One line of all runs that the notebooks need; none if all are there."""
    from lib.runs.ledger import ledger, say_missing

    entries = {entry.run.folder: entry for _, protocols, store in needed for entry in ledger(protocols, store)}
    if line := say_missing(list(entries.values())):
        print(f"all: {line}; --dry-run names them", flush=True)


# ---- the committed study


def publish(command: Command, executed: Path) -> int:
    """Add the finished runs that the notebooks need to the committed study, with figures and executed notebooks."""
    from lib.command import publish as publishing
    from lib.fields import StudyError
    from lib.protocol import profile
    from lib.runs.ledger import ledger, say_missing
    from lib.runs.packing import Scope

    entries = {
        entry.run.name: entry
        for _, protocols, store in status.needed_runs(command)
        for entry in ledger(protocols, store)
    }
    runs = [entry.run for entry in entries.values() if entry.run.live]
    try:
        notebooks = [path for path, _ in command.jobs]
        for line in publishing.publish(Scope(profile(command.profile)), runs, notebooks, executed):
            print(line, flush=True)
    except StudyError as error:
        raise UsageError(error) from error
    if line := say_missing(list(entries.values())):
        print(line)
    return 0


def compute(command: Command, needed: list) -> None:
    """All runs of all notebooks in one sweep: no worker waits for a notebook. Raises UsageError for a mistake.

    What fails for another reason is in the store, and the notebooks say it.
    """
    from lib.data.tasks import texts_of
    from lib.fields import StudyError
    from lib.protocol import digest
    from lib.runs.compute import follow
    from lib.runs.costs import cost
    from lib.runs.costs import plan as plan_runs

    runs = {run.folder: run for _, protocols, store in needed for run in plan_runs(protocols, store)}
    missing = [run for run in runs.values() if not run.done]
    try:
        texts_of([run.protocol for run in missing])  # their names needed no rows; that some are not there is said once
    except StudyError as error:
        raise UsageError(error) from error
    places = status.stage_numbers(command)

    def order(run) -> tuple[float, float]:  # of the plan; what is not in it, the most expensive first
        _, place = places.get(digest(run.protocol.canonical()), ("", math.inf))
        return place, -cost(run.protocol)

    missing.sort(key=order)
    with workers(command, bool(missing)):
        mistakes = dict.fromkeys(outcome.error for outcome in follow(missing) if outcome.mistake)
    if mistakes:
        raise UsageError("; ".join(mistakes))


def prepare_environment() -> None:
    """What kernels and workers inherit: one thread each, and this environment's kernel before any other."""
    from lib.command.execution import KERNEL
    from lib.runs.compute import SESSION

    kernel = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL)
    if not kernel.is_dir():
        raise UsageError(f"no kernel {KERNEL!r} in {sys.prefix}: start with ./run_all.sh, which makes it")
    others = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(kernel.parent.parent), others])
    os.environ[SESSION] = uuid.uuid4().hex
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@contextmanager
def workers(command: Command, needed: bool):
    """The scheduler that the command names or the environment, else worker processes on this machine if needed."""
    from lib.runs.cluster import answers, local_cluster

    if command.scheduler:
        os.environ[SCHEDULER] = command.scheduler
    if address := os.environ.get(SCHEDULER):
        if not answers(address):
            raise UsageError(f"no Dask scheduler answers at {address}: start one there, or leave it out")
        print(f"runs go to the Dask scheduler at {address}; progress: {answers(address)}", flush=True)
        yield
        return
    with local_cluster(command.workers if needed else 0) as started:
        if started:
            print(started, flush=True)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

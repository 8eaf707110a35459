"""Runs the numbered notebooks, for run_all.sh: python -m lib check|run|help CALLER_FOLDER [status] [OPTION]..."""

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.command import HELP, OPTIONS, Command, UsageError, describe, plan, read_notebooks

__all__ = ["KERNEL", "OPTIONS", "main", "plan", "read_notebooks"]

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = CHECKOUT / "notebooks"
EXECUTED = CHECKOUT / "executed"
KERNEL = "bert-bald"
WATCH = 2  # seconds between two looks at the store

# as in lib.sweep, which takes seconds to import
LOG = "BERT_BALD_LOG"
SESSION = "BERT_BALD_SESSION"
FAILURES = "application/x-bert-bald-failures+json"


def main(arguments: list[str], notebooks: Path = NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Returns the exit code: 0, 1 if a notebook failed, 2 for a user's mistake, 130 if interrupted."""
    verb, caller, *options = arguments
    try:
        if verb == "help":
            print(HELP + describe(read_notebooks(notebooks)))
            return 0
        command = plan(options, Path(caller), read_notebooks(notebooks))
        if verb == "check":
            return 0
        stop_on_signals()
        if command.verb == "run":
            return run(command, executed / command.profile)
        return status(command)
    except UsageError as error:
        print(f"run_all.sh: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be closed
            print("\nrun_all.sh: stopped; the same command continues", file=sys.stderr)
        return 130


def stop_on_signals() -> None:
    """SIGTERM and a closed terminal stop the command as Ctrl-C does; nohup stays what it is."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)


# ---- what is there


def needed_runs(command: Command) -> list[tuple[Path, list, Path | str]]:
    """(notebook, protocols, store) for each sweep of the notebooks. Raises UsageError for a mistake in a parameter."""
    from lib.planning import needed
    from lib.results import STORE
    from lib.sweep import plan as plan_runs

    found = []
    for path, values in command.jobs:
        try:
            for protocols, store in needed(path, values):
                found.append((path, protocols, store or STORE))
                plan_runs(protocols, store or STORE)  # finds the rows and the weights
        except ValueError as error:  # a StudyError
            raise UsageError(f"{path.stem}: {error}") from error
    return found


def status(command: Command) -> int:
    """Print the runs that the notebooks need, one a line (dry run) or one line a notebook; computes nothing."""
    needed = needed_runs(command)
    from lib.ledger import ledger, summary

    before = None
    while True:
        ledgers = [(path.stem, ledger(protocols, store)) for path, protocols, store in needed]
        every = {entry.run.folder: entry for _, entries in ledgers for entry in entries}.values()
        lines = []
        for name, entries in ledgers:
            lines += [f"{name}: {summary(entries)}"]
            lines += [f"  {entry}" for entry in entries if command.verb == "dry-run"]
        lines.append(f"all: {summary(list(every))}")
        if lines != before:
            print("\n".join(lines), flush=True)
        if not command.watch or all(entry.state in ("done", "stale") for entry in every):
            return 0
        before = lines
        time.sleep(WATCH)


# ---- the run


def run(command: Command, executed: Path) -> int:
    """Execute the notebooks one after the other; one that fails does not stop the others."""
    prepare_environment()
    needed_runs(command)  # a mistake in the third notebook is said before the first is computed
    errors, failures = [], {}
    with workers(command):
        # 00 last: it sums up what the others left in the store
        for path, values in sorted(command.jobs, key=lambda job: job[0].name.startswith("00")):
            start = time.perf_counter()
            with progress(path.stem):
                error, message = execute(path, executed / path.name, values)
            print(f"{path.stem}: {'failed after ' if error else ''}{time.perf_counter() - start:.0f} s", flush=True)
            failures |= failures_in(executed / path.name)
            if error:
                errors.append(error)
                print(f"{path.stem}: {message}; see {os.path.relpath(executed / path.name)}", file=sys.stderr)
    for name, failure in failures.items():
        print(f"run {name}, round {failure['round']}: {failure['error']}; see {failure['file']}", file=sys.stderr)
    if failures:
        print(f"run_all.sh: {len(failures)} runs failed; the notebooks show the others", file=sys.stderr)
    if errors:
        print(f"run_all.sh: {len(errors)} of {len(command.jobs)} notebooks failed", file=sys.stderr)
    if errors or failures:
        return 2 if set(errors) == {"StudyError"} and not failures else 1
    return 0


def failures_in(notebook: Path) -> dict[str, dict]:
    """Run → how it failed, as lib.sweep left it in the outputs of an executed notebook."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return {}
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return {failure["run"]: failure for one in data for failure in one.get(FAILURES, [])}


@contextmanager
def progress(name: str):
    """Print the lines that the sweeps of a notebook log while it runs."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", prefix="sweep-") as log:
        os.environ[LOG] = log.name
        ended = threading.Event()

        def follow():
            while not ended.wait(0.3):
                show()

        def show():
            for line in log.read().splitlines():
                print(f"{name}: {line}", flush=True)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            show()


def prepare_environment() -> None:
    """What kernels and workers inherit: one thread each, and this environment's kernel before any other."""
    kernel = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL)
    if not kernel.is_dir():
        raise UsageError(f"no kernel {KERNEL!r} in {sys.prefix}: start with ./run_all.sh, which makes it")
    others = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(kernel.parent.parent), others])
    os.environ[SESSION] = uuid.uuid4().hex
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # errors are told once, by run


@contextmanager
def workers(command: Command):
    """The scheduler that the command names or the environment, else worker processes on this machine."""
    from lib.cluster import ADDRESS, answers, local_cluster

    if command.scheduler:
        os.environ[ADDRESS] = command.scheduler
    if address := os.environ.get(ADDRESS):
        if not answers(address):
            raise UsageError(f"no Dask scheduler answers at {address}: start one there, or leave it out")
        print(f"runs go to the Dask scheduler at {address}; progress: {answers(address)}", flush=True)
        yield
        return
    with local_cluster(command.workers) as started:
        if started:
            print(started, flush=True)
        yield


def execute(source: Path, target: Path, values: dict) -> tuple[str, str]:
    """Run one notebook. Returns the class of the error that stopped it and a line about it, or twice ""."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    kernel = {"kernel_name": KERNEL, "language": "python", "extra_arguments": ["--log-level=CRITICAL"]}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        papermill.execute_notebook(source, target, values, cwd=CHECKOUT, progress_bar=False, **kernel)
    except papermill.PapermillExecutionError as error:
        lines = error.evalue.strip().splitlines() or [""]
        return error.ename, lines[0] if error.ename == "StudyError" else f"{error.ename}: {lines[0]}"
    except DeadKernelError:
        mark_unfinished(target)
        return "DeadKernelError", "its kernel died, perhaps for want of memory"
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return type(error).__name__, f"{type(error).__name__}: {lines[0]}"
    return "", ""


def mark_unfinished(path: Path) -> None:
    """papermill saves every cell as completed when a kernel dies."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    note = nbformat.v4.new_markdown_cell("**The kernel died: this notebook did not finish.**")
    notebook.cells.insert(0, note)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

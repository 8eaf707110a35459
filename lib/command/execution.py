"""One notebook, executed by papermill in this environment's kernel, in a process of its own.

python -m lib.command.execution SOURCE TARGET VALUES prints one JSON object: the class of the error that stopped it,
and a line about it; both empty if it ended well.
"""

import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib.runs.provenance import ROOT

KERNEL = "bert-bald"
NOTHING = "NothingToDraw"  # the class of lib.runs.compute's error that is none under --redraw
UNFINISHED = "bert_bald_unfinished"  # in the metadata of a notebook whose kernel died
STARTS = 3  # of a kernel that dies before it has run anything
MISTAKES = ("StudyError", "DamagedStudy", NOTHING)  # classes of errors that are the user's, and one line


@dataclass(frozen=True)
class Execution:
    """How a notebook ended: `error` is the class of what stopped it, or empty; `message` one line about it."""

    source: Path
    target: Path
    error: str
    message: str
    seconds: float


def execute_all(jobs: list[tuple[Path, dict]], folder: Path, at_once: int) -> Iterator[Execution]:
    """Execute notebooks into `folder`, some at a time; → how each ended, as it ends. One that fails stops no other.

    jobs: notebook, parameter → value. They have a session of their own: what stops this process stops them once.
    """
    waiting, running = list(jobs), []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                source, values = waiting.pop(0)
                running.append(Child(source, folder / source.name, values))
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                yield child.result()
            time.sleep(0.05)
    finally:
        for child in running:
            child.process.terminate()
        for child in running:
            child.process.wait()


class Child:
    """A process that executes one notebook."""

    def __init__(self, source: Path, target: Path, values: dict):
        self.source, self.target, self.start = source, target, time.perf_counter()
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115, until `result`
        command = [sys.executable, "-m", "lib.command.execution", str(source), str(target), json.dumps(values)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=self.out, stderr=self.err, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def result(self) -> Execution:
        seconds = time.perf_counter() - self.start
        with self.out, self.err:
            lines = [file.seek(0) or file.read().strip().splitlines() or [""] for file in (self.out, self.err)]
        try:
            error, message = json.loads(lines[0][-1])
        except ValueError:
            error, message = "ProcessError", f"its process ended with code {self.process.returncode}: {lines[1][-1]}"
        return Execution(self.source, self.target, error, message, seconds)


# ---- in the child


def execute(source: Path, target: Path, values: dict) -> tuple[str, str]:
    """Run one notebook. Returns the class of the error that stopped it and a line about it, or twice ""."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # errors are told once, by the parent
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        run_cells(source, target, values)
    except papermill.PapermillExecutionError as error:
        lines = error.evalue.strip().splitlines() or [""]
        return error.ename, lines[0] if error.ename in MISTAKES else f"{error.ename}: {lines[0]}"
    except DeadKernelError:
        mark_unfinished(target)
        return "DeadKernelError", "its kernel died, perhaps for want of memory"
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return type(error).__name__, f"{type(error).__name__}: {lines[0]}"
    return "", ""


def run_cells(source: Path, target: Path, values: dict) -> None:
    """papermill's execution, tried again while no kernel starts. Raises what papermill raises.

    A kernel dies at its start if another program takes one of its ports after they were chosen; no cell has run then.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    kernel = {"kernel_name": KERNEL, "language": "python", "extra_arguments": ["--log-level=CRITICAL"]}
    for left in reversed(range(STARTS)):
        try:
            papermill.execute_notebook(source, target, values, cwd=ROOT, progress_bar=False, **kernel)
            return
        except RuntimeError as error:
            if isinstance(error, DeadKernelError) or not left:
                raise


def mark_unfinished(path: Path) -> None:
    """papermill saves every cell as completed when a kernel dies."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    note = nbformat.v4.new_markdown_cell("**The kernel died: this notebook did not finish.**")
    notebook.cells.insert(0, note)
    notebook.metadata[UNFINISHED] = True
    nbformat.write(notebook, path)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the kernel ends with this process
    with suppress(KeyboardInterrupt):
        print(json.dumps(execute(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))))

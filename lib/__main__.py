"""Runs the numbered notebooks, for run_all.sh: python -m lib check|run|help CALLER_FOLDER [OPTION]...

A command is checked with nothing but Python itself: a mistake is said before anything is installed.
"""

import ast
import json
import logging
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = CHECKOUT / "notebooks"
EXECUTED = CHECKOUT / "executed"
KERNEL = "bert-bald"
PROFILES = ("quick", "minilm", "paper")
OPTIONS = {
    "--profile": "quick|minilm|paper",
    "--only": "NN[,NN]",
    "--hub": "FOLDER",
    "-p": "NAME VALUE",
    "--workers": "N",
    "--results": "FOLDER",
}
WITH_OPTION = ("profile", "hub", "results")  # parameters of the notebooks that are not set with -p
HELP = """\
usage: ./run_all.sh [OPTION]...           run the notebooks in order
       ./run_all.sh test [ARGUMENT]...    run the tests; the arguments go to pytest

The first call sets up what they need: in .venv, or in the active environment if lib is installed there.

  --profile NAME     quick (the default), minilm or paper: what is computed, and so how long it takes
  --only NN[,NN]     only these notebooks, for example --only 02,04
  --hub FOLDER       read data sets and checkpoints from a folder laid out like the Hugging Face Hub
  -p NAME VALUE      set a parameter of the notebooks (below); may be repeated
  --workers N        processes that share the runs (default: one a core); 1: none beside the notebook's own
  --results FOLDER   where finished runs are looked for and kept (default: results)
  --help             print this

If DASK_SCHEDULER_ADDRESS is set, the runs go to that Dask scheduler.

parameters of the notebooks, and which have them:
"""


class UsageError(ValueError):
    """A mistake in the command, in one line: what was given, what is allowed, what to do."""


def main(arguments: list[str], notebooks: Path = NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Returns the exit code: 0, 1 if a notebook failed, 2 for a user's mistake, 130 if interrupted."""
    verb, caller, *options = arguments
    try:
        if verb == "help":
            print(HELP + describe(read_notebooks(notebooks)))
            return 0
        profile, workers, jobs = plan(options, Path(caller), read_notebooks(notebooks))
        return 0 if verb == "check" else run(jobs, executed / profile, workers)
    except UsageError as error:
        print(f"run_all.sh: {error}".replace("\n", " "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun_all.sh: stopped; the same command continues", file=sys.stderr)
        return 130


# ---- the notebooks: {path: {parameter: default}}


def read_notebooks(folder: Path) -> dict[Path, dict]:
    return {path: read_parameters(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def read_parameters(path: Path) -> dict:
    """The literals of the cell tagged `parameters`: `runs: int = 3  # seeds` gives {"runs": 3}."""
    try:
        lines = ast.parse(parameters_cell(path)).body
        names = [line.target.id if isinstance(line, ast.AnnAssign) else line.targets[0].id for line in lines]
        return {name: ast.literal_eval(line.value) for name, line in zip(names, lines, strict=True)}
    except (AttributeError, KeyError, SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: its parameters cell must hold literals, one a line: {error}") from error


def parameters_cell(path: Path) -> str:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return "".join(cell["source"])
    return ""


def describe(notebooks: dict[Path, dict]) -> str:
    """A line for each parameter: its name, its comment, and the notebooks that have it."""
    holders = {}
    for path, defaults in notebooks.items():
        for line in parameters_cell(path).splitlines():
            name, comment = line.partition(":")[0], line.partition("#")[2].strip()
            if name in defaults and name not in WITH_OPTION:
                holders.setdefault((name, comment), []).append(path.name[:2])
    return "\n".join(f"  {name:12} {note} ({', '.join(where)})" for (name, note), where in holders.items())


# ---- the command


def plan(arguments: list[str], caller: Path, notebooks: dict[Path, dict]):
    """What the command asks for: profile, workers (None: one a core), [(notebook, {parameter: value})].

    Raises UsageError. Computes and writes nothing.
    """
    options, pairs = parse(arguments)
    chosen = choose(notebooks, options.get("--only"))
    profile = options.get("--profile", PROFILES[0])
    if profile not in PROFILES:
        raise UsageError(f"--profile {profile}: choose from {', '.join(PROFILES)}")
    workers = options.get("--workers")
    if workers is not None and not workers.isdecimal():
        raise UsageError(f"--workers {workers}: give a whole number, for example --workers 2")
    given = {"profile": profile}
    for name in ("hub", "results"):
        if f"--{name}" in options:
            given[name] = str((caller / options[f"--{name}"]).resolve())
    if "hub" in given and not Path(given["hub"]).is_dir():
        raise UsageError(f"--hub {options['--hub']}: there is no such folder: give one laid out like the Hub")
    if "results" in given and Path(given["results"]).exists() and not Path(given["results"]).is_dir():
        raise UsageError(f"--results {options['--results']}: this is not a folder: give one, or a new name")
    check_names(pairs, chosen)
    jobs = []
    for path, defaults in chosen.items():
        values = {name: value for name, value in given.items() if name in defaults}
        values |= {name: convert(name, text, defaults[name]) for name, text in pairs if name in defaults}
        jobs.append((path, values))
    return profile, None if workers is None else int(workers), jobs


def parse(arguments: list[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Options and -p pairs. Not argparse, which takes the value of `-p frozen -2,0` for an option."""
    options, pairs, rest = {}, [], list(arguments)
    while rest:
        option = rest.pop(0)
        if option.startswith("--") and "=" in option:
            option, value = option.split("=", 1)
            rest.insert(0, value)
        if option not in OPTIONS:
            raise UsageError(f"unknown argument {option!r}: choose from {', '.join(OPTIONS)}, --help")
        length = len(OPTIONS[option].split())
        values, rest = rest[:length], rest[length:]
        if len(values) < length or any(value.startswith("--") for value in values):
            raise UsageError(f"{option} needs {OPTIONS[option]} after it: see ./run_all.sh --help")
        if option == "-p":
            pairs.append(tuple(values))
        else:
            options[option] = values[0]
    return options, pairs


def choose(notebooks: dict[Path, dict], only: str | None) -> dict[Path, dict]:
    numbers = [path.name[:2] for path in notebooks]
    wanted = numbers if only is None else only.split(",")
    for number in wanted:
        if number not in numbers:
            raise UsageError(f"--only {only}: no notebook {number!r}: choose from {', '.join(numbers)}")
    return {path: defaults for path, defaults in notebooks.items() if path.name[:2] in wanted}


def check_names(pairs: list[tuple[str, str]], notebooks: dict[Path, dict]) -> None:
    known = sorted({name for defaults in notebooks.values() for name in defaults}.difference(WITH_OPTION))
    for name, value in pairs:
        if name in WITH_OPTION:
            raise UsageError(f"-p {name} {value}: {name} has its own option: --{name} {value}")
        if name not in known:
            raise UsageError(f"-p {name} {value}: no chosen notebook has it: choose from {', '.join(known)}")


def convert(name: str, text: str, default: object) -> object:
    """`text` in the type of the parameter's default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int | float):
            return type(default)(text)
        return text
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise UsageError(f"-p {name} {text}: give {kind}, as in -p {name} {json.dumps(default)}") from None


# ---- the run


def run(jobs: list[tuple[Path, dict]], executed: Path, workers: int | None) -> int:
    """Execute the notebooks one after the other; one that fails does not stop the others."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepare_environment()
    errors = []
    with cluster(workers):
        for path, values in jobs:
            print(f"{path.stem}: ", end="", flush=True)
            start = time.perf_counter()
            error, message = execute(path, executed / path.name, values)
            print(f"{'failed after ' if error else ''}{time.perf_counter() - start:.0f} s", flush=True)
            if error:
                errors.append(error)
                print(f"{path.stem}: {message}; see {os.path.relpath(executed / path.name)}", file=sys.stderr)
    if errors:
        print(f"run_all.sh: {len(errors)} of {len(jobs)} notebooks failed", file=sys.stderr)
    return 0 if not errors else 2 if set(errors) == {"StudyError"} else 1


def prepare_environment() -> None:
    """What kernels and workers inherit: one thread each, and this environment's kernel before any other."""
    kernel = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL)
    if not kernel.is_dir():
        raise UsageError(f"no kernel {KERNEL!r} in {sys.prefix}: start with ./run_all.sh, which makes it")
    others = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(kernel.parent.parent), others])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # errors are told once, by run


@contextmanager
def cluster(workers: int | None):
    """Worker processes on this machine, which lib.sweep finds by their address in the environment."""
    from dask.system import CPU_COUNT

    workers = CPU_COUNT if workers is None else workers
    if "DASK_SCHEDULER_ADDRESS" in os.environ:
        print(f"runs go to the Dask scheduler at {os.environ['DASK_SCHEDULER_ADDRESS']}", flush=True)
        yield
    elif workers < 2:
        yield
    else:
        from dask.distributed import LocalCluster

        # no memory limit: near it Dask pauses a worker, and a paused worker never finishes its run
        local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": None}
        # workers inherit that they ignore Ctrl-C: this process stops them
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with LocalCluster(n_workers=workers, threads_per_worker=1, **local) as dask:
            signal.signal(signal.SIGINT, interrupt)
            print(f"{workers} workers; progress: {dask.dashboard_link}", flush=True)
            os.environ["DASK_SCHEDULER_ADDRESS"] = dask.scheduler_address
            try:
                yield
            finally:
                del os.environ["DASK_SCHEDULER_ADDRESS"]


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

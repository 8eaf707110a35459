"""The command line of run_all.sh, read with nothing but Python: a mistake is said before anything is installed."""

import ast
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lib.fields import SCHEDULER, meant

PROFILES = ("quick", "minilm", "paper")
OPTIONS = {
    "--profile": "quick|minilm|paper",
    "--only": "NN[,NN]",
    "--hub": "FOLDER",
    "--rows": "study|first",
    "-p": "NAME VALUE",
    "--workers": "N",
    "--results": "FOLDER",
    "--data": "FILE|hub:ID[:CONFIG]",
    "--text": "COLUMN",
    "--label": "COLUMN",
    "--validation": "FILE",
    "--group": "COLUMN",
    "--scheduler": "ADDRESS",
    "--html": "",
    "--redraw": "",
    "--dry-run": "",
    "--watch": "",
}
ADDRESS = re.compile(r"((tcp|tls|ws|wss)://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}")
ROWS = ("study", "first")
HUB = "hub:"  # --data hub:ID[:CONFIG]
NOT_OF_DATA = {
    "00": "holds the paper's claims against the paper's tasks: choose from 01 to 06",
    "07": "labels a file: ./run_all.sh label FILE",
}
OF_DATA = "01,02,04,05,06"  # notebooks that --data runs unless --only names others
SIZES = ("start", "query", "rounds", "pool")  # what -p sets of the plan of --data, for all notebooks alike
ON_REQUEST = ("07",)  # notebooks on the user's own data: run only if --only names them
VERBS = ("status", "publish", "label", "check", "verify", "benchmark", "test")
PATHS = ("path", "save", "output")  # parameters that are read from the caller's folder
WITH_OPTION = ("profile", "hub", "rows", "results")  # parameters of the notebooks that are not set with -p


class UsageError(ValueError):
    """A mistake in the command, in one line: what was given, what is allowed, what to do."""


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


# ---- the command


@dataclass(frozen=True)
class Command:
    """What the user asks for."""

    verb: str  # "run", "publish", "status" or "dry-run"
    profile: str
    workers: int | None  # None: one a GPU or a core
    scheduler: str  # address of a Dask scheduler; empty: none
    watch: bool  # status, again and again
    html: bool  # write pages after the run
    redraw: bool  # compute nothing
    jobs: list[tuple[Path, dict]]  # notebook, parameter → value
    data: dict | None = None  # of --data: path, text, label, validation and the sizes that were asked for

    @property
    def name(self) -> str:
        """Of the folders of figures and executed notebooks: a profile's, or that of the folder of a profile's file."""
        return Path(self.profile).parent.name if self.profile.endswith(".json") else self.profile


def plan(arguments: list[str], caller: Path, notebooks: dict[Path, dict]) -> Command:
    """Raises UsageError. Computes and writes nothing."""
    verb = arguments[0] if arguments[:1] in (["status"], ["publish"]) else "run"
    if verb == "run" and arguments and not arguments[0].startswith("-"):
        near = meant(arguments[0], VERBS)
        raise UsageError(f"unknown command {arguments[0]!r}{near}: choose from {', '.join(VERBS)}, or see --help")
    options, pairs = parse(arguments[verb != "run" :])
    if "--watch" in options and verb != "status":
        raise UsageError("--watch belongs to status: ./run_all.sh status --watch")
    if "--dry-run" in options and verb != "run":
        raise UsageError(f"--dry-run and {verb} are two commands: choose one of them")
    for option in ("--html", "--redraw"):
        if option in options and (verb != "run" or "--dry-run" in options):
            raise UsageError(f"{option} belongs to a run of the notebooks: leave out status, publish and --dry-run")
    data = own_file(options, caller)
    if data and verb == "publish":
        raise UsageError("publish is for the study: runs on your own data never go into a file that git keeps")
    if data:
        data["sizes"], pairs = sizes_of_data(pairs)
    chosen = choose(notebooks, options.get("--only", OF_DATA if data else None))
    for number in [path.name[:2] for path in chosen if data and path.name[:2] in NOT_OF_DATA]:
        raise UsageError(f"--only {number} and --data: notebook {number} {NOT_OF_DATA[number]}")
    profile = options.get("--profile", PROFILES[0])
    if profile not in PROFILES:
        raise UsageError(f"--profile {profile}{meant(profile, PROFILES)}: choose from {', '.join(PROFILES)}")
    workers = options.get("--workers")
    if workers is not None and not (workers.isdecimal() and int(workers)):
        raise UsageError(f"--workers {workers}: give a whole number from 1 on, for example --workers 2")
    scheduler = options.get("--scheduler", "")
    if "--scheduler" in options:
        check_address(f"--scheduler {scheduler}", scheduler)
    elif address := os.environ.get(SCHEDULER):
        check_address(f"{SCHEDULER}={address}", address)
    if scheduler and workers is not None:
        raise UsageError("--workers is for this machine: leave it out with --scheduler, whose workers are its own")
    given = {"profile": profile, **({} if data else hub_folder(options, caller))}
    if "--rows" in options:
        if options["--rows"] not in ROWS:
            raise UsageError(f"--rows {options['--rows']}: choose from {', '.join(ROWS)}")
        given["rows"] = options["--rows"]
    given |= results_folder(options, caller)
    check_names(pairs, chosen, notebooks)
    jobs = []
    for path, defaults in chosen.items():
        values = {name: value for name, value in given.items() if name in defaults}
        values |= {name: convert(name, text, defaults[name]) for name, text in pairs if name in defaults}
        values |= {name: str((caller / values[name]).resolve()) for name in PATHS if values.get(name)}
        if values.get("encoder") and (caller / values["encoder"]).is_dir():
            values["encoder"] = str((caller / values["encoder"]).resolve())
        check_output(values.get("output"))
        jobs.append((path, values))
    verb = "dry-run" if "--dry-run" in options else verb
    workers = None if workers is None else int(workers)
    flags = {name: f"--{name}" in options for name in ("watch", "html", "redraw")}
    return Command(verb=verb, profile=profile, workers=workers, scheduler=scheduler, jobs=jobs, data=data, **flags)


def own_file(options: dict[str, str], caller: Path) -> dict[str, str] | None:
    """What --data and the options that belong to it say. Raises UsageError."""
    if "--data" not in options:
        for option in ("--text", "--label", "--validation", "--group"):
            if option in options:
                raise UsageError(f"{option} belongs to --data FILE: name the file, too")
        return None
    of_hub = options["--data"].startswith(HUB)
    for option in ("--profile", "--rows", "--validation" if of_hub else "--hub"):
        if option in options:
            raise UsageError(f"{option} and --data {options['--data']} are two sources of rows: leave out one of them")
    given = {name: options.get(f"--{name}", "") for name in ("text", "label", "group")}
    if of_hub:
        return {"path": options["--data"], "validation": "", "hub": "", **hub_folder(options, caller), **given}
    files = {
        name: str((caller / options[f"--{name}"]).resolve())
        for name in ("data", "validation")
        if f"--{name}" in options
    }
    for name, file in files.items():
        if not Path(file).is_file():
            raise UsageError(f"--{name} {options[f'--{name}']}: there is no such file: give one, or hub:ID of the Hub")
    return {"path": files["data"], "validation": files.get("validation", ""), **given}


def sizes_of_data(pairs: list[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """SIZES that -p gives with --data, and the other pairs. Raises UsageError."""
    sizes = {name: convert(name, text, 1) for name, text in pairs if name in SIZES}
    for name, value in sizes.items():
        if value < 1:
            raise UsageError(f"-p {name} {value}: give a whole number from 1 on, or leave it out")
    return sizes, [pair for pair in pairs if pair[0] not in SIZES]


def check_address(given: str, address: str) -> None:
    if not ADDRESS.fullmatch(address) or int(address.rpartition(":")[2]) > 65535:
        raise UsageError(f"{given}: give the address of a Dask scheduler, for example tcp://10.0.0.1:8786")


def nearest(folder: str) -> Path:
    """The folder, or the first place above it that is there."""
    return next(place for place in (Path(folder), *Path(folder).parents) if place.exists())


def check_output(folder: str | None) -> None:
    """Raises UsageError if files cannot be written there: a run would end in vain."""
    if not folder:
        return
    there = nearest(folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"-p output {folder}: {there} is not a folder that can be written to: give another")


def results_folder(options: dict[str, str], caller: Path) -> dict[str, str]:
    if "--results" not in options:
        return {}
    folder = str((caller / options["--results"]).resolve())
    if not nearest(folder).is_dir():
        raise UsageError(f"--results {options['--results']}: this is not a folder: give one, or a new name")
    return {"results": folder}


def hub_folder(options: dict[str, str], caller: Path) -> dict[str, str]:
    if "--hub" not in options:
        return {}
    folder = (caller / options["--hub"]).resolve()
    if not folder.is_dir():
        what = "this is not a folder" if folder.exists() else "there is no such folder"
        raise UsageError(f"--hub {options['--hub']}: {what}: give one laid out like the Hub")
    return {"hub": str(folder)}


def parse(
    arguments: list[str], known: dict[str, str] = OPTIONS, offered: Iterable[str] = OPTIONS
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Options and -p pairs. Not argparse, which takes the value of `-p frozen -2,0` for an option.

    offered: the options that are named where one is unknown.
    """
    options, pairs, rest = {}, [], list(arguments)
    while rest:
        option = rest.pop(0)
        if option.startswith("--") and "=" in option:
            option, value = option.split("=", 1)
            rest.insert(0, value)
        if option not in known:
            near = meant(option, [*offered, "--help"])
            raise UsageError(f"unknown argument {option!r}{near}: choose from {', '.join(offered)}, --help")
        if not known[option]:
            options[option] = ""
            continue
        length = len(known[option].split())
        values, rest = rest[:length], rest[length:]
        if len(values) < length or any(value.startswith("--") for value in values):
            raise UsageError(f"{option} needs {known[option]} after it: see ./run_all.sh --help")
        if option == "-p":
            pairs.append(tuple(values))
        else:
            options[option] = values[0]
    return options, pairs


def choose(notebooks: dict[Path, dict], only: str | None) -> dict[Path, dict]:
    """The notebooks that `only` names, by number or by name; without it all but those on request."""
    numbers = [path.name[:2] for path in notebooks]
    known = {name: path.name[:2] for path in notebooks for name in (path.name[:2], path.stem, path.stem[3:])}
    wanted = [number for number in numbers if number not in ON_REQUEST] if only is None else only.split(",")
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"--only {only!r}: no notebook {name!r}{meant(name, known)}: choose from {', '.join(numbers)}, "
                "as in --only 02,04"
            )
    chosen = {known[name] for name in wanted}
    return {path: defaults for path, defaults in notebooks.items() if path.name[:2] in chosen}


def check_names(pairs: list[tuple[str, str]], notebooks: dict[Path, dict], every: dict[Path, dict]) -> None:
    known = sorted({name for defaults in notebooks.values() for name in defaults}.difference(WITH_OPTION))
    for name, value in pairs:
        if name in WITH_OPTION:
            raise UsageError(f"-p {name} {value}: {name} has its own option: --{name} {value}")
        others = [path.name[:2] for path, defaults in every.items() if name in defaults]
        if name not in known and others:
            only = "only notebook {} has" if len(others) == 1 else "only notebooks {} have"
            raise UsageError(f"-p {name} {value}: {only.format(', '.join(others))} it: add --only {others[0]}")
        if name not in known:
            near = meant(name, known)
            raise UsageError(f"-p {name} {value}: no chosen notebook has it{near}: choose from {', '.join(known)}")


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

"""The numbered notebooks and their parameters: what -p and the other options of a command set in them."""

import ast
import json
import os
from dataclasses import dataclass
from pathlib import Path

from papermill import inspect_notebook

from lib.errors import StudyError, did_you_mean

OF_DATA = "01,02,04,05,06"  # notebooks that --data runs unless --only names others
ON_REQUEST = ("07",)  # notebooks on the user's own data: run only if --only names them
PATHS = ("path", "save", "output")  # parameters that are read from the folder in which the command is given
WITH_OPTION = ("profile", "hub", "rows", "results", "redraw")  # parameters of the notebooks that are not set with -p


@dataclass(frozen=True)
class Command:
    """What the user asks for."""

    verb: str  # "run", "publish", "status" or "dry-run"
    profile: str
    jobs: list[tuple[Path, dict]]  # notebook, parameter → value
    workers: int | None = None  # None: one a GPU or a core
    scheduler: str = ""  # address of a Dask scheduler; empty: none
    watch: bool = False  # status, again and again
    html: bool = False  # write pages after the run
    redraw: bool = False  # compute nothing
    data: dict | None = None  # of --data: path, text, label, validation and the sizes that were asked for

    @property
    def name(self) -> str:
        """Of the folders of figures and executed notebooks: a profile's, or that of the folder of a profile's file."""
        return Path(self.profile).parent.name if self.profile.endswith(".json") else self.profile


def read_notebooks(folder: Path) -> dict[Path, dict]:
    """Each numbered notebook of a folder → its parameters and their defaults. Raises StudyError."""
    return {path: read_parameters(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def read_parameters(path: Path) -> dict:
    """The cell tagged `parameters`: `runs: int = 3  # seeds` gives {"runs": 3}. Raises StudyError."""
    try:
        return {name: ast.literal_eval(found["default"]) for name, found in inspect_notebook(path).items()}
    except (SyntaxError, ValueError) as error:
        raise StudyError(f"{path}: its parameters cell must hold literals, one a line: {error}") from error


def choose(notebooks: dict[Path, dict], only: str | None) -> dict[Path, dict]:
    """The notebooks that `only` names, by number or by name; without it all but those on request."""
    numbers = [path.name[:2] for path in notebooks]
    known = {name: path.name[:2] for path in notebooks for name in (path.name[:2], path.stem, path.stem[3:])}
    wanted = [number for number in numbers if number not in ON_REQUEST] if only is None else only.split(",")
    for name in wanted:
        if name not in known:
            raise StudyError(
                f"--only {only!r}: no notebook {name!r}{did_you_mean(name, known)}: choose from {', '.join(numbers)}, "
                "as in --only 02,04"
            )
    chosen = {known[name] for name in wanted}
    return {path: defaults for path, defaults in notebooks.items() if path.name[:2] in chosen}


def jobs(
    chosen: dict[Path, dict], every: dict[Path, dict], given: dict, pairs: list[tuple[str, str]]
) -> list[tuple[Path, dict]]:
    """Each chosen notebook with the values of those of its parameters that the command sets.

    given: values of parameters; a notebook that has no such parameter is not given it. pairs: of -p, as written; each
    must be a parameter of a chosen notebook. Raises StudyError.
    """
    check_names(pairs, chosen, every)
    found = []
    for path, defaults in chosen.items():
        values = {name: value for name, value in given.items() if name in defaults}
        values |= {name: convert(name, text, defaults[name]) for name, text in pairs if name in defaults}
        values |= {name: str(Path(values[name]).resolve()) for name in PATHS if values.get(name)}
        if values.get("encoder") and Path(values["encoder"]).is_dir():
            values["encoder"] = str(Path(values["encoder"]).resolve())
        check_output(values.get("output"))
        found.append((path, values))
    return found


def check_names(pairs: list[tuple[str, str]], notebooks: dict[Path, dict], every: dict[Path, dict]) -> None:
    known = sorted({name for defaults in notebooks.values() for name in defaults}.difference(WITH_OPTION))
    for name, value in pairs:
        if name in WITH_OPTION:
            raise StudyError(f"-p {name} {value}: {name} has its own option: --{name}")
        others = [path.name[:2] for path, defaults in every.items() if name in defaults]
        if name not in known and others:
            only = "only notebook {} has" if len(others) == 1 else "only notebooks {} have"
            raise StudyError(f"-p {name} {value}: {only.format(', '.join(others))} it: add --only {others[0]}")
        if name not in known:
            near = did_you_mean(name, known)
            raise StudyError(f"-p {name} {value}: no chosen notebook has it{near}: choose from {', '.join(known)}")


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
        raise StudyError(f"-p {name} {text}: give {kind}, as in -p {name} {json.dumps(default)}") from None


def nearest(folder: str) -> Path:
    """The folder, or the first place above it that is there."""
    return next(place for place in (Path(folder), *Path(folder).parents) if place.exists())


def check_output(folder: str | None) -> None:
    """Raises StudyError if files cannot be written there: a run would end in vain."""
    if not folder:
        return
    there = nearest(folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise StudyError(f"-p output {folder}: {there} is not a folder that can be written to: give another")

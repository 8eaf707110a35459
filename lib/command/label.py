"""./run_all.sh label FILE: notebook 07 as a copy beside the file, in JupyterLab: no text of the file gets into git."""

import ast
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import nbformat

from lib.command.notebooks import read_parameters
from lib.data.columns import Columns
from lib.data.files import read_table
from lib.data.own_rows import NO_ROW_LEFT, OwnRows, read_rows
from lib.errors import StudyError, counted, truncated
from lib.runs.files import write_text

PARAMETER = re.compile(r"^(?P<name>\w+)(?P<kind>: \w+)? = (?P<value>.+?)(?P<comment>  #.*)?$")
OF_ROWS = ("text_column", "second_text_column", "labels", "label_column", "answers")  # parameters of `read_rows`
QUIET = ("--ServerApp.log_level=ERROR", "--LabApp.log_level=ERROR")  # the address is told all the same
SETTINGS = Path(__file__).with_name("jupyter")  # no question about Jupyter's news


def prepare(notebook: Path, given: dict) -> tuple[Path, str]:
    """Read the file, find its columns and put the copy beside it. → the copy's path, and a line about the file.

    given: values of the notebook's parameters; `path` is the file. Raises StudyError, one line, for a file that cannot
    be labelled so.
    """
    file = Path(given["path"])
    target, there = file.with_name(f"{file.stem}-labelling.ipynb"), {}
    if target.exists():
        there = parameters_in(target)
        if Path(there.get("path") or file).name != file.name:  # of my.csv, where this is my.xlsx
            target = file.with_name(f"{file.name}-labelling.ipynb")
            given = {"save": str(file.with_name(f"{file.name}-labelled")), **given}
            there = parameters_in(target) if target.exists() else {}
    given, rows = checked(file, given, read_parameters(notebook) | there)
    copy_beside(notebook, target, given)
    return target, said(rows)


def parameters_in(copy: Path) -> dict:
    """The literals among the parameters of a copy, which a person may have edited. Raises StudyError."""
    found = {}
    for cell in read(copy).cells:
        if "parameters" in cell.metadata.get("tags", []):
            for line in filter(None, map(PARAMETER.match, cell.source.split("\n"))):
                with suppress(ValueError, SyntaxError):
                    found[line["name"]] = ast.literal_eval(line["value"])
    return found


def read(copy: Path):
    """Raises StudyError if a copy is no notebook."""
    try:
        return nbformat.read(copy, 4)
    except OSError as error:
        raise StudyError(f"{copy} cannot be read ({error.strerror}): move it away, for another copy") from error
    except ValueError as error:
        raise StudyError(f"{copy} is no notebook that can be read: move it away, for another copy") from error


def checked(file: Path, given: dict, there: dict) -> tuple[dict, OwnRows]:
    """The given values with the columns that were found, and the rows that they give. there: the notebook's values.

    Raises StudyError as `read_rows` does, and if there are no classes or no row is left to label.
    """
    columns, values = Columns([*read_table(file)[0].values()], file), there | given
    if "text_column" not in given and values["text_column"] not in columns.names:
        known = tuple(values[name] for name in OF_ROWS[1:] if values[name])
        texts = columns.texts("-p text_column", known)
        given = given | dict(zip(OF_ROWS, texts, strict=False))
    if not any(values[name] for name in ("labels", "label_column", "answers")):
        if not (label := columns.usual_label()):
            raise StudyError(f"{file.name}: which classes are there? Name them: -p labels negative,positive")
        given = given | {"label_column": label}
    values = there | given
    rows = read_rows(file, *(values[name] for name in OF_ROWS))
    if values["label_column"] and any(note.startswith(NO_ROW_LEFT) for note in rows.notes):
        raise StudyError(
            f"{file.name}: every row has a label in {values['label_column']!r}: to compare strategies on them, "
            "./run_all.sh --data FILE; to label all again, -p labels negative,positive"
        )
    return given, rows


def said(rows: OwnRows) -> str:
    text, classes = " and ".join(map(repr, rows.columns)), truncated([*map(repr, rows.labels)], 8)
    return f"{rows.path.name}: {counted(len(rows), 'row')}, text in {text}, {len(rows.labels)} classes ({classes})"


def copy_beside(notebook: Path, target: Path, values: dict) -> None:
    """A copy without outputs, whose parameters have these values.

    One that is there is gone on with: what else is in it stays. Raises StudyError if it cannot be read or written.
    """
    there = target.exists()
    copied = read(target) if there else without_outputs(nbformat.read(notebook, 4))
    if set_parameters(copied, values) or not there:
        try:
            write_text(target, nbformat.writes(copied).rstrip("\n") + "\n")
        except OSError as error:
            hint = "make room, or copy the file to a folder of yours"
            raise StudyError(f"{target} cannot be written ({error.strerror}): {hint}") from error


def without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def set_parameters(notebook, values: dict) -> bool:
    """Give the cell with the parameters these values. → whether that changes it"""
    changed = False
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            before, cell.source = cell.source, "\n".join(set_in(line, values) for line in cell.source.split("\n"))
            changed |= cell.source != before
    return changed


def set_in(line: str, values: dict) -> str:
    """A line of the cell with the parameters, with its value if there is one."""
    found = PARAMETER.match(line)
    if not found or found["name"] not in values:
        return line
    return f"{found['name']}{found['kind'] or ''} = {values[found['name']]!r}{found['comment'] or ''}"


def open_in_jupyterlab(notebook: Path, options: list[str]) -> None:
    """This process becomes JupyterLab, whose files begin at the notebook's folder. options: JupyterLab's own."""
    arguments = ["-P", "-m", "jupyterlab", *QUIET, f"--ServerApp.root_dir={notebook.parent}"]
    if os.geteuid() == 0 and "--allow-root" not in options:  # without it, JupyterLab refuses to start in a container
        arguments.append("--allow-root")
    others = os.environ.get("JUPYTER_CONFIG_PATH", "")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(SETTINGS), others]))
    os.execv(sys.executable, [sys.executable, *arguments, *options, str(notebook)])

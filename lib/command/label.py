"""./run_all.sh label FILE: notebook 07 as a copy beside the file, in JupyterLab: no text of the file gets into git."""

import os
import re
import sys
from pathlib import Path

import nbformat

from lib.command.options import UsageError

PARAMETER = re.compile(r"^(?P<name>\w+)(?P<kind>: \w+)? = (?P<value>.+?)(?P<comment>  #.*)?$")


def copy_beside(notebook: Path, values: dict) -> Path:
    """A copy without outputs, whose parameters have these values. → its path

    One that is there is gone on with: what else is in it stays. Raises UsageError if it cannot be read or written.
    """
    file = Path(values["path"])
    target = file.with_name(f"{file.name.split('.')[0]}-labelling.ipynb")
    there = target.exists()
    try:
        copied = nbformat.read(target, 4) if there else without_outputs(nbformat.read(notebook, 4))
        if set_parameters(copied, values) or not there:
            nbformat.write(copied, target)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written ({error.strerror}): copy the file to a folder of yours"
        ) from error
    except ValueError as error:
        raise UsageError(f"{target} is no notebook that can be read: move it away, for another copy") from error
    return target


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


def open_in_jupyterlab(notebook: Path) -> None:
    """This process becomes JupyterLab, whose files begin at the notebook's folder."""
    arguments = ["-m", "jupyterlab", f"--ServerApp.root_dir={notebook.parent}", str(notebook)]
    os.execv(sys.executable, [sys.executable, *arguments])

"""./run_all.sh label FILE: notebook 07 as a copy beside the file, in JupyterLab: no text of the file gets into git."""

import os
import re
import sys
from pathlib import Path

import nbformat

from lib.command.options import UsageError

PARAMETER = re.compile(r"^(?P<name>\w+): (?P<kind>\w+) = (?P<value>.+?)(?P<comment>  #.*)?$")


def copy_beside(notebook: Path, values: dict) -> Path:
    """A copy without outputs, whose parameters have these values; one that is there is left, to go on. → its path

    Raises UsageError if it cannot be written.
    """
    file = Path(values["path"])
    target = file.with_name(f"{file.name.split('.')[0]}-labelling.ipynb")
    if target.exists():
        return target
    copied = nbformat.read(notebook, as_version=4)
    for cell in copied.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = "\n".join(set_in(line, values) for line in cell.source.split("\n"))
    try:
        nbformat.write(copied, target)
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written ({error.strerror}): copy the file to a folder of yours"
        ) from error
    return target


def set_in(line: str, values: dict) -> str:
    """A line of the cell with the parameters, with its value if there is one."""
    found = PARAMETER.match(line)
    if not found or found["name"] not in values:
        return line
    return f"{found['name']}: {found['kind']} = {values[found['name']]!r}{found['comment'] or ''}"


def open_in_jupyterlab(notebook: Path) -> None:
    """This process becomes JupyterLab, whose files begin at the notebook's folder."""
    arguments = ["-m", "jupyterlab", f"--ServerApp.root_dir={notebook.parent}", str(notebook)]
    os.execv(sys.executable, [sys.executable, *arguments])

"""Make the last run of a profile the committed study:  python -m lib.publish quick [NN...]

Copies executed/<profile>/ over notebooks/ (outputs and all, without papermill's own marks and the state of widgets),
figures/<profile>/ to figures/study/<profile>/, and the runs that those figures were made from to results/study/. With
numbers, only the outputs of these notebooks; those on request, which may show somebody's own data, must be named.
"""

import json
import shutil
import sys
from pathlib import Path

import nbformat

from lib.command import ON_REQUEST
from lib.pages import without_widgets
from lib.results import ROOT, STORE

PAPERMILLS_CELL = "injected-parameters"


def publish(profile: str, notebooks: bool) -> None:
    figures = ROOT / "figures" / profile
    if not figures.is_dir():
        sys.exit(f"error: there is no {figures.relative_to(ROOT)}: run that profile first")
    target = ROOT / "figures" / "study" / profile
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(figures, target)
    for name in runs_of(figures):
        shutil.rmtree(STORE / "study" / name, ignore_errors=True)
        shutil.copytree(STORE / name, STORE / "study" / name, ignore=shutil.ignore_patterns(".lock"))
        without_folders(STORE / "study" / name / "provenance.json")
    if notebooks:
        executed = (ROOT / "executed" / profile).glob("[0-9][0-9]_*.ipynb")
        publish_notebooks(profile, {path.name[:2] for path in executed}.difference(ON_REQUEST))


def without_folders(provenance: Path) -> None:
    """Leave out where rows and weights lay if that is a folder of this machine, which says nothing elsewhere."""
    said = json.loads(provenance.read_text("utf-8"))
    said["locations"] = {name: place for name, place in said["locations"].items() if not Path(place).is_absolute()}
    provenance.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", "utf-8")


def publish_notebooks(profile: str, numbers) -> None:
    for number in sorted(numbers):
        for executed in (ROOT / "executed" / profile).glob(f"{number}_*.ipynb"):
            nbformat.write(without_papermill(executed), ROOT / "notebooks" / executed.name)


def runs_of(figures: Path) -> set[str]:
    """The runs that the tables of a folder name in their first line."""
    headers = (file.read_text("utf-8").partition("\n")[0] for file in figures.glob("*.csv"))
    return {run for header in headers for run in json.loads(header.removeprefix("# "))["runs"]}


def without_papermill(path: Path):
    notebook = without_widgets(nbformat.read(path, as_version=4))
    notebook.metadata.pop("papermill", None)
    notebook.cells = [cell for cell in notebook.cells if PAPERMILLS_CELL not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "parameters" not in cell.metadata.get("tags", []):
            cell.metadata.pop("tags", None)
    return notebook


if __name__ == "__main__":
    profile, *numbers = sys.argv[1:]
    if numbers:
        publish_notebooks(profile, numbers)
    else:
        publish(profile, notebooks=profile == "quick")

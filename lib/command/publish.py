"""Make the runs of a profile, its figures and executed notebooks the committed study:  ./run_all.sh publish

The finished runs that the notebooks need go to results/study/<profile>/ (lib.runs.published says how), beside those
that are there already; figures/<profile>/ to figures/study/<profile>/; executed/<profile>/ over notebooks/, outputs and
all, with the cell of the parameters that made them, and without papermill's other marks and the state of widgets. Each
file is there whole or not at all.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd

from lib.analysis.learnt import compare, overview
from lib.command.execution import UNFINISHED
from lib.command.pages import without_widgets
from lib.errors import StudyError
from lib.protocol import Profile
from lib.runs import published
from lib.runs.files import read_json
from lib.runs.packing import Scope
from lib.runs.plans import PLACES
from lib.runs.published import FORMAT, Study, pack
from lib.runs.results import BASELINES, ROOT, Run

PAPERMILLS_CELL = "injected-parameters"  # tag of the cell in which papermill puts parameters
INJECTED_ID = "parameters-of-the-outputs"
OF_A_MACHINE = ("hub", *PLACES)  # parameters that say where something lies, or that the command has computed


def publish(scope: Scope, runs: list[Run], store: Path, notebooks: list[Path], executed: Path) -> Iterator[str]:
    """Publish finished runs of a profile, the baselines in a store, and the notebooks as executed in a folder.

    → a line for each thing done.

    Raises StudyError as `publish_runs` does, and if there is nothing to publish.
    """
    name = scope.study.name
    there = (published.STUDIES / name / published.MANIFEST).exists()
    if not runs and not there:
        raise StudyError(f"no run that these notebooks need is finished: ./run_all.sh --profile {name} computes them")
    study, new = publish_runs(published.STUDIES / name, scope, runs) if runs else (Study(published.STUDIES / name), 0)
    baselines = publish_baselines(study, store, scope)
    sizes = [path.stat().st_size for path in study.folder.iterdir()]
    counted = f"{len(study.runs)} runs, {new} of them new; baselines of {baselines} more"
    yield f"{study.folder}: {counted}; {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB"
    figures, target = ROOT / "figures" / name, ROOT / "figures" / "study" / name
    yield f"{target}: {publish_figures(figures, target)} files"
    yield f"{notebooks[0].parent}: {publish_notebooks(notebooks, executed)} notebooks as they were executed"
    if write_overview(ROOT / "README.md", scope.study):
        yield f"{ROOT / 'README.md'}: the table of results"


def write_overview(readme: Path, study: Profile) -> bool:
    """Put what came out in the place of README's table of this profile's results. → whether it has one"""
    begin, end = f"<!-- results of {study.name} -->\n", "<!-- end of results -->"
    text = readme.read_text("utf-8")
    if begin not in text:
        return False
    table = overview(compare(study)).to_markdown(index=False)
    before, rest = text.split(begin, 1)
    readme.write_text(f"{before}{begin}{table}\n{end}{rest.split(end, 1)[1]}", "utf-8")
    return True


def publish_runs(folder: Path, scope: Scope, runs: list[Run]) -> tuple[Study, int]:
    """Add finished runs to the published study in a folder, as a part of it. → the study, and how many are new.

    Raises StudyError if what is there cannot be added to, DamagedRun or DamagedStudy if something was altered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with published.locked(folder):
        before = Study(folder) if (folder / published.MANIFEST).exists() else None
        if before and before.manifest.get("format") != FORMAT:
            raise StudyError(f"{folder} is of another version of this study's format: move it away, then publish again")
        if before:
            before.check()
        new = [run for run in runs if not (before and run.name in before.runs)]
        for run in new:
            run.check()
        if not new and before:
            return before, 0
        study = published.write(folder, {run.name: entry(run) for run in new}, scope.tables(new), scope.left_out())
    return study, len(new)


def publish_baselines(study: Study, store: Path, scope: Scope) -> int:
    """Add what the store has of lib.analysis.baselines for runs of the study that has none of them. → of how many"""
    files = {name: store / BASELINES / f"{name}.parquet" for name in study.runs.keys() - study.baselines.keys()}
    files = {name: file for name, file in sorted(files.items()) if file.exists()}
    pieces = [pack(pd.DataFrame({"run": name, **pd.read_parquet(file)})) for name, file in files.items()]
    if pieces:
        with published.locked(study.folder):
            published.write(study.folder, {}, {"baselines": pieces}, scope.left_out())
    return len(pieces)


def entry(run: Run) -> dict:
    """What the manifest says of a run of the live store."""
    fields = read_json(run.folder / "protocol.json")["fields"]
    origin = dict(run.origin)
    # a folder of this machine says nothing elsewhere
    origin["locations"] = {name: place for name, place in origin["locations"].items() if not Path(place).is_absolute()}
    return {"key": run.key, "identity": run.identity, "fields": fields, "provenance": origin}


def publish_figures(figures: Path, target: Path) -> int:
    """Copy figures and tables; those that are not made any more go, if any are made. → how many"""
    files = sorted(path for path in figures.glob("*") if path.is_file())
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        scratch = target / f"{path.name}.tmp"
        shutil.copyfile(path, scratch)
        scratch.replace(target / path.name)
    names = {path.name for path in files}
    for path in target.iterdir():
        if path.suffix == ".tmp" or (files and path.name not in names):
            path.unlink()
    return len(files)


def publish_notebooks(notebooks: list[Path], executed: Path) -> int:
    """Put what was executed to its end in the place of notebooks. → how many

    One that ends in an error, such as one without runs, is left as it is. Raises StudyError, and replaces none, if a
    notebook was edited since it was executed, so that the edit would be lost, or if its execution was broken off.
    """
    there = {
        path: nbformat.read(executed / path.name, as_version=4) for path in notebooks if (executed / path.name).exists()
    }
    whole = {path: notebook for path, notebook in there.items() if not ends_in_error(notebook)}
    broken = [path.name for path, notebook in whole.items() if broken_off(notebook)]
    if broken:
        raise StudyError(
            f"{', '.join(broken)}: broken off while it was executed in {executed}: execute it again (--redraw computes "
            "nothing), then publish"
        )
    edited = [path.name for path, notebook in whole.items() if cells_of(notebook) != cells_of(nbformat.read(path, 4))]
    if edited:
        raise StudyError(
            f"{', '.join(edited)}: edited since it was executed in {executed}: execute it again (--redraw computes "
            "nothing), then publish"
        )
    for path, notebook in whole.items():
        scratch = path.with_name(f"{path.name}.tmp")
        nbformat.write(as_published(notebook), scratch)
        scratch.replace(path)
    return len(whole)


def cells_of(notebook) -> list[tuple[str, str]]:
    """Kind and source of its cells, without the cell in which papermill puts parameters."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells if not injected(cell)]


def injected(cell) -> bool:
    return PAPERMILLS_CELL in cell.metadata.get("tags", [])


def broken_off(notebook) -> bool:
    """Whether its kernel died, or its execution was stopped before the last cell."""
    states = [cell.metadata.get("papermill", {}).get("status", "completed") for cell in notebook.cells]
    return UNFINISHED in notebook.metadata or not set(states) <= {"completed"}


def ends_in_error(notebook) -> bool:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return any(output.output_type == "error" for output in outputs)


def as_published(notebook):
    """Without papermill's marks, but with its cell of parameters: Run All then redraws what is shown below it."""
    notebook = without_widgets(notebook)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if injected(cell):
            cell.update(id=INJECTED_ID, source=for_every_machine(cell.source), outputs=[], execution_count=None)
        elif "parameters" not in cell.metadata.get("tags", []):
            cell.metadata.pop("tags", None)
    return notebook


def for_every_machine(source: str) -> str:
    """The lines of papermill's cell but for those that say where something lies on this machine."""
    return "\n".join(line for line in source.splitlines() if line.partition(" = ")[0] not in OF_A_MACHINE)

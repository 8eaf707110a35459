"""Is the store what it says?  ./run_all.sh check, ./run_all.sh verify [RUN]"""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import StudyError
from lib.method import active_learning
from lib.protocol import COMPUTING, METHOD_VERSION, Protocol, digest, profile
from lib.runs import published, results
from lib.runs.costs import cost
from lib.runs.files import read_json, write_json
from lib.runs.ledger import older
from lib.runs.packing import Scope
from lib.runs.published import DamagedStudy, Study
from lib.runs.results import TABLES, UNSUMMED, DamagedRun, Run
from lib.runs.run import compute

SAME = ("processor", "python", "versions")  # of two computations that must agree bit for bit
BIT_FOR_BIT = "are equal bit for bit"
ACCURACY = 0.05  # tolerance on another machine, of the accuracy
CHANGE = 0.10  # and of the mean parameter change of all layers, as a share of the stored one


def check(store: Path) -> list[str]:
    """A line for everything in a store that is torn, foreign or altered. Reads all files, changes none."""
    if not store.is_dir():
        raise StudyError(f"{store} is not a folder: give the store of runs")
    problems = [line] if (line := older(store)) else []
    for folder in sorted(store.iterdir()):
        if folder == published.STUDIES or folder.name in (published.OWN_DATA, results.BASELINES):
            continue  # `check_studies` reads the one, and the others hold no runs
        if not folder.is_dir():
            problems.append(f"{folder.name}: foreign: a store holds one folder a run")
        elif (folder / "protocol.json").exists():
            problems += [f"{folder.name}: {problem}" for problem in check_run(folder)]
        elif any(folder.glob("*/protocol.json")):  # a store in the store: the committed study
            problems += [f"{folder.name}/{problem}" for problem in check(folder)]
        elif any(path.name != ".lock" for path in folder.iterdir()):
            problems.append(f"{folder.name}: foreign or torn: it has no protocol.json")
    return problems


def check_studies() -> list[str]:
    """The same for the published studies of the checkout."""
    problems = []
    for folder in sorted(published.STUDIES.iterdir()) if published.STUDIES.is_dir() else ():
        if (folder / published.MANIFEST).exists():
            problems += [f"study {folder.name}: {problem}" for problem in check_study(Study(folder))]
        elif folder.name != ".lock":
            problems.append(f"study {folder.name}: foreign: it has no {published.MANIFEST}")
    return problems


def published_runs() -> int:
    """How many runs are published, as far as their manifests can be read."""
    numbers = []
    for study in published.studies():
        with suppress(DamagedStudy):
            numbers.append(len(study.runs))
    return sum(numbers)


def check_study(study: Study) -> list[str]:
    try:
        said = study.manifest
    except DamagedStudy:
        return [f"{published.MANIFEST} is torn or altered"]
    if said.get("format") != published.FORMAT:
        return [f"it is of format {said.get('format')!r}, this version reads {published.FORMAT}: it is left alone"]
    problems = []
    for part, table, file in study.files:
        try:
            study.file(part, table)
        except DamagedStudy:
            problems.append(f"{file} is {'altered' if (study.folder / file).exists() else 'gone'}")
    known = {published.MANIFEST, *(file for *_, file in study.files)}
    foreign = sorted(path.name for path in study.folder.iterdir() if path.name not in known)
    problems += [f"{name} is foreign: {published.MANIFEST} does not name it" for name in foreign]
    if others := sum(run["identity"].get("method") != METHOD_VERSION for run in study.runs.values()):
        problems.append(f"{others} runs are of another version (this one is {METHOD_VERSION}): they are left alone")
    return problems


def check_run(folder: Path) -> list[str]:
    said = read_json(folder / "protocol.json")
    if said is None:
        return ["protocol.json is torn"]
    if said.get("method") != METHOD_VERSION:
        return []  # `check` has said so
    problems = []
    key = digest({name: value for name, value in said.items() if name != "fields"})
    if not folder.name.endswith(f"-{key[:12]}"):
        problems.append(f"protocol.json is altered, or the folder renamed: its key is {key[:12]}")
    for name in UNSUMMED:
        for path in folder.rglob(name):
            if read_json(path) is None:
                problems.append(f"{path.relative_to(folder)} is torn")
    return problems + (check_done(folder) if (folder / "DONE").exists() else check_partial(folder))


def check_done(folder: Path) -> list[str]:
    run = _Stored(folder)
    try:
        sums = run.checksums
    except DamagedRun:
        return ["DONE is torn"]
    problems = []
    for file in sums:
        try:
            run.read_bytes(file)
        except DamagedRun:
            problems.append(f"{file} is {'altered' if (folder / file).exists() else 'gone'}")
    known = {*sums, "DONE", ".lock"}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    foreign = sorted(file for file in files - known if Path(file).name not in UNSUMMED)
    return problems + [f"{file} is foreign: DONE does not name it" for file in foreign]


def check_partial(folder: Path) -> list[str]:
    problems = [f"{path.name} was left by a killed process: the run's next start clears it" for path in _left(folder)]
    try:
        _Stored(folder).check_rounds()
    except DamagedRun as error:
        problems.append(str(error).partition(": ")[2].partition(": put it back")[0])
    return problems


def _left(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.tmp"))


class _Stored(Run):
    """A run as its folder says, without the rows and weights that its key is made of."""

    def __init__(self, folder: Path):
        object.__setattr__(self, "store", folder.parent)
        self.__dict__["name"] = folder.name


def verify(store: Path, name: str = "", round_: int | None = None, hub: str = "") -> tuple[bool, str]:
    """Recompute one round of a finished run and compare it with the store. → whether they agree, a line about it.

    name: the run's, or its beginning; empty: the cheapest run. round_: the round, after those before it as they are
    stored; None: the second, or the only one. hub: where the rows lie now; empty: where they lay then. In the run's own
    precision and threads; of a published run, what is published of the round. Bit for bit if processor, Python and
    packages are the same; else accuracy and parameter change within ACCURACY and CHANGE.
    """
    run = find(store, name, hub)
    run.check()
    rounds = run.protocol.rounds + 1
    round_ = min(1, rounds - 1) if round_ is None else round_
    if not 0 <= round_ < rounds:
        raise StudyError(f"--round {round_}: {run.name} has the rounds 0 to {rounds - 1}")
    with tempfile.TemporaryDirectory() as scratch:
        again = Run(run.protocol, Path(scratch))
        for before in range(round_):
            _lay_down(run, before, again.folder / f"round-{before:02}")
        again.folder.mkdir(exist_ok=True)
        with active_learning.settled(run.protocol):
            compute(again, *active_learning.prepare(run.protocol), last=round_)
        for before in range(round_):
            shutil.rmtree(again.folder / f"round-{before:02}")
        again.finish()
        same, line = compare(run, again, round_)
    return same, line


def _lay_down(run: Run, round_: int, folder: Path) -> None:
    """A finished round where another run goes on from it: of a published one, its record with the picks."""
    if not run.study:
        shutil.copytree(run.folder / folder.name, folder)
        return
    folder.mkdir(parents=True)
    rounds = run.table("rounds").set_index("round")
    write_json(folder / "round.json", {"round": round_, **rounds.loc[round_].to_dict()})


def compare(run: Run, again: Run, round_: int) -> tuple[bool, str]:
    """Bit for bit, or with tolerance. again: holds this round alone."""
    parts, differing = differences(run, again, round_)
    what = f"{run.name}, round-{round_:02}"
    if not differing:
        return True, f"{what}: {len(parts)} {'tables, as published,' if run.study else 'files'} {BIT_FOR_BIT}"
    now = results.provenance()
    other = [field for field in SAME if run.origin.get(field) != now[field]]
    if not other:
        return False, f"{what}: {', '.join(differing)} differ, on the same machine with the same packages"
    then, here = (one.table("rounds").set_index("round").loc[round_] for one in (run, again))
    layers = (one.table("layers") for one in (run, again))
    moved = [table[table["round"] == round_].eval("mean * parameters").sum() for table in layers]
    gap, change = abs(then["accuracy"] - here["accuracy"]), abs(moved[1] / moved[0] - 1)
    shared = len(set(then["picked"]) & set(here["picked"]))
    return gap <= ACCURACY and change <= CHANGE, (
        f"{what}: computed elsewhere (other {', '.join(other)}): accuracy differs by {gap:.4f} (allowed {ACCURACY}), "
        f"parameter change by {change:.1%} (allowed {CHANGE:.0%}), {shared} of {len(then['picked'])} picks are shared"
    )


def differences(run: Run, again: Run, round_: int) -> tuple[list[str], list[str]]:
    """What of a round is compared, files or published tables; and what of it is not the same, bit for bit."""
    if not run.study:
        files = sorted(file for file in run.checksums if file.startswith(f"round-{round_:02}/"))
        return files, [
            file for file in files if _compared(run.read_bytes(file)) != _compared(_content(again.folder / file))
        ]
    scope, parts, differing = Scope(profile(run.study.folder.name)), [], []
    for kind in sorted(set(TABLES) - {"timings"}):
        theirs = _without_baseline(run.study.packed(kind, run.name))
        theirs = theirs.filter(pc.equal(theirs["round"], round_)) if len(theirs) else theirs
        if len(theirs):
            parts.append(kind)
            ours = scope.pack(kind, again, again.table(kind))
            # a run may have another label in the tables than its name
            if ours is None or not same_rows(ours.drop_columns("run"), theirs.drop_columns("run")):
                differing.append(kind)
    return parts, differing


def same_rows(ours: pa.Table, theirs: pa.Table) -> bool:
    """Whether two packed tables are equal bit for bit; a column without a value counts as none."""
    ours, theirs = (t.select([name for name in t.column_names if t[name].null_count < len(t)]) for t in (ours, theirs))
    if set(ours.column_names) != set(theirs.column_names):
        return False
    pairs = ((ours[name].combine_chunks(), theirs[name].combine_chunks()) for name in ours.column_names)
    # lists that are all empty, as the picks of the last round, have no type of their own
    return all((one.cast(other.type) if one.type == pa.list_(pa.null()) else one).equals(other) for one, other in pairs)


def _without_baseline(table: pa.Table) -> pa.Table:
    """Runs of earlier versions have a baseline in each round; it is computed after the run now."""
    return table.select([name for name in table.column_names if name != "baseline"])


def _compared(content: bytes) -> bytes | dict:
    """A file as it is compared: a round's record without what `_without_baseline` leaves out."""
    if not content.startswith(b"{"):
        return content
    try:
        return {name: value for name, value in json.loads(content).items() if name != "baseline"}
    except ValueError:
        return content


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def find(store: Path, name: str, hub: str) -> Run:
    """The finished run of this name or, without one, the cheapest, live or published. Raises StudyError."""
    said = {path.parent.name: read_json(path.parent / "protocol.json") or {} for path in store.glob(f"{name}*/DONE")}
    origins = {found: read_json(store / found / "provenance.json") or {} for found in said}
    for study in published.studies():
        entries = {found: entry for found, entry in study.runs.items() if found.startswith(name) and found not in said}
        said |= entries
        origins |= {found: entry["provenance"] for found, entry in entries.items()}
    found = []
    for known, origin in origins.items():
        try:
            how = {field: origin[field] for field in COMPUTING if field in origin} | origin.get("locations", {})
            protocol = Protocol(**said[known].get("fields", {}) | how | ({"hub": hub} if hub else {}))
        except (TypeError, StudyError):
            continue
        found.append((cost(protocol), known, Run(protocol, store)))
    if not found:
        raise StudyError(f"no finished run {name or 'at all'} that can be read is in {store} or published")
    _, known, run = min(found, key=lambda one: one[:2])
    if run.name != known:
        raise StudyError(
            f"{known}: rows, weights or protocol are not those it was computed with: its name would be {run.name}"
        )
    return run

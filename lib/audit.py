"""Is the store what it says?  ./run_all.sh check, ./run_all.sh verify [RUN]"""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from lib import active_learning, results
from lib.fields import StudyError
from lib.files import read_json
from lib.ledger import older
from lib.protocol import COMPUTING, Protocol, digest
from lib.results import SCHEMA, UNSUMMED, DamagedRun, Run
from lib.sweep import cost

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
        if not folder.is_dir():
            problems.append(f"{folder.name}: foreign: a store holds one folder a run")
        elif (folder / "protocol.json").exists():
            problems += [f"{folder.name}: {problem}" for problem in check_run(folder)]
        elif any(folder.glob("*/protocol.json")):  # a store in the store: the committed study
            problems += [f"{folder.name}/{problem}" for problem in check(folder)]
        elif any(path.name != ".lock" for path in folder.iterdir()):
            problems.append(f"{folder.name}: foreign or torn: it has no protocol.json")
    return problems


def check_run(folder: Path) -> list[str]:
    said = read_json(folder / "protocol.json")
    if said is None:
        return ["protocol.json is torn"]
    if said.get("schema") != SCHEMA:
        return []  # `check` has said so
    problems = []
    key = digest({name: said.get(name) for name in ("schema", "protocol", "rows", "weights")})
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

    name: the run's folder, or its beginning; empty: the cheapest run. round_: the round, after those before it as they
    are stored; None: the second, or the only one. hub: where the rows lie now; empty: where they lay then. In the run's
    own precision and threads. Bit for bit if processor, Python and packages are the same, and then today's code is
    written down as one that gives this run; else accuracy and parameter change within ACCURACY and CHANGE.
    """
    run = find(store, name, hub)
    run.check()
    rounds = len([file for file in run.checksums if file.endswith("round.json")])
    round_ = min(1, rounds - 1) if round_ is None else round_
    if not 0 <= round_ < rounds:
        raise StudyError(f"--round {round_}: {run.name} has the rounds 0 to {rounds - 1}")
    folder = f"round-{round_:02}"
    with tempfile.TemporaryDirectory() as scratch:
        again = Run(run.protocol, Path(scratch))
        for before in range(round_):
            shutil.copytree(run.folder / f"round-{before:02}", again.folder / f"round-{before:02}")
        again.folder.mkdir(exist_ok=True)
        with active_learning.settled(run.protocol):
            active_learning.compute(run.protocol, again, *active_learning.prepare(run.protocol), last=round_)
        same, line = compare(run, again, folder)
    if same and line.endswith(BIT_FOR_BIT) and run.state == "stale":
        run.attest()
        line += "; it was computed by other code, and now counts as done"
    return same, line


def compare(run: Run, again: Run, folder: str) -> tuple[bool, str]:
    """Bit for bit, or with tolerance."""
    files = sorted(file for file in run.checksums if file.startswith(f"{folder}/"))
    differing = [file for file in files if run.read_bytes(file) != _content(again.folder / file)]
    what = f"{run.name}, {folder}"
    if not differing:
        return True, f"{what}: {len(files)} files {BIT_FOR_BIT}"
    origin = read_json(run.folder / "provenance.json") or {}
    now = results.provenance()
    other = [field for field in SAME if origin.get(field) != now[field]]
    if not other:
        return False, f"{what}: {', '.join(differing)} differ, on the same machine with the same packages"
    then, here = (json.loads((one.folder / folder / "round.json").read_bytes()) for one in (run, again))
    moved = [
        pd.read_parquet(one.folder / folder / "layers.parquet").eval("mean * parameters").sum() for one in (run, again)
    ]
    gap, change = abs(then["accuracy"] - here["accuracy"]), abs(moved[1] / moved[0] - 1)
    shared = len(set(then["picked"]) & set(here["picked"]))
    return gap <= ACCURACY and change <= CHANGE, (
        f"{what}: computed elsewhere (other {', '.join(other)}): accuracy differs by {gap:.4f} (allowed {ACCURACY}), "
        f"parameter change by {change:.1%} (allowed {CHANGE:.0%}), {shared} of {len(then['picked'])} picks are shared"
    )


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def find(store: Path, name: str, hub: str) -> Run:
    """The finished run of this name or, without one, the cheapest. Raises StudyError."""
    found = []
    for folder in sorted(path.parent for path in store.glob(f"{name}*/DONE")):
        said = read_json(folder / "protocol.json") or {}
        try:
            origin = read_json(folder / "provenance.json") or {}
            how = {field: origin[field] for field in COMPUTING if field in origin} | origin.get("locations", {})
            protocol = Protocol(**said.get("fields", {}) | how | ({"hub": hub} if hub else {}))
        except (TypeError, StudyError):
            continue
        found.append((cost(protocol), folder.name, Run(protocol, store)))
    if not found:
        raise StudyError(f"no finished run {name or 'at all'} that can be read is in {store}: see its folders' names")
    _, folder, run = min(found, key=lambda one: one[:2])
    if run.name != folder:
        raise StudyError(
            f"{folder}: rows, weights or protocol are not those it was computed with: its name would be {run.name}"
        )
    return run

"""./run_all.sh benchmark → figures/study/benchmark.csv, each row as soon as it is measured.

What is measured again takes the place of its rows; the others stay, each with its commit and processor. Each
measurement has a process of its own, so that its memory is its own. Runs have one thread unless a row says otherwise.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks import encoding, runs, scoring, training
from benchmarks.bench import Bench, peak
from lib.errors import StudyError, did_you_mean, join_or, names
from lib.method.active_learning import settled
from lib.runs.provenance import ROOT, commit, processor

FOLDER = ROOT / "figures" / "study"
# name → measurement: Bench → rows of the table, one after the other
MEASUREMENTS = {
    "encode": encoding.encode,
    "bald_50": partial(scoring.bald, samples=50),
    "bald_1000": partial(scoring.bald, samples=1000),
    "full_passes": scoring.full_passes,
    "fine_tuning": training.fine_tuning,
    "later_rounds": scoring.later_rounds,
    "pool_4000": partial(scoring.pool, times_as_many=1),
    "pool_20000": partial(scoring.pool, times_as_many=5),
    "start": training.start,
    "processes": training.processes,
    "sweep": runs.sweep,
    "whole_run": runs.whole_run,
}


def main(hub: str = "", only: str = "", precision: str = "auto", folder: Path = FOLDER) -> int:
    """Measure everything, or what `only` names with commas between. Raises StudyError. → 1 if a measurement failed."""
    chosen = names("only", only) or tuple(MEASUREMENTS)
    for name in chosen:
        if name not in MEASUREMENTS:
            raise StudyError(
                f"--only {only}: no measurement {name!r}{did_you_mean(name, MEASUREMENTS)}: choose from "
                f"{join_or(MEASUREMENTS)}"
            )
    return benchmark(Bench(hub=hub, precision=precision), chosen, folder)


def benchmark(bench: Bench, chosen, folder: Path) -> int:
    """Each measurement in a process of its own. One that fails keeps none of the others from being measured."""
    failed = []
    for name in chosen:
        command = [sys.executable, "-m", "benchmarks.table", name, json.dumps(asdict(bench)), str(folder)]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"benchmark: failed: {', '.join(failed)}; the other rows are in {folder}/benchmark.csv", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, bench: Bench, folder: Path) -> None:
    """In this process. Prints and keeps each row as it comes."""
    here = {"processor": processor(), "cores": os.cpu_count(), "commit": commit()}
    rows = []
    with settled(bench.protocol()):
        for result in MEASUREMENTS[name](bench):
            what, *values = asdict(result).items()
            rows.append(dict([("measurement", name), what, ("precision", bench.precision), *values]))
            rows[-1] |= {"memory_mb": round(peak()), **here}
            keep(name, rows, folder)
            print(line(rows[-1]), flush=True)


def keep(name: str, rows: list[dict], folder: Path) -> None:
    """These rows in the place of those that the measurement had in the table. Raises StudyError for another table."""
    path = folder / "benchmark.csv"
    table = pd.DataFrame(rows)
    if path.exists():
        before = pd.read_csv(path)
        if list(before) != list(table):
            raise StudyError(f"{path} has other columns than a table of benchmarks: move it elsewhere")
        table = pd.concat([before[before["measurement"] != name], table])
    places = {measurement: place for place, measurement in enumerate(MEASUREMENTS)}
    table = table.sort_values("measurement", key=lambda column: column.map(places), kind="stable")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4g")


def line(row: dict) -> str:
    """'encode 400 rows …, bfloat16: 120 rows/s; 1.07 × AutoModel …': a row as it is printed."""
    value = f"{row['value']:{'.3g' if row['value'] < 1000 else ',.0f'}} {row['unit']}"
    against = ""
    if row["against"]:
        between = f" ({row['lowest']:.3g} to {row['highest']:.3g})" if row["lowest"] < row["highest"] else ""
        against = f"; {row['ratio']:.3g} ×{between} {row['against']}"
    return f"{row['what']}, {row['precision']}: {value}{against}{'; ' + row['note'] if row['note'] else ''}"


if __name__ == "__main__":  # one measurement, in the process that `benchmark` starts for it
    name_, bench_, folder_ = sys.argv[1:]
    try:
        measure(name_, Bench(**json.loads(bench_)), Path(folder_))
    except StudyError as error:
        sys.exit(f"benchmark {name_}: {error}")

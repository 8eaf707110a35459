"""The study's speed against floors measured beside it: ./run_all.sh benchmark.

Each measurement runs in a process of its own, so that its peak memory is its own; what it is compared with runs in the
same process, in turns. One thread, as every run has, unless a row says otherwise.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lib.fields import StudyError, one_of
from lib.measurements import MEASUREMENTS
from lib.measurements.bench import Bench, Result, peak
from lib.provenance import ROOT, commit, processor


def measure(name: str, bench: Bench) -> list[Result]:
    """In this process: its peak memory goes into the rows."""
    import torch

    torch.set_num_threads(1)
    return [replace(result, memory=peak()) for result in MEASUREMENTS[name](bench)]


def benchmark(bench: Bench, names, folder: Path) -> None:
    """Measure, each in a process of its own, print every row as it comes, and write benchmark.md and benchmark.csv."""
    rows = []
    for name in names:
        command = [sys.executable, "-m", "lib.benchmark", name, json.dumps(asdict(bench))]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        for row in json.loads(done.stdout.splitlines()[-1]):
            rows.append(row)
            print(line(row), flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(folder / "benchmark.csv", index=False)
        head = f"{processor()}, {os.cpu_count()} cores; commit {commit()}; medians of {bench.repeats} repeats\n\n"
        (folder / "benchmark.md").write_text(head + markdown(rows) + "\n", "utf-8")


def markdown(rows: list[dict]) -> str:
    """The rows as a table for a reader: values with their units, nothing for what was not measured."""
    shown = [
        {
            "what": row["what"],
            "value": "" if np.isnan(row["value"]) else measured(row),
            "beside it": row["floor"],
            "ratio": "" if np.isnan(row["ratio"]) else f"{row['ratio']:.3g} ×",
            "goal": row["goal"],
            "peak memory": f"{row['memory']:,.0f} MB",
            "note": row["note"],
        }
        for row in rows
    ]
    return pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True)


def measured(row: dict) -> str:
    """Three digits, but no power of ten, and the unit."""
    number = f"{row['value']:{'.3g' if row['value'] < 1000 else ',.0f'}}"
    return f"{number} {row['unit']}".strip()


def line(row: dict) -> str:
    value = row["note"] if np.isnan(row["value"]) else measured(row)
    against = "" if np.isnan(row["ratio"]) else f", {row['ratio']:.2f} × {row['floor']}"
    return f"{row['what']}: {value}{against}{' (goal ' + row['goal'] + ')' if row['goal'] else ''}"


def main(hub: str = "", only: str = "", folder: Path = ROOT / "figures") -> int:
    """Measure all, or those named in `only` with commas between. Raises StudyError for another name."""
    names = only.split(",") if only else list(MEASUREMENTS)
    for name in names:
        if name not in MEASUREMENTS:
            raise StudyError(f"--only {only}: no measurement {name!r}: choose from {one_of(MEASUREMENTS)}")
    benchmark(Bench(hub=hub), names, folder)
    return 0


if __name__ == "__main__":  # one measurement, in the process that `benchmark` starts for it
    if len(sys.argv) != 3:
        sys.exit("use ./run_all.sh benchmark")
    print(json.dumps([asdict(result) for result in measure(sys.argv[1], Bench(**json.loads(sys.argv[2])))]))

"""The study's speed against floors measured beside it: ./run_all.sh benchmark → figures/study/benchmark.md and .csv.

What is measured again takes the place of its rows; the others stay, each with the commit and processor it is of. Each
measurement runs in a process of its own, so that its peak memory is its own; what it is compared with runs in the same
process, in turns. One thread, as every run has, unless a row says otherwise.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lib.benchmark.bench import Bench, Result, peak
from lib.benchmark.measurements import MEASUREMENTS
from lib.fields import StudyError, meant, one_of
from lib.store.provenance import ROOT, commit, processor


def measure(name: str, bench: Bench) -> list[Result]:
    """In this process: its peak memory goes into the rows."""
    import torch

    torch.set_num_threads(1)
    return [replace(result, memory=peak()) for result in MEASUREMENTS[name](bench)]


def benchmark(bench: Bench, names, folder: Path) -> None:
    """Measure, each in a process of its own, print every row as it comes, and put it into benchmark.csv and .md."""
    for name in names:
        command = [sys.executable, "-m", "lib.benchmark.table", name, json.dumps(asdict(bench))]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows = json.loads(done.stdout.splitlines()[-1])
        for row in rows:
            print(line(row), flush=True)
        keep(name, [row | origin(bench) for row in rows], folder)


def origin(bench: Bench) -> dict:
    return {"commit": commit(), "processor": f"{processor()}, {os.cpu_count()} cores", "repeats": bench.repeats}


def keep(name: str, rows: list[dict], folder: Path) -> None:
    """These rows in the place of those that the measurement had in the table. Raises StudyError for another table."""
    path = folder / "benchmark.csv"
    table = pd.read_csv(path, keep_default_na=False, na_values={"value": "", "ratio": ""}) if path.exists() else None
    if table is not None and "measurement" not in table:
        raise StudyError(f"{path} does not say which measurement its rows are of: move it elsewhere, then measure all")
    others = [] if table is None else table[table["measurement"] != name].to_dict("records")
    every = others + [{"measurement": name, **row} for row in rows]
    order = list(MEASUREMENTS)
    every.sort(key=lambda row: order.index(row["measurement"]) if row["measurement"] in order else len(order))
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(every).to_csv(path, index=False)
    (folder / "benchmark.md").write_text(markdown(every) + "\n", "utf-8")


def markdown(rows: list[dict]) -> str:
    """The rows as a table for a reader: values with their units, nothing for what was not measured.

    What computed them stands above the table if it is one for all rows, else in each.
    """
    origins = [f"{row['processor']}; commit {row['commit']}; medians of {row['repeats']} repeats" for row in rows]
    same = len(set(origins)) == 1
    shown = [
        {
            "what": row["what"],
            "value": "" if np.isnan(row["value"]) else measured(row),
            "beside it": row["floor"],
            "ratio": "" if np.isnan(row["ratio"]) else f"{row['ratio']:.3g} ×",
            "goal": row["goal"],
            "peak memory": f"{row['memory']:,.0f} MB",
            "note": row["note"],
            **({} if same else {"measured with": where}),
        }
        for row, where in zip(rows, origins, strict=True)
    ]
    head = f"{origins[0]}\n\n" if same else ""
    return head + pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True)


def measured(row: dict) -> str:
    """Three digits, but no power of ten, and the unit."""
    number = f"{row['value']:{'.3g' if row['value'] < 1000 else ',.0f'}}"
    return f"{number} {row['unit']}".strip()


def line(row: dict) -> str:
    value = row["note"] if np.isnan(row["value"]) else measured(row)
    against = "" if np.isnan(row["ratio"]) else f", {row['ratio']:.2f} × {row['floor']}"
    return f"{row['what']}: {value}{against}{' (goal ' + row['goal'] + ')' if row['goal'] else ''}"


def main(hub: str = "", only: str = "", folder: Path = ROOT / "figures" / "study") -> int:
    """Measure all, or those named in `only` with commas between. Raises StudyError for another name."""
    names = only.split(",") if only else list(MEASUREMENTS)
    for name in names:
        if name not in MEASUREMENTS:
            raise StudyError(
                f"--only {only}: no measurement {name!r}{meant(name, MEASUREMENTS)}: choose from {one_of(MEASUREMENTS)}"
            )
    benchmark(Bench(hub=hub), names, folder)
    return 0


if __name__ == "__main__":  # one measurement, in the process that `benchmark` starts for it
    if len(sys.argv) != 3:
        sys.exit("use ./run_all.sh benchmark")
    print(json.dumps([asdict(result) for result in measure(sys.argv[1], Bench(**json.loads(sys.argv[2])))]))

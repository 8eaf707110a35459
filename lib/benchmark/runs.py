"""Whole runs: what they take beside their parts, alone, in a sweep, and when notebooks only redraw them."""

import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib.benchmark.bench import Bench, Result, seconds
from lib.fields import SCHEDULER
from lib.protocol import profile
from lib.store.provenance import ROOT

STAGES = ("training", "encoding", "evaluation")


def sweep_of_twelve(bench: Bench) -> list[Result]:
    """Twelve equal runs in this process, and on two workers, of a thread each; what the sweep adds to its runs."""
    from lib.store import results
    from lib.sweeps import sweep
    from lib.sweeps.cluster import local_cluster

    fields = {"start": bench.labelled // 10, "rounds": 0, "pool": 10**6, "validation_rows": bench.rows // 10}
    runs = [bench.protocol(**fields, seed=seed) for seed in range(12)]
    elapsed, parts = [], []
    with local_cluster(2), tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        scheduler = os.environ[SCHEDULER]
        for address in ("", scheduler):
            os.environ[SCHEDULER] = address
            sweep([replace(run, seed=99 + n) for n, run in enumerate(runs[:2])], Path(folder, f"first {len(elapsed)}"))
            store = Path(folder, f"runs {len(elapsed)}")
            elapsed.append(seconds(lambda store=store: sweep(runs, store)))
            parts.append(results.load("timings", runs, store)[[*STAGES]].sum().sum())
    what, note = f"{len(runs)} equal runs, one worker", f"of which {parts[0]:.1f} s are training and evaluation"
    more = (elapsed[0] - parts[0]) / len(runs)
    return [
        Result(what, elapsed[0], "s", "two workers", elapsed[0] / elapsed[1], "≥ 1.7 ×", note=note),
        Result("the same, what a run takes beside its parts", more, "s", "", np.nan, "≤ 0.3 s"),
    ]


def whole_run(bench: Bench) -> list[Result]:
    """The paper's protocol with U cut to 5,000 rows: what it takes beside training, encoding and evaluation."""
    from lib import active_learning
    from lib.store import results

    protocol = bench.protocol(pool=5000, validation_rows=872)
    with tempfile.TemporaryDirectory() as store:
        elapsed = seconds(lambda: active_learning.run(protocol, Path(store)))
        parts = results.load("timings", [protocol], store)[list(STAGES)].sum()
    note = ", ".join(f"{stage} {parts[stage]:.0f} s" for stage in STAGES)
    what = f"a whole run, {protocol.task}, U = 5,000"
    return [Result(what, elapsed, "s", "its parts", elapsed / parts.sum(), "≤ 1.05 ×", note=note)]


def redraw(bench: Bench) -> list[Result]:
    """All notebooks of the quick profile from a full store."""
    what, goal = "redraw all notebooks", "≤ 90 s"
    study = profile("quick")
    from lib.store.results import STORE, Run

    needed = study.grid(strategies="bald,random") + study.grid(frozen=study.frozen)
    if not all(Run(protocol, STORE).done for protocol in needed):
        note = "not measured: results/ does not have the quick profile; ./run_all.sh computes it"
        return [Result(what, np.nan, "s", "", np.nan, goal, note=note)]
    command = [sys.executable, "-m", "lib", "run", str(ROOT)]
    elapsed = seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
    return [Result(what, elapsed, "s", "", np.nan, goal)]

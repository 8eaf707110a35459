"""Whole runs: what they take beside their parts, alone and in a sweep."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench, Result, compared, elapsed
from lib.runs import results
from lib.runs import sweep as compute
from lib.runs.cluster import local_cluster
from lib.runs.run import run as run_one

STAGES = ["training", "encoding", "evaluation"]
RUNS = 12


def sweep(bench: Bench) -> Iterator[Result]:
    """Equal runs in this process, and on two workers, of a thread each; what the sweep adds to its runs."""
    fields = {"start": bench.labelled // 4, "rounds": 0, "pool": 10**6, "validation_rows": bench.rows // 4}
    runs = [bench.protocol(**fields, seed=seed) for seed in range(RUNS)]
    seconds, parts = [], []
    with local_cluster(2) as two, tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        for address in ("", two.scheduler_address):
            first, store = Path(folder, f"first {len(parts)}"), Path(folder, f"runs {len(parts)}")
            compute(
                [replace(run, seed=RUNS + run.seed) for run in runs[:2]], first, scheduler=address
            )  # workers import what they need
            seconds.append(elapsed(partial(compute, runs, store, scheduler=address)))
            parts.append(results.load("timings", runs, store)[STAGES].sum().sum())
    note = f"of which {parts[0]:.1f} s are training and evaluation"
    ratios = compared([seconds[0] / seconds[1]])
    yield Result(f"{RUNS} equal runs, one worker", seconds[0], "s", "two workers", **ratios, note=note)
    yield Result("the same, what a run takes beside its parts", (seconds[0] - parts[0]) / RUNS, "s")


def whole_run(bench: Bench) -> Iterator[Result]:
    """A round of the paper's protocol, smaller: what it takes beside training, encoding and evaluation."""
    sizes = {"rounds": 1, "query": bench.labelled // 4, "pool": 10 + 2 * bench.rows, "validation_rows": bench.rows // 2}
    protocol = bench.protocol(**sizes)
    with tempfile.TemporaryDirectory() as store:
        seconds = elapsed(lambda: run_one(protocol, Path(store)))
        parts = results.load("timings", [protocol], store)[STAGES].sum()
    what = f"a run of one round on {protocol.task}, U = {protocol.pool - protocol.start:,}"
    note = ", ".join(f"{stage} {parts[stage]:.0f} s" for stage in STAGES)
    yield Result(what, seconds, "s", "its parts", **compared([seconds / parts.sum()]), note=note)

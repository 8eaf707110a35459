"""Training: an epoch, a new process until its first step, and two processes side by side."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context

import numpy as np

from benchmarks.bench import Bench, Result, compared, described, elapsed
from lib.method.active_learning import prepare, settled
from lib.method.prefix import frozen_prefix
from lib.method.training import train
from lib.method.uncertainty import pool_features
from lib.protocol import Protocol
from lib.runs.provenance import ROOT


def fine_tuning(bench: Bench) -> Iterator[Result]:
    """An epoch, with F = 0 and with half of the layers frozen."""
    settings = {"epochs": 1, "start": bench.labelled}
    whole, rows, classifier = bench.prepared(**settings)
    half, _, frozen = bench.prepared(frozen=bench.half, **settings)
    numbers = np.arange(bench.labelled)
    once = elapsed(lambda: frozen_prefix(frozen, rows, numbers, bench.half))
    prefix = frozen_prefix(frozen, rows, numbers, bench.half)
    own, encoding, with_prefix = bench.in_turns(
        lambda: train(classifier, rows, numbers, whole, 0),
        lambda: pool_features(classifier, rows, numbers),
        lambda: train(frozen, rows, numbers, half, 0, prefix),
    ).T
    what = f"a fine-tuning epoch, {described(whole, rows, numbers)}"
    yield Result(what, np.median(own), "s", "3 × encoding the rows", **compared(own / encoding / 3))
    note = f"the outputs of the frozen layers, once a run: {once:.1f} s"
    less = f"the same, F = {bench.half}"
    yield Result(less, np.median(with_prefix), "s", "F = 0", **compared(with_prefix / own), note=note)


def start(bench: Bench) -> Iterator[Result]:
    """A new process, until its first step is done."""
    code = "import sys, json; from benchmarks.training import first_step; first_step(json.loads(sys.argv[1]))"
    for pairs in (False, True):
        fields = asdict(bench.protocol(pairs, start=16, rounds=0, pool=17, epochs=1))
        command = [sys.executable, "-c", code, json.dumps(fields)]
        times = bench.in_turns(lambda command=command: subprocess.run(command, cwd=ROOT, check=True))
        yield Result(f"a new process, until the first step on {fields['task']}", np.median(times), "s")


def first_step(fields: dict) -> None:
    protocol = Protocol(**fields)
    with settled(protocol):
        task, classifier = prepare(protocol)
        train(classifier, task.train, np.arange(protocol.start), protocol, 0)


def processes(bench: Bench) -> Iterator[Result]:
    """Two runs side by side on a thread each, or one after the other on two threads."""
    protocol = bench.protocol(start=bench.labelled // 2, rounds=0, pool=10**6, epochs=1)
    with ProcessPoolExecutor(2, get_context("spawn")) as two, ProcessPoolExecutor(1, get_context("spawn")) as one:
        jobs = [[asdict(replace(protocol, threads=threads, seed=seed)) for seed in range(2)] for threads in (1, 2)]
        side_by_side, in_turn = bench.in_turns(
            lambda: list(two.map(first_step, jobs[0])), lambda: list(one.map(first_step, jobs[1]))
        ).T
    note = f"of {os.cpu_count()} cores; the default of a sweep is the first"
    against = "one after the other, on two threads"
    ratios = compared(side_by_side / in_turn)
    yield Result("two runs on one thread each", np.median(side_by_side), "s", against, **ratios, note=note)

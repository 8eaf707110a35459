"""Training: an epoch, a new process until its first step, and two processes side by side."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context

import numpy as np

from lib.benchmark.bench import Bench, Result, in_turns, length, ratio, seconds
from lib.protocol import Protocol


def fine_tuning(bench: Bench) -> list[Result]:
    """An epoch, with F = 0 and with half of the layers frozen."""
    from lib.prefix import frozen_prefix
    from lib.training import train
    from lib.uncertainty import pool_features

    settings = {"epochs": 1, "start": bench.labelled}
    whole, rows, classifier = bench.prepared(**settings)
    half, _, frozen = bench.prepared(frozen=bench.half, **settings)
    numbers = np.arange(bench.labelled)
    once = seconds(lambda: frozen_prefix(frozen, rows, numbers, bench.half))
    prefix = frozen_prefix(frozen, rows, numbers, bench.half)
    times = in_turns(
        bench.repeats,
        lambda: train(classifier, rows, numbers, whole, 0),
        lambda: pool_features(classifier, rows, numbers),
        lambda: train(frozen, rows, numbers, half, 0, prefix),
    )
    what, epoch = f"a fine-tuning epoch, {length(rows, numbers)}", np.median(times[:, 0])
    less, note = f"the same, F = {bench.half}", f"the outputs of the frozen layers, once a run: {once:.1f} s"
    return [
        Result(what, epoch, "s", "3 × encoding the rows", ratio(times) / 3, "≤ 1.8 ×"),
        Result(less, np.median(times[:, 2]), "s", "F = 0", 1 / ratio(times, 2), "≤ 0.60 ×", note=note),
    ]


def start(bench: Bench) -> list[Result]:
    """A new process, until its first step is done."""
    code = "import sys, json; from lib.benchmark.training import first_step; first_step(json.loads(sys.argv[1]))"
    results = []
    for pairs in (False, True):
        fields = asdict(bench.protocol(pairs, start=16, rounds=0, pool=17, epochs=1))
        command = [sys.executable, "-c", code, json.dumps(fields)]
        times = in_turns(bench.repeats, lambda command=command: subprocess.run(command, check=True))
        what = f"import, {fields['task']} and model, until the first step"
        results.append(Result(what, float(np.median(times)), "s", "", np.nan, "≤ 8 s"))
    return results


def first_step(fields: dict) -> None:
    from lib.active_learning import prepare
    from lib.training import train

    protocol = Protocol(**fields)
    task, classifier = prepare(protocol)
    train(classifier, task.train, np.arange(protocol.start), protocol, 0)


def processes(bench: Bench) -> list[Result]:
    """Two runs side by side on a thread each, or one after the other on two threads."""
    protocol = bench.protocol(start=bench.labelled // 5, rounds=0, pool=10**6, epochs=1)
    with ProcessPoolExecutor(2, get_context("spawn")) as two, ProcessPoolExecutor(1, get_context("spawn")) as one:
        jobs = [[asdict(replace(protocol, threads=threads, seed=seed)) for seed in range(2)] for threads in (1, 2)]
        times = in_turns(
            bench.repeats, lambda: list(two.map(train_once, jobs[0])), lambda: list(one.map(train_once, jobs[1]))
        )
    note = f"of {os.cpu_count()} cores; the default of a sweep is the first"
    what = "two runs on one thread each"
    return [Result(what, np.median(times[:, 0]), "s", "in turn, on two threads", ratio(times), "", note=note)]


def train_once(fields: dict) -> None:
    from lib.active_learning import settled

    with settled(Protocol(**fields)):
        first_step(fields)

"""What the benchmark measures: each function times a part of the study in turns with what it is compared with."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from lib.cluster import ADDRESS
from lib.protocol import Protocol, fastest_precision, profile
from lib.provenance import ROOT

STAGES = ("training", "encoding", "evaluation")


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    what: str
    value: float
    unit: str
    floor: str  # what it is compared with
    ratio: float
    goal: str
    memory: float = 0.0  # MB, the peak of the process
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What the measurements work on."""

    hub: str = ""
    encoder: str = "all-MiniLM-L6-v2"
    rows: int = 2000  # that are encoded
    labelled: int = 910  # that are trained on
    repeats: int = 3

    def protocol(self, pairs: bool = False, **changes) -> Protocol:
        task = ("mnli" if pairs else "sst2") if self.hub else ("editorials" if pairs else "reviews")
        return Protocol(**{"task": task, "hub": self.hub, "encoder": self.encoder, **changes})

    def prepared(self, pairs: bool = False, **changes):
        """A protocol, the training rows of its task, and its classifier."""
        from lib.active_learning import prepare

        protocol = self.protocol(pairs, rounds=0, pool=10**6, **changes)
        task, classifier = prepare(protocol)
        return protocol, task.train, classifier

    @property
    def half(self) -> int:
        from lib.model import outline

        return len(outline(self.protocol(), 2).encoder.layers) // 2


def peak() -> float:
    """Largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(repeats: int, *functions) -> np.ndarray:
    """times_RF: seconds of each function, called in turns."""
    return np.array([[seconds(function) for function in functions] for _ in range(repeats)])


def ratio(times_RF, over: int = 1) -> float:
    """Median over the turns of the first function's time over another's."""
    return float(np.median(times_RF[:, 0] / times_RF[:, over]))


def length(rows, numbers) -> str:
    return f"{len(numbers)} rows of {rows.lengths_N[numbers].mean():.0f} tokens"


# ---- the measurements: Bench → rows of the table


def encode(bench: Bench) -> list[Result]:
    """The encoder alone: against transformers' own forward, and against the rate of bare products of matrices."""
    import torch
    from transformers import AutoModel

    from lib.prefix import TOKENS
    from lib.sources import checkpoint

    protocol, rows, classifier = bench.prepared(pairs=True)
    encoder, numbers = classifier.encoder, np.arange(min(bench.rows, len(rows)))
    dtype = torch.bfloat16 if protocol.precision == "bfloat16" else torch.float32
    bare = AutoModel.from_pretrained(checkpoint(protocol.encoder), dtype=dtype).eval()
    order = numbers[np.argsort(rows.lengths_N[numbers], kind="stable")]
    padded = [pad(rows, order[i : i + 64]) for i in range(0, len(order), 64)]

    @torch.inference_mode()
    def ours():
        for some in rows.token_batches(numbers, TOKENS["cpu"]):
            encoder(rows.batch(some))

    @torch.inference_mode()
    def theirs():
        for batch in padded:
            bare(**batch)

    times = in_turns(bench.repeats, ours, theirs)
    rate, work = gemm_rate(encoder, dtype), floating_point_operations(encoder, rows.lengths_N[numbers])
    value, where = len(numbers) / np.median(times[:, 0]), f"{length(rows, numbers)}, {protocol.precision}"
    speed = work / np.median(times[:, 0])
    return [
        Result(f"encode {where}", value, "rows/s", "AutoModel, sorted, batches of 64", 1 / ratio(times), "≥ 1.15 ×"),
        Result("the same, in operations", speed / 1e9, "GFLOP/s", f"GEMM {rate / 1e9:.0f}", speed / rate, "≥ 0.70"),
    ]


def pad(rows, numbers) -> dict:
    import torch

    lengths = rows.lengths_N[numbers]
    mask = torch.arange(lengths.max()) < torch.from_numpy(lengths)[:, None]
    tokens, segments = (torch.zeros(mask.shape, dtype=torch.long) for _ in range(2))
    batch = rows.batch(numbers)
    tokens[mask], segments[mask] = batch.tokens_T, batch.segments_T
    return {"input_ids": tokens, "token_type_ids": segments, "attention_mask": mask.long()}


def gemm_rate(encoder, dtype) -> float:
    """Floating-point operations in a second of the best of three products: two of a layer's, and a large square."""
    import torch

    width, best = encoder.width, 0.0
    for m, k, n in ((1024, width, 4 * width), (1024, 4 * width, width), (1024, 1024, 1024)):
        a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
        times = in_turns(20, lambda a=a, b=b: a @ b)
        best = max(best, 2 * m * k * n / np.median(times))
    return best


def floating_point_operations(encoder, lengths) -> float:
    """Of the layers' products, without embeddings, softmax, norms and activations."""
    matrices = sum(p.numel() for p in encoder.layers.parameters() if p.ndim == 2)
    attention = 4 * encoder.width * len(encoder.layers) * (lengths.astype(float) ** 2).sum()
    return 2 * matrices * lengths.sum() + attention


def bald(bench: Bench, samples: int, goal: str) -> list[Result]:
    """Encoding with scoring against encoding alone."""
    from lib.scoring import round_masks, score
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers = np.arange(min(bench.rows // 4, len(rows)))
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1, samples=samples), 0)
    times = in_turns(
        bench.repeats,
        lambda: score(classifier, pool_features(classifier, rows, numbers), masks, "bald"),
        lambda: pool_features(classifier, rows, numbers),
    )
    what = f"BALD with S = {samples:,}, {length(rows, numbers)}"
    return [Result(what, len(numbers) / np.median(times[:, 0]), "rows/s", "encoding alone", ratio(times), goal)]


def full_passes(bench: Bench) -> list[Result]:
    """BALD from one pass of the encoder against S passes of the whole model; three passes are timed, not all."""
    import torch
    from transformers import AutoModel

    from lib.scoring import round_masks, score
    from lib.sources import checkpoint
    from lib.uncertainty import pool_features, sample_log_probs

    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers, timed = np.arange(min(bench.rows // 10, len(rows))), 3
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    one = {name: mask[:1] for name, mask in masks.items()}
    bare = AutoModel.from_pretrained(checkpoint(protocol.encoder), dtype=torch.float32).eval()
    wide = [pad_to(rows, numbers[i : i + 32], protocol.max_length) for i in range(0, len(numbers), 32)]

    def ours():
        score(classifier, pool_features(classifier, rows, numbers), masks, "bald")

    def same_type():
        for _ in range(timed):
            sample_log_probs(classifier, pool_features(classifier, rows, numbers), one)

    @torch.inference_mode()
    def unsorted():
        for _ in range(timed):
            for batch in wide:
                bare(**batch)

    times = in_turns(bench.repeats, ours, same_type, unsorted)
    value, whole = len(numbers) / np.median(times[:, 0]), protocol.samples / timed
    what, padded = f"BALD with S = {protocol.samples}, {length(rows, numbers)}", f"padded to {protocol.max_length}"
    return [
        Result(what, value, "rows/s", "S passes, same type", whole / ratio(times, 1), "≥ 40 ×"),
        Result(what, value, "rows/s", f"S passes, float32, {padded}", whole / ratio(times, 2), "≥ 300 ×"),
    ]


def pad_to(rows, numbers, longest: int) -> dict:
    from torch.nn import functional as F

    return {name: F.pad(column, (0, longest - column.shape[1])) for name, column in pad(rows, numbers).items()}


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


def later_rounds(bench: Bench) -> list[Result]:
    """Scoring where the frozen layers' outputs are kept from the first round."""
    from lib.prefix import frozen_prefix
    from lib.scoring import round_masks, score
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(frozen=bench.half)
    numbers = np.arange(min(bench.rows, len(rows)))
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    prefix = frozen_prefix(classifier, rows, numbers, bench.half)

    def scored(*kept):
        score(classifier, pool_features(classifier, rows, numbers, *kept), masks, "bald")

    times = in_turns(bench.repeats, lambda: scored(prefix), scored)
    what = f"scoring in rounds 2 to 9, F = {bench.half}, {length(rows, numbers)}"
    return [Result(what, len(numbers) / np.median(times[:, 0]), "rows/s", "F = 0", ratio(times), "≤ 0.55 ×")]


def pool(bench: Bench, times_as_many: int) -> list[Result]:
    """One round of scoring over a pool of short rows, repeated to its size."""
    from lib.scoring import round_masks, score
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(max_length=8)
    number = 2 * bench.rows
    rows = tiled(rows, number, times_as_many)
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    features = []

    def scored():
        features.append(pool_features(classifier, rows, np.arange(len(rows))))
        score(classifier, features[0], masks, "bald")

    before, elapsed = peak(), seconds(scored)
    kept = (features[0].nbytes + rows.tokens_T.nbytes + rows.segments_T.nbytes + rows.offsets.nbytes) / 1e6
    note = f"peak before scoring {before:.0f} MB; tokens and features are {kept:.0f} MB"
    return [Result(f"a pool of {len(rows):,} rows of 8 tokens", elapsed, "s", "", np.nan, "", note=note)]


def tiled(rows, number: int, times: int):
    """The first rows, again and again, as other rows."""
    from lib.rows import Rows

    end = rows.offsets[number]
    offsets = np.concatenate([[0], np.cumsum(np.tile(rows.lengths_N[:number], times))])
    flat = (np.tile(array[:end], times) for array in (rows.tokens_T, rows.segments_T))
    return Rows(rows.texts[:number] * times, np.tile(rows.labels_N[:number], times), *flat, offsets)


def start(bench: Bench) -> list[Result]:
    """A new process, until its first step is done."""
    code = "import sys, json; from lib.measurements import first_step; first_step(json.loads(sys.argv[1]))"
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


def sweep_of_twelve(bench: Bench) -> list[Result]:
    """Twelve equal runs in this process, and on two workers, of a thread each; what the sweep adds to its runs."""
    from lib import results
    from lib.cluster import local_cluster
    from lib.sweep import sweep

    fields = {"start": bench.labelled // 10, "rounds": 0, "pool": 10**6, "validation_rows": bench.rows // 10}
    runs = [bench.protocol(**fields, seed=seed) for seed in range(12)]
    elapsed, parts = [], []
    with local_cluster(2), tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        scheduler = os.environ[ADDRESS]
        for address in ("", scheduler):
            os.environ[ADDRESS] = address
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


def precision(bench: Bench) -> list[Result]:
    """Do bfloat16 and float32 pick the same rows, as far as two draws of the masks do?"""
    if fastest_precision() != "bfloat16":
        note = "not measured: this processor does not multiply bfloat16"
        return [Result("top Q in bfloat16 and float32", np.nan, "", "", np.nan, "≥ 1 ×", note=note)]
    from lib.scoring import draw_masks, overlap, score
    from lib.training import train
    from lib.uncertainty import pool_features

    tops = {}
    for kind in ("float32", "bfloat16"):
        protocol, rows, classifier = bench.prepared(precision=kind, start=bench.labelled)
        train(classifier, rows, np.arange(protocol.start), replace(protocol, precision="float32"), 0)
        features = pool_features(classifier, rows, np.arange(len(rows))[-bench.rows :])
        for draw in range(2):
            masks = draw_masks(classifier, protocol, protocol.samples, "stability", draw)
            tops[kind, draw] = set(np.argsort(-score(classifier, features, masks, "bald")["score"])[:100].tolist())
    value, floor = overlap(tops["float32", 0], tops["bfloat16", 0]), overlap(tops["float32", 0], tops["float32", 1])
    return [Result("top 100 in bfloat16 and float32", value, "share", "two draws of masks", value / floor, "≥ 1 ×")]


def whole_run(bench: Bench) -> list[Result]:
    """The paper's protocol with U cut to 5,000 rows: what it takes beside training, encoding and evaluation."""
    from lib import active_learning, results

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
    from lib.results import STORE, Run

    needed = study.grid(strategies="bald,random") + study.grid(frozen=study.frozen)
    if not all(Run(protocol, STORE).done for protocol in needed):
        note = "not measured: results/ does not have the quick profile; ./run_all.sh computes it"
        return [Result(what, np.nan, "s", "", np.nan, goal, note=note)]
    command = [sys.executable, "-m", "lib", "run", str(ROOT)]
    elapsed = seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
    return [Result(what, elapsed, "s", "", np.nan, goal)]


MEASUREMENTS = {
    "encode": encode,
    "bald_50": lambda bench: bald(bench, 50, "≤ 1.05 ×"),
    "bald_1000": lambda bench: bald(bench, 1000, "≤ 1.6 ×"),
    "full_passes": full_passes,
    "fine_tuning": fine_tuning,
    "later_rounds": later_rounds,
    "pool_4000": lambda bench: pool(bench, 1),
    "pool_20000": lambda bench: pool(bench, 5),
    "pool_80000": lambda bench: pool(bench, 20),
    "start": start,
    "processes": processes,
    "sweep": sweep_of_twelve,
    "precision": precision,
    "redraw": redraw,
    "whole_run": whole_run,
}

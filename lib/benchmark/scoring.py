"""Scoring the pool: what BALD adds to one pass of the encoder, what that pass saves, and what bfloat16 changes."""

from dataclasses import replace

import numpy as np

from lib.benchmark.bench import Bench, Result, in_turns, length, peak, ratio, seconds
from lib.benchmark.encoding import pad_to

HARMLESS = 0.01  # of accuracy: smaller differences do not matter
PAIRS = 10  # seeds: four studies in five show it, if differences have a standard deviation of up to 0.008


def score(classifier, features_NF, masks) -> dict:
    """BALD of rows, as the loop scores a pool."""
    from lib import acquisition, scoring

    return scoring.score(classifier, features_NF, masks, acquisition.bald)


def bald(bench: Bench, samples: int, goal: str) -> list[Result]:
    """Encoding with scoring against encoding alone."""
    from lib.scoring import round_masks
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers = np.arange(min(bench.rows // 4, len(rows)))
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1, samples=samples), 0)
    times = in_turns(
        bench.repeats,
        lambda: score(classifier, pool_features(classifier, rows, numbers), masks),
        lambda: pool_features(classifier, rows, numbers),
    )
    what = f"BALD with S = {samples:,}, {length(rows, numbers)}"
    return [Result(what, len(numbers) / np.median(times[:, 0]), "rows/s", "encoding alone", ratio(times), goal)]


def full_passes(bench: Bench) -> list[Result]:
    """BALD from one pass of the encoder against S passes of the whole model; three passes are timed, not all."""
    import torch
    from transformers import AutoModel

    from lib.data.sources import checkpoint
    from lib.scoring import round_masks
    from lib.uncertainty import pool_features, sample_log_probs

    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers, timed = np.arange(min(bench.rows // 10, len(rows))), 3
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    one = {name: mask[:1] for name, mask in masks.items()}
    device = next(classifier.parameters()).device
    bare = AutoModel.from_pretrained(checkpoint(protocol.encoder), dtype=torch.float32).eval().to(device)
    wide = [pad_to(rows, numbers[i : i + 32], protocol.max_length, device) for i in range(0, len(numbers), 32)]

    def ours():
        score(classifier, pool_features(classifier, rows, numbers), masks)

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


def later_rounds(bench: Bench) -> list[Result]:
    """Scoring where the frozen layers' outputs are kept from the first round."""
    from lib.prefix import frozen_prefix
    from lib.scoring import round_masks
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(frozen=bench.half)
    numbers = np.arange(min(bench.rows, len(rows)))
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    prefix = frozen_prefix(classifier, rows, numbers, bench.half)

    def scored(*kept):
        score(classifier, pool_features(classifier, rows, numbers, *kept), masks)

    times = in_turns(bench.repeats, lambda: scored(prefix), scored)
    what = f"scoring in rounds 2 to 9, F = {bench.half}, {length(rows, numbers)}"
    return [Result(what, len(numbers) / np.median(times[:, 0]), "rows/s", "F = 0", ratio(times), "≤ 0.55 ×")]


def pool(bench: Bench, times_as_many: int) -> list[Result]:
    """One round of scoring over a pool of short rows, repeated to its size."""
    from lib.scoring import round_masks
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(max_length=8)
    number = 2 * bench.rows
    rows = tiled(rows, number, times_as_many)
    masks = round_masks(classifier, replace(protocol, rounds=1, query=1), 0)
    features = []

    def scored():
        features.append(pool_features(classifier, rows, np.arange(len(rows))))
        score(classifier, features[0], masks)

    before, elapsed = peak(), seconds(scored)
    kept = (features[0].nbytes + rows.tokens_T.nbytes + rows.segments_T.nbytes + rows.offsets.nbytes) / 1e6
    note = f"peak before scoring {before:.0f} MB; tokens and features are {kept:.0f} MB"
    return [Result(f"a pool of {len(rows):,} rows of 8 tokens", elapsed, "s", "", np.nan, "", note=note)]


def tiled(rows, number: int, times: int):
    """The first rows, again and again, as other rows."""
    from lib.data.rows import Rows

    end = rows.offsets[number]
    offsets = np.concatenate([[0], np.cumsum(np.tile(rows.lengths_N[:number], times))])
    flat = (np.tile(array[:end], times) for array in (rows.tokens_T, rows.segments_T))
    return Rows(rows.texts[:number] * times, np.tile(rows.labels_N[:number], times), *flat, offsets)


def precision(bench: Bench) -> list[Result]:
    """Is bfloat16 harmless? The rows it picks after the same training, and the accuracy of training in it.

    Where the processor does not multiply bfloat16, the same roundings are made slowly.
    """
    from lib.scoring import highest_rows, overlap
    from lib.training import train
    from lib.uncertainty import pool_features

    protocol, rows, classifier = bench.prepared(precision="float32", start=bench.labelled, query=bench.rows // 20)
    train(classifier, rows, np.arange(protocol.start), protocol, 0)
    numbers = np.arange(len(rows))[-bench.rows :]

    def top(features_NF, draw: int) -> set:
        return highest_rows(classifier, features_NF, protocol, draw)[protocol.samples]

    exact_NF = pool_features(classifier, rows, numbers)
    classifier.encoder.precision = "bfloat16"
    rounded_NF = pool_features(classifier, rows, numbers)
    exact = top(exact_NF, 0)
    value, floor = overlap(exact, top(rounded_NF, 0)), overlap(exact, top(exact_NF, 1))
    what = f"share of the top {len(exact)} of {len(numbers):,} rows: in bfloat16 and in float32"
    note = f"after training on {bench.labelled} rows in float32"
    picks = Result(what, value, "", f"two draws of the masks, {floor:.2f}", value / floor, "≥ 1 ×", note=note)
    return [picks, *accuracies(bench)]


def accuracies(bench: Bench) -> list[Result]:
    """Trained and evaluated in bfloat16 and in float32, on a third of the labelled rows, in ten pairs of one seed."""
    from lib.active_learning import prepare
    from lib.reading.statistics import equivalence, t_interval
    from lib.scoring import evaluate
    from lib.training import train

    found = {"bfloat16": [], "float32": []}
    for kind, values in found.items():
        for seed in range(PAIRS):
            protocol = bench.protocol(start=bench.labelled // 3, rounds=0, pool=10**6, precision=kind, seed=seed)
            task, classifier = prepare(protocol)
            train(classifier, task.train, np.arange(protocol.start), protocol, 0)
            validation = np.arange(len(task.validation))[: bench.rows // 2]
            values.append(evaluate(classifier, task.validation, validation, None, {})[1]["accuracy"])
    bfloat16, float32 = map(np.array, found.values())
    low, high = t_interval(bfloat16 - float32)
    p = equivalence(bfloat16, float32, HARMLESS)
    note = f"the difference, {(bfloat16 - float32).mean():+.3f}, lies between {low:+.3f} and {high:+.3f} (95 %, t); "
    note += f"that it is {HARMLESS} or more: p = {p:.2g}"
    what = f"accuracy in bfloat16 after {bench.labelled // 3} labels, {PAIRS} seeds"
    floor, ratio_ = f"in float32, {float32.mean():.3f}", bfloat16.mean() / float32.mean()
    return [Result(what, bfloat16.mean(), "", floor, ratio_, f"interval within ± {HARMLESS}", note=note)]

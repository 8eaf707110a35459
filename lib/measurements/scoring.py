"""Scoring the pool: what BALD adds to one pass of the encoder, what that pass saves, and what bfloat16 changes."""

from dataclasses import replace

import numpy as np

from lib.measurements.bench import Bench, Result, in_turns, length, peak, ratio, seconds
from lib.measurements.encoding import pad_to
from lib.protocol import fastest_precision


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

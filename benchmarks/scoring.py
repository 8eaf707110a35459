"""Scoring the pool: what BALD adds to one pass of the encoder, and what that pass saves."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.bench import Bench, Result, compared, described, elapsed, peak
from benchmarks.encoding import auto_model, forward, pad
from lib.data.rows import Rows
from lib.method import acquisition, scoring
from lib.method.prefix import frozen_prefix
from lib.method.uncertainty import pool_features, sample_log_probs


def masks_of(classifier, protocol, samples: int) -> dict:
    return scoring.round_masks(classifier, replace(protocol, rounds=1, query=1, samples=samples), 0)


def score(classifier, rows, numbers, masks, prefix=None) -> None:
    """BALD of rows, as the loop scores a pool."""
    scoring.score(classifier, pool_features(classifier, rows, numbers, prefix), masks, acquisition.bald)


def bald(bench: Bench, samples: int) -> Iterator[Result]:
    """Encoding with scoring beside encoding alone."""
    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers = np.arange(min(bench.rows, len(rows)))
    masks = masks_of(classifier, protocol, samples)
    own, encoding = bench.in_turns(
        lambda: score(classifier, rows, numbers, masks), lambda: pool_features(classifier, rows, numbers)
    ).T
    what = f"BALD with S = {samples:,}, {described(protocol, rows, numbers)}"
    yield Result(what, len(numbers) / np.median(own), "rows/s", "time of encoding alone", **compared(own / encoding))


def full_passes(bench: Bench) -> Iterator[Result]:
    """BALD from one pass of the encoder beside S passes of the whole model, of which one is timed."""
    protocol, rows, classifier = bench.prepared(pairs=True)
    numbers = np.arange(min(bench.rows // 2, len(rows)))
    masks = masks_of(classifier, protocol, protocol.samples)
    one = {name: mask[:1] for name, mask in masks.items()}
    device = next(classifier.parameters()).device
    rival = auto_model(protocol, device)
    wide = [pad(rows, numbers[i : i + 32], protocol.max_length, device) for i in range(0, len(numbers), 32)]
    own, packed, padded = bench.in_turns(
        lambda: score(classifier, rows, numbers, masks),
        lambda: sample_log_probs(classifier, pool_features(classifier, rows, numbers), one),
        lambda: forward(rival, wide),
    ).T
    what, value = f"BALD, {described(protocol, rows, numbers)}", len(numbers) / np.median(own)
    passes = f"{protocol.samples} passes"
    yield Result(what, value, "rows/s", f"{passes} of the same code", **compared(protocol.samples * packed / own))
    against = f"{passes} of AutoModel, padded to {protocol.max_length}"
    yield Result(what, value, "rows/s", against, **compared(protocol.samples * padded / own))


def later_rounds(bench: Bench) -> Iterator[Result]:
    """Scoring where the frozen layers' outputs are kept from the first round."""
    protocol, rows, classifier = bench.prepared(frozen=bench.half)
    numbers = np.arange(min(2 * bench.rows, len(rows)))
    masks = masks_of(classifier, protocol, protocol.samples)
    prefix = frozen_prefix(classifier, rows, numbers, bench.half)
    own, whole = bench.in_turns(
        lambda: score(classifier, rows, numbers, masks, prefix), lambda: score(classifier, rows, numbers, masks)
    ).T
    what = f"scoring from round 2 on, F = {bench.half}, {described(protocol, rows, numbers)}"
    yield Result(what, len(numbers) / np.median(own), "rows/s", "time with F = 0", **compared(own / whole))


def pool(bench: Bench, times_as_many: int) -> Iterator[Result]:
    """One round of scoring over a pool of short rows. Where the task has fewer, they are repeated."""
    protocol, rows, classifier = bench.prepared(max_length=8)
    number = times_as_many * bench.pool
    many = repeated(rows, number)
    masks = masks_of(classifier, protocol, protocol.samples)
    before, seconds = peak(), elapsed(lambda: score(classifier, many, np.arange(number), masks))
    note = f"{min(number, len(rows)):,} different rows; memory before scoring {before:.0f} MB"
    yield Result(f"score a pool of {described(protocol, many, np.arange(number))}", seconds, "s", note=note)


def repeated(rows: Rows, number: int) -> Rows:
    """The rows, again and again as other rows, until they are `number`."""
    numbers = np.resize(np.arange(len(rows)), number)
    flat, offsets = rows.flat_index(numbers), np.concatenate([[0], np.cumsum(rows.lengths_N[numbers])])
    texts = [rows.texts[n] for n in numbers]
    return Rows(texts, rows.labels_N[numbers], rows.tokens_T[flat], rows.segments_T[flat], offsets)

"""The encoder alone, and rows padded as transformers takes them."""

import numpy as np

from lib.benchmark.bench import Bench, Result, in_turns, length, ratio


def encode(bench: Bench) -> list[Result]:
    """The encoder alone: against transformers' own forward, and against the rate of bare products of matrices."""
    import torch
    from transformers import AutoModel

    from lib.data.sources import checkpoint
    from lib.prefix import TOKENS

    protocol, rows, classifier = bench.prepared(pairs=True)
    encoder, numbers = classifier.encoder, np.arange(min(bench.rows, len(rows)))
    dtype = torch.bfloat16 if protocol.precision == "bfloat16" else torch.float32
    device = next(encoder.parameters()).device
    bare = AutoModel.from_pretrained(checkpoint(protocol.encoder), dtype=dtype).eval().to(device)
    order = numbers[np.argsort(rows.lengths_N[numbers], kind="stable")]
    padded = [pad(rows, order[i : i + 64], device) for i in range(0, len(order), 64)]

    @torch.inference_mode()
    def ours():
        for some in rows.token_batches(numbers, TOKENS[device.type]):
            encoder(rows.batch(some, device))

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


def pad(rows, numbers, device="cpu") -> dict:
    import torch

    lengths = rows.lengths_N[numbers]
    mask = torch.arange(lengths.max()) < torch.from_numpy(lengths)[:, None]
    tokens, segments = (torch.zeros(mask.shape, dtype=torch.long) for _ in range(2))
    batch = rows.batch(numbers)
    tokens[mask], segments[mask] = batch.tokens_T, batch.segments_T
    padded = {"input_ids": tokens, "token_type_ids": segments, "attention_mask": mask.long()}
    return {name: column.to(device) for name, column in padded.items()}


def pad_to(rows, numbers, longest: int, device="cpu") -> dict:
    from torch.nn import functional as F

    padded = pad(rows, numbers, device)
    return {name: F.pad(column, (0, longest - column.shape[1])) for name, column in padded.items()}


def gemm_rate(encoder, dtype) -> float:
    """Floating-point operations in a second of the best of three products: two of a layer's, and a large square."""
    import torch

    width, best, device = encoder.width, 0.0, next(encoder.parameters()).device
    for m, k, n in ((1024, width, 4 * width), (1024, 4 * width, width), (1024, 1024, 1024)):
        a, b = torch.randn(m, k, dtype=dtype, device=device), torch.randn(k, n, dtype=dtype, device=device)
        times = in_turns(20, lambda a=a, b=b: a @ b)
        best = max(best, 2 * m * k * n / np.median(times))
    return best


def floating_point_operations(encoder, lengths) -> float:
    """Of the layers' products, without embeddings, softmax, norms and activations."""
    matrices = sum(p.numel() for p in encoder.layers.parameters() if p.ndim == 2)
    attention = 4 * encoder.width * len(encoder.layers) * (lengths.astype(float) ** 2).sum()
    return 2 * matrices * lengths.sum() + attention

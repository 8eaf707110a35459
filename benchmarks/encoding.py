"""The encoder alone, beside transformers' own forward pass and beside the rate of bare products of matrices."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel

from benchmarks.bench import Bench, Result, compared, described
from lib.data.sources import checkpoint
from lib.method.prefix import encoded
from lib.protocol import Protocol

PRODUCT = 1024  # rows of a bare product


def encode(bench: Bench) -> Iterator[Result]:
    protocol, rows, classifier = bench.prepared(pairs=True)
    encoder, numbers = classifier.encoder, np.arange(min(bench.rows, len(rows)))
    device = next(encoder.parameters()).device
    order = numbers[np.argsort(rows.lengths_N[numbers], kind="stable")]
    padded = [pad(rows, order[i : i + 64], device=device) for i in range(0, len(order), 64)]
    rival = auto_model(protocol, device)

    @torch.inference_mode()
    def ours():
        for _ in encoded(classifier, rows, numbers):
            pass

    times_TF = bench.in_turns(ours, lambda: forward(rival, padded), *products(protocol, encoder.width, device))
    own, theirs, *of_products = times_TF.T
    what, value = f"encode {described(protocol, rows, numbers)}", len(numbers) / np.median(own)
    yield Result(what, value, "rows/s", "AutoModel, sorted, batches of 64", **compared(theirs / own))
    # operations in a second: of the encoder, and of the best of the products
    work, bare = floating_point_operations(encoder, rows.lengths_N[numbers]), operations(encoder.width)
    rate_T = (np.array(bare)[:, None] / np.array(of_products)).max(axis=0)
    against = f"products of matrices, {np.median(rate_T) / 1e9:.0f} GFLOP/s"
    yield Result("the same", work / np.median(own) / 1e9, "GFLOP/s", against, **compared(work / own / rate_T))


def auto_model(protocol: Protocol, device):
    """transformers' own model of the encoder, in the precision of the protocol."""
    dtype = getattr(torch, protocol.precision)
    return AutoModel.from_pretrained(checkpoint(protocol.encoder), dtype=dtype).eval().to(device)


@torch.inference_mode()
def forward(model, batches: list[dict]) -> None:
    for batch in batches:
        model(**batch)


def pad(rows, numbers, longest: int = 0, device="cpu") -> dict:
    """Rows as transformers takes them, padded to the longest of them or to `longest` tokens."""
    lengths = rows.lengths_N[numbers]
    mask = torch.arange(longest or lengths.max()) < torch.from_numpy(lengths)[:, None]
    tokens, segments = (torch.zeros(mask.shape, dtype=torch.long) for _ in range(2))
    batch = rows.batch(numbers)
    tokens[mask], segments[mask] = batch.tokens_T, batch.segments_T
    padded = {"input_ids": tokens, "token_type_ids": segments, "attention_mask": mask.long()}
    return {name: column.to(device) for name, column in padded.items()}


def products(protocol: Protocol, width: int, device) -> list:
    """Functions that multiply two matrices, as a feed-forward layer does, and a large square."""
    dtype = getattr(torch, protocol.precision)
    made = [[torch.randn(shape, dtype=dtype, device=device) for shape in pair] for pair in shapes(width)]
    return [lambda x=x, weight=weight: F.linear(x, weight) for x, weight in made]


def shapes(width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    sizes = (width, 4 * width), (4 * width, width), (PRODUCT, PRODUCT)
    return [((PRODUCT, inner), (outer, inner)) for inner, outer in sizes]


def operations(width: int) -> list[float]:
    return [2.0 * n * inner * outer for (n, inner), (outer, _) in shapes(width)]


def floating_point_operations(encoder, lengths) -> float:
    """Of the layers' products, without embeddings, softmax, norms and activations."""
    matrices = sum(p.numel() for p in encoder.layers.parameters() if p.ndim == 2)
    attention = 4 * encoder.width * len(encoder.layers) * (lengths.astype(float) ** 2).sum()
    return 2 * matrices * lengths.sum() + attention

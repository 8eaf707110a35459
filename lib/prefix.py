"""The encoder's outputs: of the frozen layers [0, F), computed once for all rounds, and of all layers."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib.data.rows import Batch, Rows
from lib.model import Classifier

TOKENS = {"cpu": 1024, "cuda": 32_768}  # in a batch: what stays in the CPU's cache, what fills a GPU
MEMORY = 2**30  # bytes of outputs that are kept in memory; more are kept in a file that is mapped into it


@dataclass(frozen=True)
class Prefix:
    """The outputs for some rows: they are the same in every round of a run."""

    rows: Rows
    starts_N: np.ndarray  # of each row's first token in hidden_TH
    hidden_TH: Tensor
    first: int  # F, the layer that reads them

    def of(self, numbers: np.ndarray, device) -> tuple[Tensor, int]:
        """The input of layer F for these rows, float32, and F."""
        places = torch.from_numpy(self.rows.flat_index(numbers, self.starts_N)).to(self.hidden_TH.device)
        return self.hidden_TH[places].to(device, torch.float32), self.first


@torch.inference_mode()
def frozen_prefix(classifier: Classifier, rows: Rows, numbers, frozen: int) -> Prefix | None:
    """Run layers [0, F) over the rows `numbers` once. None if F ≤ 0: no output stays the same.

    Kept in the precision of the encoder, in the order of length in which they will be read.
    """
    if frozen <= 0:
        return None
    device, encoder = next(classifier.parameters()).device, classifier.encoder
    batches = rows.token_batches(numbers, TOKENS[device.type])
    order = np.concatenate(batches)
    starts_N = np.full(len(rows), -1)
    starts_N[order] = np.cumsum(rows.lengths_N[order]) - rows.lengths_N[order]
    dtype = torch.bfloat16 if encoder.precision == "bfloat16" else torch.float32
    hidden_TH = _room(int(rows.lengths_N[order].sum()), encoder.width, dtype, device)
    with encoder.cast():
        for some in batches:
            batch = rows.batch(some, device)
            hidden = encoder.run_layers(encoder.embed(batch), batch, 0, frozen)
            hidden_TH[starts_N[some[0]] :][: len(hidden)] = hidden
    return Prefix(rows, starts_N, hidden_TH, frozen)


def encoded(
    classifier: Classifier, rows: Rows, numbers, prefix: Prefix | None = None
) -> Iterator[tuple[np.ndarray, Tensor, Batch]]:
    """The encoder over the rows `numbers` without dropout, a batch of like length at a time: rows, hidden_TH, batch.

    prefix: outputs of the frozen layers for these rows, if they are there.
    """
    device = next(classifier.parameters()).device
    with classifier.encoder.cast():
        for some in rows.token_batches(numbers, TOKENS[device.type]):
            batch = rows.batch(some, device)
            yield some, classifier.encode(batch, *(prefix.of(some, device) if prefix else ())), batch


def _room(tokens: int, width: int, dtype: torch.dtype, device) -> Tensor:
    """An empty hidden_TH: on the device or, beyond MEMORY, in a temporary file that ends with it."""
    if tokens * width * dtype.itemsize <= MEMORY:
        return torch.empty(tokens, width, dtype=dtype, device=device)
    with tempfile.NamedTemporaryFile(prefix="prefix-") as file:
        file.truncate(tokens * width * dtype.itemsize)
        return torch.from_file(file.name, shared=True, size=tokens * width, dtype=dtype).view(tokens, width)

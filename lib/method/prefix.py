"""The encoder's outputs: of the frozen layers [0, F), computed once for all rounds, and of all layers."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib.data.batches import Batch
from lib.data.rows import Rows
from lib.errors import StudyError
from lib.method import gpus
from lib.method.model import Classifier

TOKENS = {"cpu": 1024, "cuda": 32_768}  # in a batch: what stays in the CPU's cache, what fills a GPU
MEMORY = 2**30  # bytes of outputs that a CPU's memory is to hold; more are kept in a file that is mapped into it


@dataclass(frozen=True)
class Prefix:
    """The outputs for some rows: they are the same in every round of a run."""

    starts_N: np.ndarray  # of each row's first token in hidden_TH; -1 of rows that are not kept
    hidden_TH: Tensor
    first: int  # F, the layer that reads them

    def of(self, batch: Batch) -> tuple[Tensor, int]:
        """The input of layer F for a batch that was made with starts_N, float32, and F."""
        kept_TH = self.hidden_TH[batch.kept_T.to(self.hidden_TH.device)]
        return kept_TH.to(batch.tokens_T.device, non_blocking=True).float(), self.first


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
    return Prefix(starts_N, hidden_TH, frozen)


def encoded(
    classifier: Classifier, rows: Rows, numbers, prefix: Prefix | None = None
) -> Iterator[tuple[np.ndarray, Tensor, Batch]]:
    """The encoder over the rows `numbers` without dropout, a batch of like length at a time: rows, hidden_TH, batch.

    prefix: outputs of the frozen layers for these rows, if they are there.
    """
    device = next(classifier.parameters()).device
    with classifier.encoder.cast():
        for some in rows.token_batches(numbers, TOKENS[device.type]):
            batch = rows.batch(some, device, prefix and prefix.starts_N)
            yield some, classifier.encode(batch, *(prefix.of(batch) if prefix else ())), batch


def _room(tokens: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An empty hidden_TH: on the device or, beyond MEMORY or half of a GPU's, in a temporary file that ends with it.

    Raises StudyError if there is no room for the file: written into a map of it, a full disk would end the process.
    """
    needed = tokens * width * dtype.itemsize
    if needed <= (gpus.free() // 2 if device.type == "cuda" else MEMORY):
        return torch.empty(tokens, width, dtype=dtype, device=device)
    with tempfile.NamedTemporaryFile(prefix="prefix-") as file:
        try:
            _allocate(file, needed)
        except OSError as error:
            raise StudyError(
                f"{tempfile.gettempdir()} has no room for the frozen layers' outputs, {needed / 1e9:.1f} GB "
                f"({error.strerror or error}): free space there, or name a folder that has it in TMPDIR"
            ) from error
        return torch.from_file(file.name, shared=True, size=tokens * width, dtype=dtype).view(tokens, width)


def _allocate(file, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:  # macOS
        file.truncate(size)

"""A batch: some rows packed end to end without padding, and where each of its tokens stands in every other order.

All of these places follow from the rows' lengths: they are computed on the CPU and sent with the tokens as one copy, so
that no step of training or scoring waits for the device to learn how long something is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

HEIGHTS = (3, 4, 5)  # of the convolutional filters, in tokens
GAP = max(HEIGHTS) - 1  # zeros before, between and after packed rows, so that no window reaches two of them
LARGEST = 4  # values of a map of which one is the maximum after dropout; a lower one is with probability rate ** 4


@dataclass(frozen=True)
class Places:
    """N values, each at a place of its own among M, whose others are empty.

    Both ways are a gather, and each is the other's gradient. Left to torch, the gradient of a gather is a scatter,
    which a GPU must sort to give the same bits each time.
    """

    place_N: Tensor
    value_M: Tensor  # which of the values stands there; N where none does

    def spread(self, values_NX: Tensor) -> Tensor:
        """N × X → M × X, zeros where a place is empty."""
        return _Gather.apply(values_NX, self._at_places, self._from_places)

    def collect(self, values_MX: Tensor) -> Tensor:
        """M × X → N × X."""
        return _Gather.apply(values_MX, self._from_places, self._at_places)

    def _at_places(self, values_NX: Tensor) -> Tensor:
        return torch.cat([values_NX, values_NX.new_zeros(1, values_NX.shape[1])]).index_select(0, self.value_M)

    def _from_places(self, values_MX: Tensor) -> Tensor:
        return values_MX.index_select(0, self.place_N)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, there, back):
        ctx.back = back
        return there(values)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.back(gradient), None, None


@dataclass(frozen=True)
class Batch:
    """B rows, T tokens."""

    tokens_T: Tensor  # token ids, int64
    segments_T: Tensor  # 0 for the first text, 1 for the second
    positions_T: Tensor  # place in the row
    starts_B: Tensor  # index in T of the first token, [CLS], of each row
    lengths_B: Tensor  # tokens of each row
    labels_B: Tensor
    kept_T: Tensor  # where a prefix keeps the outputs of each token; empty without one
    lengths: np.ndarray  # lengths_B on the CPU
    padded: Places | None  # rows side by side, B × longest, as attention needs them; None if they are equally long
    spaced: Places  # with GAP zeros before, between and after rows
    windows: dict[int, Places]  # height → the windows that hold a token, W, among all of a spaced batch
    columns: dict[int, Places]  # height → these windows side by side, B × the most of a row, at least LARGEST
    mask: Tensor | None  # B × 1 × 1 × longest: where a token stands in padded

    def side_by_side(self, packed_TX: Tensor) -> Tensor:
        """T × X → B × longest × X, zeros where a row has ended."""
        padded = self.padded.spread(packed_TX) if self.padded else packed_TX
        return padded.view(len(self.lengths), -1, packed_TX.shape[1])

    def end_to_end(self, padded_BLX: Tensor) -> Tensor:
        """B × longest × X → T × X."""
        flat = padded_BLX.flatten(0, 1)
        return self.padded.collect(flat) if self.padded else flat


def pack(tokens_T, segments_T, labels_B, kept_T, lengths: np.ndarray, device) -> Batch:
    """The batch on the device, of whole numbers on the CPU."""
    padded = _side_by_side(lengths)
    gaps_and_rows = np.full(2 * len(lengths) + 1, GAP)
    gaps_and_rows[1::2] = lengths
    spaced_P = np.repeat(np.arange(len(gaps_and_rows)) % 2 == 1, gaps_and_rows)
    filled = {"spaced": spaced_P}  # which of the places are not empty
    if not padded.all():
        filled["padded"] = padded.ravel()
    for height in HEIGHTS:
        filled["windows", height] = np.lib.stride_tricks.sliding_window_view(spaced_P, height).any(1)
        filled["columns", height] = _side_by_side(lengths + height - 1, LARGEST).ravel()
    positions_T, starts_B = np.nonzero(padded)[1], np.cumsum(lengths) - lengths
    arrays = [tokens_T, segments_T, positions_T, starts_B, lengths, labels_B, kept_T]
    for filled_M in filled.values():
        place_N = np.flatnonzero(filled_M)
        arrays += [place_N, np.where(filled_M, np.cumsum(filled_M) - 1, len(place_N))]
    sent = _send(arrays, device)
    fields = [next(sent) for _ in range(7)]
    places = {name: Places(next(sent), next(sent)) for name in filled}
    windows, columns = ({height: places[kind, height] for height in HEIGHTS} for kind in ("windows", "columns"))
    mask = None
    if "padded" in places:
        mask = (torch.arange(padded.shape[1], device=device) < fields[4][:, None])[:, None, None]
    return Batch(*fields, lengths, places.get("padded"), places["spaced"], windows, columns, mask)


def _side_by_side(lengths: np.ndarray, least: int = 0) -> np.ndarray:
    """B × the most of a row, at least `least`: whether the row reaches so far."""
    return np.arange(max(least, lengths.max())) < lengths[:, None]


def _send(arrays: list[np.ndarray], device):
    """The arrays as int64 on the device, one after the other: of one copy, for which nothing waits."""
    together = torch.from_numpy(np.concatenate(arrays, dtype=np.int64))
    if torch.device(device).type == "cuda" and torch.cuda.is_initialized():
        together = together.pin_memory()
    together = together.to(device, non_blocking=True)
    return iter(together.split([len(array) for array in arrays]))

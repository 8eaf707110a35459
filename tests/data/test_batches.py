"""Where a batch's tokens stand in each order, against loops over rows; both ways and their gradients, as torch's."""

import numpy as np
import pytest
import torch

from lib.data.batches import GAP, HEIGHTS, LARGEST, pack

LENGTHS = {
    "several": [5, 2, 9, 1, 5],
    "one": [4],
    "of one token": [1],
    "equally long": [6, 6, 6],
    "shorter than a window": [2, 1, 2],
}


@pytest.fixture(params=LENGTHS.values(), ids=LENGTHS)
def batch(request):
    lengths, rng = np.array(request.param), np.random.default_rng(0)
    tokens_T, segments_T = rng.integers(1000, size=lengths.sum()), rng.integers(2, size=lengths.sum())
    return pack(tokens_T, segments_T, np.arange(len(lengths)), np.arange(0), lengths, "cpu")


def places(batch) -> dict:
    """Name → (places, where each of their values stands by a loop, how many there are)."""
    longest, spaced, windows, columns = max(batch.lengths), [], {h: [] for h in HEIGHTS}, {h: [] for h in HEIGHTS}
    start = GAP
    for row, length in enumerate(batch.lengths.tolist()):
        spaced += [start + t for t in range(length)]
        for h in HEIGHTS:
            most = max(LARGEST, longest + h - 1)
            windows[h] += [start + t for t in range(1 - h, length)]  # where it begins: it holds a token of the row
            columns[h] += [row * most + place for place in range(length + h - 1)]
        start += length + GAP
    found = {"spaced": (batch.spaced, spaced, start)}
    for h in HEIGHTS:
        found["windows", h] = batch.windows[h], windows[h], start - h + 1
        found["columns", h] = batch.columns[h], columns[h], len(batch.lengths) * max(LARGEST, longest + h - 1)
    if batch.padded:
        side_by_side = [row * longest + t for row, length in enumerate(batch.lengths) for t in range(length)]
        found["padded"] = batch.padded, side_by_side, len(batch.lengths) * longest
    return found


def test_every_token_and_window_stands_where_a_loop_puts_it(batch):
    for name, (ours, expected, number) in places(batch).items():
        assert ours.place_N.tolist() == expected, name
        values = {place: value for value, place in enumerate(expected)}
        assert ours.value_M.tolist() == [values.get(place, len(expected)) for place in range(number)], name


def test_tokens_have_their_rows_and_positions(batch):
    assert batch.positions_T.tolist() == [t for length in batch.lengths for t in range(length)]
    assert batch.starts_B.tolist() == [sum(batch.lengths[:row]) for row in range(len(batch.lengths))]
    assert batch.lengths_B.tolist() == batch.lengths.tolist()
    assert batch.labels_B.tolist() == list(range(len(batch.lengths)))


def test_attention_sees_the_tokens_of_a_row_alone(batch):
    longest = max(batch.lengths)
    if (batch.lengths == longest).all():
        assert batch.mask is None
        assert batch.padded is None
    else:
        assert batch.mask.shape == (len(batch.lengths), 1, 1, longest)
        assert batch.mask[:, 0, 0].tolist() == [[t < length for t in range(longest)] for length in batch.lengths]


def test_there_and_back_are_the_same_tokens(batch):
    packed_TX = torch.randn(sum(batch.lengths), 7)
    padded_BLX = batch.side_by_side(packed_TX)
    assert padded_BLX.shape == (len(batch.lengths), max(batch.lengths), 7)
    assert torch.equal(batch.end_to_end(padded_BLX), packed_TX)
    for row, length in enumerate(batch.lengths):
        start = sum(batch.lengths[:row])
        assert torch.equal(padded_BLX[row, :length], packed_TX[start : start + length])
        assert not padded_BLX[row, length:].any()


def gradients(function, values, weights) -> tuple[torch.Tensor, torch.Tensor]:
    """What comes out, and the gradient of its weighted sum."""
    values = values.clone().requires_grad_()
    out = function(values)
    out.backward(weights)
    return out.detach(), values.grad


def test_both_ways_and_their_gradients_are_torchs_bit_for_bit(batch):
    generator = torch.Generator().manual_seed(0)
    for name, (ours, where, number) in places(batch).items():
        index = torch.tensor(where)
        few, many = (torch.randn(n, 5, generator=generator) for n in (len(where), number))
        theirs = gradients(lambda x, n=number, i=index: x.new_zeros(n, 5).index_copy(0, i, x), few, many)
        assert all(map(torch.equal, gradients(ours.spread, few, many), theirs)), name
        theirs = gradients(lambda x, i=index: x.index_select(0, i), many, few)
        assert all(map(torch.equal, gradients(ours.collect, many, few), theirs)), name
    assert torch.autograd.gradcheck(ours.spread, few.double().requires_grad_())
    assert torch.autograd.gradcheck(ours.collect, many.double().requires_grad_())


def test_what_is_sent_is_one_tensor(batch):
    """All indices and labels are pieces of it."""
    sent = [batch.tokens_T, batch.segments_T, batch.labels_B, batch.lengths_B, batch.spaced.place_N]
    sent += [places.value_M for places in batch.windows.values()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in sent}) == 1

"""The decoder: a CNN, or a linear layer on [CLS], with dropout whose masks can be given."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.protocol import Protocol
from lib.rows import Batch

HEIGHTS = (3, 4, 5)  # of the convolutional filters, in tokens


class MCDropout(nn.Module):
    """Dropout that a stochastic pass keeps on (Gal and Ghahramani 2016).

    Training draws a mask for every row. A stochastic pass is given its masks, masks_SW: pass s uses mask s for every
    row, which makes it one concrete model ω_s. Otherwise nothing is dropped.
    """

    def __init__(self, width: int, rate: float):
        super().__init__()
        self.width, self.rate = width, rate

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """masks_SW: 0 with probability `rate`, else 1 / (1 - rate); float32 on the CPU."""
        kept = torch.rand(samples, self.width, generator=generator) >= self.rate
        return kept.float() / (1 - self.rate)

    def forward(self, input_NW: Tensor) -> Tensor:
        return F.dropout(input_NW, self.rate, self.training)


class LinearDecoder(nn.Module):
    """Devlin et al. (2019): dropout and one layer on the last hidden state of [CLS]."""

    def __init__(self, protocol: Protocol, width: int, num_labels: int):
        super().__init__()
        self.dropout = MCDropout(width, protocol.dropout)
        self.output = nn.Linear(width, num_labels)
        self.mc_dropouts = ("dropout",)

    def stages(self) -> list[dict[str, nn.Module | None]]:
        """What happens to a row, step by step, names and modules: for Figure 1."""
        return [{"last hidden state of [CLS]": None}, {"dropout": self.dropout}, {"output layer": self.output}]

    def features(self, hidden_TH: Tensor, batch: Batch) -> Tensor:
        return hidden_TH[batch.starts_B]

    def forward(self, features_NF: Tensor) -> Tensor:
        return self.output(self.dropout(features_NF))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        weights_SCF = self.output.weight * masks["dropout"][:, None]
        return torch.einsum("nf,scf->snc", features_NF, weights_SCF) + self.output.bias


class CNNDecoder(nn.Module):
    """Kim (2014) over all hidden states of the last layer, as the paper's section 2.1 describes it.

    Filters of height 3, 4 and 5 → batch norm → ReLU → dropout → maximum over time → hidden layer → output layer, with
    dropout on the input of both layers. A window lies inside its row; a row with fewer tokens than the widest filter
    is extended with zeros to that height. The dropout of the feature maps drops whole maps: dropped after the
    maximum, which gives the same numbers, it has one mask whatever a row's length.
    """

    def __init__(self, protocol: Protocol, width: int, num_labels: int):
        super().__init__()
        maps, total = protocol.maps, protocol.maps * len(HEIGHTS)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, maps, height) for height in HEIGHTS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(maps, momentum=None) for _ in HEIGHTS)
        self.map_dropout = MCDropout(total, protocol.dropout)
        self.hidden_dropout = MCDropout(total, protocol.dropout)
        self.hidden = nn.Linear(total, protocol.hidden)
        self.output_dropout = MCDropout(protocol.hidden, protocol.dropout)
        self.output = nn.Linear(protocol.hidden, num_labels)
        every = ("map_dropout", "hidden_dropout", "output_dropout")
        self.mc_dropouts = every if protocol.mc_dropout == "decoder" else ("hidden_dropout",)

    def stages(self) -> list[dict[str, nn.Module | None]]:
        """What happens to a row, step by step, names and modules (side by side if parallel): for Figure 1."""
        return [
            {f"convolution {height}": layer for height, layer in zip(HEIGHTS, self.convolutions, strict=True)},
            {"batch norm, ReLU": self.norms},
            {"maximum over time": None},
            {"dropout of maps": self.map_dropout},
            {"dropout": self.hidden_dropout},
            {"hidden layer, ReLU": self.hidden},
            {"dropout": self.output_dropout},
            {"output layer": self.output},
        ]

    def features(self, hidden_TH: Tensor, batch: Batch) -> Tensor:
        """→ features_NF, the maximum of each feature map over the windows of each row."""
        hidden_TH, lengths = _at_least(max(HEIGHTS), hidden_TH, batch)
        maxima = []
        for height, convolution, norm in zip(HEIGHTS, self.convolutions, self.norms, strict=True):
            maps_WM = _inside_rows(convolution(hidden_TH.T[None])[0].T, lengths, height)
            maxima.append(_maximum_over_time(F.relu(norm(maps_WM)), lengths - height + 1))
        return torch.cat(maxima, 1)

    def forward(self, features_NF: Tensor) -> Tensor:
        features_NF = self.hidden_dropout(self.map_dropout(features_NF))
        return self.output(self.output_dropout(F.relu(self.hidden(features_NF))))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        mask_SF = masks["hidden_dropout"]
        if "map_dropout" in masks:
            mask_SF = mask_SF * masks["map_dropout"]
        # a mask on a layer's input is a mask on the columns of its weights: one product serves all passes
        weights_SHF = self.hidden.weight * mask_SF[:, None]
        hidden_NSH = F.linear(features_NF, weights_SHF.flatten(0, 1)).unflatten(1, (len(mask_SF), -1))
        hidden_NSH = F.relu(hidden_NSH + self.hidden.bias)
        if "output_dropout" in masks:
            hidden_NSH = hidden_NSH * masks["output_dropout"]
        return self.output(hidden_NSH).transpose(0, 1)


def _at_least(height: int, hidden_TH: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Extend rows of fewer than `height` tokens with zeros. → hidden_TH, lengths_B"""
    lengths_B = torch.from_numpy(batch.lengths).to(hidden_TH.device)
    if batch.lengths.min() >= height:
        return hidden_TH, lengths_B
    extended_B = lengths_B.clamp(min=height)
    starts_B = extended_B.cumsum(0) - extended_B
    places_T = torch.repeat_interleave(starts_B, lengths_B) + batch.positions_T
    zeros = hidden_TH.new_zeros(int(extended_B.sum()), hidden_TH.shape[1])
    return zeros.index_copy(0, places_T, hidden_TH), extended_B


def _inside_rows(windows_WM: Tensor, lengths_B: Tensor, height: int) -> Tensor:
    """Of all windows over the packed rows, those that do not reach into the next row."""
    ends_B = lengths_B.cumsum(0)
    start = torch.arange(len(windows_WM), device=windows_WM.device)
    end_of_row = torch.repeat_interleave(ends_B, lengths_B)[: len(windows_WM)]
    return windows_WM[start + height <= end_of_row]


def _maximum_over_time(maps_WM: Tensor, windows_B: Tensor) -> Tensor:
    """Maximum of nonnegative maps over each row's windows: W × M → B × M."""
    row_W = torch.repeat_interleave(torch.arange(len(windows_B), device=maps_WM.device), windows_B)
    place_W = torch.arange(len(row_W), device=maps_WM.device) - (windows_B.cumsum(0) - windows_B)[row_W]
    longest = int(windows_B.max())
    padded = maps_WM.new_zeros(len(windows_B) * longest, maps_WM.shape[1])
    padded = padded.index_copy(0, row_W * longest + place_W, maps_WM)
    return padded.view(len(windows_B), longest, -1).amax(1)


DECODERS = {"cnn": CNNDecoder, "linear": LinearDecoder}

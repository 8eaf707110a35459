"""The decoder: a CNN, or a linear layer on [CLS], with dropout whose masks can be given (Gal and Ghahramani 2016)."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.data.batches import HEIGHTS, LARGEST, Batch
from lib.protocol import Protocol

WORDS = 2**16  # a value is kept or dropped by a 16-bit random number: the rate is exact to 1/131,072


def drop(values: Tensor, rate: float) -> Tensor:
    """Each value is 0 with probability `rate`, else divided by 1 - rate.

    On a CPU from four 16-bit pieces of each 64-bit random number, where torch's own dropout takes a number for every
    value and most of its time to draw it.
    """
    if rate == 0 or values.device.type != "cpu":
        return F.dropout(values, rate)
    number = values.numel()
    random = torch.empty(-(-number // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = random[:number].view(values.shape) >= round(rate * WORDS) - WORDS // 2
    return values * kept.to(values.dtype).mul_(1 / (1 - rate))


class Dropout(nn.Dropout):
    """torch's module with the numbers of `drop`."""

    def forward(self, values: Tensor) -> Tensor:
        return drop(values, self.p) if self.training else values


class MCDropout(Dropout):
    """Dropout on the input of a layer, whose masks a stochastic pass is given."""

    def __init__(self, width: int, rate: float):
        super().__init__(rate)
        self.width = width

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """masks_SW: 0 with probability `rate`, else 1 / (1 - rate); float32 on the CPU."""
        kept = torch.rand(samples, self.width, generator=generator) >= self.p
        return kept.float() / (1 - self.p)


class ValueDropout(MCDropout):
    """Dropout of single values below a maximum over time.

    A stochastic pass need not drop each value: the maximum is the largest value that is kept, so the k-th largest with
    probability (1 - rate) rate ** (k - 1), whatever the row's length.
    """

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """masks_SW, W = width · 4: of each map's 4 largest values, 1 / (1 - rate) for the first that is kept."""
        kept = torch.rand(samples, self.width, LARGEST, generator=generator) >= self.p
        first = kept & (kept.cumsum(2) == 1)
        return first.flatten(1).float() / (1 - self.p)


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

    def estimate_norms(self, encoded: Iterable[tuple[Tensor, Batch]]) -> None:
        """It has none."""

    def forward(self, features_NF: Tensor) -> Tensor:
        return self.output(self.dropout(features_NF))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        weights_SCF = self.output.weight * masks["dropout"][:, None]
        return torch.einsum("nf,scf->snc", features_NF, weights_SCF) + self.output.bias


class CNNDecoder(nn.Module):
    """Kim (2014) over all hidden states of the last layer, as the paper's section 2.1 describes it.

    Filters of height 3, 4 and 5 → batch norm → ReLU → dropout → maximum over time → hidden layer → output layer, with
    dropout on the input of both layers. A window may reach over both ends of its row, where it finds zeros. In
    training, batch norm takes mean and variance from the windows of its batch; for predictions from those of all of T
    (`estimate_norms`). Why it is so: docs/decisions.md
    """

    def __init__(self, protocol: Protocol, width: int, num_labels: int):
        super().__init__()
        maps, total = protocol.maps, protocol.maps * len(HEIGHTS)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, maps, height) for height in HEIGHTS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(maps, momentum=0.0) for _ in HEIGHTS)
        self.value_dropout = ValueDropout(total, protocol.dropout)
        self.hidden_dropout = MCDropout(total, protocol.dropout)
        self.hidden = nn.Linear(total, protocol.hidden)
        self.output_dropout = MCDropout(protocol.hidden, protocol.dropout)
        self.output = nn.Linear(protocol.hidden, num_labels)
        every = ("value_dropout", "hidden_dropout", "output_dropout")
        self.mc_dropouts = every if protocol.mc_dropout == "decoder" else ("hidden_dropout",)
        self.largest = LARGEST if "value_dropout" in self.mc_dropouts else 1

    def stages(self) -> list[dict[str, nn.Module | None]]:
        """What happens to a row, step by step, names and modules (side by side if parallel): for Figure 1."""
        return [
            {f"convolution {height}": layer for height, layer in zip(HEIGHTS, self.convolutions, strict=True)},
            {"batch norm, ReLU": self.norms},
            {"dropout of values": self.value_dropout},
            {"maximum over time": None},
            {"dropout": self.hidden_dropout},
            {"hidden layer, ReLU": self.hidden},
            {"dropout": self.output_dropout},
            {"output layer": self.output},
        ]

    def features(self, hidden_TH: Tensor, batch: Batch) -> Tensor:
        """→ features_NF, the maximum of each feature map over the windows of each row.

        Where stochastic passes drop values below the maximum, F holds the largest few of each map, side by side.
        """
        features = []
        for height, norm, maps_WM in zip(HEIGHTS, self.norms, self.windows(hidden_TH, batch), strict=True):
            values_WM = self.value_dropout(F.relu(norm(maps_WM)))
            features.append(_largest(values_WM, batch, height, self.largest))
        return torch.cat(features, 1)

    def windows(self, hidden_TH: Tensor, batch: Batch) -> Iterator[Tensor]:
        """For each height: maps_WM of all windows that hold a token, row after row.

        A convolution is one product of every token with every tap of the filters, and sums of shifted products: equal
        to nn.Conv1d over each row with zeros around it, and the same operations whatever the lengths.
        """
        taps_XH = torch.cat([layer.weight.permute(2, 0, 1).flatten(0, 1) for layer in self.convolutions])
        spaced_PX = batch.spaced.spread(F.linear(hidden_TH, taps_XH))
        products_of = spaced_PX.split([layer.out_channels * layer.kernel_size[0] for layer in self.convolutions], 1)
        for height, layer, products_PX in zip(HEIGHTS, self.convolutions, products_of, strict=True):
            maps_PM = layer.bias
            for tap, products_PM in enumerate(products_PX.chunk(height, 1)):
                maps_PM = maps_PM + products_PM[tap : len(products_PM) - height + 1 + tap]
            yield batch.windows[height].collect(maps_PM)

    @torch.no_grad()
    def estimate_norms(self, encoded: Iterable[tuple[Tensor, Batch]]) -> None:
        """Batch norm's mean and variance for predictions: over all windows of these rows, in float64.

        Wu and Johnson (2021) call it precise batch norm. An average of the batches' would hold what the first steps of
        training have seen.
        """
        sums = [norm.running_mean.new_zeros(2, norm.num_features, dtype=torch.float64) for norm in self.norms]
        counts = [0] * len(self.norms)
        for hidden_TH, batch in encoded:
            for i, maps_WM in enumerate(self.windows(hidden_TH, batch)):
                maps_WM = maps_WM.double()
                sums[i] += torch.stack([maps_WM.sum(0), maps_WM.square().sum(0)])
                counts[i] += len(maps_WM)
        for norm, total, count in zip(self.norms, sums, counts, strict=True):
            mean, mean_of_squares = total / count
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(mean_of_squares - mean.square())

    def forward(self, features_NF: Tensor) -> Tensor:
        features_NF = self.hidden_dropout(features_NF[:, :: self.largest])
        return self.output(self.output_dropout(F.relu(self.hidden(features_NF))))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        mask_SF = masks["hidden_dropout"].repeat_interleave(self.largest, 1)
        if "value_dropout" in masks:
            mask_SF = mask_SF * masks["value_dropout"]
        # a mask on a layer's input is a mask on the columns of its weights: one product serves all passes
        weights_SHF = self.hidden.weight.repeat_interleave(self.largest, 1) * mask_SF[:, None]
        hidden_NSH = F.linear(features_NF, weights_SHF.flatten(0, 1)).unflatten(1, (len(mask_SF), -1))
        hidden_NSH = F.relu(hidden_NSH + self.hidden.bias)
        if "output_dropout" in masks:
            hidden_NSH = hidden_NSH * masks["output_dropout"]
        return self.output(hidden_NSH).transpose(0, 1)


def _largest(values_WM: Tensor, batch: Batch, height: int, number: int) -> Tensor:
    """The largest values of each map over each row's windows, in falling order: W × M → B × (M · number)."""
    if number == 1:
        return torch.segment_reduce(values_WM, "max", lengths=batch.lengths_B + height - 1, unsafe=True)
    padded = batch.columns[height].spread(values_WM).view(len(batch.lengths), -1, values_WM.shape[1])
    return padded.topk(number, 1).values.transpose(1, 2).flatten(1)


DECODERS = {"cnn": CNNDecoder, "linear": LinearDecoder}

"""Dropout: drawn for every value in training, or given as masks in a stochastic pass (Gal and Ghahramani 2016)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 4  # values of a map of which one is the maximum after dropout; a lower one is with probability rate ** 4
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


def replace_dropout(module: nn.Module) -> None:
    """Every nn.Dropout inside draws its numbers as `drop` does."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p))
        else:
            replace_dropout(child)

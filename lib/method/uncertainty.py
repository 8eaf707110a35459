"""Model uncertainty by Monte-Carlo dropout: the encoder once, then S stochastic passes of what follows it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.data.rows import Rows
from lib.method.model import Classifier
from lib.method.prefix import Prefix, encoded

ELEMENTS = {"cpu": 4_000_000, "cuda": 100_000_000}  # of the largest intermediate result of the stochastic passes
PASSES = 100  # whose masked weights are in memory at once


@torch.inference_mode()
def pool_features(classifier: Classifier, rows: Rows, numbers, prefix: Prefix | None = None) -> Tensor:
    """One deterministic pass up to the first MC dropout: features_NF of the rows `numbers`, in their order."""
    pieces, encoded_rows = [], []
    for some, hidden_TH, batch in encoded(classifier, rows, numbers, prefix):
        pieces.append(classifier.decoder.features(hidden_TH, batch))
        encoded_rows.append(some)
    place = np.empty(len(rows), np.int64)
    place[np.concatenate(encoded_rows)] = np.arange(len(numbers))
    features_NF = torch.cat(pieces)
    return features_NF[torch.from_numpy(place[np.asarray(numbers)]).to(features_NF.device)]


def draw_masks(classifier: Classifier, samples: int, seed: int) -> dict[str, Tensor]:
    """ω_1 … ω_S: masks_SW of every MC dropout of the decoder, from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    decoder = classifier.decoder
    device = next(decoder.parameters()).device
    return {name: getattr(decoder, name).draw(samples, generator).to(device) for name in decoder.mc_dropouts}


@torch.inference_mode()
def sample_log_probs(classifier: Classifier, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
    """log_probs_SNC of S stochastic passes, given the deterministic features of N rows.

    Pass s uses mask s for every row, so that no row's result depends on another row. float32 on the features'
    device; S, N and C are the numbers of masks, rows and classes.
    """
    pieces = zip(*(masks_SW.split(PASSES) for masks_SW in masks.values()), strict=True)
    some_passes = (dict(zip(masks, piece, strict=True)) for piece in pieces)
    logits_SNC = torch.cat([classifier.decoder.stochastic(features_NF, some) for some in some_passes])
    return F.log_softmax(logits_SNC, dim=-1)


@dataclass(frozen=True)
class View:
    """N rows as a trained classifier sees them, by position: what a strategy may look at when it picks a batch of U."""

    classifier: Classifier
    masks: dict[str, Tensor]  # ω_1 … ω_S
    features_NF: Tensor  # as `pool_features` gives them
    labels_N: np.ndarray | None = None  # of T; of U nobody knows them
    of_labelled: Callable[[], "View"] | None = None

    def log_probs(self, positions) -> Tensor:
        """log_probs_SMC of S stochastic passes over M of the rows."""
        features_MF = self.features_NF[torch.from_numpy(np.asarray(positions))]
        pieces = chunks(self.classifier, features_MF, samples_of(self.masks))
        return torch.cat([sample_log_probs(self.classifier, piece, self.masks) for piece in pieces], dim=1)

    @cached_property
    def labelled(self) -> "View":
        """T, in the order in which it was labelled. The encoder runs over it when it is first asked for."""
        return self.of_labelled()


def labelled_view(classifier: Classifier, masks, rows: Rows, numbers, prefix: Prefix | None = None) -> View:
    """T as the classifier sees it, with its labels. numbers: the rows of T."""
    return View(classifier, masks, pool_features(classifier, rows, numbers, prefix), rows.labels_N[numbers])


def samples_of(masks: dict[str, Tensor]) -> int:
    return len(next(iter(masks.values())))


@torch.inference_mode()
def predict_log_probs(classifier: Classifier, features_NF: Tensor) -> Tensor:
    """log_probs_NC of the deterministic classifier: no dropout."""
    return F.log_softmax(classifier.decoder(features_NF), dim=-1)


def chunks(classifier: Classifier, features_NF: Tensor, samples: int) -> tuple[Tensor, ...]:
    """features_NF cut so that S passes over one piece need a bounded amount of memory, whatever S and N."""
    widest = max(len(parameter) for parameter in classifier.decoder.parameters())
    return features_NF.split(max(1, ELEMENTS[features_NF.device.type] // (samples * widest)))

"""Model uncertainty by Monte-Carlo dropout: the encoder once, then S stochastic passes of what follows it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.model import Classifier
from lib.rows import Rows

TOKENS = {"cpu": 1024, "cuda": 32_768}  # in a batch: what stays in the CPU's cache, what fills a GPU
ELEMENTS = 4_000_000  # of the largest intermediate result of the stochastic passes


@dataclass(frozen=True)
class Prefix:
    """Outputs of the frozen layers [0, F) for all of some rows: they are the same in every round of a run."""

    rows: Rows
    offset: int  # of the first row's first token in the flat arrays of all rows
    hidden_TH: Tensor
    first: int  # F, the layer that reads them

    def places(self, numbers: np.ndarray) -> Tensor:
        """Where the tokens of these rows are in hidden_TH."""
        return torch.from_numpy(self.rows.flat_index(numbers) - self.offset).to(self.hidden_TH.device)

    def of(self, numbers: np.ndarray) -> Tensor:
        return self.hidden_TH[self.places(numbers)]


@torch.inference_mode()
def frozen_prefix(classifier: Classifier, rows: Rows, numbers, frozen: int) -> Prefix | None:
    """Run layers [0, F) over the rows `numbers`, an ascending range, once. None if F ≤ 0: no output stays the same."""
    if frozen <= 0:
        return None
    device = next(classifier.parameters()).device
    first_token, end = rows.offsets[numbers[0]], rows.offsets[numbers[-1] + 1]
    hidden_TH = torch.empty(end - first_token, classifier.encoder.width, device=device)
    prefix = Prefix(rows, int(first_token), hidden_TH, frozen)
    for some in rows.token_batches(numbers, TOKENS[device.type]):
        batch = rows.batch(some, device)
        hidden = classifier.encoder.run_layers(classifier.encoder.embed(batch), batch, 0, frozen)
        hidden_TH[prefix.places(some)] = hidden
    return prefix


@torch.inference_mode()
def pool_features(classifier: Classifier, rows: Rows, numbers, prefix: Prefix | None = None) -> Tensor:
    """One deterministic pass up to the first MC dropout: features_NF of the rows `numbers`, in their order."""
    device = next(classifier.parameters()).device
    numbers = np.asarray(numbers)
    place = np.empty(len(rows), np.int64)
    place[numbers] = np.arange(len(numbers))
    features_NF = None
    for some in rows.token_batches(numbers, TOKENS[device.type]):
        batch = rows.batch(some, device)
        start = (prefix.of(some), prefix.first) if prefix else ()
        features = classifier.features(batch, *start)
        if features_NF is None:
            features_NF = features.new_empty(len(numbers), features.shape[1])
        features_NF[torch.from_numpy(place[some]).to(device)] = features
    return features_NF


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
    return F.log_softmax(classifier.decoder.stochastic(features_NF, masks), dim=-1)


@torch.inference_mode()
def predict_log_probs(classifier: Classifier, features_NF: Tensor) -> Tensor:
    """log_probs_NC of the deterministic classifier: no dropout."""
    return F.log_softmax(classifier.decoder(features_NF), dim=-1)


def chunks(classifier: Classifier, features_NF: Tensor, samples: int) -> tuple[Tensor, ...]:
    """features_NF cut so that S passes over one piece need a bounded amount of memory, whatever S and N."""
    widest = max(len(parameter) for parameter in classifier.decoder.parameters())
    return features_NF.split(max(1, ELEMENTS // (samples * widest)))

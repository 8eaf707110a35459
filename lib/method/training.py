"""Fine-tuning: θ_0 → θ_3, three epochs over the labelled rows T."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lib.data.rows import Rows
from lib.method.model import Classifier, frozen_parts
from lib.method.prefix import Prefix, encoded
from lib.protocol import Protocol


def train(
    classifier: Classifier, rows: Rows, labelled, protocol: Protocol, round_: int, prefix: Prefix | None = None
) -> list[float]:
    """Train in place on the rows numbered `labelled`; returns the loss of every step.

    prefix: outputs of the frozen layers for these rows, if they are there; unused with frozen_dropout="on", which
    makes them differ from step to step.

    AdamW with a linear warm-up and a linear decay, separate learning rates for encoder and decoder, cross-entropy.
    The order of rows and the dropout come from streams of the run's seed and this round. At the end batch norm's
    statistics are taken from all of T.
    """
    device = next(classifier.parameters()).device
    batches = list(epoch_batches(labelled, protocol, round_))
    with used_embeddings(classifier, rows, labelled) as known, seeded(protocol.torch_seed("dropout", round_), device):
        losses = take_steps(classifier, known, batches, protocol, device, prefix)
    with torch.inference_mode():
        classifier.decoder.estimate_norms(
            (hidden_TH, batch) for _, hidden_TH, batch in encoded(classifier, rows, labelled, prefix)
        )
    return losses


def take_steps(classifier: Classifier, rows: Rows, batches, protocol: Protocol, device, prefix) -> list[float]:
    """One step of the optimiser for each batch; the loss of each."""
    optimizer = build_optimizer(classifier, protocol)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_then_decay(len(batches), protocol.warmup))
    trained = [p for p in classifier.parameters() if p.requires_grad]
    losses = []
    classifier.train()
    if protocol.frozen_dropout == "off":
        for part in frozen_parts(classifier.encoder, protocol.frozen):
            part.eval()
    else:
        prefix = None
    for numbers in batches:
        batch = rows.batch(numbers, device, prefix and prefix.starts_N)
        logits_NC = classifier(batch, *(prefix.of(batch) if prefix else ()))
        loss = F.cross_entropy(logits_NC, batch.labels_B)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, protocol.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    classifier.eval()
    losses = torch.stack(losses).tolist()
    if not all(map(math.isfinite, losses)):
        step = next(step for step, loss in enumerate(losses) if not math.isfinite(loss))
        raise FloatingPointError(
            f"training diverged: the loss of step {step} of {len(losses)} is {losses[step]}; lower "
            f"encoder_lr={protocol.encoder_lr} or decoder_lr={protocol.decoder_lr}"
        )
    return losses


def epoch_batches(labelled, protocol: Protocol, round_: int) -> Iterator[np.ndarray]:
    """The batches of all epochs: in each, every labelled row once, in a new order."""
    rng = protocol.generator("order", round_)
    for _ in range(protocol.epochs):
        order = rng.permutation(np.asarray(labelled))
        yield from np.array_split(order, math.ceil(len(order) / protocol.batch_size))


def build_optimizer(classifier: Classifier, protocol: Protocol) -> torch.optim.AdamW:
    """AdamW over what is not frozen, with the learning rates of encoder and decoder.

    Weight decay is for the matrices of layers: not for biases, norms and embeddings, so that the embedding of a word
    that does not occur in T stays what it was.
    """
    groups = []
    for part, lr in ((classifier.encoder, protocol.encoder_lr), (classifier.decoder, protocol.decoder_lr)):
        named = [(name, p) for name, p in part.named_parameters() if p.requires_grad]
        decayed = [p for name, p in named if p.ndim > 1 and "embeddings" not in name]
        others = [p for name, p in named if p.ndim == 1 or "embeddings" in name]
        groups.append({"params": decayed, "lr": lr, "weight_decay": protocol.weight_decay})
        groups.append({"params": others, "lr": lr, "weight_decay": 0.0})
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=True)


def warmup_then_decay(steps: int, warmup: float):
    """Factor of the learning rate at each step: up to 1 over the first share `warmup`, then down to 0."""
    rising = max(1, round(steps * warmup))
    return lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising))


@contextmanager
def used_embeddings(classifier: Classifier, rows: Rows, labelled):
    """Train only the word embeddings that occur in the labelled rows; yields the rows renumbered to match.

    The others have no gradient and no weight decay, so that the result is the same. The optimiser, which would spend
    most of its time on them, does not see them.
    """
    table = classifier.encoder.bert.embeddings.word_embeddings
    whole = table.weight
    used = np.unique(rows.tokens_T[rows.flat_index(np.asarray(labelled))])
    number = np.zeros(len(whole), np.int32)
    number[used] = np.arange(len(used))
    used = torch.from_numpy(used).to(whole.device).long()
    table.weight = nn.Parameter(whole.detach()[used], requires_grad=whole.requires_grad)
    try:
        yield dataclasses.replace(rows, tokens_T=number[rows.tokens_T])
    finally:
        whole.data[used] = table.weight.data
        table.weight = whole


@contextmanager
def seeded(seed: int, device: torch.device):
    """Torch's random numbers come from `seed` inside the block; what was before is restored after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield

"""Pool-based active learning: train on T, evaluate, score U, acquire Q rows, again."""

import copy
import os
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from lib import acquisition, results, uncertainty
from lib.model import Classifier, build_classifier
from lib.parameter_change import mean_absolute_difference, snapshot
from lib.protocol import Protocol, StudyError
from lib.tasks import Rows, Task, load_task
from lib.training import train

SAMPLES = (5, 10, 20, 50, 100, 200, 500, 1000)  # the S whose picks are compared, once in a run


def run(protocol: Protocol, store=results.STORE) -> pd.DataFrame:
    """Compute one run, or what is left of it, and return its rounds as `results.load("rounds", …)` does.

    Each round is in the store before the next begins: a run that was killed goes on from its last finished round.
    """
    record = results.Run(protocol, Path(store))
    if not record.done:
        with record.locked(), settled(protocol):
            if not record.done:  # another process may have finished it while this one waited
                compute(protocol, record)
    return results.load("rounds", [protocol], store)


def compute(protocol: Protocol, record: results.Run) -> None:
    """The loop of active learning."""
    task = load_task(protocol.task, protocol.hub, protocol.encoder, protocol.max_length)
    labelled, pool = split_rows(protocol, task)
    evaluated = np.arange(len(task.validation))[: protocol.validation_rows or None]
    theta_0 = build_classifier(protocol, task.num_labels).to(device())
    record.begin()
    pool_prefix = uncertainty.frozen_prefix(theta_0, task.train, pool, protocol.frozen)
    validation_prefix = uncertainty.frozen_prefix(theta_0, task.validation, evaluated, protocol.frozen)

    classifier = copy.deepcopy(theta_0)
    for round_ in range(protocol.rounds + 1):
        finished = record.read_round(round_)
        if protocol.restart == "cold":
            classifier = copy.deepcopy(theta_0)
        clock = Clock()
        if not finished or protocol.restart == "warm":
            losses = train(classifier, task.train, labelled, protocol, round_)
        clock("training")
        if not finished:
            layers = mean_absolute_difference(snapshot(theta_0), snapshot(classifier))
            masks = draw_masks(classifier, protocol, protocol.samples, "masks", round_) if protocol.scores else {}
            validation, metrics = evaluate(classifier, task.validation, evaluated, validation_prefix, masks)
            clock("evaluation")
            features_NF, picked, scores, health, examined = None, [], None, {}, {}
            if protocol.scores and round_ < protocol.rounds:
                features_NF = uncertainty.pool_features(classifier, task.train, pool, pool_prefix)
            clock("encoding")
            if round_ < protocol.rounds:
                picked, scores, health = acquire(classifier, features_NF, masks, pool, protocol, round_)
            clock("acquisition")
            if protocol.strategy == "bald" and round_ == protocol.rounds - 1:
                examined = examine(classifier, features_NF, task.train, pool, protocol)
            clock("examination")
            finished = {
                "round": round_,
                "labelled": len(labelled),
                "class_counts": np.bincount(task.train.labels_N[labelled], minlength=task.num_labels).tolist(),
                **metrics,
                "training_loss": float(np.mean(losses[-len(losses) // protocol.epochs :])),
                "health": health,
                "examined": examined,
                "picked": [int(row) for row in picked],
            }
            tables = {"layers": layers, "validation": validation} | ({} if scores is None else {"pool": scores})
            record.write_round(round_, finished, clock.seconds, **tables)
        labelled = np.concatenate([labelled, finished["picked"]]).astype(np.int64)
        pool = np.setdiff1d(pool, labelled)
    record.finish()


def split_rows(protocol: Protocol, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """T = S_start, the first rows, and U. Raises StudyError if the task has too few rows for the protocol."""
    whole = protocol.strategy == "random" and protocol.random_pool == "train"
    end = len(task.train) if whole else min(protocol.pool, len(task.train))
    needed = protocol.start + protocol.rounds * protocol.query
    if needed > end:
        raise StudyError(
            f"start={protocol.start} + rounds={protocol.rounds} × query={protocol.query} needs {needed} rows, but "
            f"{task.name} has {end} of {len(task.train)} training rows in reach: lower start, query or rounds"
        )
    return np.arange(protocol.start), np.arange(protocol.start, end)


def draw_masks(classifier: Classifier, protocol: Protocol, samples: int, stream: str, number: int) -> dict:
    """ω_1 … ω_S from a stream of the run; nothing is dropped if mc_dropout is off, so that all ω are the same."""
    masks = uncertainty.draw_masks(classifier, samples, protocol.torch_seed(stream, number))
    return {name: torch.ones_like(mask) for name, mask in masks.items()} if protocol.mc_dropout == "off" else masks


def evaluate(classifier: Classifier, rows: Rows, numbers, prefix, masks) -> tuple[pd.DataFrame, dict]:
    """Accuracy and mean cross-entropy of the deterministic classifier, and its prediction for every row.

    With masks also the mean prediction over the passes and its BALD.
    """
    features_NF = uncertainty.pool_features(classifier, rows, numbers, prefix)
    log_probs_NC = uncertainty.predict_log_probs(classifier, features_NF).cpu()
    labels_N = torch.from_numpy(rows.labels_N[numbers])
    predictions_N = log_probs_NC.argmax(1)
    table = pd.DataFrame({"row": numbers.astype(np.int32), "label": rows.labels_N[numbers].astype(np.int8)})
    for c in range(log_probs_NC.shape[1]):
        table[f"log_prob_{c}"] = log_probs_NC[:, c].numpy()
    if masks:
        scored = score(classifier, features_NF, masks, "bald")
        for c, mean_N in enumerate(scored["mean_log_probs"].T):
            table[f"mean_log_prob_{c}"] = mean_N.astype(np.float32)
        table["bald"] = scored["bald"].astype(np.float32)
    metrics = {
        "accuracy": float((predictions_N == labels_N).double().mean()),
        "loss": float(F.nll_loss(log_probs_NC.double(), labels_N)),
    }
    return table, metrics


def score(classifier: Classifier, features_NF, masks, strategy: str) -> dict[str, np.ndarray]:
    """What S stochastic passes say about each of N rows, a chunk of rows at a time."""
    scored = []
    for features in uncertainty.chunks(classifier, features_NF, number_of(masks)):
        log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        columns = {
            "score": acquisition.STRATEGIES[strategy](log_probs_SNC),
            "bald": acquisition.bald(log_probs_SNC),
            "raw_bald": acquisition.mutual_information(log_probs_SNC),
            "entropy": acquisition.predictive_entropy(log_probs_SNC),
            "spread": (log_probs_SNC - log_probs_SNC[0]).abs().amax((0, 2)),
            "mean_log_probs": acquisition.mean_log_probs(log_probs_SNC),
        }
        scored.append({name: column.cpu().numpy() for name, column in columns.items()})
    return {name: np.concatenate([piece[name] for piece in scored]) for name in scored[0]}


def number_of(masks: dict) -> int:
    return len(next(iter(masks.values())))


def acquire(classifier: Classifier, features_NF, masks, pool, protocol: Protocol, round_: int):
    """Q rows of the pool, best first; the scores of all pool rows; and the health of the scores."""
    rng = protocol.generator("picks", round_)
    if protocol.strategy == "random":
        scores_N = acquisition.random(len(pool), protocol.generator("random", round_))
        return pool[acquisition.highest(scores_N, protocol.query, rng)], None, {}

    def log_probs_of(positions) -> torch.Tensor:
        pieces = uncertainty.chunks(classifier, features_NF[torch.from_numpy(positions)], protocol.samples)
        return torch.cat([uncertainty.sample_log_probs(classifier, piece, masks) for piece in pieces], dim=1)

    scored = score(classifier, features_NF, masks, protocol.strategy)
    picked = pool[acquisition.pick(protocol.strategy, scored["score"], protocol.query, rng, log_probs_of)]
    health = acquisition.health(scored["score"], protocol.query)
    health |= {
        "smallest_raw_bald": float(scored["raw_bald"].min()),
        "passes_differ": bool(scored["spread"].any()),
    }
    table = pd.DataFrame(
        {
            "row": pool.astype(np.int32),
            "score": scored["score"].astype(np.float32),
            "bald": scored["bald"].astype(np.float32),
            "entropy": scored["entropy"].astype(np.float32),
            "prediction": scored["mean_log_probs"].argmax(1).astype(np.int8),
        }
    )
    return picked, table, health


def examine(classifier: Classifier, features_NF, rows: Rows, pool, protocol: Protocol) -> dict:
    """What decides neither picks nor training: is one pass of the encoder enough, and are S passes of the decoder?

    encoder_difference: largest difference between two passes of the encoder over the same rows. samples: for each S
    the share of the Q highest rows that two draws of the masks have in common, and that one draw of S has in common
    with the largest S of the other draw.
    """
    some = pool[:16]
    once, again = (uncertainty.pool_features(classifier, rows, some) for _ in range(2))
    tops = [highest_rows(classifier, features_NF, protocol, draw) for draw in range(2)]
    share = [
        {
            "samples": samples,
            "between_draws": overlap(tops[0][samples], tops[1][samples]),
            "with_largest": overlap(tops[0][samples], tops[1][SAMPLES[-1]]),
        }
        for samples in SAMPLES
    ]
    return {"encoder_difference": float((once - again).abs().max()), "samples": share}


def highest_rows(classifier: Classifier, features_NF, protocol: Protocol, draw: int) -> dict[int, set]:
    """For each S in SAMPLES, the rows with the Q highest BALD scores over the first S of one draw of masks."""
    masks = draw_masks(classifier, protocol, SAMPLES[-1], "stability", draw)
    scores = {samples: [] for samples in SAMPLES}
    for features in uncertainty.chunks(classifier, features_NF, SAMPLES[-1]):
        log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        for samples in SAMPLES:
            scores[samples].append(acquisition.bald(log_probs_SNC[:samples]).cpu())
    rng = protocol.generator("stability", 2 + draw)
    return {S: set(acquisition.highest(torch.cat(s), protocol.query, rng).tolist()) for S, s in scores.items()}


def overlap(a: set, b: set) -> float:
    return len(a & b) / len(a)


class Clock:
    """Seconds since the last call, by name."""

    def __init__(self):
        self.seconds, self.last = {}, time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self.last = round(now - self.last, 3), now


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def settled(protocol: Protocol):
    """The run's number of threads and, on a GPU, deterministic algorithms; what was before is restored after it."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(protocol.threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)

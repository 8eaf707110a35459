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
            validation, metrics = evaluate(classifier, task.validation, evaluated, validation_prefix)
            clock("evaluation")
            acquiring = round_ < protocol.rounds
            picked, scores, health = (
                acquire(classifier, task.train, pool, protocol, round_, pool_prefix) if acquiring else ([], None, {})
            )
            clock("acquisition")
            finished = {
                "round": round_,
                "labelled": len(labelled),
                "class_counts": np.bincount(task.train.labels_N[labelled], minlength=task.num_labels).tolist(),
                **metrics,
                "training_loss": float(np.mean(losses[-len(losses) // protocol.epochs :])),
                "health": health,
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


def evaluate(classifier: Classifier, rows: Rows, numbers, prefix) -> tuple[pd.DataFrame, dict]:
    """Accuracy and mean cross-entropy of the deterministic classifier, and its prediction for every row."""
    features_NF = uncertainty.pool_features(classifier, rows, numbers, prefix)
    log_probs_NC = uncertainty.predict_log_probs(classifier, features_NF).cpu()
    labels_N = torch.from_numpy(rows.labels_N[numbers])
    predictions_N = log_probs_NC.argmax(1)
    table = pd.DataFrame({"row": numbers.astype(np.int32), "label": rows.labels_N[numbers].astype(np.int8)})
    for c in range(log_probs_NC.shape[1]):
        table[f"log_prob_{c}"] = log_probs_NC[:, c].numpy()
    metrics = {
        "accuracy": float((predictions_N == labels_N).double().mean()),
        "loss": float(F.nll_loss(log_probs_NC.double(), labels_N)),
    }
    return table, metrics


def acquire(classifier: Classifier, rows: Rows, pool, protocol: Protocol, round_: int, prefix):
    """Q rows of the pool, best first; the scores of all pool rows; and the health of the scores."""
    ties = protocol.generator("ties", round_)
    if protocol.strategy == "random":
        scores_N = acquisition.random(len(pool), protocol.generator("random", round_))
        return pool[acquisition.highest(scores_N, protocol.query, ties)], None, {}
    features_NF = uncertainty.pool_features(classifier, rows, pool, prefix)
    masks = uncertainty.draw_masks(classifier, protocol.samples, protocol.torch_seed("masks", round_))
    strategy = acquisition.STRATEGIES[protocol.strategy]
    scored = []
    for features in uncertainty.chunks(classifier, features_NF, protocol.samples):
        log_probs_SNC = uncertainty.sample_log_probs(classifier, features, masks)
        columns = {
            "score": strategy(log_probs_SNC),
            "raw_bald": acquisition.mutual_information(log_probs_SNC),
            "entropy": acquisition.predictive_entropy(log_probs_SNC),
            "spread": (log_probs_SNC - log_probs_SNC[0]).abs().amax((0, 2)),
            "prediction": acquisition.mean_log_probs(log_probs_SNC).argmax(1),
        }
        scored.append({name: column.cpu().numpy() for name, column in columns.items()})
    columns = {name: np.concatenate([piece[name] for piece in scored]) for name in scored[0]}
    picked = pool[acquisition.highest(columns["score"], protocol.query, ties)]
    health = acquisition.health(columns["score"], protocol.query)
    health |= {
        "smallest_raw_bald": float(columns["raw_bald"].min()),
        "passes_differ": bool(columns["spread"].any()),
    }
    table = pd.DataFrame(
        {
            "row": pool.astype(np.int32),
            "score": columns["score"].astype(np.float32),
            "bald": columns["raw_bald"].clip(0).astype(np.float32),
            "entropy": columns["entropy"].astype(np.float32),
            "prediction": columns["prediction"].astype(np.int8),
        }
    )
    return picked, table, health


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

"""Pool-based active learning: train on T, evaluate, score U, acquire Q rows, again."""

import copy
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from lib.data.tasks import Task, load_task
from lib.errors import StudyError
from lib.method import gpus, scoring, uncertainty
from lib.method.model import Classifier, build_classifier
from lib.method.parameter_change import mean_absolute_difference, snapshot
from lib.method.prefix import frozen_prefix
from lib.method.training import train
from lib.protocol import Protocol


@dataclass(frozen=True)
class Round:
    """What a round leaves: its record, the seconds that its parts took, and its tables by kind."""

    number: int
    record: dict
    timings: dict[str, float]
    tables: dict[str, pd.DataFrame]


def prepare(protocol: Protocol) -> tuple[Task, Classifier]:
    """The rows and θ_0. Raises StudyError if they do not go together with the protocol."""
    task = load_task(protocol.task, protocol.hub, protocol.encoder, protocol.max_length, protocol.rows)
    split_rows(protocol, task)
    classifier = build_classifier(protocol, task.num_labels)
    known = len(classifier.encoder.bert.embeddings.word_embeddings.weight)
    largest = max(int(rows.tokens_T.max()) for rows in (task.train, task.validation))
    if largest >= known:
        raise StudyError(
            f"encoder={protocol.encoder!r}: its tokenizer gives token {largest}, but it embeds {known}: give a "
            "checkpoint with its own tokenizer"
        )
    return task, classifier.to(device())


def rounds(protocol: Protocol, task: Task, theta_0: Classifier, finished: Sequence[dict] = ()) -> Iterator[Round]:
    """The loop of active learning: each round as it is computed.

    finished: records of the first rounds, which are not computed again.
    """
    labelled, pool = split_rows(protocol, task)
    evaluated = evaluated_rows(protocol, task)
    validation_prefix = frozen_prefix(theta_0, task.validation, evaluated, protocol.frozen)
    whole_prefix = None  # of all rows that will be scored; a run that scores none needs its labelled rows alone
    if protocol.scores:
        whole_prefix = frozen_prefix(theta_0, task.train, np.concatenate([labelled, pool]), protocol.frozen)

    classifier = copy.deepcopy(theta_0)
    for round_ in range(protocol.rounds + 1):
        record = finished[round_] if round_ < len(finished) else None
        if protocol.restart == "cold":
            classifier = copy.deepcopy(theta_0)
        clock = Clock()
        if not record or protocol.restart == "warm":
            prefix = whole_prefix or frozen_prefix(theta_0, task.train, labelled, protocol.frozen)
            losses = train(classifier, task.train, labelled, protocol, round_, prefix)
        clock("training")
        if not record:
            layers = mean_absolute_difference(snapshot(theta_0), snapshot(classifier))
            masks = scoring.round_masks(classifier, protocol, round_)
            validation, metrics = scoring.evaluate(classifier, task.validation, evaluated, validation_prefix, masks)
            clock("evaluation")
            features_NF, picked, scores, health, examined = None, [], {}, {}, {}
            if protocol.scores and round_ < protocol.rounds:
                features_NF = uncertainty.pool_features(classifier, task.train, pool, whole_prefix)
            clock("encoding")
            if round_ < protocol.rounds:
                of_labelled = partial(uncertainty.labelled_view, classifier, masks, task.train, labelled, whole_prefix)
                view = uncertainty.View(classifier, masks, features_NF, of_labelled=of_labelled)
                picked, scores, health = scoring.acquire(view, pool, protocol, round_)
            clock("acquisition")
            if protocol.strategy == "bald" and round_ == protocol.rounds - 1:
                examined = scoring.examine(classifier, features_NF, task.train, pool, protocol)
            clock("examination")
            record = {
                "round": round_,
                "labelled": len(labelled),
                "class_counts": np.bincount(task.train.labels_N[labelled], minlength=task.num_labels).tolist(),
                "pool_counts": np.bincount(task.train.labels_N[pool], minlength=task.num_labels).tolist(),
                **metrics,
                "training_loss": float(np.mean(losses[-len(losses) // protocol.epochs :])),
                "health": health,
                "lengths": scoring.lengths(task.train, pool, picked, scores),
                "examined": examined,
                "picked": [int(row) for row in picked],
            }
            yield Round(round_, record, clock.seconds, {"layers": layers, "validation": validation, **scores})
        labelled = np.concatenate([labelled, record["picked"]]).astype(np.int64)
        pool = np.setdiff1d(pool, labelled)


def split_rows(protocol: Protocol, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """T = S_start and U, in the run's order of the rows. Raises StudyError if the task has too few for the protocol."""
    end = protocol.reach(len(task.train))
    needed = protocol.start + protocol.rounds * protocol.query
    if needed > end:
        raise StudyError(
            f"start={protocol.start} + rounds={protocol.rounds} × query={protocol.query} needs {needed} rows, but "
            f"{task.name} has {end} of {len(task.train)} training rows in reach: lower start, query or rounds"
        )
    order = protocol.order(len(task.train), "train")
    return order[: protocol.start], np.sort(order[protocol.start : end])


def evaluated_rows(protocol: Protocol, task: Task) -> np.ndarray:
    """The validation rows on which the run is evaluated."""
    return np.sort(protocol.order(len(task.validation), "validation")[: protocol.validation_rows or None])


class Clock:
    """Seconds since the last call, by name; a GPU has done by then what it was given."""

    def __init__(self):
        gpus.wait()
        self.seconds, self.last = {}, time.perf_counter()

    def __call__(self, name: str) -> None:
        gpus.wait()
        now = time.perf_counter()
        self.seconds[name], self.last = round(now - self.last, 3), now


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def settled(protocol: Protocol):
    """The run's number of threads and, on a GPU, algorithms that give the same bits; restored after it.

    Strict, not a warning: with a warning alone, the backward pass of attention is not deterministic.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(protocol.threads)
    try:
        with deterministic() if torch.cuda.is_available() else nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def deterministic():
    """torch's deterministic algorithms or an error, no TensorFloat-32, no filling of new tensors; restored after it."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    chosen, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills, rounds = torch.utils.deterministic.fill_uninitialized_memory, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would fill every tensor before it is computed
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(chosen, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = fills
        torch.backends.cudnn.allow_tf32 = rounds

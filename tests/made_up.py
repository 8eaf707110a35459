"""Made-up finished runs, without a model: tables of the shape and spread of real ones, to be published and read."""

import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data.tasks import training_rows
from lib.protocol import COMPUTING, LOCATIONS, Protocol
from lib.runs.results import Run

CLASSES = {"sst2": 2, "qnli": 2, "mnli": 3, "snli": 3, "trec": 6}
ORIGIN = {
    "commit": "0" * 40,
    "locations": {"encoder": "all-MiniLM-L6-v2", "hub": "", "rows": "study"},
    "precision": "float32",
    "processor": "made up, avx2",
    "python": "3.11.7",
    "threads": 1,
    "versions": {"torch": "2.13.0"},
}


@dataclass(frozen=True)
class MadeUp:
    """What lib.runs.packing asks of a run. features: of a row; validation: rows, if the protocol does not say."""

    protocol: Protocol
    features: int = 192
    validation: int = 2000

    @cached_property
    def run(self) -> Run:
        """Whose key it has: that of a task in lib/data/subsets needs no rows."""
        return Run(self.protocol, Path("made up"))

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def entry(self) -> dict:
        left_out = LOCATIONS + COMPUTING
        fields = {name: value for name, value in vars(self.protocol).items() if name not in left_out}
        return {"key": self.run.key, "identity": self.run.identity, "fields": fields, "provenance": ORIGIN}

    def table(self, kind: str) -> pd.DataFrame:
        rng = self._rng
        frames = [getattr(self, f"_{kind}")(round_, rng) for round_ in range(self.protocol.rounds + 1)]
        some = [frame.assign(round=k) for k, frame in enumerate(frames) if len(frame)]  # none would make rows floats
        return pd.concat(some, ignore_index=True) if some else pd.DataFrame()

    @property
    def _rng(self) -> np.random.Generator:
        """As it is before the first table."""
        return np.random.default_rng(int(self.run.key[:8], 16))

    @property
    def classes(self) -> int:
        return CLASSES[self.protocol.task]

    @property
    def pool(self) -> int:
        """Rows of T and U together: those that the protocol takes, as far as the task has them."""
        return min(self.protocol.pool, training_rows([self.protocol])[self.protocol.task])

    def _counts(self, rows: int, rng: np.random.Generator) -> list[int]:
        return rng.multinomial(rows, np.ones(self.classes) / self.classes).tolist()

    @property
    def _first_accuracy(self) -> float:
        """The same for all runs that begin with the same rows and weights."""
        p = self.protocol
        return random.Random(f"{p.task} {p.start} {p.seed} {p.decoder} {p.frozen}").random()

    def _rounds(self, round_: int, rng) -> pd.DataFrame:
        p = self.protocol
        labelled = p.start + round_ * p.query
        order = self._rng.permutation(np.arange(p.start, self.pool))  # no row is picked twice
        picked = order[round_ * p.query :][: p.query].tolist() if round_ < p.rounds else []
        shared = [{"samples": S, "between_draws": rng.random(), "with_largest": rng.random()} for S in (5, 50, 1000)]
        health = {"gap_at_rank_query": rng.random(), "ties_at_rank_query": 1, "passes_differ": True}
        record = {
            "accuracy": self._first_accuracy if round_ == 0 else rng.random(),
            "class_counts": self._counts(labelled, rng if round_ else np.random.default_rng(labelled)),
            "examined": {"encoder_difference": 0.0, "samples": shared} if round_ == p.rounds - 1 else {},
            "health": health if self.scored(round_) else {},
            "labelled": labelled,
            "lengths": {"pool": 13.0, "picked": rng.random(), "rho": rng.random()} if picked else {},
            "loss": rng.random(),
            "majority": 1 / self.classes,
            "picked": picked,
            "pool_counts": self._counts(max(self.pool - labelled, 0), rng),
            "training_loss": rng.random(),
        }
        return pd.DataFrame([record])

    def _timings(self, round_: int, rng) -> pd.DataFrame:
        names = ("training", "evaluation", "encoding", "acquisition", "examination")
        return pd.DataFrame([{name: round(100 * rng.random(), 3) for name in names}])

    def _layers(self, round_: int, rng) -> pd.DataFrame:
        names = ["embeddings", *(f"encoder {n}" for n in range(6)), *("c3", "c4", "c5", "norms", "hid", "out")]
        table = pd.DataFrame({"layer": names, "number": pd.array([None, *range(12)], "Int64"), "part": "encoder"})
        return table.assign(parameters=1000, mean=rng.random(13), variance=rng.random(13))

    def _validation(self, round_: int, rng) -> pd.DataFrame:
        shape = (self.protocol.validation_rows or self.validation, self.classes)
        log_probs = {start: _log_softmax(2 * rng.normal(size=shape)) for start in ("log_prob_", "mean_log_prob_")}
        labels = np.random.default_rng(1).integers(self.classes, size=shape[0])  # the same in all rounds
        table = pd.DataFrame({"row": np.arange(shape[0], dtype=np.int32), "label": labels.astype(np.int8)})
        for start, values in log_probs.items():
            if start == "log_prob_" or self.protocol.scores:
                table = table.join(pd.DataFrame({f"{start}{c}": values[:, c] for c in range(self.classes)}))
        if self.protocol.scores:
            table["bald"] = (0.1 * rng.random(shape[0])).astype(np.float32)
        return table.assign(prediction=log_probs["log_prob_"].argmax(1).astype(np.int8))

    def scored(self, round_: int) -> bool:
        return self.protocol.scores and round_ < self.protocol.rounds

    def _pool(self, round_: int, rng) -> pd.DataFrame:
        if not self.scored(round_):
            return pd.DataFrame()
        rows = np.arange(self.protocol.start + round_ * self.protocol.query, self.pool, dtype=np.int32)
        noise = self.protocol.strategy == "unguarded_bald"
        bald = np.zeros(len(rows)) if noise else np.exp(rng.normal(-4, 1, len(rows))).clip(0, np.log(2))
        score = rng.normal(0, 4, len(rows)).round() * 2.0**-25 if noise else bald
        table = {"row": rows, "score": score, "bald": bald, "entropy": (bald + rng.random(len(rows)) / 3)}
        table = {name: values.astype(np.int32 if name == "row" else np.float32) for name, values in table.items()}
        return pd.DataFrame({**table, "prediction": rng.integers(self.classes, size=len(rows)).astype(np.int8)})

    def _samples(self, round_: int, rng) -> pd.DataFrame:
        if not self.scored(round_):
            return pd.DataFrame()
        p = self.protocol
        rows = np.sort(rng.choice(np.arange(p.start, self.pool, dtype=np.int32), 3 * p.query, replace=False))
        probabilities = rng.dirichlet(np.ones(self.classes), (len(rows), p.samples))[..., :-1].reshape(len(rows), -1)
        features = rng.normal(1, 2, (len(rows), self.features)).clip(0)
        return pd.DataFrame(
            {
                "row": rows,
                "probabilities": list(probabilities.astype(np.float16)),
                "features": list(features.astype(np.float16)),
            }
        )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)

"""The runs of one task that the store has, as the claims need them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lib.analysis import qualitative
from lib.data.tasks import Texts, labels_of, training_rows
from lib.protocol import Profile, Protocol
from lib.runs import results

DECODERS = ("BALD", "linear decoder")  # settings of notebook 06


class NoRuns(Exception):
    """The store does not have what a claim rests on."""


@dataclass(frozen=True)
class Evidence:
    """The runs of one task that the store has, as the claims need them. Raises NoRuns for what it does not have."""

    study: Profile
    task: str
    runs: int
    store: Path
    changes: dict  # encoder, hub and rows
    texts: Texts | None  # None: they are not here

    def load(self, table: str, protocols: list[Protocol]) -> pd.DataFrame:
        finished = [p for p in protocols if p.task == self.task and results.Run(p, self.store).done]
        loaded = results.load(table, finished, self.store)
        if not len(loaded):
            raise NoRuns
        return loaded

    def grid(self, **settings) -> list[Protocol]:
        return self.study.grid(tasks=(self.task,), runs=self.runs, **settings, **self.changes)

    @cached_property
    def data_sizes(self) -> list[Protocol]:
        return self.study.data_sizes(training_rows(self.main), runs=self.runs, **self.changes)

    @cached_property
    def frozen(self) -> list[Protocol]:
        return self.grid(frozen=self.study.frozen)

    @cached_property
    def decoders(self) -> list[Protocol]:
        return [protocol for name in DECODERS for protocol in self.settings[name]]

    @cached_property
    def settings(self) -> dict[str, list[Protocol]]:
        return self.study.open_questions(tasks=(self.task,), runs=self.runs, **self.changes)

    @cached_property
    def sizes(self) -> pd.DataFrame:
        return self.load("rounds", self.data_sizes)

    @cached_property
    def main(self) -> list[Protocol]:
        return self.grid(strategies="bald,random")

    @cached_property
    def rounds(self) -> pd.DataFrame:
        return self.load("rounds", self.main)

    @cached_property
    def freezing(self) -> pd.DataFrame:
        return self.load("rounds", self.frozen)

    @cached_property
    def layers(self) -> pd.DataFrame:
        layers = self.load("layers", self.main)
        return layers[layers["round"] == layers["round"].max()].dropna(subset="number")

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the task's classes."""
        return labels_of(self.main)[self.task]

    @cached_property
    def counts(self) -> pd.DataFrame:
        return qualitative.class_counts(self.rounds, {self.task: self.labels})

    @cached_property
    def pool(self) -> pd.Series:
        """Rows of each class in U, before the first acquisition."""
        first = self.rounds[(self.rounds["round"] == 0) & (self.rounds["strategy"] == "random")]
        if "pool_counts" not in first or not len(first):
            raise NoRuns
        return pd.Series(first["pool_counts"].iloc[0], index=self.labels)

    @cached_property
    def scored(self) -> pd.DataFrame:
        finished = [p for p in self.main if p.strategy == "bald" and results.Run(p, self.store).done]
        texts = {self.task: self.texts} if self.texts else {}
        scored = qualitative.scored_rows(finished, texts, 5, self.store).dropna(subset="overlap")
        if not len(scored):
            raise NoRuns
        return scored

    def question(self, table: str, *names: str) -> pd.DataFrame:
        """Rounds of settings of notebook 06, with the setting's name."""
        return pd.concat([self.load(table, self.settings[name]).assign(setting=name) for name in names])

    def hours_of_a_seed(self, rests_on: str) -> float:
        """Core-hours that one seed took, on average, of the protocols that the property `rests_on` gives."""
        timings = self.load("timings", getattr(self, rests_on))
        seconds = timings[list(results.TABLES["timings"])].sum(axis=1).groupby(timings["seed"]).sum()
        return seconds.mean() / 3600

"""The runs of one task that the store has, as the claims need them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lib import qualitative, results
from lib.protocol import Profile, Protocol
from lib.tasks import TASKS, Texts, training_rows


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
    texts: Texts | None  # None: they are not here, and what needs them has no runs

    def load(self, table: str, protocols: list[Protocol]) -> pd.DataFrame:
        finished = [p for p in protocols if p.task == self.task and results.Run(p, self.store).done]
        loaded = results.load(table, finished, self.store)
        if not len(loaded):
            raise NoRuns
        return loaded

    def grid(self, **settings) -> list[Protocol]:
        return self.study.grid(tasks=(self.task,), runs=self.runs, **settings, **self.changes)

    @cached_property
    def sizes(self) -> pd.DataFrame:
        return self.load("rounds", self.study.data_sizes(training_rows(self.main), runs=self.runs, **self.changes))

    @cached_property
    def main(self) -> list[Protocol]:
        return self.grid(strategies="bald,random")

    @cached_property
    def rounds(self) -> pd.DataFrame:
        return self.load("rounds", self.main)

    @cached_property
    def freezing(self) -> pd.DataFrame:
        return self.load("rounds", self.grid(frozen=self.study.frozen))

    @cached_property
    def layers(self) -> pd.DataFrame:
        layers = self.load("layers", self.main)
        return layers[layers["round"] == layers["round"].max()].dropna(subset="number")

    @cached_property
    def counts(self) -> pd.DataFrame:
        return qualitative.class_counts(self.rounds, {self.task: TASKS[self.task].labels})

    @cached_property
    def pool(self) -> pd.Series:
        """Rows of each class in U, before the first acquisition."""
        first = self.rounds[(self.rounds["round"] == 0) & (self.rounds["strategy"] == "random")]
        if "pool_counts" not in first or not len(first):
            raise NoRuns
        return pd.Series(first["pool_counts"].iloc[0], index=TASKS[self.task].labels)

    @cached_property
    def scored(self) -> pd.DataFrame:
        finished = [p for p in self.main if p.strategy == "bald" and results.Run(p, self.store).done]
        if not finished or not self.texts:
            raise NoRuns
        return qualitative.scored_rows(finished, {self.task: self.texts}, 5, self.store).dropna(subset="overlap")

    def question(self, table: str, *names: str) -> pd.DataFrame:
        """Rounds of settings of notebook 06, with the setting's name."""
        settings = self.study.open_questions(tasks=(self.task,), runs=self.runs, **self.changes)
        return pd.concat([self.load(table, settings[name]).assign(setting=name) for name in names])

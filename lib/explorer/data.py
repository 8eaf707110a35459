"""What the explorer shows of runs, from the store and the texts alone: rows with their scores, ranks and neighbours."""

import dataclasses
import re
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data import study_rows
from lib.data.tasks import Texts, display_name, read_texts, source_of
from lib.data.words import overlap
from lib.errors import StudyError
from lib.protocol import IDENTITY, Protocol
from lib.runs import results
from lib.runs.results import Run

NEVER = -1  # in the column `queried`: not queried in the whole run


@dataclass(frozen=True)
class Explored:
    """A finished run, read from the store. `pool` and `samples` are empty if its strategy makes no stochastic pass."""

    run: Run
    texts: Texts
    rounds: pd.DataFrame  # a row a round: labelled, class_counts, picked, …
    pool: dict[int, pd.DataFrame]  # round → row, score, bald, entropy, prediction of all rows of U
    samples: dict[int, pd.DataFrame]  # round → probabilities and features, by row, of the rows worth showing
    lacking: str = ""  # why there are no texts (those of `texts` are then empty), and how to get them

    @cached_property
    def queried(self) -> dict[int, int]:
        """Row → the round after which it was acquired."""
        return {row: round_ for round_, picked in enumerate(self.rounds["picked"]) for row in picked}

    def picked(self, round_: int) -> set[int]:
        """Rows acquired after this round."""
        return set(self.rounds["picked"][round_]) if round_ < len(self.rounds) else set()

    def picked_until(self, round_: int) -> set[int]:
        return {row for row, when in self.queried.items() if when <= round_}

    @cached_property
    def rows(self) -> str:
        """What the rows of this run are known by: the same for runs of the same task and data, with texts or without.

        Runs that see different parts of the study's rows have the same.
        """
        pinned = study_rows.pinned(self.run.protocol.task) if self.run.protocol.rows == "study" else None
        return study_rows.fingerprint(self.texts.labels, *pinned) if pinned else self.texts.fingerprint

    @property
    def title(self) -> str:
        p = self.run.protocol
        return f"{display_name(p.task)}, {display_name(p.strategy)}, F = {signed(p.frozen)}, seed {p.seed}"

    @property
    def single(self) -> bool:
        """Whether a row has one text, not two."""
        return len(self.texts.train[0]) == 2

    def label(self, row: int) -> str:
        return self.texts.labels[self.texts.train[row][-1]]

    @property
    def columns(self) -> list[str]:
        """Columns of `table` with texts."""
        return [] if self.lacking else ["first"] if self.single else ["first", "second"]

    def text(self, row: int) -> str:
        """Both texts of a row, if it has two; empty without texts."""
        return " ".join(self.texts.train[row][:-1])

    def table(self, round_: int) -> pd.DataFrame:
        """The pool as a round scored it, highest score first.

        rank, row, score, bald, entropy, expected_entropy (the aleatoric part: entropy - BALD), label, prediction,
        right, queried (a round, or NEVER), first, second; words: both texts in lower case, to be searched.
        """
        pool = self.pool[round_]
        rows = pool["row"].tolist()
        queried = np.array([self.queried.get(row, NEVER) for row in rows])
        read = [self.texts.train[row] for row in rows]
        labels = np.array([one[-1] for one in read], int)
        table = pd.DataFrame(
            {
                "rank": pool["score"].rank(method="min", ascending=False).astype(int),
                **pool[["row", "score", "bald", "entropy"]],
                "expected_entropy": (pool["entropy"] - pool["bald"]).clip(lower=0),
                "label": labels,
                "prediction": pool["prediction"].astype(int),
                "right": labels == pool["prediction"],
                "queried": queried,
                # not pandas' own strings, which refuse lone surrogates
                "first": pd.Series([one[0] for one in read], dtype=object),
                "second": pd.Series([one[1] if len(one) == 3 else "" for one in read], dtype=object),
                "words": pd.Series(["\n".join(one[:-1]).lower() for one in read], dtype=object),
            }
        )
        return table.sort_values("rank", kind="stable", ignore_index=True)

    @cached_property
    def scored(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Round → rows, ascending, and their scores: hundreds of rows are looked up where two runs are compared."""
        return {round_: (pool["row"].to_numpy(), pool["score"].to_numpy()) for round_, pool in self.pool.items()}

    def score(self, round_: int, row: int) -> float | None:
        """The score of a row in a round; None if it was not in the pool."""
        rows, scores = self.scored.get(round_, ((), ()))
        place = np.searchsorted(rows, row)
        return float(scores[place]) if place < len(rows) and rows[place] == row else None

    def last_score(self, round_: int, row: int) -> float | None:
        """The score when the row was last in the pool, up to a round; None if it never was."""
        return self.score(min(round_, self.queried.get(row, round_)), row)

    def rank(self, round_: int, row: int) -> tuple[int, int] | None:
        """Rank of a row by its score and the size of the pool in a round; None if it was not in the pool."""
        score = self.score(round_, row)
        scores = () if score is None else self.scored[round_][1]
        return (int((scores > score).sum()) + 1, len(scores)) if len(scores) else None

    def probabilities(self, round_: int, row: int) -> np.ndarray | None:
        """probs_SC of a row in the round's stochastic passes; None if they are not stored."""
        stored = self.samples.get(round_)
        if stored is None or row not in stored.index:
            return None
        probs_SC = stored.at[row, "probabilities"].astype(float).reshape(-1, len(self.texts.labels) - 1)
        return np.column_stack([probs_SC, np.clip(1 - probs_SC.sum(1), 0, 1)])

    def neighbours(self, round_: int, row: int, number: int = 5) -> pd.DataFrame:
        """The nearest of the rows whose features are stored: row, distance, overlap.

        distance: Euclidean between the features that the stochastic passes start from, as a share of the median
        distance of the row to all of them. overlap: share of words in both rows (Jaccard), nan without texts. Empty if
        not stored.
        """
        stored = self.samples.get(round_)
        if stored is None or row not in stored.index or len(stored) < 2:
            return pd.DataFrame(columns=["row", "distance", "overlap"])
        features_MF = np.stack(stored["features"]).astype(float)
        distances = np.linalg.norm(features_MF - features_MF[stored.index.get_loc(row)], axis=1)
        others = pd.DataFrame({"row": stored.index, "distance": distances})
        others = others[others["row"] != row]
        others["distance"] /= others["distance"].median() or 1.0
        nearest = others.nsmallest(number, "distance").astype({"row": int})
        nearest["overlap"] = (
            np.nan if self.lacking else [overlap(self.text(row), self.text(other)) for other in nearest["row"]]
        )
        return nearest.reset_index(drop=True)


def signed(whole: int) -> str:
    """With the sign that F has in the study's figures."""
    return f"{whole}".replace("-", "−")


def explore(given: Protocol | Run | Explored, store="") -> Explored:
    """Read a finished run, without a model. store: where a protocol's run lies; empty: results/. Raises StudyError."""
    if isinstance(given, Explored):
        return given
    if not isinstance(given, Protocol | Run):
        raise StudyError(f"{reprlib.repr(given)} is not a run: give a lib.protocol.Protocol or a lib.runs.results.Run")
    run = given if isinstance(given, Run) else Run(given, Path(store or results.STORE))
    if run.failure:
        raise StudyError(f"run {run.name} failed ({run.failure['error']}): compute it with lib.runs.sweep first")
    if not run.done:
        raise StudyError(f"run {run.name} is {run.state} in {run.store}: compute it with lib.runs.sweep first")
    rounds, pool, samples = (results.load(table, [run.protocol], run.store) for table in ("rounds", "pool", "samples"))
    texts, lacking = readable(run.protocol)
    by_row = {k: some.set_index("row") for k, some in by_round(samples).items()}
    return Explored(run, texts, rounds, by_round(pool), by_row, lacking)


def readable(protocol: Protocol) -> tuple[Texts, str]:
    """The texts of a run; if those of the study are not here, its labels with empty texts, and a line about it.

    Raises StudyError if the texts of another run are not here.
    """
    try:
        return read_texts(protocol.task, protocol.hub, protocol.rows), ""
    except StudyError as error:
        facts = study_rows.facts(protocol.task) if protocol.rows == "study" else None
        if facts is None:
            raise
        source = source_of(protocol.task, protocol.hub)
        empty = ("",) * len(source.columns)
        rows = [(*empty, int(label)) for label in facts[0]]
        cause = str(error).partition(" (")[0]
        line = f'The texts are not shown ({cause}): connect to the Hub, or give Explorer(hub="FOLDER")'
        return Texts(rows, [], source.labels), line


def by_round(table: pd.DataFrame) -> dict[int, pd.DataFrame]:
    if table.empty:
        return {}
    fields = ["run", *IDENTITY, "round"]
    return {int(k): some.drop(columns=fields).reset_index(drop=True) for k, some in table.groupby("round")}


def other_seeds(explored: Explored) -> list[Explored]:
    """The finished runs in the same store that differ in nothing but their seed."""
    run, found = explored.run, []
    beginning = run.name.rpartition("-seed")[0]
    for name in sorted(results.finished(run.store)):
        seed = re.match(rf"{re.escape(beginning)}-seed(\d+)-", name)
        if seed and int(seed[1]) != run.protocol.seed:
            other = Run(dataclasses.replace(run.protocol, seed=int(seed[1])), run.store)
            if other.name == name:
                found.append(explore(other))
    return found


def pair(protocols: list[Protocol], store="") -> list[Run]:
    """The first of these runs that has scores and, if there is one, the random run of its task and seed.

    Runs that are not in the store are passed over. Raises StudyError if none is there.
    """
    there = [run for run in (Run(p, Path(store or results.STORE)) for p in protocols) if run.state == "done"]
    for run in there:
        if run.protocol.scores:
            wanted = dataclasses.replace(run.protocol, strategy="random")
            return [run, *(other for other in there if other.protocol == wanted)]
    raise StudyError("none of these runs is in the store with scores: compute them with lib.runs.sweep first")

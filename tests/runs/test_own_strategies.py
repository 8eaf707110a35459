"""A strategy of one's own: one entry, known by its code, checked and drawn; tests/runs has it on Dask workers."""

import functools
import linecache
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused

from lib import figures
from lib.method.acquisition import BUILT_IN, STRATEGIES, Strategy, mean_log_probs
from lib.method.active_learning import prepare
from lib.protocol import choices
from lib.runs import own_strategies, results
from lib.runs.compute import sweep
from lib.runs.provenance import ROOT
from lib.runs.results import Run


def least_confidence(log_probs_SNC):
    return 1 - mean_log_probs(log_probs_SNC).exp().amax(-1)


@pytest.fixture
def register(monkeypatch):
    """register(score, …) → nothing: the registry has it as 'mine', until the test ends."""
    return lambda held: monkeypatch.setitem(STRATEGIES, "mine", held)


def code() -> str:
    return own_strategies.code_of("mine")


def test_one_entry_is_enough_and_another_code_is_computed_anew(register, tiny_protocol, tmp_path):
    register(least_confidence)
    assert "mine" in choices("strategy")
    protocols = [tiny_protocol(strategy="mine"), tiny_protocol(strategy="random")]
    first = sweep(protocols, tmp_path)
    register(Strategy("most confident", lambda log_probs_SNC: -least_confidence(log_probs_SNC)))
    second = sweep(protocols, tmp_path)
    changed, same = ([*(one["strategy"] == name for one in (first, second))] for name in ("mine", "random"))
    assert first["picked"][changed[0]].tolist() != second["picked"][changed[1]].tolist()
    assert first["run"][same[0]].tolist() == second["run"][same[1]].tolist()
    register(least_confidence)
    assert results.load("rounds", protocols, tmp_path)["picked"].tolist() == first["picked"].tolist(), "both are kept"
    figure = figures.learning_curves(first)
    del STRATEGIES["mine"]
    assert len(figures.learning_curves(first).axes) == len(figure.axes), "also where it is not registered"
    STRATEGIES["mine"] = least_confidence  # for monkeypatch


def test_it_picks_as_the_same_scores_of_lib_do(register, tiny_protocol, tmp_path):
    from lib.method.acquisition import predictive_entropy

    register(lambda log_probs_SNC: predictive_entropy(log_probs_SNC).numpy())
    rounds = sweep([tiny_protocol(strategy="mine"), tiny_protocol(strategy="entropy")], tmp_path)
    assert rounds["picked"][:2].tolist() == rounds["picked"][3:5].tolist()
    assert STRATEGIES["entropy"] is BUILT_IN["entropy"]


@pytest.mark.parametrize("frozen", [0, 2])
def test_the_k_center_of_the_docs_is_the_slow_one(frozen, register, tiny_protocol, tmp_path):
    """Of the rows, the one whose nearest neighbour in T and among the picks is furthest, Q times."""
    (example,) = re.findall(r"```python\n([^`]*k_center.*?)```", (ROOT / "docs" / "code.md").read_text("utf-8"), re.S)
    cell = str(tmp_path / "cell.py")  # as IPython keeps a cell's text
    linecache.cache[cell] = (len(example), None, example.splitlines(keepends=True), cell)
    exec(compile(example, cell, "exec"), {"__name__": "__main__"})
    of_the_docs, told = STRATEGIES.pop("k_center"), str(tmp_path / "labels")

    def slowly(scores_N, query, rng, view):
        rows_NF, centers, picks = view.features_NF.tolist(), view.labelled.features_NF.tolist(), []
        with open(told, "a") as file:
            file.write(f"{view.labelled.labels_N.tolist()}\n")
        for _ in range(query):
            nearest_N = [min(math.dist(row, center) for center in centers) for row in rows_NF]
            picks.append(nearest_N.index(max(nearest_N)))
            centers.append(rows_NF[picks[-1]])
        return picks

    picked = []
    for held in (of_the_docs, Strategy("slow k-center", of_the_docs.score, slowly)):
        register(held)
        protocol = tiny_protocol(strategy="mine", frozen=frozen)
        picked.append(sweep([protocol], tmp_path)["picked"].map(list).tolist())
    assert picked[0] == picked[1]
    labels_N = prepare(protocol)[0].train.labels_N
    expected = [labels_N[[*range(10), *picked[0][0][:more]]].tolist() for more in (0, 5)]
    assert Path(told).read_text() == "".join(f"{labels}\n" for labels in expected)


def test_keys_of_the_strategies_of_lib_are_as_they_were(tiny_protocol, tmp_path, register, monkeypatch):
    for name in BUILT_IN:
        identity = Run(tiny_protocol(strategy=name), tmp_path).identity
        assert set(identity) == {"method", "protocol", "rows", "weights"}
    register(least_confidence)
    assert len(Run(tiny_protocol(strategy="mine"), tmp_path).identity["strategy_code"]) == 64
    assert "strategy_code" not in Run(tiny_protocol(strategy="mine", rounds=0), tmp_path).identity
    monkeypatch.setitem(STRATEGIES, "bald", Strategy("BALD", least_confidence))
    assert "strategy_code" in Run(tiny_protocol(), tmp_path).identity, "under lib's name, but another"


def halved(log_probs_SNC, by=2):
    return least_confidence(log_probs_SNC) / by


class Power:
    def __init__(self, power):
        self.power = power

    def __call__(self, log_probs_SNC):
        return least_confidence(log_probs_SNC) ** self.power


def test_the_source_and_the_version_are_its_code(register):
    codes = []
    for held in (
        least_confidence,
        halved,
        functools.partial(halved, by=3),
        functools.partial(halved, by=4),
        Power(2),
        Strategy("mine", least_confidence, version="2"),
        Strategy("mine", least_confidence, lambda scores_N, query, *_: np.arange(query)),
    ):
        register(held)
        codes.append(code())
        assert code() == codes[-1]
    assert len(set(codes)) == len(codes)
    register(Strategy("under another title", least_confidence))
    assert code() == codes[0]


def test_a_function_without_source_needs_a_version(register):
    namespace = {}
    exec("def score(x):\n    return x.exp().amax(-1)\n", namespace)
    register(namespace["score"])
    with refused("'mine'", "give a version"):
        code()
    register(Strategy("mine", namespace["score"], version="1"))
    assert len(code()) == 64


MISTAKES = {
    "a number for all": (lambda x: torch.tensor(1.0), "scores of shape (): give one for each of 50 rows"),
    "one a pass": (lambda x: x[:, :, 0], "scores of shape (8, 50)"),
    "nan": (lambda x: x[0, :, 0] * float("nan"), "nan or infinite"),
    "too few picks": (Strategy("few", least_confidence, lambda s, q, *_: np.arange(q - 1)), "give 5 different rows"),
    "a row twice": (Strategy("twice", least_confidence, lambda s, q, *_: np.zeros(q, int)), "give 5 different rows"),
    "picks without scores": (Strategy("blind", None, lambda s, q, *_: np.arange(q)), "picks but has no score"),
    "no function": (3, "is 3: give a function log_probs_SNC → scores_N, or Strategy"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_it_is_one_line(what, register, tiny_protocol, tmp_path):
    held, words = MISTAKES[what]
    register(held)
    with refused("'mine'", words):
        sweep([tiny_protocol(strategy="mine")], tmp_path)
    assert STRATEGIES["mine"] is held

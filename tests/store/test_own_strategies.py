"""A strategy of one's own: one entry, known by its code, checked and drawn; tests/sweeps has it on Dask workers."""

import functools
import math
import re
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused

from lib import figures
from lib.acquisition import BUILT_IN, STRATEGIES, Strategy, mean_log_probs
from lib.active_learning import prepare
from lib.fields import SCHEDULER, choices
from lib.store import own_strategies, results
from lib.store.provenance import ROOT
from lib.store.results import Run
from lib.sweeps.compute import SESSION, sweep

SHARE = 1.0


def least_confidence(log_probs_SNC):
    return SHARE * (1 - mean_log_probs(log_probs_SNC).exp().amax(-1))


@pytest.fixture
def register(monkeypatch):
    """register(score, …) → nothing: the registry has it as 'mine', until the test ends."""
    monkeypatch.delenv(SCHEDULER, raising=False)
    monkeypatch.delenv(SESSION, raising=False)
    return lambda held: monkeypatch.setitem(STRATEGIES, "mine", held)


def code() -> str:
    return own_strategies.code_of("mine")


def made(source: str, **names):
    """A function as a cell of a notebook defines it, whose text can be looked up, or not."""
    namespace = {"__name__": "__main__", "torch": torch, **names}
    exec(source, namespace)
    return namespace["score"]


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
    from lib.acquisition import predictive_entropy

    register(lambda log_probs_SNC: predictive_entropy(log_probs_SNC).numpy())
    rounds = sweep([tiny_protocol(strategy="mine"), tiny_protocol(strategy="entropy")], tmp_path)
    assert rounds["picked"][:2].tolist() == rounds["picked"][3:5].tolist()
    assert STRATEGIES["entropy"] is BUILT_IN["entropy"]


@pytest.mark.parametrize("frozen", [0, 2])
def test_the_k_center_of_the_docs_is_the_slow_one(frozen, register, tiny_protocol, tmp_path):
    """Of the rows, the one whose nearest neighbour in T and among the picks is furthest, Q times."""
    (example,) = re.findall(r"```python\n([^`]*k_center.*?)```", (ROOT / "docs" / "code.md").read_text("utf-8"), re.S)
    exec(example, {"__name__": "__main__"})
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
        assert set(identity) == {"schema", "protocol", "rows", "weights"}
    register(least_confidence)
    assert len(Run(tiny_protocol(strategy="mine"), tmp_path).identity["strategy_code"]) == 64
    assert "strategy_code" not in Run(tiny_protocol(strategy="mine", rounds=0), tmp_path).identity
    monkeypatch.setitem(STRATEGIES, "bald", Strategy("BALD", least_confidence))
    assert "strategy_code" in Run(tiny_protocol(), tmp_path).identity, "under lib's name, but another"


FORM = "def score(x):\n    return x.exp().amax(-1)\n"
SAME = {
    "a comment": "def score(x):\n    # why\n    return x.exp().amax(-1)\n",
    "a docstring": 'def score(x):\n    "What it is."\n    return (x.exp().amax(-1))\n',
}
OTHER = {
    "a number": FORM.replace("-1", "0"),
    "a method": FORM.replace("exp", "log"),
    "a default": FORM.replace("(x)", "(x, y=1)", 1),
}


@pytest.mark.parametrize("form", ["a file", "no text"])
def test_the_digest_is_of_what_the_code_does(form, register, tmp_path):
    import linecache

    def digest(source):
        function, file = made(source), str(tmp_path / f"{abs(hash(source))}.py")
        if form == "a file":  # as a cell's text is kept
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            code = function.__code__.replace(co_filename=file)
            function = types.FunctionType(code, function.__globals__, "score", function.__defaults__)
        register(function)
        return code_of_mine()

    code_of_mine = code
    usual = digest(FORM)
    assert digest(FORM) == usual
    if form == "a file":
        assert [digest(source) for source in SAME.values()] == [usual] * len(SAME)
    assert len({usual, *map(digest, OTHER.values())}) == 1 + len(OTHER)


def test_what_the_code_uses_counts(register, monkeypatch):
    settings, table = {"power": 2}, np.arange(3)

    def helper(x):
        return x**2

    def score(x):
        return helper(x) ** settings["power"] + table.sum()

    register(score)
    usual = code()
    settings["power"] = 3
    assert code() != usual
    settings["power"] = 2
    table[0] = 5
    assert code() != usual
    table[0] = 0
    assert code() == usual
    helper = lambda x: x**3  # noqa: E731, F811
    assert code() != usual, "a function of the person's own that it calls"
    register(least_confidence)
    usual = code()
    monkeypatch.setattr("test_own_strategies.SHARE", 2.0)
    assert code() != usual, "a global"
    parts = [functools.partial(score, y) for y in (1, 1, 2)]
    digests = []
    for part in parts:
        register(part)
        digests.append(code())
    assert digests[0] == digests[1] != digests[2]

    class Power:
        def __init__(self, power):
            self.power = power

        def __call__(self, x):
            return x**self.power

    digests = []
    for power in (1, 1, 2):
        register(Power(power))
        digests.append(code())
    assert digests[0] == digests[1] != digests[2]


COUNTED = []


def counting(log_probs_SNC):
    COUNTED.append(log_probs_SNC.shape)
    return least_confidence(log_probs_SNC)


MISTAKES = {
    "a number for all": (lambda x: torch.tensor(1.0), "scores of shape (): give one for each of 50 rows"),
    "one a pass": (lambda x: x[:, :, 0], "scores of shape (8, 50)"),
    "nan": (lambda x: x[0, :, 0] * float("nan"), "nan or infinite"),
    "too few picks": (Strategy("few", least_confidence, lambda s, q, *_: np.arange(q - 1)), "give 5 different rows"),
    "a row twice": (Strategy("twice", least_confidence, lambda s, q, *_: np.zeros(q, int)), "give 5 different rows"),
    "picks without scores": (Strategy("blind", None, lambda s, q, *_: np.arange(q)), "picks but has no score"),
    "its code changes": (counting, "uses a value that changed while it picked"),
    "no function": (3, "is 3: give a function log_probs_SNC → scores_N, or Strategy"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_it_is_one_line(what, register, tiny_protocol, tmp_path):
    held, words = MISTAKES[what]
    register(held)
    with refused("'mine'", words):
        sweep([tiny_protocol(strategy="mine")], tmp_path)
    assert STRATEGIES["mine"] is held

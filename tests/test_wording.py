"""Sentences say what their tables say: a claim only where the interval excludes zero, and the table's own numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import wording
from lib.model import outline

FINITE = st.floats(-1, 1, allow_subnormal=False)
INTERVALS = st.tuples(FINITE, FINITE, FINITE).map(sorted)
TASKS = {"sst2": "SST-2", "mnli": "MNLI", "reviews": "reviews"}
SEVERAL = ("raises", "lowers", "does not distinguishably change")
SINGLE = "in a single run and so with unknown certainty"
NUMBERS = re.compile(r"[+−][\d.]+")


@st.composite
def differences(draw, levels, single=False) -> pd.DataFrame:
    """Made-up paired differences: mean within low and high, or no interval for a single run."""
    rows = []
    for task in draw(st.permutations(sorted(TASKS)))[: draw(st.integers(1, 3))]:
        for name, some in levels.items():
            for level in some:
                low, mean, high = draw(INTERVALS)
                row = {"task": task, name: level, "runs": draw(st.integers(2, 9)), "mean": mean}
                rows.append(
                    row | ({"runs": 1, "low": np.nan, "high": np.nan} if single else {"low": low, "high": high})
                )
    return pd.DataFrame(rows)


def expected_verb(row) -> str:
    return SEVERAL[0] if row["low"] > 0 else SEVERAL[1] if row["high"] < 0 else SEVERAL[2]


def numbers(part: str) -> list[str]:
    """The signed numbers in the brackets at the end of a part of a sentence."""
    return NUMBERS.findall(part[part.rindex("(") :])


def written(row, digits: int = 3) -> list[str]:
    values = [row["mean"]] if np.isnan(row["low"]) else [row["mean"], row["low"], row["high"]]
    return [f"{value:+.{digits}f}".replace("-", "−") for value in values]


@given(differences({"strategy": ["bald", "entropy"]}))
def test_a_strategy_raises_or_lowers_only_where_the_interval_excludes_zero(table):
    sentence = wording.say_differences(table, "strategy", "the accuracy", "random")
    opening, rest = sentence.split(", ", 1)
    assert opening == "Against random"
    for row, part in zip(table.to_dict("records"), rest.rstrip(".").split("; "), strict=True):
        name = {"bald": "BALD", "entropy": "entropy"}[row["strategy"]]
        assert part.startswith(f"{name} {expected_verb(row)} the accuracy on {TASKS[row['task']]} (")
        assert numbers(part) == written(row)
        assert f"{row['runs']} seeds" in part


@given(differences({"frozen": [2, -2]}))
def test_layers_are_named_by_f(table):
    sentence = wording.say_differences(table, "frozen", "the accuracy", 0)
    assert sentence.startswith("Against F = 0, ")
    for row, part in zip(table.to_dict("records"), sentence.split(", ", 1)[1].split("; "), strict=True):
        assert re.match(rf"F = [-−]?{abs(row['frozen'])} {expected_verb(row)} ", part)
        assert ("-" in part.split()[2] or "−" in part.split()[2]) == (row["frozen"] < 0)


@given(differences({"strategy": ["bald"]}, single=True))
def test_a_single_run_raises_and_lowers_nothing(table):
    sentence = wording.say_differences(table, "strategy", "the accuracy", "random")
    assert not any(verb in sentence for verb in (*SEVERAL, "interval", "nan", "seeds"))
    for row, part in zip(table.to_dict("records"), sentence.split(", ", 1)[1].split("; "), strict=True):
        assert SINGLE in part
        assert ("did not change" in part) == (row["mean"] == 0)
        assert numbers(part) == written(row)
        assert "1 seed)" in part


@given(differences({"from": [10, 30]}), st.booleans())
def test_gains_are_those_of_the_first_and_of_the_last_step(table, single):
    table["to"] = table["from"].map({10: 30, 30: 400})
    if single:
        table = table.assign(runs=1, low=np.nan, high=np.nan)
    sentence = wording.say_gains(table)
    assert "nan" not in sentence
    for (task, some), part in zip(table.groupby("task", sort=False), sentence.split("; "), strict=True):
        assert part.lower().startswith(f"on {TASKS[task].lower()}, a hundred rows change the accuracy by ")
        first, last = some.to_dict("records")
        assert NUMBERS.findall(part) == written(first) + written(last)
        assert re.search(r"between 10 and 30 rows.*between 30 and 400", part)


@st.composite
def layers(draw) -> pd.DataFrame:
    names = [("embeddings", pd.NA, "encoder"), *[(f"encoder {i}", i, "encoder") for i in range(4)]]
    names += [("convolution 3", 4, "decoder"), ("batch norm", pd.NA, "decoder"), ("output", 5, "decoder")]
    table = pd.DataFrame(names, columns=["layer", "number", "part"]).astype({"number": "Int64"})
    table["low"], table["mean"], table["high"] = np.transpose([draw(INTERVALS) for _ in names])
    return table.assign(runs=3)


@given(layers())
def test_layers_that_changed_less_or_more_are_those_whose_interval_excludes_zero(table):
    sentence = wording.say_layers(table)
    assert "embeddings" not in sentence
    assert "batch norm" not in sentence
    numbered = table.dropna(subset="number")
    for (part, some), said in zip(numbered.groupby("part", sort=False), sentence.split("; "), strict=False):
        assert said.lower().startswith(f"of the {len(some)} {part} layers, ")
        less, more = re.search(
            r"layers, (.*) changed less under BALD than under random and (.*) more \(", said
        ).groups()
        assert less == listed(some[some["high"] < 0])
        assert more == listed(some[some["low"] > 0])
        mean = f"{some['mean'].mean():+.1f}".replace("-", "−")
        assert f"{mean} % in the {part}" in sentence


def listed(layers: pd.DataFrame) -> str:
    return f"{len(layers)} ({', '.join(layers['layer'])})" if len(layers) else "none"


@given(layers())
def test_layers_of_a_single_run_changed_neither_less_nor_more(table):
    sentence = wording.say_layers(table.assign(runs=1, low=np.nan, high=np.nan))
    assert SINGLE in sentence
    assert not any(word in sentence for word in ("less", "more", "interval", "nan"))


CLASSES = {"class": ["next", "other editorial"]}


@given(differences({"strategy": ["bald"]}), differences(CLASSES))
def test_classes_and_overlap_are_claimed_only_where_the_interval_excludes_zero(skew, rho):
    parts = wording.say_classes(skew, rho).split("; ")
    for row, part in zip(skew.to_dict("records"), parts, strict=False):
        assert part.lower().startswith(f"on {TASKS[row['task']].lower()}, bald {expected_verb(row)} the gap")
        assert numbers(part) == written(row, 1)
    verbs = {"raises": "rises", "lowers": "falls", "does not distinguishably change": "does not distinguishably change"}
    for row, part in zip(rho.to_dict("records"), parts[len(skew) :], strict=True):
        assert part.startswith(f"on {TASKS[row['task']]}, in the class {row['class']!r}, its score ")
        assert f" {verbs[expected_verb(row)]} with word overlap" in part
        assert numbers(part) == written(row)


@given(differences({"strategy": ["bald"]}, single=True), differences(CLASSES, single=True))
def test_classes_and_overlap_of_a_single_run_are_of_unknown_certainty(skew, rho):
    for part in wording.say_classes(skew, rho).split("; "):
        assert SINGLE in part
        assert "distinguishably" not in part


def test_a_task_without_pairs_or_without_correlation_has_no_sentence_about_overlap():
    skew = pd.DataFrame({"task": ["reviews"], "strategy": "bald", "runs": 2, "mean": 3.0, "low": 1.0, "high": 5.0})
    columns = ["task", "class", "runs", "mean", "low", "high"]
    nothing = pd.DataFrame(columns=columns)
    constant = pd.DataFrame([["mnli", "neutral", 0, np.nan, np.nan, np.nan]], columns=columns)
    for rho in (nothing, constant):
        sentence = wording.say_classes(skew, rho)
        assert sentence.startswith("On reviews, BALD raises the gap")
        assert "overlap" not in sentence
        assert "nan" not in sentence


@pytest.mark.parametrize("decoder", ["cnn", "linear"])
def test_the_architecture_in_words_has_the_models_own_numbers(decoder, tiny_protocol):
    protocol = tiny_protocol(decoder=decoder, samples=8)
    classifier = outline(protocol, num_labels=3)
    sentence = wording.say_architecture(classifier, protocol)
    encoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("encoder."))
    decoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("decoder."))
    for text in ("4 layers", f"{encoder:,} parameters", f"{decoder:,} parameters", "S = 8 times"):
        assert text in sentence

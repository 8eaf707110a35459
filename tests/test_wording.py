"""Sentences say what their tables say: a claim only where the interval excludes zero, and the table's own numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import wording
from lib.fields import named
from lib.model import outline
from lib.qualitative import papers_random_and_fair_draws

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
        assert part.lower().startswith(f"on {TASKS[task].lower()}, a row more ")
        first, last = some.to_dict("records")
        if not single:
            assert f"a row more {expected_verb(first)} the accuracy between" in part
            assert f"and {expected_verb(last)} it between" in part
        assert NUMBERS.findall(part) == written(first) + written(last)
        assert re.search(r"between 10 and 30 rows.*between 30 and 400", part)
        assert (SINGLE in part) == single


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


SETTINGS = ["warm restart", "entropy", "batchbald"]


@given(differences({"setting": SETTINGS}), st.sets(st.integers(0, 8)))
def test_settings_with_a_clear_difference_are_named_and_the_others_lie_between_two_ends(table, single):
    alone = table.index.isin(list(single))
    table.loc[alone, ["low", "high"]] = np.nan
    table.loc[alone, "runs"] = 1
    opening, rest = wording.say_settings(table, "the accuracy", "bald").split(": ", 1)
    assert opening == "The accuracy"
    for (task, some), part in zip(table.groupby("task", sort=False), re.split(r"\. (?=on )", rest), strict=True):
        assert part.startswith(f"on {TASKS[task]}, ")
        clear = [row for row in some.to_dict("records") if expected_verb(row) != SEVERAL[2]]
        others = [row for row in some.to_dict("records") if expected_verb(row) == SEVERAL[2]]
        said = part.removeprefix(f"on {TASKS[task]}, ").split("; ")
        assert len(said) == len(clear) + bool(others)
        for row, text in zip(clear, said, strict=False):
            assert text.startswith(f"{named(row['setting'])} {expected_verb(row)} the accuracy (")
            assert numbers(text) == written(row)
        if others:
            assert said[-1].startswith(("the other" if clear else "all") + " settings differ from BALD by ")
            means = sorted(row["mean"] for row in others)
            ends = [written({"mean": mean, "low": np.nan})[0] for mean in (means[0], means[-1])]
            assert NUMBERS.findall(said[-1]) == (ends if len(others) > 1 else ends[:1])
            unknown = [np.isnan(row["low"]) for row in others]
            assert (SINGLE in said[-1]) == all(unknown)
            assert ("include zero" in said[-1]) == (not all(unknown))
            assert ("without any" in said[-1]) == (any(unknown) and not all(unknown))


def test_shared_picks_in_words_are_means_over_runs():
    rows = [
        ("sst2", seed, S, share)
        for seed, shares in enumerate(((0.2, 0.5, 0.9), (0.4, 0.5, 1.0)))
        for S, share in zip((5, 50, 1000), shares, strict=True)
    ]
    shared = pd.DataFrame(rows, columns=["task", "seed", "samples", "between_draws"])
    two, one = wording.say_samples(shared), wording.say_samples(shared[shared["seed"] == 0])
    assert "SST-2" in two
    assert "30% with S = 5, 50% with S = 50, 95% with S = 1000 (mean over 2 runs)" in two
    assert "20% with S = 5, 50% with S = 50, 90% with S = 1000 (1 run)" in one


def test_noise_in_words_has_the_numbers_of_its_table():
    rows = [("mnli", "float32, unguarded", -3.2e-7, 4.5e-8, 0.41), ("mnli", "this study's BALD", 0.0, 0.0, 0.0)]
    noise = pd.DataFrame(rows, columns=["task", "computed as", "lowest", "highest", "share below 0"])
    sentence = wording.say_noise(noise)
    for text in ("MNLI", "-3.2e-07 to 4.5e-08", "41% of them negative", "is exactly 0"):
        assert text in sentence
    noise.loc[1, "highest"] = 0.002
    assert "lies between 0 and 0.002" in wording.say_noise(noise)


def test_the_spread_is_that_of_the_smallest_and_the_largest_size():
    rows = [("sst2", 910, 0.01, 0.005, 0.06), ("sst2", 10, 0.04, 0.02, 0.3), ("sst2", 110, 0.9, 0.5, 1.0)]
    table = pd.DataFrame(rows, columns=["task", "labelled", "deviation", "low", "high"])
    sentence = wording.say_spread(table)
    assert "on SST-2 0.040 (95 % interval 0.020 to 0.300) with 10 rows and 0.010" in sentence
    assert "0.9" not in sentence
    assert wording.say_spread(table.assign(deviation=np.nan)) == ""


def test_the_narrowest_intervals_are_named_by_f():
    rows = [("sst2", 0, 0.2), ("sst2", -2, 0.1), ("mnli", 0, 0.1), ("mnli", -2, 0.3)]
    widths = pd.DataFrame(rows, columns=["task", "frozen", "mean"])
    assert "on SST-2 F = −2 (0.100); on MNLI F = 0 (0.100)" in wording.say_narrowest(widths)
    assert wording.say_narrowest(widths.assign(mean=np.nan)) == ""


def test_a_task_that_was_not_learnt_is_named_with_its_accuracy_and_that_of_a_guess():
    """Six uneven classes: saying the most frequent one each time is right in 28 of 100 rows, not in 17."""
    rows = [("sst2", 10, 0.5), ("sst2", 110, 0.8), ("mnli", 10, 0.6), ("mnli", 110, 0.35), ("uneven", 110, 0.3)]
    rounds = pd.DataFrame(rows, columns=["task", "labelled", "accuracy"])
    rounds["majority"] = rounds["task"].map({"sst2": 0.51, "mnli": 0.334, "uneven": 0.276})
    first, second = wording.say_chance(rounds)
    for text in ("On MNLI", "0.350", "0.334"):
        assert text in first
    for text in ("On uneven", "0.300", "0.276"):
        assert text in second
    assert wording.say_chance(rounds.assign(accuracy=rounds["majority"] + 0.06)) == []


@pytest.mark.parametrize("shares", [[0.5, 0.5], [1 / 3] * 3, [0.28, 0.19, 0.18, 0.02, 0.13, 0.2]])
def test_of_a_thousand_studies_of_guesses_all_are_named_and_of_those_that_learnt_none(shares):
    rng = np.random.default_rng(len(shares))
    studies, seeds, number = 1000, 3, 2000
    labels = rng.multinomial(number, shares)
    majority = labels.max() / number
    for better, named_ in ((0.0, 1.0), (0.1, 0.0)):
        right = rng.binomial(number, majority + better, (studies, seeds)) / number
        table = pd.DataFrame({"task": np.repeat(np.arange(studies), seeds), "accuracy": right.ravel()})
        said = wording.say_chance(table.assign(labelled=910, majority=majority))
        assert len(said) == named_ * studies


VERDICTS = ["supported", "not supported", "inconclusive", "no runs"]


@given(st.lists(st.sampled_from(VERDICTS), max_size=9))
def test_claims_are_counted_by_their_verdict(verdicts):
    names = [f"claim {i}" for i in range(len(verdicts))]
    ledger = pd.DataFrame({"claim": names, "task": "sst2", "verdict": verdicts}, dtype=str)
    ledger[["p", "p by Holm"]] = np.nan
    sentence = wording.say_claims(ledger)
    by = {
        verdict: [name for name, said in zip(names, verdicts, strict=True) if said == verdict] for verdict in VERDICTS
    }
    assert (f"{len(by['no runs'])} have no runs: not computed yet" in sentence) == bool(by["no runs"])
    measured = len(names) - len(by["no runs"])
    assert (f"Of {measured} tests of {measured} claims" in sentence) == bool(measured)
    for verdict in ("supported", "not supported"):
        listed = "; ".join(f"{name} (SST-2)" for name in by[verdict])
        assert bool(re.search(rf"[ ,]{len(by[verdict])} {verdict}: {re.escape(listed)}\.", sentence)) == bool(
            by[verdict]
        )
    assert bool(re.search(rf"{len(by['inconclusive'])} inconclusive\b", sentence)) == bool(by["inconclusive"])
    assert not any(name in sentence for name in by["inconclusive"] + by["no runs"])


def test_the_effects_that_chance_alone_would_have_are_counted():
    ledger = pd.DataFrame({"claim": [f"claim {i}" for i in range(31)], "task": "sst2", "verdict": "inconclusive"})
    ledger["p"] = [0.001, 0.04, *[0.5] * 27, np.nan, 0.01]
    ledger["p by Holm"] = [0.02, 0.5, *[1.0] * 8, *[np.nan] * 21]
    ledger.loc[30, "verdict"] = "no runs"
    sentence = wording.say_claims(ledger)
    assert "2 of 29 intervals exclude zero" in sentence
    assert "chance alone would have 1.5 do so" in sentence
    assert "Holm's correction leaves 1: claim 0 (SST-2)." in sentence
    assert "Holm's correction leaves none." in wording.say_claims(ledger.iloc[1:])


def test_the_papers_random_gaps_are_said_beside_those_of_a_fair_draw():
    said = wording.say_fair_draws(papers_random_and_fair_draws())
    assert "on QNLI 4 at 910 rows, where a fair draw from classes of equal size gives 24.0 (0.3 % of fair draws" in said
    for text in ("on MNLI 9 at 910 rows", "gives 29.5 (fewer than one in a thousand fair draws are as even"):
        assert text in said


def test_the_calibration_error_is_said_beside_its_floor():
    table = pd.DataFrame({"task": ["sst2"], "prediction": ["one pass"], "error": [0.073], "floor": [0.0661]})
    said = wording.say_calibration(table)
    assert "on SST-2, 0.073 of one pass, where perfect calibration would give 0.066." in said


@pytest.mark.parametrize("decoder", ["cnn", "linear"])
def test_the_architecture_in_words_has_the_models_own_numbers(decoder, tiny_protocol):
    protocol = tiny_protocol(decoder=decoder, samples=8)
    classifier = outline(protocol, num_labels=3)
    sentence = wording.say_architecture(classifier, protocol)
    encoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("encoder."))
    decoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("decoder."))
    for text in ("4 layers", f"{encoder:,} parameters", f"{decoder:,} parameters", "S = 8 times"):
        assert text in sentence


def test_lengths_are_told_for_the_first_and_the_last_batch():
    rows = [(10, 1.5, 0.4), (10, 1.3, 0.2), (110, 0.9, -0.1), (110, 0.9, -0.1), (10, 1.0, float("nan"))]
    table = pd.DataFrame(rows, columns=["labelled", "longer", "rho"]).assign(task="trec")
    assert wording.say_lengths(table) == (
        "BALD's picks have, on TREC 1.40 times as many tokens with 10 labels (ρ = +0.30) and 0.90 times as many tokens "
        "with 110 labels (ρ = −0.10), as a row of the pool."
    )
    assert wording.say_lengths(table.iloc[:0]) == wording.NOTHING

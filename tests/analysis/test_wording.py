"""Sentences say what their tables say: a claim only where the interval excludes zero, and the table's own numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.analysis import findings, wording
from lib.analysis.qualitative import papers_random_and_fair_draws
from lib.method.model import outline
from lib.runs import sweep
from lib.runs.provenance import ROOT

FINITE = st.floats(-1, 1, allow_subnormal=False)
INTERVALS = st.tuples(FINITE, FINITE, FINITE).map(sorted)
TASKS = {"sst2": "SST-2", "mnli": "MNLI", "reviews": "reviews"}
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


def side_of(row) -> str:
    return "higher" if row["low"] > 0 else "lower" if row["high"] < 0 else ""


def written(row, digits: int = 3) -> list[str]:
    values = [row["mean"]] if np.isnan(row["low"]) else [row["mean"], row["low"], row["high"]]
    return [f"{value:+.{digits}f}".replace("-", "−") for value in values]


@given(differences({"strategy": ["bald", "entropy"]}))
def test_only_differences_whose_interval_excludes_zero_are_named_and_the_others_are_counted(table):
    sentence = wording.say_differences(table, "strategy", "the accuracy", "random")
    assert sentence.startswith("Compared with random, the accuracy ")
    clear = [row for row in table.to_dict("records") if side_of(row)]
    assert sorted(NUMBERS.findall(sentence)) == sorted(value for row in clear for value in written(row))
    for row in clear:
        level = {"bald": "BALD", "entropy": "entropy"}[row["strategy"]]
        [part] = [part for part in sentence.split("; ") if f"{side_of(row)} with {level} on " in part]
        mean, low, high = written(row)
        assert f"{TASKS[row['task']]} ({mean}, 95 % interval {low} to {high})" in part
    others = len(table) - len(clear)
    assert ("does not clearly differ" in sentence) == (not clear)
    counted = re.search(r"In the other (?:(\d+) comparisons|comparison) no difference is clear", sentence)
    assert bool(counted) == bool(clear and others)
    assert not counted or int(counted[1] or 1) == others


@given(differences({"frozen": [2, -2]}))
def test_layers_are_named_by_f_with_the_sign_that_print_has(table):
    sentence = wording.say_differences(table, "frozen", "the accuracy", 0)
    assert sentence.startswith("Compared with F = 0, ")
    assert "= -" not in sentence
    for frozen, name in ((2, "F = 2"), (-2, "F = −2")):
        assert (name in sentence) == any(side_of(row) for row in table.to_dict("records") if row["frozen"] == frozen)


@given(differences({"frozen": [2, -2]}), st.integers(1, 3))
def test_comparisons_of_single_runs_are_not_counted_as_intervals(table, number):
    alone = table.head(number).assign(runs=1, low=np.nan, high=np.nan, task="single")
    sentence = wording.say_differences(table, "frozen", "the accuracy", 0)
    both = wording.say_differences(pd.concat([table, alone]), "frozen", "the accuracy", 0)
    assert both.startswith(f"{sentence} {'One' if len(alone) == 1 else len(alone)} more ")


@given(differences({"strategy": ["bald"]}, single=True))
def test_a_single_run_is_neither_higher_nor_lower(table):
    sentence = wording.say_differences(table, "strategy", "the accuracy", "random")
    assert SINGLE in sentence
    assert not any(word in sentence for word in ("higher", "lower", "clear", "interval", "nan"))
    assert NUMBERS.findall(sentence) == [value for row in table.to_dict("records") for value in written(row)]


@given(differences({"setting": [*"abcdef"]}, single=True))
def test_many_single_runs_are_told_by_their_ends(table):
    sentence = wording.say_differences(table, "setting", "the accuracy", "random")
    assert f"{SINGLE}, in {len(table)} comparisons by" in sentence
    ends = [min(table.to_dict("records"), key=lambda row: row["mean"])]
    ends.append(max(table.to_dict("records"), key=lambda row: row["mean"]))
    assert NUMBERS.findall(sentence) == [value for row in ends for value in written(row)]


def in_points(row: dict) -> dict:
    return {name: 100 * row[name] for name in ("mean", "low", "high")}


@given(differences({"from": [10, 30]}), st.booleans())
def test_gains_are_those_of_the_first_and_of_the_last_step(table, single):
    table["to"] = table["from"].map({10: 30, 30: 400})
    if single:
        table = table.assign(runs=1, low=np.nan, high=np.nan)
    sentence = findings.say_gains(table)
    assert "nan" not in sentence
    for (task, some), part in zip(table.groupby("task", sort=False), sentence.split("; "), strict=True):
        assert f"on {TASKS[task]} " in part
        first, last = some.to_dict("records")
        points = [value for row in (first, last) for value in written(in_points(row), 2)]
        assert NUMBERS.findall(part) == points
        assert re.search(r"from 10 to 30 rows.*from 30 to 400 rows", part)
        assert ("one run" in part) == single


@given(st.lists(st.sampled_from(["One.", wording.NOTHING, ""]), max_size=3))
def test_joined_sentences_leave_out_what_has_nothing_to_tell(sentences):
    told = [sentence for sentence in sentences if sentence == "One."]
    assert wording.joined("**Answer.**", *sentences) == " ".join(["**Answer.**", *(told or [wording.NOTHING])])


@st.composite
def layers(draw) -> pd.DataFrame:
    names = [("embeddings", pd.NA, "encoder"), *[(f"encoder {i}", i, "encoder") for i in range(4)]]
    names += [("convolution 3", 4, "decoder"), ("batch norm", pd.NA, "decoder"), ("output", 5, "decoder")]
    table = pd.DataFrame(names, columns=["layer", "number", "part"]).astype({"number": "Int64"})
    table["low"], table["mean"], table["high"] = np.transpose([draw(INTERVALS) for _ in names])
    return table.assign(task="qnli", runs=3)


@given(layers())
def test_layers_that_changed_less_or_more_are_those_whose_interval_excludes_zero(table):
    where, sentence = findings.say_layers(table).split(", ", 1)
    assert where == "On QNLI"
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
    sentence = findings.say_layers(table.assign(runs=1, low=np.nan, high=np.nan))
    assert SINGLE in sentence
    assert not any(word in sentence for word in ("less", "more", "interval", "nan"))


CLASSES = {"class": ["next", "other editorial"]}


@given(differences({"strategy": ["bald"]}), differences(CLASSES))
def test_classes_and_overlap_are_claimed_only_where_the_interval_excludes_zero(skew, rho):
    sentence = findings.say_classes(skew, rho)
    gaps, overlap = sentence[: sentence.rindex("common")], sentence[sentence.rindex("common") :]
    words = {"higher": "is wider than random's", "lower": "is narrower than random's", "": "does not clearly differ"}
    parts = {side: [part for part in re.split("; |\\. ", gaps) if how in part] for side, how in words.items()}
    for side, said in parts.items():
        rows = [row for row in skew.to_dict("records") if side_of(row) == side]
        assert len(said) == bool(rows), "each at most once"
        for part in said:
            assert re.findall("|".join(map(re.escape, TASKS.values())), part) == [TASKS[row["task"]] for row in rows]
            assert NUMBERS.findall(part) == [value for row in rows if side for value in written(row, 1)]
    rows = [row for side in ("lower", "higher") for row in rho.to_dict("records") if side_of(row) == side]
    assert NUMBERS.findall(overlap) == [value for row in rows for value in written(row)]
    for verb, side in (("falls", "lower"), ("rises", "higher")):
        (part,) = re.findall(f"{verb} in (.*?)(?:; |\\.$)", overlap) or [""]
        classes = [f"{row['class']!r} of {TASKS[row['task']]}" for row in rows if side_of(row) == side]
        assert re.findall(r"'[^']+' of .+?(?= \()", part) == classes
    others = len(rho) - len(rows)
    assert (re.search("no (?:clear )?relation", sentence) is not None) == bool(others)
    assert not others or f"in {'one class' if others == 1 else f'{others} classes'}" in sentence


@given(differences({"strategy": ["bald"]}, single=True), differences(CLASSES, single=True))
def test_classes_and_overlap_of_a_single_run_are_said_to_be_of_one_run(skew, rho):
    sentence = findings.say_classes(skew, rho)
    assert sentence.count("one run") == len(skew) + len(rho)
    assert not any(word in sentence for word in ("wider", "narrower", "clear", "nan"))


def test_a_task_without_pairs_or_without_correlation_has_no_sentence_about_overlap():
    skew = pd.DataFrame({"task": ["reviews"], "strategy": "bald", "runs": 2, "mean": 3.0, "low": 1.0, "high": 5.0})
    columns = ["task", "class", "runs", "mean", "low", "high"]
    nothing = pd.DataFrame(columns=columns)
    constant = pd.DataFrame([["mnli", "neutral", 0, np.nan, np.nan, np.nan]], columns=columns)
    for rho in (nothing, constant):
        sentence = findings.say_classes(skew, rho)
        assert sentence.startswith(
            "BALD's gap between the largest and the smallest class is wider than random's on reviews (+3.0"
        )
        assert "common" not in sentence
        assert "nan" not in sentence


def test_shared_picks_in_words_are_means_over_runs():
    rows = [
        ("sst2", seed, S, share)
        for seed, shares in enumerate(((0.2, 0.5, 0.9), (0.4, 0.5, 1.0)))
        for S, share in zip((5, 50, 1000), shares, strict=True)
    ]
    shared = pd.DataFrame(rows, columns=["task", "seed", "samples", "between_draws"])
    two, one = findings.say_samples(shared), findings.say_samples(shared[shared["seed"] == 0])
    assert "SST-2" in two
    assert "30 % with S = 5, 50 % with S = 50 and 95 % with S = 1000 (mean over 2 runs)" in two
    assert "20 % with S = 5, 50 % with S = 50 and 90 % with S = 1000 (one run)" in one


def test_noise_in_words_has_the_numbers_of_its_table():
    rows = [("mnli", "float32, unguarded", -3.2e-7, 4.5e-8, 0.41), ("mnli", "this study's BALD", 0.0, 0.0, 0.0)]
    noise = pd.DataFrame(rows, columns=["task", "computed as", "lowest", "highest", "share below 0"])
    sentence = findings.say_noise(noise)
    for text in ("MNLI", "-3.2e-07 to 4.5e-08", "41 % of them negative", "is exactly 0"):
        assert text in sentence
    noise.loc[1, "highest"] = 0.002
    assert "lies between 0 and 0.002" in findings.say_noise(noise)


def test_the_spread_is_that_of_the_smallest_and_the_largest_size():
    rows = [("sst2", 910, 0.01, 0.005, 0.06), ("sst2", 10, 0.04, 0.02, 0.3), ("sst2", 110, 0.9, 0.5, 1.0)]
    table = pd.DataFrame(rows, columns=["task", "labelled", "deviation", "low", "high"])
    sentence = findings.say_spread(table)
    assert "on SST-2 0.040 (95 % interval 0.020 to 0.300) with 10 rows and 0.010" in sentence
    assert "0.9" not in sentence
    assert findings.say_spread(table.assign(deviation=np.nan)) == ""


def test_the_narrowest_intervals_are_named_by_f():
    rows = [("sst2", 0, 0.2), ("sst2", -2, 0.1), ("mnli", 0, 0.1), ("mnli", -2, 0.3)]
    widths = pd.DataFrame(rows, columns=["task", "frozen", "mean"])
    assert "on SST-2 F = −2 (0.100); on MNLI F = 0 (0.100)" in findings.say_narrowest(widths)
    assert findings.say_narrowest(widths.assign(mean=np.nan)) == ""
    assert "MNLI" not in findings.say_narrowest(widths.head(3)), "one F has nothing to be compared with"


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


@given(st.lists(st.tuples(st.sampled_from(["first", "second"]), st.sampled_from(VERDICTS)), max_size=6))
def test_each_claim_is_one_line_with_the_tasks_of_each_verdict(rows):
    ledger = pd.DataFrame([(claim, f"task {i}", said) for i, (claim, said) in enumerate(rows)], dtype=str)
    ledger = (
        ledger.set_axis(["claim", "task", "verdict"], axis=1)
        if rows
        else pd.DataFrame(columns=["claim", "task", "verdict"])
    )
    ledger[["p", "p by Holm"]] = np.nan
    text = findings.say_claims(ledger)
    missing, measured = (ledger["verdict"] == "no runs").sum(), ledger[ledger["verdict"] != "no runs"]
    assert bool(re.search(rf"\b{missing} ha(?:s|ve) no runs: not computed yet", text)) == bool(missing)
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.split("**")[1] for line in lines] == list(dict.fromkeys(measured["claim"]))
    for line in lines:
        some = measured[measured["claim"] == line.split("**")[1]]
        said = {
            verdict: re.split(", | and ", tasks)
            for verdict, tasks in (part.split(" on ") for part in line.split(": ", 1)[1].split("; "))
        }
        assert said == {verdict: [*those["task"]] for verdict, those in some.groupby("verdict")}
    assert (f"{len(measured)} tests of {len(lines)} claims" in text) == bool(len(measured))


def test_the_effects_that_chance_alone_would_have_are_counted():
    ledger = pd.DataFrame({"claim": [f"claim {i}" for i in range(31)], "task": "sst2", "verdict": "inconclusive"})
    ledger["p"] = [0.001, 0.04, *[0.5] * 27, np.nan, 0.01]
    ledger["p by Holm"] = [0.02, 0.5, *[1.0] * 8, *[np.nan] * 21]
    ledger.loc[30, "verdict"] = "no runs"
    sentence = findings.say_claims(ledger)
    assert "2 of 29 intervals exclude zero" in sentence
    assert "chance alone would have 1.5 do so" in sentence
    assert "Holm's correction leaves 1: claim 0 (SST-2)." in sentence
    assert "Holm's correction leaves none." in findings.say_claims(ledger.iloc[1:])


def test_the_papers_random_gaps_are_said_beside_those_of_a_fair_draw():
    said = findings.say_fair_draws(papers_random_and_fair_draws())
    assert "on QNLI 4 at 910 rows, where a fair draw from classes of equal size gives 24.0 (0.3 % of fair draws" in said
    for text in ("on MNLI 9 at 910 rows", "gives 29.5 (fewer than one in a thousand fair draws are as even"):
        assert text in said


def test_the_calibration_error_is_said_beside_its_floor():
    table = pd.DataFrame({"task": ["sst2"], "prediction": ["one pass"], "error": [0.073], "floor": [0.0661]})
    said = findings.say_calibration(table)
    assert "on SST-2 0.073 for one pass, where chance alone would give 0.066." in said


@pytest.mark.parametrize("decoder", ["cnn", "linear"])
def test_the_architecture_in_words_has_the_models_own_numbers(decoder, tiny_protocol):
    protocol = tiny_protocol(decoder=decoder, samples=8)
    classifier = outline(protocol, num_labels=3)
    sentence = findings.say_architecture(classifier, protocol)
    encoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("encoder."))
    decoder = sum(p.numel() for name, p in classifier.named_parameters() if name.startswith("decoder."))
    for text in ("4 layers", f"{encoder:,} parameters", f"{decoder:,} parameters", "S = 8 times"):
        assert text in sentence


def test_lengths_are_told_for_the_first_and_the_last_batch():
    rows = [(10, 1.5, 0.4), (10, 1.3, 0.2), (110, 0.9, -0.1), (110, 0.9, -0.1), (10, 1.0, float("nan"))]
    table = pd.DataFrame(rows, columns=["labelled", "longer", "rho"]).assign(task="trec")
    assert findings.say_lengths(table) == (
        "BALD's picks are, in tokens, so many times as long as a row of the pool: on TREC 1.40 times with 10 labels "
        "(ρ = +0.30) and 0.90 times with 110 labels (ρ = −0.10)."
    )
    assert findings.say_lengths(table.iloc[:0]) == wording.NOTHING


def test_picks_that_chance_made_are_said_and_why():
    """Made with the registry's own health: all scores tied, or none."""
    from lib.method.acquisition import health

    picked, told = list(range(5)), {"passes_differ": True}
    tied, clear = health([0.0] * 20, 5) | {"passes_differ": False}, health(range(20), 5) | told
    rounds = pd.DataFrame(
        [
            {"task": "reviews", "strategy": "bald", "health": tied, "picked": picked},
            {"task": "reviews", "strategy": "bald", "health": tied, "picked": picked},
            {"task": "reviews", "strategy": "bald", "health": {}, "picked": []},
            {"task": "trec", "strategy": "bald", "health": clear, "picked": picked},
            {"task": "trec", "strategy": "random", "health": {}, "picked": picked},
        ]
    )
    (said,) = wording.say_ties(rounds)
    assert said.startswith("On reviews, in 2 of 2 rounds, BALD gave more rows than it picks the score of its last pick")
    assert said.endswith("as with S = 1.")
    rounds["health"] = [health([9, 8, 1, 1, 1, 1, 0], 5) | told, *rounds["health"][1:]]
    assert "in 1 of 2 rounds" in wording.say_ties(rounds)[0], "four tied, of which three are picked: not all by chance"
    assert wording.say_ties(rounds[3:]) == []


def test_one_pass_leaves_all_picks_to_chance_and_the_reading_says_so(tiny_protocol, tmp_path):
    """Run for real: with S = 1 the score of BALD is zero for each row."""
    rounds = sweep([tiny_protocol(samples=1), tiny_protocol(seed=1)], tmp_path)
    (said,) = wording.say_ties(rounds[rounds["seed"] == 0])
    assert "SST-2, in 2 of 2 rounds, BALD" in said
    assert said.endswith("as with S = 1.")
    assert wording.say_ties(rounds[rounds["seed"] == 1]) == []


def test_who_reads_of_bald_on_sst2_reads_that_its_sentences_are_longer_than_its_phrases():
    runs = pd.DataFrame({"task": ["trec", "sst2"], "strategy": ["bald", "random"]})
    (said,) = wording.say_data(runs)
    assert "phrases" in said
    assert wording.say_data(runs.drop(columns="strategy")) == [said]
    assert wording.say_data(runs[runs["strategy"] == "random"]) == []
    assert wording.say_data(runs[runs["task"] == "trec"]) == []
    place, heading = re.search(r"\(\.\./(\S+)#([^\s)]+)\)", said).groups()
    headings = re.findall(r"^#+ (.*)$", (ROOT / place).read_text("utf-8"), re.MULTILINE)
    assert heading in [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]


@pytest.mark.parametrize(
    ("accuracy", "chance", "told"), [(0.4, 0.34, 0), (0.37, 0.34, 1), (0.983, 0.957, 0), (0.96, 0.957, 1)]
)
def test_little_above_chance_is_measured_by_what_there_is_to_learn(accuracy, chance, told):
    runs = pd.DataFrame({"task": ["sst2"], "labelled": 910, "accuracy": accuracy, "majority": chance})
    assert len(wording.say_chance(runs)) == told

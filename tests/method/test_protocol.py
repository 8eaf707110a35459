"""A protocol is one run, whole: what it refuses, what its key is made of, and its streams of random numbers."""

import dataclasses
import itertools

import pytest
from helpers import refused

from lib.protocol import COMPUTING, LOCATIONS, STREAMS, Protocol, choices, digest, profile

# a changed value for each field that decides a run's numbers
CHANGED = {
    "task": "qnli",
    "strategy": "entropy",
    "seed": 1,
    "draw": 1,
    "frozen": 3,
    "frozen_dropout": "on",
    "start": 11,
    "query": 99,
    "rounds": 8,
    "pool": 19_999,
    "validation_rows": 100,
    "samples": 49,
    "mc_dropout": "decoder",
    "decoder": "linear",
    "maps": 999,
    "hidden": 999,
    "dropout": 0.55,
    "epochs": 99,
    "restart": "warm",
    "batch_size": 999,
    "encoder_lr": 0.5,
    "decoder_lr": 0.5,
    "warmup": 0.5,
    "weight_decay": 0.5,
    "clip": 55.0,
    "max_length": 127,
    "precision": "bfloat16",
    "threads": 2,
}


def protocol(**changes) -> Protocol:
    return Protocol(**{"task": "sst2", "precision": "float32", **changes})


def key(**changes) -> str:
    return digest(protocol(**changes).canonical())


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Protocol) if choices(field.name)])
def test_an_unknown_choice_is_refused_with_the_known_ones(field):
    with refused(f"{field}='guess'", *choices(field)):
        protocol(**{field: "guess"})


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with refused("'large'", "quick", "minilm", "paper"):
        profile("large")


def test_a_task_outside_its_profile_is_refused_with_the_profiles_tasks():
    with refused("'sst2'", "'quick'", "reviews", "kinds"):
        profile("quick").grid(tasks=("sst2",))


def test_acquiring_more_than_the_pool_holds_is_refused():
    with refused("rounds=9", "query=100", "900", "899"):
        protocol(pool=909)
    assert protocol(pool=910).pool == 910


def test_a_pool_that_ends_before_the_start_is_refused():
    with refused("pool=10", "start=10"):
        protocol(pool=10, rounds=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 1.0),
        ("samples", 0),
        ("samples", True),
        ("query", "20"),
        ("dropout", 1.0),
        ("dropout", float("nan")),
        ("encoder_lr", "1e-5"),
        ("max_length", 513),
        ("task", None),
    ],
)
def test_a_value_out_of_range_or_of_another_type_is_refused(field, value):
    with refused(f"{field}={value!r} is not allowed", field):
        protocol(**{field: value})


def test_automatic_precision_is_settled_where_a_run_is_computed():
    given = protocol(precision="auto")
    assert given.precision == "auto"
    assert given.on_this_machine().precision in ("float32", "bfloat16")
    assert protocol(precision="bfloat16").on_this_machine() == protocol(precision="bfloat16")


def test_the_key_changes_with_every_field_that_decides_the_numbers():
    assert CHANGED.keys() | set(LOCATIONS) == {field.name for field in dataclasses.fields(Protocol)}
    bald = {field: key(**{"strategy": "bald", field: value}) for field, value in CHANGED.items()}
    random = {field: key(**{"strategy": "random", field: value}) for field, value in CHANGED.items()}
    never = {"frozen_dropout", *COMPUTING}
    assert {field for field in CHANGED if bald[field] == key(strategy="bald")} == never
    assert {field for field in CHANGED if random[field] == key(strategy="random")} == {"samples", *never}
    assert key(frozen=2) != key(frozen=2, frozen_dropout="on")
    assert len({key(strategy=strategy) for strategy in choices("strategy")}) == len(choices("strategy"))


def test_the_key_does_not_say_where_things_lie():
    assert key(encoder="/one/folder", hub="/another", rows="first") == key()


def test_the_key_of_random_acquisition_ignores_stochastic_passes():
    assert key(strategy="random", samples=7) == key(strategy="random")


def test_training_once_on_the_start_is_one_run_whatever_would_have_been_acquired():
    once = key(rounds=0)
    assert once == key(rounds=0, strategy="random", query=7, pool=500, samples=3)
    assert once != key(rounds=0, start=110)


def test_whole_numbers_in_float_fields_are_the_same_protocol():
    assert key(dropout=0, warmup=0, clip=1) == key(dropout=0.0, warmup=0.0, clip=1.0)


def test_streams_do_not_depend_on_the_strategy():
    for stream, round_ in itertools.product(STREAMS, range(3)):
        ours = [protocol(strategy=s).torch_seed(stream, round_) for s in choices("strategy")]
        assert len(set(ours)) == 1
        draws = [protocol(strategy=s).generator(stream, round_).random() for s in choices("strategy")]
        assert len(set(draws)) == 1


def test_no_two_streams_share_a_seed():
    combinations = list(itertools.product(range(20), STREAMS, range(10)))
    seeds = {protocol(seed=seed).torch_seed(stream, round_) for seed, stream, round_ in combinations}
    assert len(seeds) == len(combinations)
    draws = {protocol(seed=seed).generator(stream, round_).random() for seed, stream, round_ in combinations}
    assert len(draws) == len(combinations)


def test_the_paper_profile_is_the_papers_protocol():
    paper = profile("paper")
    assert set(paper.tasks) == {"mnli", "qnli", "sst2", "snli"}
    assert set(paper.frozen) == {0, 3, -3, 6, -6}
    runs = paper.grid(strategies=("bald", "random"), frozen=paper.frozen)
    assert len(runs) == len(set(runs)) == 4 * 2 * 5 * 3
    for run in runs:
        assert run.start + run.rounds * run.query == 910
        assert (run.start, run.pool, run.samples, run.epochs, run.dropout) == (10, 20_000, 50, 3, 0.1)
        assert run.encoder.startswith("google-bert/bert-base-uncased@")


def test_minilm_is_the_papers_protocol_on_another_encoder():
    (minilm,), (paper,) = (profile(name).grid(tasks=("sst2",), runs=1) for name in ("minilm", "paper"))
    fields = (field.name for field in dataclasses.fields(Protocol))
    changed = {"encoder", "encoder_lr", "rows", "validation_rows"}
    assert {f for f in fields if getattr(minilm, f) != getattr(paper, f)} == changed


def test_a_grid_holds_every_combination_once_seeds_innermost():
    runs = profile("quick").grid(strategies=("bald", "random"), frozen=(0, 2), runs=2, samples=5)
    said = [(run.task, run.strategy, run.frozen, run.seed) for run in runs]
    assert said == list(itertools.product(("reviews", "kinds"), ("bald", "random"), (0, 2), (0, 1)))
    assert {run.samples for run in runs} == {5}


@pytest.mark.parametrize("runs", [-1, 1.5])
def test_a_grid_refuses_an_impossible_number_of_runs(runs):
    with refused(f"runs={runs}"):
        profile("quick").grid(runs=runs)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"task": "reviews"}, "'task' is not a field to change"),
        ({"strategy": "entropy"}, "'strategy' is not a field to change"),
        ({"querry": 3}, "'querry' is not a field to change"),
        ({"frozen": 9}, "frozen=9 is beyond the 6 layers"),
        ({"frozen": "0,-7"}, "frozen=-7 is beyond the 6 layers"),
        ({"frozen": "one"}, "give whole numbers"),
        ({"tasks": ","}, "tasks=',' names nothing"),
        ({"tasks": 5}, "tasks=5 is not allowed: give names"),
        ({"strategies": None}, "strategies=None is not allowed"),
        ({"runs": True}, "runs=True is not allowed"),
        ({"runs": 10**7}, "give a number of seeds up to 10,000"),
    ],
)
def test_a_mistake_in_a_grid_is_one_line(mistake, said):
    with refused(said):
        profile("quick").grid(**mistake)


@pytest.mark.parametrize("given", [2, "2", (2,), [2]])
def test_one_f_may_be_given_as_a_number(given):
    assert profile("quick").grid(tasks="reviews", runs=1, frozen=given) == profile("quick").grid(
        tasks="reviews", runs=1, frozen=(2,)
    )


ROWS = {"mnli": 20_000, "qnli": 20_000, "snli": 20_000, "sst2": 20_000, "trec": 5452}


def test_a_drawn_repetition_has_its_own_draw_and_shares_it_between_strategies():
    drawn = profile("minilm").grid(tasks="trec", strategies="bald,random", drawn=True)
    assert [(run.strategy, run.seed, run.draw) for run in drawn[::9]] == [
        ("bald", 0, 1),
        ("bald", 9, 10),
        ("random", 8, 9),
    ]
    assert {run.draw for run in profile("minilm").grid(tasks="trec")} == {0}


def test_the_plan_of_the_study_has_every_run_of_its_notebooks_once():
    study = profile("minilm")
    stages = study.stages(ROWS)
    planned = [run for runs in stages.values() for run in runs]
    asked = study.grid(strategies="bald,random") + study.grid(frozen=study.frozen) + study.data_sizes(ROWS)
    asked += [run for setting in study.open_questions().values() for run in setting]
    asked += study.grid(strategies="bald,random", drawn=True)
    assert {key_of(run) for run in planned} == {key_of(run) for run in asked}
    assert {name: len(set(map(key_of, runs))) for name, runs in stages.items()} == {
        "A": 2 * 5 * (2 + 4),  # tasks × seeds × (BALD, random, F = ±2, ±3)
        "B": 3 * 3 * 2,
        "C": 3 * (8 + 7) + 3 * 2 * 7,  # SST-2's sizes and TREC's, which ends with all of its rows; the pairs' to 10,000
        "D": 3 * 3 * 4,
        "E": 2 * 3 * 15,
        "F": 3 * 2 * 2,
        "G": 5 * 10 * 2,
    }
    assert [run.task for run in planned[:10]] == ["trec"] * 10, "the cheapest evidence comes first"


def key_of(run) -> str:
    return digest(run.canonical())


def test_a_task_alone_has_its_part_of_the_plan():
    stages = profile("minilm").stages({"mnli": 20_000}, hub="elsewhere")
    numbers = {"A": 0, "B": 6, "C": 14, "D": 12, "E": 0, "F": 4, "G": 20}
    assert {name: len(runs) for name, runs in stages.items()} == numbers
    assert {run.seed for run in stages["F"]} == {3, 4}
    assert {run.hub for runs in stages.values() for run in runs} == {"elsewhere"}


def test_more_or_fewer_seeds_can_be_asked_for_than_the_plan_has():
    study = profile("minilm")
    assert {run.seed for run in study.grid(tasks="mnli", runs=1)} == {0}
    assert len(study.grid(tasks="mnli", frozen=(0, 2))) == 5 + 3
    assert len(study.data_sizes({"qnli": 20_000}, runs=4)) == 4 * 7

"""The picker opens what the store has: another seed, another run beside it, a row in another run, or says why not."""

import shutil

import pytest
from helpers import refused

from lib.explorer import Explorer, catalogue
from lib.runs import published
from lib.runs.results import Run
from lib.runs.run import run


@pytest.fixture(scope="module")
def runs(tiny_protocol, tmp_path_factory) -> dict[str, Run]:
    """Three runs of BALD and one of random, in a store of their own."""
    store = tmp_path_factory.mktemp("picker")
    fields = {"bald": {}, "seed 1": {"seed": 1}, "F = -1": {"frozen": -1}, "random": {"strategy": "random"}}
    protocols = {name: tiny_protocol(task="snli", samples=20, **changed) for name, changed in fields.items()}
    for protocol in protocols.values():
        run(protocol, store)
    return {name: Run(protocol, store) for name, protocol in protocols.items()}


@pytest.fixture
def explorer(runs, monkeypatch, tmp_path) -> Explorer:
    monkeypatch.setattr(published, "STUDIES", tmp_path / "none")
    return Explorer(runs["bald"], runs["random"])


def test_without_a_run_it_opens_the_first_with_scores_and_random_beside_it(runs, monkeypatch, tmp_path):
    monkeypatch.setattr(published, "STUDIES", tmp_path / "none")
    explorer = Explorer(store=runs["bald"].store)
    assert (explorer.first.run.name, explorer.second.run.name) == (runs["bald"].name, runs["random"].name)


def test_an_empty_store_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "STUDIES", tmp_path / "none")
    with refused("no finished run in", "compute one with ./run_all.sh"):
        Explorer(store=tmp_path)


def test_the_lists_hold_what_is_there_and_nothing_else(explorer, runs):
    fields = explorer.picker.fields
    assert [value for _, value in fields["strategy"].options] == ["bald"], "random has no scores to explore"
    assert [value for _, value in fields["frozen"].options] == [-1, 0]
    assert [value for _, value in fields["seed"].options] == [0, 1]
    beside = dict(explorer.picker.beside.options)
    assert beside["random, F = 0, seed 0"] == runs["random"].name
    assert explorer.picker.beside.value == runs["random"].name


def test_another_seed_opens_that_run_in_the_same_round_without_what_it_does_not_have(explorer, runs):
    explorer.controls.round.value = 0
    explorer.picker.fields["seed"].value = 1
    assert (explorer.first.run.name, explorer.second) == (runs["seed 1"].name, None)
    assert explorer.round == 0
    right = explorer.first.rounds["accuracy"][0]
    assert f"accuracy <b>{right:.3f}</b>" in explorer.about.value
    assert "seed 1" in explorer.children[0].value


def test_an_f_that_the_seed_does_not_have_leads_to_a_seed_that_has_it(explorer, runs):
    explorer.picker.fields["seed"].value = 1
    explorer.picker.fields["frozen"].value = -1
    assert explorer.first.run.name == runs["F = -1"].name
    assert explorer.picker.fields["seed"].value == 0


def test_nothing_or_another_run_can_stand_beside_it(explorer, runs):
    explorer.picker.beside.value = ""
    assert explorer.second is None
    explorer.picker.beside.value = runs["F = -1"].name
    assert explorer.second.run.name == runs["F = -1"].name


def test_a_link_opens_the_chosen_row_in_the_other_run(explorer, runs):
    explorer.grid.chosen = 3
    row = explorer.chosen["row"]
    assert f'data-run="{runs["seed 1"].name}"' in explorer.detail.value
    explorer._message(None, {"open": runs["seed 1"].name}, [])
    assert explorer.first.run.name == runs["seed 1"].name
    assert f"<h4>Row {row}</h4>" in explorer.detail.value
    explorer._message(None, {"open": "no such run"}, [])
    assert explorer.first.run.name == runs["seed 1"].name


def test_a_run_that_cannot_be_opened_is_a_line_and_the_open_one_stays(explorer, runs, tmp_path):
    other = runs["seed 1"].folder
    shutil.copytree(other, tmp_path / "kept")
    try:
        next(other.glob("round-*/pool.parquet")).write_bytes(b"torn")
        explorer.picker.fields["seed"].value = 1
        assert 'role="alert"' in explorer.trouble.value
        assert runs["seed 1"].name in explorer.trouble.value
        assert explorer.first.run.name == runs["bald"].name
        assert explorer.picker.fields["seed"].value == 0
    finally:
        shutil.rmtree(other)
        shutil.copytree(tmp_path / "kept", other)


def test_the_range_of_scores_is_that_of_the_round(explorer):
    for round_ in (0, 1):
        explorer.controls.round.value = round_
        scores = explorer.table["score"]
        assert explorer.controls.range.value == pytest.approx((scores.min(), scores.max()))
        assert f"<span>{scores.min():.5f}"[:12] in explorer.histogram.value


def test_words_that_a_search_found_are_marked_in_the_table_and_the_pane(explorer):
    explorer.controls.filters["search"].value = "film"
    assert '<mark class="found">film</mark>' in explorer.detail.value.lower()
    page = explorer.grid.page
    assert any(any(spans) for spans in page["found"])


def test_what_a_run_lacks_is_not_in_the_catalogue(runs):
    found = catalogue.read(runs["bald"].store, like=runs["bald"])
    names = {one.name for one in runs.values()}
    assert names <= set(found.runs)
    assert runs["random"].name not in {found.best(one, runs["bald"].protocol) for one in found.identities()}

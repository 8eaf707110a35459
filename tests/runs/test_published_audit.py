"""Published runs are checked and verified as live ones are, by what of them is published."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from helpers import refused, stored

from lib.command import publish
from lib.protocol import PROFILES, Profile, profile
from lib.runs import audit, published, results
from lib.runs.packing import Scope
from lib.runs.published import MANIFEST, Study
from lib.runs.results import Run, load
from lib.runs.run import run


@pytest.fixture(scope="module")
def study(tiny_protocol) -> Profile:
    """A profile, called tiny, whose runs are tiny_protocol's."""
    common = {field: value for field, value in vars(tiny_protocol()).items() if field not in ("task", "seed", "frozen")}
    del common["strategy"]
    return dataclasses.replace(
        profile("minilm"), name="tiny", tasks=("sst2",), plan=(), runs=2, layers=4, common=common
    )


@pytest.fixture(scope="module")
def runs(study, tmp_path_factory) -> dict[str, Run]:
    """Of the live store: BALD twice, random, BALD that goes on from where it was, and a run that acquires nothing."""
    store = tmp_path_factory.mktemp("live")
    found = study.grid(strategies="bald,random") + study.grid(restart="warm", runs=1)
    found += study.data_sizes({"sst2": 20}, runs=1)[:1]
    for protocol in found:
        run(protocol, store)
    names = {p: f"{p.strategy} {p.seed}" for p in found} | {found[-2]: "warm", found[-1]: "size"}
    return {name: Run(p, store) for p, name in names.items()}


@pytest.fixture(scope="module")
def whole(study, runs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    publish.publish_runs(folder / "tiny", Scope(study), list(runs.values()))
    manifest = Study(folder / "tiny").manifest
    for name, entry in manifest["runs"].items():  # folders of this machine are not published; here they must be found
        (protocol,) = (one.protocol for one in runs.values() if one.name == name)
        shared = manifest["provenance"][entry["provenance"]]
        shared["locations"] = {place: getattr(protocol, place) for place in ("encoder", "hub", "rows")}
    published._write_manifest(folder / "tiny", manifest)
    return folder


@pytest.fixture
def studies(whole, study, tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(PROFILES, "tiny", study)
    copy = shutil.copytree(whole, tmp_path / "studies")
    monkeypatch.setattr(published, "STUDIES", copy)
    return copy


@pytest.fixture
def empty(tmp_path) -> Path:
    """A live store without a run."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


# ---- check


def test_a_sound_study_has_no_problem(studies, runs):
    assert audit.check_studies() == []
    assert audit.published_runs() == len(runs)


def test_what_is_altered_gone_or_foreign_is_a_line_each(studies):
    before = {table: file for _, table, file in Study(studies / "tiny").files}
    rounds, layers = (studies / "tiny" / before[kind] for kind in ("rounds", "layers"))
    rounds.write_bytes(rounds.read_bytes()[:-1] + b"?")
    layers.unlink()
    (studies / "tiny" / "notes.txt").touch()
    (studies / "other").mkdir()
    assert audit.check_studies() == [
        "study other: foreign: it has no manifest.json",
        f"study tiny: {layers.name} is gone",
        f"study tiny: {rounds.name} is altered",
        f"study tiny: notes.txt is foreign: {MANIFEST} does not name it",
    ]


def test_an_altered_manifest_and_one_of_another_version_are_one_line(studies):
    path = studies / "tiny" / MANIFEST
    manifest = Study(studies / "tiny").manifest
    path.write_text(path.read_text().replace('"bald"', '"BALD"', 1))
    assert audit.check_studies() == [f"study tiny: {MANIFEST} is torn or altered"]
    published._write_manifest(studies / "tiny", manifest | {"format": 0})
    assert audit.check_studies() == ["study tiny: it is of format 0, this version reads 2: it is left alone"]


def test_the_store_of_a_checkout_holds_its_studies(studies, runs, monkeypatch, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(studies, store / "study")
    monkeypatch.setattr(published, "STUDIES", store / "study")
    assert audit.check(store) + audit.check_studies() == []


# ---- verify


@pytest.mark.parametrize("round_", [0, 1, 2])
@pytest.mark.parametrize("name", ["bald 0", "bald 1", "random 0", "warm"])
def test_a_published_round_is_computed_again_bit_for_bit(name, round_, runs, studies, empty):
    before = stored(studies)
    same, line = audit.verify(empty, runs[name].name, round_)
    assert same, line
    assert line.startswith(f"{runs[name].name}, round-0{round_}: ")
    assert line.endswith("tables, as published, are equal bit for bit")
    assert stored(studies) == before
    assert stored(empty) == {}


def test_a_run_that_its_tables_call_by_an_earlier_name_is_read_and_verified(runs, studies, study, empty):
    """Keys change with METHOD_VERSION or a renamed field; published tables are not written anew for that."""
    run, folder = runs["bald 0"], studies / "tiny"
    entry = Study(folder).runs[run.name]
    tables = Scope(study).tables([run])
    for kind, pieces in tables.items():
        column = pa.array(["earlier"] * len(pieces[0]), pieces[0].schema.field("run").type)
        tables[kind] = [pieces[0].set_column(pieces[0].schema.get_field_index("run"), "run", column)]
    manifest = published.write(folder, {run.name: entry}, tables, []).manifest
    manifest["runs"][run.name]["label"] = "earlier"
    published._write_manifest(folder, manifest)
    assert load("rounds", [run.protocol], empty)["run"].unique().tolist() == [run.name]
    same, line = audit.verify(empty, run.name, 1)
    assert same, line


def test_without_a_name_it_is_the_cheapest_run_live_or_published(runs, studies, empty):
    same, line = audit.verify(empty)
    assert same
    assert line.startswith(runs["size"].name)
    shutil.copytree(runs["random 0"].folder, empty / runs["random 0"].name)
    assert "files are equal" in audit.verify(empty, "sst2-random-F0-seed0")[1], "a run in both is taken live"
    with refused("no finished run qnli", "published"):
        audit.verify(empty, "qnli")


def test_a_published_number_that_was_forged_is_found(runs, studies, study, tmp_path, empty):
    """With checksums that fit: each table of the round in turn."""
    forged = Run(runs["bald 0"].protocol, tmp_path / "forged")
    for file, change in {
        "rounds": lambda table: table.assign(loss=table["loss"] + 2**-40),
        "layers": lambda table: table.assign(mean=table["mean"] * (1 + 2**-20)),
        "validation": lambda table: table.assign(prediction=1 - table["prediction"]),
        "pool": lambda table: table.assign(bald=table["bald"] * 2),
        "samples": lambda table: table.assign(features=[-row for row in table["features"]]),
    }.items():
        tables = Scope(study).tables([runs["bald 0"]])
        tables[file] = [Scope(study).pack(file, runs["bald 0"], change(runs["bald 0"].table(file)))]
        entries = {name: entry for name, entry in Study(studies / "tiny").runs.items() if name == forged.name}
        published.write(studies / "tiny", entries, tables, [])
        same, line = audit.verify(empty, forged.name, 1)
        assert (same, f": {file} differ, on the same machine" in line) == (False, True), line


def test_on_another_machine_a_tolerance_is_stated(runs, studies, empty, monkeypatch):
    here = results.provenance()
    monkeypatch.setattr(audit.results, "provenance", lambda: here | {"processor": "another"})
    monkeypatch.setattr(audit, "same_rows", lambda ours, theirs: False)
    same, line = audit.verify(empty, runs["bald 0"].name)
    assert same
    assert "computed elsewhere (other processor): accuracy differs by 0.0000" in line
    assert "5 of 5 picks are shared" in line

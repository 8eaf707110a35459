"""What the store finds out about itself: damage is one line, costs one run, and nothing is deleted."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers import refused, stored

from lib import cli
from lib.protocol import METHOD_VERSION
from lib.runs import audit, results, sweep
from lib.runs.results import Run, load
from lib.runs.run import run


@pytest.fixture(scope="module")
def whole(tiny_protocol, tmp_path_factory) -> Path:
    """A store with two finished runs of two rounds."""
    store = tmp_path_factory.mktemp("whole")
    for strategy in ("bald", "random"):
        run(tiny_protocol(strategy=strategy, rounds=1), store)
    return store


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "results")


@pytest.fixture
def bald(tiny_protocol, copy) -> Run:
    return Run(tiny_protocol(rounds=1), copy)


def run_all(*arguments) -> int:
    return cli.main([*map(str, arguments)])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "truncated": truncate,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 3),
    "altered": alter,
    "deleted": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("file", ["round-01/round.json", "round-00/samples.parquet", "DONE"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line_and_costs_its_own_run_alone(damage, file, bald, copy, tiny_protocol, capsys):
    if (damage, file) in {("deleted", "DONE"), ("altered", "DONE")}:
        pytest.skip("without DONE the run is partial, and finishes again; every bit of it is a checksum")
    DAMAGE[damage](bald.folder / file)
    before = stored(copy)
    (problem,) = audit.check(copy)
    assert problem.startswith(f"{bald.name}: {file} is ")
    rounds = sweep([tiny_protocol(rounds=1), tiny_protocol(strategy="random", rounds=1)], copy)
    assert set(rounds["strategy"]) == {"random"}
    assert f"{file} is " in capsys.readouterr().err
    assert stored(copy) == before, "nothing is deleted, nothing repaired behind the user's back"


def test_files_that_are_put_back_make_the_run_whole_again(bald, copy, tiny_protocol):
    file = bald.folder / "round-01" / "round.json"
    content = file.read_bytes()
    truncate(file)
    with pytest.raises(RuntimeError, match="1 of 1 runs failed"):
        sweep([tiny_protocol(rounds=1)], copy)
    file.write_bytes(content)
    assert len(sweep([tiny_protocol(rounds=1)], copy)) == 2
    assert not (bald.folder / "failed.json").exists()


@pytest.mark.parametrize("file", ["round.json", "layers.parquet"])
def test_a_torn_round_is_not_continued(file, bald, tiny_protocol):
    (bald.folder / "DONE").unlink()
    truncate(bald.folder / "round-00" / file)
    with refused(f"round-00/{file} is torn", str(bald.folder)):
        run(tiny_protocol(rounds=1), bald.store)


def test_a_sound_store_has_no_problem(whole, capsys):
    assert run_all("check", "--results", whole) == 0
    assert capsys.readouterr().out == "2 runs, 0 problems\n"


def test_foreign_things_are_reported_and_left_alone(bald, copy):
    (copy / "notes.txt").write_text("mine")
    (copy / "downloads").mkdir()
    (copy / "downloads" / "file").touch()
    (copy / "data" / "mine").mkdir(parents=True)  # of --data: neither a run nor foreign
    (copy / "data" / "mine" / "profile.json").touch()
    (bald.folder / "round-00" / "extra.parquet").touch()
    said = json.loads((bald.folder / "protocol.json").read_text()) | {"method": 0}
    older = shutil.copytree(bald.folder, copy / "sst2-bald-F0-seed0-000000000000")
    (older / "protocol.json").write_text(json.dumps(said))
    before = stored(copy)
    assert audit.check(copy) == [
        f"1 runs in {copy} are of another version (this one is {METHOD_VERSION}): they are left alone",
        "downloads: foreign or torn: it has no protocol.json",
        "notes.txt: foreign: a store holds one folder a run",
        f"{bald.name}: round-00/extra.parquet is foreign: DONE does not name it",
    ]
    assert stored(copy) == before


def test_the_store_works_in_another_folder_and_the_committed_study_is_read_too(whole, tmp_path, tiny_protocol):
    moved = shutil.copytree(whole, tmp_path / "elsewhere" / "study")
    assert audit.check(moved.parent) == []
    assert len(load("rounds", [tiny_protocol(rounds=1)], moved)) == 2


def test_one_round_is_recomputed_and_equal_bit_for_bit(bald, capsys):
    assert run_all("verify", bald.name[:8], "--round", 0, "--results", bald.store) == 0
    assert "5 files are equal bit for bit" in capsys.readouterr().out
    assert run_all("verify", "--results", bald.store) == 0
    assert "sst2-random" in capsys.readouterr().out, "without a name it is the cheapest run"


def test_a_round_that_was_forged_is_found(bald, capsys):
    file = bald.folder / "round-01" / "round.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"accuracy": record["accuracy"] + 0.2}))
    bald.finish()  # with checksums that fit
    assert run_all("verify", bald.name, "--results", bald.store) == 1
    assert "round-01/round.json differ, on the same machine" in capsys.readouterr().out


def test_on_another_machine_a_tolerance_is_stated(bald, monkeypatch, capsys):
    here = results.provenance()
    monkeypatch.setattr(audit.results, "provenance", lambda: here | {"processor": "another"})
    layers = pd.read_parquet(bald.folder / "round-01" / "layers.parquet")
    layers.assign(mean=layers["mean"] * 1.01).to_parquet(bald.folder / "round-01" / "layers.parquet", index=False)
    bald.finish()
    assert run_all("verify", bald.name, "--results", bald.store) == 0
    assert "computed elsewhere (other processor): accuracy differs by 0.0000 (allowed 0.05)" in capsys.readouterr().out


def test_a_run_that_has_the_baseline_of_an_earlier_version_is_verified_without_it(bald, capsys):
    path = bald.folder / "round-01" / "round.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"baseline": {"accuracy": 0.4}}))
    bald.finish()
    assert run_all("verify", bald.name, "--results", bald.store) == 0
    assert "equal bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["verify", "nothing"], ["check", "--results", "nowhere"], ["verify", "--round", "9"]]
)
def test_a_mistake_is_one_line(arguments, whole, capsys):
    where = [] if "--results" in arguments else ["--results", str(whole)]
    assert run_all(*arguments, *where) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""What a run is, and what is only how it was computed: precision, threads; and the version of the method."""

import json
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from helpers import SPEC, run_all, stopped_before
from nbformat.v4 import new_code_cell, new_notebook

from lib.analysis.wording import say_precision
from lib.method import active_learning
from lib.protocol import PROFILES, profile
from lib.runs import audit, plans, sweep
from lib.runs.ledger import ledger
from lib.runs.results import Run, load
from lib.runs.run import run


def everything(store: Path) -> dict[str, tuple[bytes, int]]:
    """All files of a store, and when they were written; locks hold nothing."""
    files = (path for path in sorted(store.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(store)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def origin(run: Run) -> dict:
    return json.loads((run.folder / "provenance.json").read_text("utf-8"))


# ---- precision and threads


def test_one_run_has_one_key_however_it_is_computed(tiny_protocol, tmp_path):
    ways = [{"precision": kind, "threads": n} for kind in ("auto", "float32", "bfloat16") for n in (1, 2)]
    assert len({Run(tiny_protocol(**way), tmp_path).key for way in ways}) == 1
    assert len({Run(tiny_protocol(seed=seed), tmp_path).key for seed in (0, 1)}) == 2
    for name in ("quick", "minilm", "paper"):
        assert {p.precision for p in profile(name).grid()} == {"auto"}, "no profile asks for a processor"


def test_a_run_that_was_computed_with_bfloat16_is_found_by_who_asks_for_float32(tiny_protocol, tmp_path, monkeypatch):
    first = run(tiny_protocol(precision="bfloat16"), tmp_path)
    monkeypatch.setattr("lib.runs.run.compute", None)
    for kind in ("float32", "auto"):
        again = sweep([tiny_protocol(precision=kind)], tmp_path)
        assert again["accuracy"].tolist() == first["accuracy"].tolist()
        (entry,) = ledger([tiny_protocol(precision=kind)], tmp_path)
        assert entry.state == "done"


def test_a_run_goes_on_in_the_precision_and_threads_in_which_it_was_begun(tiny_protocol, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", (set_threads := []).append)  # two are slow where all cores are busy
    begun, asked = ({"precision": "bfloat16", "threads": 2}, {"precision": "float32", "threads": 1})
    whole = run(tiny_protocol(**begun), tmp_path / "whole")
    with stopped_before(1, monkeypatch):
        run(tiny_protocol(**begun), tmp_path / "store")
    assert Run(tiny_protocol(), tmp_path / "store").rounds_done == 1
    used = []
    set_threads.clear()

    def compute(record, task, theta_0):
        given = record.protocol
        used.append((given.precision, given.threads, set_threads[:], theta_0.encoder.precision))
        return computed(record, task, theta_0)

    computed = sys.modules["lib.runs.run"].compute
    monkeypatch.setattr("lib.runs.run.compute", compute)
    finished = run(tiny_protocol(**asked), tmp_path / "store")
    assert used == [("bfloat16", 2, [2], "bfloat16")]
    record = origin(Run(tiny_protocol(), tmp_path / "store"))
    assert (record["precision"], record["threads"]) == ("bfloat16", 2)
    assert finished["loss"].tolist() == whole["loss"].tolist(), "bit for bit as if it had not been stopped"


def test_a_run_that_another_process_began_meanwhile_keeps_its_precision(tiny_protocol, tmp_path, monkeypatch):
    """Both found nothing; the other one, on other hardware, got the lock first, wrote a round and died."""
    prepare = active_learning.prepare

    def overtaken(protocol):
        monkeypatch.setattr("lib.runs.run.prepare", prepare)
        with stopped_before(1, monkeypatch):
            run(tiny_protocol(precision="bfloat16"), tmp_path)
        return prepare(protocol)

    monkeypatch.setattr("lib.runs.run.prepare", overtaken)
    run(tiny_protocol(precision="float32"), tmp_path)
    whole = run(tiny_protocol(precision="bfloat16"), tmp_path / "whole")
    assert origin(Run(tiny_protocol(), tmp_path))["precision"] == "bfloat16"
    assert load("rounds", [tiny_protocol()], tmp_path)["loss"].tolist() == whole["loss"].tolist()


def test_a_store_with_both_precisions_says_which_runs_were_computed_how(tiny_protocol, tmp_path):
    protocols = [tiny_protocol(seed=seed, rounds=0, epochs=1) for seed in range(3)]
    run(tiny_protocol(seed=0, rounds=0, epochs=1, precision="bfloat16"), tmp_path)
    for protocol in protocols[1:]:
        run(protocol, tmp_path)
    for table in ("rounds", "layers"):
        told = load(table, protocols, tmp_path)
        assert told.groupby("seed")["precision"].unique().str.join(" ").tolist() == ["bfloat16", "float32", "float32"]
        (sentence,) = say_precision(told)
        assert "on SST-2 1 runs in bfloat16 (seeds 0) and 2 runs in float32 (seeds 1, 2)" in sentence
        assert say_precision(told[told["precision"] == "float32"]) == []


# ---- verify


@pytest.fixture(scope="module")
def whole(tiny_protocol, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("whole")
    run(tiny_protocol(rounds=1), store)
    return store


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "results")


def test_verify_of_a_run_that_is_done_writes_nothing(store, tiny_protocol):
    finished = Run(tiny_protocol(rounds=1), store)
    before = everything(store)
    same, line = audit.verify(store, finished.name, 0)
    assert (same, line.endswith("equal bit for bit")) == (True, True)
    assert everything(store) == before


def test_verify_computes_in_the_precision_and_threads_of_the_run(tiny_protocol, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", (set_threads := []).append)
    run(tiny_protocol(rounds=0, precision="bfloat16", threads=2), tmp_path)
    set_threads.clear()
    monkeypatch.setattr("lib.protocol.fastest_precision", lambda: "float32")
    same, line = audit.verify(tmp_path, Run(tiny_protocol(rounds=0), tmp_path).name)
    assert same, line
    assert line.endswith("equal bit for bit")
    assert set_threads[0] == 2


def test_verify_from_another_folder_agrees(store, tiny_protocol, tiny_hub, tmp_path):
    """Whoever has the rows elsewhere says where."""
    moved = shutil.copytree(tiny_hub, tmp_path / "elsewhere")
    same, line = audit.verify(store, Run(tiny_protocol(rounds=1), store).name, 0, str(moved))
    assert same, line


# ---- a store of an older version


@pytest.fixture
def older(tmp_path) -> Path:
    """A store as schema 3 wrote it: two runs, and a third in a store inside."""
    fields = {"task": "reviews", "strategy": "bald", "frozen": 0, "precision": "float32", "threads": 1}
    for number, below in enumerate((".", ".", "study")):
        folder = tmp_path / "old" / below / f"reviews-bald-F0-seed{number}-00000000000{number}"
        (folder / "round-00").mkdir(parents=True)
        protocol = {"schema": 3, "protocol": fields | {"seed": number}, "rows": "r", "weights": "w", "fields": fields}
        for name, content in {
            "protocol.json": protocol,
            "provenance.json": {"code": "c", "modules": {}},
            "DONE": {"round-00/round.json": "not its checksum"},
            "round-00/round.json": {"round": 0},
        }.items():
            (folder / name).write_text(json.dumps(content), "utf-8")
    return tmp_path / "old"


def test_check_says_in_one_line_that_a_store_is_of_an_older_version_and_touches_nothing(older, tmp_path, capsys):
    shutil.rmtree(older / "study")
    before = everything(older)
    assert run_all(tmp_path, "check", "--results", older) == 1
    line, summary = capsys.readouterr().out.splitlines()
    assert line.startswith(f"2 runs in {older} are of another version")
    assert summary == "2 runs, 1 problems"
    assert everything(older) == before


def test_a_run_of_this_version_beside_older_ones_is_checked(older, tiny_protocol, tmp_path):
    shutil.rmtree(older / "study")
    run(tiny_protocol(rounds=0, epochs=1), older)
    assert len(audit.check(older)) == 1
    finished = Run(tiny_protocol(rounds=0, epochs=1), older)
    (finished.folder / "round-00" / "layers.parquet").write_bytes(b"torn")
    assert [line for line in audit.check(older) if "layers.parquet" in line] == [
        f"{finished.name}: round-00/layers.parquet is altered"
    ]


def test_status_says_the_same_line_and_plans_anew(older, tmp_path, capsys, monkeypatch):
    cells = [new_code_cell('profile: str = "quick"\nresults: str = ""', metadata={"tags": ["parameters"]})]
    monkeypatch.setitem(plans.PLANS, "01_one", lambda profile: PROFILES[profile].grid(tasks="reviews", runs=2))
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells, metadata=SPEC), tmp_path / "notebooks" / "01_one.ipynb")
    before = everything(older)
    assert run_all(tmp_path, "status", "--results", older, notebooks=tmp_path / "notebooks") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"2 runs in {older} are of another version")
    assert sum("another version" in line for line in lines) == 1
    assert lines[1].startswith("01_one: 2 runs: 2 missing")
    assert everything(older) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--round", "1"], "No such option '--round'"),
        (["verify", "--round", "one"], "'one' is not a valid integer"),
        (["verify", "--workers", "2"], "No such option '--workers'"),
        (["verify", "one", "two"], "unexpected extra argument (two)"),
        (["--rows", "last"], "'last': choose from study, first"),
    ],
)
def test_a_mistake_in_check_verify_or_rows_is_one_line(arguments, words, tmp_path, capsys):
    assert run_all(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1

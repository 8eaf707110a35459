"""What status and the dry run say: which runs the notebooks need, what is there, why not, and what it will cost."""

import inspect
import json
import shutil
import time
from pathlib import Path

import nbformat
import pytest
from helpers import ROOT, SPEC, run_all, stopped_before, stored
from nbformat.v4 import new_code_cell, new_notebook

from lib.command.notebooks import read_parameters
from lib.protocol import profile as get_profile
from lib.runs import plans, results
from lib.runs.cluster import divide
from lib.runs.compute import SweepError, cost, sweep
from lib.runs.ledger import ledger, summary
from lib.runs.results import Run
from lib.runs.run import run


def only(protocol, store):
    (entry,) = ledger([protocol, protocol], store)
    return entry


@pytest.fixture(scope="module")
def whole(tiny_protocol, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("whole")
    run(tiny_protocol(), store)
    return store


def test_a_finished_run_is_done_and_costs_nothing(tiny_protocol, whole):
    entry = only(tiny_protocol(), whole)
    assert (entry.state, entry.seconds, entry.reason) == ("done", 0, "")
    assert str(entry) == f"done    {entry.run.name}"


def test_a_missing_run_says_in_what_it_differs_from_the_nearest_and_what_it_will_cost(tiny_protocol, whole):
    protocol = tiny_protocol(query=6, samples=9)
    entry = only(protocol, whole)
    name = Run(tiny_protocol(), whole).name
    assert (entry.state, entry.reason) == ("missing", f"differs from {name}: query 5 → 6, samples 8 → 9")
    timings = [json.loads(file.read_text()) for file in (whole / name).glob("*/timings.json")]
    seconds = sum(sum(one.values()) for one in timings)
    assert entry.seconds == pytest.approx(seconds / cost(tiny_protocol()) * cost(protocol))


def test_other_weights_and_another_version_are_reasons(tiny_protocol, whole, tmp_path, monkeypatch):
    protocol, now = tiny_protocol(), results.METHOD_VERSION
    monkeypatch.setattr("lib.runs.results.sources.weights_fingerprint", lambda encoder: "others")
    monkeypatch.setattr(results, "METHOD_VERSION", "next")
    assert only(protocol, whole).reason.endswith(f": method {now} → next, other weights")


def test_an_estimate_from_other_tasks_is_called_rough(tiny_protocol, whole):
    protocol = tiny_protocol(task="mnli")
    entry = only(protocol, whole)
    assert entry.rough
    assert not only(tiny_protocol(query=6), whole).rough
    assert ", roughly " in str(entry)
    assert summary([entry]).endswith(" of computing left (by the times of other tasks or weights)")


def test_a_damaged_run_costs_as_much_as_the_whole_run(tiny_protocol, whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "store")
    (store / Run(tiny_protocol(), store).name / "round-01" / "round.json").write_text("{")
    with pytest.raises(SweepError):
        sweep([tiny_protocol()], store)
    entry = only(tiny_protocol(), store)
    assert entry.state == "failed"
    assert entry.seconds == pytest.approx(ledger([tiny_protocol(query=6)], whole)[0].seconds, rel=0.5)


def test_a_run_without_a_relative_says_so(tiny_protocol, whole, tmp_path):
    assert only(tiny_protocol(seed=3), whole).reason == "no run of this task, strategy, F and seed is stored"
    entry = only(tiny_protocol(), tmp_path / "nowhere")
    assert (entry.state, entry.seconds) == ("missing", None)
    assert not (tmp_path / "nowhere").exists()


def test_a_partial_run_says_its_round_and_what_is_left(tiny_protocol, whole, tmp_path, monkeypatch):
    store = shutil.copytree(whole, tmp_path / "store")
    with stopped_before(1, monkeypatch):
        run(tiny_protocol(seed=1), store)
    entry = only(tiny_protocol(seed=1), store)
    assert (entry.state, entry.reason) == ("partial", "at round 1 of 2")
    assert entry.seconds > 0


def test_a_failed_run_says_its_cause_and_is_tried_again(tiny_protocol, tmp_path):
    ours = Run(tiny_protocol(), tmp_path)
    ours.fail("ValueError: boom", "Traceback\nValueError: boom")
    entry = only(tiny_protocol(), tmp_path)
    assert (entry.state, entry.reason) == ("failed", "round 0: ValueError: boom")
    run(tiny_protocol(), tmp_path)
    assert only(tiny_protocol(), tmp_path).state == "done"


def test_unreadable_files_of_the_store_do_not_stop_the_ledger(tiny_protocol, whole, tmp_path):
    store = shutil.copytree(whole, tmp_path / "store")
    for file in (*store.rglob("*.json"), *store.rglob("DONE")):
        file.write_bytes(b"\xff{")
    (store / "notes.txt").touch()
    assert only(tiny_protocol(), store).state == "done"
    assert only(tiny_protocol(query=6), store).state == "missing"


def test_ten_thousand_protocols_are_planned_in_five_seconds(tiny_protocol, whole):
    protocols = get_profile("quick").grid(tasks="reviews", runs=10_000)
    clock = time.process_time()
    entries = ledger(protocols, whole)
    assert time.process_time() - clock < 5
    assert summary(entries).startswith("10000 runs: 10000 missing; roughly ")


# ---- notebooks

PARAMETERS = 'profile: str = "quick"\ntasks: str = "reviews"\nruns: int = 2\nresults: str = ""'


def plan(profile="quick", tasks="reviews", runs=2):
    study = get_profile(profile)
    return study.grid(strategies="bald,margin", tasks=tasks, runs=runs) + study.grid(strategies="random", runs=1)[:1]


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "01_one.ipynb"
    cell = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell, new_code_cell("raise SystemExit('executed')")], metadata=SPEC), path)
    monkeypatch.setitem(plans.PLANS, "01_one", plan)
    monkeypatch.setitem(plans.PLANS, "02_same", plan)
    return path


STUDY = sorted((ROOT / "notebooks").glob("0[1-6]_*.ipynb"))


@pytest.mark.parametrize("path", STUDY, ids=lambda path: path.stem)
def test_a_plan_has_the_parameters_of_its_notebook_and_the_notebook_sweeps_it(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    plan, own = plans.PLANS[path.stem], read_parameters(path)
    taken = {name: one.default for name, one in inspect.signature(plan).parameters.items()}
    assert [*taken.items()] == [(name, value) for name, value in own.items() if name not in plans.PLACES]
    [start] = [source for source in cells if "sweep(" in source]
    assert f"plans.{plan.__name__}(" in start
    assert ", ".join(taken) in start, "in their order"
    assert len(plans.needed(path.stem, own)) > 1


def test_a_notebook_without_a_plan_needs_no_runs():
    assert plans.needed("07_label_your_own", {"path": "reviews.csv"}) == []


def test_a_mistake_in_a_parameter_is_found_by_planning(notebook, capsys):
    assert call(notebook, "-p", "tasks", "nope") == 2
    assert "task 'nope' is not in profile" in capsys.readouterr().err


def call(notebook: Path, *options: str) -> int:
    folder = notebook.parent.parent
    return run_all(folder, *options, notebooks=notebook.parent, executed=folder / "executed")


def test_dry_run_and_status_compute_and_write_nothing(notebook, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lib.method.active_learning.train", None)
    before = sorted(tmp_path.rglob("*"))
    store = tmp_path / "kept"
    assert call(notebook, "--dry-run", "--results", str(store)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "01_one: 5 runs: 5 missing; no estimate of what is left"
    assert sum(line.startswith("  missing ") for line in lines) == 5
    assert lines[-1].startswith("all: 5 runs: 5 missing")
    assert call(notebook.parent.parent / "notebooks" / "01_one.ipynb", "--results", str(store), "--dry-run") == 0
    assert run_all(tmp_path, "status", "--results", store, notebooks=notebook.parent) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert stored(store) == {}


def test_a_dry_run_lists_each_run_once_where_it_is_first_needed(notebook, tmp_path, capsys):
    shutil.copy(notebook, notebook.with_name("02_same.ipynb"))
    assert call(notebook, "--dry-run", "--results", str(tmp_path / "kept"), "--only", "01,02") == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[1] for line in lines if line.startswith("  missing ")]
    assert len(names) == len(set(names)) == 5
    assert lines[-3:-1] == [lines[0].replace("01_one", "02_same"), "  5 runs that stand above"]


def test_runs_of_different_sizes_and_settings_are_told_apart(tiny_protocol, tmp_path):
    usual, others = tiny_protocol(), [tiny_protocol(query=6), tiny_protocol(rounds=0, start=20, pool=21)]
    entries = ledger([usual, tiny_protocol(seed=1), *others], tmp_path)
    said = {entry.run.protocol: entry.title.removeprefix(entry.run.name) for entry in entries}
    assert [said[one] for one in (usual, *others)] == ["", " (query 6)", " (20 rows)"]


def minilm(profile="quick", hub=""):
    study = get_profile(profile)
    return study.grid(strategies="bald,random", hub=hub) + study.grid(tasks="trec", query=7, runs=1, hub=hub)


def test_a_study_with_a_plan_is_listed_by_its_stages_and_the_hub_is_not_asked(tmp_path, monkeypatch, capsys):
    """Each run once, where the plan has it, without data and though the Hub would not answer."""
    (tmp_path / "notebooks").mkdir()
    parameters = 'profile: str = "quick"\nhub: str = ""\nresults: str = ""'
    cell = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    for name in ("01_one", "02_two"):
        nbformat.write(new_notebook(cells=[cell], metadata=SPEC), tmp_path / "notebooks" / f"{name}.ipynb")
        monkeypatch.setitem(plans.PLANS, name, minilm)
    monkeypatch.setattr("lib.command.run.stay_offline", None)
    monkeypatch.setattr("lib.data.tasks.read_texts", None)
    options = "--profile", "minilm", "--dry-run", "--results", str(tmp_path / "kept")
    assert call(tmp_path / "notebooks" / "01_one.ipynb", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split(":")[0] for line in lines if not line.startswith("  ")]
    assert heads == ["01_one", "02_two", "stage A", "stage B", "stage F", "in no stage", "all"]
    names = [line.split()[1] for line in lines if line.startswith("  missing ")]
    assert len(names) == len(set(names)) == 51
    stage_a = lines[lines.index(next(line for line in lines if line.startswith("stage A"))) + 1 :][:20]
    assert {line.split()[1].split("-")[0] for line in stage_a} == {"trec", "sst2"}
    assert "(query 7)" in lines[-2]


# ---- workers


@pytest.mark.parametrize(
    ("asked", "gpus", "cores", "expected"),
    [
        (None, 0, 8, (8, None)),
        (3, 0, 8, (3, None)),
        (None, 2, 8, (2, {"GPU": 1})),
        (1, 2, 8, (1, {"GPU": 1})),
        (16, 4, 8, (16, {"GPU": 1})),
    ],
)
def test_one_worker_a_gpu_or_one_a_core_unless_asked(asked, gpus, cores, expected):
    assert divide(asked, gpus, cores) == expected

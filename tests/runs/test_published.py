"""Published studies: read as the live store is, whole whatever happens while they are written, small."""

import dataclasses
import json
import os
import shutil
import signal
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from helpers import refused
from made_up import CLASSES, MadeUp

from lib.analysis import baselines
from lib.command import execution, publish
from lib.protocol import Profile, profile
from lib.runs import audit, files, published
from lib.runs.packing import Scope
from lib.runs.published import MANIFEST, Study
from lib.runs.results import TABLES, Run, load
from lib.runs.run import run

SHOWN = 1


@pytest.fixture(scope="module")
def study(tiny_protocol) -> Profile:
    """A profile whose runs are tiny_protocol's."""
    fields = dataclasses.asdict(tiny_protocol(rounds=3))
    common = {name: value for name, value in fields.items() if name not in ("task", "strategy", "seed", "frozen")}
    return dataclasses.replace(
        profile("minilm"), tasks=("sst2",), plan=(), runs=2, frozen=(0, 1), layers=4, common=common
    )


@pytest.fixture(scope="module")
def protocols(study) -> dict:
    """Two seeds of BALD, and with seed 0 random, a frozen layer, rounding noise."""
    noise = {"strategies": "unguarded_bald", "mc_dropout": "off"}
    found = study.grid(strategies="bald,random") + study.grid(frozen=(1,)) + study.grid(**noise, runs=1)
    return {f"{p.strategy} {p.frozen} {p.seed}": p for p in found if not (p.seed and p.strategy == "random")}


@pytest.fixture(scope="module")
def live(protocols, tmp_path_factory) -> Path:
    """A store with all of them."""
    store = tmp_path_factory.mktemp("live")
    for protocol in protocols.values():
        run(protocol, store)
    return store


@pytest.fixture(scope="module")
def whole(study, protocols, live, tmp_path_factory) -> Path:
    """A folder of published studies, with one of all these runs, called tiny."""
    folder = tmp_path_factory.mktemp("studies")
    publish.publish_runs(folder / "tiny", Scope(study, SHOWN), [Run(p, live) for p in protocols.values()])
    return folder


@pytest.fixture
def studies(whole, tmp_path, monkeypatch) -> Path:
    """A copy of it, where studies are looked for."""
    copy = shutil.copytree(whole, tmp_path / "studies")
    monkeypatch.setattr(published, "STUDIES", copy)
    return copy


# ---- reading


def both(table: str, protocol, live: Path, empty: Path, columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = [load(table, [protocol], store) for store in (live, empty)]
    assert set(found[0]) == set(found[1])
    return tuple(frame.sort_values(columns, ignore_index=True)[sorted(frame)] for frame in found)


@pytest.mark.parametrize("table", ["rounds", "layers", "timings"])
def test_what_is_small_is_published_as_it_is(table, protocols, live, studies, tmp_path):
    for protocol in protocols.values():
        ours, theirs = both(table, protocol, live, tmp_path, ["round"])
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
        assert all(type(a) is type(b) for a, b in zip(ours.iloc[0], theirs.iloc[0], strict=True))


def test_pools_are_exact_but_for_the_entropy_in_the_rounds_that_are_kept(protocols, live, studies, tmp_path):
    every, shown = [0, 1, 2], [SHOWN]
    kept = {"bald 0 0": every, "bald 0 1": shown, "bald 1 0": shown, "bald 1 1": [], "unguarded_bald 0 0": every}
    for name, rounds in kept.items():
        theirs = load("pool", [protocols[name]], tmp_path)
        if not rounds:
            assert theirs.empty
            continue
        ours, theirs = both("pool", protocols[name], live, tmp_path, ["round", "row"])
        ours = ours[ours["round"].isin(rounds)].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours.drop(columns="entropy"), theirs.drop(columns="entropy"), check_exact=True)
        np.testing.assert_allclose(theirs["entropy"], ours["entropy"], rtol=2**-11, atol=2**-24)
    assert load("pool", [protocols["random 0 0"]], tmp_path).empty


def test_samples_are_exact_in_the_rounds_that_are_kept(protocols, live, studies, tmp_path):
    for name, rounds in {"bald 0 0": [0, 1, 2], "bald 0 1": [SHOWN]}.items():
        ours, theirs = both("samples", protocols[name], live, tmp_path, ["round", "row"])
        ours = ours[ours["round"].isin(rounds)].reset_index(drop=True)
        for column in ("probabilities", "features"):
            one, other = (np.stack(frame.pop(column)) for frame in (ours, theirs))
            assert one.dtype == other.dtype == np.float16
            assert (one == other).all()
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert load("samples", [protocols["bald 1 0"]], tmp_path).empty


@pytest.mark.parametrize(("name", "digits"), [("bald 0 1", 0), ("bald 1 0", 2**-11), ("random 0 0", 2**-11)])
def test_every_prediction_is_kept_and_the_last_probabilities(name, digits, protocols, live, studies, tmp_path):
    ours, theirs = both("validation", protocols[name], live, tmp_path, ["round", "row"])
    said = ["run", "task", "round", "row", "label", "prediction"]
    pd.testing.assert_frame_equal(ours[said], theirs[said], check_exact=True)
    accuracy = (theirs["label"] == theirs["prediction"]).groupby(theirs["round"]).mean()
    assert accuracy.tolist() == load("rounds", [protocols[name]], tmp_path)["accuracy"].tolist()
    probabilities = [column for column in ours if "log_prob" in column or column == "bald"]
    last = theirs["round"] == 3
    assert theirs.loc[~last, probabilities].isna().all(axis=None)
    np.testing.assert_allclose(theirs.loc[last, probabilities], ours.loc[last, probabilities], rtol=digits, atol=2**-24)


def test_a_run_that_is_in_both_is_taken_live(protocols, live, studies, tmp_path):
    protocol = protocols["bald 0 0"]
    published_run = Run(protocol, tmp_path)
    assert (published_run.done, published_run.live, published_run.state) == (True, False, "done")
    assert load("rounds", [protocol], tmp_path)["accuracy"].max() <= 1
    ours = Run(protocol, tmp_path)
    shutil.copytree(live / ours.name, ours.folder)
    record = ours.folder / "round-00" / "round.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"accuracy": 2.0}))
    ours.finish()
    assert load("rounds", [protocol], tmp_path)["accuracy"].max() == 2


def test_a_run_that_is_begun_again_here_is_no_longer_the_published_one(protocols, studies, tmp_path):
    ours = Run(protocols["bald 0 0"], tmp_path)
    assert (ours.state, len(load("rounds", [ours.protocol], tmp_path))) == ("done", 4)
    ours.folder.mkdir()
    ours.begin()
    ours.fail("no memory", "")
    assert (ours.state, len(load("rounds", [ours.protocol], tmp_path))) == ("failed", 0)


def test_no_folder_of_this_machine_is_published(whole, tiny_encoder, tiny_hub):
    said = (whole / "tiny" / MANIFEST).read_text("utf-8")
    assert tiny_encoder not in said
    assert tiny_hub not in said
    assert "torch" in said, "versions"


# ---- damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", [*TABLES, "manifest"])
@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["altered", "gone"])
def test_an_altered_file_is_one_line(damage, kind, protocols, studies, tmp_path):
    (file,) = (studies / "tiny").glob(f"{kind}*")
    if (kind, damage) == ("manifest", Path.unlink):
        pytest.skip("without a manifest there is no study")
    damage(file)
    if kind == "manifest":
        with pytest.warns(UserWarning, match=r"study tiny.*manifest\.json"):
            assert not Run(protocols["bald 0 0"], tmp_path).done
        return
    with refused("study tiny", file.name, "is altered" if damage is flip else "is "):
        load(kind, [protocols["bald 0 0"]], tmp_path)
    with refused(file.name):
        Run(protocols["bald 0 0"], tmp_path).check()


def test_a_study_of_another_format_is_left_alone(protocols, study, live, studies, tmp_path):
    folder = studies / "tiny"
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["sha256"]
    published._write_manifest(folder, manifest | {"format": 0})
    before = (folder / MANIFEST).read_bytes()
    assert not Run(protocols["bald 0 0"], tmp_path).done
    with refused("another version", str(folder)):
        publish.publish_runs(folder, Scope(study, SHOWN), [Run(protocols["bald 0 0"], live)])
    assert (folder / MANIFEST).read_bytes() == before


# ---- adding


def test_baselines_are_published_where_all_runs_are_so_already(study, studies, protocols, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("without a table")
    notebook = executed_notebook(tmp_path / "notebooks", "done.ipynb")
    runs = [Run(protocol, tmp_path) for protocol in protocols.values()][:2]
    rows = {"round": [0], "labelled": 10, "baseline": "logistic regression", "accuracy": 0.5, "macro_f1": 0.4}
    (tmp_path / "baselines").mkdir()
    for one in runs:
        pd.DataFrame(rows).to_parquet(tmp_path / "baselines" / f"{one.name}.parquet")
    for more in (2, 0):
        scope = Scope(dataclasses.replace(study, name="tiny"), SHOWN)
        (line, *_) = publish.publish(scope, [], tmp_path, [notebook], tmp_path / "executed")
        assert f"baselines of {more} more" in line
    assert audit.check_studies() == []
    found = baselines.load([one.protocol for one in runs], tmp_path / "empty")
    assert found["run"].to_list() == [one.name for one in runs]
    assert (found["accuracy"] == 0.5).all()


def test_publishing_in_two_steps_is_the_same_as_in_one(study, protocols, live, whole, tmp_path):
    runs = [Run(p, live) for p in protocols.values()]
    folder, scope = tmp_path / "steps", Scope(study, SHOWN)
    _, new = publish.publish_runs(folder, scope, runs[:2])
    assert new == 2
    stepwise, new = publish.publish_runs(folder, scope, runs[1:])
    assert new == len(runs) - 2
    assert {part for part, *_ in stepwise.files} == {0, 1}
    at_once = Study(whole / "tiny")
    for ours, theirs in ((stepwise.runs[name], at_once.runs[name]) for name in at_once.runs):
        assert ours | {"part": 0} == theirs
    for kind in TABLES:
        for name in at_once.runs:
            pd.testing.assert_frame_equal(stepwise.table(kind, name), at_once.table(kind, name), check_like=True)


def test_whoever_is_killed_while_publishing_leaves_the_old_study_or_the_new(study, protocols, live, tmp_path):
    """kill -9 before every call that changes a file."""
    runs, scope, folder = [Run(p, live) for p in protocols.values()], Scope(study, SHOWN), tmp_path / "tiny"
    publish.publish_runs(folder, scope, runs[:1])
    old, kept, states = dict(Study(folder).runs), shutil.copytree(folder, tmp_path / "kept"), []
    for call in range(200):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        child = os.fork()
        if not child:
            die_before(call)
            publish.publish_runs(folder, scope, runs[:2])
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = Study(folder)
        found.check()
        states.append(set(found.runs) - set(old))
        assert all(found.table("rounds", name).shape[0] == 4 for name in found.runs)
        if not ended:
            break
        assert ended == -signal.SIGKILL
    assert len(states) > 15, "killed so often"
    assert [len(state) for state in states] == sorted(len(state) for state in states)
    assert [*map(len, states)][0 :: len(states) - 1] == [0, 1]
    publish.publish_runs(folder, scope, runs[:2])
    named = {MANIFEST, *(file for *_, file in Study(folder).files)}
    assert {path.name for path in folder.iterdir()} == named, "nothing half-written is left"


def die_before(call: int) -> None:
    """This process kills itself before the so-and-so-manieth flush, renaming or deletion of a file."""
    calls = iter(range(10**6))

    def dying(function):
        def answer(*arguments, **options):
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return answer

    files.flush = published.flush = dying(files.flush)
    for name in ("rename", "replace", "unlink", "write_text"):
        setattr(Path, name, dying(getattr(Path, name)))


# ---- size


def made_up_runs(study: Profile, number: int) -> list[MadeUp]:
    """The first of the runs that the profile's notebooks need, of all tasks."""
    asked = {"tasks": study.tasks}
    found = study.grid(strategies="bald,random", **asked) + study.grid(frozen=study.frozen, **asked)
    for protocols in study.open_questions(tasks=study.tasks).values():
        found += protocols
    return [MadeUp(protocol) for protocol in list(dict.fromkeys(found))[:number]]


def published_made_up(study: Profile, number: int, folder: Path) -> Study:
    scope, runs = Scope(study, 5), made_up_runs(study, number)
    assert len(runs) == number
    return published.write(folder, {run.name: run.entry for run in runs}, scope.tables(runs), scope.left_out())


def measured(study: Study) -> tuple[int, float]:
    """Number of files, and MB."""
    sizes = [path.stat().st_size for path in study.folder.iterdir()]
    return len(sizes), sum(sizes) / 1e6


def test_a_made_up_study_is_small(tmp_path):
    study = dataclasses.replace(profile("minilm"), tasks=("mnli",), common={"validation_rows": 500, "pool": 2000})
    made = published_made_up(study, 15, tmp_path / "small")
    number, size = measured(made)
    assert number <= 12
    assert size < 2
    rounds = pd.concat([made.table("rounds", name) for name in made.runs])
    assert len(rounds) == 15 * 10


@pytest.mark.slow
def test_a_made_up_study_of_the_papers_size(tmp_path, capsys, monkeypatch):
    """200 runs of tasks with two, three and six classes: at most 60 MB, a dozen files, and a second to load."""
    study = dataclasses.replace(profile("minilm"), tasks=tuple(CLASSES), common={"validation_rows": 2000})
    made = published_made_up(study, 200, tmp_path / "made-up")
    number, size = measured(made)
    monkeypatch.setattr(published, "STUDIES", tmp_path)
    protocols = [run.protocol for run in made_up_runs(study, 200)]
    start = time.perf_counter()
    rounds = load("rounds", protocols, tmp_path / "empty")
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\n200 runs: {number} files, {size:.1f} MB; {len(rounds)} rounds loaded in {seconds:.2f} s")
    assert (number <= 12, size <= 60, len(rounds), seconds <= 1) == (True, True, 2000, True)


# ---- notebooks


def executed_notebook(folder: Path, name: str, *outputs) -> Path:
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=list(outputs), metadata={"papermill": {"status": "completed"}})
    injected = nbformat.v4.new_code_cell("x = 2", metadata={"tags": [publish.PAPERMILLS_CELL]})
    folder.mkdir(exist_ok=True)
    text = nbformat.v4.new_markdown_cell("A sentence.")
    nbformat.write(nbformat.v4.new_notebook(cells=[injected, cell, text], metadata={"papermill": {}}), folder / name)
    return folder / name


def test_what_was_executed_to_its_end_is_published_without_papermills_marks_but_its_parameters(tmp_path):
    result = nbformat.v4.new_output("execute_result", {"text/plain": "2"}, execution_count=1)
    error = nbformat.v4.new_output("error", ename="NothingToDraw", evalue="none of the runs", traceback=[])
    names = ["done.ipynb", "failed.ipynb", "never.ipynb"]
    sources = [executed_notebook(tmp_path / "notebooks", name) for name in names]
    before = sources[1].read_bytes(), sources[2].read_bytes()
    for name, output in zip(names, (result, error), strict=False):
        executed_notebook(tmp_path / "executed", name, output)
    assert publish.publish_notebooks(sources, tmp_path / "executed") == 1
    published_ = nbformat.read(sources[0], as_version=4)
    parameters, cell, _ = published_.cells
    assert (parameters.source, parameters.metadata.tags) == ("x = 2", [publish.PAPERMILLS_CELL])
    assert cell.outputs == [result]
    assert "papermill" not in {**cell.metadata, **published_.metadata}
    assert (sources[1].read_bytes(), sources[2].read_bytes()) == before


@pytest.mark.parametrize("words", ["1 + 1", "A sentence."], ids=["code", "text"])
def test_a_notebook_that_was_edited_since_it_was_executed_is_not_replaced(words, tmp_path):
    sources = [executed_notebook(tmp_path / "notebooks", name) for name in ("same.ipynb", "edited.ipynb")]
    for path in sources:
        executed_notebook(tmp_path / "executed", path.name)
    sources[1].write_text(sources[1].read_text().replace(words, "2"))
    before = [path.read_bytes() for path in sources]
    with refused("edited.ipynb: edited since it was executed", "execute it again"):
        publish.publish_notebooks(sources, tmp_path / "executed")
    assert [path.read_bytes() for path in sources] == before


@pytest.mark.parametrize("how", ["its kernel died", "it was stopped"])
def test_a_notebook_whose_execution_was_broken_off_is_not_published(how, tmp_path):
    source = executed_notebook(tmp_path / "notebooks", "broken.ipynb")
    executed = executed_notebook(tmp_path / "executed", "broken.ipynb")
    if how == "its kernel died":
        execution.mark_unfinished(executed)
    else:
        executed.write_text(executed.read_text().replace("completed", "pending"))
    before = source.read_bytes()
    with refused("broken.ipynb: broken off", "execute it again"):
        publish.publish_notebooks([source], tmp_path / "executed")
    assert source.read_bytes() == before


def test_published_parameters_name_no_folder_of_this_machine():
    source = '# Parameters\nprofile = "minilm"\nruns = 2\nhub = "/data/hub"\nresults = "/r"\noutput = "o"\n'
    assert publish.for_every_machine(source) == '# Parameters\nprofile = "minilm"\nruns = 2'


def test_figures_and_notebooks_are_published_where_all_runs_are_so_already(study, studies, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    (tmp_path / "figures" / "tiny").mkdir(parents=True)
    (tmp_path / "figures" / "tiny" / "curve.csv").write_text("x")
    (tmp_path / "README.md").write_text("without a table")
    notebook = executed_notebook(tmp_path / "notebooks", "done.ipynb")
    before = (studies / "tiny" / MANIFEST).read_bytes()
    scope = Scope(dataclasses.replace(study, name="tiny"), SHOWN)
    said = list(publish.publish(scope, [], tmp_path, [notebook], tmp_path / "executed"))
    assert ", 0 of them new; " in said[0]
    assert (studies / "tiny" / MANIFEST).read_bytes() == before
    assert (tmp_path / "figures" / "study" / "tiny" / "curve.csv").read_text() == "x"
    with refused("no run that these notebooks need is finished"):
        list(
            publish.publish(Scope(dataclasses.replace(study, name="other"), SHOWN), [], tmp_path, [notebook], tmp_path)
        )

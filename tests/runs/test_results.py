"""The store: a round is there whole or not at all, a run is found by what it is, and a full disk costs nothing."""

import dataclasses
import errno
import hashlib
import json
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from helpers import refused, stopped_before, stored

from lib.protocol import COMPUTING, LOCATIONS
from lib.runs import provenance, results
from lib.runs.results import Run, load
from lib.runs.run import run


@pytest.fixture(scope="module")
def whole(tiny_protocol, tmp_path_factory) -> Path:
    """A store with one finished run, tiny_protocol()."""
    store = tmp_path_factory.mktemp("whole")
    run(tiny_protocol(), store)
    return store


@pytest.fixture
def partial(tiny_protocol, tmp_path, monkeypatch) -> Path:
    """A store with the same run, stopped after its first round."""
    with stopped_before(1, monkeypatch):
        run(tiny_protocol(), tmp_path / "partial")
    return tmp_path / "partial"


@contextmanager
def full_disk(size: int):
    """No file can grow beyond so many bytes: writing more fails, in the middle of the file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 300, 700, 2000, 3000])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(size, tiny_protocol, partial, whole):
    before = stored(partial)
    largest = max(len(content) for name, content in stored(whole).items() if "round-01" in name)
    assert size < largest, "this size would be enough"
    with full_disk(size), refused(str(partial), "File too large", "free space"):
        run(tiny_protocol(), partial)
    assert stored(partial) == before
    run(tiny_protocol(), partial)
    assert stored(partial) == stored(whole)


def test_a_disk_that_is_full_at_the_last_word_does_not_lose_the_rounds(tiny_protocol, partial, whole, monkeypatch):
    def write(path, content):
        if path.name == "DONE":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, content)

    write_json = results.write_json
    with monkeypatch.context() as patch, refused(str(partial), "No space left on device"):
        patch.setattr(results, "write_json", write)
        run(tiny_protocol(), partial)
    assert not Run(tiny_protocol(), partial).done
    monkeypatch.setattr("lib.method.active_learning.train", None)  # no round is computed again
    run(tiny_protocol(), partial)
    assert stored(partial) == stored(whole)


def test_a_results_folder_that_is_a_file_is_refused(tiny_protocol, tmp_path):
    (tmp_path / "results").write_text("something else")
    with refused(str(tmp_path / "results"), "another folder"):
        run(tiny_protocol(), tmp_path / "results")
    assert (tmp_path / "results").read_text() == "something else"


@pytest.mark.parametrize("call", ["mkdir", "rename", "write_text"])
def test_a_read_only_results_folder_is_one_line_and_keeps_finished_rounds(call, tiny_protocol, partial, monkeypatch):
    """What a read-only file system answers; root, who may run the tests, ignores permissions."""
    before = stored(partial)
    original = getattr(Path, call)

    def answer(path, *arguments, **options):
        if partial in path.parents:
            raise OSError(errno.EROFS, "Read-only file system")
        return original(path, *arguments, **options)

    with monkeypatch.context() as patch, refused(str(partial), "Read-only file system"):
        patch.setattr(Path, call, answer)
        run(tiny_protocol(), partial)
    assert stored(partial) == before


def test_what_a_killed_process_left_half_written_is_cleared_away(tiny_protocol, partial, whole):
    folder = Run(tiny_protocol(), partial).folder
    (folder / "round-01.tmp").mkdir()
    (folder / "round-01.tmp" / "pool.parquet").write_bytes(b"PAR1 and no more")
    (folder / "protocol.json.tmp").write_text("{")
    run(tiny_protocol(), partial)
    assert stored(partial) == stored(whole)
    assert not list(partial.rglob("*.tmp"))


def test_done_comes_last_and_holds_the_checksum_of_every_file(tiny_protocol, whole, partial):
    ours = Run(tiny_protocol(), whole)
    said = json.loads((ours.folder / "DONE").read_text())
    files = {str(Path(name).relative_to(ours.name)): content for name, content in stored(whole).items()}
    del files["DONE"]
    assert said == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert not (Run(tiny_protocol(), partial).folder / "DONE").exists()


def test_a_run_is_missing_partial_or_done(tiny_protocol, whole, partial, tmp_path):
    assert Run(tiny_protocol(), tmp_path / "empty").state == "missing"
    assert Run(tiny_protocol(), partial).state == "partial"
    assert Run(tiny_protocol(), whole).state == "done"


def test_a_run_is_found_wherever_rows_and_weights_lie(tiny_protocol, tiny_hub, tiny_encoder, tmp_path):
    elsewhere = tiny_protocol(
        hub=shutil.copytree(tiny_hub, tmp_path / "hub").as_posix(),
        encoder=shutil.copytree(tiny_encoder, tmp_path / "encoder").as_posix(),
    )
    assert Run(elsewhere, tmp_path).name == Run(tiny_protocol(), tmp_path).name


def test_other_rows_or_other_weights_are_another_run(tiny_protocol, tiny_hub, tiny_encoder, tmp_path):
    hub = shutil.copytree(tiny_hub, tmp_path / "hub")
    (file,) = (hub / "glue" / "sst2").glob("validation-*")
    rows = pd.read_parquet(file)
    rows.loc[29, "sentence"] += " ."  # the last that is evaluated
    rows.to_parquet(file, index=False)
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    config = json.loads((encoder / "config.json").read_text()) | {"layer_norm_eps": 1e-5}
    (encoder / "config.json").write_text(json.dumps(config))
    protocols = tiny_protocol(), tiny_protocol(hub=str(hub)), tiny_protocol(encoder=str(encoder))
    assert len({Run(protocol, tmp_path).key for protocol in protocols}) == 3


def test_rows_that_a_run_cannot_see_are_no_part_of_it(tiny_protocol, tiny_hub, tmp_path):
    hub = shutil.copytree(tiny_hub, tmp_path / "hub")
    for split, first in (("train", 60), ("validation", 30)):
        (file,) = (hub / "glue" / "sst2").glob(f"{split}-*")
        rows = pd.read_parquet(file)
        rows.loc[first:, "sentence"] += " ."
        rows.to_parquet(file, index=False)
    other = tiny_protocol(hub=str(hub))
    assert Run(other, tmp_path).key == Run(tiny_protocol(), tmp_path).key
    for change in ({"pool": 61}, {"validation_rows": 31}, {"draw": 1}):
        ours = tiny_protocol(**change)
        assert Run(dataclasses.replace(ours, hub=str(hub)), tmp_path).key != Run(ours, tmp_path).key


def test_the_store_says_what_a_run_is_and_what_computed_it(tiny_protocol, whole):
    ours = Run(tiny_protocol(), whole)
    said = json.loads((ours.folder / "protocol.json").read_text())
    assert {name: said[name] for name in ours.identity} == ours.identity
    elsewhere = {*LOCATIONS, *COMPUTING}
    assert not elsewhere & said["fields"].keys(), "a folder or the precision of this machine is no part of the run"
    origin = json.loads((ours.folder / "provenance.json").read_text())
    assert (origin["precision"], origin["threads"]) == ("float32", 1)
    assert origin["versions"].keys() >= {"torch", "transformers", "numpy"}
    assert origin["locations"] == {name: getattr(tiny_protocol(), name) for name in ("hub", "encoder", "rows")}


def test_tables_are_tidy_and_say_which_run_a_row_is_from(tiny_protocol, whole):
    columns = {
        "rounds": {"labelled", "accuracy", "majority", "loss", "class_counts", "pool_counts", "picked"}
        | {"lengths", "health", "examined", "training_loss", "precision", "processor"},
        "layers": {"precision", "processor", "layer", "number", "part", "parameters", "mean", "variance"},
        "pool": {"row", "score", "bald", "entropy", "prediction"},
        "samples": {"row", "probabilities", "features"},
        "validation": {"row", "label", "prediction", "bald"}
        | {f"{kind}log_prob_{c}" for kind in ("", "mean_") for c in (0, 1)},
        "timings": {"training", "evaluation", "encoding", "acquisition", "examination"},
    }
    rows = {"rounds": 3, "layers": 3 * 11, "pool": 50 + 45, "samples": 15 + 15, "validation": 3 * 30, "timings": 3}
    for table in results.TABLES:
        frame = load(table, [tiny_protocol()], whole, columns=("task", "seed", "samples"))
        assert set(frame) == {"run", "task", "seed", "samples", "round"} | columns[table]
        assert len(frame) == rows[table]
        assert set(frame["samples"]) == {8}
        assert frame["round"].is_monotonic_increasing
        if table in results.WITH_ORIGIN:
            assert set(frame["precision"]) == {"float32"}
            assert set(frame["processor"]) == {provenance.processor()}


def test_tables_are_read_without_the_model(tiny_protocol, whole, monkeypatch):
    monkeypatch.setattr("lib.method.model._load_bert", None)
    monkeypatch.setattr("lib.data.rows.load_tokenizer", None)
    assert len(load("rounds", [tiny_protocol()], whole)) == 3


def test_an_unknown_table_is_refused_with_the_known_ones(tiny_protocol, whole):
    with refused("'accuracies'", *results.TABLES):
        load("accuracies", [tiny_protocol()], whole)


def test_a_run_that_is_not_finished_is_left_out_with_a_warning_that_names_it(tiny_protocol, whole, partial):
    with pytest.warns(UserWarning, match=r"1 of 2 runs .*seed5.*\(missing\)"):
        assert load("rounds", [tiny_protocol(), tiny_protocol(seed=5)], whole)["seed"].unique().tolist() == [0]
    with pytest.warns(UserWarning, match=r"1 of 1 runs .*\(partial\)"):
        assert load("rounds", [tiny_protocol()], partial).empty


def test_one_run_asked_for_in_two_ways_is_one(tiny_protocol, whole):
    """Precision and threads are no part of what a run is."""
    asked = [tiny_protocol(), tiny_protocol(threads=2)]
    assert len(load("rounds", asked, whole)) == len(load("rounds", asked[:1], whole))


def test_no_store_is_the_checkouts_own(tiny_protocol, tmp_path, monkeypatch):
    """Notebooks pass on an empty parameter."""
    run(tiny_protocol(rounds=0), tmp_path)
    monkeypatch.setattr(results, "STORE", tmp_path)
    assert len(results.load("layers", [tiny_protocol(rounds=0)], "")) > 0

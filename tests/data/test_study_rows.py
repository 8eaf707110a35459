"""The study's rows: whoever has the whole of a data set, in any order, gets exactly these, and the same runs."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import REAL_HUB, invented_rows, refused, script, write_dataset

from lib.data import study_rows
from lib.data.study_rows import facts, fingerprint, pinned, places, row_hashes, select
from lib.data.tasks import TASKS, UNLABELLED, load_task, read_texts, rows_fingerprint, training_rows
from lib.data.words import overlap
from lib.protocol import profile
from lib.runs.results import Run
from lib.runs.run import run

CHECKOUT = Path(study_rows.__file__).resolve().parents[2]
subsets = script("subsets")
PINNED = subsets.PINNED
SST2 = ["negative", "positive"]
HUB_TASKS = [task for task in TASKS if TASKS[task].data]


def distinct(number: int, seed: int) -> pd.DataFrame:
    """Invented rows of which no two are alike, nor like those of another seed."""
    rows = invented_rows(number, ["sentence"], 2, seed)
    return rows.assign(sentence=[f"{text} {seed}/{n}" for n, text in enumerate(rows["sentence"])])


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A folder that holds just the study's rows of a tiny sst2, in their order: 80 and 30 of them are listed."""
    monkeypatch.setattr(study_rows, "FOLDER", tmp_path / "lists")
    monkeypatch.setitem(PINNED, "sst2", (80, 30))
    pinned.cache_clear()
    splits = {"train": distinct(80, 0), "validation": distinct(30, 1)}
    hub = write_dataset(tmp_path / "listed" / "glue", {"sst2": (SST2, splits)}).parent
    subsets.write("sst2", str(hub))
    pinned.cache_clear()
    yield str(hub), splits
    pinned.cache_clear()


def shuffled(folder: Path, splits: dict, more: int = 0) -> str:
    """The same rows among others, in another order."""
    rng = np.random.default_rng(3)
    wide = {name: pd.concat([distinct(more, 5 + len(name)), rows]) for name, rows in splits.items()}
    mixed = {name: rows.iloc[rng.permutation(len(rows))] for name, rows in wide.items()}
    return str(write_dataset(folder / "glue", {"sst2": (SST2, mixed)}).parent)


# ---- hashes


@pytest.mark.parametrize("labels", [("no", "yes"), ("a", "b", "c")])
def test_a_hash_is_the_beginning_of_sha_256_of_texts_and_the_name_of_the_label(labels):
    rows = [("one", "two", 0), ("on", "etwo", 1), ("ünï", 'quo"te', 1), ("one", "two", 1), ("one two", 0)]
    slow = [
        int.from_bytes(hashlib.sha256(json.dumps([*texts, labels[label]]).encode()).digest()[:8], "big")
        for *texts, label in rows
    ]
    hashes = row_hashes(rows, labels)
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == slow
    assert len(set(slow)) == len(rows), "neither the border of two texts nor the label is lost"
    assert row_hashes([], labels).tolist() == []


def test_places_are_those_of_the_first_equal_row():
    rng = np.random.default_rng(0)
    there = rng.integers(0, 50, 200).astype(np.uint64)
    wanted = rng.integers(0, 70, 90).astype(np.uint64)
    first = [int(np.flatnonzero(there == one)[0]) if one in there else -1 for one in wanted]
    assert places(wanted, there).tolist() == first
    assert -1 in first
    nothing = np.array([], np.uint64)
    assert places(wanted, nothing).tolist() == [-1] * 90
    assert places(nothing, there).tolist() == []


def test_the_fingerprint_knows_order_border_and_labels():
    a, b = np.array([1, 2, 3], np.uint64), np.array([4, 5], np.uint64)
    others = [
        fingerprint(("no", "yes"), a[::-1], b),
        fingerprint(("no", "yes"), a[:2], np.array([3, 4, 5], np.uint64)),
        fingerprint(("yes", "no"), a, b),
        fingerprint(("no", "yes"), a, b[:1]),
    ]
    assert len({fingerprint(("no", "yes"), a, b), *others}) == 5
    assert fingerprint(("no", "yes"), a.astype(">u8"), b) == fingerprint(("no", "yes"), a, b)


# ---- which rows


def test_a_folder_with_more_rows_in_another_order_gives_the_same_rows_and_the_same_key(listed, tmp_path, tiny_protocol):
    hub, splits = listed
    whole = shuffled(tmp_path / "whole", splits, more=150)
    protocols = [tiny_protocol(hub=where, rows="study") for where in (hub, whole)]
    exact, found = (read_texts("sst2", where, "study") for where in (hub, whole))
    assert exact.train == found.train == list(splits["train"].itertuples(index=False, name=None))
    assert exact.validation == found.validation
    assert exact.fingerprint == found.fingerprint
    assert Run(protocols[0], tmp_path).key == Run(protocols[1], tmp_path).key
    assert Run(tiny_protocol(hub=hub), tmp_path).key == Run(protocols[0], tmp_path).key, "there they are the first"
    assert Run(tiny_protocol(hub=whole), tmp_path).key != Run(protocols[0], tmp_path).key, "here they are not"


def test_a_run_is_the_same_bit_for_bit_from_either_folder(listed, tmp_path, tiny_protocol):
    hub, splits = listed
    whole = shuffled(tmp_path / "whole", splits, more=150)
    first, second = (
        run(tiny_protocol(hub=where, rows="study", rounds=1), tmp_path / f"store {number}")
        for number, where in enumerate((hub, whole))
    )
    pd.testing.assert_frame_equal(first, second)


def test_rows_that_are_not_there_are_counted_in_one_line(listed, tmp_path):
    _, splits = listed
    cut = shuffled(tmp_path / "cut", {"train": splits["train"][:73], "validation": splits["validation"][:28]}, more=9)
    with refused("9 of the study's 110 rows of task 'sst2' are not in", cut, "--rows first", "another study"):
        read_texts("sst2", cut, "study")
    assert len(read_texts("sst2", cut, "first").train) == 73 + 9
    with refused("is not known: choose study or first"):
        profile("minilm").grid(rows="last")


def test_a_row_with_another_label_is_another_row(listed, tmp_path):
    _, splits = listed
    turned = splits["train"].assign(label=1 - splits["train"]["label"])
    with refused("80 of the study's 110 rows"):
        read_texts("sst2", shuffled(tmp_path / "turned", splits | {"train": turned}), "study")


def test_a_row_that_is_listed_twice_is_there_twice():
    rows = [("b", 1), ("a", 0), ("c", 1), ("a", 0)]
    hashes = row_hashes([("a", 0), ("c", 1), ("a", 0)], ("no", "yes"))
    validation = row_hashes([("b", 1)], ("no", "yes"))
    assert places(hashes, row_hashes(rows, ("no", "yes"))).tolist() == [1, 2, 1]
    assert places(validation, row_hashes(rows[1:], ("no", "yes"))).tolist() == [-1]


def test_rows_twice_in_a_list_stay_twice(tmp_path, monkeypatch):
    """Data sets hold some rows more than once; a copy of a whole data set may hold them once."""
    monkeypatch.setattr(study_rows, "pinned", lambda task: tuple(row_hashes(rows, tuple(SST2)) for rows in twice))
    twice = [("a", 0), ("b", 1), ("a", 0)], [("c", 1)]
    train, validation = select("sst2", [[("b", 1), ("x", 0), ("a", 0)], [("c", 1)]], tuple(SST2), "there")
    assert (train, validation) == twice


def test_rows_without_a_gold_label_are_neither_listed_nor_in_the_way(tmp_path, monkeypatch, tiny_hub):
    monkeypatch.setattr(study_rows, "FOLDER", tmp_path / "lists")
    monkeypatch.setitem(PINNED, "snli", (100, 40))
    pinned.cache_clear()
    try:
        subsets.write("snli", tiny_hub)
        pinned.cache_clear()
        texts = read_texts("snli", tiny_hub, "study")
        assert texts.train == read_texts("snli", tiny_hub).train[:100]
        assert UNLABELLED not in {row[-1] for row in texts.train}
    finally:
        pinned.cache_clear()
        read_texts.cache_clear()


def test_a_folder_with_too_few_rows_is_not_listed(listed, tmp_path, monkeypatch):
    hub, _ = listed
    monkeypatch.setitem(PINNED, "sst2", (81, 30))
    with refused("has 80 rows in", "of 81 that are to be listed"):
        subsets.write("sst2", hub)


# ---- the key: what a run can see, and no more


def test_the_key_holds_the_rows_that_a_run_can_see_and_no_others(tmp_path, tiny_protocol):
    rows, validation = distinct(100, 0), distinct(40, 1)

    def key(train=rows, validation=validation, **changes) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_dataset(folder / "glue", {"sst2": (SST2, {"train": train, "validation": validation})})
        return Run(tiny_protocol(hub=str(folder), **changes), tmp_path).key

    def altered(rows: pd.DataFrame, number: int) -> pd.DataFrame:
        rows = rows.copy()
        rows.loc[number, "sentence"] = "another row"
        return rows

    assert key() == key(altered(rows, 60)) == key(rows[:60]) != key(altered(rows, 59))
    assert key() == key(validation=altered(validation, 30)) != key(validation=altered(validation, 29))
    assert key(rounds=0) == key(altered(rows, 10), rounds=0) != key(altered(rows, 9), rounds=0)
    assert key(validation_rows=0) != key(validation=altered(validation, 39), validation_rows=0)


# ---- the lists that are committed


def test_every_task_of_the_study_is_listed_as_said():
    assert set(PINNED) == set(profile("minilm").tasks) == set(HUB_TASKS)
    for task, numbers in PINNED.items():
        assert tuple(len(hashes) for hashes in pinned(task)) == numbers
        assert all(hashes.dtype == np.uint64 for hashes in pinned(task))
    size = sum(path.stat().st_size for path in study_rows.FOLDER.iterdir())
    rows, training = sum(map(sum, PINNED.values())), sum(train for train, _ in PINNED.values())
    assert size < 8 * rows + 3 * training + 1000 * len(PINNED), "8 bytes a row, its label and overlap, and no text"
    assert training_rows(profile("minilm").grid()) == {task: train for task, (train, _) in PINNED.items()}


KEYS = """
import importlib.abc, json, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("datasets", "huggingface_hub", "torch"):
            raise ImportError(f"{name} is not needed for a key")
sys.meta_path.insert(0, Refuse())
from lib.protocol import profile
from lib.runs.results import Run
study = profile("minilm")
print(json.dumps({p.task: Run(p, ".").name for p in study.grid(runs=1)}))
"""


def test_a_key_needs_neither_data_nor_network_nor_torch():
    told = subprocess.run([sys.executable, "-c", KEYS], capture_output=True, text=True, cwd=CHECKOUT)
    assert told.returncode == 0, told.stderr
    names = json.loads(told.stdout)
    assert names.keys() == set(PINNED)
    assert len({name.rpartition("-")[2] for name in names.values()}) == 5


@pytest.mark.parametrize("task", HUB_TASKS)
def test_the_lists_are_the_real_rows_in_their_order(task, real_hub):
    texts = read_texts(task, real_hub)
    for hashes, said in zip(texts.hashes, pinned(task), strict=True):
        np.testing.assert_array_equal(hashes[: len(said)], said)
    labels, overlaps = facts(task)
    assert labels.tolist() == [row[-1] for row in texts.train[: len(labels)]]
    for (*words, _), shared in zip(texts.train, overlaps, strict=False):
        assert shared == overlap(*words) if len(words) == 2 else np.isnan(shared)
    protocol, first = profile("minilm").grid(tasks=task, runs=1)[0], {"rows": "first", "hub": real_hub}
    assert rows_fingerprint(protocol) == rows_fingerprint(profile("minilm").grid(tasks=task, runs=1, **first)[0])


def test_the_real_rows_are_found_among_others(real_hub, tmp_path):
    """TREC, whole, with 500 foreign rows and shuffled; its label is not the only column of that kind."""
    files = sorted((REAL_HUB / "trec").glob("*.parquet"))
    assert len(files) == 2
    (tmp_path / "trec").mkdir()
    (tmp_path / "trec" / "README.md").write_bytes((REAL_HUB / "trec" / "README.md").read_bytes())
    for file in files:
        rows = pd.read_parquet(file)
        more = rows.sample(500, random_state=1).assign(text=lambda some: some["text"] + " indeed")
        pd.concat([rows, more]).sample(frac=1, random_state=2).to_parquet(tmp_path / "trec" / file.name, index=False)
    exact, found = (read_texts("trec", hub, "study") for hub in (real_hub, str(tmp_path)))
    assert exact == found
    assert len(found.train) == PINNED["trec"][0]


# ---- TREC


def write_trec(folder: Path, labels=TASKS["trec"].labels) -> str:
    """A folder as the Hub has it: coarse and fine labels, the test split, no configuration's folder."""
    (folder / "trec").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, number in (("train", 60), ("test", 20)):
        coarse = rng.integers(0, 6, number)
        rows = pd.DataFrame({"text": [f"what is {split} {n} ?" for n in range(number)], "coarse_label": coarse})
        rows.assign(fine_label=coarse * 8).to_parquet(folder / "trec" / f"{split}-00000-of-00001.parquet", index=False)
    names = {
        "coarse_label": dict(enumerate(labels)),
        "fine_label": {number: f"fine {number}" for number in range(50)},
    }
    features = [{"name": "text", "dtype": "string"}] + [
        {"name": name, "dtype": {"class_label": {"names": {str(k): v for k, v in those.items()}}}}
        for name, those in names.items()
    ]
    files = [{"split": split, "path": f"{split}-*"} for split in ("train", "test")]
    card = {"configs": [{"config_name": "default", "data_files": files}], "dataset_info": {"features": features}}
    (folder / "trec" / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n", "utf-8")
    return str(folder)


def test_trec_is_read_with_its_coarse_labels_and_validated_on_its_test_split(tmp_path, tiny_encoder):
    hub = write_trec(tmp_path)
    task = load_task("trec", hub, tiny_encoder, 16)
    assert task.labels == ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
    assert (len(task.train), len(task.validation), task.num_labels) == (60, 20, 6)
    coarse = np.random.default_rng(0).integers(0, 6, 60)
    np.testing.assert_array_equal(task.train.labels_N, coarse)
    assert task.train.texts[3] == ("what is train 3 ?",)
    with refused("5,952 of the study's 5,952 rows of task 'trec' are not in"):
        read_texts("trec", hub, "study")


def test_trec_with_other_labels_is_refused(tmp_path):
    with refused("has the labels", "expected ABBR, ENTY, DESC, HUM, LOC, NUM"):
        read_texts("trec", write_trec(tmp_path, ("ENTY", "ABBR", "DESC", "HUM", "LOC", "NUM")))


# ---- docs/measurements/subsets.py


def test_the_command_says_a_mistake_in_one_line(tmp_path):
    command = [sys.executable, "docs/measurements/subsets.py", "--hub", str(tmp_path)]
    env = {**os.environ, "HF_DATASETS_OFFLINE": "1"}
    told = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, env=env)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("error: hub=")
    assert told.stderr.count("\n") == 1

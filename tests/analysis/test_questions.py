"""What notebook 06 measures: near-duplicates, shared picks, calibration, and the notebooks that show it."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

from lib.analysis import questions
from lib.protocol import PROFILES, QUESTIONS, profile
from lib.runs import sweep


def test_every_setting_changes_one_thing_and_is_a_run_of_its_own():
    for name in PROFILES:
        settings = profile(name).open_questions(runs=1)
        assert set(settings) == set(QUESTIONS)
        keys = [json.dumps(protocol.canonical()) for protocols in settings.values() for protocol in protocols]
        assert len(keys) == len(set(keys))


def curve(setting: str, labelled: list[int], accuracy: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"task": "t", "seed": 0, "setting": setting, "labelled": labelled, "accuracy": accuracy})


def test_beginnings_compare_at_the_sizes_after_random_batches_however_t_grew():
    rounds = pd.concat(
        [
            curve("random", [10, 30, 50, 70, 90], [0.1, 0.5, 0.6, 0.7, 0.9]),
            curve("later", [30, 50, 70, 90], [0.4, 0.5, 0.6, 0.0]),
            curve("small", [10, 20, 30, 40, 50], [0.1, 0.0, 0.8, 0.0, 0.9]),
        ]
    )
    begun = questions.beginnings(rounds).set_index("setting")["accuracy"]
    assert begun.to_dict() == pytest.approx({"random": 0.6, "later": 0.5, "small": 0.85})
    assert questions.beginnings(rounds, 1).set_index("setting")["accuracy"].to_dict() == pytest.approx(
        {"random": 0.5, "later": 0.4, "small": 0.8}
    )
    assert set(questions.of_equal_sizes(rounds, "random")["setting"]) == {"random"}
    assert questions.of_equal_sizes(rounds, "none of them").empty


def test_near_duplicates_are_counted_within_a_batch():
    train = [("a b c", 0), ("a b c d", 1), ("x y z", 0), ("x y z", 1)]
    texts = {"t": type("Read", (), {"train": train})}
    rounds = pd.DataFrame(
        {"run": "r", "task": "t", "seed": 0, "setting": "BALD", "picked": [[0, 1], [2, 3], [0, 2], []]}
    )
    row = questions.near_duplicates(rounds, texts).iloc[0]
    assert (row["near_duplicates"], row["pairs"]) == (2, 3)
    assert row["closest"] == pytest.approx(np.mean([3 / 4, 3 / 4, 1, 1, 0, 0]))


def test_what_a_run_stores_answers_the_questions(tiny_protocol, tmp_path):
    protocol = tiny_protocol(seed=1)
    sweep([protocol], tmp_path)
    rounds = questions.load("rounds", {"BALD": [protocol]}, tmp_path)
    shared = questions.of_samples(rounds)
    assert shared["samples"].tolist() == [5, 10, 20, 50, 100, 200, 500, 1000]
    assert shared["between_draws"].between(0, 1).all()
    assert (shared.loc[shared["samples"] == 1000, "between_draws"] == shared["with_largest"].iloc[-1]).all()
    validation = questions.load("validation", {"BALD": [protocol]}, tmp_path)
    for probs_NC in questions.predictions(validation).values():
        np.testing.assert_allclose(probs_NC.sum(1), 1, atol=1e-5)
    errors, diagrams = questions.calibration(validation)
    assert errors[["error", "floor"]].stack().between(0, 1).all()
    assert errors["brier"].between(0, 2).all()
    assert diagrams.groupby("prediction")["rows"].sum().eq(len(validation)).all()
    areas, _ = questions.rejection(validation)
    wrong = questions.predictions(validation)[questions.MEAN].argmax(1) != validation["label"]
    random = areas.loc[areas["rejected by"] == "a random order", "area"].item()
    assert random == pytest.approx(wrong.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notebook", "parameters"),
    [
        ("02_bald_vs_random", {"strategies": "bald,batchbald,powerbald,entropy,random"}),
        ("06_open_questions", {}),
        ("00_claims", {}),
    ],
)
def test_the_notebook_runs_from_end_to_end(notebook, parameters, tiny_encoder, tmp_path):
    given = parameters | {"encoder": tiny_encoder, "results": str(tmp_path / "r"), "output": str(tmp_path / "o")}
    given |= {"tasks": "reviews", "runs": 2}
    options = [word for name, value in given.items() for word in ("-p", name, str(value))]
    source, target = ROOT / "notebooks" / f"{notebook}.ipynb", tmp_path / "executed.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(target), "-k", "bert-bald", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert list((tmp_path / "o").glob("*.md"))

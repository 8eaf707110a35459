"""Many runs: each computed once, and one that fails does not stop the others."""

from pathlib import Path

import pandas as pd
import pytest
from helpers import refused

from lib.runs import results
from lib.runs.compute import SweepError, cost, plan, sweep
from lib.runs.results import Run
from lib.runs.run import run as run_one


@pytest.fixture
def calls(monkeypatch) -> list:
    """The runs that are computed, as they are; those of seed 7 fail."""
    computed = []

    def run(protocol, store):
        computed.append(Run(protocol, Path(store)).name)
        if protocol.seed == 7:
            raise RuntimeError("the disk is on fire\nand the tape, too")
        return compute(protocol, store)

    compute = run_one
    monkeypatch.setattr("lib.runs.run.run", run)
    return computed


@pytest.fixture
def short(tiny_protocol):
    """short(**changes) → a protocol without acquisition."""
    return lambda **changes: tiny_protocol(**{"rounds": 0, "epochs": 1, "validation_rows": 10, **changes})


def whole(store: Path) -> dict[Path, tuple]:
    """Everything in a store, timings and locks too: path → content and when it was written."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.rglob("*") if path.is_file()}


def test_the_rounds_of_all_runs_come_back_in_the_order_they_were_asked_for(short, tmp_path, calls):
    protocols = [short(task=task, seed=seed) for task in ("sst2", "mnli") for seed in (1, 0)]
    rounds = sweep(protocols, tmp_path)
    assert [(*row,) for row in rounds[["task", "seed"]].to_numpy()] == [
        ("sst2", 1),
        ("sst2", 0),
        ("mnli", 1),
        ("mnli", 0),
    ]
    pd.testing.assert_frame_equal(rounds, results.load("rounds", protocols, tmp_path))
    assert len(calls) == 4


def test_a_run_that_is_asked_for_twice_is_computed_once(short, tmp_path, calls):
    same = short(strategy="bald"), short(strategy="random"), short(samples=99)  # without acquisition these are one
    sweep([*same, *same], tmp_path)
    assert len(calls) == 1


def test_what_is_in_the_store_is_not_computed_again(short, tmp_path, calls):
    protocols = [short(), short(seed=1)]
    first = sweep(protocols[:1], tmp_path)
    before = whole(tmp_path)
    both = sweep(protocols, tmp_path)
    assert len(calls) == 2
    pd.testing.assert_frame_equal(both[both["seed"] == 0], first)
    assert before.items() <= whole(tmp_path).items()
    after = whole(tmp_path)
    sweep(protocols, tmp_path)
    assert len(calls) == 2
    assert whole(tmp_path) == after


def test_a_failing_run_does_not_stop_the_others(short, tmp_path, calls, capsys):
    protocols = [short(seed=seed) for seed in (7, 0, 1)]
    failing, *others = [Run(protocol, tmp_path) for protocol in protocols]
    rounds = sweep(protocols, tmp_path)
    assert rounds["run"].tolist() == [run.name for run in others]
    assert [run.state for run in (failing, *others)] == ["failed", "done", "done"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(failing.name)]
    assert "RuntimeError: the disk is on fire" in line
    assert line.endswith(str(failing.folder / "failed.json"))
    assert "and the tape, too" in (failing.folder / "failed.json").read_text()
    sweep(protocols, tmp_path)
    assert len(calls) == 3 + 1  # what failed is tried again, the rest is done


def test_if_all_runs_fail_there_is_one_line(short, tmp_path, calls):
    protocols = [short(seed=7), short(seed=7, task="mnli")]
    with pytest.raises(SweepError) as caught:
        sweep(protocols, tmp_path)
    first = Run(protocols[0], tmp_path).name
    assert str(caught.value) == f"2 of 2 runs failed: {first} and 1 more: RuntimeError: the disk is on fire"


def test_mistakes_of_the_user_are_one_line_without_traceback(short, tmp_path, calls, capsys):
    protocols = [short(frozen=9), short(), short(start=500, pool=501)]
    with refused("2 of 3 runs failed", "F9", ": frozen=9 is beyond the encoder's 4 layers", "; ", ": start=500"):
        sweep(protocols, tmp_path)
    assert Run(protocols[1], tmp_path).done
    assert "Traceback" not in capsys.readouterr().err


def test_a_failure_among_mistakes_is_a_failure(short, tmp_path, calls):
    with pytest.raises(SweepError, match="2 of 2 runs failed") as caught:
        sweep([short(frozen=9), short(seed=7)], tmp_path)
    assert "\n" not in str(caught.value)


def test_the_most_expensive_runs_come_first(tiny_protocol, tmp_path):
    changes = [{"rounds": 0}, {"rounds": 2}, {"rounds": 1}, {"rounds": 2, "strategy": "random"}, {"rounds": 2}]
    ordered = plan([tiny_protocol(**change) for change in changes], tmp_path)
    assert len(ordered) == 4
    costs = [cost(run.protocol) for run in ordered]
    assert costs == sorted(costs, reverse=True)
    assert (ordered[0].protocol.rounds, ordered[0].protocol.strategy) == (2, "bald")
    assert ordered[-1].protocol.rounds == 0

"""--redraw: nothing is computed, what is there is drawn, what is missing is a line; on a clone without data, too."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, stored
from made_up import MadeUp
from test_run_all import call, write_notebook

from lib.protocol import Protocol, profile
from lib.runs import plans, published
from lib.runs.compute import NothingToDraw, sweep
from lib.runs.packing import Scope
from lib.runs.results import load
from lib.runs.run import run as run_one


@pytest.fixture(scope="module")
def one(tiny_protocol, tmp_path_factory) -> Path:
    """A store with one of two seeds."""
    store = tmp_path_factory.mktemp("one")
    run_one(tiny_protocol(rounds=1), store)
    return store


@pytest.fixture
def redrawing(monkeypatch):
    def compute(*_, **__):
        raise AssertionError("nothing is computed")

    monkeypatch.setattr("lib.runs.run.compute", compute)


def test_what_is_there_is_returned_and_what_is_missing_said_in_a_line(redrawing, one, tiny_protocol, capsys):
    before = stored(one)
    protocols = [tiny_protocol(rounds=1, seed=seed) for seed in (0, 1)]
    rounds = sweep(protocols, one, redraw=True)
    assert rounds.equals(load("rounds", protocols[:1], one))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1 of 2 runs are not there and left out (SST-2 1): about ")
    assert load("layers", protocols, one)["seed"].unique().tolist() == [0]
    assert stored(one) == before


def test_nothing_is_left_out_in_silence_and_no_line_is_said_for_nothing(redrawing, one, tiny_protocol, capsys):
    assert len(sweep([tiny_protocol(rounds=1)], one, redraw=True)) == 2
    assert capsys.readouterr().out == ""
    with pytest.raises(NothingToDraw, match="2 of 2 runs are not there"):
        sweep([tiny_protocol(rounds=1, seed=seed) for seed in (1, 2)], one, redraw=True)


@pytest.fixture
def notebooks(tmp_path, one, tiny_protocol, monkeypatch) -> Path:
    """One whose run is there, one whose is not."""
    (tmp_path / "notebooks").mkdir()
    for seed, name in enumerate(("01_there", "02_missing")):
        fields = vars(tiny_protocol(rounds=1, seed=seed))
        monkeypatch.setitem(plans.PLANS, name, lambda fields=fields: [Protocol(**fields)])
        cells = [
            "from lib.protocol import Protocol\nfrom lib.runs import sweep",
            f"protocol = Protocol(**{fields!r})",
        ]
        cells.append("rounds = sweep([protocol], results, redraw)")
        parameters = f"results: str = {str(one)!r}\nredraw: bool = False"
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", parameters, *cells)
    return tmp_path / "notebooks"


def test_a_notebook_without_a_run_is_a_line_and_no_failure(notebooks, one, tiny_protocol, capsys):
    before = stored(one)
    assert call(notebooks, "--redraw", "--results", str(one)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "02_missing: 1 of 1 runs are not there and left out (SST-2 1): about " in out
    assert "01_there: failed" not in out
    assert out.splitlines()[-1].startswith("all: 1 of 2 runs are not there and left out")
    assert stored(one) == before


@pytest.mark.slow
def test_a_clone_without_data_or_network_redraws_a_published_study(tmp_path, capsys):
    """A made-up study of all runs that the notebooks of minilm need; an empty home; the Hub does not answer."""
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    made = {run.name: run for plan in plans.PLANS.values() for run in map(MadeUp, plan("minilm"))}
    scope, folder = Scope(profile("minilm")), clone / "results" / "study" / "minilm"
    entries = {name: run.entry for name, run in made.items()}
    published.write(folder, entries, scope.tables(list(made.values())), scope.left_out())
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables |= {"HOME": str(home), "PYTHONPATH": str(clone)}  # its code in the kernels, too, not this checkout's
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lib.cli", "--profile", "minilm", "--redraw"],
        cwd=clone,
        env=variables | {"HF_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((clone / "executed" / "minilm").glob("*.ipynb"))) == 7
    assert len(list((clone / "figures" / "minilm").glob("*.png"))) >= 14
    assert sorted(path.name for path in (clone / "results").iterdir()) == ["study"], "nothing was computed"
    with capsys.disabled():
        print(f"\n{len(made)} runs redrawn in {seconds:.0f} s")

"""The notebooks that --data runs, on files of other classes than the study's; and --redraw after a stop anywhere."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from helpers import WORDS, planned
from test_notebooks import run_here

from lib import cli
from lib.command import own_data
from lib.command.notebooks import OF_DATA, read_parameters
from lib.runs import plans
from lib.runs.compute import NothingToDraw
from lib.runs.costs import plan
from lib.runs.results import Run
from lib.runs.run import run as run_one

PATHS = [next(cli.NOTEBOOKS.glob(f"{number}_*")) for number in OF_DATA.split(",")]
FILES = {  # text columns and classes
    "letters": (("text",), ("ham", "spam")),
    "claims": (("premise", "hypothesis"), ("a", "b_c", "<d>", "e f", "g", "$h$")),
}
TINY = {"samples": 8, "maps": 4, "hidden": 8, "epochs": 1, "batch_size": 8, "max_length": 16}


class OwnData:
    """A file as a profile, made by --data, and the store of its runs."""

    def __init__(self, name: str, folder: Path, encoder: str):
        columns, classes = FILES[name]
        self.folder, self.encoder = folder, encoder
        words = WORDS.split()
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow([*columns, "label"])
            for n in range(90):
                texts = [f"{words[n % 20]} {words[n * 7 % 19]} number {n} {column}" for column in columns]
                lines.writerow([*texts, classes[n % len(classes)]])
        given = ["--results", folder, "--only", "02", "-p", "query", "4", "-p", "rounds", "2", "-p", "pool", "40"]
        with own_data.prepared(planned(folder, "--data", f"{name}.csv", *given)) as ready:
            self.profile = Path(ready.profile)
        fields = json.loads(self.profile.read_text("utf-8"))
        fields["common"] |= TINY
        fields["sizes"] = fields["sizes"][:3]
        self.profile.write_text(json.dumps(fields), "utf-8")

    def values(self, path: Path, results: Path, output: Path) -> dict:
        given = {"profile": str(self.profile), "runs": 1, "encoder": self.encoder}
        given |= {"results": str(results), "output": str(output)}
        return {name: value for name, value in given.items() if name in read_parameters(path)}

    def runs(self, path: Path, store: Path) -> list[Run]:
        """What a notebook needs, in the order in which it is computed."""
        return plan(plans.needed(path.stem, self.values(path, store, store)), store)


@pytest.fixture(scope="module", params=FILES)
def own(request, tmp_path_factory, tiny_encoder) -> OwnData:
    folder = tmp_path_factory.mktemp(request.param)
    made = OwnData(request.param, folder, tiny_encoder)
    for path in PATHS:
        for run in made.runs(path, folder / "runs"):
            run_one(run.protocol, folder / "runs")
    return made


def test_every_notebook_that_data_runs_draws_a_file_of_other_classes(own, tmp_path, monkeypatch):
    for path in PATHS:
        _, shown = run_here(path, own.values(path, own.folder / "runs", tmp_path), monkeypatch)
        (answer,) = [text for one in shown if (text := str(getattr(one, "data", ""))).startswith("**Answer.** ")]
        assert len(answer) > 40
        assert list(tmp_path.glob(f"{path.stem[:2]}_*.png"))


STOPS = {  # which of the runs, in the order in which they are computed, are there
    "none": slice(0),
    "the first": slice(1),
    "the first two": slice(2),
    "all but the last": slice(-1),
    "the last": slice(-1, None),  # as where the others failed
}


@pytest.mark.parametrize("there", STOPS.values(), ids=STOPS)
def test_a_stop_at_any_point_leaves_notebooks_that_draw_what_is_there(there, own, tmp_path, monkeypatch, capsys):
    for path in PATHS:
        store, output = tmp_path / path.stem, tmp_path / "figures"
        store.mkdir()
        runs = own.runs(path, own.folder / "runs")
        if runs[there] == runs:
            continue
        for run in runs[there]:
            shutil.copytree(run.folder, store / run.name)
        values = {**own.values(path, store, output), "redraw": True}
        if not runs[there]:
            with pytest.raises(NothingToDraw, match=rf"{len(runs)} of {len(runs)} runs are not there"):
                run_here(path, values, monkeypatch)
            continue
        capsys.readouterr()
        _, shown = run_here(path, values, monkeypatch)
        assert f"of {len(runs)} runs are not there and left out" in capsys.readouterr().out
        assert [one for one in shown if str(getattr(one, "data", "")).startswith("**Answer.** ")]
        assert list(output.glob(f"{path.stem[:2]}_*.png"))

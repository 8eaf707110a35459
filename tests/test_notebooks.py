"""Every notebook, from end to end, on a tiny random-initialised encoder; and every table, recounted from the store.

The recounts read the files of the store themselves and use neither lib.runs.results nor lib.analysis.statistics.
"""

import ast
import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from helpers import NOTEBOOKS, NUMBERED, as_in_a_new_shell, parameters_cell, refused
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from scipy import stats

from lib import cli
from lib.analysis import wording
from lib.command import execution
from lib.command.notebooks import read_parameters
from lib.command.publish import injected
from lib.command.run import prepare_environment
from lib.data.tasks import read_texts
from lib.figures.notebook import INDEX
from lib.protocol import profile
from lib.runs import plans, results
from lib.runs.run import run as run_one

NAMES = sorted(path.stem for path in NOTEBOOKS)  # tests/labelling has 07
QUICK = profile("quick")
QUICK = dataclasses.replace(
    QUICK,
    tasks=("reviews", "editorials"),
    sizes=(3, 6, 60),
    common={**QUICK.common, "samples": 20, "maps": 20, "encoder_lr": 1e-3, "decoder_lr": 5e-3},
)
TASK = "editorials"  # pairs of three classes
SEEDS = range(3)
ASKED = {"tasks": TASK, "task": TASK, "runs": len(SEEDS)}
OWN = {"01_data_size": {"tasks": ""}, "06_open_questions": {"runs": 1}}
T = stats.t.ppf(0.975, 2)  # of three seeds


def parameters(path: Path) -> dict:
    return read_parameters(path)


def sources(path: Path) -> list[str]:
    """The code cells, in order, without the cell of a published notebook's parameters."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and not injected(cell)]


# ---- one execution of all notebooks, which the tests below share


@dataclass
class Study:
    folder: Path
    encoder: str
    errors: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def executed(self, name: str) -> Path:
        return self.folder / "executed" / f"{name}.ipynb"

    def values(self, path: Path, **changes) -> dict:
        """The parameters of a notebook in this study."""
        given = {
            **ASKED,
            "profile": str(self.folder / "profile.json"),
            "encoder": self.encoder,
            "results": str(self.results),
            "output": str(self.output),
        }
        given |= OWN.get(path.stem, {}) | changes
        return {name: value for name, value in given.items() if name in parameters(path)}

    def table(self, name: str) -> list[dict]:
        return pd.read_csv(self.output / f"{name}.csv", comment="#").to_dict("records")


@pytest.fixture(scope="module")
def study(tiny_encoder, tmp_path_factory) -> Study:
    made = Study(tmp_path_factory.mktemp("study"), tiny_encoder)
    (made.folder / "profile.json").write_text(json.dumps(dataclasses.asdict(QUICK)))  # with a task of pairs
    with pytest.MonkeyPatch.context() as patch:
        as_in_a_new_shell(patch)
        prepare_environment()
        for path in NOTEBOOKS:  # a kernel takes longer to load torch than to compute these: one that does is enough
            if path.stem != "06_open_questions":
                for protocol in plans.needed(path.stem, made.values(path)):
                    run_one(protocol, made.results)
        for path in NOTEBOOKS:
            made.errors[path.stem] = execution.execute(path, made.executed(path.stem), made.values(path))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_end_to_end_without_warnings(name, study):
    assert study.errors[name] == ("", "")
    outputs = [
        output for cell in nbformat.read(study.executed(name), as_version=4).cells for output in cell.get("outputs", [])
    ]
    streams = [output for output in outputs if output.output_type == "stream"]
    assert not [stream.text for stream in streams if stream.name == "stderr"]
    written = "".join(stream.text for stream in streams)  # one text may come in several messages
    shown = [output.data.get("text/markdown", "") for output in outputs if "data" in output]
    assert not re.search(r"warning|\bnan\b", "\n".join([written, *shown]), re.IGNORECASE)
    answers = [text for text in shown if text.startswith("**Answer.** ")]
    assert len(answers) == 1
    assert "*computed below*" not in shown
    assert re.search(r"^commit \w+.*\ntorch \d", written, re.MULTILINE), "versions"
    assert any("image/png" in output.data for output in outputs if "data" in output)


@pytest.mark.parametrize("what", [row[0] for row in INDEX])
def test_a_figure_or_table_of_the_paper_is_where_the_index_says(what, study):
    (name,) = [file for title, _, file in INDEX if title == what]
    for kind in ("md", "csv") if what.startswith("Table") else ("png", "svg"):
        assert (study.output / f"{name}.{kind}").stat().st_size > 100


def saved(path: Path, function: str) -> list[str]:
    """The names that a notebook gives to files in calls of this function of lib.figures."""
    calls = [node for source in sources(path) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == function]
    return [eval(ast.unparse(call.args[1]), {"task": TASK}) for call in calls]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_all_that_a_notebook_saves_is_there(path, study):
    drawn, written = saved(path, "save_figure"), saved(path, "show_table")
    assert drawn
    assert written
    for names, kinds in ((drawn, ("png", "svg")), (written, ("md", "csv"))):
        assert all((study.output / f"{name}.{kind}").exists() for name in names for kind in kinds)
        assert len(set(names)) == len(names)


def test_tables_and_figures_say_which_runs_they_are_made_from(study):
    there = {path.parent.name for path in study.results.glob("*/protocol.json")}
    tables = sorted(study.output.glob("0[1-6]_*.csv"))
    assert len(tables) > 15
    for path in tables:
        said = json.loads(path.read_text("utf-8").partition("\n")[0].removeprefix("# "))
        assert bool(said["runs"]) != path.stem.endswith("_of_the_paper"), path.name  # those are the paper's numbers
        assert set(said["runs"]) <= there


# ---- a second execution


def run_here(path: Path, values: dict, monkeypatch) -> tuple[dict, list]:
    """Execute a notebook in this process, leaving empty pictures. → its names, and what it displayed."""
    shown, names = [], {}

    class Place:
        update = staticmethod(shown.append)

    monkeypatch.setattr(
        "lib.figures.notebook.display", lambda thing, display_id=False: Place if display_id else shown.append(thing)
    )
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda figure, path, **look: path.touch())
    matplotlib.use("Agg")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and not injected(cell):
            exec(compile(cell.source, path.name, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= values
    plt.close("all")
    return names, shown


def everything(folder: Path) -> dict:
    """Path → content and time of each file, timings and locks too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def tables_of(folder: Path) -> dict[str, str]:
    """Name → content of each table, without the line that has the commit."""
    return {
        path.name: path.read_text("utf-8").partition("\n")[2]
        for path in folder.iterdir()
        if path.suffix in (".csv", ".md")
    }


@pytest.fixture
def no_model(monkeypatch):
    """Nothing is trained, scored or loaded."""

    def stop(*_, **__):
        raise AssertionError("a finished run was computed again")

    monkeypatch.setattr("lib.runs.run.compute", stop)
    monkeypatch.setattr("lib.method.model._load_bert", stop)
    monkeypatch.setattr("lib.data.rows.load_tokenizer", stop)
    as_in_a_new_shell(monkeypatch)


def test_a_second_execution_redraws_everything_and_computes_nothing(study, tmp_path, no_model, monkeypatch):
    before = everything(study.results)
    for path in NOTEBOOKS:
        run_here(path, study.values(path, output=str(tmp_path)), monkeypatch)
    assert everything(study.results) == before
    assert tables_of(tmp_path) == tables_of(study.output)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in study.output.iterdir())


# ---- the store, read file by file


@dataclass(frozen=True)
class Stored:
    folder: Path

    @property
    def protocol(self) -> dict:
        return json.loads((self.folder / "protocol.json").read_text("utf-8"))["protocol"]

    @property
    def rounds(self) -> list[dict]:
        return [json.loads(path.read_text("utf-8")) for path in sorted(self.folder.glob("round-*/round.json"))]

    def parquet(self, name: str, round_: int) -> list[dict]:
        return pd.read_parquet(self.folder / f"round-{round_:02}" / f"{name}.parquet").to_dict("records")

    def accuracy(self, round_: int) -> float:
        """From the log-probabilities of the validation rows."""
        right = []
        for row in self.parquet("validation", round_):
            log_probs = [row[f"log_prob_{c}"] for c in range(sum(name.startswith("log_prob_") for name in row))]
            right.append(log_probs.index(max(log_probs)) == row["label"])
        return sum(right) / len(right)

    def curve(self) -> list[tuple[int, float]]:
        """|T| and accuracy after each round."""
        sizes = [self.protocol["start"] + self.protocol["query"] * round_ for round_ in range(len(self.rounds))]
        return [(size, self.accuracy(round_)) for round_, size in enumerate(sizes)]

    def area(self) -> float:
        curve = self.curve()
        return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(curve)) / (curve[-1][0] - curve[0][0])


@pytest.fixture(scope="module")
def stored(study):
    """stored(**fields) → seed → the run of the main study with these fields of its protocol."""

    def select(**fields) -> dict[int, Stored]:
        if "start" not in fields:
            fields = {"rounds": QUICK.common["rounds"], "task": TASK, "frozen": 0, **fields}
        found = [Stored(path.parent) for path in sorted(study.results.glob("*/protocol.json"))]
        found = [run for run in found if fields.items() <= run.protocol.items()]
        return {run.protocol["seed"]: run for run in found}

    return select


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def check_bootstrap(row: dict, values: list[float]) -> None:
    """Of three values, one in 27 resamples is the lowest one three times: the interval is their range."""
    assert row["runs"] == len(values) == 3
    expected = mean(values), min(values), max(values), max(values) - min(values)
    assert (row["mean"], row["low"], row["high"], row["width"]) == pytest.approx(expected, abs=1e-12)


def check_t(row: dict, values: list[float], least: float = -math.inf, most: float = math.inf) -> None:
    """Student's t interval, whose ends lie between `least` and `most`."""
    assert row["runs"] == len(values) == 3
    half = T * math.sqrt(sum((value - mean(values)) ** 2 for value in values) / 2 / 3)
    expected = mean(values), max(mean(values) - half, least), min(mean(values) + half, most)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(expected, abs=1e-9)


# ---- notebook 01


def test_accuracies_by_data_size(study, stored):
    rows = study.table("01_accuracy")
    assert [(row["task"], row["labelled"]) for row in rows] == [(task, x) for task in QUICK.tasks for x in QUICK.sizes]
    for row in rows:
        runs = stored(task=row["task"], start=row["labelled"], rounds=0)
        check_bootstrap(row, [runs[seed].accuracy(0) for seed in SEEDS])


def test_deviations_by_data_size(study, stored):
    rows = study.table("01_spread")
    assert len(rows) == len(QUICK.tasks) * len(QUICK.sizes)
    for row in rows:
        runs = stored(task=row["task"], start=row["labelled"], rounds=0)
        values = [runs[seed].accuracy(0) for seed in SEEDS]
        deviation = math.sqrt(sum((value - mean(values)) ** 2 for value in values) / 2)
        assert row["deviation"] == pytest.approx(deviation)
        assert row["low"] == pytest.approx(deviation * math.sqrt(2 / stats.chi2.isf(0.025, 2)))
        assert row["high"] == pytest.approx(deviation * math.sqrt(2 / stats.chi2.isf(0.975, 2)))


def test_gains_by_data_size(study, stored):
    rows = study.table("01_gain")
    last = QUICK.sizes[-1]
    tenth = max(x for x in QUICK.sizes if x <= last / 10)
    assert [(row["task"], row["from"], row["to"]) for row in rows] == [
        (task, *step) for task in QUICK.tasks for step in ((QUICK.sizes[0], tenth), (tenth, last))
    ]
    for row in rows:
        ends = [stored(task=row["task"], start=row[end], rounds=0) for end in ("from", "to")]
        gains = [ends[1][seed].accuracy(0) - ends[0][seed].accuracy(0) for seed in SEEDS]
        check_t(row, [100 * gain / (row["to"] - row["from"]) for gain in gains])


# ---- notebook 02


def test_learning_curves_of_bald_and_random(study, stored):
    rows = study.table("02_accuracy")
    sizes = [x for x, _ in stored(strategy="bald")[0].curve()]
    assert Counter((row["labelled"], row["strategy"]) for row in rows) == {
        (x, s): 1 for x in sizes for s in ("bald", "random")
    }
    for row in rows:
        runs = stored(strategy=row["strategy"])
        check_t(row, [dict(runs[seed].curve())[row["labelled"]] for seed in SEEDS], 0, 1)


def test_areas_under_the_curves_and_their_difference(study, stored):
    bald, random = ([stored(strategy=name)[seed].area() for seed in SEEDS] for name in ("bald", "random"))
    rows = {row["strategy"]: row for row in study.table("02_area_under_curve")}
    check_bootstrap(rows["bald"], bald)
    check_bootstrap(rows["random"], random)
    (row,) = study.table("02_area_difference")
    assert (row["task"], row["strategy"]) == (TASK, "bald")
    check_t(row, [ours - theirs for ours, theirs in zip(bald, random, strict=True)])


# ---- notebook 03


def changes(stored, column: str) -> dict[tuple, list[float]]:
    """(strategy, layer) → |Δθ| or its variance after the last round, of each seed."""
    found = defaultdict(list)
    for strategy in ("bald", "random"):
        for _, run in sorted(stored(strategy=strategy).items()):
            for row in run.parquet("layers", QUICK.common["rounds"]):
                found[strategy, row["layer"]].append(row[column])
    return found


def test_parameter_change_of_each_layer(study, stored):
    means, variances = changes(stored, "mean"), changes(stored, "variance")
    rows = study.table("03_parameter_change")
    assert {(row["strategy"], row["layer"]) for row in rows} == set(means)
    assert len(rows) == len(means) == 2 * (1 + 4 + 3 + 1 + 2)  # tiny encoder: four layers
    for row in rows:
        check_bootstrap(row, means[row["strategy"], row["layer"]])
        assert row["variance"] == pytest.approx(mean(variances[row["strategy"], row["layer"]]))


def test_difference_of_parameter_change(study, stored):
    means = changes(stored, "mean")
    rows = study.table("03_difference")
    assert [row["layer"] for row in rows if math.isnan(row["number"])] == ["embeddings", "batch norm"]
    numbered = [row["layer"] for row in sorted(rows, key=lambda row: row["number"]) if not math.isnan(row["number"])]
    assert numbered == [
        *(f"encoder {i}" for i in range(4)),
        *(f"convolution {i}" for i in (3, 4, 5)),
        "hidden",
        "output",
    ]
    for row in rows:
        pairs = zip(means["bald", row["layer"]], means["random", row["layer"]], strict=True)
        check_t(row, [100 * (bald - random) / random for bald, random in pairs])


# ---- notebook 04


def test_table_1_and_its_differences(study, stored):
    last = {F: [stored(strategy="bald", frozen=F)[seed].curve()[-1][1] for seed in SEEDS] for F in QUICK.frozen}
    rows = {row["frozen"]: row for row in study.table("04_table_1")}
    assert set(rows) == set(QUICK.frozen)
    for F, row in rows.items():
        assert row["mean"] == pytest.approx(mean(last[F]))
        assert row["half_width"] == pytest.approx((max(last[F]) - min(last[F])) / 2)
    text = (study.output / "04_table_1.md").read_text("utf-8")
    best = max(mean(values) for values in last.values())
    assert set(re.findall(r"\*\*([\d.]+)\*\*", text)) == {f"{best:.3f}"}
    for row in study.table("04_difference_last_round"):
        check_t(row, [a - b for a, b in zip(last[row["frozen"]], last[0], strict=True)])


def test_table_2(study, stored):
    widths = {}
    for F in QUICK.frozen:
        curves = [stored(strategy="bald", frozen=F)[seed].curve() for seed in SEEDS]
        widths[F] = mean(np.ptp([accuracy for _, accuracy in points]) for points in zip(*curves, strict=True))
    rows = {row["frozen"]: row["mean"] for row in study.table("04_table_2")}
    assert rows == pytest.approx(widths)
    text = (study.output / "04_table_2.md").read_text("utf-8")
    assert set(re.findall(r"\*\*([\d.]+)\*\*", text)) == {f"{min(widths.values()):.3f}"}


def test_differences_of_areas_from_no_frozen_layers(study, stored):
    area = {F: [stored(strategy="bald", frozen=F)[seed].area() for seed in SEEDS] for F in QUICK.frozen}
    rows = study.table("04_difference_area")
    assert {row["frozen"] for row in rows} == set(QUICK.frozen) - {0}
    for row in rows:
        check_t(row, [a - b for a, b in zip(area[row["frozen"]], area[0], strict=True)])


# ---- notebook 05


def classes_of_T(run: Stored) -> list[Counter]:
    """After each round, from the rows that were picked and the labels of the task."""
    texts = read_texts(TASK)
    labelled, counts = list(range(run.protocol["start"])), []
    for round_ in run.rounds:
        counts.append(Counter(dict.fromkeys(texts.labels, 0)))
        counts[-1].update(texts.labels[texts.train[row][-1]] for row in labelled)
        labelled += round_["picked"]
    return counts


def test_table_3_and_its_difference(study, stored):
    spreads = defaultdict(list)
    for strategy in ("bald", "random"):
        for _, run in sorted(stored(strategy=strategy).items()):
            for counts in classes_of_T(run):
                spreads[strategy, counts.total()].append(max(counts.values()) - min(counts.values()))
    rows = study.table("05_table_3")
    assert {(row["strategy"], row["labelled"]) for row in rows} == set(spreads)
    for row in rows:
        values = spreads[row["strategy"], row["labelled"]]
        assert row["mean"] == pytest.approx(mean(values))
        assert row["half_width"] == pytest.approx((max(values) - min(values)) / 2)
    (row,) = study.table("05_class_spread_difference")
    last = max(size for _, size in spreads)
    check_t(row, [a - b for a, b in zip(spreads["bald", last], spreads["random", last], strict=True)])


def test_changes_of_the_largest_class(study, stored):
    rows = {row["strategy"]: row for row in study.table("05_largest_class_changes")}
    for strategy in ("bald", "random"):
        changes = []
        for _, run in sorted(stored(strategy=strategy).items()):
            leaders = [{c for c in counts if counts[c] == max(counts.values())} for counts in classes_of_T(run)]
            leader, changed = min(leaders[0]), 0
            for tied in leaders[1:]:
                if leader not in tied:
                    leader, changed = min(tied), changed + 1
            changes.append(changed)
        check_bootstrap(rows[strategy], changes)


def test_table_4(study, stored):
    run, texts = stored(strategy="bald")[0], read_texts(TASK)
    scored = run.parquet("pool", QUICK.common["rounds"] - 1)  # the last round with scores, fewer than five
    queried = {row for round_ in run.rounds for row in round_["picked"]}
    by_class = defaultdict(list)
    for row in scored:
        first, second, label = texts.train[row["row"]]
        name, predicted = texts.labels[label], texts.labels[row["prediction"]]
        by_class[name].append((row["bald"], first, second, predicted, row["row"] in queried))
    rows = study.table("05_table_4")
    assert len(rows) == 3 * 4
    for name, known in by_class.items():
        known.sort()
        shown = [(r["bald"], r["first"], r["second"], r["predicted"], r["queried"]) for r in rows if r["class"] == name]
        assert [one[0] for one in shown] == pytest.approx([one[0] for one in known[:2] + known[-2:]], rel=1e-6)
        for bald, *rest in shown:
            assert rest in [list(one[1:]) for one in known if one[0] == pytest.approx(bald, rel=1e-6)]


def test_correlation_of_bald_with_word_overlap(study, stored):
    texts = read_texts(TASK)
    rho = defaultdict(list)
    for _, run in sorted(stored(strategy="bald").items()):
        points = defaultdict(list)
        for row in run.parquet("pool", QUICK.common["rounds"] - 1):
            first, second, label = texts.train[row["row"]]
            a, b = (set(re.findall(r"\w+", text.lower())) for text in (first, second))
            points[texts.labels[label]].append((len(a & b) / len(a | b), row["bald"]))
        for name, pairs in points.items():
            ranks = stats.rankdata(np.array(pairs), axis=0)
            rho[name].append(np.corrcoef(ranks.T)[0, 1])
    rows = study.table("05_overlap")
    assert {row["class"] for row in rows} == set(rho) == set(texts.labels)
    for row in rows:
        z = dict(zip(("mean", "low", "high"), np.arctanh([row[name] for name in ("mean", "low", "high")]), strict=True))
        check_t({**row, **z, "width": z["high"] - z["low"]}, np.arctanh(rho[row["class"]]))


# ---- parameters of a notebook that it cannot work with


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("02_bald_vs_random", {"strategies": "random"}, ("strategy='random'", "alone")),
        ("02_bald_vs_random", {"strategies": "bald"}, ("strategy='random'", "not among bald")),
        ("02_bald_vs_random", {"strategies": " , "}, ("strategies=' , '", "names nothing")),
        (
            "03_parameter_change",
            {"task": "reviews,editorials"},
            ("'reviews,editorials'", "choose reviews or editorials"),
        ),
        ("04_layer_freezing", {"frozen": "0"}, ("frozen=0", "alone")),
        ("04_layer_freezing", {"frozen": "2,-2"}, ("frozen=0", "not among 2 or -2")),
        ("05_qualitative", {"examples": 0}, ("examples=0", "1 or more")),
        ("05_qualitative", {"after": -1}, ("after=-1", "0 or more")),
    ],
)
def test_what_a_notebook_cannot_work_with_is_one_line(name, changes, words, study, tmp_path, no_model, monkeypatch):
    path = cli.NOTEBOOKS / f"{name}.ipynb"
    with refused(*words):
        run_here(path, study.values(path, output=str(tmp_path), **changes), monkeypatch)


def test_results_that_are_not_there_are_one_line(study, tmp_path):
    protocols = QUICK.grid(tasks=TASK, runs=2, encoder=study.encoder)
    assert len(results.load("rounds", protocols, study.results)) == 2 * (QUICK.common["rounds"] + 1)
    with pytest.warns(UserWarning, match=r"2 of 2 runs .*editorials-bald-F0-seed0.*\(missing\)"):
        assert results.load("rounds", protocols, tmp_path).empty


@pytest.mark.parametrize("name", ["05_qualitative", "02_bald_vs_random"])
def test_a_notebook_can_do_with_one_task_of_single_sentences_or_one_seed(name, study, tmp_path, no_model, monkeypatch):
    path = cli.NOTEBOOKS / f"{name}.ipynb"
    _, shown = run_here(path, study.values(path, runs=1, output=str(tmp_path)), monkeypatch)
    answer = "\n".join(thing.data for thing in shown if isinstance(getattr(thing, "data", None), str))
    assert re.search("one run|one seed|better than a guess", answer)
    assert "One seed: nothing is known about the spread between runs" in answer


def test_who_opens_the_first_notebook_before_there_is_any_run_is_told_so(study, tmp_path, no_model, monkeypatch):
    path = cli.NOTEBOOKS / "00_claims.ipynb"
    asked = {"results": str(tmp_path / "none"), "output": str(tmp_path)}
    names, shown = run_here(path, study.values(path, **asked), monkeypatch)
    assert set(names["ledger"]["verdict"]) == {"no runs"}
    assert [text.get_text() for text in names["figure"].axes[0].texts] == [wording.NOTHING]
    answer = next(text for thing in shown if (text := str(getattr(thing, "data", ""))).startswith("**Answer.**"))
    assert "runs of BALD and random are not here. Notebook 02 makes them" in answer


@pytest.mark.parametrize("name", [name for name in NAMES if name[:2] in ("02", "03", "04", "05")])
def test_a_notebook_does_without_a_run_that_failed_and_says_so(name, study, tmp_path, no_model, monkeypatch, capsys):
    store = tmp_path / "results"
    shutil.copytree(study.results, store)
    (failing,) = store.glob(f"{TASK}-bald-F0-seed1-*")
    shutil.rmtree(failing)
    path = cli.NOTEBOOKS / f"{name}.ipynb"
    _, shown = run_here(path, study.values(path, results=str(store), output=str(tmp_path)), monkeypatch)
    assert re.search(rf"{failing.name} +0 AssertionError: a finished run", capsys.readouterr().err)
    assert failing.name not in (tmp_path / f"{saved(path, 'show_table')[0]}.csv").read_text("utf-8")
    answer = next(text for thing in shown if (text := str(getattr(thing, "data", ""))).startswith("**Answer.**"))
    assert re.search("fewer than three repetitions|two repetitions: no interval|better than a guess", answer)


# ---- how notebooks are written


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_notebook_begins_with_its_title_and_its_question(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    title, empty, question = first.source.split("\n", 2)
    assert title.startswith("# ")
    assert empty == ""
    assert question.startswith("**Question.** ")
    assert "?" in question


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_parameters_are_typed_literals_with_a_comment_that_papermill_shows(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if "parameters" in cell.metadata.get("tags", [])]
    (cell,) = cells
    for line, statement in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(statement, ast.AnnAssign)
        assert type(ast.literal_eval(statement.value)).__name__ == statement.annotation.id
        assert re.search(r"  # \S.{5,}", line)
    inspected = papermill.inspect_notebook(str(path))
    assert list(inspected) == list(parameters(path))
    for name, default in parameters(path).items():
        assert inspected[name]["inferred_type_name"] == type(default).__name__
        assert ast.literal_eval(inspected[name]["default"]) == default
        assert len(inspected[name]["help"]) > 5


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_code_cells_are_short_and_define_nothing_long(path):
    for source in sources(path):
        most = 20 if source == parameters_cell(path) else 15  # a parameter a line
        assert len(source.splitlines()) <= most
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 5


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_notebook_has_checks_and_ends_with_its_reading(path):
    cells = nbformat.read(path, as_version=4).cells
    assert any("assert " in source for source in sources(path))
    assert "limits" in cells[-2].source.lower()
    assert "figures.show_" in cells[-1].source
    assert len({cell.id for cell in cells}) == len(cells)


def test_notebooks_are_formatted_and_clean():
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", str(cli.NOTEBOOKS)]
        done = subprocess.run(command, cwd=cli.CHECKOUT, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_committed_notebook_has_the_parameters_of_its_outputs_and_papermill_replaces_them(path):
    committed = load_notebook_node(str(path))
    [cell] = [cell for cell in committed.cells if injected(cell)]
    values = {}
    exec(cell.source, values)
    assert values["profile"] == "minilm"
    names = {name for name in values if name != "__builtins__"}
    assert names <= set(parameters(path))
    given = parameterize_notebook(committed, {"profile": "quick"}, kernel_name="bert-bald", language="python")
    [replaced] = [cell for cell in given.cells if injected(cell)]
    assert "quick" in replaced.source
    assert "minilm" not in replaced.source

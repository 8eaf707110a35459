"""Figures draw the data they are given; every file says which runs and which commit made it; text stays text."""

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import same_color, to_rgb
from nbconvert.filters import markdown2html
from PIL import Image
from scipy import stats

from lib import figures
from lib.analysis.statistics import bootstrap_interval
from lib.figures.layers import _light
from lib.figures.looks import ORANGE, colours
from lib.figures.notebook import save_table
from lib.method.model import outline
from lib.protocol import Protocol

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@pytest.fixture(autouse=True)
def _canvas():
    matplotlib.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch) -> list:
    """What a notebook would display, in order; a place that is filled later is a list of what was put there."""
    things = []

    class Place(list):
        update = list.append

    def display(thing, display_id=False):
        things.append(Place([thing]) if display_id else thing)
        return things[-1] if display_id else None

    monkeypatch.setattr("lib.figures.notebook.display", display)
    return things


def rounds(tasks=("mnli", "reviews"), strategies=("bald", "random"), seeds=3, sizes=(10, 30, 100)) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    rows = [
        {"task": task, "strategy": strategy, "frozen": frozen, "seed": seed, "labelled": size}
        | {"accuracy": rng.random(), "class_counts": [1, 2, 3] if task == "mnli" else [4, 5]}
        | {"majority": 0.35 if task == "mnli" else 0.52}
        for task in tasks
        for strategy, frozen in zip(strategies, (0, -2), strict=False)
        for seed in range(seeds)
        for size in sizes
    ]
    return pd.DataFrame(rows)


def curve_of(ax, x_values) -> dict:
    """Colour → y of each curve with these x."""
    lines = [line for line in ax.lines if list(line.get_xdata()) == list(x_values)]
    return {to_rgb(line.get_color()): np.asarray(line.get_ydata(), float) for line in lines}


def bars_of(container, axis: int = 1) -> np.ndarray:
    """x, y, low and high (along `axis`) of an errorbar, a row a point. Bars that are not there are nan."""
    line, _, bars = container.lines
    segments = bars[0].get_segments() if bars else [[]] * len(line.get_xdata())
    ends = np.array([segment[:, axis] if len(segment) else [np.nan] * 2 for segment in segments])
    return np.column_stack([line.get_xdata(), line.get_ydata(), ends])


def legend_of(figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


# ---- files


def test_png_svg_and_csv_carry_the_runs_and_the_commit(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.figures.notebook.commit", lambda: "c0ffee")
    runs = pd.Series(["run-b", "run-a", "run-b"])
    expected = {"commit": "c0ffee", "runs": ["run-a", "run-b"]}
    figures.save_figure(figures.learning_curves(rounds()), "curves", tmp_path / "new", runs)
    save_table(rounds(), "values", tmp_path / "new", runs)
    with Image.open(tmp_path / "new" / "curves.png") as image:
        assert json.loads(image.text["Source"]) == expected
    svg = ElementTree.parse(tmp_path / "new" / "curves.svg")
    (source,) = svg.iter("{http://purl.org/dc/elements/1.1/}source")
    assert json.loads(source.text) == expected
    header, columns, *_ = (tmp_path / "new" / "values.csv").read_text("utf-8").splitlines()
    assert json.loads(header.removeprefix("# ")) == expected
    assert columns == "task,strategy,frozen,seed,labelled,accuracy,class_counts,majority"
    first = (tmp_path / "new" / "values.md").read_text("utf-8").splitlines()[0]
    assert json.loads(re.fullmatch("<!-- (.*) -->", first)[1]) == expected


def test_a_figure_that_is_saved_twice_is_the_same_file(tmp_path):
    figures.style()
    for folder in ("one", "two"):
        figures.save_figure(figures.learning_curves(rounds()), "curves", tmp_path / folder, ["run"])
    for kind in ("png", "svg"):
        assert (tmp_path / "one" / f"curves.{kind}").read_bytes() == (tmp_path / "two" / f"curves.{kind}").read_bytes()


def test_a_csv_has_all_digits(tmp_path):
    table = pd.DataFrame({"task": ["a, b", 'the "c"'], "mean": [1 / 3, np.nan], "n": pd.array([1, None], "Int64")})
    save_table(table, "values", tmp_path, ["run"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "values.csv", comment="#").astype({"n": "Int64"}), table)


# ---- Markdown


def rendered(markdown: str) -> BeautifulSoup:
    return BeautifulSoup(markdown2html(markdown), "html.parser")


def cells(page: BeautifulSoup) -> list[list[str]]:
    return [[cell.get_text() for cell in row.find_all("td")] for row in page.find_all("tr")[1:]]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b || c",
    "[x](javascript:alert(1))",
    "![x](file:///etc/passwd)",
    "<javascript:alert(1)>",
    "`code` and ``more``",
    "two\nlines\r\n\nand a paragraph",
    "**bold** _it_ ~~no~~ __x__",
    "# no title",
    "&lt;b&gt; &amp; &#60;",
    "$x^2$ and $$y$$",
    "back\\slash \\| \\` \\\\",
    "--- | ---",
    "<!-- --> -->",
    "[^1] [ref]: http",
    "\\(x^2\\) and \\[y\\]",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_data_set_is_shown_as_it_is(text):
    page = rendered(figures.markdown(pd.DataFrame({"first": [text, "x"], "bald": [0.25, 0.5]})))
    assert cells(page) == [[" ".join(text.split()), "0.250"], ["x", "0.500"]]
    assert {tag.name for tag in page.find_all()} - {"span"} == {"table", "thead", "tbody", "tr", "th", "td"}
    assert not any(tag.attrs for tag in page.find_all("span"))


@given(st.text("\\`*_{}[]()<>|$#~&!+-.:;='\"/^%@ \n\tax1", min_size=1).filter(lambda text: text.split()))
def test_no_text_breaks_out_of_its_cell(text):
    page = rendered(figures.markdown(pd.DataFrame({"first": [text], "last": ["end"]})))
    assert cells(page) == [[" ".join(text.split()), "end"]]
    assert {tag.name for tag in page.find_all()} <= {"table", "thead", "tbody", "tr", "th", "td", "span"}


def test_numbers_are_rounded_names_written_out_and_missing_values_left_empty():
    table = pd.DataFrame({"task": ["sst2", "reviews"], "strategy": ["bald", None], "mean": [2 / 3, np.nan]})
    table["runs"] = pd.array([3, None], "Int64")
    assert cells(rendered(figures.markdown(table, digits=2))) == [
        ["SST-2", "BALD", "0.67", "3"],
        ["reviews", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (1.23e-7, 7, "1.2e-07"),
        (-0.00083, 3, "-0.00083"),
        (1.0e-7, 7, "1.0e-07"),
        (0.000496, 7, "0.0004960"),
        (0.0014, 3, "0.001"),
        (0.0, 3, "0.000"),
        (3e-17, 3, "0.000"),
    ],
)
def test_small_numbers_are_not_rounded_away(value, digits, written):
    assert cells(rendered(figures.markdown(pd.DataFrame({"mean": [value]}), digits=digits))) == [[written]]


def test_headings_are_words_and_numbers_stand_to_the_right():
    table = pd.DataFrame({"task": ["sst2"], "labelled": [10], "half_width": [0.5], "setting": ["a"]})
    page = rendered(figures.markdown(table))
    assert [tag.get_text() for tag in page.find_all("th")] == ["task", "rows of T", "half of the interval", "setting"]
    right = ["right" in str(tag.attrs) for tag in page.find_all("th")]
    assert right == [False, True, True, False]


def test_counts_have_no_decimals_unless_they_are_means():
    table = pd.DataFrame({"pairs": [190.0, 190.0], "near_duplicates": [0.0, 1.5], "mean": [1.0, 2.0]})
    assert cells(rendered(figures.markdown(table))) == [["190", "0.000", "1.000"], ["190", "1.500", "2.000"]]


@pytest.mark.parametrize(("how", "bold"), [("max", ["0.9", "0.4", "0.4"]), ("min", ["0.1", "0.4", "0.4"])])
def test_the_best_value_of_each_task_is_bold(how, bold):
    means = {"a": [0.1, 0.9, np.nan], "b": [0.4, 0.4], "with one value": [0.5], "with one known": [0.6, np.nan]}
    table = pd.DataFrame([(task, mean) for task in means for mean in means[task]], columns=["task", "mean"])
    page = rendered(figures.markdown(table.assign(other=0.9), digits=1, best={"mean": how}))
    assert [tag.get_text() for tag in page.find_all("strong")] == bold


# ---- what notebooks show


def test_the_index_names_files_that_the_notebooks_save(shown, tmp_path):
    figures.show_index(tmp_path)
    index = pd.read_csv(tmp_path / "00_index.csv", comment="#")
    assert len(cells(rendered(shown[0].data))) == len(index)
    for what, notebook, name in index.to_numpy():
        kind = "table" if what.startswith("Table") else "figure"
        source = "".join(json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8")).__repr__())
        assert re.search(rf"figures\.(save|show)_{kind}\([^)]*?{name}\b", source), f"{notebook} does not save {name}"
    numbers = sorted(re.findall(r"^(Figure|Table) (\d)", "\n".join(index["in the paper"]), re.MULTILINE))
    assert numbers == [("Figure", str(i)) for i in range(1, 7)] + [("Table", str(i)) for i in range(1, 5)]


def test_the_protocol_is_shown_with_a_meaning_for_every_field(shown, tmp_path):
    figures.show_protocol(Protocol(task="mnli"), tmp_path)
    table = pd.read_csv(tmp_path / "00_protocol.csv", comment="#", dtype=str, keep_default_na=False).set_index("field")
    assert list(table.index) == list(Protocol.__dataclass_fields__)
    assert (table["value"]["samples"], table["value"]["task"]) == ("50", "mnli")
    assert (table["meaning"].str.len() > 5).all()


def test_an_answer_stands_where_it_was_announced(shown):
    place = figures.Later()
    figures.show_limits("Measured.", ["One.", "Two."])
    place.show("**Answer.** Yes.")
    announced, reading = shown
    assert announced[-1].data == "**Answer.** Yes."
    assert reading.data == "Measured.\n\n**Limits.**\n\n- One.\n- Two."


def test_a_figure_that_is_shown_above_is_not_shown_a_second_time(shown):
    place, figure = figures.Later(), figures.learning_curves(rounds())
    place.show(figure)
    assert shown[0][-1] is figure
    assert not plt.fignum_exists(figure.number)


# ---- drawings


def test_letters_of_many_panels_can_be_read_on_a_printed_page():
    """On a page of 16 cm no letter is lower than 5 pt, however many tasks there are; a panel has axes of its own."""
    figures.style()
    tasks = [f"task {number}" for number in range(5)]
    counts = pd.DataFrame({"task": tasks, "round": 0, "class": "a", "rows": 1})
    counts = pd.concat([counts.assign(strategy=name) for name in ("bald", "random")])
    drawn = {
        "curves": figures.learning_curves(rounds(tasks)),
        "lengths": figures.lengths(rounds(tasks).rename(columns={"accuracy": "longer"})),
        "classes": figures.class_counts(counts),
    }
    for name, figure in drawn.items():
        figure.tight_layout()  # as save_figure does
        inches = figure.get_tightbbox().width
        letters = [text.get_fontsize() for ax in figure.axes for text in [*ax.get_xticklabels(), *ax.get_yticklabels()]]
        assert min(letters) * (16 / 2.54) / inches > 5, name
    titles = [ax.get_title() for ax in drawn["lengths"].axes]
    assert titles == tasks
    outer = [bool(ax.get_ylabel()) for ax in drawn["lengths"].axes]
    assert outer == [True, False, False, True, False]


@pytest.mark.parametrize("by", ["strategy", "frozen"])
def test_learning_curves_are_means_with_the_interval_of_the_tables(by):
    table = rounds()
    figure = figures.learning_curves(table, by=by)
    assert [ax.get_title() for ax in figure.axes] == ["MNLI", "reviews"]
    for ax, task, chance in zip(figure.axes, ("mnli", "reviews"), (0.35, 0.52), strict=True):
        some = table[table["task"] == task].groupby([by, "labelled"], sort=False)["accuracy"]
        means = [list(curve) for _, curve in some.mean().groupby(level=0, sort=False)]
        drawn = sorted(map(list, curve_of(ax, [10, 30, 100]).values()))
        assert np.array(drawn) == pytest.approx(np.array(sorted(means)))
        intervals = {round(end, 9) for _, values in some for end in bootstrap_interval(values)}
        drawn = {round(y, 9) for band in ax.collections for path in band.get_paths() for y in path.vertices[:, 1]}
        assert intervals <= drawn
        assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"] == pytest.approx([chance])
        if by == "frozen":
            assert to_rgb(colours()["bald"]) in curve_of(ax, [10, 30, 100])
    names = ["BALD", "random"] if by == "strategy" else ["F = −2", "F = 0"]
    assert sorted(legend_of(figure)) == sorted([*names, "chance"])


def test_a_strategy_has_one_colour_in_all_figures():
    figure = figures.learning_curves(rounds())
    for ax in figure.axes:
        assert set(curve_of(ax, [10, 30, 100])) == {to_rgb(colours()[name]) for name in ("bald", "random")}
    assert len({to_rgb(colour) for colour in colours().values()}) == len(colours())


@pytest.mark.parametrize("by", ["strategy", "frozen"])
def test_a_level_has_the_marker_of_the_legend_in_a_panel_that_has_fewer_levels(by):
    table = rounds()
    figure = figures.learning_curves(table[(table["task"] == "mnli") | (table[by] == table[by].iloc[-1])], by=by)
    shown = {
        (to_rgb(line.get_color()), line.get_marker())
        for ax in figure.axes
        for line in ax.lines
        if list(line.get_xdata()) == [10, 30, 100]
    }
    legend = {(to_rgb(line.get_color()), line.get_marker()) for line in figure.legends[0].get_lines()}
    assert shown <= legend
    assert len(shown) == 2


@pytest.fixture(params=[3, 1], ids=["three runs", "one run"])
def differences(request) -> pd.DataFrame:
    rows = [(task, strategy, x) for task in ("mnli", "sst2") for strategy in ("bald", "entropy") for x in (10, 30)]
    table = pd.DataFrame(rows, columns=["task", "strategy", "labelled"])
    table["mean"] = np.linspace(-0.1, 0.2, len(table))
    wide = 0.05 if request.param == 3 else np.nan
    return table.assign(low=table["mean"] - wide, high=table["mean"] + 2 * wide, runs=request.param)


def test_differences_are_points_with_their_intervals(differences):
    figure = figures.differences(differences, "labelled", by="strategy")
    for ax, task in zip(figure.axes, ("mnli", "sst2"), strict=True):
        assert 0 in [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]
        for container, strategy in zip(ax.containers, ("bald", "entropy"), strict=True):
            some = differences[(differences["task"] == task) & (differences["strategy"] == strategy)]
            drawn = bars_of(container)
            assert drawn[:, 0] == pytest.approx(some["labelled"].to_numpy(), abs=1)
            assert drawn[:, 1:] == pytest.approx(some[["mean", "low", "high"]].to_numpy(), nan_ok=True)
            assert same_color(container.lines[0].get_color(), colours()[strategy])
        assert all(container.has_yerr == (some["runs"] > 1).all() for container in ax.containers)
        assert ax.get_ylim() == figure.axes[0].get_ylim()
    assert legend_of(figure) == ["BALD", "entropy"]


def test_differences_of_ten_sizes_have_ticks_that_do_not_overprint(differences):
    some = differences.iloc[[0] * 10].assign(labelled=range(10, 1010, 100))
    figure = figures.differences(some, "labelled", by="strategy")
    assert list(figure.axes[0].get_xticks()) == [10, 310, 610, 910]
    assert not figure.legends  # one level


def test_differences_of_one_strategy_stand_at_their_place(differences):
    some = differences[differences["strategy"] == "bald"]
    figure = figures.differences(some, "labelled", by="strategy")
    for ax, task in zip(figure.axes, ("mnli", "sst2"), strict=True):
        expected = some[some["task"] == task][["labelled", "mean", "low", "high"]]
        assert bars_of(ax.containers[0]) == pytest.approx(expected.to_numpy(), nan_ok=True)


def test_the_right_panel_of_data_sizes_ends_at_a_tenth_of_each_tasks_rows():
    small, large = rounds(("reviews",), sizes=(4, 10, 100)), rounds(("mnli",), sizes=(10, 90, 100, 1000))
    table = pd.concat([small, large])
    left, right = figures.data_size(table, 0.1).axes
    for ax, sizes in ((left, [(4, 10, 100), (10, 90, 100, 1000)]), (right, [(4, 10), (10, 90, 100)])):
        for task, x in zip(("reviews", "mnli"), sizes, strict=True):
            (drawn,) = curve_of(ax, x).values()
            some = table[(table["task"] == task) & table["labelled"].isin(x)]
            assert drawn == pytest.approx(some.groupby("labelled")["accuracy"].mean().to_numpy())


@pytest.mark.parametrize("by", ["strategy", "task"])
def test_the_baseline_is_a_thin_line_with_the_colour_and_the_dashes_of_its_level(by):
    table = rounds(("mnli",) if by == "strategy" else ("mnli", "reviews"))
    table = table.assign(baseline_accuracy=table["accuracy"] / 2, baseline_macro_f1=0.5)
    drawn = figures.learning_curves(table, by="strategy") if by == "strategy" else figures.data_size(table, 1.0)
    ax, looks = drawn.axes[0], set()
    thin = [line for line in ax.lines if line.get_linewidth() < 1]
    thick = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    for level, some in table.groupby(by, sort=False):
        half = some.groupby("labelled")["accuracy"].mean().to_numpy() / 2
        (line,) = [line for line in thin if line.get_ydata() == pytest.approx(half)]
        (whole,) = [line for line in thick if line.get_ydata() == pytest.approx(2 * half)]
        assert same_color(line.get_color(), whole.get_color()), level
        assert line.is_dashed() == whole.is_dashed()
        looks.add(line.is_dashed())
    assert looks == {True, False}, "in black and white they would be one"


def test_the_spread_is_drawn_as_it_is_in_the_table():
    table = pd.DataFrame({"task": ["a", "a", "b", "b"], "labelled": [10, 100] * 2, "deviation": [0.1, 0.2, 0.3, 0.4]})
    (ax,) = figures.spread(table).axes
    assert sorted(map(list, curve_of(ax, [10, 100]).values())) == [[0.1, 0.2], [0.3, 0.4]]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "100"]
    assert not any(text.get_text() for text in ax.get_xticklabels(minor=True))


NAMES = ["embeddings", "encoder 0", "encoder 1", "convolution 3", "batch norm", "output"]


def layers() -> pd.DataFrame:
    frame = pd.DataFrame({"layer": NAMES, "number": [pd.NA, 0, 1, 2, pd.NA, 3]}).astype({"number": "Int64"})
    frame["part"] = ["encoder"] * 3 + ["decoder"] * 3
    runs = []
    for i, strategy in enumerate(("bald", "bald", "random", "random")):
        mean = np.array([9e-5, 0, 2e-5, 3e-4, 9e-4, 5e-4]) * (1 + i)
        more = {"task": "qnli", "strategy": strategy, "seed": i % 2}
        runs.append(frame.assign(**more, mean=mean, variance=(mean / 2) ** 2))
    return pd.concat(runs, ignore_index=True)


def test_parameter_change_has_a_point_for_each_numbered_layer_and_a_red_line_after_the_encoder():
    table = layers()
    figure = figures.parameter_change(table)
    assert [ax.get_title() for ax in figure.axes] == ["QNLI, BALD", "QNLI, random"]
    for ax, strategy in zip(figure.axes, ("bald", "random"), strict=True):
        some = table[(table["strategy"] == strategy) & table["layer"].isin(["encoder 1", "convolution 3", "output"])]
        means = some.groupby("number")[["mean", "variance"]].mean()
        deviation = means["variance"] ** 0.5
        expected = [means.index, means["mean"], means["mean"] - deviation, means["mean"] + deviation]
        assert bars_of(ax.containers[0]) == pytest.approx(np.column_stack(expected).astype(float))
        assert [(text.get_position()[0], text.get_text()) for text in ax.texts] == [(0, "0")]  # a frozen layer
        (red,) = [line for line in ax.lines if line.get_color() == "red"]
        assert list(red.get_xdata()) == [1.5, 1.5]
        assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "c3", "out"]
        assert ax.get_yscale() == "log"
        assert all(ax.get_ylim()[0] < low for low in means["mean"])


def test_layer_differences_are_points_with_their_intervals():
    table = layers().dropna(subset="number").drop_duplicates("layer").assign(mean=[0.0, -3.0, 1.0, 2.0])
    table = table.assign(low=table["mean"] - 2, high=table["mean"] + 1)
    encoder, decoder = figures.layer_differences(table).axes
    expected = table[["number", "mean", "low", "high"]].to_numpy(float)
    assert np.vstack([bars_of(ax.containers[0]) for ax in (encoder, decoder)]) == pytest.approx(expected)
    assert [len(bars_of(ax.containers[0])) for ax in (encoder, decoder)] == [2, 2]
    assert encoder.get_ylim() != decoder.get_ylim()
    assert [ax.get_title() for ax in (encoder, decoder)] == ["QNLI, encoder", "QNLI, decoder"]
    assert [text.get_text() for text in decoder.get_xticklabels()] == ["c3", "out"]


def test_class_counts_are_bars_of_the_mean_over_runs():
    rows = [
        (task, strategy, seed, round_, name, 10 * round_ + len(name) + seed + 3 * (strategy == "bald"))
        for task, names in (("mnli", ["a", "bb", "ccc"]), ("sst2", ["x", "yy"]))
        for strategy in ("bald", "random")
        for seed in (0, 1)
        for round_ in (0, 1)
        for name in names
    ]
    counts = pd.DataFrame(rows, columns=["task", "strategy", "seed", "round", "class", "rows"])
    figure = figures.class_counts(counts)
    assert [ax.get_title() for ax in figure.axes] == ["MNLI, BALD", "MNLI, random", "SST-2, BALD", "SST-2, random"]
    legends = {task: ax.get_legend() for task, ax in zip(("mnli", "sst2"), figure.axes[1::2], strict=True)}
    assert not any(ax.get_legend() for ax in figure.axes[::2])  # once a task
    for ax, (task, strategy) in zip(
        figure.axes, [(t, s) for t in ("mnli", "sst2") for s in ("bald", "random")], strict=True
    ):
        some = counts[(counts["task"] == task) & (counts["strategy"] == strategy)]
        means = some.groupby(["class", "round"])["rows"].mean()
        drawn = {
            (text.get_text(), round_): bar.get_height()
            for text, container in zip(legends[task].get_texts(), ax.containers, strict=True)
            for round_, bar in enumerate(container)
        }
        assert drawn == means.to_dict()


def test_overlap_has_a_point_for_each_row_and_the_mean_of_each_fifth():
    rng = np.random.default_rng(1)
    pool = pd.DataFrame({"class": ["x"] * 50 + ["y"] * 30, "overlap": rng.random(80), "bald": rng.random(80)})
    figure = figures.overlap(pool.assign(task="mnli"))
    assert [ax.get_title() for ax in figure.axes] == ["MNLI: x", "MNLI: y"]
    for ax, name in zip(figure.axes, "xy", strict=True):
        some = pool[pool["class"] == name].sort_values("overlap")
        points = ax.collections[0].get_offsets().data
        assert sorted(map(tuple, points)) == sorted(map(tuple, some[["overlap", "bald"]].to_numpy()))
        fifths = np.array_split(some[["overlap", "bald"]].to_numpy(), 5)
        assert ax.lines[0].get_xydata() == pytest.approx(np.array([fifth.mean(0) for fifth in fifths]))


def test_overlap_has_five_groups_where_most_rows_have_the_same_overlap():
    pool = pd.DataFrame(
        {"task": "snli", "class": "x", "overlap": [0.0] * 16 + [0.1, 0.2, 0.3, 0.4], "bald": np.arange(20.0)}
    )
    (ax,) = figures.overlap(pool).axes
    assert ax.lines[0].get_ydata() == pytest.approx(pool["bald"].to_numpy().reshape(5, 4).mean(1))


def pairs(settings, differences, task="mnli"):
    rows = [
        {"task": task, "setting": name, "seed": seed, "difference": value}
        for name, values in zip(settings, differences, strict=True)
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_settings_are_points_with_their_seeds_and_intervals():
    names = ["random", "warm restart", "entropy"]
    spread = np.array([-0.02, 0.0, 0.01, 0.03])
    tables = [pairs(names, [mean + spread for mean in (-0.2, 0.0, 0.1)], task) for task in ("mnli", "sst2")]
    figure = figures.settings(pd.concat(tables), "BALD")
    for ax, table in zip(figure.axes, tables, strict=True):
        line, _, (bars,) = ax.containers[0].lines
        by_setting = table.groupby("setting", sort=False)["difference"]
        assert line.get_xdata() == pytest.approx(by_setting.mean().to_numpy())
        ends = np.array([segment[:, 0] for segment in bars.get_segments()])
        error = by_setting.sem()
        expected = np.stack(stats.t.interval(0.95, 3, by_setting.mean(), error), axis=1)
        assert ends == pytest.approx(expected)
        (seeds,) = [line for line in ax.lines if line.get_label() == "seeds"]
        assert seeds.get_xdata() == pytest.approx(table["difference"].to_numpy())
        assert seeds.get_ydata().tolist() == [place for place in range(3) for _ in spread]
        assert [text.get_text() for text in ax.get_yticklabels()] == names
        assert ax.yaxis_inverted(), "the first setting is not on top"
        assert "go on" not in ax.get_xlabel()
    assert ax.get_xlabel().startswith("difference − that of BALD\n")


def test_settings_may_be_values_of_f():
    table = pairs([-2, 3], [[0.1, 0.2], [0.0, 0.1]]).rename(columns={"setting": "frozen"})
    (ax,) = figures.settings(table, 0, "frozen").axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["F = −2", "F = 3"]
    assert "− that of F = 0" in ax.get_xlabel()


def test_settings_of_one_run_are_open_points_without_bars():
    (ax,) = figures.settings(pairs(["random", "entropy"], [[0.1], [0.2]]), "BALD").axes
    assert not ax.containers
    (points,) = [line for line in ax.lines if line.get_marker() == "o"]
    assert points.get_xydata().tolist() == [[0.1, 0], [0.2, 1]]
    assert points.get_fillstyle() == "none"
    assert "bars: seeds" not in ax.get_xlabel()
    assert "too few runs for an interval" in ax.get_xlabel()


def test_an_interval_of_few_seeds_does_not_set_the_scale_of_the_settings():
    (ax,) = figures.settings(pairs(["random", "entropy"], [[0.0, 0.1, 0.0], [0.04, 0.05, 0.045]]), "BALD").axes
    low, high = ax.get_xlim()
    assert -0.05 < low < 0 < 0.1 < high < 0.15, "Student's t of three seeds, ±0.14, sets the scale"
    assert "intervals that meet the edge go on" in ax.get_xlabel()


def test_ticks_of_settings_do_not_touch_where_numbers_are_long():
    """In the notebooks' style, of a panel among two with long names beside it: half a letter's height between them."""
    names, values = ["MC dropout in the decoder", "random"], [[-0.058, -0.027], [-0.005, 0.007]]
    with plt.rc_context():
        figures.style()
        figure = figures.settings(pd.concat([pairs(names, values, task) for task in ("trec", "sst2")]), "BALD")
        figure.tight_layout()  # as save_figure does
        figure.canvas.draw()
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
        boxes = [box for box in boxes if ax.bbox.x0 <= (box.x0 + box.x1) / 2 <= ax.bbox.x1]
        assert len(boxes) > 1
        assert all(one.x1 + one.height / 2 < other.x0 for one, other in itertools.pairwise(boxes))


def test_shared_picks_are_means_over_runs():
    rows = [
        ("mnli", seed, samples, samples / 100 / (1 + seed), samples / 200)
        for seed in (0, 1)
        for samples in (5, 50, 100)
    ]
    shared = pd.DataFrame(rows, columns=["task", "seed", "samples", "between_draws", "with_largest"])
    figure = figures.shared_picks(shared)
    drawn = list(curve_of(figure.axes[0], [5, 50, 100]).values())
    means = shared.groupby("samples")[["between_draws", "with_largest"]].mean().to_numpy().T
    assert np.array(drawn) == pytest.approx(means)
    assert legend_of(figure) == ["the paper's S", "two draws of S passes", "S passes and another 100"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["5", "50", "100"]


def test_reliability_and_risk_are_drawn_as_they_are():
    points = pd.DataFrame({"task": "mnli", "prediction": ["one", "one", "mean", "mean"], "confidence": [0.4, 0.6] * 2})
    points = points.assign(accuracy=[0.3, 0.7, 0.5, 0.9], rows=10)
    few = points.assign(confidence=0.9, rows=9)  # too few rows to be drawn
    points = pd.concat([points, few])
    drawn = figures.reliability(points).axes[0].lines[1:]
    assert [line.get_xydata().tolist() for line in drawn] == [[[0.4, 0.3], [0.6, 0.7]], [[0.4, 0.5], [0.6, 0.9]]]
    curves = pd.DataFrame(
        {"task": "mnli", "rule": list("aabbcc"), "coverage": [0.5, 1] * 3, "risk": [1, 2, 3, 2, 0, 2]}
    )
    one_row = curves.iloc[::2].assign(coverage=0.05, risk=1.0)
    drawn = figures.risk_coverage(pd.concat([one_row, curves])).axes[0].lines
    assert [list(line.get_ydata()) for line in drawn] == [[1, 2], [3, 2], [0, 2]]
    assert all(list(line.get_xdata()) == [0.5, 1] for line in drawn)


def test_rejection_by_bald_and_in_a_random_order_have_their_strategys_colours():
    rules = ["a random order", "BALD", "confidence"]
    figure = figures.risk_coverage(pd.DataFrame({"task": "mnli", "rule": rules, "coverage": 1.0, "risk": 0.5}))
    random, bald, confidence = (to_rgb(line.get_color()) for line in figure.axes[0].lines)
    assert (random, bald) == (to_rgb(colours()["random"]), to_rgb(colours()["bald"]))
    assert confidence not in (random, bald)
    assert legend_of(figure) == ["a random order", "rejected by BALD", "rejected by confidence"]


@pytest.mark.parametrize(
    ("changes", "stochastic", "dropouts"),
    [
        ({}, ["hidden", "output"], ["dropout of values (off)", "dropout (on)", "dropout (off)"]),
        ({"mc_dropout": "decoder"}, ["hidden", "output"], ["dropout of values (on)", "dropout (on)", "dropout (on)"]),
        ({"decoder": "linear"}, ["output"], ["dropout (on)"]),
    ],
)
def test_the_architecture_has_the_shapes_and_parameters_of_the_model(changes, stochastic, dropouts, tiny_protocol):
    classifier = outline(tiny_protocol(**changes), num_labels=3)
    figure = figures.architecture({"title": classifier})
    (ax,) = figure.axes
    texts = [text for text in ax.texts if text.get_text()]
    written = "\n".join(text.get_text() for text in texts)
    number = {name: sum(p.numel() for p in module.parameters()) for name, module in classifier.named_modules()}
    assert ax.get_title() == f"title\n{number['']:,} parameters"
    assert f"4 encoder layers, width 32, 2 heads\n{number['encoder.bert.encoder.layer.0']:,} parameters each" in written
    counts = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) parameters(?! each)", written)]
    assert sum(counts) == number[""] - 4 * number["encoder.bert.encoder.layer.0"]
    for module in classifier.decoder.children():
        if hasattr(module, "weight"):
            assert " × ".join(map(str, module.weight.shape)) in written
    assert [text.get_text() for text in texts if text.get_text().startswith("dropout")] == dropouts
    light = _light(ORANGE)
    orange = [text.get_text() for text in texts if same_color(text.get_bbox_patch().get_facecolor(), light)]
    assert all(any(text.startswith(name) for text in orange) for name in stochastic)
    assert not any("encoder" in text or "embeddings" in text for text in orange)
    assert not any("convolution" in text for text in orange)


def test_lengths_are_the_means_of_the_seeds_of_each_strategy():
    rows = [("bald", 10, 1.5), ("bald", 10, 1.3), ("bald", 110, 1.1), ("random", 10, 1.0), ("random", 110, 0.9)]
    table = pd.DataFrame(rows, columns=["strategy", "labelled", "longer"]).assign(task="trec")
    (ax,) = figures.lengths(table).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines if len(line.get_xdata()) == 2}
    assert [[10, 1.4], [110, 1.1]] in [np.round(line, 6).tolist() for line in drawn.values()]
    assert [[10, 1.0], [110, 0.9]] in [np.round(line, 6).tolist() for line in drawn.values()]


# ---- what it comes to


def test_labels_needed_are_drawn_a_line_a_seed_with_open_markers_where_they_were_not_reached():
    rows = [
        ("sst2", "bald", 0, 0.8, 400, True),
        ("sst2", "random", 0, 0.8, 900, True),
        ("sst2", "bald", 1, 0.7, 1000, False),
    ]
    rows.append(("sst2", "random", 1, 0.7, 900, True))
    needed = pd.DataFrame(rows, columns=["task", "strategy", "seed", "target", "labels", "reached"])
    [ax] = figures.labels_needed(needed).axes
    drawn = [tuple(point) for marks in ax.collections for point in marks.get_offsets()]
    assert sorted((x, round(y)) for x, y in drawn) == [(400, 0), (900, 0), (900, 1), (1000, 1)]
    assert len({y for _, y in drawn}) == 4  # none hides another
    marks = [marks for marks in ax.collections if len(marks.get_offsets())]
    empty = [
        (point[0], round(point[1]))
        for some in marks
        for point, face in zip(some.get_offsets(), some.get_facecolors(), strict=True)
        if same_color(face, "white")
    ]
    assert empty == [(1000, 1)]
    assert "0.75" in ax.get_title()
    assert any("not reached" in name for name in legend_of(ax.figure))


def test_the_forest_has_a_panel_a_claim_and_a_line_a_task_with_interval_verdict_and_the_papers_number():
    columns = ["claim", "task", "measured", "paper", "ours", "low", "high", "verdict"]
    rows = [
        ("BALD beats random", "sst2", "difference of accuracies", 0.03, 0.02, 0.01, 0.03, "supported"),
        ("BALD beats random", "trec", "difference of accuracies", np.nan, -0.04, -0.06, -0.01, "not supported"),
        ("one pass saves time", "sst2", "ratio of times", np.nan, 20.0, 18.0, 22.0, "supported"),
        ("nothing known", "sst2", "difference of accuracies", np.nan, np.nan, np.nan, np.nan, "no runs"),
    ]
    figure = figures.forest(pd.DataFrame(rows, columns=columns))
    drawn = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in drawn] == ["BALD beats random", "one pass saves time"]
    assert [line.get_xdata()[0] for line in (ax.lines[0] for ax in drawn)] == [0, 1]  # no difference; a ratio of one
    assert [ax.get_xscale() for ax in drawn] == ["linear", "log"]  # so that twice and half lie equally far from one
    both = np.vstack([bars_of(container, axis=0) for container in drawn[0].containers])
    assert both == pytest.approx(np.array([[0.02, 0, 0.01, 0.03], [-0.04, 1, -0.06, -0.01]]))
    assert [line.get_xdata()[0] for line in drawn[0].lines if line.get_marker() == "x"] == [0.03]
    assert len({container.lines[0].get_marker() for container in drawn[0].containers}) == 2

"""Names that users choose are text in every figure: dollars are no formula, and a leading underscore hides nothing."""

import itertools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from lib import figures
from lib.method.acquisition import STRATEGIES, Strategy

NAMES = ["$5_to_$10", "_other", "<img src=x onerror=1>", "a|b", "*b*", "x^2", "naïve ✓", "labelled", r"\frac{1}"]
SAYS = {"mean": 0.1, "low": 0.05, "high": 0.15, "runs": 3}


@pytest.fixture(autouse=True)
def _canvas():
    matplotlib.use("Agg")
    yield
    plt.close("all")


def each(column: str = "task", **levels) -> pd.DataFrame:
    """A row for each name in `column` and each combination of the levels."""
    rows = itertools.product(NAMES, *levels.values())
    return pd.DataFrame(rows, columns=[column, *levels])


def rounds() -> pd.DataFrame:
    table = each(strategy=["bald", "random"], seed=[0, 1, 2], labelled=[10, 20, 30])
    return table.assign(
        accuracy=0.5 + table["labelled"] / 100, majority=0.5, baseline_accuracy=0.4, baseline_macro_f1=0.4
    )


def layers() -> pd.DataFrame:
    table = pd.DataFrame({"task": NAMES[0], "layer": ["encoder 0", "output"], "number": [0, 1]})
    return table.assign(part=["encoder", "decoder"], strategy="bald", variance=0.01, width=0.1, **SAYS)


def claims() -> pd.DataFrame:
    table = each().assign(claim="a claim", measured="a difference", verdict="supported", ours=0.1, paper=np.nan)
    return table.assign(low=0.05, high=0.15)


def pool() -> pd.DataFrame:
    return each(overlap=np.linspace(0, 1, 10)).assign(**{"class": "_other", "bald": 0.2})


DRAWN = {
    "class_counts": lambda: figures.class_counts(
        each("class", strategy=["bald", "random"], round=[0, 1]).assign(task=NAMES[0], rows=5)
    ),
    "overlap": lambda: figures.overlap(pool()),
    "overlap of classes": lambda: figures.overlap(pool().rename(columns={"task": "class", "class": "task"})),
    "data_size": lambda: figures.data_size(rounds()[lambda t: t["strategy"] == "bald"], 0.7),
    "spread": lambda: figures.spread(each(labelled=[10, 20]).assign(deviation=0.1)),
    "learning_curves": lambda: figures.learning_curves(rounds()),
    "differences": lambda: figures.differences(
        each(labelled=[10, 20], strategy=["bald", "margin"]).assign(**SAYS), "labelled", "strategy"
    ),
    "labels_needed": lambda: figures.labels_needed(
        each(strategy=["bald", "random"], seed=[0, 1]).assign(labels=20, target=0.7, reached=True)
    ),
    "forest": lambda: figures.forest(claims()),
    "lengths": lambda: figures.lengths(each(strategy=["bald"], seed=[0, 1], labelled=[10, 20]).assign(longer=1.2)),
    "settings": lambda: figures.settings(
        each(setting=["warm restart", "linear decoder"], seed=[0, 1]).assign(difference=0.1), "BALD"
    ),
    "settings of names": lambda: figures.settings(
        each("setting", task=["mnli"], seed=[0, 1]).assign(difference=0.1), "BALD"
    ),
    "shared_picks": lambda: figures.shared_picks(
        each(samples=[5, 50]).assign(seed=0, between_draws=0.5, with_largest=0.6)
    ),
    "reliability": lambda: figures.reliability(
        each(confidence=[0.3, 0.8], prediction=["one pass", "mean"]).assign(accuracy=0.5, rows=20)
    ),
    "risk_coverage": lambda: figures.risk_coverage(each(rule=["BALD"], coverage=[0.5, 1.0]).assign(risk=0.2)),
}
OF_ONE_TASK = {
    "parameter_change": lambda: figures.parameter_change(layers()),
    "layer_differences": lambda: figures.layer_differences(layers()),
}


def texts_of(figure) -> list[str]:
    """What the figure shows once it is drawn, without what is invisible."""
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


@pytest.mark.parametrize("drawing", DRAWN | OF_ONE_TASK)
@pytest.mark.parametrize("styled", [True, False])
def test_names_are_drawn_as_they_are(drawing, styled, tmp_path):
    if styled:
        figures.style()
    figure = (DRAWN | OF_ONE_TASK)[drawing]()
    figures.save_figure(figure, "drawing", tmp_path, [])
    shown = texts_of(figure)
    for name in NAMES if drawing in DRAWN else NAMES[:1]:
        those = [text for text in shown if name in text]
        assert those, name
        assert not any("\u200b" in text for text in those)
    assert not any(text.get_parse_math() and "$" in text.get_text() for text in figure.findobj(Text))


def test_every_figure_of_a_table_is_tried():
    drawings = {name for name in figures.__all__ if hasattr(getattr(figures, name), "__wrapped__")}
    assert drawings | {"forest"} == {name.partition(" ")[0] for name in DRAWN | OF_ONE_TASK}


def test_a_strategy_of_ones_own_with_an_underscore_is_in_the_legend(monkeypatch):
    monkeypatch.setitem(STRATEGIES, "_mine", Strategy("_my $score$", None, None))
    table = rounds()[lambda t: t["task"] == "a|b"]
    table = pd.concat([table, table[lambda t: t["strategy"] == "bald"].assign(strategy="_mine")])
    (legend,) = figures.learning_curves(table).legends
    assert "_my $score$" in [text.get_text() for text in legend.get_texts()]

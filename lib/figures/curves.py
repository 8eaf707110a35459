"""Accuracy and its differences against the number of labelled rows."""

import itertools

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from lib.analysis.statistics import bootstrap_interval
from lib.analysis.worth import baseline_curves
from lib.figures.looks import (
    BLUE,
    LINES,
    apart,
    axis_label,
    bars,
    colours,
    dashes,
    drawn_as,
    label,
    label_left,
    legend_label,
    log_ticks,
    markers,
    of_rows,
    panels,
    shared_legend,
)


@of_rows
def data_size(rounds: pd.DataFrame, share: float, panel: str = "task"):
    """Accuracy against x, the rows of S_x; left all sizes, right those up to `share` of the largest, if there are any.

    Figure 2 of the paper.

    rounds: columns labelled, accuracy, task, and `baseline_accuracy` where thin lines should show it. Mean and 95 %
    bootstrap interval over runs, a colour and a line a task.
    """
    few = rounds[rounds["labelled"] <= share * rounds.groupby(panel)["labelled"].transform("max")]
    parts = {"all sizes": rounds, f"up to {100 * share:.0f} % of the rows": few}
    parts = {title: some for title, some in parts.items() if len(some)}
    figure, axes = panels(len(parts), width=4.6)
    tasks = rounds[panel].unique()
    colour_of = dict(zip(tasks, sns.color_palette("colorblind"), strict=False))
    dash_of = dict(zip(tasks, itertools.cycle(LINES), strict=False))
    looks = {"errorbar": bootstrap_interval, "markers": True, "palette": colour_of, "dashes": dash_of}
    for ax, (title, some) in zip(axes, parts.items(), strict=True):
        sns.lineplot(some, x="labelled", y="accuracy", hue=panel, style=panel, ax=ax, **looks)
        _thin_baselines(ax, baseline_curves(some), panel, colour_of, dash_of)
        ax.set(title=title, xlabel="training rows x", ylabel="accuracy")
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # no half rows
    shared_legend(figure, axes)
    return figure


@of_rows
def spread(table: pd.DataFrame, panel: str = "task"):
    """Standard deviation of the accuracy over runs against x, logarithmic in x: columns labelled, deviation, task."""
    figure, axes = panels(1, width=5)
    sns.lineplot(table, x="labelled", y="deviation", hue=panel, style=panel, ax=axes[0], markers=True)
    axes[0].set(xscale="log", xlabel="training rows x", ylim=(0, None))
    axes[0].set_ylabel("standard deviation of the\naccuracy over runs")
    log_ticks(axes[0].xaxis, table["labelled"])
    shared_legend(figure, axes)
    return figure


@of_rows
def learning_curves(rounds: pd.DataFrame, by: str = "strategy", panel: str = "task"):
    """Accuracy against |T|, one panel a task: mean and 95 % bootstrap interval over runs (Figures 3 and 5).

    rounds: columns labelled, accuracy, majority, `by`, `panel`, a row for each round of each run; with a column
    `baseline_accuracy`, thin lines without markers are its mean. Dotted: guessing the most frequent class.
    """
    figure, axes = panels(rounds[panel].nunique())
    looks = _looks_as(zip(rounds[by], rounds[by], strict=True)) if by == "strategy" else _looks_of_levels(rounds[by])
    looks |= {"errorbar": bootstrap_interval, "markersize": 6}
    for ax, (name, some) in zip(axes, rounds.groupby(panel, sort=False), strict=True):
        sns.lineplot(some, x="labelled", y="accuracy", hue=by, style=by, ax=ax, **looks)
        for band in ax.collections:  # so light, and with an edge, that three of them can be told apart
            colour = band.get_facecolor()[0][:3]
            band.set(alpha=None, facecolor=(*colour, 0.12), edgecolor=(*colour, 0.8), linewidth=0.8)
        if by == "strategy":
            _thin_baselines(ax, baseline_curves(some), by, colours(), dashes())
        ax.axhline(some["majority"].mean(), color="0.5", linestyle=":", label="chance")
        ax.set(title=label(name), xlabel=axis_label("labelled"), ylabel="accuracy")
    shared_legend(figure, axes, prefix="" if by == "strategy" else f"{axis_label(by)} = ")
    return figure


def _thin_baselines(ax, curves: pd.DataFrame, by: str, colour_of: dict, dash_of: dict) -> None:
    """The baseline trained on the rows of each level's runs: its line made thin, without markers; named once."""
    for place, (level, some) in enumerate(curves.groupby(by, sort=False)):
        means = some.groupby("labelled")["accuracy"].mean()
        if len(means) > 1:
            text = "logistic regression on the same rows (thin)" if place == 0 else None
            look = {"color": colour_of[level], "linestyle": drawn_as(dash_of[level])}
            ax.plot(means.index, means, linewidth=0.9, label=text, **look)


def _looks_of_levels(levels) -> dict:
    """F = 0 looks as BALD does in the other figures, which it is; no other level looks like random."""
    others = [level for level in sorted(set(levels)) if level != 0]
    names = [
        "bald",
        *itertools.islice(itertools.cycle(("entropy", "variation_ratio", "margin", "batchbald")), len(others)),
    ]
    return _looks_as(zip([0, *others], names, strict=True))


def _looks_as(strategies) -> dict:
    """Looks for seaborn from pairs of a level and the strategy as which it looks."""
    looks = dict(strategies)
    return {
        "palette": {level: colours()[name] for level, name in looks.items()},
        "dashes": {level: dashes()[name] for level, name in looks.items()},
        "markers": {level: markers()[name] for level, name in looks.items()},
    }


@of_rows
def differences(table: pd.DataFrame, x: str, by: str, panel: str = "task", ylabel: str = "difference"):
    """Paired differences with their 95 % intervals against `x`, one panel a task, and a line at zero.

    table: as lib.analysis.statistics.paired_difference returns it, with the columns `x`, `by` and `panel`.
    Differences of too few runs have no interval, and no bar.
    """
    figure, axes = panels(table[panel].nunique(), height=2.8, sharey=True)
    for ax, (name, some) in zip(axes, table.groupby(panel, sort=False), strict=True):
        ax.axhline(0, color="0.3", linewidth=1)
        levels = list(some.groupby(by, sort=False))
        for place, (level, points) in enumerate(levels):
            aside = (place - (len(levels) - 1) / 2) * 0.02 * (np.ptp(some[x]) or 1)  # so that bars do not overlap
            look = {"fmt": "osD^v"[place % 5], "capsize": 4, "color": colours()[level] if by == "strategy" else BLUE}
            ax.errorbar(points[x] + aside, points["mean"], yerr=bars(points), label=legend_label(level), **look)
        ax.set(title=label(name), xlabel=axis_label(x), xticks=apart(some[x], 5))
    label_left(axes, ylabel, fontsize="small")
    if table[by].nunique() > 1:
        shared_legend(figure, axes)
    return figure

"""What is picked, and what the paper leaves open: settings, the effect of S, calibration, rejection."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from lib.analysis import statistics
from lib.analysis.wording import level_of
from lib.figures.looks import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    bars,
    colours,
    label,
    label_left,
    legend_label,
    linestyle,
    log_ticks,
    of_rows,
    panels,
    shared_legend,
)


@of_rows
def class_counts(counts: pd.DataFrame):
    """|T_c| against the rounds, a row a task, a column a strategy, a colour a class (Figure 6): mean over runs.

    counts: columns task, strategy, round, class, rows, as lib.analysis.qualitative.class_counts returns them.
    """
    tasks, strategies = counts["task"].unique(), counts["strategy"].unique()
    size = (4.6 * len(strategies), 2.3 * len(tasks))
    figure, axes = plt.subplots(len(tasks), len(strategies), figsize=size, squeeze=False, sharex=True, sharey="row")
    for row, task in zip(axes, tasks, strict=True):
        for ax, strategy in zip(row, strategies, strict=True):
            some = counts[(counts["task"] == task) & (counts["strategy"] == strategy)]
            sns.barplot(some, x="round", y="rows", hue="class", ax=ax, errorbar=None, palette="colorblind")
            ax.set(title=f"{label(task)}, {label(strategy)}", xlabel="acquisitions", ylabel="rows of the class")
            ax.get_legend().remove()
            ax.label_outer()
        # once, for the classes of a task are the same for all strategies, and where it hides no bar
        row[-1].legend(title=None, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


@of_rows
def lengths(table: pd.DataFrame):
    """Tokens of a picked row over those of a row of the pool, against |T|: a panel a task, a line a strategy.

    table: columns task, strategy, labelled, longer, as lib.analysis.qualitative.lengths returns them. Band:
    bootstrap interval over seeds. Dotted: no preference.
    """
    figure, axes = panels(table["task"].nunique(), sharey=True)
    interval = statistics.bootstrap_interval
    for ax, (task, some) in zip(axes, table.groupby("task", sort=False), strict=True):
        ax.axhline(1, color="0.4", linewidth=1, linestyle=":")
        for strategy, those in some.groupby("strategy", sort=False):
            look = {"color": colours()[strategy], "marker": "o", "markersize": 4, "errorbar": interval}
            sns.lineplot(those, x="labelled", y="longer", label=legend_label(strategy), ax=ax, **look)
        ax.set(title=label(task), xlabel="labelled rows when they are picked", ylabel="")
        ax.get_legend().remove()
    label_left(axes, "tokens of a picked row\n÷ of a pool row")
    shared_legend(figure, axes)
    return figure


@of_rows
def overlap(pool: pd.DataFrame):
    """BALD against word overlap, a panel a class of a task and a point a pool row: columns task, class, overlap, bald.

    Line: means of the five groups of equal size by overlap; rows of the same overlap may be in different ones.
    """
    classes = pool.groupby(["task", "class"], sort=False)
    figure, axes = panels(classes.ngroups, sharex=True, sharey=True)
    for ax, ((task, name), some) in zip(axes, classes, strict=True):
        ax.scatter(some["overlap"], some["bald"], s=8, alpha=0.25, color="0.4", linewidth=0, rasterized=True)
        bins = pd.qcut(some["overlap"].rank(method="first"), 5)
        means = some.groupby(bins, observed=True)[["overlap", "bald"]].mean()
        ax.plot(means["overlap"], means["bald"], "o-", color=BLUE, label="mean of each fifth")
        ax.set(title=f"{label(task)}: {name}", xlabel="word overlap of the two texts", ylim=(0, None))
    label_left(axes, "BALD (nats)")
    shared_legend(figure, axes)
    return figure


FEWEST = 10  # rows of a bin of a reliability diagram
LEAST_KEPT = 0.1  # coverage: of fewer rows, a single one would set the scale of the risk
RULES = {"BALD": (BLUE, linestyle("bald")), "a random order": (ORANGE, linestyle("random"))}
RULES |= {"confidence": (GREEN, "-.")}


@of_rows
def settings(pairs: pd.DataFrame, minus, of: str = "setting", xlabel: str = "difference"):
    """Paired differences of each setting from `minus`, one panel a task: a bar a seed, the mean and its t interval.

    pairs: as lib.analysis.statistics.within_pairs returns them. The axis is as wide as the seeds need: with two of them
    an interval is many times wider, and is cut off at the edge. Open markers: too few runs for an interval.
    """
    table = statistics.summary(pairs, "difference", ["task", of], statistics.t_interval)
    figure, axes = panels(table["task"].nunique(), width=5, height=0.4 * table[of].nunique() + 1.4)
    for ax, (task, some) in zip(axes, table.groupby("task", sort=False), strict=True):
        places = pd.Series(np.arange(len(some)), index=some[of])
        alone = some[["low", "high"]].isna().any(axis=1).to_numpy()
        known = some[~alone]
        ax.axvline(0, color="0.3", linewidth=1)
        if len(known):
            ax.errorbar(known["mean"], places[known[of]], xerr=bars(known), fmt="o", capsize=4, color=BLUE)
        ax.plot(some["mean"][alone], places[alone], "o", color=BLUE, fillstyle="none", markeredgewidth=1.5)
        seeds = pairs[(pairs["task"] == task) & pairs[of].isin(known[of])]
        ax.plot(seeds["difference"], places[seeds[of]], "|", color="0.25", markersize=11, zorder=3, label="seeds")
        drawn = np.append(pairs.loc[pairs["task"] == task, "difference"], 0)
        edge = max(0.35 * np.ptp(drawn), 1e-3)
        left, right = drawn.min() - edge, drawn.max() + edge
        notes = {
            "bars: seeds": len(known) > 0,
            "open: too few runs for an interval": alone.any(),
            "intervals that meet the edge go on": ((known["low"] < left) | (known["high"] > right)).any(),
        }
        told = "".join(f"\n({note})" for note, holds in notes.items() if holds)
        ax.set(title=label(task), xlabel=f"{xlabel} − that of {level_of(of, minus)}{told}", xlim=(left, right))
        ax.set_yticks(places, [label(level_of(of, name)) for name in some[of]])
        ax.set_ylim(len(some) - 0.4, -0.6)
        ax.xaxis.set_major_locator(MaxNLocator(4))  # so that negative numbers of three digits have room
    return figure


@of_rows
def shared_picks(shared: pd.DataFrame):
    """Share of the Q highest rows that two draws have in common against S: columns task, samples, between_draws, …"""
    figure, axes = panels(shared["task"].nunique(), width=4.6, sharey=True)
    largest = f"S passes and another {shared['samples'].max():,}"
    looks = {"between_draws": ("two draws of S passes", "o-", BLUE), "with_largest": (largest, "s--", PURPLE)}
    for ax, (task, some) in zip(axes, shared.groupby("task", sort=False), strict=True):
        ax.axvline(50, color="0.2", linestyle=":", label="the paper's S", zorder=1)
        for column, (name, look, colour) in looks.items():
            means = some.groupby("samples")[column].mean()
            ax.plot(means.index, means, look, color=colour, label=name)
        ax.set(title=label(task), xscale="log", xlabel="stochastic passes S", ylim=(0, 1.02))
        log_ticks(ax.xaxis, some["samples"], most=9)
    label_left(axes, "share of the Q picks\nin common")
    shared_legend(figure, axes)
    return figure


@of_rows
def reliability(diagrams: pd.DataFrame):
    """Accuracy against confidence, one panel a task: columns task, prediction, confidence, accuracy, rows.

    The rows of all runs of a task are pooled. Bins of fewer than 10 rows are left out.
    """
    figure, axes = panels(diagrams["task"].nunique(), sharey=True)
    for ax, (task, some) in zip(axes, diagrams.groupby("task", sort=False), strict=True):
        ax.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="perfect")
        kinds = some.groupby("prediction", sort=False)
        for (kind, bins), look, colour in zip(kinds, ("o-", "s--"), (GREY, GREEN), strict=True):
            points = bins[bins["rows"] >= FEWEST]
            ax.plot(points["confidence"], points["accuracy"], look, color=colour, label=kind)
        ax.set(title=label(task), xlabel="confidence (runs pooled)", xlim=(0, 1), ylim=(0, 1.02))
    label_left(axes, "accuracy")
    shared_legend(figure, axes)
    return figure


@of_rows
def risk_coverage(curves: pd.DataFrame):
    """Share of errors among the rows kept against their share, one panel a task: columns task, rule, coverage, risk.

    From a tenth of the rows on: of fewer, one row sets the scale.
    """
    figure, axes = panels(curves["task"].nunique())
    for ax, (task, some) in zip(
        axes, curves[curves["coverage"] >= LEAST_KEPT].groupby("task", sort=False), strict=True
    ):
        for rule, points in some.groupby("rule", sort=False):
            colour, line = RULES.get(rule, (GREY, ":"))
            name = rule if rule == "a random order" else f"rejected by {rule}"
            ax.plot(points["coverage"], points["risk"], color=colour, linestyle=line, label=name)
        ax.set(title=label(task), xlabel="coverage: share of rows kept", ylabel="risk: share of errors", ylim=(0, None))
    shared_legend(figure, axes)
    return figure

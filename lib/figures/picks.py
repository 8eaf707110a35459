"""What a strategy picks: classes of T, and scores against word overlap."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from lib.figures.looks import BLUE, colours, label, of_rows, panels, shared_legend


@of_rows
def class_counts(counts: pd.DataFrame):
    """|T_c| against the rounds, a column a task, a row a strategy, a colour a class (Figure 6): mean over runs.

    counts: columns task, strategy, round, class, rows, as lib.reading.qualitative.class_counts returns them.
    """
    tasks, strategies = counts["task"].unique(), counts["strategy"].unique()
    size = (4.6 * len(tasks), 2.9 * len(strategies))
    figure, axes = plt.subplots(len(strategies), len(tasks), figsize=size, squeeze=False, sharex=True, sharey="col")
    for row, strategy in zip(axes, strategies, strict=True):
        for ax, task in zip(row, tasks, strict=True):
            some = counts[(counts["task"] == task) & (counts["strategy"] == strategy)]
            sns.barplot(some, x="round", y="rows", hue="class", ax=ax, errorbar=None, palette="colorblind")
            ax.set(title=f"{label(task)}, {label(strategy)}", xlabel="acquisitions", ylabel="rows of T in the class")
            ax.get_legend().remove()
    for ax in axes[0]:  # the classes of a task are the same for all strategies
        ax.legend(title=None, fontsize="small")
    return figure


@of_rows
def lengths(table: pd.DataFrame):
    """Tokens of a picked row over those of a row of the pool, against |T|: a panel a task, a line a strategy.

    table: columns task, strategy, labelled, longer, as lib.reading.qualitative.lengths returns them. Band: 95 %
    bootstrap interval over seeds. Dotted: no preference.
    """
    figure, axes = panels(table["task"].nunique(), sharey=True)
    for ax, (task, some) in zip(axes, table.groupby("task", sort=False), strict=True):
        ax.axhline(1, color="0.4", linewidth=1, linestyle=":")
        for strategy, those in some.groupby("strategy", sort=False):
            look = {"color": colours()[strategy], "marker": "o", "markersize": 4, "seed": 0}
            sns.lineplot(those, x="labelled", y="longer", label=label(strategy), ax=ax, **look)
        ax.set(title=label(task), xlabel="labelled rows when they are picked", ylabel="")
        ax.get_legend().remove()
    axes[0].set_ylabel("tokens of a picked row ÷ of a pool row")
    shared_legend(figure, axes)
    return figure


@of_rows
def overlap(pool: pd.DataFrame):
    """BALD against word overlap, a panel a class and a point a pool row: columns class, overlap, bald.

    Line: means of the five groups of equal size by overlap; rows of the same overlap may be in different ones.
    """
    figure, axes = panels(pool["class"].nunique(), sharex=True, sharey=True)
    for ax, (name, some) in zip(axes, pool.groupby("class", sort=False), strict=True):
        ax.scatter(some["overlap"], some["bald"], s=14, alpha=0.6, color="0.55", linewidth=0, rasterized=True)
        bins = pd.qcut(some["overlap"].rank(method="first"), 5)
        means = some.groupby(bins, observed=True)[["overlap", "bald"]].mean()
        ax.plot(means["overlap"], means["bald"], "o-", color=BLUE, label="mean of each fifth")
        ax.set(title=name, xlabel="word overlap of the two texts", ylim=(0, None))
    axes[0].set_ylabel("BALD (nats)")
    shared_legend(figure, axes)
    return figure

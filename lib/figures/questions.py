"""What the paper leaves open, as lib.questions measures it: settings, the effect of S, calibration, rejection."""

import pandas as pd

from lib.figures.looks import BLUE, ORANGE, label, panels, shared_legend


def settings(table: pd.DataFrame, minus: str, of: str = "setting", xlabel: str = "difference"):
    """Paired differences of each setting from `minus`, one panel a task: points with their 95 % intervals.

    table: as lib.statistics.paired_difference returns it.
    """
    figure, axes = panels(table["task"].nunique(), width=5, height=0.4 * table[of].nunique() + 1.4)
    for ax, (task, some) in zip(axes, table.groupby("task", sort=False), strict=True):
        bars = [(some["mean"] - some["low"]).fillna(0), (some["high"] - some["mean"]).fillna(0)]
        ax.axvline(0, color="0.3", linewidth=1)
        ax.errorbar(some["mean"], [label(name) for name in some[of]], xerr=bars, fmt="o", capsize=4, color=BLUE)
        ax.set(title=label(task), xlabel=f"{xlabel} − {label(minus)}'s")
        ax.margins(y=0.15)
    return figure


def shared_picks(shared: pd.DataFrame):
    """Share of the Q highest rows that two draws have in common against S: columns task, samples, between_draws, …"""
    figure, axes = panels(shared["task"].nunique(), width=4.6, sharey=True)
    names = {"between_draws": "S and another S", "with_largest": f"S and another {shared['samples'].max()}"}
    for ax, (task, some) in zip(axes, shared.groupby("task", sort=False), strict=True):
        for (column, name), colour in zip(names.items(), (BLUE, ORANGE), strict=True):
            means = some.groupby("samples")[column].mean()
            ax.plot(means.index, means, "o-" if column == "between_draws" else "s--", color=colour, label=name)
        ax.axvline(50, color="0.5", linestyle=":", label="the paper's S")
        ax.set(
            title=label(task), xscale="log", xlabel="stochastic passes S", ylabel="shared share of Q", ylim=(0, 1.02)
        )
    shared_legend(figure, axes)
    return figure


def reliability(diagrams: pd.DataFrame):
    """Accuracy against confidence, one panel a task: columns task, prediction, confidence, accuracy."""
    figure, axes = panels(diagrams["task"].nunique(), sharey=True)
    for ax, (task, some) in zip(axes, diagrams.groupby("task", sort=False), strict=True):
        ax.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="perfect")
        for (kind, points), look in zip(some.groupby("prediction", sort=False), ("o-", "s--"), strict=True):
            ax.plot(points["confidence"], points["accuracy"], look, label=kind)
        ax.set(title=label(task), xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    shared_legend(figure, axes)
    return figure


def risk_coverage(curves: pd.DataFrame):
    """Share of errors among the rows kept against their share, one panel a task: columns task, rule, coverage, risk."""
    figure, axes = panels(curves["task"].nunique())
    for ax, (task, some) in zip(axes, curves.groupby("task", sort=False), strict=True):
        for (rule, points), look in zip(some.groupby("rule", sort=False), (":", "-", "--"), strict=True):
            ax.plot(points["coverage"], points["risk"], look, label=rule)
        ax.set(title=label(task), xlabel="coverage: share of rows kept", ylabel="risk: share of errors", ylim=(0, None))
    shared_legend(figure, axes, "rejected by ")
    return figure

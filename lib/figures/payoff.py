"""What the study comes to: labels that a strategy saves, and all claims of the ledger in one picture."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from lib.figures.looks import BLUE, GREY, ORANGE, colours, label, legend_label, of_rows, panels, shared_legend

# colour and marker of a verdict, which tell it apart in print as well
VERDICTS = {"supported": (BLUE, "o"), "not supported": (ORANGE, "s"), "inconclusive": (GREY, "D")}
PAPER = "the paper's number"
NOT_REACHED = "open: not reached with all labels"


@of_rows
def labels_needed(needed: pd.DataFrame, minus: str = "random"):
    """Labels until each run first is as accurate as random of its seed is at the end; a line a seed, a panel a task.

    needed: as lib.analysis.worth.labels_needed makes it. Open markers: not reached, and so drawn one batch beyond the
    last size. Strategies stand a little above one another, so that equal ones are both seen.
    """
    seeds = sorted(needed["seed"].unique())
    figure, axes = panels(needed["task"].nunique(), height=0.32 * len(seeds) + 1.5, sharey=True)
    strategies = [*needed["strategy"].unique()]
    for ax, (task, some) in zip(axes, needed.groupby("task", sort=False), strict=True):
        for place, seed in enumerate(seeds):
            points = some.loc[some["seed"] == seed, "labels"]
            ax.plot([points.min(), points.max()], [place, place], color="0.75", linewidth=2, zorder=1)
        for number, strategy in enumerate(strategies):
            mine = some[some["strategy"] == strategy]
            aside = 0.24 * (number - (len(strategies) - 1) / 2)
            places = [seeds.index(seed) + aside for seed in mine["seed"]]
            look = {"marker": "osD^v"[number % 5], "s": 45, "edgecolor": colours()[strategy], "zorder": 2}
            filled = [colours()[strategy] if reached else "white" for reached in mine["reached"]]
            ax.scatter(mine["labels"], places, c=filled, **look)
            ax.scatter([], [], color=colours()[strategy], marker=look["marker"], label=legend_label(strategy))
        target = some["target"].mean()
        if not needed["reached"].all():
            ax.scatter([], [], color="white", edgecolor="0.3", marker="o", label=NOT_REACHED)
        last = 1.08 * some["labels"].max()
        ax.set(title=f"{label(task)}: to reach {target:.2f}", xlabel="labels paid for", xlim=(0, last))
    axes[0].set_yticks(range(len(seeds)), [f"seed {seed}" for seed in seeds])
    axes[0].invert_yaxis()
    shared_legend(figure, axes)
    return figure


def forest(ledger: pd.DataFrame):
    """Every claim that has runs, a panel each, a line a task: estimate, 95 % interval, the verdict as colour and form.

    ledger: as lib.analysis.claims.ledger makes it. The line is at nothing: zero, or one on the logarithmic axis of a
    ratio; a cross: the paper's number.
    """
    return _claims(ledger[ledger["verdict"] != "no runs"])


@of_rows
def _claims(known: pd.DataFrame):
    claims = [*known.groupby("claim", sort=False)]
    most = max(len(some) for _, some in claims)
    figure, axes = panels(len(claims), width=4.6, height=0.3 * most + 1.45)
    for ax, (claim, some) in zip(axes, claims, strict=True):
        _claim(ax, claim, some)
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, label=name) for name, (colour, marker) in VERDICTS.items()
    ]
    handles.append(plt.Line2D([], [], color="black", marker="x", linestyle="", label=PAPER))
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(handles), frameon=False)
    return figure


def _claim(ax, claim: str, some: pd.DataFrame) -> None:
    ratio = some["measured"].iloc[0].startswith("ratio")
    ax.axvline(1.0 if ratio else 0.0, color="0.3", linewidth=1)
    for place, row in enumerate(some.to_dict("records")):
        colour, marker = VERDICTS[row["verdict"]]
        ends = [[row["ours"] - row["low"]], [row["high"] - row["ours"]]]
        bars = None if np.isnan(row["low"]) else ends
        ax.errorbar(row["ours"], place, xerr=bars, fmt=marker, color=colour, capsize=3, markersize=6)
        if not np.isnan(row["paper"]):
            ax.plot(row["paper"], place, "x", color="black", markersize=7)
    ax.set_yticks(range(len(some)), [label(task) for task in some["task"]])
    ax.set_ylim(len(some) - 0.5, -0.5)
    if ratio:
        ax.set_xscale("log")
        ax.xaxis.set(major_locator=LogLocator(subs=(1, 3)), minor_locator=NullLocator(), major_formatter="{x:g}")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.margins(x=0.12)
    ax.set_title("\n".join(textwrap.wrap(claim, 44)), fontsize="small", loc="left")
    ax.set_xlabel("\n".join(textwrap.wrap(some["measured"].iloc[0], 56)), fontsize="x-small")
    ax.tick_params(labelsize="x-small")

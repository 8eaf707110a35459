"""Every figure and table: tidy frames in, axes out; saved with the runs and the commit inside the file."""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display

from lib.protocol import Profile, named
from lib.results import ROOT, commit, processor

FIGURES = ROOT / "figures"
NAMES = {"labelled": "labelled rows |T|", "area": "area under the curve"}  # of columns, on axes
BLUE, ORANGE, GREEN, RED, PURPLE, *_ = sns.color_palette("colorblind")
COLOURS = {"bald": BLUE, "random": ORANGE, "entropy": GREEN, "margin": RED, "variation_ratio": PURPLE}
DASHES = {"bald": "", "random": (4, 2), "entropy": (1, 1), "margin": (5, 1, 1, 1), "variation_ratio": (2, 1)}


def style() -> None:
    """The look of all figures; called once by each notebook."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    matplotlib.rcParams |= {"figure.dpi": 100, "savefig.dpi": 200, "savefig.bbox": "tight", "svg.hashsalt": "bald"}


def label(name) -> str:
    """A column or level as a reader should see it."""
    return NAMES.get(str(name), named(name))


def panels(count: int, height: float = 3.4, width: float = 3.6, **options):
    """One row of `count` axes. → figure, list of axes"""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, **options)
    return figure, list(axes[0])


def learning_curves(rounds: pd.DataFrame, by: str = "strategy", panel: str = "task"):
    """Accuracy against |T|, one panel a task: mean and 95 % bootstrap interval over runs (Figures 3 and 5).

    rounds: columns labelled, accuracy, `by`, `panel`, a row for each round of each run.
    """
    figure, axes = panels(rounds[panel].nunique())
    for ax, (name, some) in zip(axes, rounds.groupby(panel, sort=False), strict=True):
        looks = {"palette": COLOURS, "dashes": DASHES} if by == "strategy" else {"palette": "colorblind"}
        options = {"errorbar": ("ci", 95), "seed": 0, "n_boot": 10_000, "markers": True, "markersize": 6}
        sns.lineplot(some, x="labelled", y="accuracy", hue=by, style=by, ax=ax, **options, **looks)
        ax.set(title=label(name), xlabel=label("labelled"), ylabel="accuracy")
        handles, levels = ax.get_legend_handles_labels()
        ax.legend(handles, [label(level) for level in levels], title=None if by == "strategy" else by)
    return figure


def differences(table: pd.DataFrame, x: str, by: str, panel: str = "task", ylabel: str = "difference"):
    """Paired differences with their 95 % intervals against `x`, one panel a task, and a line at zero.

    table: as lib.statistics.paired_difference returns it, with the columns `x`, `by` and `panel`.
    """
    figure, axes = panels(table[panel].nunique(), height=2.8)
    for ax, (name, some) in zip(axes, table.groupby(panel, sort=False), strict=True):
        ax.axhline(0, color="0.3", linewidth=1)
        levels = list(some.groupby(by, sort=False))
        for place, (level, points) in enumerate(levels):
            aside = (place - (len(levels) - 1) / 2) * 0.02 * (np.ptp(some[x]) or 1)  # so that bars do not overlap
            bars = [points["mean"] - points["low"], points["high"] - points["mean"]]
            look = {"fmt": "osD^v"[place % 5], "capsize": 4, "color": COLOURS.get(level)}
            ax.errorbar(points[x] + aside, points["mean"], yerr=bars, label=label(level), **look)
        ax.set(title=label(name), xlabel=label(x), ylabel=ylabel)
        ax.legend()
    return figure


def save_figure(figure, name: str, folder: Path, runs) -> None:
    """<folder>/<name>.png and .svg, with the runs and the commit in the files' metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    source = provenance(runs)
    figure.savefig(folder / f"{name}.png", metadata={"Source": source, "Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Source": source, "Date": None})


def save_table(table: pd.DataFrame, name: str, folder: Path, runs) -> None:
    """<folder>/<name>.csv (all digits, # header) and .md (rounded), with the runs and the commit in them."""
    folder.mkdir(parents=True, exist_ok=True)
    source = provenance(runs)
    with open(folder / f"{name}.csv", "w", encoding="utf-8") as file:
        file.write(f"# {source}\n")
        table.to_csv(file, index=False)
    (folder / f"{name}.md").write_text(f"<!-- {source} -->\n\n{markdown(table)}\n", "utf-8")


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table: numbers rounded to three digits, names written out, nothing for what is missing."""
    written = pd.DataFrame({column: table[column].map(_cell) for column in table})
    return written.to_markdown(index=False, disable_numparse=True)


def _cell(value) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3f}"
    return named(value).replace("|", "\\|")


def provenance(runs) -> str:
    """The runs that a file was made from and the commit that made it, as JSON."""
    return json.dumps({"commit": commit(), "runs": sorted(set(map(str, runs)))})


class Later:
    """A place in a notebook whose content is computed further down: an answer above its evidence."""

    def __init__(self):
        self.handle = display(Markdown("*computed below*"), display_id=True)

    def show(self, content) -> None:
        self.handle.update(Markdown(content) if isinstance(content, str) else content)


def show_table(table: pd.DataFrame, name: str, folder: Path, runs) -> None:
    """Save a table and show it."""
    save_table(table, name, folder, runs)
    display(Markdown(markdown(table)))


def show_reading(sentences: str, study: Profile, runs: pd.DataFrame) -> None:
    """What came out, and what a reader must know before believing it."""
    seeds = runs["seed"].nunique()
    sure = (
        "One seed: nothing is known about the spread between runs, and no difference is more than an example."
        if seeds == 1
        else f"{seeds} seeds: an interval of a mean over seeds says nothing about other data or other encoders."
    )
    display(Markdown("\n\n".join([sentences, "**Limits.**", *(f"- {limit}" for limit in (sure, *study.caveats))])))


def versions() -> None:
    """What this notebook runs with."""
    packages = ("torch", "transformers", "datasets", "numpy", "pandas", "seaborn")
    print(f"commit {commit()}, Python {platform.python_version()}, {processor()}")
    print(", ".join(f"{name} {version(name)}" for name in packages))


def output_folder(profile: str, given: str = "") -> Path:
    """Where a notebook saves its figures and tables."""
    return Path(given) if given else FIGURES / profile

"""Every figure and table: tidy frames in, axes out; saved with the runs and the commit inside the file."""

import inspect
import json
import platform
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown, display

from lib.fields import named
from lib.protocol import Profile, Protocol
from lib.results import ROOT, commit, processor
from lib.statistics import bootstrap_interval

FIGURES = ROOT / "figures"
NAMES = {"labelled": "labelled rows |T|", "frozen": "F", "area": "area under the curve"}  # of columns, on axes
INDEX = (
    ("Figure 1, architecture", "00_claims", "00_architecture"),
    ("Figure 2, accuracy against the number of training rows", "01_data_size", "01_data_size"),
    ("Figure 3, BALD against random acquisition", "02_bald_vs_random", "02_bald_vs_random"),
    ("Figure 4, mean absolute difference of each layer", "03_parameter_change", "03_parameter_change"),
    ("Figure 5, learning curves with frozen layers", "04_layer_freezing", "04_layer_freezing"),
    ("Table 1, accuracy at the last round with frozen layers", "04_layer_freezing", "04_table_1"),
    ("Table 2, width of the intervals with frozen layers", "04_layer_freezing", "04_table_2"),
    ("Figure 6, classes of T over the rounds", "05_qualitative", "05_class_counts"),
    ("Table 3, largest minus smallest class", "05_qualitative", "05_table_3"),
    ("Table 4, examples with their scores", "05_qualitative", "05_table_4"),
)
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GREY, *_ = sns.color_palette("colorblind")
COLOURS = {"bald": BLUE, "random": ORANGE, "entropy": GREEN, "margin": RED, "variation_ratio": PURPLE}
COLOURS |= {"batchbald": BROWN, "powerbald": PINK, "unguarded_bald": GREY}
DASHES = {"bald": "", "random": (4, 2), "entropy": (1, 1), "margin": (5, 1, 1, 1), "variation_ratio": (2, 1)}
DASHES |= {"batchbald": (6, 1), "powerbald": (3, 1, 1, 1), "unguarded_bald": (1, 3)}


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

    rounds: columns labelled, accuracy, class_counts, `by`, `panel`, a row for each round of each run. Dotted: 1 / C.
    """
    figure, axes = panels(rounds[panel].nunique())
    looks = {"palette": COLOURS, "dashes": DASHES} if by == "strategy" else {"palette": "colorblind"}
    looks |= {"errorbar": bootstrap_interval, "markers": True, "markersize": 6}
    for ax, (name, some) in zip(axes, rounds.groupby(panel, sort=False), strict=True):
        sns.lineplot(some, x="labelled", y="accuracy", hue=by, style=by, ax=ax, **looks)
        ax.axhline(1 / len(some["class_counts"].iloc[0]), color="0.5", linestyle=":", label="chance")
        ax.set(title=label(name), xlabel=label("labelled"), ylabel="accuracy")
    shared_legend(figure, axes, prefix="" if by == "strategy" else f"{label(by)} = ")
    return figure


def shared_legend(figure, axes, prefix: str = "") -> None:
    """One legend below all axes, where it hides no data. prefix: before each level, but not before words."""
    handles, levels = axes[0].get_legend_handles_labels()
    texts = [f"{prefix}{level}" if level.lstrip("-").isdecimal() else label(level) for level in levels]
    for ax in axes:
        if ax.get_legend():
            ax.get_legend().remove()
    figure.legend(handles, texts, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=len(texts), frameon=False)


def differences(table: pd.DataFrame, x: str, by: str = "", panel: str = "task", ylabel: str = "difference"):
    """Paired differences with their 95 % intervals against `x`, one panel a task, and a line at zero.

    table: as lib.statistics.paired_difference returns it, with the columns `x`, `by` (if there are levels) and `panel`.
    """
    figure, axes = panels(table[panel].nunique(), height=2.8)
    for ax, (name, some) in zip(axes, table.groupby(panel, sort=False), strict=True):
        ax.axhline(0, color="0.3", linewidth=1)
        levels = list(some.groupby(by, sort=False)) if by else [("", some)]
        for place, (level, points) in enumerate(levels):
            aside = (place - (len(levels) - 1) / 2) * 0.02 * (np.ptp(some[x]) or 1)  # so that bars do not overlap
            bars = [points["mean"] - points["low"], points["high"] - points["mean"]]
            look = {"fmt": "osD^v"[place % 5], "capsize": 4, "color": COLOURS.get(level, BLUE)}
            ax.errorbar(points[x] + aside, points["mean"], yerr=bars, label=label(level), **look)
        ax.set(title=label(name), xlabel=label(x), ylabel=ylabel, xticks=sorted(set(some[x])))
    if by:
        shared_legend(figure, axes)
    return figure


def architecture(classifiers: dict):
    """What happens to a row of text, a column a classifier, with shapes and numbers of parameters (Figure 1).

    classifiers: title → lib.model.Classifier. Blue: the deterministic part, run once; orange: what a stochastic pass
    runs again, from the first MC dropout on.
    """
    figure, axes = panels(len(classifiers), width=4.4, height=7.6)
    for ax, (title, classifier) in zip(axes, classifiers.items(), strict=True):
        for step, (texts, stochastic) in enumerate(_steps(classifier)):
            box = {"boxstyle": "round,pad=0.35", "facecolor": _light(ORANGE if stochastic else BLUE)}
            for place, text in enumerate(texts):
                x = (place + 1) / (len(texts) + 1) if len(texts) == 1 else 0.14 + 0.36 * place
                ax.text(x, -step, text, ha="center", va="center", fontsize=9, bbox=box)
            if step:
                arrow = {"arrowstyle": "->", "color": "0.3"}
                ax.annotate("", (0.5, 0.4 - step), (0.5, 1 - step), arrowprops=arrow, zorder=0)
        total = sum(parameter.numel() for parameter in classifier.parameters())
        ax.set(title=f"{title}\n{total:,} parameters", xlim=(0, 1), ylim=(-10.4, 0.5))
        ax.axis("off")
    keys = [plt.Rectangle((0, 0), 1, 1, facecolor=_light(colour)) for colour in (BLUE, ORANGE)]
    figure.legend(keys, ["deterministic: once", "stochastic: S passes"], loc="lower right")
    return figure


def _light(colour) -> tuple:
    return tuple(0.65 + 0.35 * channel for channel in colour)


def _steps(classifier) -> list[tuple[list[str], bool]]:
    """Texts of the boxes of each step, and whether the step is part of a stochastic pass."""
    encoder, decoder = classifier.encoder, classifier.decoder
    layers = f"{len(encoder.layers)} encoder layers, width {encoder.width}, {encoder.heads} heads"
    steps = [
        ([f"embeddings\n{_count(encoder.bert.embeddings)}"], False),
        ([f"{layers}\n{_count(encoder.layers[0])} each"], False),
    ]
    first_active = getattr(decoder, decoder.mc_dropouts[0])
    stochastic = False
    for stage in decoder.stages():
        stochastic |= any(module is first_active for module in stage.values())
        steps.append(([_box(name, module) for name, module in stage.items()], stochastic))
    return steps


def _box(name: str, module) -> str:
    if module is None or not list(module.parameters()):
        return name
    shape = [" × ".join(map(str, module.weight.shape))] if hasattr(module, "weight") else []
    return "\n".join([name, *shape, _count(module)])


def _count(module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,} parameters"


def data_size(rounds: pd.DataFrame, share: float, panel: str = "task"):
    """Accuracy against x, the rows of S_x; left all sizes, right those up to `share` of the largest (Figure 2).

    rounds: columns labelled, accuracy, task. Mean and 95 % bootstrap interval over runs, a colour a task.
    """
    figure, axes = panels(2, width=4.6)
    looks = {"errorbar": bootstrap_interval, "markers": True}
    for ax, limit, title in zip(axes, (1.0, share), ("all sizes", f"up to {share:.0%} of the rows"), strict=True):
        some = rounds[rounds["labelled"] <= limit * rounds.groupby(panel)["labelled"].transform("max")]
        sns.lineplot(some, x="labelled", y="accuracy", hue=panel, style=panel, ax=ax, **looks)
        ax.set(title=title, xlabel="training rows x", ylabel="accuracy")
    shared_legend(figure, axes)
    return figure


def spread(table: pd.DataFrame, panel: str = "task"):
    """Standard deviation of the accuracy over runs against x, logarithmic in x: columns labelled, deviation, task."""
    figure, axes = panels(1, width=5)
    sns.lineplot(table, x="labelled", y="deviation", hue=panel, style=panel, ax=axes[0], markers=True)
    axes[0].set(xscale="log", xlabel="training rows x", ylabel="deviation between runs", ylim=(0, None))
    shared_legend(figure, axes)
    return figure


def parameter_change(layers: pd.DataFrame):
    """Mean absolute difference of each layer on a logarithmic scale, a panel a strategy (Figure 4).

    layers: columns strategy, number, layer, part, mean, variance, a row for each run and layer. Points: mean over runs;
    whiskers: one standard deviation of the changes of single weights, the root of their variance. The red line stands
    between encoder and decoder. Frozen layers, which have no place on this scale, are marked "0"; embeddings and batch
    norm, which have no number, are left out.
    """
    shown = layers.dropna(subset="number")
    table = shown.groupby(["strategy", "number", "part"], sort=False)[["mean", "variance"]].mean().reset_index()
    figure, axes = panels(table["strategy"].nunique(), width=5, sharey=True)
    floor = table.loc[table["mean"] > 0, "mean"].min() / 10
    for ax, (strategy, some) in zip(axes, table.groupby("strategy", sort=False), strict=True):
        moved, frozen = some[some["mean"] > 0], some[some["mean"] == 0]
        deviation = moved["variance"] ** 0.5
        whiskers = [np.minimum(deviation, moved["mean"] - floor), deviation]
        look = {"fmt": "o", "color": COLOURS[strategy], "ecolor": "0.35", "capsize": 3, "elinewidth": 1}
        ax.errorbar(moved["number"], moved["mean"], yerr=whiskers, **look)
        for number in frozen["number"]:
            ax.text(number, floor * 1.2, "0", ha="center")
        ax.axvline((some["part"] == "encoder").sum() - 0.5, color="red", linewidth=1.5)
        ax.set(title=label(strategy), xlabel="layer", ylabel="mean absolute difference |Δθ|", xticks=some["number"])
        ax.set(yscale="log", ylim=(floor, None))
    return figure


def layer_differences(table: pd.DataFrame):
    """Paired difference of |Δθ| of each layer, in percent of random's: columns number, part, mean, low, high."""
    figure, (ax,) = panels(1, width=6)
    ax.axhline(0, color="0.3", linewidth=1)
    ax.errorbar(
        table["number"],
        table["mean"],
        yerr=[table["mean"] - table["low"], table["high"] - table["mean"]],
        fmt="o",
        capsize=4,
        color=BLUE,
    )
    ax.axvline((table["part"] == "encoder").sum() - 0.5, color="red", linewidth=1.5)
    ax.set(xlabel="layer", ylabel="BALD − random, % of random's |Δθ|", xticks=table["number"])
    return figure


def class_counts(counts: pd.DataFrame):
    """|T_c| against the rounds, a column a task, a row a strategy, a colour a class (Figure 6): mean over runs.

    counts: columns task, strategy, round, class, rows, as lib.qualitative.class_counts returns them.
    """
    tasks, strategies = counts["task"].unique(), counts["strategy"].unique()
    size = (4.6 * len(tasks), 2.9 * len(strategies))
    figure, axes = plt.subplots(len(strategies), len(tasks), figsize=size, squeeze=False, sharex=True, sharey="col")
    for row, strategy in zip(axes, strategies, strict=True):
        for ax, task in zip(row, tasks, strict=True):
            some = counts[(counts["task"] == task) & (counts["strategy"] == strategy)]
            sns.barplot(some, x="round", y="rows", hue="class", ax=ax, errorbar=None, palette="colorblind")
            ax.set(title=f"{label(task)}, {label(strategy)}", xlabel="acquisitions", ylabel="rows of T in the class")
            ax.legend(title=None, fontsize="small")
    return figure


def overlap(pool: pd.DataFrame):
    """BALD against word overlap, a panel a class and a point a pool row: columns class, overlap, bald."""
    figure, axes = panels(pool["class"].nunique(), sharey=True)
    for ax, (name, some) in zip(axes, pool.groupby("class", sort=False), strict=True):
        ax.scatter(some["overlap"], some["bald"], s=6, alpha=0.35, color="0.4", linewidth=0, rasterized=True)
        bins = pd.qcut(some["overlap"], 5, duplicates="drop")
        means = some.groupby(bins, observed=True)[["overlap", "bald"]].mean()
        ax.plot(means["overlap"], means["bald"], "o-", color=BLUE, label="mean of each fifth")
        ax.set(title=name, xlabel="word overlap of the two texts", ylabel="BALD (nats)", ylim=(0, None))
        ax.legend()
    return figure


def save_figure(figure, name: str, folder: Path, runs) -> None:
    """<folder>/<name>.png and .svg, with the runs and the commit in the files' metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    source = provenance(runs)
    figure.savefig(folder / f"{name}.png", metadata={"Source": source, "Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Source": source, "Date": None})


def save_table(table: pd.DataFrame, name: str, folder: Path, runs, **look) -> None:
    """<folder>/<name>.csv (all digits, # header) and .md (as `markdown` makes it), with the runs and the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    source = provenance(runs)
    with open(folder / f"{name}.csv", "w", encoding="utf-8") as file:
        file.write(f"# {source}\n")
        table.to_csv(file, index=False)
    (folder / f"{name}.md").write_text(f"<!-- {source} -->\n\n{markdown(table, **look)}\n", "utf-8")


def markdown(table: pd.DataFrame, digits: int = 3, best: dict[str, str] | None = None) -> str:
    """A Markdown table: rounded numbers, names written out, nothing for what is missing.

    best: column → "max" or "min"; the best value of each task is set in bold. Text of data sets is escaped.
    """
    written = pd.DataFrame({column: [_cell(value, digits) for value in table[column]] for column in table})
    for column, how in (best or {}).items():
        winners = table[column] == table.groupby("task")[column].transform(how)
        written[column] = np.where(winners, "**" + written[column] + "**", written[column])
    return written.to_markdown(index=False, disable_numparse=True)


def _cell(value, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    if not isinstance(value, str):
        return str(value)
    text = " ".join(named(value).split())
    # not two backslashes for one: before a bracket, Jupyter takes them for the beginning of a formula
    return re.sub(r"[\\`*_{}\[\]<>|$#~&!]", lambda sign: "&#92;" if sign[0] == "\\" else f"\\{sign[0]}", text)


def provenance(runs) -> str:
    """The runs that a file was made from and the commit that made it, as JSON."""
    return json.dumps({"commit": commit(), "runs": sorted(set(map(str, runs)))})


class Later:
    """A place in a notebook whose content is computed further down: an answer above its evidence."""

    def __init__(self):
        self.handle = display(Markdown("*computed below*"), display_id=True)

    def show(self, content) -> None:
        self.handle.update(Markdown(content) if isinstance(content, str) else content)


def show_table(table: pd.DataFrame, name: str, folder: Path, runs, **look) -> None:
    """Save a table and show it. look: `digits` and `best` of `markdown`."""
    save_table(table, name, folder, runs, **look)
    display(Markdown(markdown(table, **look)))


def show_protocol(protocol: Protocol, folder: Path) -> None:
    """Every field of a run with what it means, from the comments beside the fields of lib.protocol.Protocol."""
    source = inspect.getsource(Protocol)
    notes = dict(re.findall(r"^    (\w+): \w+.*?# (.*)$", source, re.MULTILINE))
    rows = [{"field": name, "value": str(value), "meaning": notes[name]} for name, value in asdict(protocol).items()]
    show_table(pd.DataFrame(rows), "00_protocol", folder, [])


def show_index(folder: Path) -> None:
    """Every figure and table of the paper with the notebook that makes it and the name of its files."""
    show_table(pd.DataFrame(INDEX, columns=["in the paper", "notebook", "files"]), "00_index", folder, [])


def show_reading(sentences: str, study: Profile, runs: pd.DataFrame) -> None:
    """What came out, and what a reader must know before believing it."""
    seeds = runs["seed"].nunique()
    sure = (
        "One seed: nothing is known about the spread between runs, and no difference is more than an example."
        if seeds == 1
        else f"{seeds} seeds: an interval of a mean over seeds says nothing about other data or other encoders."
    )
    show_limits(sentences, (sure, *study.caveats))


def show_limits(sentences: str, limits) -> None:
    lines = [f"- {limit}" for limit in limits]
    display(Markdown("\n".join([sentences, *(["", "**Limits.**", "", *lines] if lines else [])])))


def versions() -> None:
    """What this notebook runs with."""
    packages = ("torch", "transformers", "datasets", "numpy", "pandas", "seaborn")
    print(f"commit {commit()}, Python {platform.python_version()}, {processor()}")
    print(", ".join(f"{name} {version(name)}" for name in packages))


def output_folder(profile: str, given: str = "") -> Path:
    """Where a notebook saves its figures and tables."""
    return Path(given) if given else FIGURES / profile


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

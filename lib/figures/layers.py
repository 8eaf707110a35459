"""The classifier's layers: their shapes, and how much each changes in fine-tuning."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lib.figures.looks import BLUE, ORANGE, bars, colours, label, label_left, of_rows, panels


def architecture(classifiers: dict):
    """What happens to a row of text, a column a classifier, with shapes and numbers of parameters (Figure 1).

    classifiers: title → lib.method.model.Classifier. Blue: the deterministic part, run once; orange: what a stochastic
    pass runs again, from the first MC dropout on. Dropouts: on or off in a stochastic pass.
    """
    figure, axes = panels(len(classifiers), width=4.4, height=7.6)
    for ax, (title, classifier) in zip(axes, classifiers.items(), strict=True):
        above = []
        for step, (texts, stochastic) in enumerate(_steps(classifier)):
            look = {"boxstyle": "round,pad=0.35", "facecolor": _light(ORANGE if stochastic else BLUE)}
            places = [0.5] if len(texts) == 1 else [0.14 + 0.36 * place for place in range(len(texts))]
            boxes = [
                ax.text(x, -step, text, ha="center", va="center", fontsize=9, bbox=look)
                for x, text in zip(places, texts, strict=True)
            ]
            for start, end in itertools.product(above, boxes):
                _arrow(ax, start, end)
            above = boxes
        total = sum(parameter.numel() for parameter in classifier.parameters())
        ax.set(title=f"{title}\n{total:,} parameters", xlim=(0, 1), ylim=(-9.6, 0.5))
        ax.axis("off")
    keys = [plt.Rectangle((0, 0), 1, 1, facecolor=_light(colour)) for colour in (BLUE, ORANGE)]
    figure.legend(keys, ["deterministic: once", "stochastic: S passes a row"], loc="lower right")
    return figure


def _arrow(ax, start, end) -> None:
    """From the lower edge of one box to the upper edge of another."""
    look = {"arrowstyle": "->", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    (x, y), (start_x, start_y) = end.get_position(), start.get_position()
    ax.annotate("", (x, y + _half(end)), (start_x, start_y - _half(start)), arrowprops=look, zorder=0)


def _half(text) -> float:
    """Half the height of a box, which has one to three lines."""
    return 0.1 + 0.12 * (1 + text.get_text().count("\n"))


def _light(colour) -> tuple:
    return tuple(0.65 + 0.35 * channel for channel in colour)


def _steps(classifier) -> list[tuple[list[str], bool]]:
    """Texts of the boxes of each step, and whether the step is part of a stochastic pass."""
    from lib.method.decoder import MCDropout  # needs torch, which takes longer to import than the other figures to draw

    encoder, decoder = classifier.encoder, classifier.decoder
    layers = f"{len(encoder.layers)} encoder layers, width {encoder.width}, {encoder.heads} heads"
    steps = [
        ([f"embeddings\n{_count(encoder.bert.embeddings)}"], False),
        ([f"{layers}\n{_count(encoder.layers[0])} each"], False),
    ]
    active = [getattr(decoder, name) for name in decoder.mc_dropouts]
    stochastic = False
    for stage in decoder.stages():
        stochastic |= any(module in active for module in stage.values())
        texts = [_box(name, module) for name, module in stage.items()]
        if any(isinstance(module, MCDropout) for module in stage.values()):
            texts = [f"{name} ({'on' if module in active else 'off'})" for name, module in stage.items()]
        steps.append((texts, stochastic))
    return steps


def _box(name: str, module) -> str:
    if module is None or not list(module.parameters()):
        return name
    shape = [" × ".join(map(str, module.weight.shape))] if hasattr(module, "weight") else []
    return "\n".join([name, *shape, _count(module)])


def _count(module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,} parameters"


@of_rows
def parameter_change(layers: pd.DataFrame):
    """Mean absolute difference of each layer on a logarithmic scale, a panel a strategy (Figure 4).

    layers: columns task (one), strategy, number, layer, part, mean, variance, a row for each run and layer. Points:
    mean over runs; whiskers: one standard deviation of the changes of single weights, the root of their variance. The
    red line stands between encoder and decoder. Frozen layers, which have no place on this scale, are marked "0";
    embeddings and batch norm, which have no number, are left out.
    """
    task, shown = label(layers["task"].iloc[0]), layers.dropna(subset="number")
    layers_of = shown.groupby(["strategy", "layer", "number", "part"], sort=False)
    table = layers_of[["mean", "variance"]].mean().reset_index()
    figure, axes = panels(table["strategy"].nunique(), width=5, sharey=True)
    floor = table.loc[table["mean"] > 0, "mean"].min() / 10
    for ax, (strategy, some) in zip(axes, table.groupby("strategy", sort=False), strict=True):
        moved, frozen = some[some["mean"] > 0], some[some["mean"] == 0]
        deviation = moved["variance"] ** 0.5
        whiskers = [np.minimum(deviation, moved["mean"] - floor), deviation]
        look = {"fmt": "o", "color": colours()[strategy], "ecolor": "0.35", "capsize": 3, "elinewidth": 1}
        ax.errorbar(moved["number"], moved["mean"], yerr=whiskers, **look)
        for number in frozen["number"]:
            ax.text(number, floor * 1.2, "0", ha="center")
        ax.axvline((some["part"] == "encoder").sum() - 0.5, color="red", linewidth=1.5)
        ax.set(title=f"{task}, {label(strategy)}", xlabel="layer", yscale="log", ylim=(floor, None))
        ax.set_xticks(some["number"], [_short_name(layer) for layer in some["layer"]])
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))  # more than one label, however little layers differ
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.0e}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    label_left(axes, "|Δθ|")
    return figure


@of_rows
def layer_differences(table: pd.DataFrame):
    """Paired difference of |Δθ| of each layer, in percent of random's, with its interval.

    table: columns task (one), layer, number, part, mean, low, high. Encoder and decoder have a panel and a scale each:
    the decoder's intervals would hide the encoder's.
    """
    table = table.dropna(subset="number")
    parts = list(table.groupby("part", sort=False))
    widths = {"width_ratios": [len(some) + 2 for _, some in parts]}
    figure, axes = panels(len(parts), width=4, gridspec_kw=widths)
    for ax, (part, some) in zip(axes, parts, strict=True):
        ax.axhline(0, color="0.3", linewidth=1)
        ax.errorbar(some["number"], some["mean"], yerr=bars(some), fmt="o", capsize=4, color=BLUE)
        ax.set(title=f"{label(some['task'].iloc[0])}, {part}", xlabel="layer")
        ax.set_xticks(some["number"], [_short_name(layer) for layer in some["layer"]])
        ax.margins(x=0.1)
    axes[0].set_ylabel("BALD − random, %")
    return figure


def _short_name(layer: str) -> str:
    """On an axis: the paper's number of a layer of the encoder; c3, c4, c5, hid, out of the decoder."""
    for long, short in (("encoder ", ""), ("convolution ", "c"), ("hidden", "hid"), ("output", "out")):
        layer = layer.replace(long, short)
    return layer

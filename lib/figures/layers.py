"""The classifier's layers: their shapes, and how much each changes in fine-tuning."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.figures.looks import BLUE, COLOURS, ORANGE, label, panels


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

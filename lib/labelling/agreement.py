"""How good a classifier is by labels that it had not seen, and when labelling may stop: from a Labelling."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from scipy import stats

from lib.analysis.statistics import INTERVAL, LEVEL
from lib.errors import StudyError
from lib.figures.looks import colours, linestyle, panels, shared_legend
from lib.labelling.state import Labelling
from lib.method.acquisition import STRATEGIES

WINDOW = 3  # agreements of successive models that are averaged
LIMITS = (
    "Agreement is with the person who labels: what that person gets wrong, the classifier learns.",
    "Only rows drawn at random estimate the accuracy, and only on this file; a few of them leave a wide interval.",
    "The rule for stopping sees whether classifiers still change, not whether they are right.",
)


def how(picked: str) -> str:
    """How a row came to be asked about, by the strategy that the journal names."""
    if picked == "random":
        return "drawn at random"
    return f"picked by {STRATEGIES[picked].title if picked in STRATEGIES else picked}"


def answers(labelling: Labelling) -> pd.DataFrame:
    """Every label of a row that a model had predicted: batch, labelled, picked, predicted, label, agreed.

    Of batches that are complete: what the model thinks must not sway the answers that are still to come.
    """
    said, rows, pending = labelling.said, [], {labelling.rows.keys[n] for n in labelling.pending}
    for batch in said.batches:
        if pending.intersection(batch["rows"]):
            continue
        for key, picked, predicted in zip(batch["rows"], batch["picked"], batch["predicted"], strict=True):
            label = said.answers.get(key)
            if predicted is not None and label is not None:
                row = {"batch": batch["batch"], "labelled": batch["labelled"], "picked": picked}
                rows.append({**row, "predicted": predicted, "label": label, "agreed": predicted == label})
    return pd.DataFrame(rows, columns=["batch", "labelled", "picked", "predicted", "label", "agreed"])


def learning_curve(labelling: Labelling) -> pd.DataFrame:
    """The share of each batch's labels that the model predicted before it saw them, with intervals.

    Columns batch, labelled (rows that the model was trained on), picked, rows, agreement, low, high. Rows drawn at
    random estimate its accuracy on all unlabelled rows; those that a strategy picked are the rows it is unsure about.
    """
    curve = []
    for group, some in answers(labelling).groupby(["batch", "labelled", "picked"], sort=False):
        curve.append({**dict(zip(("batch", "labelled", "picked"), group, strict=True)), **share(some["agreed"])})
    return pd.DataFrame(curve, columns=["batch", "labelled", "picked", "rows", "agreement", "low", "high"])


def share(agreed) -> dict:
    """Share of true values and its interval (Wilson 1927): rows, agreement, low, high."""
    interval = stats.binomtest(int(np.sum(agreed)), len(agreed)).proportion_ci(LEVEL, method="wilson")
    return {"rows": len(agreed), "agreement": float(np.mean(agreed)), "low": interval.low, "high": interval.high}


def draw(curve: pd.DataFrame):
    """Agreement against the labels that the model was trained on, a line for each way of picking."""
    figure, (axes,) = panels(1, width=6)
    for picked, some in curve.groupby("picked", sort=False):
        look = {"linestyle": linestyle(picked), "color": colours()[picked], "capsize": 4}
        look["marker"] = "s" if picked == "random" else "o"
        bars = [some["agreement"] - some["low"], some["high"] - some["agreement"]]
        axes.errorbar(some["labelled"], some["agreement"], yerr=bars, label=how(picked), **look)
    axes.set(xlabel="labels that the model was trained on", ylabel="agreement with new labels", ylim=(0, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # no half labels
    shared_legend(figure, [axes])
    figure.tight_layout()  # it is shown and not saved: without, the legend is printed over the x label
    return figure


def say_agreement(labelling: Labelling) -> str:
    """What the labels of the last batch say of the model that chose it, in one sentence; "" if there are none."""
    curve = learning_curve(labelling)
    if not len(curve):
        return ""
    last = curve[curve["batch"] == curve["batch"].max()]
    parts = [
        f"{round(row['agreement'] * row['rows'])} of {row['rows']} rows {how(row['picked'])} "
        f"({percent(row['agreement'])}, {INTERVAL} {percent(row['low'])} to {percent(row['high'])})"
        for _, row in last.iterrows()
    ]
    trained = last["labelled"].iloc[0]
    said = f"Trained on {trained} labels, the model was right, before it saw the label, about {' and '.join(parts)}."
    if len(curve[curve["picked"] == "random"]) < 2:
        return said
    table = answers(labelling)
    pooled = share(table.loc[table["picked"] == "random", "agreed"])
    return (
        f"{said} Of all {pooled['rows']} rows drawn at random, the models of their batches were right about "
        f"{percent(pooled['agreement'])} ({INTERVAL} {percent(pooled['low'])} to {percent(pooled['high'])})."
    )


def say_accuracy(labelling: Labelling) -> str:
    """How many labels of the last rows drawn at random the model had predicted that had not seen them."""
    curve = learning_curve(labelling)
    curve = curve[curve["picked"] == "random"]
    if not len(curve):
        return "accuracy not measured yet"
    last = curve.iloc[-1]
    return (
        f"accuracy {percent(last['agreement'])}, measured on {last['rows']} rows drawn at random, {INTERVAL} "
        f"{percent(last['low'])} to {percent(last['high'])}"
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def check_rule(stop_at: float, batches: int) -> None:
    """Raises StudyError for a κ that no two models can have, or no batch to answer."""
    if not 0 < stop_at <= 1:
        raise StudyError(f"stop_at={stop_at} is not allowed: give a κ above 0, up to 1")
    if batches < 1:
        raise StudyError(f"batches={batches} is not allowed: give a number of batches, 1 or more")


def say_stop(labelling: Labelling, threshold: float) -> str:
    """Whether the rule suggests to stop, and why, in one sentence."""
    kappas = [batch["kappa"] for batch in labelling.said.batches if batch.get("kappa") is not None][-WINDOW:]
    if not labelling.pending and not len(labelling.pool):
        return "No row is left to label."
    if not labelling.ready:
        number, start = len(labelling.labelled), labelling.protocol.start
        if number < start:
            return f"Go on: the model is first trained on {start} labels."
        only = max(labelling.counts, key=labelling.counts.get)
        return f"Go on: all {number} labels are {only!r}; until there is another class, rows are drawn at random."
    if len(kappas) < WINDOW:
        return f"Go on: the rule needs {WINDOW} agreements of successive models, and there are {len(kappas)}."
    mean = float(np.mean(kappas))
    said = f"the last {WINDOW} pairs of models agree with a mean κ of {mean:.2f}"
    if mean >= threshold:
        return f"You may stop: {said}, and the rule asks for {threshold:g}."
    return f"Go on: {said}, below the {threshold:g} that the rule asks for."

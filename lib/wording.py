"""Sentences made from tables, so that no sentence of a notebook can contradict its numbers."""

from functools import wraps

import numpy as np
import pandas as pd

from lib.fields import named
from lib.protocol import Protocol

NOTHING = "The runs that this needs are not there."
ALPHA = 0.05  # share of tests without an effect that say there is one
HARDLY = 0.05  # so little above chance is nothing learnt
SINGLE = "in a single run and so with unknown certainty"


def of_rows(say):
    """A sentence about an empty table says that there is nothing to tell."""

    @wraps(say)
    def answer(table: pd.DataFrame, *arguments) -> str:
        return say(table, *arguments) if len(table) else NOTHING

    return answer


@of_rows
def say_differences(differences: pd.DataFrame, of: str, quantity: str, minus) -> str:
    """One sentence from a table of paired differences: what each level of `of` changes, and how sure that is."""
    name = f"{of[0].upper()} = " if of == "frozen" else ""
    parts = [
        f"{name}{named(row[of])} {_verb(row)} {quantity} on {named(row['task'])} ({_signed(row)})"
        for _, row in differences.iterrows()
    ]
    return f"Against {name}{named(minus)}, {'; '.join(parts)}."


def _verb(row) -> str:
    if np.isnan(row["low"]):
        return f"{'changed' if row['mean'] else 'did not change'}, {SINGLE},"
    return "raises" if row["low"] > 0 else "lowers" if row["high"] < 0 else "does not distinguishably change"


def _signed(row, digits: int = 3, unit: str = "") -> str:
    """+0.012, 95 % interval -0.010 to +0.034, 3 seeds"""
    mean, low, high = (f"{row[name]:+.{digits}f}".replace("-", "−") for name in ("mean", "low", "high"))
    seeds = "1 seed" if row["runs"] == 1 else f"{row['runs']} seeds"
    return f"{mean}{unit}, {seeds}" if np.isnan(row["low"]) else f"{mean}{unit}, 95 % interval {low} to {high}, {seeds}"


def say_architecture(classifier, protocol: Protocol) -> str:
    """Numbers of parameters, and which part of the classifier is run how often."""
    encoder, decoder = (
        sum(parameter.numel() for parameter in part.parameters()) for part in (classifier.encoder, classifier.decoder)
    )
    return (
        f"An encoder of {len(classifier.encoder.layers)} layers and {encoder:,} parameters runs once for each row; of "
        f"the decoder's {decoder:,} parameters, the layers after the first MC dropout run S = {protocol.samples} times."
    )


@of_rows
def say_gains(gains: pd.DataFrame) -> str:
    """Where the first and the last rows of each task took the accuracy, for each hundred rows."""
    parts = []
    for task, some in gains.groupby("task", sort=False):
        first, last = some.iloc[0], some.iloc[-1]
        early, late = (f"between {one['from']} and {one['to']}" for one in (first, last))
        parts.append(
            f"on {named(task)}, a row more {_verb(first)} the accuracy {early} rows ({_signed(first)}) "
            f"and {_verb(last)} it {late} ({_signed(last)})"
        )
    return f"{_capital('; '.join(parts))}. Numbers are rates for a hundred rows."


def say_spread(deviations: pd.DataFrame) -> str:
    """The standard deviation between runs at the smallest and at the largest size of each task."""
    parts = []
    for task, some in deviations.dropna(subset="deviation").groupby("task", sort=False):
        ends = some.sort_values("labelled").iloc[[0, -1]].to_dict("records")
        said = (
            f"{one['deviation']:.3f} (95 % interval {one['low']:.3f} to {one['high']:.3f}) with {one['labelled']} rows"
            for one in ends
        )
        parts.append(f"on {named(task)} {' and '.join(said)}")
    return f"The standard deviation between runs is {'; '.join(parts)}." if parts else ""


def say_narrowest(widths: pd.DataFrame) -> str:
    """The F with the narrowest intervals of each task."""
    known = widths.dropna(subset="mean")
    best = known.loc[known.groupby("task", sort=False)["mean"].idxmin()] if len(known) else known
    parts = [
        f"on {named(row['task'])} F = {row['frozen']} ({row['mean']:.3f})".replace("= -", "= −")
        for _, row in best.iterrows()
    ]
    return f"The narrowest intervals, on average, are: {'; '.join(parts)}." if parts else ""


@of_rows
def say_layers(differences: pd.DataFrame) -> str:
    """In which layers BALD changes the parameters more, less or not distinguishably from random."""
    numbered = differences.dropna(subset="number")
    mean = numbered.groupby("part", sort=False)["mean"].mean()
    sizes = ", ".join(f"{value:+.1f} % in the {part}" for part, value in mean.items()).replace("-", "−")
    if numbered["low"].isna().all():
        return f"On average |Δθ| differs between BALD and random, {SINGLE}, by {sizes}."
    parts = []
    for part, some in numbered.groupby("part", sort=False):
        less, more = some[some["high"] < 0], some[some["low"] > 0]
        parts.append(
            f"of the {len(some)} {part} layers, {_listed(less)} changed less under BALD than under random and "
            f"{_listed(more)} more (95 % intervals that exclude zero, each layer by itself)"
        )
    return f"{_capital('; '.join(parts))}; on average the difference is {sizes}."


def say_classes(skew: pd.DataFrame, rho: pd.DataFrame) -> str:
    """Whether BALD skews the classes of T, and whether its scores go with word overlap."""
    parts = [
        f"on {named(row['task'])}, BALD {_verb(row)} the gap between largest and smallest class against random "
        f"({_signed(row, 1, ' rows')})"
        for _, row in skew.iterrows()
    ]
    for _, row in rho.dropna(subset="mean").iterrows():
        place = f"on {named(row['task'])}, in the class {row['class']!r},"
        parts.append(f"{place} its score {_direction(row)} with word overlap (ρ = {_signed(row)})")
    return f"{_capital('; '.join(parts))}." if parts else NOTHING


@of_rows
def say_fair_draws(table: pd.DataFrame) -> str:
    """How the gaps between classes that the paper prints for random acquisition compare with those of a fair draw."""
    parts = []
    for task, some in table.groupby("task", sort=False):
        last = some.loc[some["labelled"].idxmax()]
        parts.append(
            f"on {named(task)} {last['paper']:.0f} at {last['labelled']} rows, where a fair draw from classes of equal "
            f"size gives {last['mean']:.1f} ({_share(last['as_even'])} fair draws are as even over all sizes)"
        )
    return f"The gap between the classes of the paper's random acquisition is {'; '.join(parts)}."


def _share(share: float) -> str:
    return f"{100 * share:.1f} % of" if share >= 0.001 else "fewer than one in a thousand"


def _direction(row) -> str:
    if np.isnan(row["low"]):
        return f"{'rises' if row['mean'] > 0 else 'falls' if row['mean'] < 0 else 'does not change'}, {SINGLE},"
    return "rises" if row["low"] > 0 else "falls" if row["high"] < 0 else "does not distinguishably change"


def _listed(layers: pd.DataFrame) -> str:
    return f"{len(layers)} ({', '.join(layers['layer'])})" if len(layers) else "none"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def say_claims(ledger: pd.DataFrame) -> str:
    """How many claims the runs support, and which."""
    measured = ledger[ledger["verdict"] != "no runs"]
    parts = []
    for verdict, some in measured.groupby("verdict"):
        listed = "; ".join(f"{claim} ({named(task)})" for claim, task in zip(some["claim"], some["task"], strict=True))
        parts.append(f"{len(some)} {verdict}" + (f": {listed}" if verdict != "inconclusive" else ""))
    missing = len(ledger) - len(measured)
    claims = measured["claim"].nunique()
    tests = f"Of {len(measured)} tests of {claims} claims, each on one task"
    said = f"{tests}, {'. '.join(reversed(parts))}. {_say_by_chance(measured)}".strip() if parts else ""
    return f"{said} {missing} have no runs: not computed yet, or not in this profile.".strip() if missing else said


def _say_by_chance(measured: pd.DataFrame) -> str:
    """How many effects there would be without any, and which are left of those that accuracy shows."""
    tests = measured["p"].count()
    if not tests:
        return ""
    found, chance = (measured["p"] <= ALPHA).sum(), ALPHA * tests
    left = measured[measured["p by Holm"] <= ALPHA]
    listed = "; ".join(f"{claim} ({named(task)})" for claim, task in zip(left["claim"], left["task"], strict=True))
    return (
        f"{found} of {tests} intervals exclude zero (ratios: one), where chance alone would have {chance:.1f} do so; "
        f"of those about accuracy, Holm's correction leaves {len(left) or 'none'}{': ' if listed else ''}{listed}."
    )


@of_rows
def say_lengths(lengths: pd.DataFrame) -> str:
    """How much longer than the pool's BALD's first and last picks are, and how its score goes with length."""
    parts = []
    for task, some in lengths[lengths["rho"].notna()].groupby("task", sort=False):
        first, last = (some[some["labelled"] == some["labelled"].agg(which)] for which in ("min", "max"))
        told = [
            f"{one['longer'].mean():.2f} times as many tokens with {one['labelled'].iloc[0]} labels "
            f"(ρ = {one['rho'].mean():+.2f})"
            for one in (first, last)
        ]
        parts.append(f"on {named(task)} {' and '.join(told)}".replace("-", "−"))
    return f"BALD's picks have, {'; '.join(parts)}, as a row of the pool." if parts else NOTHING


def say_precision(runs: pd.DataFrame) -> list[str]:
    """Which runs were computed in which precision, if not all of a task in one: columns task, seed, run, precision."""
    runs = runs.drop_duplicates("run")
    parts = []
    for task, some in runs.groupby("task", sort=False):
        kinds = [
            f"{len(those)} runs in {precision} (seeds {', '.join(map(str, sorted(those['seed'].unique())))})"
            for precision, those in some.groupby("precision")
        ]
        if len(kinds) > 1:
            parts.append(f"on {named(task)} {' and '.join(kinds)}")
    if not parts:
        return []
    return [f"The encoder computed {'; '.join(parts)}: what differs between these runs is, in part, rounding."]


def say_chance(rounds: pd.DataFrame) -> list[str]:
    """A sentence for each task whose classifiers are hardly better than guessing at the last round.

    Guessing is saying the most frequent class each time.
    """
    sentences = []
    for task, some in rounds.groupby("task", sort=False) if {"accuracy", "majority"} <= set(rounds) else ():
        accuracy, chance = some.loc[some["labelled"] == some["labelled"].max(), ["accuracy", "majority"]].mean()
        if accuracy < chance + HARDLY:
            sentences.append(
                f"On {named(task)} the classifiers have learnt next to nothing: at the largest size of T their mean "
                f"accuracy is {accuracy:.3f}, where guessing gives {chance:.3f}. What is compared there are guesses."
            )
    return sentences


@of_rows
def say_calibration(calibration: pd.DataFrame) -> str:
    """The calibration error of each kind of prediction beside what it would be if nothing was wrong with it."""
    parts = [
        f"on {named(row['task'])}, {row['error']:.3f} of {row['prediction']}, where perfect calibration "
        f"would give {row['floor']:.3f}"
        for _, row in calibration.iterrows()
    ]
    return f"Calibration errors: {'; '.join(parts)}. What a few rows leave to chance is no error of the classifier."


@of_rows
def say_samples(shared: pd.DataFrame) -> str:
    """How many picks two draws share at the paper's S and at the largest."""
    parts = []
    for task, some in shared.groupby("task", sort=False):
        means = some.groupby("samples")["between_draws"].mean()
        runs = some["seed"].nunique()
        small, paper, large = (f"{means[S]:.0%} with S = {S}" for S in (means.index[0], 50, means.index[-1]))
        seeds = "1 run" if runs == 1 else f"mean over {runs} runs"
        parts.append(f"on {named(task)} two draws agree on this share of picks: {small}, {paper}, {large} ({seeds})")
    return f"{_capital('; '.join(parts))}."


@of_rows
def say_noise(noise: pd.DataFrame) -> str:
    """What is left of BALD when dropout is off."""
    parts = []
    for task, some in noise.groupby("task", sort=False):
        first, ours = some.iloc[0], some.iloc[1]
        parts.append(
            f"on {named(task)} unguarded float32 scores run from {first['lowest']:.1e} to {first['highest']:.1e}, "
            f"{first['share below 0']:.0%} of them negative, while this study's BALD of the same passes "
            + (f"lies between {ours['lowest']:g} and {ours['highest']:g}" if ours["highest"] else "is exactly 0")
        )
    return f"With dropout off, {'; '.join(parts)}."


@of_rows
def say_settings(differences: pd.DataFrame, quantity: str, minus: str) -> str:
    """Which settings raise or lower a quantity against `minus`, and how wide the others lie."""
    parts = []
    for task, some in differences.groupby("task", sort=False):
        clear = some[(some["low"] > 0) | (some["high"] < 0)]
        said = [f"{named(row['setting'])} {_verb(row)} {quantity} ({_signed(row)})" for _, row in clear.iterrows()]
        rest = some.drop(clear.index).sort_values("mean")
        if len(rest):
            ends = {row["setting"]: f"{row['mean']:+.3f}".replace("-", "−") for _, row in rest.iloc[[0, -1]].iterrows()}
            span = " to ".join(f"{mean} ({named(setting)})" for setting, mean in ends.items())
            known = rest["low"].notna()
            why = "with intervals that include zero" if known.any() else SINGLE
            why += " or without any" if known.any() and not known.all() else ""
            others = "the other settings" if said else "all settings"
            said.append(f"{others} differ from {named(minus)} by {span}, {why}")
        parts.append(f"on {named(task)}, {'; '.join(said)}")
    return f"{_capital(quantity)}: {'. '.join(parts)}."

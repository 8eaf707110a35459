"""What each notebook found, in words: sentences made from its tables, so that none can contradict their numbers."""

import pandas as pd

from lib.analysis.statistics import INTERVAL
from lib.analysis.wording import (
    NOTHING,
    is_clear,
    level_of,
    listed,
    named,
    number,
    of_rows,
    uncertain,
    with_interval,
)
from lib.data.escaping import in_markdown
from lib.protocol import Protocol

ALPHA = 0.05  # share of tests without an effect that say there is one
VERDICTS = ("supported", "not supported", "inconclusive")


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
    points = gains.assign(**{name: 100 * gains[name] for name in ("mean", "low", "high")})
    for task, some in points.groupby("task", sort=False):
        first, last = (
            f"{_in_brackets(one)} from {one['from']:,} to {one['to']:,} rows"
            for _, one in some.iloc[[0, -1]].iterrows()
        )
        parts.append(f"on {named(task)} {first} and {last}")
    return f"In percentage points of accuracy, a hundred rows more bring {'; '.join(parts)}."


def _in_brackets(row) -> str:
    """+1.10 (95 % interval +0.80 to +1.50)"""
    return f"{with_interval(row, 2).replace(', ', ' (', 1)})"


def say_spread(deviations: pd.DataFrame) -> str:
    """The standard deviation between runs at the smallest and at the largest size of each task."""
    parts = []
    for task, some in deviations.dropna(subset="deviation").groupby("task", sort=False):
        ends = some.sort_values("labelled").iloc[[0, -1]].to_dict("records")
        said = (
            f"{one['deviation']:.3f} ({INTERVAL} {one['low']:.3f} to {one['high']:.3f}) with {one['labelled']} rows"
            for one in ends
        )
        parts.append(f"on {named(task)} {' and '.join(said)}")
    return f"The standard deviation between runs is {'; '.join(parts)}." if parts else ""


def say_narrowest(widths: pd.DataFrame) -> str:
    """The F with the narrowest intervals of each task that has several."""
    known = widths.dropna(subset="mean")
    known = known[known.groupby("task")["mean"].transform("count") > 1]
    best = known.loc[known.groupby("task", sort=False)["mean"].idxmin()] if len(known) else known
    parts = [
        f"on {named(row['task'])} {level_of('frozen', row['frozen'])} ({row['mean']:.3f})" for _, row in best.iterrows()
    ]
    return f"The narrowest intervals, on average, are: {'; '.join(parts)}." if parts else ""


@of_rows
def say_layers(differences: pd.DataFrame) -> str:
    """In which layers BALD changes the parameters of a task more, less or not distinguishably from random."""
    where = f"On {named(differences['task'].iloc[0])}"
    numbered = differences.dropna(subset="number")
    mean = numbered.groupby("part", sort=False)["mean"].mean()
    sizes = ", ".join(f"{value:+.1f} % in the {part}" for part, value in mean.items()).replace("-", "−")
    if numbered["low"].isna().all():
        return f"{where}, |Δθ| differs on average between BALD and random, {uncertain(numbered)}, by {sizes}."
    parts = []
    for part, some in numbered.groupby("part", sort=False):
        less, more = some[some["high"] < 0], some[some["low"] > 0]
        parts.append(
            f"of the {len(some)} {part} layers, {_listed(less)} changed less under BALD than under random and "
            f"{_listed(more)} more ({INTERVAL}s that exclude zero, each layer by itself)"
        )
    said = "; ".join(parts)
    return f"{where}, {said}; on average the difference is {sizes}."


def say_classes(skew: pd.DataFrame, rho: pd.DataFrame) -> str:
    """Whether BALD skews the classes of T, and whether its scores go with word overlap."""
    rho = rho.dropna(subset="mean")
    sentences = ([_say_gaps(skew)] if len(skew) else []) + ([_say_overlap(rho)] if len(rho) else [])
    return " ".join(sentences) or NOTHING


def _say_gaps(skew: pd.DataFrame) -> str:
    said = []
    for how, some in (
        ("is wider than random's", skew[skew["low"] > 0]),
        ("is narrower than random's", skew[skew["high"] < 0]),
        ("differs from random's", skew[skew["low"].isna()]),
    ):
        tasks = [f"{named(row['task'])} ({with_interval(row, 1, ' rows')})" for _, row in some.iterrows()]
        said += [f"{how} on {listed(tasks)}"] if tasks else []
    others = skew[skew["low"].notna() & ~is_clear(skew)]
    said += [f"does not clearly differ on {listed([*map(named, others['task'])])}"] if len(others) else []
    return f"BALD's gap between the largest and the smallest class {'; '.join(said)}."


def _say_overlap(rho: pd.DataFrame) -> str:
    clear = rho[is_clear(rho)]
    if rho["low"].isna().all():
        clear = rho  # too few runs for intervals, which is said
    parts = []
    for verb, some in (("falls", clear[clear["mean"] <= 0]), ("rises", clear[clear["mean"] > 0])):
        classes = [
            f"'{in_markdown(row['class'])}' of {named(row['task'])} (ρ = {with_interval(row)})"
            for _, row in some.iterrows()
        ]
        parts += [f"{verb} in {listed(classes)}"] if classes else []
    others = len(rho) - len(clear)
    shared = "the share of words that two texts have in common"
    if not parts:
        return f"BALD's score has no clear relation with {shared}, in {_classes(others)}."
    rest = f"; in {_classes(others)} no relation is clear" if others else ""
    return f"With {shared} BALD's score {'; '.join(parts)}{rest}."


def _classes(count: int) -> str:
    return "one class" if count == 1 else f"{count} classes"


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


def _listed(layers: pd.DataFrame) -> str:
    return f"{len(layers)} ({', '.join(layers['layer'])})" if len(layers) else "none"


def say_claims(ledger: pd.DataFrame) -> str:
    """One line a claim: on which tasks the runs support it, on which they do not, and on which they cannot tell."""
    measured = ledger[ledger["verdict"] != "no runs"]
    lines = []
    for claim, some in measured.groupby("claim", sort=False):
        tasks = {verdict: [*map(named, those["task"])] for verdict, those in some.groupby("verdict", sort=False)}
        said = [f"{verdict} on {listed(tasks[verdict])}" for verdict in VERDICTS if verdict in tasks]
        lines.append(f"- **{claim}**: {'; '.join(said)}")
    missing = len(ledger) - len(measured)
    left = f"{missing} {'has' if missing == 1 else 'have'} no runs: not computed yet, or not in this profile."
    if not lines:
        return left if missing else ""
    counted = f"{len(measured)} tests of {len(lines)} claims, each on one task. {_say_by_chance(measured)}".strip()
    return "\n".join([*lines, "", f"{counted} {left}".strip() if missing else counted])


def _say_by_chance(measured: pd.DataFrame) -> str:
    """How many effects there would be without any, and which are left of those that accuracy shows."""
    tests = measured["p"].count()
    if not tests:
        return ""
    found, chance = (measured["p"] <= ALPHA).sum(), ALPHA * tests
    left = measured[measured["p by Holm"] <= ALPHA]
    which = "; ".join(f"{claim} ({named(task)})" for claim, task in zip(left["claim"], left["task"], strict=True))
    return (
        f"{found} of {tests} intervals exclude zero (ratios: one), where chance alone would have {chance:.1f} do so; "
        f"of those about accuracy, Holm's correction leaves {len(left) or 'none'}{': ' if which else ''}{which}."
    )


@of_rows
def say_lengths(lengths: pd.DataFrame) -> str:
    """How much longer than the pool's BALD's first and last picks are, and how its score goes with length."""
    parts = []
    for task, some in lengths[lengths["rho"].notna()].groupby("task", sort=False):
        told = [
            f"{one['longer'].mean():.2f} times with {size} labels (ρ = {number(one['rho'].mean(), 2)})"
            for size in (some["labelled"].min(), some["labelled"].max())
            for one in [some[some["labelled"] == size]]
        ]
        parts.append(f"on {named(task)} {' and '.join(told)}")
    return (
        f"BALD's picks are, in tokens, so many times as long as a row of the pool: {'; '.join(parts)}."
        if parts
        else NOTHING
    )


@of_rows
def say_calibration(calibration: pd.DataFrame) -> str:
    """The calibration error of each kind of prediction beside what it would be if nothing was wrong with it."""
    parts = []
    for task, some in calibration.groupby("task", sort=False):
        errors = listed([f"{row['error']:.3f} for {row['prediction']}" for _, row in some.iterrows()])
        parts.append(f"on {named(task)} {errors}, where chance alone would give {some['floor'].mean():.3f}")
    return f"The calibration error is {'; '.join(parts)}."


@of_rows
def say_samples(shared: pd.DataFrame) -> str:
    """How many picks two draws share at the smallest S, at the paper's and at the largest."""
    parts = []
    for task, some in shared.groupby("task", sort=False):
        means = some.groupby("samples")["between_draws"].mean()
        runs = some["seed"].nunique()
        shares = listed([f"{100 * means[S]:.0f} % with S = {S}" for S in (means.index[0], 50, means.index[-1])])
        parts.append(f"on {named(task)} {shares} ({'one run' if runs == 1 else f'mean over {runs} runs'})")
    return f"Two draws of S masks agree on so many of their picks: {'; '.join(parts)}."


@of_rows
def say_noise(noise: pd.DataFrame) -> str:
    """What is left of BALD when dropout is off."""
    parts = []
    for task, some in noise.groupby("task", sort=False):
        first, ours = some.iloc[0], some.iloc[1]
        parts.append(
            f"on {named(task)} unguarded float32 scores run from {first['lowest']:.1e} to {first['highest']:.1e}, "
            f"{100 * first['share below 0']:.0f} % of them negative, while this study's BALD of the same passes "
            + (f"lies between {ours['lowest']:g} and {ours['highest']:g}" if ours["highest"] else "is exactly 0")
        )
    return f"With dropout off, {'; '.join(parts)}."

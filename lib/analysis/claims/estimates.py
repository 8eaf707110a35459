"""A number that the runs give, its interval, and what it says of a claim: values of runs in, a verdict out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special
from statsmodels.stats.power import TTestPower, normal_power

from lib.analysis.statistics import LEVEL, deviation, t_interval, t_quantile

ALPHA = 1 - LEVEL
POWER = 0.8  # probability of a verdict for which seeds are counted
DRAWS = 10_000  # studies without an effect, where their distribution has no formula


@dataclass(frozen=True)
class Estimate:
    """A number that the runs give, and its 95 % interval; nan for a single run."""

    value: float
    low: float
    high: float
    runs: int
    p: float = np.nan  # of a value so far from zero, on either side, where there is no effect
    power: Callable | None = None  # (seeds, margin) → probability of a verdict, with this value and this spread
    unit: float = 1.0  # of the margin: the margin of rows of a class is for each hundred rows of T


def mean_of(values, step: float = 0.0, level: float = LEVEL, unit: float = 1.0) -> Estimate:
    """Mean of one number a seed, with Student's t interval: of paired differences, the paired test.

    step: distance of neighbouring values, where they are counts (`lib.analysis.statistics.deviation`).
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    runs, value = len(values), values.mean() if len(values) else np.nan
    low, high = t_interval(values, level, step)
    if runs < 2:
        return Estimate(value, low, high, runs, unit=unit)
    spread = deviation(values, step)
    p = 2 * special.stdtr(runs - 1, -abs(value) * np.sqrt(runs) / spread) if spread else float(value == 0)
    power = _power_of_mean(value, spread, TTestPower().power, 1 - level) if spread else None
    return Estimate(value, low, high, runs, float(p), power, unit)


def of_interval(value: float, low: float, high: float, runs: int) -> Estimate:
    """The estimate that Student's t interval of a mean over so many runs says: the spread follows from its width."""
    spread = (high - low) / 2 / t_quantile(1 - ALPHA / 2, runs - 1) * np.sqrt(runs) if runs > 1 else np.nan
    power = _power_of_mean(value, spread, TTestPower().power, ALPHA) if spread > 0 else None
    return Estimate(value, low, high, runs, power=power)


def shift_of(values, without) -> Estimate:
    """Mean of one number a seed minus its expectation without an effect, where that is known to its distribution.

    without: the number in many runs without an effect. The interval holds the shifts that would not be remarkable: it
    excludes zero if, of studies without an effect, one in twenty or fewer have a mean so far out on either side.
    """
    values, without = np.asarray(values, float), np.asarray(without, float)
    values = values[~np.isnan(values)]
    runs, value = len(values), values.mean() - without.mean() if len(values) else np.nan
    if runs < 2:
        return Estimate(value, np.nan, np.nan, runs)
    means = np.random.default_rng(0).choice(without, (DRAWS, runs)).mean(1)
    least, most = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    above = (1 + np.sum(means >= values.mean())) / (1 + DRAWS)
    below = (1 + np.sum(means <= values.mean())) / (1 + DRAWS)
    power = _power_of_mean(value, without.std(), normal_power, ALPHA)
    return Estimate(value, values.mean() - most, values.mean() - least, runs, min(1.0, 2 * min(above, below)), power)


def log_ratio_of_spreads(ours, theirs, level: float = LEVEL) -> Estimate:
    """log of the ratio of two standard deviations over runs; rows are seeds, columns conditions, such as rounds.

    Variances are averaged over the conditions. The interval is that of the F distribution with one condition's degrees
    of freedom: exact if the conditions of a run say all the same, too wide if each says something of its own.
    """
    runs = min(len(ours), len(theirs))
    if runs < 2:
        return Estimate(np.nan, np.nan, np.nan, runs)
    ours, theirs = (np.asarray(values, float).reshape(len(values), -1) for values in (ours, theirs))
    variances = [values.var(axis=0, ddof=1).mean() for values in (ours, theirs)]
    if not all(variances):
        return Estimate(np.nan, np.nan, np.nan, runs)
    value, half = 0.5 * np.log(variances[0] / variances[1]), 0.5 * np.log(_f_quantile(runs, level))
    p = 2 * special.fdtrc(runs - 1, runs - 1, np.exp(2 * abs(value)))

    def power(seeds, margin):
        return special.fdtrc(seeds - 1, seeds - 1, _f_quantile(seeds, level) * np.exp(-2 * abs(value)))

    return Estimate(value, value - half, value + half, runs, float(p), power)


def beyond_each(rivals: Callable[[float], list[Estimate]], side: int) -> Estimate:
    """The rival that comes closest, of a claim that ours lies beyond every rival on one side: the most, the narrowest.

    rivals: level → ours minus each rival. Being beyond all of them needs no correction, since each of them must be
    shown (intersection-union test, Berger 1982). That any one is beyond ours is shown at Bonferroni's level: with
    enough rivals, one always seems to be. p and power are those of the side on which the closest one lies.
    """
    plain = rivals(LEVEL)
    strict = rivals(1 - ALPHA / len(plain))
    if any(np.isnan(rival.value) for rival in plain):
        return next(rival for rival in plain if np.isnan(rival.value))
    closest = min(plain, key=lambda rival: side * rival.value)
    near = min(min(side * rival.low, side * rival.high) for rival in plain)
    far = min(max(side * rival.low, side * rival.high) for rival in strict)
    low, high = sorted((side * near, side * far))
    against = [number for number, rival in enumerate(plain) if side * rival.value <= 0]
    if against:
        p = min(1.0, len(plain) * min(plain[number].p for number in against))
        deciding, combined = [strict[number] for number in against], np.max
    else:
        p, deciding, combined = max(rival.p for rival in plain), plain, np.prod
    powers = [rival.power for rival in deciding if rival.power]
    power = (lambda seeds, margin: combined([each(seeds, margin) for each in powers], axis=0)) if powers else None
    return Estimate(closest.value, low, high, closest.runs, p, power)


def _power_of_mean(value: float, spread: float, one_sided: Callable, alpha: float) -> Callable:
    """Probability that an interval excludes zero, or lies within the margin if the value does (two one-sided tests)."""

    def beyond(distance: float, seeds):
        power = one_sided(distance / spread, seeds, alpha / 2, alternative="larger")
        return np.nan_to_num(power, nan=1.0)  # the noncentral t fails far beyond certainty

    def power(seeds, margin: float):
        apart = beyond(abs(value), seeds)
        if abs(value) >= margin:
            return apart
        return np.maximum(apart, beyond(margin - abs(value), seeds) + beyond(margin + abs(value), seeds) - 1)

    return power


def _f_quantile(seeds, level: float):
    return special.fdtri(seeds - 1, seeds - 1, (1 + level) / 2)


def verdict(estimate: Estimate, expected: int, margin: float) -> str:
    """What the runs say of a claim: 'supported', 'not supported', 'inconclusive', or 'no runs'.

    expected: 1, -1 or 0, the claim is that the value is above zero, below it, or no further from it than `margin`, the
    smallest difference that matters. An interval within the margin is no difference, whatever side of zero it lies on:
    it supports a claim of none, and no other. Else an interval beyond zero is a difference: it supports a claim of one
    on that side, and no other. Any other interval is inconclusive, and so is a single run.
    """
    if not estimate.runs:
        return "no runs"
    low, high, margin = estimate.low, estimate.high, margin * estimate.unit
    if np.isnan(low) or np.isnan(high):
        return "inconclusive"
    if -margin <= low and high <= margin:
        return "not supported" if expected else "supported"
    if low <= 0 <= high:
        return "inconclusive"
    return "supported" if expected * low > 0 else "not supported"


def seeds_needed(estimate: Estimate, margin: float, most: int = 1000) -> int | None:
    """Seeds with which four studies in five get a verdict, if value and spread are what these runs say; None: > `most`.

    What a few runs say of their spread is itself uncertain, and so is this number.
    """
    if estimate.power is None:
        return None
    seeds = np.arange(2, most + 1)
    enough = seeds[estimate.power(seeds, margin * estimate.unit) >= POWER]
    return int(enough[0]) if len(enough) else None

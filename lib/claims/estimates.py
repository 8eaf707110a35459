"""A number that the runs give, its interval, and what it says of a claim: values of runs in, a verdict out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import stats

from lib.statistics import LEVEL


@dataclass(frozen=True)
class Estimate:
    """A number that the runs give and its 95 % interval: value ± half_width(runs)."""

    value: float
    runs: int
    half_width: Callable[[int], float]  # what it would be with another number of seeds and the same spread

    @property
    def low(self) -> float:
        return self.value - self.half_width(self.runs)

    @property
    def high(self) -> float:
        return self.value + self.half_width(self.runs)


def mean_of(values, step: float = 0.0) -> Estimate:
    """Mean of one number a seed, with Student's t interval: of paired differences, the paired test.

    step: distance of neighbouring values, where they are counts. A few equal counts have no spread but that of
    rounding to whole steps, step / √12, which is the least that is taken: else they would have no interval.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    deviation = max(values.std(ddof=1), step / np.sqrt(12)) if len(values) > 1 else np.nan
    value = values.mean() if len(values) else np.nan
    return Estimate(value, len(values), lambda n: t_quantile(n) * deviation / np.sqrt(n))


def log_ratio_of_spreads(ours, theirs) -> Estimate:
    """log of the ratio of two standard deviations over runs; rows are seeds, columns conditions, such as rounds.

    Variances are averaged over the conditions. The interval is that of the F distribution with one condition's degrees
    of freedom: exact if the conditions of a run say all the same, too wide if each says something of its own.
    """
    ours, theirs = (np.asarray(values, float).reshape(len(values), -1) for values in (ours, theirs))
    runs = min(len(ours), len(theirs))
    if runs < 2:
        return Estimate(np.nan, runs, lambda n: np.nan)
    variances = [values.var(axis=0, ddof=1).mean() for values in (ours, theirs)]
    value = 0.5 * np.log(variances[0] / variances[1]) if all(variances) else np.nan
    return Estimate(value, runs, lambda n: 0.5 * np.log(f_quantile(n)))


@cache
def t_quantile(runs: int) -> float:
    return stats.t.ppf((1 + LEVEL) / 2, runs - 1) if runs > 1 else np.nan


@cache
def f_quantile(runs: int) -> float:
    return stats.f.ppf((1 + LEVEL) / 2, runs - 1, runs - 1) if runs > 1 else np.nan


def verdict(estimate: Estimate, expected: int, margin: float) -> str:
    """What the runs say of a claim: 'supported', 'not supported', 'inconclusive', or 'no runs'.

    expected: 1, -1 or 0, the claim is that the value is above zero, below it, or no further from it than `margin`, the
    smallest difference that matters. Supported: the whole interval lies where the claim says. Not supported: it lies
    beyond zero on the other side or, whatever side, within the margin of zero; for a claim of no difference, it
    excludes zero. Anything else is inconclusive, and so is a single run.
    """
    if not estimate.runs:
        return "no runs"
    low, high = estimate.low, estimate.high
    if np.isnan(low) or np.isnan(high):
        return "inconclusive"
    negligible = -margin <= low and high <= margin
    if expected == 0:
        return "supported" if negligible else "not supported" if low > 0 or high < 0 else "inconclusive"
    low, high = sorted((expected * low, expected * high))
    return "supported" if low > 0 else "not supported" if high < 0 or negligible else "inconclusive"


def seeds_needed(estimate: Estimate, expected: int, margin: float, most: int = 1000) -> int | None:
    """Seeds that would end an inconclusive verdict if value and spread stayed the same; None: more than `most`.

    What a few runs say of their spread is itself uncertain, and so is this number.
    """
    decided = (n for n in range(2, most + 1) if verdict(replace(estimate, runs=n), expected, margin) != "inconclusive")
    return next(decided, None)

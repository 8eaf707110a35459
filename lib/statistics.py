"""Intervals, areas and paired differences over runs: data frame in, data frame out."""

import numpy as np
import pandas as pd
from scipy import stats
from seaborn.algorithms import bootstrap

from lib.protocol import StudyError, named, one_of

LEVEL = 0.95


def bootstrap_interval(values) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean: what seaborn draws. (nan, nan) for fewer than two values.

    With three runs 1 of 27 resamples is the lowest run three times: the interval is then the range of the runs.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    means = bootstrap(values, func="mean", n_boot=10_000, seed=0)
    return tuple(np.percentile(means, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]))


def t_interval(values) -> tuple[float, float]:
    """95 % interval of the mean by Student's t; of paired differences, it is the paired interval."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def summary(table: pd.DataFrame, value: str, by: list[str], interval=bootstrap_interval) -> pd.DataFrame:
    """Mean of `value` over runs for each group: columns by + runs, mean, low, high, width."""
    rows = []
    for group, values in table.groupby(by, sort=False)[value]:
        low, high = interval(values)
        rows.append({**dict(zip(by, group, strict=True)), "runs": len(values), "mean": values.mean()})
        rows[-1] |= {"low": low, "high": high, "width": high - low}
    return pd.DataFrame(rows)


def paired_difference(
    table: pd.DataFrame, value: str, of: str, minus, by: list[str], pair: str = "seed"
) -> pd.DataFrame:
    """Difference of `value` from the level `minus` of the column `of`, within each seed, with its t interval.

    Returns a row for each group of `by` and each other level of `of`: by + of, runs, mean, low, high, width.
    """
    if minus not in set(table[of]):
        raise StudyError(f"nothing to compare with: {of}={minus!r} is not among {one_of(table[of].unique())}; add it")
    wide = table.pivot_table(index=[*by, pair], columns=of, values=value, sort=False)
    differences = wide.drop(columns=minus).sub(wide[minus], axis=0)
    long = differences.melt(ignore_index=False, value_name="difference").reset_index().dropna()
    return summary(long, "difference", [*by, of], t_interval)


def area_under_curve(rounds: pd.DataFrame, by: list[str], value: str = "accuracy") -> pd.DataFrame:
    """Area under each learning curve by the trapezoid rule, divided by its range of |T|: a mean accuracy."""
    areas = []
    for group, curve in rounds.groupby(by, sort=False):
        curve = curve.sort_values("labelled")
        x, y = curve["labelled"].to_numpy(float), curve[value].to_numpy(float)
        area = np.trapezoid(y, x) / (x[-1] - x[0]) if len(x) > 1 else y[0]
        areas.append({**dict(zip(by, group, strict=True)), "area": area})
    return pd.DataFrame(areas)


def say_differences(differences: pd.DataFrame, of: str, quantity: str, minus: str) -> str:
    """One sentence from a table of paired differences: what each level of `of` changes, and how sure that is."""
    parts = [
        f"{named(row[of])} {_verb(row)} {quantity} on {named(row['task'])} by {_signed(row)}"
        for _, row in differences.iterrows()
    ]
    return f"Against {named(minus)}, {'; '.join(parts)}."


def _verb(row) -> str:
    if np.isnan(row["low"]):
        return "changes (in a single run, so with unknown certainty)"
    return "raises" if row["low"] > 0 else "lowers" if row["high"] < 0 else "does not distinguishably change"


def _signed(row) -> str:
    sure = "" if np.isnan(row["low"]) else f", 95 % interval {row['low']:+.3f} to {row['high']:+.3f}"
    return f"{row['mean']:+.3f} ({row['runs']} seed{'s' * (row['runs'] > 1)}{sure})"

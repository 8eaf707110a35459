"""Intervals, areas, paired differences and verdicts: data frame or values of runs in, numbers out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lib.fields import StudyError, one_of

LEVEL = 0.95


def bootstrap_interval(values) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean. (nan, nan) for fewer than two values.

    The resamples are those that seaborn draws with seed=0, here in one array instead of a loop. With three runs 1 of 27
    resamples is the lowest run three times: the interval is then the range of the runs.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    resamples = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    means = values[resamples].mean(axis=1)
    return tuple(np.percentile(means, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]))


def t_interval(values) -> tuple[float, float]:
    """95 % interval of the mean by Student's t; of paired differences, it is the paired interval."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def summary(table: pd.DataFrame, value: str, by: list[str], interval=bootstrap_interval) -> pd.DataFrame:
    """Mean of `value` over the runs that have one, for each group: columns by + runs, mean, low, high, width."""
    rows = []
    for group, values in table.groupby(by, sort=False)[value]:
        values = values.dropna()
        low, high = interval(values)
        rows.append({**dict(zip(by, group, strict=True)), "runs": len(values), "mean": values.mean()})
        rows[-1] |= {"low": low, "high": high, "width": high - low}
    return pd.DataFrame(rows, columns=[*by, "runs", "mean", "low", "high", "width"])


def paired_difference(
    table: pd.DataFrame, value: str, of: str, minus, by: list[str], pair: str = "seed"
) -> pd.DataFrame:
    """Difference of `value` from the level `minus` of the column `of`, within each seed, with its t interval.

    Returns a row for each group of `by` and each other level of `of`: by + of, runs, mean, low, high, width.
    """
    if minus not in set(table[of]):
        raise StudyError(f"nothing to compare with: {of}={minus!r} is not among {one_of(table[of].unique())}; add it")
    if set(table[of]) == {minus}:
        raise StudyError(f"nothing to compare: {of}={minus!r} is alone; add another")
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


def deviations(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Standard deviation of `value` over runs in each group, and its χ² interval: by + runs, deviation, low, high."""
    rows = []
    for group, values in table.groupby(by, sort=False)[value]:
        n, deviation = len(values), values.std(ddof=1)
        quantiles = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], n - 1) if n > 1 else np.array([np.nan, np.nan])
        low, high = deviation * np.sqrt((n - 1) / quantiles)
        rows.append({**dict(zip(by, group, strict=True)), "runs": n, "deviation": deviation, "low": low, "high": high})
    return pd.DataFrame(rows)


def gains(rounds: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Accuracy gained for each hundred rows, in the first tenth of the rows and in the rest.

    The tenth is the largest x that is at most a tenth of the largest x of all. Columns: by + from, to, gain.
    """
    rows = []
    for group, curve in rounds.groupby(by, sort=False):
        accuracy = curve.set_index("labelled")["accuracy"].sort_index()
        tenth = max(x for x in accuracy.index if x <= max(accuracy.index[-1] / 10, accuracy.index[0]))
        for x0, x1 in pairwise(sorted({accuracy.index[0], tenth, accuracy.index[-1]})):
            gain = 100 * (accuracy[x1] - accuracy[x0]) / (x1 - x0)
            rows.append({**dict(zip(by, group, strict=True)), "from": x0, "to": x1, "gain": gain})
    return pd.DataFrame(rows)


def relative_layer_differences(layers: pd.DataFrame) -> pd.DataFrame:
    """|Δθ| under BALD minus under random, in percent of random's, paired by seed: a row a layer, with its t interval.

    Layers that do not move under either strategy differ by 0.
    """
    keys = ["layer", "number", "part", "seed"]
    wide = layers.pivot_table(index=keys, columns="strategy", values="mean", sort=False, dropna=False)
    wide = wide.dropna(subset=["bald", "random"]).reset_index()
    difference = wide["bald"] - wide["random"]
    wide["percent"] = (100 * difference / wide["random"]).where(difference != 0, 0.0)
    table = summary(wide, "percent", ["layer"], t_interval)
    places = wide.drop_duplicates("layer")[["layer", "number", "part"]]
    return places.merge(table, on="layer")


def beside_paper(table: pd.DataFrame, number: int, layers: int = 0) -> pd.DataFrame:
    """Our table with the values of the paper's table `number` for the same task, strategy, size of T and F.

    `layers` are those of our encoder, if the table has a column `frozen`: the paper's F is the one that freezes about
    the same share of its own 12. Adds `half_width` to a table with intervals, and `paper`, `paper_half_width` where the
    paper has any of these runs.
    """
    theirs = paper(number).rename(columns={"value": "paper", "half_width": "paper_half_width"})
    ours = table.copy()
    if "width" in ours:
        ours["half_width"] = ours["width"] / 2
    if "frozen" in ours:
        ours["paper_frozen"] = [papers_frozen(frozen, layers) for frozen in ours["frozen"]]
        theirs = theirs.rename(columns={"frozen": "paper_frozen"})
    keys = [key for key in ("task", "strategy", "labelled", "paper_frozen") if key in ours and key in theirs]
    merged = ours.merge(theirs[[*keys, "paper", "paper_half_width"]], on=keys, how="left")
    unknown = [column for column in ("paper", "paper_half_width") if merged[column].isna().all()]
    if "paper" in unknown:
        unknown += [column for column in merged if column == "paper_frozen"]
    return merged.drop(columns=["low", "high", "width", *unknown], errors="ignore")


@cache
def paper(table: int) -> pd.DataFrame:
    """The values of Table 1, 2, 3 or 4 of the paper: page, task, strategy, frozen, labelled, value, half_width.

    Of Table 4 (class, queried) the scores as they are printed.
    """
    values = pd.read_csv(Path(__file__).with_name("paper.csv"))
    return values[values["table"] == table].drop(columns="table").reset_index(drop=True)


def papers_frozen(frozen: int, layers: int) -> int | None:
    """The F of the paper (12 layers) that freezes about the same share of `layers` layers; None: no such F."""
    quarters = {0: 0, 1: 3, 2: 6}.get(round(4 * abs(frozen) / layers))
    return None if quarters is None else int(np.sign(frozen)) * quarters


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


def mean_of(values) -> Estimate:
    """Mean of one number a seed, with Student's t interval: of paired differences, the paired test."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    deviation = values.std(ddof=1) if len(values) > 1 else np.nan
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

"""Intervals, areas and paired differences: data frame or values of runs in, numbers out."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.stats.weightstats import ttost_paired

from lib.data.tasks import display_name
from lib.errors import StudyError

LEVEL = 0.95  # of every interval: sentences and figures take it and its name from here
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
INTERVAL = f"{100 * LEVEL:g} % interval"
FEWEST = 3  # repetitions for an interval of their mean: two say next to nothing about how much repetitions differ


def bootstrap_interval(values) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean. (nan, nan) for fewer than FEWEST values.

    The resamples are those that seaborn draws with seed=0, here in one array instead of a loop. With three runs 1 of 27
    resamples is the lowest run three times: the interval is then the range of the runs.
    """
    values = np.asarray(values, float)
    if len(values) < FEWEST:
        return np.nan, np.nan
    resamples = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    means = values[resamples].mean(axis=1)
    return tuple(np.quantile(means, TAILS))


def t_interval(values, level: float = LEVEL, step: float = 0.0) -> tuple[float, float]:
    """Interval of the mean by Student's t; of paired differences, it is the paired interval. step: `deviation`."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.nan, np.nan
    mean, error = values.mean(), deviation(values, step) / np.sqrt(len(values))
    half = t_quantile((1 + level) / 2, len(values) - 1) * error
    return mean - half, mean + half


def t_quantile(level: float, degrees: int) -> float:
    """Of Student's t: scipy.stats.t.ppf without its checks, which take fifteen times as long as the quantile."""
    return special.stdtrit(degrees, level)


def equivalence(ours, theirs, margin: float) -> float:
    """p of two one-sided paired t tests that the mean difference is as large as the margin: small, it is smaller.

    At most 0.025 where the 95 % t interval lies within the margin.
    """
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    if not np.ptp(differences):
        return float(abs(differences[0]) >= margin)
    return float(ttost_paired(ours, theirs, -margin, margin)[0])


def deviation(values, step: float = 0.0) -> float:
    """Standard deviation over runs.

    step: distance of neighbouring values, where they are counts. A few equal counts have no spread but that of
    rounding to whole steps, step / √12, which is the least that is taken: else they would have no interval.
    """
    return max(np.std(values, ddof=1), step / np.sqrt(12))


def summary(table: pd.DataFrame, value: str, by: list[str], interval=bootstrap_interval) -> pd.DataFrame:
    """Mean of `value` over the runs that have one, for each group: columns by + runs, mean, low, high, width.

    A group of fewer than FEWEST runs has no interval: low, high and width are nan.
    """
    rows = []
    for group, values in table.groupby(by, sort=False)[value]:
        values = values.dropna()
        low, high = interval(values) if len(values) >= FEWEST else (np.nan, np.nan)
        rows.append({**dict(zip(by, group, strict=True)), "runs": len(values), "mean": values.mean()})
        rows[-1] |= {"low": low, "high": high, "width": high - low}
    return pd.DataFrame(rows, columns=[*by, "runs", "mean", "low", "high", "width"])


def mean_widths(intervals: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean over sizes of T of `width` in a table of `summary`, for each group: columns by + runs, mean.

    Empty where another group of the task has more runs: how wide an interval is depends on how many there are.
    """
    table = intervals.groupby(by, sort=False).agg(runs=("runs", "min"), mean=("width", "mean")).reset_index()
    most = table.groupby("task")["runs"].transform("max")
    return table.assign(mean=table["mean"].where(table["runs"] == most))


def of_shared_seeds(rounds: pd.DataFrame, of: str) -> pd.DataFrame:
    """The rounds without the seeds that a single level of the column `of` has, for each task that has several levels.

    Nothing can be compared with these, and means and widths over other seeds differ for that reason alone.
    """
    levels = rounds.groupby(["task", "seed"])[of].transform("nunique")
    return rounds[levels >= rounds.groupby("task")[of].transform("nunique").clip(upper=2)]


def mean_correlations(correlations: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean of one ρ a seed with its t interval, both by Fisher's z: columns by + runs, mean, low, high, width."""
    z = fisher_z(correlations["rho"], correlations["rows"])
    table = summary(correlations.assign(z=z), "z", by, t_interval)
    ends = ["mean", "low", "high"]
    table[ends] = np.tanh(table[ends].astype(float))
    return table.assign(width=table["high"] - table["low"])


def fisher_z(rho, rows):
    """arctanh ρ, whose spread does not depend on ρ, so that it may be averaged (Fisher 1915); of Spearman's ρ.

    A ρ of ±1 is taken half the smallest step of ρ nearer to zero, 6 / (n³ − n) with n rows: z is always finite.
    """
    rho, rows = np.asarray(rho, float), np.asarray(rows, float)
    most = 1 - 6 / (rows**3 - rows)
    return np.arctanh(np.clip(rho, -most, most))


def wide(table: pd.DataFrame, index: list[str], columns, values: str, **options) -> pd.DataFrame:
    """`values` with a row for each level of `index` and a column for each of `columns`, as pivot_table has them.

    Raises StudyError where two values would stand in one place: their mean, which pivot_table takes, is no run's.
    """
    one_value(table, [*index, *([columns] if isinstance(columns, str) else columns)], values)
    return table.pivot_table(index=index, columns=columns, values=values, **options)


def one_value(table: pd.DataFrame, keys: list[str], value: str) -> None:
    """Raises StudyError if two rows of the table have the same keys."""
    twice = table[table.duplicated(keys)]
    if len(twice):
        where = ", ".join(f"{key}={twice[key].iloc[0]}" for key in keys)
        raise StudyError(f"{value} is there twice for {where}: give runs that differ in one of {', '.join(keys)}")


def paired_difference(
    table: pd.DataFrame, value: str, of: str, minus, by: list[str], pair: str = "seed"
) -> pd.DataFrame:
    """Difference of `value` from the level `minus` of the column `of`, within each seed, with its t interval.

    Returns a row for each group of `by` and each other level of `of`: by + of, runs, mean, low, high, width. No row
    if there is nothing to compare, as where runs failed or are not published.
    """
    return summary(within_pairs(table, value, of, minus, by, pair), "difference", [*by, of], t_interval)


def within_pairs(table: pd.DataFrame, value: str, of: str, minus, by: list[str], pair: str = "seed") -> pd.DataFrame:
    """What `paired_difference` takes the mean of, a row a seed: columns by + pair, of, difference."""
    table = table.dropna(subset=value)
    if minus not in set(table[of]):
        return pd.DataFrame(columns=[*by, pair, of, "difference"])
    levels = wide(table, [*by, pair], of, value, sort=False)
    differences = levels.drop(columns=minus).sub(levels[minus], axis=0)
    return differences.melt(ignore_index=False, value_name="difference").reset_index().dropna()


def area_under_curve(rounds: pd.DataFrame, by: list[str], value: str = "accuracy") -> pd.DataFrame:
    """Area under each learning curve by the trapezoid rule, divided by its range of |T|: a mean accuracy."""
    one_value(rounds, [*by, "labelled"], value)
    areas = []
    for group, curve in rounds.groupby(by, sort=False):
        curve = curve.sort_values("labelled")
        x, y = curve["labelled"].to_numpy(float), curve[value].to_numpy(float)
        area = np.trapezoid(y, x) / (x[-1] - x[0]) if len(x) > 1 else y[0]
        areas.append({**dict(zip(by, group, strict=True)), "area": area})
    return pd.DataFrame(areas, columns=[*by, "area"])


def deviations(table: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Standard deviation of `value` over runs in each group, and its χ² interval: by + runs, deviation, low, high."""
    rows = []
    for group, values in table.groupby(by, sort=False)[value]:
        n, spread = len(values), values.std(ddof=1)
        quantiles = stats.chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], n - 1) if n > 1 else np.array([np.nan, np.nan])
        low, high = spread * np.sqrt((n - 1) / quantiles)
        rows.append({**dict(zip(by, group, strict=True)), "runs": n, "deviation": spread, "low": low, "high": high})
    return pd.DataFrame(rows, columns=[*by, "runs", "deviation", "low", "high"])


def gains(rounds: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Accuracy gained for each hundred rows, in the first tenth of the rows and in the rest.

    The tenth is the largest x that is at most a tenth of the largest x of all. Columns: by + from, to, gain.
    """
    one_value(rounds, [*by, "labelled"], "accuracy")
    rows = []
    for group, curve in rounds.groupby(by, sort=False):
        accuracy = curve.set_index("labelled")["accuracy"].sort_index()
        tenth = max(x for x in accuracy.index if x <= max(accuracy.index[-1] / 10, accuracy.index[0]))
        for x0, x1 in pairwise(sorted({accuracy.index[0], tenth, accuracy.index[-1]})):
            gain = 100 * (accuracy[x1] - accuracy[x0]) / (x1 - x0)
            rows.append({**dict(zip(by, group, strict=True)), "from": x0, "to": x1, "gain": gain})
    return pd.DataFrame(rows, columns=[*by, "from", "to", "gain"])


def relative_layer_differences(layers: pd.DataFrame) -> pd.DataFrame:
    """|Δθ| under BALD minus under random, in percent of random's, paired by seed: a row a layer, with its t interval.

    Layers that do not move under either strategy differ by 0.
    """
    keys = ["task", "layer", "number", "part", "seed"]
    moved = wide(layers, keys, "strategy", "mean", sort=False, dropna=False)
    moved = moved.dropna(subset=["bald", "random"]).reset_index()
    difference = moved["bald"] - moved["random"]
    moved["percent"] = (100 * difference / moved["random"]).where(difference != 0, 0.0)
    table = summary(moved, "percent", ["task", "layer"], t_interval)
    places = moved.drop_duplicates(["task", "layer"])[["task", "layer", "number", "part"]]
    return places.merge(table, on=["task", "layer"])


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
        ours["paper_frozen"] = pd.array([papers_frozen(frozen, layers) for frozen in ours["frozen"]], "Int64")
        theirs = theirs.rename(columns={"frozen": "paper_frozen"}).astype({"paper_frozen": "Int64"})
    keys = [key for key in ("task", "strategy", "labelled", "paper_frozen") if key in ours and key in theirs]
    merged = ours.merge(theirs[[*keys, "paper", "paper_half_width"]], on=keys, how="left")
    unknown = [column for column in ("paper", "paper_half_width") if merged[column].isna().all()]
    if "paper" in unknown:
        unknown += [column for column in merged if column == "paper_frozen"]
    elif "paper_frozen" in merged:
        merged["paper_frozen"] = merged["paper_frozen"].where(merged["paper"].notna())
    return merged.drop(columns=["low", "high", "width", *unknown], errors="ignore")


def paper(table: int) -> pd.DataFrame:
    """The values of Table 1, 2, 3 or 4 of the paper: page, task, strategy, frozen, labelled, value, half_width.

    Of Table 4 (class, queried) the scores as they are printed.
    """
    values = _papers_numbers()
    return values[values["table"] == table].drop(columns="table").reset_index(drop=True)


@cache
def _papers_numbers() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("paper.csv"))


def papers_table(table: int) -> pd.DataFrame:
    """Table 1, 2 or 3 of the paper as it is printed: a row for each F or size of T, a column for each task."""
    values = paper(table)
    values["text"] = values["value"].map("{:g}".format)
    known = values["half_width"].notna()
    values.loc[known, "text"] += " ± " + values["half_width"].map("{:g}".format)
    values["column"] = values["task"].map(display_name)
    if values["strategy"].nunique() > 1:
        values["column"] = values["strategy"].map(display_name) + ", " + values["column"]
    index = "frozen" if values["frozen"].nunique() > 1 else "labelled"
    order = values["column"].unique()
    printed = values.pivot(index=index, columns="column", values="text")[order]
    return printed.loc[values[index].unique()].rename_axis(columns=None).reset_index().astype({index: int})


def papers_frozen(frozen: int, layers: int) -> int | None:
    """The F of the paper (12 layers) that freezes about the same share of `layers` layers; None: no such F."""
    quarters = {0: 0, 1: 3, 2: 6}.get(round(4 * abs(frozen) / layers))
    return None if quarters is None else int(np.sign(frozen)) * quarters

"""Claims of section 5: classes of T, and word overlap of the rows that BALD scores."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.analysis import qualitative, statistics
from lib.analysis.claims.claim import FAIR, LESS, MORE, ROWS, SAME, STUDENT, Claim, difference, papers_difference
from lib.analysis.claims.estimates import Estimate, beyond_each, mean_of, shift_of
from lib.analysis.claims.evidence import Evidence, NoRuns

FISHER_Z = f"{STUDENT} of Fisher's z"
GAP = "largest − smallest class"


def skew(evidence: Evidence) -> Estimate:
    spread = qualitative.class_spread(evidence.counts)
    last = spread[spread["labelled"] == spread["labelled"].max()]
    hundreds = spread["labelled"].max() / 100
    return difference(last, "spread", "strategy", "bald", "random", step=1, unit=hundreds)


def growth_of_skew(evidence: Evidence) -> Estimate:
    """Against random's: the gap of a sample grows like √|T| even where no class is preferred."""
    slopes, step = slopes_of_skew(evidence)
    return difference(slopes, "slope", "strategy", "bald", "random", step=step)


def growth_of_random(evidence: Evidence) -> Estimate:
    """Against the gaps of rows that are drawn from U with a fair hand, in runs of the same sizes."""
    slopes, _ = slopes_of_skew(evidence)
    slopes = slopes.loc[slopes["strategy"] == "random", "slope"].dropna()
    if not len(slopes):
        raise NoRuns
    counts = evidence.counts[evidence.counts["strategy"] == "random"]
    run = counts[counts["seed"] == counts["seed"].iloc[0]]
    sizes = np.unique(run["labelled"])
    first = run[run["labelled"] == sizes[0]].set_index("class")["rows"]
    fair = qualitative.fair_spreads(first, evidence.pool.loc[first.index], sizes[1:])
    return shift_of(slopes, slope(sizes[1:], fair.T))


def slopes_of_skew(evidence: Evidence) -> tuple[pd.DataFrame, float]:
    """The slope of each run from the first acquisition on: strategy, seed, slope; and the step that rounding allows."""
    spread = qualitative.class_spread(evidence.counts)
    some = spread[spread["labelled"] > spread["labelled"].min()]
    runs = [
        {"strategy": strategy, "seed": seed, "slope": slope(run["labelled"], run["spread"])}
        for (strategy, seed), run in some.groupby(["strategy", "seed"], sort=False)
    ]
    step = 100 / max(1, np.ptp(some["labelled"])) if len(some) else 0.0
    return pd.DataFrame(runs, columns=["strategy", "seed", "slope"]), step


def slope(labelled, spread):
    """Rows for each hundred rows of T; of one run, or of several in columns."""
    return 100 * np.polyfit(labelled, spread, 1)[0] if len(labelled) > 1 else np.nan


def papers_slope(*strategies: str) -> Callable:
    """Of the first strategy, less that of the second if there is one."""

    def read(task: str) -> float | None:
        table = statistics.paper(3)
        table = table[table["task"] == task]
        runs = [table[table["strategy"] == strategy] for strategy in strategies]
        slopes = [slope(run["labelled"], run["value"]) for run in runs if len(run)]
        return slopes[0] - sum(slopes[1:]) if len(slopes) == len(strategies) else None

    return read


def papers_growth(task: str) -> float | None:
    """The paper's random, less the slope of a fair draw from two or three classes of equal size."""
    ours = papers_slope("random")(task)
    if ours is None:
        return None
    fair = qualitative.fair_draws_of_the_paper(task)
    return ours - slope(fair.columns, fair.to_numpy().T).mean()


def acquired(evidence: Evidence, share: float) -> pd.DataFrame:
    """Rows of T by class and seed that BALD has acquired after this share of the rounds."""
    counts = evidence.counts[evidence.counts["strategy"] == "bald"]
    wide = statistics.wide(counts, ["seed", "round"], "class", "rows")
    round_ = max(1, round(share * counts["round"].max()))
    return wide.xs(round_, level="round") - wide.xs(0, level="round")


def neutral_most(evidence: Evidence) -> Estimate:
    rows = acquired(evidence, 1.0)
    others = rows.columns.drop("neutral")
    return beyond_each(lambda level: [mean_of(rows["neutral"] - rows[other], 1, level) for other in others], MORE)


def contradiction_early(evidence: Evidence) -> Estimate:
    rows = acquired(evidence, 1 / 3)
    return mean_of(rows["contradiction"] - rows["entailment"], step=1)


def overlap_of(label: str) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        some = evidence.scored[evidence.scored["class"] == label]
        correlations = qualitative.rank_correlations(some, "overlap", "bald", ["seed"])
        return mean_of(statistics.fisher_z(correlations["rho"], correlations["rows"]))

    return measure


CLAIMS = (
    Claim(
        "BALD skews the classes",
        "section 5, Table 3, p. 9",
        skew,
        f"{GAP} at the last round, rows: BALD − random",
        MORE,
        ROWS,
        paper=papers_difference(lambda t: t(3, "bald", 0) - t(3, "random", 0)),
    ),
    Claim(
        "BALD's skew grows",
        "section 5, Table 3, p. 9",
        growth_of_skew,
        f"{GAP}, rows for each hundred rows acquired: BALD − random",
        MORE,
        ROWS,
        paper=papers_slope("bald", "random"),
    ),
    Claim(
        "random's skew stays",
        "section 5, Table 3, p. 9",
        growth_of_random,
        f"{GAP}, rows for each hundred rows acquired: random − a fair draw",
        SAME,
        ROWS,
        test=FAIR,
        paper=papers_growth,
    ),
    Claim(
        "neutral is queried most",
        "section 5, Figure 6, p. 8",
        neutral_most,
        "rows acquired by BALD: neutral − the most frequent other class",
        MORE,
        test=f"{STUDENT}, against each other class",
        labels=("neutral",),
    ),
    Claim(
        "contradiction is queried more than entailment early",
        "section 5, Figure 6, p. 8",
        contradiction_early,
        "rows acquired by BALD in the first third of the rounds: contradiction − entailment",
        MORE,
        labels=("contradiction", "entailment"),
    ),
    Claim(
        "entailments with much word overlap score low",
        "section 5, Table 4, p. 9",
        overlap_of("entailment"),
        "Spearman's ρ of word overlap and BALD, entailments",
        LESS,
        test=FISHER_Z,
        scale="correlation",
        labels=("entailment", "neutral"),
    ),
    Claim(
        "contradictions with much word overlap score high",
        "section 5, Table 4, p. 9",
        overlap_of("contradiction"),
        "Spearman's ρ of word overlap and BALD, contradictions",
        MORE,
        test=FISHER_Z,
        scale="correlation",
        labels=("contradiction",),
    ),
)

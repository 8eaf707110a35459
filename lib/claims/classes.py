"""Claims of section 5: classes of T, and word overlap of the rows that BALD scores."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lib import qualitative, statistics
from lib.claims.claim import LESS, MORE, ROWS, SAME, Claim, difference, papers_difference
from lib.claims.estimates import Estimate, mean_of
from lib.claims.evidence import Evidence


def skew(evidence: Evidence) -> Estimate:
    spread = qualitative.class_spread(evidence.counts)
    return difference(
        spread[spread["labelled"] == spread["labelled"].max()], "spread", "strategy", "bald", "random", step=1
    )


def growth_of_skew(strategy: str) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        spread = qualitative.class_spread(evidence.counts)
        some = spread[(spread["strategy"] == strategy) & (spread["labelled"] > spread["labelled"].min())]
        slopes = [slope(run["labelled"], run["spread"]) for _, run in some.groupby("seed")]
        return mean_of(slopes, step=100 / max(1, np.ptp(some["labelled"])) if len(some) else 0.0)

    return measure


def slope(labelled, spread) -> float:
    """Rows for each hundred rows of T."""
    return 100 * np.polyfit(labelled, spread, 1)[0] if len(labelled) > 1 else np.nan


def papers_slope(strategy: str) -> Callable:
    def read(task: str) -> float | None:
        table = statistics.paper(3)
        some = table[(table["task"] == task) & (table["strategy"] == strategy)]
        return slope(some["labelled"], some["value"]) if len(some) else None

    return read


def acquired(evidence: Evidence, share: float) -> pd.DataFrame:
    """Rows of T by class and seed that BALD has acquired after this share of the rounds."""
    counts = evidence.counts[evidence.counts["strategy"] == "bald"]
    wide = counts.pivot_table(index=["seed", "round"], columns="class", values="rows")
    round_ = max(1, round(share * counts["round"].max()))
    return wide.xs(round_, level="round") - wide.xs(0, level="round")


def neutral_most(evidence: Evidence) -> Estimate:
    rows = acquired(evidence, 1.0)
    return mean_of(rows["neutral"] - rows.drop(columns="neutral").max(axis=1), step=1)


def contradiction_early(evidence: Evidence) -> Estimate:
    rows = acquired(evidence, 1 / 3)
    return mean_of(rows["contradiction"] - rows["entailment"], step=1)


def overlap_of(label: str) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        some = evidence.scored[evidence.scored["class"] == label]
        return mean_of(qualitative.rank_correlations(some, "overlap", "bald", ["seed"])["rho"])

    return measure


CLAIMS = (
    Claim(
        "BALD skews the classes",
        "section 5, Table 3, p. 9",
        skew,
        "largest − smallest class at the last round, rows: BALD − random",
        MORE,
        ROWS,
        paper=papers_difference(lambda t: t(3, "bald", 0) - t(3, "random", 0)),
    ),
    Claim(
        "BALD's skew grows",
        "section 5, Table 3, p. 9",
        growth_of_skew("bald"),
        "largest − smallest class, rows for each hundred rows acquired",
        MORE,
        ROWS,
        paper=papers_slope("bald"),
    ),
    Claim(
        "random's skew stays",
        "section 5, Table 3, p. 9",
        growth_of_skew("random"),
        "largest − smallest class, rows for each hundred rows acquired",
        SAME,
        ROWS,
        paper=papers_slope("random"),
    ),
    Claim(
        "neutral is queried most",
        "section 5, Figure 6, p. 8",
        neutral_most,
        "rows acquired by BALD: neutral − the larger of the others",
        MORE,
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
        labels=("entailment", "neutral"),
    ),
    Claim(
        "contradictions with much word overlap score high",
        "section 5, Table 4, p. 9",
        overlap_of("contradiction"),
        "Spearman's ρ of word overlap and BALD, contradictions",
        MORE,
        labels=("contradiction",),
    ),
)

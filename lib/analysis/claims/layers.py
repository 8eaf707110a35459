"""Claims of section 4.3: which layers change, and what freezing some of them does."""

from collections.abc import Callable

import pandas as pd

from lib.analysis import statistics
from lib.analysis.claims.claim import (
    ACCURACY,
    FISHER,
    LESS,
    MORE,
    PERCENT,
    RATIO,
    SAME,
    Claim,
    difference,
    papers_difference,
)
from lib.analysis.claims.estimates import Estimate, beyond_each, log_ratio_of_spreads, mean_of
from lib.analysis.claims.evidence import Evidence, NoRuns


def layers_of(evidence: Evidence, chosen: Callable) -> Estimate:
    layers = evidence.layers
    some = layers[chosen(layers)]
    wide = statistics.wide(some, ["seed", "layer"], "strategy", "mean")
    if not {"bald", "random"} <= set(wide):
        raise NoRuns
    percent = 100 * (wide["bald"] / wide["random"] - 1)
    return mean_of(percent.groupby("seed").mean())


def later_half(layers: pd.DataFrame) -> pd.Series:
    encoder = layers["part"] == "encoder"
    return encoder & (layers["number"] >= (layers.loc[encoder, "number"].max() + 1) / 2)


def last(rounds: pd.DataFrame) -> pd.DataFrame:
    return rounds[rounds["round"] == rounds["round"].max()]


def of_share(evidence: Evidence, quarters: int) -> list[int]:
    """The F of the profile that freeze about so many quarters of the encoder, front first."""
    wanted = 3 * quarters
    found = [F for F in evidence.study.frozen if abs(statistics.papers_frozen(F, evidence.study.layers) or 0) == wanted]
    if not found:
        raise NoRuns
    return sorted(found, reverse=True)


def frozen_share(quarters: int) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        table = last(evidence.freezing)
        wide = statistics.wide(table, ["seed"], "frozen", "accuracy").reindex(
            columns=[0, *of_share(evidence, quarters)]
        )
        return mean_of(wide.drop(columns=0).mean(axis=1, skipna=False) - wide[0])

    return measure


def front_and_back(evidence: Evidence) -> Estimate:
    front, back = of_share(evidence, 1)
    return difference(last(evidence.freezing), "accuracy", "frozen", front, back)


def spread_of_last_quarter(evidence: Evidence) -> Estimate:
    back = min(of_share(evidence, 1))
    wide = statistics.wide(evidence.freezing, ["seed"], ["frozen", "labelled"], "accuracy").dropna()
    others = wide.columns.get_level_values("frozen").unique().drop(back, errors="ignore")
    if back not in wide or not len(others):
        raise NoRuns
    return beyond_each(lambda level: [log_ratio_of_spreads(wide[back], wide[F], level) for F in others], LESS)


def papers_freezing(quarters: int) -> Callable:
    F = 3 * quarters
    return papers_difference(lambda t: (t(1, "bald", F) + t(1, "bald", -F)) / 2 - t(1, "bald", 0))


def papers_widths(cell: Callable) -> float:
    return cell(2, "bald", -3) / min(cell(2, "bald", F) for F in (0, 3, 6, -6))


CLAIMS = (
    Claim(
        "later encoder layers change less under BALD",
        "section 4.3, Figure 4, p. 6",
        lambda evidence: layers_of(evidence, later_half),
        "|Δθ| of the later half of the encoder: BALD − random, %",
        LESS,
        PERCENT,
    ),
    Claim(
        "decoder layers change equally",
        "section 4.3, Figure 4, p. 6",
        lambda evidence: layers_of(evidence, lambda layers: layers["part"] == "decoder"),
        "|Δθ| of the decoder: BALD − random, %",
        SAME,
        PERCENT,
    ),
    Claim(
        "freezing a quarter of the layers beats freezing none",
        "section 4.3, Table 1, p. 7",
        frozen_share(1),
        "accuracy at the last round: mean of first and last quarter − F = 0",
        MORE,
        ACCURACY,
        accuracy=True,
        rests_on="frozen",
        paper=papers_freezing(1),
    ),
    Claim(
        "freezing half of the layers is worse than freezing none",
        "section 4.3, Table 1, p. 7",
        frozen_share(2),
        "accuracy at the last round: mean of first and last half − F = 0",
        LESS,
        ACCURACY,
        accuracy=True,
        rests_on="frozen",
        paper=papers_freezing(2),
    ),
    Claim(
        "freezing the last quarter has the narrowest intervals",
        "section 4.3, Table 2, p. 7",
        spread_of_last_quarter,
        f"{RATIO}: last quarter / the narrowest other F",
        LESS,
        test=f"{FISHER}, against each other F",
        scale="ratio",
        accuracy=True,
        rests_on="frozen",
        paper=papers_difference(papers_widths),
    ),
    Claim(
        "freezing front or back makes no difference",
        "section 4.3, Figure 5, p. 7",
        front_and_back,
        "accuracy at the last round: first quarter − last quarter",
        SAME,
        ACCURACY,
        accuracy=True,
        rests_on="frozen",
        paper=papers_difference(lambda t: t(1, "bald", 3) - t(1, "bald", -3)),
    ),
)

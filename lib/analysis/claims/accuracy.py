"""Claims of section 2 and of 4.1 and 4.2: the decoder, accuracy against the number of rows, BALD against random."""

import numpy as np
import pandas as pd

from lib.analysis import statistics
from lib.analysis.claims.claim import ACCURACY, FISHER, LESS, MORE, PERCENT, RATIO, SAME, Claim, difference
from lib.analysis.claims.estimates import Estimate, log_ratio_of_spreads, mean_of
from lib.analysis.claims.evidence import DECODERS, Evidence


def seeds_by_round(rounds: pd.DataFrame) -> pd.DataFrame:
    return statistics.wide(rounds, ["seed"], "labelled", "accuracy").dropna()


def early_gain(evidence: Evidence) -> Estimate:
    gains = statistics.gains(evidence.sizes, ["seed"])
    pieces = gains.groupby("seed")["gain"].agg(["first", "last", "size"])
    return mean_of((pieces["first"] - pieces["last"])[pieces["size"] == 2])


def spread_late(evidence: Evidence) -> Estimate:
    wide = seeds_by_round(evidence.sizes)
    half = wide.shape[1] // 2
    return log_ratio_of_spreads(wide.iloc[:, wide.shape[1] - half :], wide.iloc[:, :half])


def area_of_bald(evidence: Evidence) -> Estimate:
    areas = statistics.area_under_curve(evidence.rounds, ["strategy", "seed"])
    return difference(areas, "area", "strategy", "bald", "random")


def spread_of_bald(evidence: Evidence) -> Estimate:
    # the first round is the same for both strategies
    rounds = evidence.rounds[evidence.rounds["round"] > 0]
    bald, random = (seeds_by_round(rounds[rounds["strategy"] == strategy]) for strategy in ("bald", "random"))
    return log_ratio_of_spreads(bald, random)


CLAIMS = (
    Claim(
        "more data helps most early",
        "section 4.1, Figure 2, p. 5",
        early_gain,
        "rate of the accuracy for a hundred rows: first tenth − rest",
        MORE,
        accuracy=True,
        rests_on="data_sizes",
    ),
    Claim(
        "more data lowers the spread between runs",
        "section 4.1, Figure 2, p. 5",
        spread_late,
        f"{RATIO}: larger half of the sizes / smaller half",
        LESS,
        test=FISHER,
        scale="ratio",
        accuracy=True,
        rests_on="data_sizes",
    ),
    Claim(
        "BALD beats random over all sizes of T",
        "section 4.2, Figure 3, p. 6",
        area_of_bald,
        "area under the curve: BALD − random",
        MORE,
        ACCURACY,
        accuracy=True,
    ),
    Claim(
        "BALD's spread between runs is smaller",
        "section 4.2, Figure 3, p. 6",
        spread_of_bald,
        f"{RATIO}: BALD / random",
        LESS,
        test=FISHER,
        scale="ratio",
        accuracy=True,
    ),
)


def decoders(evidence: Evidence) -> Estimate:
    rounds = evidence.question("rounds", *DECODERS)
    areas = statistics.area_under_curve(rounds, ["setting", "seed"])
    return difference(areas, "area", "setting", "BALD", "linear decoder")


def time_saved(evidence: Evidence) -> Estimate:
    """log of the time of S whole passes over that of one pass of the encoder and S of the decoder."""
    bald = [p for p in evidence.main if p.strategy == "bald"]
    seconds = evidence.load("timings", bald).groupby("seed")[["encoding", "acquisition"]].sum()
    samples = bald[0].samples
    return mean_of(np.log((samples * seconds["encoding"] + seconds["acquisition"]) / seconds.sum(axis=1)))


def other_batching(evidence: Evidence) -> Estimate:
    rounds = evidence.rounds[evidence.rounds["examined"].map(bool)]
    return mean_of(100 * rounds["examined"].map(lambda examined: examined["encoder_difference"]))


MODEL = (
    Claim(
        "the CNN decoder is slightly better than the linear one",
        "section 2.1, footnote 1, p. 3",
        decoders,
        "area under the curve: CNN − linear",
        MORE,
        ACCURACY,
        accuracy=True,
        rests_on="decoders",
    ),
    Claim(
        "one encoder pass is enough: it saves time",
        "section 2.2, p. 4",
        time_saved,
        "ratio of times of scoring, from their measured parts: S × (encoder + decoder) / (encoder + S × decoder)",
        MORE,
        scale="ratio",
    ),
    Claim(
        "one encoder pass is enough: another one gives the same",
        "section 2.2, p. 4",
        other_batching,
        "difference of a row's features, encoded alone or among others, % of their standard deviation over rows",
        SAME,
        PERCENT,
    ),
)

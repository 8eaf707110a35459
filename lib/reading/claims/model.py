"""Claims of section 2: the decoder, and one pass of the encoder for all samples."""

import numpy as np

from lib.reading import statistics
from lib.reading.claims.claim import ACCURACY, MORE, PERCENT, SAME, Claim, difference
from lib.reading.claims.estimates import Estimate, mean_of
from lib.reading.claims.evidence import DECODERS, Evidence


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


CLAIMS = (
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
        "time of scoring, from its measured parts: S × (encoder + decoder) / (encoder + S × decoder)",
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

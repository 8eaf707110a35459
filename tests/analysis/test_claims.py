"""Verdicts follow the runs: every claim can be supported, not supported and inconclusive."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.stats.multitest

from lib.analysis import claims
from lib.analysis.claims.accuracy import spread_late, spread_of_bald
from lib.analysis.claims.claim import FISHER, LESS, MORE, SAME
from lib.analysis.claims.estimates import log_ratio_of_spreads, mean_of, verdict
from lib.analysis.claims.verdicts import CLAIMS
from lib.protocol import profile
from lib.runs.run import run

SPREADS = tuple(claim.measure for claim in CLAIMS if claim.test.startswith(FISHER))
STUDY = SimpleNamespace(frozen=(0, 3, -3, 6, -6), layers=12)
CLASSES = ("entailment", "neutral", "contradiction")


def rows(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


# made-up evidence in which the quantity of a claim is x in each seed


def sizes(x):
    curves = [rows(seed=s, labelled=[10, 100, 1000], accuracy=[0.2, 0.2 + 0.9 * v, 0.2 + 0.9 * v]) for s, v in x]
    return SimpleNamespace(sizes=pd.concat(curves))


def curves(x, column="strategy", names=("bald", "random")):
    pieces = [
        rows(**{column: name}, seed=s, round=[0, 1], labelled=[10, 110], accuracy=0.5 + (v if name == names[0] else 0))
        for s, v in x
        for name in names
    ]
    return pd.concat(pieces)


def layers(x, part):
    pieces = [
        rows(strategy=strategy, seed=s, layer=list("abcdef"), number=range(6), part=["encoder"] * 4 + ["decoder"] * 2)
        for s, _ in x
        for strategy in ("bald", "random")
    ]
    table = pd.concat(pieces, ignore_index=True)
    moved = (table["strategy"] == "bald") & table["number"].isin({"later": (2, 3), "decoder": (4, 5)}[part])
    table["mean"] = 1 + table["seed"].map(dict(x)) / 100 * moved
    return SimpleNamespace(layers=table)


def freezing(x, *moved):
    pieces = [
        rows(frozen=[F], seed=s, round=1, accuracy=0.5 + (v if F in moved else 0)) for s, v in x for F in STUDY.frozen
    ]
    return SimpleNamespace(study=STUDY, freezing=pd.concat(pieces))


def counts(x, grown: dict, growing="bald"):
    """Rows of each class; `grown`: class → round → rows more, in units of x."""
    pieces = []
    for seed, value in x:
        for strategy in ("bald", "random"):
            for round_ in range(4):
                for name in CLASSES:
                    more = 50 if name in grown and round_ else 0
                    more += grown.get(name, {}).get(round_, 0) * value if strategy == growing else 0
                    key = {"task": "mnli", "strategy": strategy, "seed": seed, "round": round_}
                    pieces.append(
                        key | {"labelled": 10 + 100 * round_, "class": name, "rows": 100 * (round_ > 0) + more}
                    )
    return SimpleNamespace(counts=pd.DataFrame(pieces))


def overlaps(x, label):
    n = np.arange(20.0)
    return SimpleNamespace(
        scored=pd.concat([rows(seed=s, **{"class": label}, overlap=n, bald=np.sign(v) * n) for s, v in x])
    )


def timings(x):
    table = pd.concat([rows(seed=[s], encoding=1.0, acquisition=(50 - np.exp(v)) / (np.exp(v) - 1)) for s, v in x])
    return SimpleNamespace(main=[SimpleNamespace(strategy="bald", samples=50)], load=lambda *_: table)


def settings(x):
    table = curves(x, "setting", ("BALD", "linear decoder"))
    return SimpleNamespace(question=lambda *_: table)


EVIDENCE = {
    "more data helps most early": sizes,
    "BALD beats random over all sizes of T": lambda x: SimpleNamespace(rounds=curves(x)),
    "later encoder layers change less under BALD": lambda x: layers(x, "later"),
    "decoder layers change equally": lambda x: layers(x, "decoder"),
    "freezing a quarter of the layers beats freezing none": lambda x: freezing(x, 3, -3),
    "freezing half of the layers is worse than freezing none": lambda x: freezing(x, 6, -6),
    "freezing front or back makes no difference": lambda x: freezing(x, 3),
    "BALD skews the classes": lambda x: counts(x, {"neutral": {3: 1}}),
    "BALD's skew grows": lambda x: counts(x, {"neutral": {1: 1, 2: 2, 3: 3}}),
    "neutral is queried most": lambda x: counts([(s, v - 50) for s, v in x], {"neutral": {3: 1}}),
    "contradiction is queried more than entailment early": lambda x: counts(
        [(s, v - 50) for s, v in x], {"contradiction": {1: 1}}
    ),
    "entailments with much word overlap score low": lambda x: overlaps(x, "entailment"),
    "contradictions with much word overlap score high": lambda x: overlaps(x, "contradiction"),
    "the CNN decoder is slightly better than the linear one": settings,
    "one encoder pass is enough: it saves time": timings,
    "one encoder pass is enough: another one gives the same": lambda x: SimpleNamespace(
        rounds=rows(seed=[s for s, _ in x], examined=[{"encoder_difference": v / 100} for _, v in x])
    ),
}


def judged(claim, values) -> tuple[str, float]:
    estimate = claim.measure(EVIDENCE[claim.text](list(enumerate(values))))
    return verdict(estimate, claim.expected, claim.margin), estimate.value


MEANS = [claim for claim in CLAIMS if claim.text in EVIDENCE]


@pytest.mark.parametrize("claim", MEANS, ids=lambda claim: claim.text)
def test_every_claim_can_get_every_verdict(claim):
    near = np.array([-0.01, 0.0, 0.01, 0.005, -0.005])
    unit = 5 * claim.margin or 4.0
    if claim.expected == SAME:
        cases = {
            "supported": claim.margin * near,
            "not supported": unit * (1 + near),
            "inconclusive": unit * (100 * near + 0.1),
        }
    else:
        cases = {"supported": claim.expected * unit * (1 + near), "not supported": -claim.expected * unit * (1 + near)}
        cases["inconclusive"] = unit * (100 * near + 0.1)
    for expected, values in cases.items():
        said, value = judged(claim, values)
        assert said == expected
        if "overlap" not in claim.text:  # there only the sign is made up
            assert value == pytest.approx(values.mean(), abs=1e-9)


@pytest.mark.parametrize("claim", MEANS, ids=lambda claim: claim.text)
def test_the_opposite_of_what_supports_a_claim_does_not(claim):
    if claim.expected == SAME:
        pytest.skip("the opposite of no difference is none")
    values = claim.expected * (5 * claim.margin or 4.0) * np.array([0.98, 1.0, 1.02])
    assert judged(claim, values)[0] == "supported"
    assert judged(claim, -values)[0] == "not supported"


def spread_evidence(claim, ours, theirs):
    """Accuracies of seeds × 2 conditions."""
    frames = {"ours": pd.DataFrame(ours), "theirs": pd.DataFrame(theirs)}
    long = {
        n: f.rename_axis("seed").melt(ignore_index=False, value_name="accuracy").reset_index()
        for n, f in frames.items()
    }
    ours, theirs = (f.rename(columns={"variable": "labelled"}) for f in long.values())
    if claim.measure is spread_late:
        return SimpleNamespace(sizes=pd.concat([theirs, ours.assign(labelled=ours["labelled"] + 2)]))
    if claim.measure is spread_of_bald:
        return SimpleNamespace(
            rounds=pd.concat([ours.assign(strategy="bald"), theirs.assign(strategy="random")]).assign(round=1)
        )
    return SimpleNamespace(study=STUDY, freezing=pd.concat([ours.assign(frozen=-3), theirs.assign(frozen=0)]))


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.measure in SPREADS], ids=lambda claim: claim.text)
def test_claims_about_spread_can_get_every_verdict(claim):
    rng = np.random.default_rng(0)
    narrow, wide = 0.01 * rng.normal(size=(20, 2)), 0.05 * rng.normal(size=(20, 2))
    said = [
        verdict(claim.measure(spread_evidence(claim, *pair)), claim.expected, claim.margin)
        for pair in ((narrow, wide), (wide, narrow), (wide[:3], wide[3:6]))
    ]
    assert said == ["supported", "not supported", "inconclusive"]


def test_no_run_and_one_run_decide_nothing():
    for expected in (MORE, LESS, SAME):
        assert verdict(mean_of([]), expected, 0.1) == "no runs"
        assert verdict(mean_of([3.0]), expected, 0.1) == "inconclusive"
        assert verdict(log_ratio_of_spreads([[1.0]], [[2.0]]), expected, 0.1) == "inconclusive"


def test_intervals_are_those_of_scipy():
    values = np.array([0.1, 0.4, 0.35, 0.2])
    interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean_of(values).low, mean_of(values).high) == pytest.approx((interval.low, interval.high))
    other = 3 * values
    estimate = log_ratio_of_spreads(values, other)
    quantiles = scipy.stats.f.ppf([0.025, 0.975], 3, 3)
    ratio = values.var(ddof=1) / other.var(ddof=1)
    assert np.exp(2 * np.array([estimate.low, estimate.high])) == pytest.approx(ratio / quantiles[::-1])


def test_the_ledger_is_made_from_the_store_and_says_what_is_missing(tiny_protocol, tmp_path):
    study = profile("minilm")
    tiny = tiny_protocol()
    common = {
        name: getattr(tiny, name)
        for name in ("query", "rounds", "pool", "validation_rows", "samples", "maps", "hidden")
    }
    common |= {"epochs": 1, "batch_size": 8, "max_length": 32, "precision": "float32"}
    asked = {"tasks": "mnli", "runs": 2, "encoder": tiny.encoder, "hub": tiny.hub, "rows": "first"}
    study = dataclasses.replace(study, common=common, layers=4, frozen=(0, 1, -1))
    nothing = claims.ledger(study, store=tmp_path, **asked)
    assert set(nothing["verdict"]) == {"no runs"}
    assert len(nothing) == len(CLAIMS)
    for protocol in study.grid(strategies="bald,random", **asked):
        run(protocol, tmp_path)
    ledger = claims.ledger(study, store=tmp_path, **asked).set_index("claim")
    assert ledger.loc["BALD beats random over all sizes of T", "seeds"] == 2
    assert ledger.loc["one encoder pass is enough: another one gives the same", "verdict"] == "supported"
    assert ledger.loc["random's skew stays", "seeds"] == 2
    p = ledger.loc[[claim.text for claim in CLAIMS if claim.accuracy], "p"].dropna()
    holm = statsmodels.stats.multitest.multipletests(p, method="holm")[1]
    assert ledger["p by Holm"].dropna().to_dict() == pytest.approx(dict(zip(p.index, holm, strict=True)))
    assert ledger.loc["freezing a quarter of the layers beats freezing none", "verdict"] == "no runs"
    assert ledger.loc["freezing a quarter of the layers beats freezing none", "paper"] == pytest.approx(-0.015)
    assert ledger.loc["BALD skews the classes", "paper"] == 25 - 9
    assert len(claims.runs_of(study, store=tmp_path, **asked)) == 4
    seconds = [sum(json.loads(file.read_text()).values()) for file in tmp_path.glob("*/round-*/timings.json")]
    open_ = ledger[ledger["core-hours"].notna()]
    assert len(open_)
    assert set(open_["verdict"]) == {"inconclusive"}
    expected = (open_["seeds needed"].astype(int) - 2) * sum(seconds) / 2 / 3600
    assert open_["core-hours"].to_numpy() == pytest.approx(expected.to_numpy())


def test_equal_counts_have_the_interval_of_rounding_to_whole_rows():
    rng = np.random.default_rng(0)
    rounding = np.round(rng.uniform(-1000, 1000, 10**6))
    spread = (rounding - rng.uniform(rounding - 0.5, rounding + 0.5)).std()
    equal = mean_of([4, 4, 4], step=1)
    assert equal.high - 4 == pytest.approx(scipy.stats.t.ppf(0.975, 2) * spread / np.sqrt(3), rel=0.01)
    assert verdict(equal, 0, 0.5) == "not supported"
    assert verdict(mean_of([1, 1, 1], step=1), 0, 0.5) == "not supported"
    assert verdict(mean_of([1, 1, 1], step=3), 0, 0.5) == "inconclusive"
    counts = [1, 5, 9]
    assert mean_of(counts, step=1).high == mean_of(counts).high

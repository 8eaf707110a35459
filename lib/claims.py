"""The ledger of claims: what the paper says, what the runs in the store say, and a verdict on each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib import qualitative, results, statistics
from lib.protocol import Profile, Protocol
from lib.statistics import Estimate, log_ratio_of_spreads, mean_of
from lib.tasks import Texts, read_texts

MORE, LESS, SAME = 1, -1, 0
ACCURACY = 0.01  # smallest differences that matter: of accuracy,
PERCENT = 5.0  # of |Δθ|, in percent,
ROWS = 1.0  # of rows of a class, for each hundred rows of T


class NoRuns(Exception):
    """The store does not have what a claim rests on."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and how the runs of one task measure it."""

    text: str
    place: str  # in the paper
    measure: Callable  # Evidence → Estimate
    quantity: str  # what is measured
    expected: int  # MORE, LESS or SAME as nothing
    margin: float = 0.0  # smallest difference that matters
    labels: tuple[str, ...] = ()  # classes that the task must have
    paper: Callable = lambda task: None  # the paper's own number for the quantity, where a table has it


@dataclass(frozen=True)
class Evidence:
    """The runs of one task that the store has, as the claims need them. Raises NoRuns for what it does not have."""

    study: Profile
    task: str
    runs: int
    store: Path
    changes: dict  # encoder and hub

    def load(self, table: str, protocols: list[Protocol]) -> pd.DataFrame:
        finished = [p for p in protocols if p.task == self.task and results.Run(p, self.store).done]
        loaded = results.load(table, finished, self.store)
        if not len(loaded):
            raise NoRuns
        return loaded

    def grid(self, **settings) -> list[Protocol]:
        return self.study.grid(tasks=(self.task,), runs=self.runs, **settings, **self.changes)

    @cached_property
    def texts(self) -> Texts:
        return read_texts(self.task, self.changes.get("hub") or "")

    @cached_property
    def sizes(self) -> pd.DataFrame:
        rows = {self.task: len(self.texts.train)}
        return self.load("rounds", self.study.data_sizes(rows, runs=self.runs, **self.changes))

    @cached_property
    def main(self) -> list[Protocol]:
        return self.grid(strategies="bald,random")

    @cached_property
    def rounds(self) -> pd.DataFrame:
        return self.load("rounds", self.main)

    @cached_property
    def freezing(self) -> pd.DataFrame:
        return self.load("rounds", self.grid(frozen=self.study.frozen))

    @cached_property
    def layers(self) -> pd.DataFrame:
        layers = self.load("layers", self.main)
        return layers[layers["round"] == layers["round"].max()].dropna(subset="number")

    @cached_property
    def counts(self) -> pd.DataFrame:
        return qualitative.class_counts(self.rounds, {self.task: self.texts.labels})

    @cached_property
    def scored(self) -> pd.DataFrame:
        finished = [p for p in self.main if p.strategy == "bald" and results.Run(p, self.store).done]
        if not finished:
            raise NoRuns
        return qualitative.scored_rows(finished, {self.task: self.texts}, 5, self.store).dropna(subset="overlap")

    def question(self, table: str, *names: str) -> pd.DataFrame:
        """Rounds of settings of notebook 06, with the setting's name."""
        settings = self.study.open_questions(tasks=(self.task,), runs=self.runs, **self.changes)
        return pd.concat([self.load(table, settings[name]).assign(setting=name) for name in names])


# ---- what is measured: Evidence → Estimate


def difference(table: pd.DataFrame, value: str, of: str, this, minus) -> Estimate:
    """Paired difference within each seed between two levels of a column."""
    wide = table.pivot_table(index="seed", columns=of, values=value)
    if this not in wide or minus not in wide:
        raise NoRuns
    return mean_of(wide[this] - wide[minus])


def last(rounds: pd.DataFrame) -> pd.DataFrame:
    return rounds[rounds["round"] == rounds["round"].max()]


def seeds_by_round(rounds: pd.DataFrame) -> pd.DataFrame:
    return rounds.pivot_table(index="seed", columns="labelled", values="accuracy").dropna()


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


def layers_of(evidence: Evidence, chosen: Callable) -> Estimate:
    layers = evidence.layers
    some = layers[chosen(layers)]
    wide = some.pivot_table(index=["seed", "layer"], columns="strategy", values="mean")
    if not {"bald", "random"} <= set(wide):
        raise NoRuns
    percent = 100 * (wide["bald"] / wide["random"] - 1)
    return mean_of(percent.groupby("seed").mean())


def later_half(layers: pd.DataFrame) -> pd.Series:
    encoder = layers["part"] == "encoder"
    return encoder & (layers["number"] >= (layers.loc[encoder, "number"].max() + 1) / 2)


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
        wide = table.pivot_table(index="seed", columns="frozen", values="accuracy").reindex(
            columns=[0, *of_share(evidence, quarters)]
        )
        return mean_of(wide.drop(columns=0).mean(axis=1, skipna=False) - wide[0])

    return measure


def front_and_back(evidence: Evidence) -> Estimate:
    front, back = of_share(evidence, 1)
    return difference(last(evidence.freezing), "accuracy", "frozen", front, back)


def spread_of_last_quarter(evidence: Evidence) -> Estimate:
    back = min(of_share(evidence, 1))
    wide = evidence.freezing.pivot_table(index="seed", columns=["frozen", "labelled"], values="accuracy").dropna()
    if back not in wide:
        raise NoRuns
    return log_ratio_of_spreads(wide[back], wide.drop(columns=back, level="frozen"))


def skew(evidence: Evidence) -> Estimate:
    spread = qualitative.class_spread(evidence.counts)
    return difference(spread[spread["labelled"] == spread["labelled"].max()], "spread", "strategy", "bald", "random")


def growth_of_skew(strategy: str) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        spread = qualitative.class_spread(evidence.counts)
        some = spread[(spread["strategy"] == strategy) & (spread["labelled"] > spread["labelled"].min())]
        return mean_of([slope(run["labelled"], run["spread"]) for _, run in some.groupby("seed")])

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
    return mean_of(rows["neutral"] - rows.drop(columns="neutral").max(axis=1))


def contradiction_early(evidence: Evidence) -> Estimate:
    rows = acquired(evidence, 1 / 3)
    return mean_of(rows["contradiction"] - rows["entailment"])


def overlap_of(label: str) -> Callable:
    def measure(evidence: Evidence) -> Estimate:
        some = evidence.scored[evidence.scored["class"] == label]
        return mean_of(qualitative.rank_correlations(some, "overlap", "bald", ["seed"])["rho"])

    return measure


def decoders(evidence: Evidence) -> Estimate:
    rounds = evidence.question("rounds", "BALD", "linear decoder")
    areas = statistics.area_under_curve(rounds, ["setting", "seed"])
    return difference(areas, "area", "setting", "BALD", "linear decoder")


def time_saved(evidence: Evidence) -> Estimate:
    """log of the time of S whole passes over that of one pass of the encoder and S of the decoder."""
    bald = [p for p in evidence.main if p.strategy == "bald"]
    seconds = evidence.load("timings", bald).groupby("seed")[["encoding", "acquisition"]].sum()
    samples = bald[0].samples
    return mean_of(np.log((samples * seconds["encoding"] + seconds["acquisition"]) / seconds.sum(axis=1)))


def repeated_pass(evidence: Evidence) -> Estimate:
    rounds = evidence.rounds[evidence.rounds["examined"].map(bool)]
    return mean_of(rounds["examined"].map(lambda examined: examined["encoder_difference"]))


def papers_difference(value: Callable) -> Callable:
    """From Tables 1 to 3, where they have the task: value(number of the table, strategy, F)."""

    def read(task: str) -> float | None:
        def cell(number: int, strategy: str, frozen: int) -> float:
            table = statistics.paper(number)
            keys = (table["task"] == task) & (table["strategy"] == strategy) & (table["frozen"] == frozen)
            return table.loc[keys, "value"].to_numpy()[-1]

        try:
            return value(cell)
        except IndexError:
            return None

    return read


def papers_freezing(quarters: int) -> Callable:
    F = 3 * quarters
    return papers_difference(lambda t: (t(1, "bald", F) + t(1, "bald", -F)) / 2 - t(1, "bald", 0))


def papers_widths(cell: Callable) -> float:
    others = [cell(2, "bald", F) ** 2 for F in (0, 3, 6, -6)]
    return cell(2, "bald", -3) / float(np.sqrt(np.mean(others)))


RATIO = "ratio of standard deviations over runs"

CLAIMS = (
    Claim(
        "more data helps most early",
        "section 4.1, Figure 2, p. 5",
        early_gain,
        "accuracy for each hundred rows: first tenth − rest",
        MORE,
    ),
    Claim(
        "more data lowers the spread between runs",
        "section 4.1, Figure 2, p. 5",
        spread_late,
        f"{RATIO}: larger half of the sizes / smaller half",
        LESS,
    ),
    Claim(
        "BALD beats random over all sizes of T",
        "section 4.2, Figure 3, p. 6",
        area_of_bald,
        "area under the curve: BALD − random",
        MORE,
        ACCURACY,
    ),
    Claim(
        "BALD's spread between runs is smaller",
        "section 4.2, Figure 3, p. 6",
        spread_of_bald,
        f"{RATIO}: BALD / random",
        LESS,
    ),
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
        paper=papers_freezing(1),
    ),
    Claim(
        "freezing half of the layers is worse than freezing none",
        "section 4.3, Table 1, p. 7",
        frozen_share(2),
        "accuracy at the last round: mean of first and last half − F = 0",
        LESS,
        ACCURACY,
        paper=papers_freezing(2),
    ),
    Claim(
        "freezing the last quarter has the narrowest intervals",
        "section 4.3, Table 2, p. 7",
        spread_of_last_quarter,
        f"{RATIO}: last quarter / all other F together",
        LESS,
        paper=papers_difference(papers_widths),
    ),
    Claim(
        "freezing front or back makes no difference",
        "section 4.3, Figure 5, p. 7",
        front_and_back,
        "accuracy at the last round: first quarter − last quarter",
        SAME,
        ACCURACY,
        paper=papers_difference(lambda t: t(1, "bald", 3) - t(1, "bald", -3)),
    ),
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
    Claim(
        "the CNN decoder is slightly better than the linear one",
        "section 2.1, footnote 1, p. 3",
        decoders,
        "area under the curve: CNN − linear",
        MORE,
        ACCURACY,
    ),
    Claim(
        "one encoder pass is enough: it saves time",
        "section 2.2, p. 4",
        time_saved,
        "time of scoring: S whole passes / one of the encoder and S of the decoder",
        MORE,
    ),
    Claim(
        "one encoder pass is enough: another one gives the same",
        "section 2.2, p. 4",
        repeated_pass,
        "largest difference between two encoder passes over the same rows",
        SAME,
        1e-6,
    ),
)
RATIOS = (spread_late, spread_of_bald, spread_of_last_quarter, time_saved)  # measured as logarithms, shown as ratios


def judge(claim: Claim, evidence: Evidence) -> dict:
    """One row of the ledger."""
    try:
        estimate = claim.measure(evidence)
    except NoRuns:
        estimate = mean_of([])
    verdict = statistics.verdict(estimate, claim.expected, claim.margin)
    shown = np.exp if claim.measure in RATIOS else float
    needed = ""
    if verdict == "inconclusive":
        known = not np.isnan(estimate.low)
        seeds = statistics.seeds_needed(estimate, claim.expected, claim.margin) if known else None
        needed = str(seeds) if seeds else "more than 1,000" if known else "unknown: one run, or none differ"
    return {
        "claim": claim.text,
        "in the paper": claim.place,
        "task": evidence.task,
        "measured": claim.quantity,
        "paper": claim.paper(evidence.task),
        "ours": float(shown(estimate.value)),
        "low": float(shown(estimate.low)) if estimate.runs else np.nan,
        "high": float(shown(estimate.high)) if estimate.runs else np.nan,
        "seeds": estimate.runs,
        "test": rule_of(claim),
        "verdict": verdict,
        "seeds needed": needed,
    }


def rule_of(claim: Claim) -> str:
    """What decides: the distribution of the interval, and what the interval is compared with."""
    spread = claim.measure in RATIOS and claim.measure is not time_saved
    null = 1 if claim.measure in RATIOS else 0
    side = {MORE: f"> {null}", LESS: f"< {null}", SAME: f"within ± {claim.margin:g}"}[claim.expected]
    return f"{'F of two variances' if spread else 'Student t over seeds'}: {side}"


def ledger(study: Profile, *, tasks="", runs=0, store="", **changes) -> pd.DataFrame:
    """A row a claim and task, from the runs that the store has; nothing is computed. changes: encoder, hub."""
    store = Path(store or results.STORE)
    rows = []
    for task in study.choose(tasks):
        evidence = Evidence(study, task, runs, store, changes)
        fitting = [claim for claim in CLAIMS if set(claim.labels) <= set(evidence.texts.labels)]
        rows += [judge(claim, evidence) for claim in fitting]
    return pd.DataFrame(rows).astype({"paper": float})


def runs_of(study: Profile, *, tasks="", runs=0, store="", **changes) -> list[str]:
    """Names of the runs in the store that the ledger may rest on."""
    store = Path(store or results.STORE)
    rows = {task: len(read_texts(task, changes.get("hub") or "").train) for task in study.choose(tasks)}
    protocols = study.grid(tasks=tasks, runs=runs, strategies="bald,random", **changes)
    protocols += study.grid(tasks=tasks, runs=runs, frozen=study.frozen, **changes)
    protocols += study.data_sizes(rows, runs=runs, **changes)
    for setting in study.open_questions(tasks=tasks, runs=runs, **changes).values():
        protocols += setting
    named = [results.Run(protocol, store) for protocol in dict.fromkeys(protocols)]
    return [run.name for run in named if run.done]

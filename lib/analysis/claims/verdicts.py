"""All claims, each with a verdict from the runs in the store: the ledger, a row a claim and task."""

from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from lib.analysis.claims import accuracy, classes, estimates, layers
from lib.analysis.claims.claim import LESS, MORE, SAME, SHOWN, Claim
from lib.analysis.claims.evidence import Evidence, NoRuns
from lib.data.tasks import readable_texts, training_rows
from lib.protocol import Profile
from lib.runs import results

CLAIMS = accuracy.CLAIMS + layers.CLAIMS + classes.CLAIMS + accuracy.MODEL


def judge(claim: Claim, evidence: Evidence) -> dict:
    """One row of the ledger."""
    try:
        estimate = claim.measure(evidence)
    except NoRuns:
        estimate = estimates.mean_of([])
    verdict = estimates.verdict(estimate, claim.expected, claim.margin)
    shown = SHOWN[claim.scale]
    return {
        "claim": claim.text,
        "in the paper": claim.place,
        "task": evidence.task,
        "measured": claim.quantity,
        "paper": claim.paper(evidence.task),
        "ours": float(shown(estimate.value)),
        "low": float(shown(estimate.low)),
        "high": float(shown(estimate.high)),
        "seeds": estimate.runs,
        "test": rule_of(claim, estimate),
        "p": estimate.p,
        "verdict": verdict,
        **(
            needed(claim, estimate, evidence)
            if verdict == "inconclusive"
            else {"seeds needed": "", "core-hours": np.nan}
        ),
    }


def needed(claim: Claim, estimate: estimates.Estimate, evidence: Evidence) -> dict:
    """With how many seeds there would be a verdict, and the core-hours of those that are not there yet."""
    if estimate.power is None:
        return {"seeds needed": "unknown: one run, or none differ", "core-hours": np.nan}
    seeds = estimates.seeds_needed(estimate, claim.margin)
    more = max(seeds - estimate.runs, 0) if seeds else np.nan
    return {
        "seeds needed": str(seeds or "more than 1,000"),
        "core-hours": more * evidence.hours_of_a_seed(claim.rests_on),
    }


def rule_of(claim: Claim, estimate: estimates.Estimate) -> str:
    """What decides: the distribution of the interval, and what the interval is compared with."""
    null, margin = int(claim.scale == "ratio"), f"within ± {claim.margin * estimate.unit:.3g}"
    side = {MORE: f"> {null}", LESS: f"< {null}", SAME: margin}[claim.expected]
    equal = f"; not if {margin}" if claim.margin and claim.expected != SAME else ""
    return f"{claim.test}: {side}{equal}"


def corrected(rows: list[dict]) -> list[float]:
    """p of each test of accuracies by Holm's correction over all of them; nan for other tests, and without a p."""
    of_accuracy = {claim.text for claim in CLAIMS if claim.accuracy}
    p = np.array([row["p"] if row["claim"] in of_accuracy else np.nan for row in rows])
    known = ~np.isnan(p)
    if known.any():
        p[known] = multipletests(p[known], method="holm")[1]
    return p.tolist()


def ledger(study: Profile, *, tasks="", runs=0, store="", **changes) -> pd.DataFrame:
    """A row a claim and task, from the runs that the store has; nothing is computed. changes: encoder, hub, rows."""
    store = Path(store or results.STORE)
    rows, texts = [], readable_texts(study.grid(tasks=tasks, runs=1, **changes))
    for task in study.choose(tasks):
        evidence = Evidence(study, task, runs, store, changes, texts.get(task))
        fitting = [claim for claim in CLAIMS if set(claim.labels) <= set(evidence.labels)]
        rows += [judge(claim, evidence) for claim in fitting]
    order = [claim.text for claim in CLAIMS]
    rows.sort(key=lambda row: order.index(row["claim"]))  # a claim's tasks below each other
    table = pd.DataFrame(rows).astype({"paper": float})
    table.insert(table.columns.get_loc("p") + 1, "p by Holm", corrected(rows))
    return table


def runs_of(study: Profile, *, tasks="", runs=0, store="", **changes) -> list[str]:
    """Names of the runs in the store that the ledger may rest on."""
    store = Path(store or results.STORE)
    protocols = study.grid(tasks=tasks, runs=runs, strategies="bald,random", **changes)
    rows = training_rows(protocols)
    protocols += study.grid(tasks=tasks, runs=runs, frozen=study.frozen, **changes)
    protocols += study.data_sizes(rows, runs=runs, **changes)
    for setting in study.open_questions(tasks=tasks, runs=runs, **changes).values():
        protocols += setting
    named = [results.Run(protocol, store) for protocol in dict.fromkeys(protocols)]
    return [run.name for run in named if run.done]

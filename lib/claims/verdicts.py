"""All claims, each with a verdict from the runs in the store: the ledger, a row a claim and task."""

from pathlib import Path

import numpy as np
import pandas as pd

from lib import results
from lib.claims import accuracy, classes, estimates, layers, model
from lib.claims.claim import LESS, MORE, SAME, Claim
from lib.claims.evidence import Evidence, NoRuns
from lib.protocol import Profile
from lib.tasks import TASKS, readable_texts, training_rows

CLAIMS = accuracy.CLAIMS + layers.CLAIMS + classes.CLAIMS + model.CLAIMS
# measured as logarithms, shown as ratios
RATIOS = (accuracy.spread_late, accuracy.spread_of_bald, layers.spread_of_last_quarter, model.time_saved)


def judge(claim: Claim, evidence: Evidence) -> dict:
    """One row of the ledger."""
    try:
        estimate = claim.measure(evidence)
    except NoRuns:
        estimate = estimates.mean_of([])
    verdict = estimates.verdict(estimate, claim.expected, claim.margin)
    shown = np.exp if claim.measure in RATIOS else float
    needed = ""
    if verdict == "inconclusive":
        known = not np.isnan(estimate.low)
        seeds = estimates.seeds_needed(estimate, claim.expected, claim.margin) if known else None
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
    spread = claim.measure in RATIOS and claim.measure is not model.time_saved
    null = 1 if claim.measure in RATIOS else 0
    side = {MORE: f"> {null}", LESS: f"< {null}", SAME: f"within ± {claim.margin:g}"}[claim.expected]
    equal = f"; not if within ± {claim.margin:g}" if claim.margin and claim.expected != SAME else ""
    return f"{'F of two variances' if spread else 'Student t over seeds'}: {side}{equal}"


def ledger(study: Profile, *, tasks="", runs=0, store="", **changes) -> pd.DataFrame:
    """A row a claim and task, from the runs that the store has; nothing is computed. changes: encoder, hub."""
    store = Path(store or results.STORE)
    rows, texts = [], readable_texts(study.choose(tasks), changes.get("hub") or "")
    for task in study.choose(tasks):
        evidence = Evidence(study, task, runs, store, changes, texts.get(task))
        fitting = [claim for claim in CLAIMS if set(claim.labels) <= set(TASKS[task].labels)]
        rows += [judge(claim, evidence) for claim in fitting]
    order = [claim.text for claim in CLAIMS]
    rows.sort(key=lambda row: order.index(row["claim"]))  # a claim's tasks below each other
    return pd.DataFrame(rows).astype({"paper": float})


def runs_of(study: Profile, *, tasks="", runs=0, store="", **changes) -> list[str]:
    """Names of the runs in the store that the ledger may rest on."""
    store = Path(store or results.STORE)
    rows = {task: training_rows(task, changes.get("hub") or "") for task in study.choose(tasks)}
    protocols = study.grid(tasks=tasks, runs=runs, strategies="bald,random", **changes)
    protocols += study.grid(tasks=tasks, runs=runs, frozen=study.frozen, **changes)
    protocols += study.data_sizes(rows, runs=runs, **changes)
    for setting in study.open_questions(tasks=tasks, runs=runs, **changes).values():
        protocols += setting
    named = [results.Run(protocol, store) for protocol in dict.fromkeys(protocols)]
    return [run.name for run in named if run.done]

"""What a strategy picks: classes of T over the rounds, scored texts, overlap of their words."""

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import statistics
from lib.data import study_rows
from lib.data.tasks import TASKS, Texts, labels_of
from lib.protocol import Protocol
from lib.runs import results


def class_counts(rounds: pd.DataFrame, labels: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """Long form of `class_counts`: a row for each round of each run and class, with `class` and `rows` (|T_c|)."""
    long = rounds.drop(columns="picked").explode("class_counts").rename(columns={"class_counts": "rows"})
    number = long.groupby(level=0).cumcount()
    long["class"] = [labels[task][c] for task, c in zip(long["task"], number, strict=True)]
    return long.astype({"rows": int}).reset_index(drop=True)


def lengths(rounds: pd.DataFrame) -> pd.DataFrame:
    """How long the picks are: a row a round that acquires, of each run. Columns of the round, and

    pool, picked: mean tokens of a row; longer: picked over pool, 1 without a preference; rho: Spearman's correlation
    of a row's score with its tokens, missing without scores.
    """
    acquiring = rounds[rounds["lengths"].map(bool).astype(bool)].reset_index(drop=True)
    parts = pd.DataFrame(acquiring["lengths"].tolist(), columns=["pool", "picked", "rho"])
    columns = [column for column in acquiring if column not in ("picked", "lengths")]
    return acquiring[columns].join(parts.assign(longer=parts["picked"] / parts["pool"]))


def class_spread(counts: pd.DataFrame) -> pd.DataFrame:
    """Rows of the largest class minus rows of the smallest (Table 3), for each round of each run."""
    keys = ["task", "strategy", "seed", "labelled"]
    statistics.one_value(counts, [*keys, "class"], "rows")
    groups = counts.groupby(keys, sort=False)["rows"]
    return (groups.max() - groups.min()).rename("spread").reset_index()


def fair_spreads(first_C, pool_C, labelled, draws: int = 10_000) -> np.ndarray:
    """What `class_spread` is where no class is preferred: draws × sizes, each draw a run that grows T at random.

    first_C: rows of each class in the first T. pool_C: in U, from which rows are drawn without replacement until there
    are as many as `labelled` says. The gap grows like √|T| without any cause.
    """
    rng = np.random.default_rng(0)
    first_C, pool_C = np.asarray(first_C), np.asarray(pool_C)
    left_DC, gaps = np.tile(pool_C, (draws, 1)), []
    for rows in np.diff(np.asarray(labelled, int), prepend=first_C.sum()):
        missing_D = np.full(draws, rows)
        for c in range(len(pool_C)):  # one class after the other: together, a multivariate hypergeometric draw
            taken_D = rng.hypergeometric(left_DC[:, c], left_DC[:, c + 1 :].sum(1), missing_D)
            left_DC[:, c] -= taken_D
            missing_D = missing_D - taken_D
        gaps.append(np.ptp(first_C + pool_C - left_DC, axis=1))
    return np.stack(gaps, axis=1)


def fair_draws_of_the_paper(task: str) -> pd.DataFrame:
    """Gaps of 10,000 fair draws at the sizes of Table 3, a column each: classes of equal size, of a large data set."""
    sizes = sorted(statistics.paper(3)["labelled"].astype(int).unique())
    classes = len(TASKS[task].labels)
    gaps = fair_spreads(np.zeros(classes, int), np.full(classes, 10**7), sizes)
    return pd.DataFrame(gaps, columns=sizes)


def papers_random_and_fair_draws() -> pd.DataFrame:
    """Table 3's random acquisition beside what a fair draw gives: task, labelled, paper, mean, low, high, as_even.

    low, high: the share LEVEL of the fair draws lies between. as_even: share of them whose gap, averaged over the
    sizes of T, is as small as the paper's; the same in all rows of a task.
    """
    theirs = statistics.paper(3)
    pieces = []
    for task, printed in theirs[theirs["strategy"] == "random"].groupby("task", sort=False):
        fair = fair_draws_of_the_paper(task)
        piece = pd.DataFrame({"task": task, "labelled": fair.columns})
        piece["paper"] = printed.set_index("labelled")["value"].reindex(fair.columns).to_numpy()
        piece["mean"] = fair.mean().to_numpy()
        piece["low"], piece["high"] = (fair.quantile(q).to_numpy() for q in statistics.TAILS)
        pieces.append(piece.assign(as_even=(fair.mean(axis=1) <= piece["paper"].mean()).mean()))
    return pd.concat(pieces, ignore_index=True)


def largest_class_changes(counts: pd.DataFrame) -> pd.DataFrame:
    """How often the class with the most rows of T is another one than a round before, for each run.

    A class that is tied for the lead keeps it, and a tie at the beginning has no leader yet: neither is a change.
    """
    rows = []
    for group, run in counts.groupby(["task", "strategy", "seed"], sort=False):
        wide = run.pivot(index="labelled", columns="class", values="rows").sort_index()
        leaders, changes = set(wide.columns), 0
        for _, sizes in wide.iterrows():
            now = set(sizes.index[sizes == sizes.max()])
            changes += leaders.isdisjoint(now)
            leaders = leaders & now or now
        rows.append(dict(zip(["task", "strategy", "seed"], group, strict=True)) | {"changes": changes})
    return pd.DataFrame(rows, columns=["task", "strategy", "seed", "changes"])


def rank_correlations(table: pd.DataFrame, x: str, y: str, by: list[str]) -> pd.DataFrame:
    """Spearman's ρ of x and y in each group: columns by + rows, rho; nan where either does not vary."""
    rows = []
    for group, some in table.groupby(by, sort=False):
        varies = len(some) > 2 and some[x].nunique() > 1 and some[y].nunique() > 1
        rho = stats.spearmanr(some[x], some[y]).statistic if varies else np.nan
        rows.append({**dict(zip(by, group, strict=True)), "rows": len(some), "rho": rho})
    return pd.DataFrame(rows, columns=[*by, "rows", "rho"])


SCORED = ["run", "task", "seed", "round", "row", "bald", "class", "predicted", "queried", "first", "second", "overlap"]


def scored_rows(protocols: list[Protocol], texts: dict[str, Texts], after: int, store="") -> pd.DataFrame:
    """The pool of each run that has scores, as scored after `after` acquisitions (or the last scored round before).

    Without the texts of a task, the study's rows have their class and overlap; runs of other rows are left out.

    A row for each run and pool row: task, seed, row, bald, class, predicted, queried (in the whole run), first,
    second (missing for single sentences, and both without texts), overlap.
    """
    store = store or results.STORE
    known = {p.task for p in protocols if p.task in texts or (p.rows == "study" and study_rows.facts(p.task))}
    scored = [p for p in protocols if p.strategy != "random" and p.rounds and p.task in known]
    pool = results.load("pool", scored, store)
    if pool.empty:
        return pd.DataFrame(columns=SCORED)
    pool = pool[pool["round"] == pool.groupby("run")["round"].transform(lambda rounds: min(after, rounds.max()))]
    picked = results.load("rounds", scored, store).groupby("run")["picked"].sum()
    labels = labels_of(scored)
    rows = pool.groupby("task", sort=False)["row"].unique()
    said = [_said_of(task, numbers, labels[task], texts.get(task)) for task, numbers in rows.items()]
    pool = pool.merge(pd.concat(said), on=["task", "row"])
    pool["predicted"] = [labels[task][c] for task, c in zip(pool["task"], pool["prediction"], strict=True)]
    taken = {(run, row) for run, picks in picked.items() for row in picks}
    pool["queried"] = [place in taken for place in zip(pool["run"], pool["row"], strict=True)]
    return pool.sort_values(["task", "class", "seed", "row"], ignore_index=True)


def _said_of(task: str, numbers: np.ndarray, names: tuple[str, ...], texts: Texts | None) -> pd.DataFrame:
    """task, row, class, first, second, overlap of training rows; without texts, of the study's."""
    rows = [texts.train[number] for number in numbers] if texts else []
    labels, overlap = study_rows.facts_of(rows) if texts else (fact_N[numbers] for fact_N in study_rows.facts(task))
    said = {"task": task, "row": numbers, "class": [names[label] for label in labels], "overlap": overlap}
    said["first"] = [row[0] for row in rows] or None
    said["second"] = [row[1] if len(row) == 3 else None for row in rows] or None
    return pd.DataFrame(said)


def extremes(scored: pd.DataFrame, examples: int) -> pd.DataFrame:
    """The `examples` lowest and highest BALD scores of each task and class: Table 4.

    Where texts are missing, the numbers of the rows and their overlap are shown.
    """
    pieces = []
    for _, some in scored.sort_values("bald", kind="stable").groupby(["task", "class"], sort=False):
        pieces += [some.head(examples), some.tail(examples)]
    table = pd.concat(pieces) if pieces else scored[:0]
    numbers = ["row", "overlap"] if table["first"].isna().any() else []
    shown = [name for name in ("first", "second", *numbers) if not (len(table) and table[name].isna().all())]
    columns = ["task", "queried", "bald", *shown, "class", "predicted"]
    return table[columns].drop_duplicates().sort_values(["task", "class", "bald"], kind="stable")

"""What is there of many runs, what is missing and why, and what it will cost: from the store alone."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lib.data.tasks import display_name
from lib.protocol import COMPUTING, IDENTITY, LOCATIONS, METHOD_VERSION, Protocol
from lib.runs import published
from lib.runs.costs import cost, plan, say_time
from lib.runs.files import read_json
from lib.runs.results import Run

NEAREST = 20  # stored runs that a missing one is compared with
TIMED = 30  # stored runs from which the seconds of a unit of cost are taken
OTHER = {"rows": "rows", "weights": "weights", "strategy_code": "code of the strategy"}
STATES = ("done", "partial", "failed", "missing")


@dataclass(frozen=True)
class Entry:
    """One run: its state, the reason in one line, and the seconds it will take (None: nothing to estimate from).

    rough: estimated from runs of other tasks or weights. title: the run's name, and what tells it from others.
    """

    run: Run
    state: str
    reason: str
    seconds: float | None
    rough: bool = False
    title: str = ""

    def __str__(self) -> str:
        expected = "" if self.state == "done" else f", {about(self.seconds, self.rough)}"
        return f"{self.state:8}{self.title or self.run.name}{expected}{f': {self.reason}' if self.reason else ''}"


def ledger(protocols: list[Protocol], store) -> list[Entry]:
    """An entry for every run of these protocols, the most expensive first."""
    stored = Stored(Path(store))
    runs = plan(protocols, store)
    titles = titled(runs)
    return [replace(entry(run, stored), title=titles[run.name]) for run in runs]


def entry(run: Run, stored: "Stored") -> Entry:
    """The state of a run: done, 'partial at round k', failed or missing."""
    state = run.state if run.name in stored.names else "missing"
    if state == "done":
        return Entry(run, state, "", 0.0)
    rounds = 0 if run.done else run.rounds_done  # a damaged run is computed again, whole
    if state == "failed":
        reason = f"round {run.failure['round']}: {run.failure['error']}"
    elif state == "partial":
        reason = f"at round {rounds} of {run.protocol.rounds}"
    else:
        reason = "begun, no round finished" if run.name in stored.names else stored.nearest(run)
    seconds, rough = stored.seconds(run)
    left = None if seconds is None else seconds * (1 - rounds / (run.protocol.rounds + 1))
    return Entry(run, state, reason, left, rough)


@dataclass(frozen=True)
class Stored:
    """All runs of a store and of published studies, as their own files describe them; unreadable ones are left out."""

    store: Path

    @cached_property
    def names(self) -> set[str]:
        live = {path.name for path in self.store.iterdir()} if self.store.is_dir() else set()
        return live | self.published.keys()

    @cached_property
    def published(self) -> dict[str, published.Study]:
        return {name: study for study in published.studies() for name in study.runs}

    @cached_property
    def live(self) -> dict[str, dict | None]:
        """Name → protocol.json of a folder in the store; None if it has none that can be read."""
        return {name: read_json(self.store / name / "protocol.json") for name in sorted(self.names)}

    @cached_property
    def runs(self) -> dict[str, dict]:
        """Name → protocol.json, or what the manifest has of it."""
        found = dict(self.live)
        for name, study in self.published.items():
            entry = study.runs[name]
            found[name] = found[name] or {**entry["identity"], "fields": entry["fields"]}
        return {name: said for name, said in found.items() if said and isinstance(said.get("protocol"), dict)}

    @cached_property
    def alike(self) -> dict[tuple, list[tuple[str, dict]]]:
        """Task, strategy, F and seed → some of the runs that share them, and all their decisions."""
        groups = defaultdict(list)
        for name, said in self.runs.items():
            group = groups[alike(said["protocol"])]
            if len(group) < NEAREST:
                group.append((name, decisions(said)))
        return groups

    def nearest(self, run: Run) -> str:
        """Why a run is not in the store: in what it differs from the most similar one that is."""
        ours = decisions(run.identity)
        differences = [
            (name, {field: (old, ours.get(field)) for field, old in theirs.items() if ours.get(field) != old})
            for name, theirs in self.alike[alike(run.identity["protocol"])]
        ]
        if not differences:
            return "no run of this task, strategy, F and seed is stored"
        name, fields = min(differences, key=lambda pair: len(pair[1]))
        told = [
            f"other {OTHER[field]}" if field in OTHER else f"{field} {old} → {new}"
            for field, (old, new) in sorted(fields.items())
        ]
        return f"differs from {name}: {', '.join(told)}"

    @cached_property
    def rates(self) -> dict[tuple, list[float]]:
        """Seconds of a unit of cost, as runs of a task with some weights took them; () for all runs."""
        rates = defaultdict(list)
        for name, said in self.runs.items():
            group = rates[said["protocol"].get("task"), said.get("weights")]
            if len(group) < TIMED:
                seconds = self.took(name)
                if not seconds:
                    continue
                try:
                    group.append(seconds / cost(Protocol(**said["fields"])))
                except (KeyError, TypeError, ValueError):
                    continue
                rates[()].append(group[-1])
        return rates

    def took(self, name: str) -> float:
        """Seconds that a finished run took; 0 if it is not finished or has not kept them."""
        if (self.store / name / "DONE").exists():
            timed = [read_json(file) or {} for file in (self.store / name).glob("round-*/timings.json")]
            return sum(sum(one.values()) for one in timed)
        study = self.published.get(name)
        return float(study.table("timings", name).drop(columns="round").sum(axis=None)) if study else 0.0

    def seconds(self, run: Run) -> tuple[float | None, bool]:
        """What the run will take, by runs of its task and weights; else, which is rough, by all that are stored."""
        identity = run.identity
        own = self.rates.get((identity["protocol"]["task"], identity["weights"]))
        rates = own or self.rates.get(())
        return (cost(run.protocol) * sum(rates) / len(rates) if rates else None), not own


def alike(protocol: dict) -> tuple:
    return tuple(protocol.get(field) for field in ("task", "strategy", "frozen", "seed"))


def older(store) -> str:
    """A line about runs of another version of the method; empty if there are none."""
    other = [said for said in Stored(Path(store)).live.values() if said and said.get("method") != METHOD_VERSION]
    if not other:
        return ""
    return f"{len(other)} runs in {store} are of another version (this one is {METHOD_VERSION}): they are left alone"


def decisions(identity: dict) -> dict:
    """Everything that a key is made of, flat."""
    return {
        **identity["protocol"],
        **{field: identity.get(field) for field in ("method", "rows", "weights", "strategy_code")},
    }


# ---- telling


def about(seconds: float | None, rough: bool) -> str:
    return "no estimate" if seconds is None else f"{'roughly' if rough else 'about'} {say_time(seconds)}"


def summary(entries: list[Entry]) -> str:
    """'12 runs: 8 done, 4 missing; about 3 min of computing left'"""
    counts = Counter(entry.state for entry in entries)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    left = missing(entries)
    return f"{len(entries)} runs{': ' if states else ''}{states}" + (f"; {what_is_left(left)}" if left else "")


def missing(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.state != "done"]


def what_is_left(entries: list[Entry]) -> str:
    """'about 3 min of computing left'"""
    if any(entry.seconds is None for entry in entries):
        return "no estimate of what is left"
    rough = any(entry.rough for entry in entries)
    why = " (by the times of other tasks or weights)" if rough else ""
    return f"{about(sum(entry.seconds for entry in entries), rough)} of computing left{why}"


def say_missing(entries: list[Entry]) -> str:
    """Which runs are not there, and what they would cost, in one line; empty if all are."""
    left = missing(entries)
    if not left:
        return ""
    tasks = Counter(display_name(entry.run.protocol.task) for entry in left)
    where = ", ".join(f"{task} {number}" for task, number in tasks.items())
    return f"{len(left)} of {len(entries)} runs are not there and left out ({where}): {what_is_left(left)}"


def titled(runs: list[Run]) -> dict[str, str]:
    """Name of each run → the name and what tells it from the others: the number of rows, or an unusual setting."""
    fields = [name for name in Protocol.__dataclass_fields__ if name not in (*IDENTITY, *LOCATIONS, *COMPUTING)]
    learning = [run.protocol for run in runs if run.protocol.rounds]
    usual = {name: Counter(getattr(one, name) for one in learning).most_common(1)[0][0] for name in fields if learning}
    titles = {}
    for run in runs:
        said = {name: getattr(run.protocol, name) for name in fields}
        settings = [f"{name} {value}" for name, value in said.items() if value != usual.get(name)]
        if not run.protocol.rounds:
            settings = [f"{run.protocol.start:,} rows"]
        titles[run.name] = f"{run.name}{' (' + ', '.join(settings) + ')' if settings else ''}"
    return titles

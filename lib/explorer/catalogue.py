"""Which finished runs the explorer can open: of the live store and of published studies, from what they say themselves.

Nothing of a run is read but its own description; its rows, its weights and its tables are when it is opened.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from lib.errors import StudyError
from lib.explorer.data import readable
from lib.protocol import IDENTITY, LOCATIONS, Protocol
from lib.runs import published, results
from lib.runs.files import read_json
from lib.runs.results import Run

Identity = tuple[str, str, int, int]  # task, strategy, F, seed


def identity(protocol: Protocol) -> Identity:
    return tuple(getattr(protocol, name) for name in IDENTITY)


@dataclass
class Catalogue:
    """Finished runs by task, strategy, F and seed; a store may have several of each, with other settings."""

    store: Path
    runs: dict[str, Protocol] = field(default_factory=dict)  # name → protocol

    def add(self, run: Run) -> None:
        self.runs[run.name] = run.protocol

    def identities(self, scoring: bool = True) -> list[Identity]:
        """Of the runs that have scores, or of all, in order."""
        return sorted({identity(p) for p in self.runs.values() if p.scores or not scoring})

    def best(self, wanted: Identity, like: Protocol) -> str:
        """Name of the run of this identity whose other settings are nearest to those of `like`; empty if none is."""
        decided = like.canonical()
        alike = defaultdict(list)
        for name, protocol in self.runs.items():
            if identity(protocol) == wanted:
                theirs = protocol.canonical()
                alike[sum(theirs.get(key) != value for key, value in decided.items())].append(name)
        return min(alike[min(alike)]) if alike else ""

    def nearest(self, wanted: Identity, kept: str) -> Identity:
        """Of the runs with scores, the identity that shares the field `kept` with the wanted one, and most others."""
        place = IDENTITY.index(kept)
        there = [one for one in self.identities() if one[place] == wanted[place]]
        return max(there, key=lambda one: [sum(map(_equal, one, wanted)), *map(_equal, one, wanted)])

    def run(self, name: str) -> Run:
        return Run(self.runs[name], self.store)


def _equal(one, other) -> bool:
    return one == other


def read(store="", hub: str = "", like: Run | None = None) -> Catalogue:
    """All finished runs of a store and of published studies that acquire rows.

    store: a folder; empty: results/. Rows and weights are looked for where `like` has them, if those are the same
    weights, else where each run says that they lay; hub, if it is given, is where rows lie.
    """
    store = Path(store or results.STORE)
    catalogue, usual = Catalogue(store), like.identity["weights"] if like else None
    for name, (said, fields, origin) in sorted(_described(store).items()):
        places = {place: value for place, value in origin.get("locations", {}).items() if place in LOCATIONS}
        if like and said.get("weights") == usual:
            places = {place: getattr(like.protocol, place) for place in LOCATIONS}
        if hub:
            places["hub"] = hub
        try:
            protocol = Protocol(**fields, **places)
        except (StudyError, TypeError):  # of another version
            continue
        if protocol.rounds:
            catalogue.runs[name] = protocol
    return catalogue


def _described(store: Path) -> dict[str, tuple[dict, dict, dict]]:
    """Name of each finished run → what its key is made of, its fields, and what computed it."""
    found = {}
    for study in published.studies():
        for name, entry in study.runs.items():
            found[name] = entry["identity"], entry["fields"], entry["provenance"]
    for done in store.glob("*/DONE"):
        said = read_json(done.with_name("protocol.json")) or {}
        if isinstance(said.get("fields"), dict):
            found[done.parent.name] = said, said["fields"], read_json(done.with_name("provenance.json")) or {}
    return found


def first(catalogue: Catalogue) -> tuple[Run, Run | None]:
    """A run with scores and, if it is there, random of its seed; one with texts, if there are any.

    Raises StudyError if there is no run with scores, or nothing is known of the rows of any.
    """
    identities = catalogue.identities()
    if not identities:
        raise StudyError(
            f"no finished run in {catalogue.store} or published has scores: compute one with ./run_all.sh, or give "
            "another store"
        )
    own = {identity(p) for name, p in catalogue.runs.items() if (catalogue.store / name / "DONE").exists()}
    hindrances, without = {}, None
    # what was computed here comes before what is published, whose rows may have to be asked for
    for wanted in sorted(identities, key=lambda one: (one not in own, one[1] != "bald", one[2] != 0, one[3])):
        task = wanted[0]
        if task in hindrances:
            continue
        run = catalogue.run(usual(catalogue, [name for name, p in catalogue.runs.items() if identity(p) == wanted]))
        try:
            _, hindrances[task] = readable(run.protocol)
        except StudyError as error:
            hindrances[task] = error
            continue
        if not hindrances[task]:
            return run, _random(catalogue, run)
        without = without or run
    if without:
        return without, _random(catalogue, without)
    raise next(iter(hindrances.values()))


def _random(catalogue: Catalogue, run: Run) -> Run | None:
    """Random of the same task and seed."""
    beside = catalogue.best((run.protocol.task, "random", 0, run.protocol.seed), run.protocol)
    return catalogue.run(beside) if beside else None


def usual(catalogue: Catalogue, names: list[str]) -> str:
    """Of these runs, the one whose settings most runs of the store have."""
    every = [protocol.canonical() for protocol in catalogue.runs.values()]

    def alike(name: str) -> int:
        mine = catalogue.runs[name].canonical()
        return sum(one[key] == value for one in every for key, value in mine.items())

    return max(names, key=alike)

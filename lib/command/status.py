"""What `status` and --dry-run say: the runs that the notebooks need, from the plan and the store alone."""

import time
from pathlib import Path

from lib.command.notebooks import Command
from lib.data.tasks import training_rows
from lib.errors import StudyError
from lib.protocol import digest, profile
from lib.runs.costs import plan as plan_runs
from lib.runs.ledger import ledger, older, summary
from lib.runs.results import STORE

WATCH = 2  # seconds between two looks at the store
UNPLANNED = "in no stage"


def asks_the_hub(command: Command) -> bool:
    """Whether rows or weights may have to be asked for on the Hub.

    Not where a folder is given, nor to say what is there of runs whose rows are listed in lib/data/subsets.
    """
    values = [values for _, values in command.jobs]
    if command.profile == "quick" or command.data or any(one.get("hub") for one in values):
        return False
    listed = command.profile == "minilm" and not any(one.get("encoder") or one.get("rows") == "first" for one in values)
    return not (listed and command.verb in ("status", "dry-run"))


def needed_runs(command: Command) -> list[tuple[Path, list, Path | str]]:
    """(notebook, protocols, store) for each that needs runs. Raises StudyError for a mistake in a parameter."""
    from lib.runs.plans import needed

    found = []
    for path, values in command.jobs:
        store = values.get("results") or STORE
        try:
            if protocols := needed(path.stem, values):
                plan_runs(protocols, store)  # finds the rows and the weights
                found.append((path, protocols, store))
        except ValueError as error:  # a StudyError
            raise StudyError(f"{path.stem}: {error}") from error
    return found


def show(command: Command) -> int:
    """Print what is there of each notebook's runs, and of the stages; in a dry run each run, once. Computes nothing."""
    needed = needed_runs(command)
    for line in filter(None, map(older, dict.fromkeys(store for _, _, store in needed))):
        print(line, flush=True)
    before = None
    while True:
        ledgers = {path.stem: ledger(protocols, store) for path, protocols, store in needed}
        lines = told(command, ledgers)
        if lines != before:
            print("\n".join(lines), flush=True)
        if not command.watch or all(entry.state == "done" for entry in distinct(ledgers)):
            return 0
        before = lines
        time.sleep(WATCH)


def told(command: Command, ledgers: dict[str, list]) -> list[str]:
    """The lines. ledgers: notebook → an entry for each of its runs."""
    every = distinct(ledgers)
    stages, listing = staged(command, every), command.verb == "dry-run"
    lines, listed = [], set()

    def tell(group: str, entries: list, listing: bool) -> None:
        lines.append(f"{group}: {summary(entries)}")
        new = [entry for entry in entries if entry.run.folder not in listed] if listing else []
        lines.extend(f"  {entry}" for entry in new)
        listed.update(entry.run.folder for entry in new)
        if listing and len(new) < len(entries):
            lines.append(f"  {len(entries) - len(new)} runs that stand above")

    for name, entries in ledgers.items():
        tell(name, list({entry.run.folder: entry for entry in entries}.values()), listing and not stages)
    for name, entries in stages.items():
        tell(name if name == UNPLANNED else f"stage {name}", entries, listing)
    return [*lines, f"all: {summary(every)}"]


def distinct(ledgers: dict[str, list]) -> list:
    """The entry of each run, once."""
    return list({entry.run.folder: entry for entries in ledgers.values() for entry in entries}.values())


def staged(command: Command, entries: list) -> dict[str, list]:
    """Stage of the profile's plan → its runs among these, in the plan's order; none if the profile has no plan."""
    stages, found = stage_numbers(command), {}
    if not stages:
        return {}
    for entry in entries:
        name, place = stages.get(digest(entry.run.protocol.canonical()), (UNPLANNED, len(stages)))
        found.setdefault(name, []).append((place, entry))
    ordered = sorted(found.items(), key=lambda group: min(place for place, _ in group[1]))
    return {name: [entry for _, entry in sorted(group, key=lambda one: one[0])] for name, group in ordered}


def stage_numbers(command: Command) -> dict[str, tuple[str, int]]:
    """Digest of a run's decisions → its stage, and its place in the plan of the profile."""
    study = profile(command.profile)
    if not study.plan:
        return {}
    given = {name: value for name, value in command.jobs[0][1].items() if name in ("hub", "rows", "encoder") and value}
    runs = study.stages(training_rows(study.grid(runs=1, **given)), **given)
    numbers = {}
    for name, protocols in runs.items():
        for protocol in protocols:
            numbers.setdefault(digest(protocol.canonical()), (name, len(numbers)))
    return numbers

"""--data FILE: a person's labelled file as a task and a profile of its own, whose sizes follow from its rows."""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lib.command.hub_data import HUB, exported
from lib.command.notebooks import Command
from lib.data import own
from lib.data.columns import Columns
from lib.data.files import FORMATS, PACKED, read_table
from lib.data.own_rows import NO_ROW_LEFT, OwnRows, read_rows
from lib.data.split import FEW, Split, apart, split
from lib.data.tasks import TASKS, UNLABELLED
from lib.data.values import as_text
from lib.errors import StudyError, counted, truncated
from lib.protocol import PROFILES, digest, read_profile
from lib.runs.files import write_json, write_text
from lib.runs.published import OWN_DATA
from lib.runs.results import STORE

FEWEST = 60  # labelled rows: with fewer, a batch or the validation part is too small to show anything
MOST_VALIDATION = 2000  # at most so many rows are evaluated
SEEDS = 3
FIRST = 3  # batches of notebook 06, with one seed: those after which it compares how strategies begin
LONGEST = 40  # characters of a name, which is part of the names of many folders
TO_LABEL = "; no labels yet? ./run_all.sh label FILE"
CAVEAT = "Your own data: what is true here need not be true of other data, and a few seeds leave wide intervals."


@contextmanager
def prepared(command: Command) -> Iterator[Command]:
    """The command with its data as a profile, whose path the notebooks get. Prints what was made of the file.

    A run keeps rows and profile in its results folder. What computes nothing has them for as long as it lasts, in a
    temporary folder. Raises StudyError, one line, for a file or columns that cannot be used.
    """
    store = Path(next((values["results"] for _, values in command.jobs if values.get("results")), STORE))
    with TemporaryDirectory() as scratch:
        try:
            ready = prepare(command, Path(scratch), store / OWN_DATA)
        except OSError as error:
            raise StudyError(
                f"{error.filename or store} cannot be written ({error.strerror}): make room there, or name another "
                "folder with --results FOLDER"
            ) from error
        yield ready


def prepare(command: Command, scratch: Path, place: Path) -> Command:
    """As `prepared`. scratch: a temporary folder; place: the folder of a run's data. Raises StudyError and OSError."""
    given, run = command.data, command.verb == "run"
    path, validation_path = Path(given["path"]), given["validation"]
    if given["path"].startswith(HUB):
        path, validation_path = exported(given["path"], given["hub"], scratch)
    columns, label = columns_of(path, given["text"], given["label"], given["group"])
    rows = labelled(path, columns, label)
    parts = divided(rows, columns, label, validation_path, given["group"])
    sizes = sizes_of(len(parts.train), **given["sizes"])
    profile = write(rows, parts, sizes, name_of(path), place if run else scratch)
    read_profile(profile).grid()  # says whether the sizes fit
    seeds = max((values.get("runs", 0) for _, values in command.jobs), default=0) or SEEDS
    for line in told(rows, label, parts, sizes, seeds):
        print(line, flush=True)
    if run:
        print(f"profile: {profile}", flush=True)
    jobs = [(notebook, values | {"profile": str(profile)}) for notebook, values in command.jobs]
    return dataclasses.replace(command, profile=str(profile), jobs=jobs)


# ---- the file


def columns_of(path: Path, text: str, label: str, group: str = "") -> tuple[tuple[str, ...], str]:
    """The text columns and the label column: as given, or those about which there is no doubt. Raises StudyError."""
    columns = Columns([*read_table(path)[0].values()], path)
    texts = tuple(columns.check(name, "--text") for name in text.split(",")) if text else ()
    if len(texts) > 2:
        raise StudyError(f"--text {text}: {len(texts)} columns: name the one of the text, or the two of a pair")
    other = (columns.check(group, "--group"),) if group else ()
    label = columns.check(label, "--label") if label else columns.label("--label", TO_LABEL, (*texts, *other))
    if label in other:
        raise StudyError(f"--group {group}: this is the column of the label: name another")
    return texts or columns.texts("--text", (label, *other)), label


def labelled(path: Path, columns: tuple[str, ...], label: str, labels=()) -> OwnRows:
    """The rows that have a label; `notes` counts the others. Raises StudyError if they are too few, or none."""
    rows = read_rows(path, *(*columns, "")[:2], labels=labels, label_column=label, contradicting="left out")
    kept = np.flatnonzero(rows.labels_N != UNLABELLED)
    fewest = 1 if labels else FEWEST
    if len(kept) < fewest:
        needs = "validation needs some" if labels else f"a comparison needs {FEWEST} or more{TO_LABEL}"
        raise StudyError(f"{path.name}: {counted(len(kept), 'row')} with a label in {label!r}: {needs}")
    notes = [note for note in rows.notes if not note.startswith(NO_ROW_LEFT)]  # here that is as it should be
    if without := len(rows) - len(kept):
        notes.append(f"left out, without a label: {counted(without, 'row')}")
    return dataclasses.replace(
        rows,
        texts=[rows.texts[n] for n in kept],
        numbers=[rows.numbers[n] for n in kept],
        labels_N=rows.labels_N[kept],
        answers_N=rows.answers_N[kept],
        others=[rows.others[n] for n in kept],
        notes=tuple(notes),
    )


def in_order(rows: OwnRows) -> list[tuple]:
    """Texts and the number of the class, by hash of the texts: an order that has nothing to do with the file's."""
    table = [(*texts, int(label)) for texts, label in zip(rows.texts, rows.labels_N, strict=True)]
    return sorted(table, key=lambda row: hashlib.sha256(json.dumps(row[:-1]).encode()).digest())


def divided(rows: OwnRows, columns: tuple[str, ...], label: str, validation_path, group: str) -> Split:
    """Training and validation rows: as the file is split here, or all of it and the rows of another file."""
    if not validation_path:
        if not group:
            return split(in_order(rows))
        held = [dict(zip(columns, texts, strict=True)) for texts in rows.texts]
        values = [as_text((more | texts).get(group)) for more, texts in zip(rows.others, held, strict=True)]
        value_of = dict(zip(rows.texts, values, strict=True))
        return split(in_order(rows), lambda row: value_of[row[:-1]], group)
    path = Path(validation_path)
    if group:
        raise StudyError(f"--group {group}: there is nothing to split, since {path.name} validates: leave it out")
    others = labelled(path, columns, label, rows.labels)
    parts = apart(in_order(rows), in_order(others))
    if not parts.train:
        raise StudyError(f"--validation {path}: it has all rows of {rows.path.name}: give it other rows")
    start = f"validation rows: those of {path.name} ({counted(others.in_file, 'row')})"
    return dataclasses.replace(parts, notes=(start, *(f"{path.name}: {note}" for note in others.notes), *parts.notes))


# ---- the profile


def sizes_of(rows: int, start: int = 10, query: int = 0, rounds: int = 0, pool: int = 20_000) -> dict[str, int]:
    """start, query, rounds and pool for so many training rows: labels for at most half of U, in nine batches or six.

    query, rounds: 0 for what follows from the rows. That they fit into the pool is for lib.protocol to say.
    """
    pool = min(rows, pool)
    budget = min(900, (pool - start) // 2)
    rounds = rounds or (9 if budget >= 90 else 6)
    if not query:
        query = max(1, budget // rounds)
        query -= query % 4 if query >= 20 else 0  # so that notebook 06 can halve it twice
    return {"start": start, "query": query, "rounds": rounds, "pool": pool}


def name_of(path: Path) -> str:
    """The file's name without its endings, as the name of the task."""
    stem = path.name
    for endings in (PACKED, tuple(FORMATS)):
        stem = stem[: -len(path.suffix)] if (path := Path(stem)).suffix.lower() in endings else stem
    name = re.sub(r"[^\w-]+", "-", stem).strip("-")[:LONGEST] or "data"
    return f"{name}-own" if name in (*TASKS, *PROFILES, "study", OWN_DATA) else name


def write(rows: OwnRows, parts: Split, sizes: dict, name: str, place: Path) -> Path:
    """The data set and its profile in a folder of the place. sizes: as `sizes_of` gives them. → the profile's path

    The folder's name, and so that of figures and executed notebooks, ends in a digest of the rows: other rows never
    take the place of those that a finished run was computed with.
    """
    about = {"name": name, "labels": list(rows.labels), "columns": list(rows.columns)}
    folder = place / f"{name}-{digest([about, parts.train, parts.validation])[:6]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file, those in ((own.TRAIN, parts.train), (own.VALIDATION, parts.validation)):
        write_text(folder / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in those))
    write_json(folder / own.ABOUT, about)
    last = sizes["start"] + sizes["query"] * sizes["rounds"]
    validated = min(len(parts.validation), MOST_VALIDATION)
    fields = {
        "name": name,
        "tasks": [name],
        "runs": SEEDS,
        "frozen": [0, 2, -2],
        "layers": PROFILES["minilm"].layers,
        "layer_task": name,
        "sizes": sorted({sizes["start"], last // 4, last // 2, last, len(parts.train)}),
        "common": {**sizes, "hub": str(folder), "rows": "first", "validation_rows": validated},
        "questions": {"tasks": [name], "runs": 1, "rounds": FIRST},
        "caveats": [CAVEAT, *(PROFILES["minilm"].caveats if len(rows.columns) > 1 else ())],
    }
    write_json(folder / "profile.json", fields)
    return folder / "profile.json"


def told(rows: OwnRows, label: str, parts: Split, sizes: dict, seeds: int) -> Iterator[str]:
    """What was made of the file, before anything is computed. The rows left out and those that are used add up."""
    classes = truncated([*map(repr, rows.labels)], 8)
    text = " and ".join(map(repr, rows.columns))
    yield (
        f"{rows.path.name}: {counted(rows.in_file, 'row')}, text in {text}, labels in {label!r}: {len(rows.labels)} "
        f"classes ({classes})"
    )
    yield from (*rows.notes, *parts.notes)
    validated, every = {row[-1] for row in parts.validation}, Counter(row[-1] for row in parts.train + parts.validation)
    if unseen := [name for c, name in enumerate(rows.labels) if c not in validated]:
        yield f"classes without a row to validate: {truncated([*map(repr, unseen)], 8)}"
    if rare := [f"{name!r} {every[c]}" for c, name in enumerate(rows.labels) if every[c] < FEW]:
        yield f"classes with fewer than {FEW} rows, too few to learn or to judge: {truncated(rare, 8)}"
    start, query, rounds = sizes["start"], sizes["query"], sizes["rounds"]
    yield (
        f"{len(parts.train):,} rows to train on, {len(parts.validation):,} to validate; from {start} labels, "
        f"{rounds} {'batch' if rounds == 1 else 'batches'} of {query}, to {start + query * rounds}; "
        f"{counted(seeds, 'seed')}"
    )

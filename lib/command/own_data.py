"""--data FILE: a person's labelled file as a task and a profile of its own, whose sizes follow from its rows."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lib.command.hub_data import exported
from lib.command.options import HUB, Command, UsageError
from lib.data import own
from lib.data.files import read_table
from lib.data.tasks import TASKS, UNLABELLED
from lib.data.values import as_text
from lib.fields import StudyError, first_of
from lib.labelling.own_rows import NO_ROW_LEFT, OwnRows, read_rows
from lib.protocol import PROFILES, read_profile
from lib.store.files import write_json
from lib.store.published import OWN_DATA
from lib.store.results import STORE

TEXTS = ("text", "sentence", "review", "message", "content", "comment", "tweet", "body", "question", "title")
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("question", "sentence"))
LABELS = ("label", "labels", "class", "category", "target", "gold", "sentiment", "intent", "topic")
FEWEST = 60  # labelled rows: with fewer, a batch or the validation part is too small to show anything
VALIDATION, MOST_VALIDATION = 5, 2000  # every fifth row, by hash, of each class; at most so many are evaluated
SEEDS = 3
FIRST = 3  # batches of notebook 06, with one seed: those after which it compares how strategies begin
CAVEAT = "Your own data: what is true here need not be true of other data, and a few seeds leave wide intervals."


def prepared(command: Command, store: Path = STORE) -> Command:
    """The command with its data as a profile, whose path the notebooks get. Prints what was made of the file.

    Raises UsageError, one line, for a file or columns that cannot be used.
    """
    given = command.data
    try:
        path, validation_path = Path(given["path"]), given["validation"]
        if given["path"].startswith(HUB):
            path, validation_path = exported(given["path"], given["hub"], store / OWN_DATA)
        columns, label = columns_of(path, given["text"], given["label"])
        rows = labelled(path, columns, label)
        (train, validation), notes = split(rows), []
        if validation_path:
            train = sum_of(train, validation)
            validation = in_order(labelled(Path(validation_path), columns, label, rows.labels))
            texts = {row[:-1] for row in validation}
            both, train = len(train), [row for row in train if row[:-1] not in texts]
            if not train:
                raise StudyError(f"--validation {validation_path}: it has all rows of {path.name}: give it other rows")
            notes.append(f"validation rows: those of {Path(validation_path).name}")
            notes += (
                [f"left out, since a validation row has their text: {gone} rows"] if (gone := both - len(train)) else []
            )
        sizes = sizes_of(len(train), **given["sizes"])
        profile = write(rows, train, validation, sizes, name_of(path), store / OWN_DATA)
        read_profile(profile).grid()  # says whether the sizes fit
    except StudyError as error:
        raise UsageError(error) from error
    seeds = max((values.get("runs", 0) for _, values in command.jobs), default=0) or SEEDS
    for line in told(rows, columns, label, train, validation, notes, sizes, seeds, profile):
        print(line, flush=True)
    jobs = [(notebook, values | {"profile": str(profile)}) for notebook, values in command.jobs]
    return dataclasses.replace(command, profile=str(profile), jobs=jobs)


# ---- the file


def columns_of(path: Path, text: str, label: str) -> tuple[tuple[str, ...], str]:
    """The text columns and the label column: as given, or those about which there is no doubt."""
    table = list(read_table(path)[0].values())
    names = list(dict.fromkeys(name for row in table for name in row))
    label = label or chosen(names, LABELS, "--label", lambda name: 1 < distinct(table, name) <= len(table) / 5)
    others = [name for name in names if name != label]
    if text:
        columns = tuple(name.strip() for name in text.split(","))
        if len(columns) > 2:
            raise StudyError(f"--text {text}: {len(columns)} columns: name the one of the text, or the two of a pair")
        return columns, label
    if pair := next((pair for pair in PAIRS if set(pair) <= set(others)), None):
        return pair, label
    return (chosen(others, TEXTS, "--text", lambda name: is_text(table, name)),), label


def chosen(names: list[str], usual: tuple[str, ...], option: str, fits) -> str:
    """The one name that is usual, else the one that fits. Raises StudyError if there are none or several."""
    for found in ([name for name in names if name.strip().lower() in usual], [name for name in names if fits(name)]):
        if len(found) == 1:
            return found[0]
        if found:
            break
    what = f"{', '.join(map(repr, found))} could each be meant" if found else "none looks like it"
    raise StudyError(f"of the columns {', '.join(map(repr, names))}, {what}: name one with {option}")


def distinct(table: list[dict], name: str) -> int:
    return len({as_text(row.get(name)) for row in table})


def is_text(table: list[dict], name: str) -> bool:
    """Whether a column differs in most rows, and not in its numbers alone."""
    numbers = all(as_text(row.get(name)).replace(".", "").isdecimal() for row in table)
    return not numbers and distinct(table, name) > len(table) / 2


def labelled(path: Path, columns: tuple[str, ...], label: str, labels=()) -> OwnRows:
    """The rows that have a label. Raises StudyError if they are too few, or none."""
    rows = read_rows(path, *(*columns, "")[:2], labels=labels, label_column=label, contradicting="left out")
    kept = np.flatnonzero(rows.labels_N != UNLABELLED)
    fewest = 1 if labels else FEWEST
    if len(kept) < fewest:
        needs = "validation needs some" if labels else f"a comparison needs {FEWEST} or more"
        raise StudyError(f"{path.name}: {len(kept)} rows have a label in {label!r}: {needs}")
    texts, labels_N = [rows.texts[n] for n in kept], rows.labels_N[kept]
    notes = tuple(note for note in rows.notes if not note.startswith(NO_ROW_LEFT))  # here that is as it should be
    return dataclasses.replace(rows, texts=texts, labels_N=labels_N, notes=notes)


def in_order(rows: OwnRows) -> list[tuple]:
    """Texts and the number of the class, by hash of the texts: an order that has nothing to do with the file's."""
    table = [(*texts, int(label)) for texts, label in zip(rows.texts, rows.labels_N, strict=True)]
    return sum_of(table, [])


def sum_of(one: list[tuple], other: list[tuple]) -> list[tuple]:
    return sorted(one + other, key=lambda row: hashlib.sha256(json.dumps(row[:-1]).encode()).digest())


def split(rows: OwnRows) -> tuple[list[tuple], list[tuple]]:
    """Training and validation rows: of each class every fifth, in the order of the hash, is for validation."""
    train, validation, seen = [], [], dict.fromkeys(range(len(rows.labels)), 0)
    for row in in_order(rows):
        seen[row[-1]] += 1
        (train if seen[row[-1]] % VALIDATION else validation).append(row)
    return train, validation


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
    """The file's name without its ending, as the name of the task, its figures and its executed notebooks."""
    name = re.sub(r"[^\w.-]+", "-", path.name.split(".")[0]) or "data"
    return f"{name}-own" if name in (*TASKS, *PROFILES, "study", OWN_DATA) else name


def write(rows: OwnRows, train: list[tuple], validation: list[tuple], sizes: dict, name: str, place: Path) -> Path:
    """The data set and its profile in a folder of the place. sizes: as `sizes_of` gives them. → the profile's path"""
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, those in ((own.TRAIN, train), (own.VALIDATION, validation)):
        (folder / file).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in those), "utf-8")
    write_json(folder / own.ABOUT, {"name": name, "labels": list(rows.labels), "columns": list(rows.columns)})
    last = sizes["start"] + sizes["query"] * sizes["rounds"]
    usual = {**sizes, "hub": str(folder), "rows": "first", "validation_rows": min(len(validation), MOST_VALIDATION)}
    fields = {
        "name": name,
        "tasks": [name],
        "runs": SEEDS,
        "frozen": [0, 2, -2],
        "layers": PROFILES["minilm"].layers,
        "layer_task": name,
        "sizes": sorted({sizes["start"], last // 4, last // 2, last, len(train)}),
        "common": usual,
        "questions": {"tasks": [name], "runs": 1, "rounds": FIRST},
        "caveats": [CAVEAT, *(PROFILES["minilm"].caveats if len(rows.columns) > 1 else ())],
    }
    write_json(folder / "profile.json", fields)
    own.read_about.cache_clear()
    return folder / "profile.json"


def told(
    rows: OwnRows, columns, label: str, train, validation, notes: list[str], sizes: dict, seeds: int, profile: Path
) -> Iterator[str]:
    """What was made of the file, before anything is computed."""
    classes = first_of([*map(repr, rows.labels)], 8)
    text = " and ".join(map(repr, columns))
    yield f"{rows.path.name}: text in {text}, labels in {label!r}: {len(rows.labels)} classes ({classes})"
    yield from (*rows.notes, *notes)
    validated = {row[-1] for row in validation}
    if unseen := [name for c, name in enumerate(rows.labels) if c not in validated]:
        yield f"classes without a row to validate: {first_of([*map(repr, unseen)], 8)}"
    start, query, rounds = sizes["start"], sizes["query"], sizes["rounds"]
    yield (
        f"{len(train):,} rows to train on, {len(validation):,} to validate; from {start} labels, {rounds} batches of "
        f"{query}, to {start + query * rounds}; {seeds} seeds (profile: {profile})"
    )

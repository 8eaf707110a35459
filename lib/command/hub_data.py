"""--data hub:ID[:CONFIG]: a data set of the Hub, or of a folder laid out like it, as files that --data takes."""

import json
import re
from pathlib import Path

from lib.data import sources
from lib.errors import StudyError, brief

HUB = "hub:"  # --data hub:ID[:CONFIG]
VALIDATION = ("validation", "dev", "valid", "test")  # what a split for validation is called, the best first


def exported(given: str, hub: str, place: Path) -> tuple[Path, Path | None]:
    """Write the rows of a data set as jsonl, with the names of its classes. → training and validation rows, if split.

    given: hub:ID or hub:ID:CONFIG. hub: a folder that has the data set as ID or as the last part of it; empty: the Hub.
    place: a folder for the files.
    Raises StudyError.
    """
    name, _, config = given.removeprefix(HUB).partition(":")
    splits = load(name, config, hub)
    train = "train" if "train" in splits else next(iter(splits))
    others = [split for kind in VALIDATION for split in splits if split.startswith(kind) and split != train]
    validation = next((split for split in others if has_labels(splits[split])), None)
    stem = re.sub(r"[^\w-]+", "-", "-".join(filter(None, (name.rpartition("/")[2], config))))
    paths = [place / f"{stem}.jsonl"]
    write(splits[train], paths[0])
    if validation:
        paths.append(place / f"{stem}-{validation}.jsonl")
        write(splits[validation], paths[1])
    return paths[0], paths[1] if validation else None


def load(name: str, config: str, hub: str):
    """A `datasets.DatasetDict`. Raises StudyError, one line."""
    path = name
    if hub:
        places = [Path(hub) / name, Path(hub) / name.rpartition("/")[2]]
        path = next((str(place) for place in places if name and place.is_dir()), "")
        if not path:
            raise StudyError(f"--data {HUB}{name}: {hub} has no folder {name!r}: give one, or leave out --hub")
    try:
        return sources.load_dataset(path, config or None, bool(hub))
    except Exception as error:
        hint = f"give an ID of the Hub, and a configuration if it has several: {HUB}ID:CONFIG"
        raise StudyError(f"--data {HUB}{name}: cannot be read ({brief(error)}): {hint}") from error


def class_labels(split) -> dict:
    """Columns that hold numbers of classes, and their names."""
    return {name: feature for name, feature in split.features.items() if hasattr(feature, "int2str")}


def has_labels(split) -> bool:
    """Whether a split says its classes: those that hide them, as tests of GLUE do, have −1."""
    return all(max(split[name], default=-1) >= 0 for name in class_labels(split))


def write(split, path: Path) -> None:
    """One row a line; a class by its name, and none as null."""
    classes = class_labels(split)
    with open(path, "w", encoding="utf-8") as file:
        for row in split:
            for column, names in classes.items():
                row[column] = None if row[column] in (None, -1) else names.int2str(row[column])
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

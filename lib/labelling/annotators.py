"""Several people label one file: each has a folder with a journal; how far they agree, and about which rows not.

Rows drawn at random are the same for everyone (see `Labelling.next_batch`), so that two people have rows in common
although each one's model asks for others.
"""

import re
from pathlib import Path

import pandas as pd

from lib.data.escaping import in_markdown
from lib.errors import StudyError
from lib.labelling.journal import Journal, Said, read_lines
from lib.labelling.state import Labelling, kappa

JOURNAL = "journal.jsonl"
NAMELESS = "no name"  # whose journal is in the folder above


def folder_of(folder: Path, annotator: str) -> Path:
    """The folder of a person in that of the file. Raises StudyError for a name that cannot be one."""
    if annotator and (not re.fullmatch(r"[\w .@-]+", annotator) or not annotator.strip(". ")):
        raise StudyError(f"annotator={annotator!r} is not allowed: give a name of letters, digits, blanks, . @ - and _")
    return folder / annotator.strip() if annotator else folder


def others(labelling: Labelling) -> dict[str, Said]:
    """Name → what the journal says, of each other person who labels the same texts with a journal beside this one.

    Raises StudyError as a Journal does.
    """
    mine = labelling.journal.path
    above = mine.parent.parent if labelling.annotator else mine.parent
    found, here = {}, list(labelling.rows.columns)
    for path in [above / JOURNAL, *sorted(above.glob(f"*/{JOURNAL}"))]:
        lines = read_lines(path.read_bytes())[0] if path.exists() and path != mine else []
        first = next((line for line in lines if "journal" in line), {})
        if first.get("columns") == here and not first.get("answers"):
            name = NAMELESS if path.parent == above else path.parent.name
            found[name] = Journal(path, {key: value for key, value in first.items() if key != "journal"}).said()
    return found


def in_common(labelling: Labelling, said: Said) -> pd.DataFrame:
    """Rows to which both gave a label: row (its number in the file), texts, this person's label, the other's, and what
    either noted of one that is ambiguous.
    """
    table, lines = [], labelling.said.lines
    for key, theirs in said.lines.items():
        mine, n = lines.get(key), labelling.row_of.get(key)
        if mine and n is not None and None not in (mine["label"], theirs["label"]):
            noted = [line["ambiguous"] or "yes" for line in (mine, theirs) if line.get("ambiguous") is not None]
            texts = dict(zip(labelling.rows.columns, labelling.rows.texts[n], strict=True))
            said_both = {"your label": mine["label"], "their label": theirs["label"], "ambiguous": "; ".join(noted)}
            table.append({"row": labelling.rows.numbers[n], **texts, **said_both})
    columns = ["row", *labelling.rows.columns, "your label", "their label", "ambiguous"]
    return pd.DataFrame(table, columns=columns).sort_values("row", ignore_index=True)


def disagreements(common: pd.DataFrame) -> pd.DataFrame:
    return common[common["your label"] != common["their label"]].reset_index(drop=True)


def say(name: str, common: pd.DataFrame) -> str:
    """How far two people agree, in one or two sentences of Markdown."""
    name = in_markdown(name)
    if not len(common):
        return f"You and {name} have no labelled row in common yet; rows drawn at random will be the same for both."
    equal, both = len(common) - len(disagreements(common)), pd.concat([common["your label"], common["their label"]])
    said = f"You and {name} labelled {len(common)} rows both, {equal} of them alike"
    if both.nunique() < 2:
        return f"{said}; all are '{in_markdown(both.iloc[0])}', so that κ cannot be told."
    agreed = kappa(common["your label"], common["their label"])
    return f"{said}: Cohen's κ is {agreed:.2f} (1: always alike; 0: as often as chance)."

"""A file that was changed after its rows were labelled: what it and the journal disagree about.

Labels follow a row's texts, wherever it stands. Answers about texts that are gone do not count, and nothing is guessed
unless a person says that the file was corrected.
"""

from difflib import SequenceMatcher

from lib.data.escaping import shortened, visible
from lib.data.tasks import UNLABELLED
from lib.errors import truncated
from lib.labelling.state import Labelling

ALIKE = 0.6  # share of two texts in common from which on one is a correction of the other
LOOKED_AT = 500  # first characters of texts that are compared, in time that grows with their square


def gone(labelling: Labelling) -> list[dict]:
    """Answers with a label about texts that are not in the file any more, oldest first."""
    lines = labelling.said.lines
    return [line for key, line in lines.items() if key not in labelling.row_of and line["label"] is not None]


def corrected(labelling: Labelling) -> list[tuple[dict, int]]:
    """Of these, those with a similar text without an answer at the same place in the file: (answer, row)."""
    at, answers = {number: n for n, number in enumerate(labelling.rows.numbers)}, labelling.said.lines
    places = [(line, at.get(line.get("number"))) for line in gone(labelling)]
    return [
        (line, n)
        for line, n in places
        if n is not None
        and labelling.rows.keys[n] not in answers
        and alike(line.get("texts", []), labelling.rows.texts[n])
    ]


def alike(one, other) -> bool:
    first, second = ("\n".join(texts).casefold() for texts in (one, other))
    return SequenceMatcher(None, first[:LOOKED_AT], second[:LOOKED_AT], autojunk=False).ratio() >= ALIKE


def contradicted(labelling: Labelling) -> list[tuple[dict, int]]:
    """Answers to which the file now gives another label, which it had not when they were given: (answer, row)."""
    found, rows = [], labelling.rows
    for key, line in labelling.said.lines.items():
        n = labelling.row_of.get(key)
        if n is not None and line["label"] is not None and rows.labels_N[n] != UNLABELLED:
            held = rows.labels[rows.labels_N[n]]
            if held not in (line["label"], line.get("file")):
                found.append((line, n))
    return found


def follow_file(labelling: Labelling) -> int:
    """Let the file hold where it was corrected: labels stay with texts that were corrected, and its labels count.

    One line in the journal, which one `undo` takes back. → how many answers were changed
    """
    lines = [{**labelling.answer(n, line["label"]), "instead_of": line["row"]} for line, n in corrected(labelling)] + [
        labelling.answer(n, labelling.rows.labels[labelling.rows.labels_N[n]]) for _, n in contradicted(labelling)
    ]
    if lines:
        labelling.journal.append(corrected=lines)
    return len(lines)


def say_changes(labelling: Labelling) -> list[str]:
    """A sentence for lines of the journal that are damaged, and for each kind of answers that do not fit the file."""
    name, rows, notes = labelling.rows.path.name, labelling.rows, list(filter(None, [labelling.journal.note]))
    if lost := gone(labelling):
        found = corrected(labelling)
        way = "bring these texts back to have the labels again"
        if found:
            examples = [
                f"row {rows.numbers[n]}: {brief(line['texts'])} is now {brief(rows.texts[n])}" for line, n in found
            ]
            way = (
                f"{len(found)} of them have a similar text in the same place ({truncated(examples, 2)}): set "
                "corrected=True to keep their labels, or bring the old texts back"
            )
        places = [f"{line['number']}" for line in lost if "number" in line]
        about = f" (rows {truncated(places)} when they were given)" if places else ""
        notes.append(
            f"{len(lost)} answers in the journal are about texts that are not in {name}{about} and do not count: {way}"
        )
    if differing := contradicted(labelling):
        told = [
            f"row {rows.numbers[n]}: {rows.labels[rows.labels_N[n]]!r} in the file, {line['label']!r} in the journal"
            for line, n in differing
        ]
        notes.append(
            f"{len(differing)} answers in the journal are not what {name} says ({truncated(told)}): the journal's "
            "count; set corrected=True to take the file's"
        )
    return notes


def brief(texts) -> str:
    return repr(visible(shortened(" / ".join(texts), 40)))

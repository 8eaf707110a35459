"""One class in several spellings, and several classes in one cell: what a column of labels may hold by mistake."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal

from lib.errors import truncated

# soft hyphen, zero width, byte order mark, direction, controls; joiners after Latin letters, where they join nothing
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
    "|(?<=[\x20-\u024f\u1e00-\u1eff])[\u200c\u200d]"
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
LISTED = "#;|,\n\t"  # signs that separate labels, also where a label never stands alone


def plain(label: str) -> str:
    """A label in one Unicode form (NFC), without what nobody sees; blanks of any kind and number are one blank."""
    seen = INVISIBLE.sub("", unicodedata.normalize("NFC", label))
    return " ".join(seen.strip("\u200c\u200d").split())


def as_number(label: str) -> Decimal | None:
    """The number that a label is, as 3, −1 or 0.5; None for any other label."""
    written = label.strip().replace("−", "-")
    return Decimal(written) if NUMBER.fullmatch(written) else None


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels by name, after those that are numbers by value."""
    numbers = {label: as_number(label) for label in labels}
    return sorted(numbers, key=lambda label: (numbers[label] is None, numbers[label] or 0, label))


def alike(label: str) -> str | Decimal:
    """The same for labels that are probably one class: written in other capitals or widths, or as 1, 1.0 and true."""
    folded = unicodedata.normalize("NFKC", plain(label)).lower()
    number = as_number({"true": "1", "false": "0"}.get(folded, folded))
    return folded if number is None else number


def one_spelling(counts: Counter, given: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Label → the spelling that stands for it, where that is another one; and notes about it.

    A whole number is one class however many zeros follow its point, if it is written in both ways. Labels that are
    `alike` one given class are this class.
    counts: label → rows. given: names of the classes, as `plain` leaves them; none: those that occur.
    """
    now, given = {}, list(given)
    by_given, by_number = defaultdict(list), defaultdict(list)
    for name in given:
        by_given[alike(name)].append(name)
    for label in counts:
        name = plain(label)
        near = by_given[alike(name)]
        now[label] = name if name in given or len(near) != 1 else near[0]
        by_number[re.sub(r"^(-?\d+)\.0*$", r"\1", name)].append(name)
    for names in by_number.values():
        shortest = min(names, key=len)
        now |= {label: shortest for label, name in now.items() if name in names and name not in given}
    changed = {label: name for label, name in now.items() if label != name}
    merged = [f"{visibly(label)} ({counts[label]} rows) as {name!r}" for label, name in changed.items()]
    return changed, [f"labels that are read as the same class: {truncated(merged)}"] if merged else []


def visibly(label: str) -> str:
    """A label in quotes; characters that are not ASCII and change nothing that is seen, by their numbers."""
    return repr(label) if label == plain(label) else ascii(label)


def say_alike(classes: Iterable[str]) -> list[str]:
    """A note that names the classes that are probably one, if there are such."""
    groups = defaultdict(list)
    for name in classes:
        groups[alike(name)].append(name)
    found = [" and ".join(map(repr, names)) for names in groups.values() if len(names) > 1]
    if not found:
        return []
    return [
        f"classes that may be one: {truncated(found, 5)}; if so, write them alike in the file, or name each class once "
        "in labels"
    ]


def parts_of(label: str, alone: set[str], elsewhere: Counter) -> list[str]:
    """The labels of a cell that holds several, whatever separates them; [] if it holds one.

    alone: labels that are known. elsewhere: part → labels that hold it between two of the signs LISTED.
    """
    if as_number(label) is not None:
        return []
    for sign in dict.fromkeys(sign for sign in label if not sign.isalnum()):
        parts = split(label, sign)
        listed = sign in LISTED
        if len(parts) > 1 and all(part in alone or (listed and elsewhere[part] > 1) for part in parts):
            return parts
    return []


def split(label: str, sign: str) -> list[str]:
    """The different parts between the signs, without brackets and quotes around them."""
    return list(dict.fromkeys(filter(None, (plain(part).strip(" []{}()'\"") for part in label.split(sign)))))


def say_several(counts: Counter, given: Iterable[str]) -> list[str]:
    """A note that names the labels that seem to be several in one cell, if there are such. counts: label → rows."""
    given = set(given)
    alone, elsewhere = {*map(plain, counts), *given}, Counter()
    for label in counts:
        elsewhere.update({part for sign in LISTED if sign in label for part in split(label, sign)})
    several = {label: parts_of(label, alone, elsewhere) for label in in_order(counts) if plain(label) not in given}
    several = {label: parts for label, parts in several.items() if parts}
    if not several:
        return []
    found = [f"{label!r} ({', '.join(parts)}; {counts[label]} rows)" for label, parts in several.items()]
    return [
        f"cells that seem to hold several labels: {truncated(found, 5)}; a row has one class, and each of these counts "
        "as a class of its own: give each row one label"
    ]

"""Which key of the keyboard stands for which class, and for which command of the frame."""

import re
import unicodedata

from lib.data.spelling import as_number

DIGITS, LETTERS = "1234567890", "acdefghijklmnopqrtvwxyz"  # in the order in which classes get them; s, u, b: commands
COMMANDS = {"skip": "s.:", "undo": "u,;", "ambiguous": "?!", "back": "b<>", "find": "/#"}  # the first that is free


def class_keys(labels) -> list[str]:
    """A key of one character for each class, "" for a class without a key.

    A digit stands for the class that is this number or has no other number in its name, "-" for the only negative
    number, a letter or another sign for the class of this name. The other classes have letters or, if no name holds a
    digit, 1, 2, … in their order. Digits stand for no class at all if there is a number that takes several keys to
    type, such as 10 or 0.5: its first digit would answer with another class.
    """
    own = [_own_key(label) for label in labels]
    own = [key if own.count(key) == 1 else "" for key in own]
    if any(as_number(label) is not None and not key for label, key in zip(labels, own, strict=True)):
        own = ["" if key in DIGITS + "-" else key for key in own]
    names = set(map(_plain, labels))
    digits = "" if any(map(str.isdecimal, "".join(names))) else DIGITS
    others = iter([key for key in digits + LETTERS if key not in {*own, *names}])
    return [key or next(others, "") for key in own]


def command_keys(classes: list[str]) -> dict[str, str]:
    """Key of each command, which no class has; "" if there is none. classes: the keys of the classes."""
    return {name: next((key for key in keys if key not in classes), "") for name, keys in COMMANDS.items()}


def _plain(label: str) -> str:
    return unicodedata.normalize("NFKC", label).lower()


def _own_key(label: str) -> str:
    """The key that a class's name asks for; "" if it asks for none."""
    name, number = _plain(label), as_number(label)
    if number is not None:
        return "-" if number < 0 else str(int(number)) if number in range(10) else ""
    if len(name) == 1 and name.isascii():
        return name
    held = re.findall(r"\d+", name)
    return str(int(held[0])) if len(held) == 1 and int(held[0]) < 10 else ""

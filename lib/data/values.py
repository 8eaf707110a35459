"""A value of a user's file as text, and whether it is missing."""

import json
import math
import re
from datetime import date, datetime, time
from decimal import Decimal

import pandas as pd

SURROGATES = re.compile("[\ud800-\udfff]")  # halves of a character, which no tokenizer and no file takes
# whole cells by which programs write that there is no value, in any case
MISSING = {
    *("", "nan", "-nan", "+nan", "nat", "null", "na", "n/a", "<na>", "#na", "#n/a n/a", "(null)", "<null>", r"\n"),
    *("undefined", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "[]", "{}", "()", "''", '""'),
    # errors of a spreadsheet, in English, German, French and Spanish
    *("#n/a", "#ref!", "#div/0!", "#value!", "#name?", "#num!", "#null!", "#spill!", "#calc!", "#field!", "#error!"),
    *("#nv", "#bezug!", "#wert!", "#zahl!", "#n/d", "#valeur!", "#nom?", "#nombre!", "#¡ref!", "#¡valor!", "#¿nombre?"),
}
UNSEEN = "\u200b\u2060\ufeff\u00ad"  # blanks without width


def is_missing(text: str) -> bool:
    """Whether a cell, as `as_text` gives it, stands for no value: "", "nan", "NULL", "#REF!" and their like.

    "None" is how Python writes it; "none" may well be a class or an answer.
    """
    text = text.strip().strip(UNSEEN)
    return text == "None" or text.casefold() in MISSING


def as_text(value) -> str:
    """A value as a person would write it, without blanks around it: no value as "", a list as JSON writes it."""
    if not isinstance(value, str):
        value = plain(value)
        value = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return SURROGATES.sub("\ufffd", value).strip()


def plain(value):
    """A value as one of JSON's kinds: dates, decimals, bytes and others as text, None, NaN and NaT as None."""
    match value:
        case str() | bool() | int() | None:
            return value
        case list() | tuple():
            return [plain(one) for one in value]
        case dict():
            return {str(name): plain(one) for name, one in value.items()}
        case bytes():
            return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):  # of numpy
        return plain(value.tolist())
    if pd.isna(value):
        return None
    match value:
        case float():
            return value if abs(value) < math.inf else str(value)
        case Decimal():
            written = f"{value:f}"
            return written.rstrip("0").rstrip(".") if "." in written else written
        case datetime():
            return value.isoformat(" ").removesuffix(" 00:00:00")
        case date() | time():
            return value.isoformat()
    return str(value)

"""A csv or jsonl file as rows of named texts. "" names no column, so that it can stand for one that is not given."""

import csv
import io
import json
import re
from pathlib import Path

from lib.fields import StudyError, one_of

SURROGATES = re.compile("[\ud800-\udfff]")  # halves of a character, which no tokenizer and no file takes

LONGEST = 2**31 - 1  # characters of a field; a text is cut at max_length tokens later
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_table(path: Path) -> dict[int, dict]:
    """Number → {column: value} of each row, as the file has it: texts in a csv, what JSON has in a jsonl.

    The first row is 1. Raises StudyError.
    """
    readers = {".csv": read_csv, ".jsonl": read_jsonl}
    if path.suffix.lower() not in readers:
        raise StudyError(f"{path}: its name must end in {one_of(readers)}: give such a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror or error}): give the path of a file") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise StudyError(
            f"{path}: byte {content[error.start]:#04x} in line {line} is not UTF-8: save it as UTF-8"
        ) from error
    rows = readers[path.suffix.lower()](text, path)
    if not rows:
        raise StudyError(f"{path} has no rows: give a file with a header and rows, or with a JSON object a line")
    return dict(enumerate(rows, 1))


def column_names(header, path: Path) -> list[str]:
    """Names without blanks around them; a column without a name, as pandas writes its index, is known by its place.

    Raises StudyError if two are the same.
    """
    found = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
    if len(set(found)) < len(found):
        raise StudyError(f"{path}: two columns have the same name: rename one of {', '.join(map(repr, found))}")
    return found


def read_csv(text: str, path: Path) -> list[dict[str, str]]:
    (_, first), *lines = records(text, path) or [(0, [])]
    header = column_names(first, path)
    for number, fields in lines:
        if fields and len(fields) != len(header):
            hint = other_separator(header) or 'write texts with commas or line breaks in double quotes (")'
            raise StudyError(f"{path}, line {number}: {len(fields)} fields, but the header has {len(header)}: {hint}")
    return [dict(zip(header, fields, strict=True)) for _, fields in lines if fields]


def records(text: str, path: Path) -> list[tuple[int, list[str]]]:
    """(line of the file, fields) of each record, however long. Blanks may stand before a quote."""
    limit = csv.field_size_limit(LONGEST)
    try:
        for blanks in (True, False):  # no quote opens after blanks in a text like  5, "six" and seven
            lines = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=blanks)
            try:
                return [(lines.line_num, fields) for fields in lines]
            except csv.Error as error:
                said = f"{path}, line {lines.line_num}: {error}: mend the line, or give a .jsonl file"
    finally:
        csv.field_size_limit(limit)
    raise StudyError(said)


def other_separator(header: list[str]) -> str:
    """What to do if the one column's name looks like several with another separator between them; else ""."""
    found = [name for sign, name in SEPARATORS.items() if sign in header[0]] if len(header) == 1 else []
    return f"the header is one field, {header[0]!r}: separate fields by commas, not {found[0]}" if found else ""


def read_jsonl(text: str, path: Path) -> list[dict]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{path}, line {number} is not JSON ({error}): write one object a line") from error
        if not isinstance(row, dict):
            raise StudyError(f"{path}, line {number} is not a JSON object: write one object a line")
        rows.append(dict(zip(column_names(row, path), row.values(), strict=True)))
    return rows


def as_text(value) -> str:
    """A value without blanks around it: nothing as "", a number that names a class or a list as JSON writes it."""
    if not isinstance(value, str):
        value = "" if value is None or value != value else json.dumps(value, ensure_ascii=False)  # NaN is not itself
    return SURROGATES.sub("\ufffd", value).strip()

"""A csv or jsonl file as rows of named texts. "" names no column, so that it can stand for one that is not given."""

import csv
import io
import json
import re
from pathlib import Path

from lib.fields import StudyError, one_of

SURROGATES = re.compile("[\ud800-\udfff]")  # halves of a character, which no tokenizer and no file takes


def read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(number, {column: text}) of each row. Raises StudyError."""
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
    rows = [
        {name: SURROGATES.sub("\ufffd", value).strip() for name, value in row.items()}
        for row in readers[path.suffix.lower()](text, path)
    ]
    if not rows:
        raise StudyError(f"{path} has no rows: give a file with a header and rows, or with a JSON object a line")
    return list(enumerate(rows, 1))


def column_names(header, path: Path) -> list[str]:
    """Names without blanks around them; a column without a name, as pandas writes its index, is known by its place.

    Raises StudyError if two are the same.
    """
    found = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
    if len(set(found)) < len(found):
        raise StudyError(f"{path}: two columns have the same name: rename one of {', '.join(map(repr, found))}")
    return found


def read_csv(text: str, path: Path) -> list[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header, rows = None, []
    try:
        for fields in lines:
            if header is None:
                header = column_names(fields, path)
            elif fields and len(fields) != len(header):
                raise StudyError(
                    f"{path}, line {lines.line_num}: {len(fields)} fields, but the header has {len(header)}: "
                    'write texts with commas or line breaks in double quotes (")'
                )
            elif fields:
                rows.append(dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise StudyError(f"{path}, line {lines.line_num}: {error}: mend the line, or give a .jsonl file") from error
    return rows


def read_jsonl(text: str, path: Path) -> list[dict[str, str]]:
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
        values = (value if isinstance(value, str) else written(value) for value in row.values())
        rows.append(dict(zip(column_names(row, path), values, strict=True)))
    return rows


def written(value) -> str:
    """What is not a text in a jsonl file: nothing, a number that names a class, or a list."""
    return "" if value is None or value != value else json.dumps(value, ensure_ascii=False)  # NaN is not itself

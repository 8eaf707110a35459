"""A file as rows of named texts: csv, tsv, json, jsonl, parquet or xlsx, also in gz or zip. "" names no column."""

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lib.fields import StudyError, brief, one_of

SURROGATES = re.compile("[\ud800-\udfff]")  # halves of a character, which no tokenizer and no file takes

LONGEST = 2**31 - 1  # characters of a field; a text is cut at max_length tokens later
SEPARATORS = (";", "\t", "|")  # besides the comma: where a header is one field that holds one of them
JSON = (".json", ".jsonl")
WANTED = "write one object a line, or a list of objects"  # in them
KINDS = (".csv", ".tsv", *JSON, ".parquet", ".xlsx")
PACKED = (".gz", ".zip")
# of text that is not UTF-8, the likeliest first: Western Europe, Cyrillic, Chinese, Arabic, Thai
ENCODINGS = ["cp1252", "cp1251", "gb18030", "cp1256", "cp874"]


def read_table(path: Path) -> tuple[dict[int, dict], list[str]]:
    """Number → {column: value} of each row, as the file has it: texts in a csv, what others hold; and what was guessed.

    The first row is 1. Raises StudyError.
    """
    notes = []
    *_, before, last = ("", "", *(suffix.lower() for suffix in path.suffixes))
    packed, kind = (last, before) if last in PACKED else ("", last)
    if kind not in KINDS:
        raise StudyError(
            f"{path}: its name must end in {one_of(KINDS)}, or in one of these and {one_of(PACKED)}: give such a file"
        )
    content = unpacked(path, packed)
    if kind == ".parquet":
        rows = read_parquet(content, path)
    elif kind == ".xlsx":
        rows, notes = read_xlsx(content, path)
    else:
        text, notes = decoded(content, path)
        separator = "\t" if kind == ".tsv" else separator_of(text)
        rows = read_json(text, path) if kind in JSON else read_csv(text, path, separator)
    if not rows:
        raise StudyError(f"{path} has no rows: give a file with a header and rows, or with a JSON object a line")
    return dict(enumerate(rows, 1)), notes


def unpacked(path: Path, packed: str) -> bytes:
    """The file's bytes, or those of what it holds. Raises StudyError."""
    try:
        if packed == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside = [name for name in archive.namelist() if not name.startswith("__MACOSX") and name[-1] != "/"]
                if len(inside) != 1:
                    raise StudyError(f"{path} holds {len(inside)} files: give one with a single file")
                return archive.read(inside[0])
        content = path.read_bytes()
        return gzip.decompress(content) if packed == ".gz" else content
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        said = getattr(error, "strerror", None) or error
        raise StudyError(f"{path}: cannot be read ({said}): give the path of a file") from error


def decoded(content: bytes, path: Path) -> tuple[str, list[str]]:
    """The text of a file: UTF-8, UTF-16 if it says so, else what charset-normalizer finds likeliest, which is said."""
    try:
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if wide else "utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        said = f"byte {content[error.start]:#04x} in line {line} is not UTF-8"
    from charset_normalizer import from_bytes

    found = from_bytes(content, cp_isolation=ENCODINGS).best()
    if found is None:
        raise StudyError(f"{path}: {said}, and no other encoding fits: save it as UTF-8")
    return str(found), [f"{said}; it is read as {found.encoding}: if letters look wrong, save it as UTF-8"]


def read_xlsx(content: bytes, path: Path) -> tuple[list[dict], list[str]]:
    """Rows of the first sheet, below its first row with values, which is the header."""
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        lines = [list(line) for line in sheet.iter_rows(values_only=True) if any(cell is not None for cell in line)]
    except Exception as error:  # openpyxl raises whatever it meets
        raise StudyError(f"{path}: is no workbook of Excel ({brief(error)}): save it again, or as csv") from error
    if not lines:
        return [], []
    width = max(place for place, name in enumerate(lines[0], 1) if name is not None)  # formatted cells may follow
    header = column_names(["" if name is None else str(name) for name in lines[0][:width]], path)
    rows = [dict(zip(header, [*line, *[None] * width], strict=False)) for line in lines[1:]]
    others = len(book.sheetnames) - 1
    return rows, [f"of {others + 1} sheets, the first is read: {sheet.title!r}"] if others else []


def read_parquet(content: bytes, path: Path) -> list[dict]:
    import pyarrow.parquet
    from pyarrow import ArrowException

    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except ArrowException as error:
        raise StudyError(f"{path}: is no parquet file ({str(error).splitlines()[0]}): give another") from error
    names = column_names(table.column_names, path)
    return [dict(zip(names, row.values(), strict=True)) for row in table.to_pylist()]


def column_names(header, path: Path) -> list[str]:
    """Names without blanks around them; a column without a name, as pandas writes its index, is known by its place.

    Raises StudyError if two are the same.
    """
    found = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
    if len(set(found)) < len(found):
        raise StudyError(f"{path}: two columns have the same name: rename one of {', '.join(map(repr, found))}")
    return found


def separator_of(text: str) -> str:
    """The comma, or what else separates the fields of a header that would be a single one."""
    header = next(csv.reader(io.StringIO(text, newline="")), [])
    others = [sign for sign in SEPARATORS if sign in header[0]] if len(header) == 1 else []
    return others[0] if len(others) == 1 else ","


def read_csv(text: str, path: Path, separator: str) -> list[dict[str, str]]:
    """Rows of a file with a header."""
    (_, first), *lines = records(text, path, separator) or [(0, [])]
    header = column_names(first, path)
    for number, fields in lines:
        if fields and len(fields) != len(header):
            hint = 'write texts with separators or line breaks in double quotes (")'
            raise StudyError(f"{path}, line {number}: {len(fields)} fields, but the header has {len(header)}: {hint}")
    return [dict(zip(header, fields, strict=True)) for _, fields in lines if fields]


def records(text: str, path: Path, separator: str) -> list[tuple[int, list[str]]]:
    """(line of the file, fields) of each record, however long. Blanks may stand before a quote."""
    limit = csv.field_size_limit(LONGEST)
    try:
        for blanks in (True, False):  # no quote opens after blanks in a text like  5, "six" and seven
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=blanks)
            try:
                return [(lines.line_num, fields) for fields in lines]
            except csv.Error as error:
                said = f"{path}, line {lines.line_num}: {error}: mend the line, or give a .jsonl file"
    finally:
        csv.field_size_limit(limit)
    raise StudyError(said)


def read_json(text: str, path: Path) -> list[dict]:
    """Rows of objects, one a line or all in one list."""
    rows = []
    for place, held in entries(text, path):
        if not isinstance(held, dict):
            raise StudyError(f"{path}, {place} is not a JSON object: {WANTED}")
        row = dict(flat(held))
        rows.append(dict(zip(column_names(row, path), row.values(), strict=True)))
    return rows


def entries(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """(place, what stands there) of each entry of a list or, without one, of each line that is not empty."""
    listed = None
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # the line that is no JSON is said below
            listed = json.loads(text)
    if listed is not None:
        yield from ((f"entry {number}", entry) for number, entry in enumerate(listed, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StudyError(f"{path}, line {number} is not JSON ({error}): {WANTED}") from error


def flat(held: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """Names and values of an object; those of an object in it with a dot between: {"a": {"b": 1}} gives a.b."""
    for name, value in held.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def as_text(value) -> str:
    """A value without blanks around it: nothing as "", a number that names a class or a list as JSON writes it."""
    if not isinstance(value, str):
        nothing = value is None or value != value  # NaN is not itself
        value = "" if nothing else json.dumps(value, ensure_ascii=False, default=str)
    return SURROGATES.sub("\ufffd", value).strip()

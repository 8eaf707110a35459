"""A user's own file as rows of named values: csv, tsv, json, jsonl, parquet or xlsx, also in gz or zip.

The csv module reads csv, not pandas: pandas fills a line that is too short, such as half of a text with a line break.
"""

import csv
import gzip
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from statistics import median

from lib.data.encodings import decoded
from lib.data.escaping import from_cell
from lib.data.values import as_text, plain
from lib.errors import StudyError, brief, join_or, truncated

LARGEST = 2**53  # whole numbers above it are not exact as floats
LONGEST = 2**31 - 1  # characters of a field; a text is cut at max_length tokens later
SEPARATORS = (";", "\t", "|")  # besides the comma: where a header is one field that holds one of them
WANTED = "write one object a line, or a list of objects"  # in json
PACKED = (".gz", ".zip")
BEGINNINGS = {  # of files that are not text
    b"PK\x03\x04": ("a zip or an .xlsx", ".xlsx"),
    b"PAR1\x15": ("a parquet file", ".parquet"),
    b"\x1f\x8b": ("packed with gzip", ""),
    b"\xd0\xcf\x11\xe0": ("an .xls, or a workbook with a password", ""),
}


# ---- the file


def read_table(path: Path) -> tuple[dict[int, dict], list[str]]:
    """Number → {column: value} of each row: texts in a csv, else what JSON can hold; and what was guessed.

    The first row is 1. A column of whole numbers that are written as 1.0 holds 1. Raises StudyError.
    """
    path = Path(path)
    try:
        content, kind = unpacked(path)
        check_beginning(content, kind, path)
        rows, notes = FORMATS[kind](content, path)
    except StudyError:
        raise
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror or error}): give the path of a file") from error
    except Exception as error:  # a library raises whatever it meets
        raise StudyError(f"{path}: cannot be read as {path.suffix} ({brief(error)}): save it again") from error
    if not rows:
        raise StudyError(f"{path} has no rows: give a file with a header and rows, or with a JSON object a line")
    return dict(enumerate(as_whole(rows), 1)), notes


def unpacked(path: Path) -> tuple[bytes, str]:
    """The content of a file, or of the one file packed in it, and its ending. Raises StudyError."""
    packed = path.suffix.lower()
    inside = path.with_suffix("") if packed in PACKED else path
    if packed == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX") and name[-1] != "/"]
            fitting = [name for name in names if Path(name).suffix.lower() in FORMATS]
            if len(fitting) != 1:
                held = f"{len(names)} files ({truncated(names, 5)})" if names else "no file"
                raise StudyError(f"{path} holds {held}: give a zip with one that ends in {join_or(FORMATS)}")
            return archive.read(fitting[0]), Path(fitting[0]).suffix.lower()
    if (kind := inside.suffix.lower()) not in FORMATS:
        raise StudyError(
            f"{path}: its name must end in {join_or(FORMATS)}, or in one of these and {join_or(PACKED)}: give such a "
            "file"
        )
    content = path.read_bytes()
    return gzip.decompress(content) if packed == ".gz" else content, kind


def check_beginning(content: bytes, kind: str, path: Path) -> None:
    """Raises StudyError for content that begins as another format than the one that its name says."""
    for beginning, (what, fitting) in BEGINNINGS.items():
        if content.startswith(beginning) and kind != fitting:
            raise StudyError(f"{path}: its name ends in {kind}, but it is {what}: save it as {join_or(FORMATS)}")


def as_whole(rows: list[dict]) -> list[dict]:
    """Plain values; floats as whole numbers where a column has no others, as programs write them beside nulls."""
    rows = [{name: value if type(value) is str else plain(value) for name, value in row.items()} for row in rows]
    floats = [(name, value) for row in rows for name, value in row.items() if type(value) is float]
    broken = {name for name, value in floats if not value.is_integer() or abs(value) > LARGEST}
    whole = {name for name, _ in floats} - broken
    for row in rows if whole else ():
        row.update({name: int(row[name]) for name in whole if type(row.get(name)) is float})
    return rows


# ---- a header and lines below it


def under_header(lines: list[tuple[int, list]], path: Path) -> tuple[list[dict], list[str]]:
    """Rows of a sheet. lines: (line in the file, cells); the first that is not empty is the header, or below a title.

    The apostrophe by which `in_cell` hides a formula is taken away. Raises StudyError for a line of another length.
    """
    filled = [[place for place, cell in enumerate(cells) if as_text(cell)] for _, cells in lines]
    top = next((n for n, places in enumerate(filled) if places), 0)
    top += (titles := count_titles(lines[top:], filled[top:]))
    if not any(filled):
        return [], []
    (_, first), *below = lines[top:]
    for line, cells in below:
        if len(cells) != len(first):
            hint = 'write texts with separators or line breaks in double quotes (")'
            raise StudyError(f"{path}, line {line}: {len(cells)} fields, but the header has {len(first)}: {hint}")
    names = column_names([from_cell(as_text(name)) for name in first], path)
    table = [cells for _, cells in below]
    shown = [[from_cell(cell) if isinstance(cell, str) else cell for cell in cells] for cells in table]
    hidden = sum(before != after for before, after in zip(table, shown, strict=True))
    above = [repr(as_text(lines[n][1][place])) for n in range(top) for place in filled[n]]
    notes = [f"left out above the header: {truncated(above, 3)}"] if titles else []
    notes += [f"left out, an apostrophe that hides a formula: in {hidden} rows"] if hidden else []
    return [dict(zip(names, cells, strict=True)) for cells in shown], notes


def count_titles(lines: list[tuple[int, list]], filled: list[list[int]]) -> int:
    """How many lines above the header have one cell only, the first of the sheet, as a title or a date of export."""
    left = min((places[0] for places in filled if places), default=0)
    titles = [*takewhile(lambda n: filled[n] in ([], [left]) and len(lines[n][1]) > 1, range(len(lines)))]
    below = [len(places) for places in filled[len(titles) :]]
    return len(titles) if len(titles) == 1 or (len(below) > len(titles) and median(below) > 1) else 0


def column_names(header, path: Path) -> list[str]:
    """Names without blanks around them; a column without a name, as pandas writes its index, is known by its place.

    Raises StudyError if two are the same.
    """
    found = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
    if twice := [repr(name) for name, times in Counter(found).items() if times > 1]:
        raise StudyError(f"{path}: two columns have the same name, {truncated(twice)}: rename one of them")
    return found


# ---- each format: (content, path) → rows and what was guessed


def read_csv(content: bytes, path: Path, separator: str = "") -> tuple[list[dict], list[str]]:
    text, notes = decoded(content, path)
    limit = csv.field_size_limit(LONGEST)
    try:
        named = re.match(r'"?sep=(.)"?\r?\n', text)  # as Excel takes it
        lines, cut = records(text, path, separator or (named[1] if named else separator_of(text)))
    finally:
        csv.field_size_limit(limit)
    rows, more = under_header([(line, fields) for line, fields in lines[bool(named) :] if fields], path)
    return rows, notes + cut + more


def read_tsv(content: bytes, path: Path) -> tuple[list[dict], list[str]]:
    return read_csv(content, path, "\t")


def separator_of(text: str) -> str:
    """The comma, or what else separates the fields of a header that would be a single one."""
    header = next(filter(any, csv.reader(io.StringIO(text, newline=""))), [])
    others = [sign for sign in SEPARATORS if sign in header[0]] if len(header) == 1 else []
    return others[0] if len(others) == 1 else ","


def records(text: str, path: Path, separator: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """(line of the file, fields) of each record, however long; and whether the file is cut short, without the last.

    Blanks may stand before a quote. Raises StudyError.
    """
    for blanks in (True, False):  # no quote opens after blanks in a text like  5, "six" and seven
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=blanks)
        found = []
        try:
            found.extend((lines.line_num, fields) for fields in lines)
        except csv.Error as error:
            said = str(error)
        else:
            if text.endswith("\ufffd") and len(found) > 1 and len(found[-1][1]) < len(found[0][1]):
                return found[:-1], [f"left out, line {found[-1][0]}: the file ends in the middle of it"]
            return found, []
    begun = found[-1][0] + 1 if found else 1
    if "unexpected end" not in said:
        raise StudyError(f"{path}, line {lines.line_num}: {said}: mend the line, or give a .jsonl file")
    if begun != lines.line_num or len(found) < 2:
        raise StudyError(f"{path}, line {begun}: a quote opens and does not end: write one at the end of the text")
    return found, [f"left out, line {begun}: the file ends in the middle of it"]


def read_json(content: bytes, path: Path) -> tuple[list[dict], list[str]]:
    """Rows of objects, one a line or all in one list."""
    text, notes = decoded(content, path)
    rows = []
    for place, held in entries(text, path):
        if not isinstance(held, dict):
            raise StudyError(f"{path}, {place} is not a JSON object: {WANTED}")
        row = dict(flat(held))
        rows.append(dict(zip(column_names(row, path), row.values(), strict=True)))
    return rows, notes


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


def read_parquet(content: bytes, path: Path) -> tuple[list[dict], list[str]]:
    """Columns of structs as in JSON, with a dot between the names."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.ParquetFile(io.BytesIO(content)).read(use_threads=False)  # its threads may abort Python when it ends
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    for place, field in enumerate(table.schema):
        if field.type in (pa.float16(), pa.float32()):  # as short as it can be written: 0.1, not 0.10000000149011612
            column = pc.cast(pc.cast(table.column(place), pa.string()), pa.float64())
            table = table.set_column(place, field.name, column)
    columns = (column.to_pylist() for column in table.columns)
    names = column_names(table.column_names, path)
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)], []


def read_xlsx(content: bytes, path: Path) -> tuple[list[dict], list[str]]:
    """Rows of the first sheet. A formula whose result the file lacks is read as it is: so programs write "= a text"."""
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    if not book.worksheets:
        return [], []
    sheet, others = book.worksheets[0], len(book.sheetnames) - 1
    notes = [f"of {others + 1} sheets, the first is read: {sheet.title!r}"] if others else []
    lines = [list(line) for line in sheet.iter_rows()]
    values = [[cell.value for cell in line] for line in lines]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheets = [archive.read(name) for name in archive.namelist() if name.startswith("xl/worksheets/")]
    if any(re.search(rb"<f[ >]|<mergeCell", one) for one in sheets):  # to look closer takes twice as long
        whole = load_workbook(io.BytesIO(content)).worksheets[0]
        empty = {cell.coordinate for line in lines for cell in line if is_empty(cell)}
        formulas = [cell for line in whole.iter_rows() for cell in line if cell.data_type == "f"]
        lacking = [cell for cell in formulas if cell.coordinate in empty]
        for cell in lacking:
            values[cell.row - 1][cell.column - 1] = str(getattr(cell.value, "text", cell.value))
        places = truncated([cell.coordinate for cell in lacking], 3)
        notes += [f"formulas without a result, read as they are: {places}; Excel saves results"] if lacking else []
        merged = [str(cells) for cells in whole.merged_cells.ranges]
        notes += [f"merged cells, of which the first alone has the value: {truncated(merged, 3)}"] if merged else []
    used = sorted({place for cells in values for place, cell in enumerate(cells) if cell is not None})
    table = [
        (number, [cells[place] if place < len(cells) else None for place in used])  # formatted cells may lie around it
        for number, cells in enumerate(values, 1)
        if set(cells) - {None}
    ]
    rows, more = under_header(table, path)
    return rows, notes + more


def is_empty(cell) -> bool:
    """Whether a cell of a sheet that is read without formulas has nothing, not even a result that is an empty text."""
    return cell.value is None and cell.data_type == "n" and hasattr(cell, "coordinate")


FORMATS = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_json,
    ".jsonl": read_json,
    ".parquet": read_parquet,
    ".xlsx": read_xlsx,
}

"""Files as people have them: each kind holds the same rows, and what had to be guessed is said."""

import csv
import datetime
import gzip
import io
import json
import uuid
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import refused
from hypothesis import assume, given
from hypothesis import strategies as st

from lib.data.escaping import from_cell, in_cell
from lib.data.files import read_table
from lib.data.own_rows import read_rows
from lib.data.values import as_text, is_missing

TABLE = [
    {"text": "a, good; film", "label": "x"},
    {"text": 'bad\tone | "so"', "label": "y"},
    {"text": "é 字", "label": "x"},
]


def as_csv(separator: str) -> bytes:
    file = io.StringIO()
    lines = csv.DictWriter(file, ["text", "label"], delimiter=separator)
    lines.writeheader()
    lines.writerows(TABLE)
    return file.getvalue().encode("utf-8-sig")


def zipped(content: bytes, *more: str, name: str = "inside.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for inside in (name, *more):
            archive.writestr(inside, content)
        archive.writestr("__MACOSX/inside.csv", b"")
    return file.getvalue()


def locked(archive: bytes) -> bytes:
    """The same zip with the mark of a password."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def workbook(rows: list[dict]) -> bytes:
    """As Excel has it: a row above the header, an empty one in between, a second sheet."""
    file = io.BytesIO()
    with pd.ExcelWriter(file, engine="openpyxl") as book:
        pd.DataFrame([*rows[:1], {}, *rows[1:]]).to_excel(book, sheet_name="rows", index=False, startrow=1)
        pd.DataFrame({"text": ["other"]}).to_excel(book, sheet_name="notes", index=False)
    return file.getvalue()


KINDS = {
    "commas.csv": lambda: as_csv(","),
    "semicolons.csv": lambda: as_csv(";"),
    "tabs.csv": lambda: as_csv("\t"),
    "bars.csv": lambda: as_csv("|"),
    "tabs.tsv": lambda: as_csv("\t"),
    "commas.CSV.gz": lambda: gzip.compress(as_csv(",")),
    "commas.csv.zip": lambda: zipped(as_csv(",")),
    "named otherwise.zip": lambda: zipped(as_csv(";"), "read me.txt"),
    "lines.jsonl.gz": lambda: gzip.compress("\n".join(map(json.dumps, TABLE)).encode()),
    "list.json": lambda: json.dumps(TABLE, indent=1).encode(),
    "table.parquet": lambda: pd.DataFrame(TABLE).to_parquet(),
    "book.xlsx": lambda: workbook(TABLE),
    "utf-16.csv": lambda: as_csv(",").decode("utf-8-sig").encode("utf-16"),
    "utf-16 without mark.csv": lambda: as_csv(",").decode("utf-8-sig").encode("utf-16-le"),
    "utf-16 of Unix.csv": lambda: as_csv(",").decode("utf-8-sig").encode("utf-16-be"),
    "utf-32.csv": lambda: as_csv(",").decode("utf-8-sig").encode("utf-32"),
    "empty lines first.csv": lambda: b"\r\n\r\n" + as_csv(",").removeprefix(b"\xef\xbb\xbf"),
    "empty cells first.csv": lambda: b";\r\n" + as_csv(";").removeprefix(b"\xef\xbb\xbf"),
    "separator first.csv": lambda: b"sep=|\r\n" + as_csv("|").removeprefix(b"\xef\xbb\xbf"),
    "title first.csv": lambda: "\ufeffReviews of 2025;\r\n;\r\n".encode() + as_csv(";").removeprefix(b"\xef\xbb\xbf"),
    "crlf.csv": lambda: as_csv(",").replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", KINDS)
def test_files_of_every_kind_hold_the_same_rows(name, tmp_path):
    (tmp_path / name).write_bytes(KINDS[name]())
    rows = read_rows(tmp_path / name, "text", label_column="label")
    assert [text for (text,) in rows.texts] == [row["text"] for row in TABLE]
    assert [rows.labels[c] for c in rows.labels_N] == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv.gz", b"text", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text\na\n" * 99)[:30], "cannot be read"),
        ("a.csv.zip", b"text", "cannot be read"),
        ("a.parquet", b"text", "cannot be read as .parquet"),
        ("a.xlsx", b"text", "cannot be read as .xlsx"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1", "an .xls, or a workbook with a password"),
        ("a.csv", zipped(b"text"), "a zip or an .xlsx"),
        ("a.jsonl", pd.DataFrame(TABLE).to_parquet(), "a parquet file"),
        ("a.csv.zip", locked(zipped(b"text")), "password"),
        ("a.zip", zipped(b"text", *(f"{n}.csv" for n in range(30))), "holds 31 files"),
        ("a.zip", zipped(b"text", name="notes.txt"), "holds 1 files (notes.txt)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # a gz holds the time
)
def test_a_file_that_is_not_what_its_name_says_is_one_line(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with refused(words):
        read_rows(tmp_path / name, "text", labels="x,y")


ELSEWHERE = {
    "cp1252": ("Ok là bas, £5 for “thé” naïve", "Win £1000 cash now"),
    "cp1251": ("Это хороший фильм", "Это плохой фильм"),
    "gb18030": ("这是一个很好的电影", "这部电影很差"),
    "cp1256": ("هذا فيلم جيد", "هذا فيلم سيئ"),
    "cp874": ("ภาพยนตร์ดีมาก", "ภาพยนตร์แย่มาก"),
}


@pytest.mark.parametrize("encoding", ELSEWHERE)
def test_text_that_is_not_utf_8_is_read_and_the_guess_is_said(encoding, tmp_path):
    texts = [f"{n} {text}" for n in range(20) for text in ELSEWHERE[encoding]]
    path = tmp_path / "mine.csv"
    path.write_text("kind\ttext\n" + "".join(f"{'ab'[n % 2]}\t{text}\n" for n, text in enumerate(texts)), encoding)
    rows = read_rows(path, "text", label_column="kind")
    assert [text for (text,) in rows.texts] == texts
    assert any("is not UTF-8; it is read as" in note for note in rows.notes)
    path.write_text("kind\ttext\na\tb\nb\té\n", "utf-8")
    assert not any("UTF-8" in note for note in read_rows(path, "text", label_column="kind").notes)


def test_of_a_workbook_the_first_sheet_is_read_and_that_is_said(tmp_path):
    (tmp_path / "book.xlsx").write_bytes(workbook(TABLE))
    assert "of 2 sheets, the first is read: 'rows'" in read_rows(tmp_path / "book.xlsx", "text", labels="x,y").notes


def test_numbers_dates_and_empty_cells_of_a_workbook(tmp_path):
    file = io.BytesIO()
    held = {"text": ["a", "b", "c"], "stars": [1, 5, None], "day": pd.to_datetime(["2020-01-02"] * 3)}
    pd.DataFrame(held).to_excel(file)  # with pandas' index in a column without a name
    (tmp_path / "book.xlsx").write_bytes(file.getvalue())
    rows = read_rows(tmp_path / "book.xlsx", "text", label_column="stars")
    assert (rows.labels, rows.labels_N.tolist()) == (("1", "5"), [0, 1, -1])
    assert [set(other) for other in rows.others] == [{"column 1", "day"}] * 3
    assert as_text(rows.others[0]["day"]) == "2020-01-02"


def test_nested_objects_of_jsonl_are_columns_with_a_dot(tmp_path):
    lines = [{"id": n, "data": {"text": f"text {n}", "more": {"tags": [], "none": {}}}, "y": n % 2} for n in range(4)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows = read_rows(tmp_path / "mine.jsonl", "data.text", label_column="y")
    assert [text for (text,) in rows.texts] == [f"text {n}" for n in range(4)]
    assert rows.others[0] == {"id": 0, "data.more.tags": [], "data.more.none": {}}


def test_line_breaks_in_texts_emoji_and_an_index_column(tmp_path):
    frame = pd.DataFrame({"text": ["one\r\ntwo", "three 😀", "🇫🇷 four,\n\nfive"], "label": list("xyx")})
    frame.to_csv(tmp_path / "mine.csv", encoding="utf-8-sig", lineterminator="\r\n")
    rows = read_rows(tmp_path / "mine.csv", "text", label_column="label")
    assert [text for (text,) in rows.texts] == frame["text"].tolist()
    assert [other["column 1"] for other in rows.others] == ["0", "1", "2"]


# ---- csv


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def written(lines, path: Path) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *lines])
    return path


def texts_of(path: Path) -> list[str]:
    return [as_text(row["text"]) for row in read_table(path)[0].values()]


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path_factory, texts):
    assume(not any(text.startswith("'") for text in texts))
    path = written([(text, n) for n, text in enumerate(texts)], tmp_path_factory.getbasetemp() / "written.csv")
    assert texts_of(path) == [text.strip() for text in texts]


@given(st.lists(st.tuples(st.sampled_from(["", "'", "''", "=", "'=", " -", "\t@", "\r\n+", "＝"]), TEXTS), min_size=1))
def test_texts_that_are_exported_to_a_csv_are_read_as_they_were(tmp_path_factory, parts):
    texts = ["".join(part) for part in parts]
    assert [from_cell(in_cell(text)) for text in texts] == texts
    stripped = [as_text(text) for text in texts]  # as an export does
    path = written([(in_cell(text), "x") for text in stripped], tmp_path_factory.getbasetemp() / "exported.csv")
    assert texts_of(path) == stripped


def test_an_apostrophe_that_is_taken_away_is_said_and_others_stay(tmp_path):
    path = written([("'=1+1", "x"), ("'tis - or not", "y"), ("it's", "x")], tmp_path / "mine.csv")
    rows, notes = read_table(path)
    assert [row["text"] for row in rows.values()] == ["=1+1", "'tis - or not", "it's"]
    assert [note for note in notes if "apostrophe" in note and "1 rows" in note]


def test_names_that_occur_twice_are_one_short_line(tmp_path):
    (tmp_path / "mine.csv").write_text(",".join(f"name {n // 2}" for n in range(100)) + "\n" + "," * 99)
    with refused("'name 0', 'name 1'", "and 40 more", "rename"):
        read_table(tmp_path / "mine.csv")


def test_a_quote_that_does_not_end_is_said_with_its_line(tmp_path):
    (tmp_path / "mine.csv").write_text('text,label\na,x\n"b,y\nc,x\nd,y\n')
    with refused("line 3", "does not end"):
        read_table(tmp_path / "mine.csv")


# ---- broken bytes


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
@pytest.mark.parametrize("sparse", [True, False])
def test_a_broken_byte_costs_one_letter_and_its_line_is_said(sparse, kind, tmp_path):
    texts = [f"text {n}" + ("" if sparse and n else " café 😀 été") for n in range(30)]
    lines = ["text", *texts] if kind == ".csv" else [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    content = "\n".join(lines).encode().replace("é 😀".encode(), b"\xe9 " + "😀".encode()[:2], 1)
    path = tmp_path / f"mine{kind}"
    path.write_bytes(content)
    rows, notes = read_table(path)
    first, *others = (row["text"] for row in rows.values())
    assert first == "text 0 caf� � été"
    assert others == texts[1:]
    assert [note for note in notes if f"line {2 if kind == '.csv' else 1} is not UTF-8" in note]


def test_one_line_of_another_encoding_leaves_the_others_alone(tmp_path):
    path = written([(f"un été à la plage {n}", "x") for n in range(20)], tmp_path / "mine.csv")
    path.write_bytes(path.read_bytes() + "déjà vu préféré élève,y\r\n".encode("latin-1"))
    texts = texts_of(path)
    assert texts[:20] == [f"un été à la plage {n}" for n in range(20)]
    assert texts[20] == "d�j� vu pr�f�r� �l�ve"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["é", 'x"é', "x,é"])
def test_a_file_cut_in_the_middle_of_a_letter_is_read_but_for_its_end(end, encoding, tmp_path):
    lines = [f'"été, {n}",x\n' for n in range(20)]
    end = f'"{end}' if end == "é" else end
    (tmp_path / "mine.csv").write_bytes(f"text,label\n{''.join(lines)}{end}".encode(encoding)[:-1])
    texts = texts_of(tmp_path / "mine.csv")
    assert texts[:20] == [f"été, {n}" for n in range(20)]
    assert len(texts) == 20 + (end == "x,é")


# ---- values


DAY, NOON = datetime.date(2025, 1, 2), datetime.datetime(2025, 1, 2, 12, 30)
VALUES = {  # value, as a person writes it
    "date": (DAY, "2025-01-02"),
    "midnight": (datetime.datetime(2025, 1, 2), "2025-01-02"),
    "time of a day": (NOON, "2025-01-02 12:30:00"),
    "time": (datetime.time(12, 30), "12:30:00"),
    "duration": (datetime.timedelta(minutes=5), "0:05:00"),
    "decimal": (Decimal("1.000000000"), "1"),
    "decimal with a fraction": (Decimal("-12345678901234567890123456789012.50"), "-12345678901234567890123456789012.5"),
    "hundred": (Decimal("1E+2"), "100"),
    "bytes": ("Café 😀".encode(), "Café 😀"),
    "broken bytes": (b"Caf\xe9", "Caf�"),
    "uuid": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "whole float": (1.0, "1"),
    "float": (0.1, "0.1"),
    "single float": (np.float32(0.1), "0.1"),
    "whole number": (2**60 + 1, "1152921504606846977"),
    "truth": (True, "true"),
    "NaT": (pd.NaT, ""),
    "NA": (pd.NA, ""),
    "NaN": (np.nan, ""),
    "null": (None, ""),
    "list": ([DAY, None], '["2025-01-02", null]'),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_written_as_a_person_would_write_it(name):
    value, text = VALUES[name]
    if name not in ("whole float", "single float"):  # which follows from its column
        assert as_text(value) == text


@pytest.mark.parametrize("name", VALUES)
def test_values_of_a_parquet_are_texts_in_every_column(name, tmp_path):
    value, text = VALUES[name]
    held = [None if text == "" else value, None]
    if name == "uuid":
        column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([value.bytes, None], pa.binary(16)))
    else:
        column = pa.array(held, pa.float32() if name == "single float" else None)
    table = pa.table({"text": column, "label": column, "nested": pa.array([{"more": "a"}, None])})
    pq.write_table(table, tmp_path / "mine.parquet")
    first, second = read_table(tmp_path / "mine.parquet")[0].values()
    assert [as_text(first[column]) for column in ("text", "label")] == [text] * 2
    assert [as_text(second[column]) for column in ("text", "label")] == [""] * 2
    assert (first["nested.more"], second["nested.more"]) == ("a", None)
    json.dumps([first, second], allow_nan=False)  # so an export can hold it


def test_a_column_with_a_fraction_keeps_its_floats(tmp_path):
    frame = pd.DataFrame({"whole": [1.0, None, 3.0], "mixed": [1.0, None, 0.5], "large": [1e300, None, 1.0]})
    for name, write in (
        (".parquet", frame.to_parquet),
        (".jsonl", lambda path: frame.to_json(path, orient="records", lines=True)),
    ):
        write(tmp_path / f"mine{name}")
        rows = read_table(tmp_path / f"mine{name}")[0]
        assert [as_text(row["whole"]) for row in rows.values()] == ["1", "", "3"]
        assert [as_text(row["mixed"]) for row in rows.values()] == ["1.0", "", "0.5"]
        assert as_text(rows[1]["large"]) == "1e+300"


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        "NaN",
        "NULL",
        "None",
        "<NA>",
        "NaT",
        "#N/A",
        "#REF!",
        "#DIV/0!",
        "#VALUE!",
        "#NAME?",
        r"\N",
        "[]",
        "\u200b",
    ],
)
def test_what_programs_write_for_no_value_is_missing(text):
    assert is_missing(text)
    assert is_missing(f" {text} ")


@pytest.mark.parametrize("text", ["none", "0", "no", "nan bread", "#great!", "-", "false", "Null Island"])
def test_an_answer_is_not_missing(text):
    assert not is_missing(text)


# ---- workbooks


def sheet(rows, path: Path, merged=()) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merged:
        book.active.merge_cells(cells)
    book.save(path)
    return path


def test_a_title_above_the_header_is_left_out_and_said(tmp_path):
    rows = [["Answers of 2025"], [], ["as of"], ["text", "label"], ["a", "x"], ["b", "y"], ["c", None]]
    rows, notes = read_table(sheet(rows, tmp_path / "mine.xlsx", ["A1:B1"]))
    assert rows == {1: {"text": "a", "label": "x"}, 2: {"text": "b", "label": "y"}, 3: {"text": "c", "label": None}}
    assert [note for note in notes if "'Answers of 2025', 'as of'" in note]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["Title"], ["text", "label"], ["a"], ["b"]], {"text": "a", "label": None}),  # nothing is labelled yet
        ([["text"], ["a"], ["b"], ["c", "a remark"]], {"text": "a", "column 2": None}),
        ([[None, "text"], [0, "a"], [1, "b"]], {"column 1": 0, "text": "a"}),
        ([[None, "Title"], [None, "text", "label"], [None, "a", "x"], [None, "b", "y"]], {"text": "a", "label": "x"}),
        ([["text"], ["a"]], {"text": "a"}),
    ],
    ids=["title, no labels", "one column and a remark", "an index", "title in the second column", "one column"],
)
def test_which_line_is_the_header(rows, expected, tmp_path):
    assert read_table(sheet(rows, tmp_path / "mine.xlsx"))[0][1] == expected


def test_merged_cells_are_said(tmp_path):
    rows = [["text", "label"], ["a", "x"], ["b", None], ["c", "y"]]
    found, notes = read_table(sheet(rows, tmp_path / "mine.xlsx", ["B2:B3"]))
    assert [row["label"] for row in found.values()] == ["x", None, "y"]
    assert [note for note in notes if "merged" in note and "B2:B3" in note]


def test_a_formula_that_nobody_computed_is_read_as_it_is_and_said(tmp_path):
    found, notes = read_table(sheet([["text", "label"], ["= a delight", "x"], ["b", None]], tmp_path / "mine.xlsx"))
    assert [row["text"] for row in found.values()] == ["= a delight", "b"]
    assert [note for note in notes if "formula" in note and "A2" in note]


def test_results_of_formulas_are_read(tmp_path):
    """Also one that is an empty text, and one that is an error, as Excel writes them."""
    path = sheet([["text", "label"], ["=1", "=2"], ["=3", "b"]], tmp_path / "mine.xlsx")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    cells = {
        b'<c r="A2"><f>1</f><v />': b'<c r="A2" t="str"><f>1</f><v>computed</v>',
        b'<c r="B2"><f>2</f><v />': b'<c r="B2" t="str"><f>2</f><v></v>',
        b'<c r="A3"><f>3</f><v />': b'<c r="A3" t="e"><f>3</f><v>#REF!</v>',
    }
    for before, after in cells.items():
        assert before in parts["xl/worksheets/sheet1.xml"]
        parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(before, after)
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    rows, notes = read_table(path)
    assert rows == {1: {"text": "computed", "label": None}, 2: {"text": "#REF!", "label": "b"}}
    assert is_missing(rows[2]["text"])
    assert notes == []

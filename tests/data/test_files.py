"""Files as people have them: each kind holds the same rows, and what had to be guessed is said."""

import csv
import gzip
import io
import json
import zipfile

import pandas as pd
import pytest
from helpers import refused

from lib.data.files import as_text
from lib.labelling.own_rows import read_rows

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


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside.csv", content)
        archive.writestr("__MACOSX/inside.csv", b"")
    return file.getvalue()


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
    "lines.jsonl.gz": lambda: gzip.compress("\n".join(map(json.dumps, TABLE)).encode()),
    "list.json": lambda: json.dumps(TABLE, indent=1).encode(),
    "table.parquet": lambda: pd.DataFrame(TABLE).to_parquet(),
    "book.xlsx": lambda: workbook(TABLE),
    "utf-16.csv": lambda: as_csv(",").decode("utf-8-sig").encode("utf-16"),
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
        ("a.parquet", b"text", "is no parquet file"),
        ("a.xlsx", b"text", "is no workbook of Excel"),
    ],
    ids=["no gz", "half a gz", "no zip", "no parquet", "no workbook"],  # a gz holds the time
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

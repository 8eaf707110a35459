"""Labelling one's own rows: what is read, what is kept, what is asked, what is handed over; notebook 07."""

import csv
import dataclasses
import io
import json
import math
import re
import runpy
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import as_in_a_new_shell, planned, refused, tiny_config, write_checkpoint
from nbconvert.filters import markdown2html
from sklearn.metrics import cohen_kappa_score

from lib import cli, labelling
from lib.command import execution, status
from lib.command.run import prepare_environment
from lib.data.escaping import in_markdown
from lib.data.own_rows import read_rows
from lib.data.tasks import UNLABELLED
from lib.labelling import agreement, changes, handover
from lib.labelling.chooser import balanced
from lib.labelling.journal import Journal
from lib.labelling.labeller import Labeller
from lib.method.acquisition import STRATEGIES, Strategy, bald
from lib.method.model import build_classifier
from lib.method.training import train

NOTEBOOK = cli.NOTEBOOKS / "07_label_your_own.ipynb"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) **bold** $x^2$",
    "=HYPERLINK(1)",
    "\x1b[31mred\x00",
    "\u202edesrever",
    "😀 " * 10,
]


def write_csv(path: Path, rows: list[dict]) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def invented(number: int) -> list[dict]:
    """Texts of two classes, which their first word tells."""
    names = ("negative", "positive")
    return [{"text": f"{('awful', 'superb')[n % 2]} film {n}", "label": names[n % 2]} for n in range(number)]


@pytest.fixture
def begun(tmp_path, tiny_encoder):
    """begun(**changes) → a Labelling of 40 rows, 6 labels to begin and batches of 8 with 3 random rows."""
    path = write_csv(tmp_path / "mine.csv", invented(40))

    def build(at_random=3, answers="label", labels="negative,positive", balance=0.0, **changes) -> labelling.Labelling:
        rows = read_rows(path, "text", labels=labels, answers=answers)
        protocol = labelling.recipe(rows, **{"start": 6, "query": 8, "encoder": tiny_encoder, **changes})
        protocol = dataclasses.replace(protocol, threads=1)
        return labelling.Labelling(rows, protocol, tmp_path / "out", at_random, answers, balance=balance)

    return build


def chosen(widget: Labeller) -> Labeller:
    """The widget, when the model that chooses in the background has chosen and the page has asked how far it is."""
    if widget.labelling.model.background:
        widget.labelling.model.background.wait()
    widget.receive({"progress": True})
    assert not widget.shown["working"]
    return widget


# ---- what is read

GOOD = "text,label\na,x\nb,y\n"
THREE = GOOD + "c,x\n"
MISTAKES = {
    "no such file": (None, {}, ("mine.csv", "cannot be read", "give the path of a file")),
    "other kind of file": (GOOD, {"name": "mine.doc"}, ("must end in .csv, .tsv, .json, .jsonl, .parquet or .xlsx",)),
    "no encoding": (b"text,label\n\x81\x8d\xff\x00,x\n", {}, ("0x81 in line 2", "save it as UTF-8")),
    "no rows": ("text,label\n", {}, ("has no rows",)),
    "empty file": ("", {}, ("has no rows",)),
    "missing column": (GOOD, {"text_column": "review"}, ("no column 'review'", "'text', 'label'")),
    "missing second column": (GOOD, {"second_text_column": "b"}, ("no column 'b'",)),
    "missing label column": (GOOD, {"label_column": "gold"}, ("no column 'gold'",)),
    "two separators": ("text;label|more\na;x\n", {}, ("no column 'text'", "choose from 'text;label|more'")),
    "class with a comma": (
        'text,label\na,"x, y"\n',
        {},
        ("row 1", "'x, y' are 2 labels", "add it to labels in double quotes"),
    ),
    "semicolon in a name": ("a;b,label\na,x\n", {}, ("no column 'text'", "choose from 'a;b', 'label'")),
    "class without a name": (GOOD, {"labels": ["x", ""]}, ("a name is empty", "give each class a name")),
    "class without a name in quotes": (GOOD, {"labels": '"x",,y'}, ("a name is empty",)),
    "same column twice": (GOOD, {"second_text_column": "text"}, ("two different ones",)),
    "the label as text": (GOOD, {"second_text_column": "label"}, ("'label' is named for the text and for its label",)),
    "two columns of one name": ("text,text\na,b\n", {}, ("two columns have the same name",)),
    "ragged rows": ("text,label\na,x\nb,c,y\n", {}, ("line 3", "3 fields", "header has 2")),
    "open quote": ('text,label\n"a,x\n', {}, ("line 2",)),
    "rows without text": ("text,label\n ,x\n\t,y\n", {}, ("no row has text in 'text'",)),
    "no list of labels": (GOOD, {"labels": "", "answers": ""}, ("no class", "name two or more")),
    "one class only": (GOOD, {"labels": "x"}, ("one class only, 'x'", "name two or more")),
    "one class in the column": ("text,label\na,x\nb,x\n", {"labels": ""}, ("one class only, 'x'",)),
    "a class twice": (GOOD, {"labels": "x,y,x"}, ("occurs twice",)),
    "label outside the list": (GOOD, {"labels": "x,z"}, ("label 'y' (row 2)", "choose 'x' or 'z'")),
    "labels outside the list": (
        THREE + "d,y\n",
        {"labels": "z,w"},
        ("labels 'x' (row 1 and 1 more), 'y' (row 2 and 1 more) in column 'label' are", "choose 'z' or 'w'"),
    ),
    "contradicting labels": (
        "text,label\na,x\nb,y\na,y\nb,y\nb,x\n",
        {"label_column": "label"},
        ("rows 1 and 3 ('x' and 'y'), rows 2 and 5 ('y' and 'x')", "the same text but different labels"),
    ),
    "fewer rows than a batch": (GOOD, {}, ("has 2 rows", "start=10", "query=20", "add rows")),
    "not JSON": ('{"text": "a"}\n{"text": \n', {"name": "mine.jsonl", "answers": ""}, ("line 2 is not JSON",)),
    "not an object": ("[1]\n", {"name": "mine.jsonl", "answers": ""}, ("entry 1 is not a JSON object",)),
    "deep": ("[" * 100_000 + "\n", {"name": "mine.jsonl", "answers": ""}, ("line 1 is not",)),
    "more random rows than a batch": (
        "text\n" + "\n".join("abcdefgh"),
        {"answers": "", "at_random": 3, "query": 2, "start": 2},
        ("at_random=3", "query=2"),
    ),
    "no such encoder": (THREE, {"start": 2, "query": 1, "encoder": "./nowhere"}, ("no such folder",)),
    "rows longer than the encoder's": (THREE, {"start": 2, "query": 1, "max_length": 600}, ("max_length", "512")),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_what_cannot_be_labelled_is_one_line(what, tmp_path):
    content, changes, words = MISTAKES[what]
    given = {"text_column": "text", "labels": "x,y", "answers": "label", **changes}
    path = tmp_path / given.pop("name", "mine.csv")
    sizes = {"start": given.pop("start", 10), "query": given.pop("query", 20)}
    sizes |= {name: given.pop(name) for name in ("encoder", "max_length") if name in given}
    at_random = given.pop("at_random", 0)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused(*words):
        rows = read_rows(path, **given)
        labelling.Labelling(rows, labelling.recipe(rows, **sizes), tmp_path / "out", at_random)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("stop_at", "batches", "word"), [(0.0, 1, "stop_at=0.0"), (1.5, 1, "a κ"), (1.0, 0, "batches=0")]
)
def test_a_rule_that_cannot_be_followed_is_refused(stop_at, batches, word):
    agreement.check_rule(1.0, 1)
    with refused(word):
        agreement.check_rule(stop_at, batches)


def test_rows_are_read_each_text_once_and_what_is_left_out_is_said(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('\ufefftext,label\n"a, b",x\n\n ,y\nc,\n"a, b",\nc,y\n"two\nlines",', "utf-8")
    rows = read_rows(path, "text", labels="x,y", label_column="label")
    assert rows.texts == [("a, b",), ("c",), ("two\nlines",)]
    assert rows.numbers == [1, 3, 6]
    assert rows.labels_N.tolist() == [0, 1, UNLABELLED], "a later row may have the label"
    assert rows.notes == ("left out, without text: 1 row", "left out, since their text occurs before: 2 rows")


@pytest.mark.parametrize("nothing", ["nan", "NaN", "None", "<NA>", "#N/A", "null"])
def test_what_programs_write_for_a_missing_text_is_no_text(nothing, tmp_path):
    pairs = [("one", "two"), ("three", nothing), (nothing, "four"), ("five", "none of these")]
    path = write_csv(tmp_path / "mine.csv", [{"a": a, "b": b} for a, b in pairs])
    rows = read_rows(path, "a", "b", labels="x,y")
    assert rows.texts == [pairs[0], pairs[3]]
    assert (rows.notes, rows.in_file) == ((f"left out, without text: 2 rows ({nothing!r} in 2 rows)",), 4)


def test_a_jsonl_file_gives_pairs_numbers_as_labels_and_no_half_characters(tmp_path):
    path = tmp_path / "mine.jsonl"
    lines = [
        {"a": "one\u2028line", "b": "2", "y": 0},
        {"a": "\ud800", "b": "x", "y": 1},
        {"a": "z", "b": "z", "y": None},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    rows = read_rows(path, "a", "b", label_column="y")
    assert rows.texts == [("one\u2028line", "2"), ("\ufffd", "x"), ("z", "z")]
    assert rows.labels == ("0", "1")
    assert rows.labels_N.tolist() == [0, 1, UNLABELLED]


UNNAMED = {
    "csv, pandas' index": ("mine.csv", ",text,label\n0,a,x\n1,b,y\n2,a,x\n"),
    "csv, two without a name": ("mine.csv", "text,label,, \na,x,7,8\nb,y,9,\na,x,,\n"),
    "csv, blanks around names": ("mine.csv", "text , label\na,x\nb,y\na,x\n"),
    "jsonl": ("mine.jsonl", "".join(f'{{"": {n}, "text": "{"aba"[n]}", "label": "{"xyx"[n]}"}}\n' for n in range(3))),
}


@pytest.mark.parametrize("what", UNNAMED)
def test_a_column_without_a_name_is_none_of_those_that_are_not_given(what, tmp_path):
    name, content = UNNAMED[what]
    path = tmp_path / name
    path.write_text(content, "utf-8")
    listed, held, answered = (
        read_rows(path, "text", **given)
        for given in ({"labels": "x,y"}, {"label_column": "label"}, {"answers": "label"})
    )
    assert [rows.texts for rows in (listed, held, answered)] == [[("a",), ("b",)]] * 3
    assert [rows.labels for rows in (listed, held, answered)] == [("x", "y")] * 3
    none, both = [UNLABELLED] * 2, [0, 1]
    assert [rows.labels_N.tolist() for rows in (listed, held, answered)] == [none, both, none]
    assert [rows.answers_N.tolist() for rows in (listed, held, answered)] == [none, none, both]
    with refused("name one, or two different ones"):
        read_rows(path, "", labels="x,y")


@pytest.mark.parametrize("nothing", ["nan", "NaN", "null", "NULL", "None", "N/A", "<NA>", "[]", "['']", '["nan"]'])
def test_nothing_however_it_is_written_is_no_label_and_said(nothing, tmp_path):
    table = [{"text": text, "label": label} for text, label in zip("abcd", ("x", nothing, "y", nothing), strict=True)]
    path = write_csv(tmp_path / "mine.csv", [*table, {"text": "a", "label": nothing}])
    rows = read_rows(path, "text", label_column="label")
    assert rows.labels == ("x", "y")
    assert rows.labels_N.tolist() == [0, UNLABELLED, 1, UNLABELLED]
    assert f"taken for no label: {nothing!r} in 3 rows; if it is a class, name all classes in labels" in rows.notes
    assert read_rows(path, "text", labels="x,y", answers="label").answers_N.tolist() == [0, UNLABELLED, 1, UNLABELLED]


def test_a_class_that_is_named_may_be_called_like_nothing(tmp_path):
    path = write_csv(tmp_path / "mine.csv", [{"text": f"a {text}", "label": text} for text in ("NA", "none", "null")])
    rows = read_rows(path, "text", labels=["NA", "none"], label_column="label")
    assert rows.labels_N.tolist() == [0, 1, UNLABELLED]
    assert rows.notes == ("taken for no label: 'null' in 1 rows; if it is a class, name all classes in labels",)


@pytest.mark.parametrize("value", [None, math.nan, [], [None], [""], "", {}])
def test_nothing_in_json_is_no_label_and_a_list_of_one_is_what_it_holds(value, tmp_path):
    path = tmp_path / "mine.jsonl"
    labels = {"a": ["é, y"], "b": value, "c": [1], "d": 1}
    lines = [json.dumps({"text": text, "label": label}) for text, label in labels.items()]
    path.write_text("\n".join(lines), "utf-8")
    rows = read_rows(path, "text", label_column="label")
    assert rows.labels == ("1", "é, y")
    assert rows.labels_N.tolist() == [1, UNLABELLED, 0, 0]


def test_several_labels_of_a_row_are_refused(tmp_path):
    path = write_csv(tmp_path / "mine.csv", [{"text": "a", "label": "x"}, {"text": "b", "label": "['x', 'y']"}])
    with refused("row 2, column 'label'", "['x', 'y'] are 2 labels", "give each row one"):
        read_rows(path, "text", label_column="label")


def test_a_class_for_nearly_every_row_and_no_row_left_are_said(tmp_path):
    path = write_csv(tmp_path / "mine.csv", [{"id": n, **row} for n, row in enumerate(invented(60))])
    with refused("'id' would give 60 classes for 60 rows", "or name them in labels"):
        read_rows(path, "text", answers="id")
    numbers = [str(n) for n in range(60)]
    assert len(read_rows(path, "text", labels=numbers, answers="id").labels) == 60, "as they were named"
    all_labelled = read_rows(path, "text", label_column="label")
    assert all_labelled.notes == (
        "no row is left to label: 'label' has a label for each; for a trial, name it answers",
    )
    assert read_rows(path, "text", answers="label").notes == ()


def test_blanks_after_commas_and_a_class_with_a_comma(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('text, label\n"one, two", "news, world"\nthree, sport\n', "utf-8")
    for labels in ("", '"news, world", sport'):
        rows = read_rows(path, "text", labels=labels, answers="label")
        assert rows.texts == [("one, two",), ("three",)]
        assert rows.labels == ("news, world", "sport")
        assert rows.answers_N.tolist() == [0, 1]
    path.write_text('text,label\na, "b" c\n', "utf-8")
    assert read_rows(path, "label", labels="x,y").texts == [('"b" c',)], "no quote that opens"


def test_a_field_may_be_long_and_the_limit_of_others_stays(tmp_path):
    path, limit = write_csv(tmp_path / "mine.csv", [{"text": "x" * 150_000}]), csv.field_size_limit()
    assert [len(text) for (text,) in read_rows(path, "text", labels="x,y").texts] == [150_000]
    assert csv.field_size_limit() == limit


# ---- the journal


def test_a_journal_keeps_every_whole_line(tmp_path):
    path, about = tmp_path / "out" / "journal.jsonl", {"labels": ["x", "y"]}
    journal = Journal(path, about)
    for n in range(5):
        journal.append(row=f"r{n}", label="x")
    with open(path, "ab") as file:
        file.write(b'{"row": "r5", "lab')  # killed while it wrote
    again = Journal(path, about)
    assert list(again.said().answers) == ["r0", "r1", "r2", "r3", "r4"]
    again.append(row="r6", label=None)
    again.append(undo=True)
    again.append(row="r7", label="y")
    assert Journal(path, about).said().answers == {**dict.fromkeys(["r0", "r1", "r2", "r3", "r4"], "x"), "r7": "y"}


def test_a_journal_refuses_other_labels_other_writers_and_other_files(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = Journal(path, {"labels": ["x", "y"]})
    second = Journal(path, {"labels": ["x", "y"]})
    first.append(row="a", label="x")
    with refused("changed by another notebook", "run all cells"):
        second.append(row="b", label="y")
    with refused("labels=['x', 'y']", "choose another folder"):
        Journal(path, {"labels": ["x", "z"]})
    path.write_text("a,b\n1,2\n", "utf-8")
    with refused("is not a journal", "choose another folder"):
        Journal(path, {"labels": ["x", "y"]})


def test_a_class_may_be_added_later_but_none_left_out_that_was_given(begun):
    session = begun(answers="")
    session.next_batch()
    session.label(session.pending[0], "positive")
    assert begun(answers="", labels="new,positive,negative").counts == {"new": 0, "positive": 1, "negative": 0}
    with refused("holds the label 'positive'", "add it to labels", "renamed"):
        begun(answers="", labels="new,negative")


def test_contradicting_answers_are_told_and_the_first_holds(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,label\na,\nb,y\na,x\nb,x\na,y\n", "utf-8")
    rows = read_rows(path, "text", answers="label")
    assert [rows.labels[c] for c in rows.answers_N] == ["x", "y"]
    assert "different answers, of which the first holds: rows 2 and 4 ('y' and 'x'), rows 1 and 5" in rows.notes[-1]


# ---- a file that changes


@pytest.fixture
def edited(tmp_path, tiny_encoder):
    """edited(table) → a Labelling of these rows of mine.csv, with the journal of those before."""

    def read(table: list[dict]) -> labelling.Labelling:
        rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", "", "negative,positive", "label")
        return labelling.Labelling(rows, labelling.recipe(rows, 6, 8, tiny_encoder), tmp_path / "out")

    return read


def answered(edited, number: int) -> tuple[list[dict], labelling.Labelling]:
    table = [{**row, "label": ""} for row in invented(20)]
    session = edited(table)
    session.next_batch()
    for row in session.pending[:number]:
        session.label(row, "positive" if row % 2 else "negative")
    return table, session


def exported(session) -> dict[str, tuple[str, str]]:
    """Text → label, from."""
    handover.write_labels(session, session.folder)
    lines = (session.folder / "labelled.jsonl").read_text("utf-8").splitlines()
    return {row["text"]: (row["label"], row["from"]) for row in map(json.loads, lines)}


def test_answers_about_corrected_texts_are_told_kept_and_found_again(edited):
    table, session = answered(edited, 6)
    before, asked = exported(session), session.asked()
    changed = [{**row, "text": row["text"].replace(" film", "  film!")} for row in table]
    again = edited(changed)
    (said,) = changes.say_changes(again)
    assert said.startswith(f"6 answers in the journal are about texts that are not in mine.csv (rows {asked[0] + 1}, ")
    assert "6 of them have a similar text in the same place" in said
    assert "set corrected=True" in said
    assert exported(again) == before, "nothing is written over with nothing"
    kept = [json.loads(line) for line in (again.folder / "not-in-the-file.jsonl").read_text("utf-8").splitlines()]
    assert [(line["number"], line["label"]) for line in kept] == [(n + 1, session.rows.labels[n % 2]) for n in asked]

    assert changes.follow_file(again) == 6
    assert changes.say_changes(again) == []
    assert exported(again) == {text.replace(" film", "  film!"): label for text, label in before.items()}
    assert not (again.folder / "not-in-the-file.jsonl").exists()
    assert again.asked() == asked
    assert changes.say_changes(edited(changed)) == []
    (back,) = changes.say_changes(edited(table))
    assert "6 of them have a similar text" in back
    again.undo()
    assert len(changes.gone(again)) == 6, "one line, one undo"
    assert changes.say_changes(edited(table)) == [], "the old texts have the old answers"


def test_the_prediction_made_for_a_row_stays_with_its_corrected_text(begun, tmp_path):
    session = begun()
    session.answer_from_column(2)
    before = agreement.answers(session)
    write_csv(tmp_path / "mine.csv", [{**row, "text": row["text"].upper()} for row in invented(40)])
    again = begun()
    changes.follow_file(again)
    assert agreement.answers(again).equals(before)


def test_another_text_in_the_same_place_gets_no_label_and_moved_rows_keep_theirs(edited):
    table, session = answered(edited, 6)
    first, second = session.asked()[:2]
    labels = {session.rows.texts[n]: session.labels_N[n] for n in session.labelled}
    moved = edited(table[::-1])
    assert {moved.rows.texts[n]: moved.labels_N[n] for n in moved.labelled} == labels
    assert changes.say_changes(moved) == []
    table[first] = {"text": "quite something else, which nobody has seen", "label": ""}
    del table[second]
    again = edited(table)
    (said,) = changes.say_changes(again)
    assert said.startswith(f"2 answers in the journal are about texts that are not in mine.csv (rows {first + 1}, ")
    assert changes.follow_file(again) == 0
    assert len(exported(again)) == 4


def test_a_label_corrected_in_the_file_is_told_and_holds_on_request(edited):
    table, session = answered(edited, 6)
    wrong, right, skipped = session.asked()[:3]
    session.skip(skipped)
    name = {n: session.rows.labels[n % 2] for n in (wrong, right, skipped)}
    other = {"positive": "negative", "negative": "positive"}[name[wrong]]
    table[wrong]["label"], table[right]["label"], table[skipped]["label"] = other, name[right], name[skipped]
    again = edited(table)
    assert changes.say_changes(again) == [
        f"1 answers in the journal are not what mine.csv says (row {wrong + 1}: {other!r} in the file, {name[wrong]!r} "
        "in the journal): the journal's count; set corrected=True to take the file's"
    ]
    files = exported(again)
    assert files[table[wrong]["text"]] == (name[wrong], "labelling")
    assert files[table[skipped]["text"]] == (name[skipped], "the file")
    assert changes.follow_file(again) == 1
    assert exported(again)[table[wrong]["text"]][0] == other
    again.label(wrong, name[wrong])
    assert changes.say_changes(again) == [], "it was known what the file says"
    assert changes.follow_file(edited(table)) == 0, "so a correction after it is not undone by the next run"


def test_an_earlier_answer_is_corrected_alone(begun):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    first, second, third, *_ = session.pending
    for row in (first, second):
        widget.receive({"row": row, "label": "positive"})
    assert [answer["row"] for answer in widget.shown["earlier"]] == [second, first]
    widget.receive({"correct": third})
    assert widget.shown["row"] == third
    assert not widget.shown["correcting"], "it has no answer"
    widget.receive({"correct": first})
    assert (widget.shown["row"], widget.shown["place"]) == (first, "correcting an answer: positive")
    widget.receive({"row": third, "label": "positive"})
    assert widget.shown["row"] == first, "an answer about another row is none"
    widget.receive({"row": first, "label": "negative"})
    assert (widget.shown["row"], widget.shown["counts"]) == (third, [1, 1])
    assert begun(answers="").said.answers == {
        session.rows.keys[n]: name for n, name in ((second, "positive"), (first, "negative"))
    }
    widget.receive({"undo": True})
    assert widget.shown["counts"] == [0, 2], "the answer before it holds again"
    widget.receive({"correct": first})
    widget.receive({"correct": None})
    assert widget.shown["row"] == third
    session.skip(first)
    assert session.counts == {"negative": 0, "positive": 1}
    assert first not in session.pending


def test_a_journal_without_texts_and_places_is_read_as_before(edited):
    table, session = answered(edited, 6)
    lines = [json.loads(line) for line in session.journal.path.read_text("utf-8").splitlines()]
    bare = [{name: line[name] for name in line if name not in ("number", "texts", "file")} for line in lines]
    session.journal.path.write_text("".join(json.dumps(line) + "\n" for line in bare), "utf-8")
    assert edited(table).counts == session.counts
    table[session.asked()[0]]["text"] += "!"
    (said,) = changes.say_changes(edited(table))
    assert said == (
        "1 answers in the journal are about texts that are not in mine.csv and do not count: bring these texts back to "
        "have the labels again"
    )


# ---- what is asked


def test_labelling_from_the_first_row_to_the_last(begun):
    session = begun()
    session.answer_from_column(20)
    assert len(session.labelled) == 40
    assert not session.pending
    assert not len(session.pool)
    truth = [session.rows.labels[c] for c in session.rows.answers_N]
    assert session.said.answers == dict(zip(session.rows.keys, truth, strict=True))
    assert session.counts == {"negative": 20, "positive": 20}
    asked = session.asked()
    assert sorted(asked) == list(range(40)), "no row is asked about twice"
    batches = session.said.batches
    assert [len(batch["rows"]) for batch in batches] == [6, 8, 8, 8, 8, 2]
    assert [batch["labelled"] for batch in batches] == [0, 6, 14, 22, 30, 38]
    assert [batch["picked"].count("random") for batch in batches] == [6, 3, 3, 3, 3, 2]
    assert set(batches[0]["predicted"]) == {None}
    session.next_batch()
    assert session.said.batches == batches
    assert agreement.say_stop(session, 0.99) == "No row is left to label."


def test_a_labelling_goes_on_where_it_was_left(begun):
    session = begun()
    session.answer_from_column(2)
    session.next_batch()
    first, second, *rest = session.pending
    session.label(first, "negative")
    session.skip(second)
    again = begun()
    assert again.pending == rest
    assert again.said == session.said
    assert len(again.labelled) == 15
    again.undo()
    assert again.pending == [second, *rest]
    again.undo()
    again.label(first, "positive")
    assert again.said.answers[again.rows.keys[first]] == "positive"
    with refused("was not asked about"):
        again.label(int(again.pool[0]), "negative")
    with refused("'other' is not in the list"):
        again.label(second, "other")


def test_the_same_answers_give_the_same_batches(begun, tmp_path):
    one = begun()
    one.answer_from_column(4)
    (tmp_path / "out").rename(tmp_path / "before")
    two = begun()
    two.answer_from_column(4)

    def without_times(session):
        return [{name: value for name, value in line.items() if name != "at"} for line in session.journal.lines]

    assert without_times(one) == without_times(two)


def test_an_undone_answer_of_an_earlier_batch_keeps_the_prediction_made_before_it(begun):
    session = begun()
    session.answer_from_column(2)
    last = list(session.said.answers)[-1]
    session.next_batch()
    before = agreement.answers(session)
    session.undo()
    assert session.rows.keys[session.pending[0]] == last
    assert len(agreement.answers(session)) == 0, "the batch is not complete any more"
    session.label(session.pending[0], before["label"].iloc[-1])
    assert agreement.answers(session).equals(before)


def test_what_the_model_thinks_is_not_shown_before_its_batch_is_complete(begun):
    session = begun()
    session.answer_from_column(2)
    session.next_batch()
    before = agreement.say_agreement(session)
    assert "Of all" not in before, "one batch: the sentence before has said it"
    while len(session.pending) > 1:
        session.label(session.pending[0], "positive")
        assert agreement.say_agreement(session) == before
    session.label(session.pending[0], "positive")
    after = agreement.say_agreement(session)
    table = agreement.answers(session)
    random = table[table["picked"] == "random"]
    assert f"Of all {len(random)} rows drawn at random" in after
    assert agreement.percent(random["agreed"].mean()) in after


def test_rows_of_rare_classes_are_repeated_as_far_as_balance_says(begun, monkeypatch):
    labels_N = np.full(30, UNLABELLED)
    labels_N[3:19], labels_N[20:24], labels_N[29] = 0, 1, 2
    assert balanced(labels_N, 0).tolist() == np.flatnonzero(labels_N != UNLABELLED).tolist()
    for balance, numbers in ((0.5, (16, 8, 4)), (1, (16, 16, 16))):
        rows = balanced(labels_N, balance)
        assert [int((labels_N[rows] == c).sum()) for c in range(3)] == list(numbers)
        times = Counter(rows.tolist())
        assert {times[n] for n in range(20, 24)} == {numbers[1] // 4}, "each row of a class as often as the others"
    assert Counter(Counter(balanced(np.array([0] * 5 + [1] * 3), 1).tolist()).values()) == {1: 6, 2: 2}
    assert not len(balanced(np.full(3, UNLABELLED), 1))

    trained = []
    monkeypatch.setattr("lib.labelling.chooser.train", lambda _, rows, labelled, *__: trained.append(labelled))
    session = begun(answers="", balance=1)
    session.next_batch()
    for n, row in enumerate(session.pending):
        session.label(row, "positive" if n else "negative")
    session.fit()
    assert Counter(session.labels_N[trained[0]].tolist()) == {0: 5, 1: 5}
    with refused("balance=1.5", "give 0", "to 1"):
        begun(balance=1.5)


def test_labels_of_the_file_count_and_one_class_is_not_trained_on(tmp_path, tiny_encoder):
    table = invented(30)
    for n, row in enumerate(table):
        row["label"] = "negative" if n % 2 == 0 and n < 20 else ""
    rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", "", "negative,positive", "label")
    session = labelling.Labelling(rows, labelling.recipe(rows, 4, 5, tiny_encoder), tmp_path / "out", 2)
    assert session.counts == {"negative": 10, "positive": 0}
    assert not session.ready
    with refused("two classes or more"):
        session.fit()
    assert "all 10 labels are 'negative'" in agreement.say_stop(session, 0.99)
    session.next_batch()
    assert session.said.batches[0]["picked"] == ["random"] * 5
    for row in session.pending:
        session.label(row, "positive" if row % 2 else "negative")
    session.next_batch()
    assert session.said.batches[1]["picked"].count("bald") == 3


def test_enough_labels_of_the_file_are_trained_on_before_the_first_question(tmp_path, tiny_encoder):
    table = [{**row, "label": row["label"] if n < 20 else ""} for n, row in enumerate(invented(60))]
    rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", label_column="label")
    session = labelling.Labelling(rows, labelling.recipe(rows, 10, 20, tiny_encoder), tmp_path / "out", 5)
    assert chosen(Labeller(session, 0.99)).shown["place"] == "batch 1, row 1 of 20"
    (batch,) = session.said.batches
    assert (batch["labelled"], batch["picked"].count("bald"), batch["picked"].count("random")) == (20, 15, 5)
    assert batch["kappa"] is None, "no model came before"
    for row in session.pending:
        session.label(row, ("negative", "positive")[row % 2])
    session.next_batch()
    assert isinstance(session.said.batches[1]["kappa"], float)


def test_predictions_left_by_another_journal_are_not_those_of_a_model_before(begun):
    session = begun()
    session.answer_from_column(1)
    left = {"batch": 0, "predictions": dict.fromkeys(session.rows.keys, "positive")}
    (session.folder / "predictions.json").write_text(json.dumps(left), "utf-8")
    session.next_batch()
    assert session.said.batches[1]["kappa"] is None


# ---- how good, and when to stop


def test_the_learning_curve_counts_what_was_predicted_before(begun):
    session = begun()
    session.answer_from_column(4)
    curve = agreement.learning_curve(session)
    right = {}
    for batch in session.said.batches[1:]:
        for key, picked, predicted in zip(batch["rows"], batch["picked"], batch["predicted"], strict=True):
            right.setdefault((batch["batch"], picked), []).append(predicted == session.said.answers[key])
    assert {(row["batch"], row["picked"]): (row["rows"], row["agreement"]) for _, row in curve.iterrows()} == {
        group: (len(values), sum(values) / len(values)) for group, values in right.items()
    }
    for _, row in curve.iterrows():
        n, p, z = row["rows"], row["agreement"], 1.959963984540054
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        ends = ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
        assert (row["low"], row["high"]) == pytest.approx(ends, abs=1e-9)


def test_kappa_is_that_of_scikit_learn_and_0_where_nothing_was_learnt():
    rng = np.random.default_rng(0)
    for classes in (2, 3, 5):
        a, b = rng.integers(classes, size=(2, 50))
        assert labelling.kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))
        assert labelling.kappa(a, a) == 1
    assert labelling.kappa([1, 1, 1], [1, 1, 1]) == 0
    assert labelling.kappa([], []) == 0


def test_successive_models_are_compared_on_unlabelled_rows(begun):
    session = begun()
    session.answer_from_column(4)
    kappas = [batch.get("kappa") for batch in session.said.batches]
    assert kappas[:2] == [None, None], "the first model has none before it"
    assert all(-1 <= kappa <= 1 for kappa in kappas[2:])
    assert agreement.say_stop(session, 0.99).startswith("Go on: the rule needs 3 agreements")


@pytest.mark.parametrize(("threshold", "word"), [(0.9, "You may stop"), (0.99, "Go on")])
def test_the_rule_for_stopping_averages_three_agreements(threshold, word, begun):
    session = begun()
    assert agreement.say_stop(session, threshold) == "Go on: the model is first trained on 6 labels."
    session.answer_from_column(1)
    for number, kappa in enumerate([0.1, 1.0, 0.9, 0.95], 1):
        session.journal.append(batch=number, rows=[], picked=[], predicted=[], labelled=0, kappa=kappa)
    said = agreement.say_stop(session, threshold)
    assert said.startswith(word)
    assert "mean κ of 0.95" in said


# ---- the widget


def test_the_widget_takes_answers_to_the_row_that_it_shows_and_no_others(begun):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    row = widget.shown["row"]
    for stale in ({"row": row + 1, "label": "positive"}, {"row": row, "label": "other"}, {"label": "positive"}, {}):
        turn = widget.shown["turn"]
        widget.receive(stale)
        assert widget.shown["row"] == row
        assert widget.shown["turn"] > turn, "the page is told, or it would wait"
    assert not session.said.answers
    widget.receive({"row": row, "label": "positive"})
    widget.receive({"row": row, "label": "positive"})
    assert list(session.said.answers.values()) == ["positive"]
    second = widget.shown["row"]
    widget.receive({"row": second, "skip": True})
    widget.receive({"undo": True})
    assert widget.shown["row"] == second
    assert widget.shown["counts"] == [0, 1]


@pytest.fixture
def held(monkeypatch):
    """A threading.Event without which no training ends."""
    event = threading.Event()

    def late(*arguments):
        losses = train(*arguments)
        assert event.wait(60)
        return losses

    monkeypatch.setattr("lib.labelling.chooser.train", late)
    return event


def test_the_widget_trains_when_a_batch_is_complete_and_asks_on_meanwhile(begun, held, tmp_path):
    at_once = begun(answers="")
    at_once.next_batch()
    for row in at_once.pending:
        at_once.label(row, at_once.rows.labels[row % 2])
    held.set()
    at_once.next_batch()
    wanted = at_once.said.batches[1]
    at_once.folder.rename(tmp_path / "at once")
    held.clear()

    session = begun(answers="")
    widget = Labeller(session, 0.99)
    for row in session.pending:
        assert not widget.shown["working"]
        widget.receive({"row": row, "label": session.rows.labels[row % 2]})
    assert widget.shown["working"].startswith("Training on 6 labels: step ")
    assert widget.shown["place"] == "batch 2, row 1 of 8"
    meanwhile = session.pending
    assert len(meanwhile) == 3
    widget.receive({"progress": True})
    assert widget.progress["said"].startswith("Training on 6 labels: step ")
    first, second = meanwhile[0], meanwhile[1]
    widget.receive({"row": first, "label": "negative"})
    widget.receive({"undo": True})
    assert widget.shown["row"] == first
    widget.receive({"row": first, "label": "positive"})
    assert (widget.shown["row"], widget.shown["place"]) == (second, "batch 2, row 2 of 8")
    assert agreement.answers(session).empty, "what the model thinks of them is not known, nor shown"
    widget.receive({"correct": first})
    widget.receive({"row": first, "label": "negative"})
    turn = widget.shown["turn"]
    held.set()
    chosen(widget)
    widget.receive({"progress": True})
    assert widget.shown["turn"] == turn + 1, "a question that comes late changes nothing"
    assert (widget.shown["row"], widget.shown["place"]) == (second, "batch 2, row 2 of 8"), "it is being read"

    (_, batch) = session.said.batches
    assert (batch["labelled"], batch["picked"].count("random")) == (6, 3)
    assert session.said.lines[batch["rows"][0]]["label"] == "negative"
    for name in ("picked", "predicted"):  # chosen and predicted as if nobody had answered meanwhile
        assert dict(zip(batch["rows"], batch[name], strict=True)) == dict(
            zip(wanted["rows"], wanted[name], strict=True)
        )
    assert batch["rows"][2:] == [key for key in wanted["rows"] if key not in batch["rows"][:2]]


def test_all_rows_at_random_may_be_answered_before_the_model_has_chosen(begun, held):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    for row in [*session.pending]:
        widget.receive({"row": row, "label": session.rows.labels[row % 2]})
    for row in [*session.pending]:
        widget.receive({"row": row, "skip": True})
    assert (widget.shown["row"], widget.shown["place"]) == (None, "")
    assert widget.shown["working"]
    assert widget.shown["done"] == 3 / 8
    held.set()
    assert chosen(widget).shown["place"] == "batch 2, row 4 of 8"
    assert session.said.batches[1]["picked"] == ["random"] * 3 + ["bald"] * 5


def test_a_labelling_killed_while_the_model_chooses_goes_on(begun, held):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    for row in [*session.pending]:
        widget.receive({"row": row, "label": session.rows.labels[row % 2]})
    row = widget.shown["row"]
    widget.receive({"row": row, "label": "negative"})
    held.set()
    again = begun(answers="")  # as if the kernel had been killed there: what is chosen is noted by nobody
    assert again.begun == session.begun
    assert len(again.labelled) == 7
    assert chosen(Labeller(again, 0.99)).shown["place"] == "batch 2, row 2 of 8"
    assert again.said.batches[1]["labelled"] == 6, "what it predicts for the row was not learnt from its label"
    with refused("changed by another notebook"):
        session.end_batch()


def test_a_batch_that_was_begun_is_drawn_at_random_if_there_are_no_two_classes_any_more(begun):
    session = begun(answers="")
    session.next_batch()
    for row in session.pending:
        session.label(row, "positive")
    session.label(session.labelled[0], "negative")
    session.begin_batch()
    session.model.result()
    session.label(session.asked(0)[0], "positive")
    session.label(session.asked()[-1], "negative")
    for row in session.asked(0):
        session.label(row, "positive")
    assert not session.ready, "the label of the batch that was begun does not count yet"
    session.next_batch()
    assert session.begun is None
    assert session.said.batches[1]["picked"] == ["random"] * 8
    assert len(session.pending) == 7


def test_an_answer_that_cannot_be_saved_is_not_taken(begun):
    session = begun(answers="")
    widget = Labeller(session, 0.99)
    row = widget.shown["row"]
    session.journal.path.unlink()
    session.journal.path.mkdir()
    widget.receive({"row": row, "label": "positive"})
    assert "the answer is not saved" in widget.shown["error"]
    assert widget.shown["row"] == row


@pytest.mark.parametrize("raised", [IndexError("index 9\nsee above"), AssertionError(), KeyboardInterrupt()])
def test_whatever_training_raises_is_shown_and_the_answers_stay(raised, begun, monkeypatch):
    def fail(*_):
        raise raised

    session = begun(answers="")
    widget = Labeller(session, 0.99)
    with monkeypatch.context() as broken:
        broken.setattr("lib.labelling.chooser.train", fail)
        for row in session.pending:
            widget.receive({"row": row, "label": session.rows.labels[row % 2]})
        session.model.background.wait()
        widget.receive({"progress": True})
    first_line = {"IndexError": "IndexError: index 9"}.get(type(raised).__name__, type(raised).__name__)
    assert widget.shown["error"].startswith(f"{first_line}: answers so far are saved; run all cells")
    assert (widget.shown["working"], widget.shown["total"]) == ("", "6 labelled, 0 skipped, 34 left")
    widget.receive({"row": widget.shown["row"], "label": "positive"})
    assert chosen(widget).shown["place"] == "batch 2, row 2 of 8", "the next answer tries again"
    assert chosen(Labeller(begun(answers=""), 0.99)).shown["place"] == "batch 2, row 2 of 8", "the cell, run again"


UNFIT = {
    "more tokens than embeddings": ({"vocab_size": 2000}, ("its tokenizer gives token", "embeds 2000")),
    "one kind of text": ({"type_vocab_size": 1}, ("knows single texts only", "or one text column")),
}


@pytest.mark.parametrize("what", [*UNFIT, "a tokenizer that needs a package"])
def test_an_encoder_that_cannot_be_trained_is_refused_before_the_first_answer(what, tmp_path, monkeypatch):
    config, words = UNFIT.get(what, ({}, ("cannot be loaded (ModuleNotFoundError: fugashi)", "install what it needs")))
    encoder = str(write_checkpoint(tmp_path / "encoder", tiny_config(**config)))
    if what not in UNFIT:

        def lacking(*_, **__):
            raise ModuleNotFoundError("fugashi")

        monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lacking)
    table = [{**row, "other": "a film"} for row in invented(20)]
    rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", "other", "negative,positive")
    with refused(f"encoder={encoder!r}", *words):
        labelling.Labelling(rows, labelling.recipe(rows, 6, 8, encoder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_texts_stay_texts(tmp_path, tiny_encoder):
    rows = [{"text": text, "label": ""} for text in HOSTILE] + invented(12)
    read = read_rows(write_csv(tmp_path / "mine.csv", rows), "text", "", "negative,positive", "label")
    session = labelling.Labelling(read, labelling.recipe(read, 17, 2, tiny_encoder), tmp_path / "out")
    widget = Labeller(session, 0.99)
    page = widget._repr_mimebundle_()
    page = (page[0] if isinstance(page, tuple) else page)["text/html"]
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;" in page
    assert "\x1b" not in page
    while session.pending:
        session.label(session.pending[0], "positive")
        session.next_batch()
    written, exact = handover.write_labels(session, tmp_path / "out")
    with open(written, encoding="utf-8", newline="") as file:
        cells = [row["text"] for row in csv.DictReader(file)]
    assert len(cells) == len(read)
    assert not [cell for cell in cells if cell.lstrip()[0] in "=+-@"]
    assert "'=HYPERLINK(1)" in cells
    texts = [json.loads(line)["text"] for line in exact.read_text("utf-8").split("\n")[:-1]]
    assert texts == [text for (text,) in read.texts]


# ---- what is handed over


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_other_columns_of_the_file_follow_the_label_as_they_are(kind, tmp_path, tiny_encoder):
    table = [{"id": f"0{n}", "row": "=1+1", **row, "n": n, "": None} for n, row in enumerate(invented(20))]
    path = tmp_path / f"mine.{kind}"
    if kind == "csv":
        write_csv(path, table)
    else:
        path.write_text("".join(json.dumps({**row, "id": f"\ud800{row['id']}"}) + "\n" for row in table), "utf-8")
    rows = read_rows(path, "text", label_column="label")
    session = labelling.Labelling(rows, labelling.recipe(rows, 6, 8, tiny_encoder), tmp_path / "out")
    sheet, exact = handover.write_labels(session, tmp_path / "out")
    with open(sheet, encoding="utf-8", newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header == ["row", "text", "label", "from", "by", "at", "ambiguous", "id", "row (file)", "n", "column 6"]
    beyond = "\ufffd" if kind == "jsonl" else ""
    assert first == ["1", "awful film 0", "negative", "the file", "", "", "", f"{beyond}00", "'=1+1", "0", ""]
    last = json.loads(exact.read_text("utf-8").split("\n")[-2])
    others = {"id": "019", "row (file)": "=1+1", "n": "19", "column 6": ""}
    if kind == "jsonl":
        others |= {"id": "\ufffd019", "n": 19, "column 6": None}
    ours = {"label": "positive", "from": "the file", "by": None, "at": None, "ambiguous": None}
    assert last == {"row": 20, "text": "superb film 19", **ours, **others}


def test_every_row_is_scored_labelled_or_not(begun, tmp_path):
    session = begun()
    session.answer_from_column(2)
    sheet, exact = handover.write_scores(session, tmp_path)
    table = pd.read_json(exact, lines=True)
    assert table["row"].tolist() == session.rows.numbers
    known = table["label"].notna()
    assert known.sum() == len(session.labelled) < len(table)
    assert table["at"].notna().tolist() == known.tolist()
    expected = handover.score(handover.trained_on(session), session.rows.texts)
    assert table["prediction"].tolist() == expected["label"].tolist()
    assert np.allclose(table[["probability", "bald"]], expected[["probability", "bald"]], atol=1e-6)
    assert len(pd.read_csv(sheet)) == len(table)


@pytest.mark.parametrize("strategy", ["margin", "powerbald", "random"])
def test_another_strategy_picks_and_is_named(strategy, begun, tmp_path):
    session = begun(strategy=strategy)
    session.answer_from_column(2)
    picked = Counter(session.said.batches[1]["picked"])
    assert picked == ({"random": 8} if strategy == "random" else {"random": 3, strategy: 5})
    assert "drawn at random" in agreement.say_agreement(session)
    assert ("picked by" in agreement.say_agreement(session)) == (strategy != "random")
    with refused("strategy='bold' is not known (did you mean bald?)"):
        begun(strategy="bold")


def test_what_picks_sees_the_rows_labelled_so_far_and_their_labels(begun, monkeypatch):
    seen = []

    def last(scores_N, query, rng, view):
        seen.append((view.labelled.labels_N.tolist(), len(view.labelled.features_NF), len(view.features_NF)))
        return np.arange(len(scores_N))[-query:]

    monkeypatch.setitem(STRATEGIES, "last", Strategy("the last rows", bald, last))
    session = begun(strategy="last")
    session.answer_from_column(1)
    labels = session.labels_N[session.labelled].tolist()
    session.answer_from_column(2)
    assert seen == [(labels, 6, 40 - 6 - 3)]
    assert Counter(session.said.batches[1]["picked"]) == {"random": 3, "last": 5}
    how = dict(zip(session.asked(1), session.said.batches[1]["picked"], strict=True))
    others = [row for row in range(40) if row not in session.asked(0) and how.get(row) != "random"]
    assert sorted(row for row, picked in how.items() if picked == "last") == others[-5:]


def test_the_classifier_of_the_files_says_what_the_trained_one_says(begun, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    session = begun()
    session.answer_from_column(2)
    trained = handover.trained_on(session)
    handover.save_classifier(trained, tmp_path / "classifier")
    texts = ["a superb film", "awful", "", "x " * 300]
    expected = handover.score(trained, texts)
    assert handover.score(handover.load_classifier(tmp_path / "classifier"), texts).equals(expected)
    assert expected["probability"].between(0.5, 1).all()
    assert expected["bald"].between(0, math.log(2)).all()

    loaded = AutoModel.from_pretrained(tmp_path / "classifier" / "encoder")
    weights = trained.classifier.encoder.bert.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in loaded.state_dict().items() if name in weights)
    assert not set(weights) - set(loaded.state_dict())
    assert AutoTokenizer.from_pretrained(tmp_path / "classifier" / "encoder")("film")["input_ids"][0] == 101
    with refused("needs 1 texts"):
        handover.score(trained, [("a", "b")])
    (tmp_path / "classifier" / "decoder.safetensors").unlink()
    with refused("has no decoder.safetensors"):
        handover.load_classifier(tmp_path / "classifier")


@pytest.mark.parametrize(
    ("strategy", "balance", "told"),
    [
        (
            "powerbald",
            0.5,
            "picked by active learning (PowerBALD); labels of rare classes count more often (balance=0.5)",
        ),
        ("random", 0.0, "drawn at random; each label counts once"),
    ],
)
def test_the_classifier_and_its_card_say_how_rows_were_chosen_and_counted(strategy, balance, told, begun, tmp_path):
    session = begun(strategy=strategy, balance=balance)
    session.answer_from_column(2)
    card = handover.model_card(session, "Rarely wrong.")
    assert told in card
    assert f"tags: [active-learning, {strategy}]" in card
    handover.save_classifier(handover.trained_on(session), tmp_path / "classifier", card)
    assert json.loads((tmp_path / "classifier" / "classifier.json").read_text())["balance"] == balance
    assert handover.load_classifier(tmp_path / "classifier").balance == balance


def pairs(tmp_path, tiny_encoder) -> labelling.Labelling:
    more = [{**row, "more": f"the {n} end"} for n, row in enumerate(invented(40))]
    rows = read_rows(
        write_csv(tmp_path / "pairs.csv", more), "text", "more", labels="negative,positive", answers="label"
    )
    protocol = dataclasses.replace(labelling.recipe(rows, 6, 8, tiny_encoder), threads=1, precision="float32")
    return labelling.Labelling(rows, protocol, tmp_path / "out", 3, "label")


@pytest.mark.parametrize("kind", ["one text, CNN", "pairs, CNN", "one text, linear"])
def test_score_py_alone_says_what_the_classifier_says(kind, begun, tmp_path, tiny_encoder, capsys):
    """An implementation of its own, padded and without lib, called from another folder."""
    if kind == "pairs, CNN":
        session = pairs(tmp_path, tiny_encoder)
    else:
        session = begun()
        decoder = kind.split(", ")[1].lower()
        session.protocol = dataclasses.replace(session.protocol, precision="float32", decoder=decoder)
        session.model.theta_0 = build_classifier(session.protocol, 2)
    session.answer_from_column(2)
    trained = handover.trained_on(session)
    handover.save_classifier(trained, tmp_path / "classifier", handover.model_card(session, "Rarely wrong."))
    texts = [("a superb film", "ok"), ("awful", "no"), ("x " * 300, "y " * 200), ("a film, 'quoted' \"so\"", "é 字")]
    texts = [row[: len(trained.columns)] for row in texts]
    expected = handover.score(trained, texts)
    new = [{"id": n, **dict(zip(trained.columns, row, strict=True))} for n, row in enumerate(texts)]
    write_csv(tmp_path / "new.csv", new)
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "classifier" / "score.py"
    command = [sys.executable, "-I", script, "--file", tmp_path / "new.csv"]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(io.StringIO(done.stdout))
    assert found["id"].tolist() == [0, 1, 2, 3]
    assert found["prediction"].tolist() == expected["label"].tolist()
    assert np.allclose(found["probability"], expected["probability"], atol=1e-4)
    main = runpy.run_path(str(script))["main"]
    main(texts[0])
    assert capsys.readouterr().out.splitlines()[1].split(",")[-2:] == done.stdout.splitlines()[1].split(",")[-2:]
    with pytest.raises(SystemExit) as ended:
        main(["--file", str(tmp_path / "none.csv")])
    assert "none.csv" in str(ended.value.code)
    assert "\n" not in str(ended.value.code)
    card = (tmp_path / "classifier" / "README.md").read_text("utf-8")
    assert "Rarely wrong." in card
    assert "the others picked by active learning (BALD)" in card
    assert f"above it a {'CNN' if 'CNN' in kind else 'linear'} decoder" in card
    assert all(f"| {name} | {number} |" in card for name, number in session.counts.items())
    needed = (tmp_path / "classifier" / "requirements.txt").read_text().splitlines()
    assert {"torch", "safetensors", "tokenizers", "pandas", "openpyxl"} <= {line.split(">=")[0] for line in needed}


# ---- notebook 07


def test_it_runs_on_request_alone_and_finds_the_callers_file(tmp_path):
    assert NOTEBOOK not in dict(planned(tmp_path).jobs)
    asked = ["--only", "07", "-p", "path", "mine.csv", "-p", "labels", "a,b"]
    ((path, values),) = planned(tmp_path, *asked).jobs
    assert path == NOTEBOOK
    assert values == {"path": str(tmp_path / "mine.csv"), "labels": "a,b"}
    assert status.needed_runs(planned(tmp_path, *asked)) == []


@pytest.mark.parametrize("strategy", ["bald", "random"])
def test_the_notebook_runs_without_a_person(strategy, tmp_path, tiny_encoder, monkeypatch):
    as_in_a_new_shell(monkeypatch)
    prepare_environment()
    column = "<b>*text*</b>"
    path = write_csv(tmp_path / "mine.csv", [{column: row["text"], "label": row["label"]} for row in invented(60)])
    values = {"path": str(path), "text_column": column, "answers": "label", "encoder": tiny_encoder, "batches": 3}
    values["strategy"] = strategy
    executed = tmp_path / "executed.ipynb"
    assert execution.execute(NOTEBOOK, executed, values) == ("", "")
    outputs = [output for cell in nbformat.read(executed, as_version=4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    (page,) = [data["text/html"] for data in shown if "Asked next" in data.get("text/html", "")]
    assert "50 labelled, 0 skipped" in page
    assert any("image/png" in data for data in shown)
    (answer,) = [text for data in shown if (text := data.get("text/markdown", "")).startswith("**Answer.** ")]
    assert "Trained on 30 labels" in answer
    tables = "".join(markdown2html(data["text/markdown"]) for data in shown if "text/markdown" in data)
    assert "&lt;b&gt;*text*&lt;/b&gt;</th>" in tables, "a name is text, neither HTML nor Markdown"
    folder = tmp_path / "mine-answered"
    assert len((folder / "labelled.jsonl").read_text("utf-8").splitlines()) == 50
    texts = handover.score(handover.load_classifier(folder / "classifier"), ["superb film", "awful film"])
    assert set(texts["label"]) <= {"negative", "positive"}


def test_a_class_name_in_a_sentence_is_text(tmp_path, tiny_encoder):
    hostile = ["<img src=x onerror=alert(1)>", "[a](javascript:alert(1)) **bold** `c`"]
    table = [{"text": f"film {n}", "label": hostile[1] if n < 9 else ""} for n in range(20)]
    labels = ",".join(f'"{name}"' for name in hostile)
    rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", "", labels, "label")
    session = labelling.Labelling(rows, labelling.recipe(rows, 6, 8, tiny_encoder), tmp_path / "out")
    said = agreement.say_stop(session, 0.99)
    page = markdown2html(in_markdown(said))
    assert not re.findall(r"<(?!/?p>)", page)
    assert "[a](javascript:alert(1)) **bold**" in page

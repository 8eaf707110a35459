"""One class in several spellings, several classes in one cell, and the order of classes."""

import pytest
from helpers import refused
from test_labelling import write_csv

from lib.data.own_rows import OwnRows, read_rows


@pytest.fixture
def read(tmp_path):
    """read(column, labels) → the rows of a file whose column of labels holds these, with a row more of "other"."""

    def rows(column: list[str], labels="") -> OwnRows:
        table = [{"text": f"text {n}", "label": label} for n, label in enumerate([*column, "other"])]
        return read_rows(write_csv(tmp_path / "mine.csv", table), "text", "", labels, "label")

    return rows


def about(rows: OwnRows, words: str) -> list[str]:
    return [note for note in rows.notes if words in note]


ONE = {
    "composed or not": ["né", "ne\u0301"],
    "zero width space": ["good", "good\u200b", "go\u200bod"],
    "zero width joiners": ["good", "go\u200dod", "go\u200cod", "\u200dgood"],
    "soft hyphen": ["good", "go\xadod"],
    "byte order mark": ["good", "\ufeffgood"],
    "word joiner": ["good", "go\u2060od"],
    "direction": ["good", "\u200egood\u200f"],
    "control": ["good", "go\x00od"],
    "no-break space within": ["very good", "very\u00a0good", "very  good"],
    "float": ["1", "1.0", "1.00"],
}


@pytest.mark.parametrize("what", ONE)
def test_spellings_that_look_the_same_are_one_class_and_noted(what, read):
    spellings = ONE[what]
    rows = read(spellings)
    assert set(rows.labels) == {spellings[0], "other"}
    assert len(set(rows.labels_N[:-1])) == 1
    (note,) = about(rows, "read as the same class")
    assert note.count(repr(spellings[0])) == len(spellings) - 1
    named = read(spellings, f"{spellings[-1]},other")
    assert len(named.labels) == 2, "what is named in labels is read alike"
    assert not about(named, "may be one")


@pytest.mark.parametrize(
    "spellings",
    [["Good", "good", "GOOD"], ["１", "1"], ["1", "01"], ["1", "true"], ["0", "0.0", "False"], ["-1", "−1"]],
    ids=str,
)
def test_spellings_that_may_differ_on_purpose_are_a_warning_and_one_class_if_that_is_named(spellings, read):
    rows = read(spellings)
    (note,) = about(rows, "may be one")
    assert {spellings[0], spellings[-1]} <= set(rows.labels)
    assert all(repr(name) in note for name in (spellings[0], spellings[-1]))
    named = read(spellings, f"{spellings[0]},other")
    assert len(set(named.labels_N[:-1])) == 1
    assert about(named, "read as the same class")
    assert not about(named, "may be one")


def test_what_is_typed_in_labels_is_checked_as_the_file_is(read):
    assert about(read(["good"], "good,Good,other"), "'good' and 'Good'")
    with refused("occurs twice"):
        read(["good"], ["good", "go\xadod", "other"])
    with refused("row 2", "'good;other' are 2 labels", "give each row one"):
        read(["good", "good;other"], "good,other")
    assert not about(read(["good", "good;other"], "good,other,good;other"), "several"), "it is named as a class"


@pytest.mark.parametrize(
    "labels", [["good", "bad"], ["1", "10", "1.5"], ["👩\u200d🚀", "👩"], ["C", "C#", "C++"], ["US", "UK"]], ids=str
)
def test_different_classes_stay_different_without_a_word(labels, read):
    rows = read([*labels, *labels])
    assert set(rows.labels) == {*labels, "other"}
    assert not rows.notes[1:], "but that no row is left to label"


@pytest.mark.parametrize(
    "sign", ["#", ";", "; ", "|", ",", ", ", "/", " / ", "+", " & ", "\n", "\t", " ", "-", "_", "||"]
)
def test_several_labels_in_a_cell_are_told_whatever_separates_them(sign, read):
    rows = read(["late", "dear", f"late{sign}dear", f"dear{sign}late"])
    (note,) = about(rows, "several labels")
    assert "(late, dear; 1 rows)" in note
    assert "(dear, late; 1 rows)" in note


@pytest.mark.parametrize("sign", "#;|,")
def test_labels_that_never_stand_alone_are_told_where_they_recur(sign, read):
    rows = read(["bad", f"bad{sign}late", f"bad{sign}late{sign}dear", f"good{sign}dear", "good"])
    (note,) = about(rows, "several labels")
    assert note.count("late") > 2


@pytest.mark.parametrize(
    "cell",
    ['["late", "dear"]', "['late', 'dear']", "('late', 'dear')", "{'late', 'dear'}", "['late' 'dear']"],
)
def test_a_list_of_several_labels_is_refused_however_it_is_written(cell, read):
    with refused("row 2", "2 labels", "give each row one"):
        read(["late", cell])
    assert read(["late", "['dear']", "('dear',)"]).labels == ("dear", "late", "other")


def test_parts_that_are_no_labels_and_halves_are_one_label_each(read):
    assert not about(read(["R&D", "food & drink", "late-night", "0", "5", "0.5", "5.0"]), "several")


def test_numbers_are_in_the_order_of_their_values_before_names(read):
    rows = read(["10", "9", "-1", "0.5", "-2", "1"])
    assert rows.labels == ("-2", "-1", "0.5", "1", "9", "10", "other")

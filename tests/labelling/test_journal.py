"""A journal that was damaged or mended by hand, a full disk, a class that has another name now."""

import errno
import json
import os

import pytest
from helpers import refused

from lib import labelling
from lib.data.own_rows import read_rows
from lib.labelling import agreement, changes
from lib.labelling.journal import Journal

ABOUT = {"columns": ["text"], "answers": ""}
DAMAGE = {  # what stands between the answers about b and c
    "a torn line": b'{"row": "x", "lab\n',
    "no JSON": b"row x is positive\n",
    "a list": b'["x", "pos"]\n',
    "a number as label": b'{"row": "x", "label": 1}\n',
    "no label": b'{"row": "x"}\n',
    "texts that are none": b'{"row": "x", "label": "pos", "texts": "abc"}\n',
    "a batch of another form": b'{"batch": "first", "rows": 3}\n',
    "a batch without predictions": b'{"batch": 0, "labelled": 0, "rows": ["x"], "picked": ["random"]}\n',
    "corrections of another form": b'{"corrected": {"row": "x"}}\n',
    "no UTF-8": b'{"row": "\xff", "label": "pos"}\n',
    "an empty line": b"\n",
    "zeros": bytes(40) + b"\n",
}


@pytest.fixture
def written(tmp_path):
    """written(old, new) → the path of a journal with answers about a to d, in whose bytes old was replaced by new."""

    def write(old=b"", new=b""):
        path = tmp_path / "journal.jsonl"
        path.unlink(missing_ok=True)
        journal = Journal(path, ABOUT)
        for row in "abcd":
            journal.append(row=row, label="pos")
        path.write_bytes(path.read_bytes().replace(old, new))
        return path

    return write


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_line_is_named_and_costs_nothing_else(what, written):
    path = written(b'{"row": "c"', DAMAGE[what] + b'{"row": "c"')
    content = path.read_bytes()
    journal = Journal(path, ABOUT)
    assert list(journal.said().answers) == ["a", "b", "c", "d"]
    assert "line 4 " in journal.note
    assert path.read_bytes() == content, "reading changes nothing"
    journal.append(row="e", label="neg")
    assert list(Journal(path, ABOUT).said().answers) == ["a", "b", "c", "d", "e"]
    assert path.read_bytes().startswith(content), "what was said stays"


def test_every_damaged_line_is_named_in_one_note(written):
    path = written(b'"label"', b"label")
    path.write_bytes(path.read_bytes() + b'{"row": "e", "label": "neg"}\n')
    journal = Journal(path, ABOUT)
    assert list(journal.said().answers) == ["e"]
    assert "lines 2, 3, 4, 5 " in journal.note


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\n", b"\r\n"), (b'{"journal"', b'\xef\xbb\xbf{"journal"'), (b": ", b" :\t"), (b"", b"")],
    ids=["CRLF", "BOM", "blanks", "as it is"],
)
def test_what_an_editor_writes_otherwise_is_no_damage(old, new, written):
    journal = Journal(written(old, new) if old else written(), ABOUT)
    assert list(journal.said().answers) == ["a", "b", "c", "d"]
    assert journal.note == ""


def test_an_undo_of_a_damaged_answer_takes_back_no_other(written):
    path = written()
    journal = Journal(path, ABOUT)
    journal.append(undo=True)
    assert list(journal.said().answers) == ["a", "b", "c"]
    path.write_bytes(path.read_bytes().replace(b'{"row": "d"', b'{"row: "d"'))
    assert list(Journal(path, ABOUT).said().answers) == ["a", "b", "c"]


@pytest.mark.parametrize(("end", "rows"), [(b'{"row": "e", "label": "neg"}', "abcdef"), (b'{"row": "e", "la', "abcdf")])
def test_a_last_line_without_a_line_break_counts_if_it_is_whole_and_nothing_is_glued_to_it(end, rows, written):
    path = written()
    path.write_bytes(path.read_bytes() + end)
    Journal(path, ABOUT).append(row="f", label="pos")
    again = Journal(path, ABOUT)
    assert "".join(again.said().answers) == rows
    assert ("line 6 " in again.note) == ("e" not in rows)


def test_a_heading_that_is_damaged_costs_no_answer(written):
    path = written(b'{"journal"', b"{journal")
    journal = Journal(path, ABOUT)
    assert "line 1 " in journal.note
    journal.append(row="e", label="neg")
    assert list(Journal(path, ABOUT).said().answers) == ["a", "b", "c", "d", "e"]
    with refused("columns=['text']"):
        Journal(path, {**ABOUT, "columns": ["other"]})


def test_a_full_disk_leaves_no_half_line(written, monkeypatch):
    path = written()
    journal, content = Journal(path, ABOUT), path.read_bytes()
    with monkeypatch.context() as full:

        def fail(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "fsync", fail)
        with refused("the answer is not saved", "No space left"):
            journal.append(row="e", label="neg")
    assert path.read_bytes() == content
    journal.append(row="f", label="neg")
    assert list(Journal(path, ABOUT).said().answers) == ["a", "b", "c", "d", "f"]


# ---- of a labelling


@pytest.fixture
def session(tmp_path, tiny_encoder):
    """session(labels, renamed) → a Labelling of the same 40 rows, with the journal of those before."""
    path = tmp_path / "mine.csv"
    texts = (f"{('awful', 'superb')[n % 2]} film {n}" for n in range(40))
    path.write_text("".join(f"{text}\n" for text in ("text", *texts)), "utf-8")

    def build(labels="neg,pos", renamed="") -> labelling.Labelling:
        rows = read_rows(path, "text", labels=labels)
        recipe = labelling.recipe(rows, 6, 8, tiny_encoder)
        return labelling.Labelling(rows, recipe, tmp_path / "out", 3, renamed=renamed)

    return build


def answer(session, number: int) -> None:
    for _ in range(number):
        session.next_batch()
        row = session.pending[0]
        session.label(row, session.rows.labels[row % 2])


def test_damage_is_said_above_the_frame_and_the_labelling_goes_on(session):
    before = session()
    answer(before, 16)
    path = before.journal.path
    lines = path.read_bytes().split(b"\n")
    batch = next(n for n, line in enumerate(lines) if b'"batch": 1' in line)
    lines[3], lines[batch] = lines[3][:20], lines[batch][:-9]
    path.write_bytes(b"\n".join(lines))
    again = session()
    (note,) = changes.say_changes(again)
    assert f"lines 4, {batch + 1} " in note
    assert len(again.labelled) == 15
    answer(again, 10)
    assert len(session().labelled) == 25


def test_a_class_gets_another_name_and_all_that_was_said_of_it_with_it(session):
    before = session()
    answer(before, 22)
    content = before.journal.path.read_bytes()
    again = session("negative,pos", "neg=negative")
    assert again.counts == {"negative": before.counts["neg"], "pos": before.counts["pos"]}
    assert agreement.learning_curve(again).equals(agreement.learning_curve(before))
    assert again.journal.path.read_bytes().startswith(content), "what was said stays"
    size = len(again.journal.path.read_bytes())
    assert session("negative,pos", "neg=negative").counts == again.counts
    assert session("negative,pos").counts == again.counts, "it is known from here on"
    assert len(again.journal.path.read_bytes()) == size, "once"
    again.undo()
    assert again.counts["negative"] + again.counts["pos"] == 21, "the last answer, not the name"
    answer(again, 9)
    assert {name for batch in again.said.batches for name in batch["predicted"]} <= {None, "negative", "pos"}
    assert session("pos,neg", "negative=neg").counts["neg"] == again.counts["negative"], "and back"


def test_the_agreement_of_models_is_that_under_the_former_names(session):
    before = session()
    answer(before, 14)
    predictions = json.loads((before.folder / "predictions.json").read_text("utf-8"))["predictions"]
    again = session("negative,pos", "neg=negative")
    now = json.loads((again.folder / "predictions.json").read_text("utf-8"))["predictions"]
    assert now == {key: {"neg": "negative"}.get(name, name) for key, name in predictions.items()}


@pytest.mark.parametrize(
    ("renamed", "words"),
    [
        ("neg", ("renamed='neg'", "former name=present name")),
        ("neg=bad", ("renamed='neg=bad'", "'negative' or 'pos'")),
        ("pos=negative", ("'pos' is still a class",)),
        ("neg=", ("former name=present name",)),
    ],
)
def test_a_name_that_cannot_be_given_is_refused(renamed, words, session):
    with refused(*words):
        session("negative,pos", renamed)

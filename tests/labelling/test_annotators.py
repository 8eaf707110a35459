"""Several people label one file: what they have in common, how far they agree; rows that one could label otherwise."""

import csv
import dataclasses
import json

import pytest
from sklearn.metrics import cohen_kappa_score
from test_labelling import invented, write_csv

from lib import labelling
from lib.data.own_rows import read_rows
from lib.errors import StudyError
from lib.labelling import annotators, handover
from lib.labelling.labeller import Labeller


@pytest.fixture
def people(tmp_path, tiny_encoder):
    """people(name) → the Labelling of a person, of 40 rows: 6 labels to begin, batches of 8 with 3 random rows."""
    path = write_csv(tmp_path / "mine.csv", [{"text": row["text"]} for row in invented(40)])
    rows = read_rows(path, "text", labels="negative,positive")
    protocol = dataclasses.replace(labelling.recipe(rows, 6, 8, tiny_encoder), threads=1)
    return lambda name: labelling.Labelling(
        rows, protocol, annotators.folder_of(tmp_path / "out", name), at_random=3, annotator=name
    )


def answer_all(session, wrong=()) -> None:
    """A person who sees what the first word says, and errs about some rows."""
    session.next_batch()
    for row in session.pending:
        right = "superb" in session.rows.texts[row][0]
        session.label(row, ("negative", "positive")[right != (row in wrong)])


def test_rows_drawn_at_random_are_the_same_for_everyone_though_models_differ(people):
    one, other = people("Ana"), people("Ben")
    answer_all(one)
    answer_all(other, wrong=other.asked()[:2] or [0, 1])
    assert one.asked() == other.asked()
    for _ in range(2):
        answer_all(one)
        answer_all(other)
    drawn = [
        [
            key
            for batch in session.said.batches
            for key, how in zip(batch["rows"], batch["picked"], strict=True)
            if how == "random"
        ]
        for session in (one, other)
    ]
    assert len(drawn[0]) == 12
    assert len({*drawn[0]} & {*drawn[1]}) >= 10, "but for rows that the other's model had asked for before"


def test_agreement_is_cohens_kappa_over_the_rows_that_both_labelled(people, tmp_path):
    one, other = people("Ana"), people("Ben")
    assert annotators.others(one) == {"Ben": other.said}
    assert "no labelled row in common" in annotators.say("Ben", annotators.in_common(one, other.said))
    answer_all(one)
    rows = one.asked()
    answer_all(other, wrong=rows[:1])
    other.skip(rows[1])
    [(name, said)] = annotators.others(one).items()
    common = annotators.in_common(one, said)
    assert list(common["row"]) == sorted(one.rows.numbers[n] for n in rows if n != rows[1])
    expected = cohen_kappa_score(common["your label"], common["their label"])
    assert f"labelled 5 rows both, 4 of them alike: Cohen's κ is {expected:.2f}" in annotators.say(name, common)
    [differing] = annotators.disagreements(common).to_dict("records")
    assert differing["row"] == one.rows.numbers[rows[0]]
    assert differing["text"] == one.rows.texts[rows[0]][0]

    *_, sheet = handover.write_labels(one, tmp_path / "out" / "Ana")
    with open(sheet, encoding="utf-8", newline="") as file:
        assert [row["with"] for row in csv.DictReader(file)] == ["Ben"]
    one.label(rows[0], differing["their label"])
    assert "disagreements.csv" not in {path.name for path in handover.write_labels(one, tmp_path / "out" / "Ana")}


def test_where_both_always_say_one_class_kappa_is_not_told(people):
    one, other = people(""), people("Ben")
    for session in (one, other):
        session.next_batch()
        for row in session.pending:
            session.label(row, "positive")
    assert list(annotators.others(one)) == ["Ben"]
    assert list(annotators.others(other)) == [annotators.NAMELESS]
    said = annotators.say("Ben", annotators.in_common(one, other.said))
    assert "6 rows both, 6 of them alike" in said
    assert "κ cannot be told" in said


@pytest.mark.parametrize("name", ["../Ana", "a/b", "..", " ", "a:b"])
def test_a_name_that_is_no_folder_is_refused_in_one_line(name, tmp_path):
    with pytest.raises(StudyError, match="is not allowed: give a name") as caught:
        annotators.folder_of(tmp_path, name)
    assert "\n" not in f"{caught.value}"


def test_an_ambiguous_row_keeps_its_note_until_it_is_answered_without(people, tmp_path):
    session = people("Ana")
    shown = Labeller(session, 0.99)
    first, second = session.pending[:2]
    assert shown.shown["ambiguous"] is None
    shown.receive({"row": first, "label": "positive", "ambiguous": "irony?"})
    shown.receive({"row": second, "skip": True, "ambiguous": ""})
    assert shown.shown["total"] == "1 labelled, 1 skipped, 38 left, 2 ambiguous"
    shown.receive({"correct": first})
    assert shown.shown["ambiguous"] == "irony?"
    shown.receive({"correct": None})
    assert shown.shown["ambiguous"] is None

    _, exact = handover.write_labels(session, tmp_path / "out")
    [line] = map(json.loads, exact.read_text("utf-8").splitlines())
    assert (line["by"], line["ambiguous"], line["label"]) == ("Ana", "irony?", "positive")
    line = json.loads(handover.as_tables(session, [second])[1])
    assert (line["label"], line["ambiguous"]) == (None, "yes")

    shown.receive({"correct": first})
    shown.receive({"row": first, "label": "negative"})
    assert shown.shown["total"] == "1 labelled, 1 skipped, 38 left, 1 ambiguous"

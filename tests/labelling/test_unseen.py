"""What the encoder does not see of a person's rows is said before the first answer."""

import pytest

from lib import labelling
from lib.data.own_rows import read_rows
from lib.labelling.unseen import say_unseen

USUAL = [f"the film was number {n} and quite good" for n in range(30)]
THAI = ["ดีมาก", "แย่มาก", "อร่อยที่สุด", "ไม่ชอบเลย", "ส่งเร็วดี", "ช้าเกินไป", "ราคาถูก", "แพงไป"]


@pytest.fixture
def said(tmp_path, tiny_encoder):
    """said(texts, …) → the notes about them. The tiny encoder has the tokenizer of BERT."""

    def notes(texts: list[str], max_length: int = 64) -> list[str]:
        path = tmp_path / "mine.csv"
        path.write_text("\n".join(["text", *texts]), "utf-8")
        rows = read_rows(path, "text", labels="good,bad")
        protocol = labelling.recipe(rows, 4, 4, tiny_encoder, max_length)
        return say_unseen(labelling.Labelling(rows, protocol, tmp_path / "out"))

    return notes


def test_of_usual_texts_nothing_is_said(said):
    assert said(USUAL) == []


def test_rows_of_unknown_words_alone_are_counted_and_alike(said):
    unknown, alike = said(USUAL[:4] + THAI)
    assert unknown.startswith("8 of 12 rows are nothing but unknown words to this encoder: give a checkpoint")
    assert alike.startswith("7 of 12 rows look to this encoder like another row")


def test_a_share_of_unknown_words_is_said(said):
    (note,) = said([f"{text} ดีมาก แย่มาก" for text in USUAL])
    assert "of the words and characters are unknown to this encoder" in note
    assert 0.05 < float(note.split("%")[0]) / 100 < 0.5


def test_rows_that_are_cut_are_counted(said):
    (cut,) = said([*USUAL[:20], *(f"{n} " + "long " * 50 for n in range(5))], max_length=20)
    assert cut.startswith("5 of 25 rows reach max_length = 20 tokens")

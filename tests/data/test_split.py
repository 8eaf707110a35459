"""How a file is split: near-duplicates and rows that share a text on one side, a fifth of each class for validation."""

import random
from collections import Counter, defaultdict

import pytest

from lib.data.split import VALIDATION, apart, normalised, split
from lib.errors import StudyError

WORDS = [f"word{n}" for n in range(2000)]


def sentences(number: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=8)) for _ in range(number)]


def by_classes(rows: list[tuple]) -> tuple[list[tuple], list[tuple]]:
    """Of each class every fifth row: slow and obvious, where no row is near another."""
    parts, seen = ([], []), Counter()
    for row in rows:
        seen[row[-1]] += 1
        parts[seen[row[-1]] % VALIDATION == 0].append(row)
    return parts


def sides(parts, key) -> dict:
    """Key of a row → on which sides rows with it are."""
    found = defaultdict(set)
    for side, rows in enumerate((parts.train, parts.validation)):
        for row in rows:
            found[key(row)].add(side)
    return found


def variants(text: str) -> list[str]:
    return [
        text,
        text.upper(),
        f"{text}!",
        text.replace(" ", "  "),
        f"RT {text}",
        f"RT @me: {text}",
        f"{text} http://t.co/x1",
    ]


@pytest.mark.parametrize("classes", [2, 7, 40])
def test_without_near_duplicates_each_class_gives_every_fifth_row(classes):
    draw = random.Random(1)
    rows = [(text, min(draw.randrange(classes), draw.randrange(classes))) for text in sentences(900)]
    parts = split(rows)
    assert (parts.train, parts.validation) == by_classes(rows)
    assert parts.notes == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Fine, thanks", "fine   thanks!!"),
        ("so good", "RT so good"),
        ("so good", "RT @some_one: So good…"),
        ("look at this https://a.example/b?c=1#d", "Look at this: www.other.example/e"),
        ("look bit.ly/3xyz", "look"),
        ("Ｆｕｌｌ width", "full width"),
        ("\u200bhidden", "hidden"),
        ("नमस्ते।", "नमस्ते"),
    ],
)
def test_near_duplicates_are_equal_once_normalised(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 1", "order 2"),
        ("कि", "की"),
        (":)", ":("),
        ("😀", "😡"),
        ("art", "RT"),
        ("http://a.example/1", "!"),
        ("é", "e"),
    ],
)
def test_other_texts_stay_others(one, other):
    assert normalised(one) != normalised(other)


def test_near_duplicates_are_on_one_side_and_said():
    draw = random.Random(2)
    rows = [(text, draw.randrange(3)) for sentence in sentences(80) for text in variants(sentence)]
    rows += [(text, draw.randrange(3)) for text in sentences(200, seed=3)]
    draw.shuffle(rows)
    parts = split(rows)
    assert all(len(where) == 1 for where in sides(parts, lambda row: normalised(row[0])).values())
    assert sorted(parts.train + parts.validation) == sorted(rows)
    counts = [Counter(row[-1] for row in part) for part in (rows, parts.validation)]
    assert all(counts[1][c] == pytest.approx(counts[0][c] / 5, abs=4) for c in range(3))
    (note,) = parts.notes
    assert f"{80 * len(variants(''))} rows" in note
    assert split(rows) == parts


def test_pairs_that_share_a_text_are_on_one_side_also_by_way_of_others():
    premises, hypotheses = sentences(60), sentences(300, seed=4)
    rows = [(premises[n // 5], hypotheses[n], n % 3) for n in range(300)]
    rows += [(hypotheses[7], premises[30], 0)]  # joins two groups
    parts = split(rows)
    for place in (0, 1):
        assert all(len(where) == 1 for where in sides(parts, lambda row, place=place: row[place]).values())
    texts = [{text for row in part for text in row[:2]} for part in (parts.train, parts.validation)]
    assert not texts[0] & texts[1]
    assert len(parts.validation) == pytest.approx(60, abs=6)
    assert any("301 rows" in note for note in parts.notes)


def test_where_second_texts_join_all_pairs_the_first_text_decides_and_what_is_shared_is_said():
    premises, hypotheses = sentences(60), sentences(5, seed=4)
    rows = [(premises[n // 5], hypotheses[n % 5], n // 5 % 2) for n in range(300)]
    parts = split(rows)
    assert all(len(where) == 1 for where in sides(parts, lambda row: row[0]).values())
    assert len(parts.validation) == pytest.approx(60, abs=5)
    assert any(
        f"of {len(parts.validation)} validation rows, {len(parts.validation)} share" in note for note in parts.notes
    )


def test_near_duplicates_that_are_a_whole_class_are_split_and_said():
    spam = [(f"Win now http://a.example/{n}", 1) for n in range(50)]
    rows = [(text, 0) for text in sentences(200)] + spam
    parts = split(rows)
    assert Counter(row[-1] for row in parts.validation) == {0: 40, 1: 10}
    assert any("10 repeat a training row" in note for note in parts.notes)


def test_rows_of_one_value_are_on_one_side():
    draw = random.Random(5)
    rows = [(text, draw.randrange(2)) for text in sentences(400)]
    author = {row: f"author {n % 40}" if n % 10 else "" for n, row in enumerate(rows)}
    parts = split(rows, author.get, "author")
    where = sides(parts, author.get)
    assert where.pop("") == {0, 1}, "a row without a value is one of its own"
    assert all(len(side) == 1 for side in where.values())
    assert len(parts.validation) == pytest.approx(80, abs=8)
    assert "'author'" in parts.notes[0]
    with pytest.raises(StudyError, match="--group author: 1 value in 400 rows"):
        split(rows, lambda row: "all", "author")


def test_given_validation_rows_are_not_among_the_training_rows_nor_nearly():
    texts = sentences(50)
    train = [(text, n % 2) for n, text in enumerate(texts)] + [(f"{texts[0].upper()}!", 0)]
    validation = [(texts[0], 0), (texts[1], 1), ("another", 1)]
    parts = apart(train, validation)
    assert parts.validation == validation
    assert parts.train == train[2:50]
    assert [note.rpartition(": ")[2] for note in parts.notes] == ["2 rows", "1 row"]
    pairs = apart([("a b", "c", 0), ("d e", "f", 1)], [("a b", "g", 0), ("h", "i", 1)])
    assert len(pairs.train) == 2
    assert any("of 2 validation rows, 1 share a text" in note for note in pairs.notes)

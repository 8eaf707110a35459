"""Words that texts share, each pair by itself and all at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.data.words import overlap, overlaps

TEXTS = st.lists(st.text("aBb .é", max_size=8), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [
        ("The cat sat.", "the CAT sat", 1),
        ("a b c", "c d", 1 / 4),
        ("a a a b", "a", 1 / 2),
        ("one", "two", 0),
        ("naïve Straße", "NAÏVE strasse", 1 / 3),
        ("...", "!", 0),
    ],
)
def test_overlap_is_the_share_of_words_in_both(first, second, share):
    assert overlap(first, second) == overlap(second, first) == share


@given(TEXTS)
def test_overlaps_are_those_of_each_pair(texts):
    found_NN = overlaps(texts)
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            assert found_NN[i, j] == (0 if i == j else overlap(first, second))

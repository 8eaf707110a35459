"""How many words texts share (Jaccard): 0 for none, 1 for the same words, in whatever order and number."""

import re

import numpy as np


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def overlap(first: str, second: str) -> float:
    """Share of the words of two texts that stand in both."""
    a, b = words(first), words(second)
    return len(a & b) / len(a | b) if a | b else 0.0


def overlaps(texts: list[str]) -> np.ndarray:
    """overlap_NN of each text with each other one; 0 with itself."""
    sets = [words(text) for text in texts]
    number = {word: i for i, word in enumerate(set().union(*sets))}
    has_NW = np.zeros((len(texts), len(number)))
    for has_W, some in zip(has_NW, sets, strict=True):
        has_W[[number[word] for word in some]] = 1
    both_NN, sizes_N = has_NW @ has_NW.T, has_NW.sum(1)
    overlap_NN = both_NN / np.maximum(sizes_N[:, None] + sizes_N - both_NN, 1)
    np.fill_diagonal(overlap_NN, 0)
    return overlap_NN

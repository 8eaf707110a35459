"""Runs that the explorer should survive: with hostile texts, with many rows. The tests' kernels import it, too."""

import dataclasses

import numpy as np
import pandas as pd

from lib.explorer.data import Explored

HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "handler": '<img src=x onerror="window.hacked = 1">',
    "link": '<a href="javascript:window.hacked = 1">click</a> javascript:alert(1)',
    "attribute": "\" onmouseover='window.hacked = 1' x=\"",
    "markdown": "**bold** [link](javascript:alert(1)) `code` | a | b |\n# heading",
    "formula": "$\\alpha$ and \\(x\\) and \\begin{equation}x\\end{equation} $$y$$",
    "spreadsheet": '=HYPERLINK("http://example.org","click")',
    "ansi": "\x1b[31mred\x1b[0m \x9b31m",
    "direction": "\u202eright to left\u202c \u2066isolate \u200fmark עברית",
    "long": "word " * 20_000,
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 é",
    "nul": "a\x00b\x07c\x7f",
    "surrogate": "lone \ud800 and \udfff",
    "template": "{{ 7 * 7 }} %s {0} </td></table></div><style>*{display:none}</style>",
}


def hostile(explored: Explored) -> Explored:
    """The same run with hostile texts in every row."""
    long, short = list(HOSTILE.values()), [text[:200] for text in HOSTILE.values()]
    rows = []
    for i, (*_, label) in enumerate(explored.texts.train):
        texts = long if i < 200 else short  # a gigabyte of text is another question
        rows.append((texts[i % len(texts)], texts[(i + 5) % len(texts)], label))
    labels = ("<b>yes</b>", "=1+1", "\u202eno")
    return dataclasses.replace(explored, texts=dataclasses.replace(explored.texts, train=rows, labels=labels))


def large(bald: Explored, rows: int = 20_000) -> Explored:
    """The same run with a pool of many rows: invented scores, repeated texts."""
    rng = np.random.default_rng(0)
    known = bald.texts.train
    train = [(*known[i % len(known)][:2], i % 3) for i in range(rows + 10)]
    pool = {}
    for round_ in (0, 1):
        numbers = np.arange(10, rows + 10, dtype=np.int32)
        entropy = rng.uniform(0.1, 1.09, rows).astype(np.float32)
        score = (entropy * rng.beta(1, 8, rows)).astype(np.float32)
        columns = {"row": numbers, "score": score, "bald": score, "entropy": entropy}
        pool[round_] = pd.DataFrame(columns | {"prediction": rng.integers(0, 3, rows).astype(np.int8)})
    return dataclasses.replace(bald, texts=dataclasses.replace(bald.texts, train=train), pool=pool)

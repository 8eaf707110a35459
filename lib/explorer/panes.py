"""What the explorer says about the chosen row, as HTML."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.data.escaping import in_html, isolated, shortened
from lib.explorer.data import NEVER, Explored
from lib.explorer.drawings import entropy_bar, strip
from lib.explorer.filters import cut

LONGEST = 3000  # characters of a text shown whole


def number(value: float | None) -> str:
    """Four digits, which tell scores apart also where dropout is off and they are rounding."""
    return "–" if value is None else f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.4f}"


def share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0%}"


def when(queried: int) -> str:
    return "no" if queried == NEVER else f"round {queried}"


def marked(texts: list[str], spans: Callable = lambda text: []) -> list[str]:
    """Texts as HTML; words that stand in both of two are marked, and, in another way, what a search found."""
    words = [set(re.findall(r"\w+", text.lower())) for text in texts]
    shared = words[0] & words[1] if len(texts) == 2 else set()
    written = []
    for text in texts:
        short = shortened(text, LONGEST)
        pieces = []
        for i, part in enumerate(cut(short, spans(short))):
            if i % 2:
                pieces.append(f'<mark class="found">{in_html(part)}</mark>')
                continue
            for piece in re.split(r"(\w+)", part):
                plain = in_html(piece)
                pieces.append(f"<mark>{plain}</mark>" if piece.lower() in shared else plain)
        written.append(f'<p class="text"><bdi dir="auto">{"".join(pieces)}</bdi></p>')
    return written


def details(
    explored: Explored,
    seeds: list[Explored],
    round_: int,
    row: pd.Series,
    others: list[tuple[str, str]] = (),
    spans: Callable = lambda text: [],
) -> str:
    """All that the store says about one row, a record of Explored.table.

    others: names and titles of runs that can show the same row. spans: what a search found in a text.
    """
    texts = [] if explored.lacking else explored.texts.train[row["row"]][:-1]
    labels = explored.texts.labels
    facts = {
        "label": labels[row["label"]],
        "prediction": f"{labels[row['prediction']]} ({'right' if row['right'] else 'wrong'})",
        "queried": when(row["queried"]),
    }
    sections = [
        f"<h4>Row {row['row']}</h4>{''.join(marked(texts, spans))}{_facts(facts)}"
        "<h5>Entropy of the mean prediction</h5>"
        f"{entropy_bar(row['expected_entropy'], row['bald'], len(labels))}"
        f'<p><span class="key blue">■</span> aleatoric {number(row["expected_entropy"])} + '
        f'<span class="key orange">■</span> '
        f"epistemic (BALD) {number(row['bald'])} = {number(row['entropy'])} nats</p>",
        _samples(explored.probabilities(round_, row["row"]), labels, explored, round_),
        f"<h5>Rank by score</h5>{_ranks(explored, seeds, row['row'])}{_links(others)}",
        _neighbours(explored, round_, row["row"]),
    ]
    return "".join(f"<section>{section}</section>" for section in sections if section)


def link(run: str, says: str) -> str:
    """A button that opens the chosen row in another run (see grid.js)."""
    return f'<button type="button" class="run" data-run="{in_html(run)}">{in_html(says)}</button>'


def _links(others: list[tuple[str, str]]) -> str:
    if not others:
        return ""
    shown = " ".join(link(name, title) for name, title in others)
    return f'<p class="runs"><span class="note">This row in another run of the seed:</span> {shown}</p>'


def _facts(facts: dict[str, str]) -> str:
    told = [f'<span><span class="note">{name}:</span> {isolated(value)}</span>' for name, value in facts.items()]
    return f'<p class="facts">{" ".join(told)}</p>'


def _samples(probs_SC, labels, explored: Explored, round_: int) -> str:
    if probs_SC is None:
        stored = len(explored.samples.get(round_, ()))
        return (
            f'<p class="note">Sampled probabilities and features are stored for {stored} rows of this round: the '
            "highest and lowest scores and the picks. This row is not one of them.</p>"
        )
    lines = [
        f"<p><b>{isolated(label)}</b><span>{probs_S.mean():.3f} ± {probs_S.std():.3f}</span></p>{strip(probs_S)}"
        for label, probs_S in zip(labels, probs_SC.T, strict=True)
    ]
    return (
        f"<h5>Probabilities in {len(probs_SC)} stochastic passes, mean ± spread</h5>"
        f'<div class="strips">{"".join(lines)}<p class="note"><span>0</span><span>1</span></p></div>'
    )


def _ranks(explored: Explored, seeds: list[Explored], row: int) -> str:
    """A line a round: how many rows were ranked, and where this one stood in each run."""
    runs = [explored, *seeds]
    names = [f"seed {one.run.protocol.seed}" for one in runs]
    head = [f"{names[0]}, this run", *(link(one.run.name, name) for one, name in zip(seeds, names[1:], strict=True))]
    lines = [
        f"<tr><th>{round_}</th><td>{len(explored.pool[round_]):,}</td>"
        f"{''.join(f'<td>{_rank(one, round_, row)}</td>' for one in runs)}</tr>"
        for round_ in sorted(explored.pool)
    ]
    others = "" if seeds else '<p class="note">No other seed of this run is in the store.</p>'
    return (
        f'<div class="wide"><table><tr><th>round</th><th>of</th>{"".join(f"<th>{one}</th>" for one in head)}</tr>'
        f"{''.join(lines)}</table></div>{others}"
    )


def _rank(explored: Explored, round_: int, row: int) -> str:
    found = explored.rank(round_, row)
    if not found:
        return "in T" if explored.queried.get(row, round_) < round_ else "–"
    picked = " <b>picked</b>" if explored.queried.get(row) == round_ else ""
    return f"{found[0]:,}{picked}"


def _neighbours(explored: Explored, round_: int, row: int) -> str:
    nearest = explored.neighbours(round_, row)
    if nearest.empty:
        return ""
    lines = [
        f"<tr><td>{one.row}</td><td>{one.distance:.2f}</td><td>{share(one.overlap)}</td>"
        f"<td>{when(explored.queried.get(one.row, NEVER))}</td><td>{isolated(explored.label(one.row))}</td>"
        f"<td>{isolated(explored.text(one.row), 160)}</td></tr>"
        for one in nearest.itertuples()
    ]
    stored = len(explored.samples[round_])
    return (
        f'<h5>Nearest of the {stored} rows with stored features</h5><div class="wide"><table><tr><th>row</th>'
        '<th title="Euclidean; 1 is the median distance from this row">distance</th><th>shared words</th>'
        f"<th>queried</th><th>label</th><th>text</th></tr>{''.join(lines)}</table></div>"
    )

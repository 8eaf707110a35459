"""What the explorer says about the chosen row, as HTML."""

import re

import pandas as pd

from lib.data.escaping import in_html, isolated, shortened
from lib.explorer.data import NEVER, Explored
from lib.explorer.drawings import entropy_bar, strip

LONGEST = 3000  # characters of a text shown whole


def number(value: float | None) -> str:
    """Four digits, which tell scores apart also where dropout is off and they are rounding."""
    return "–" if value is None else f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.4f}"


def when(queried: int) -> str:
    return "no" if queried == NEVER else f"round {queried}"


def marked(texts: list[str]) -> list[str]:
    """Texts as HTML; words that stand in both of two are marked."""
    words = [set(re.findall(r"\w+", text.lower())) for text in texts]
    shared = words[0] & words[1] if len(texts) == 2 else set()
    written = []
    for text in texts:
        pieces = re.split(r"(\w+)", shortened(text, LONGEST))
        pieces = [f"<mark>{in_html(piece)}</mark>" if piece.lower() in shared else in_html(piece) for piece in pieces]
        written.append(f'<p class="text"><bdi dir="auto">{"".join(pieces)}</bdi></p>')
    return written


def details(explored: Explored, seeds: list[Explored], round_: int, row: pd.Series) -> str:
    """All that the store says about one row, a record of Explored.table."""
    *texts, _ = explored.texts.train[row["row"]]
    labels = explored.texts.labels
    facts = {
        "label": labels[row["label"]],
        "prediction": f"{labels[row['prediction']]} ({'right' if row['right'] else 'wrong'})",
        "queried": when(row["queried"]),
    }
    return "".join(
        [
            f"<h4>Row {row['row']}</h4>",
            *marked(texts),
            _facts(facts),
            "<h5>Entropy of the mean prediction</h5>",
            entropy_bar(row["expected_entropy"], row["bald"], len(labels)),
            f'<p><span class="key blue">■</span> aleatoric {number(row["expected_entropy"])} + '
            f'<span class="key orange">■</span> '
            f"epistemic (BALD) {number(row['bald'])} = {number(row['entropy'])} nats</p>",
            _samples(explored.probabilities(round_, row["row"]), labels, explored, round_),
            "<h5>Rank by score</h5>",
            _ranks(explored, seeds, row["row"]),
            _neighbours(explored, round_, row["row"]),
        ]
    )


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
        f"<tr><th>{isolated(label)}</th><td>{strip(probs_S)}</td>"
        f"<td>{probs_S.mean():.3f} ± {probs_S.std():.3f}</td></tr>"
        for label, probs_S in zip(labels, probs_SC.T, strict=True)
    ]
    return (
        f"<h5>Probabilities in {len(probs_SC)} stochastic passes</h5>"
        f'<table class="strips"><tr><td></td><td class="ends"><span>0</span><span>1</span></td>'
        f"<td>mean ± spread</td></tr>{''.join(lines)}</table>"
    )


def _ranks(explored: Explored, seeds: list[Explored], row: int) -> str:
    rounds = sorted(explored.pool)
    head = "".join(f"<th>round {k}</th>" for k in rounds)
    lines = []
    for one in [explored, *seeds]:
        name = f"seed {one.run.protocol.seed}" + (" (this run)" if one is explored else "")
        cells = "".join(f"<td>{_rank(one, k, row)}</td>" for k in rounds)
        lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    others = "" if seeds else '<p class="note">No other seed of this run is in the store.</p>'
    return f'<div class="wide"><table><tr><td></td>{head}</tr>{"".join(lines)}</table></div>{others}'


def _rank(explored: Explored, round_: int, row: int) -> str:
    found = explored.rank(round_, row)
    if not found:
        return "in T" if explored.queried.get(row, round_) < round_ else "–"
    picked = " <b>picked</b>" if explored.queried.get(row) == round_ else ""
    return f"{found[0]} of {found[1]}{picked}"


def _neighbours(explored: Explored, round_: int, row: int) -> str:
    nearest = explored.neighbours(round_, row)
    if nearest.empty:
        return ""
    lines = [
        f"<tr><td>{one.row}</td><td>{one.distance:.2f}</td><td>{one.overlap:.0%}</td>"
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

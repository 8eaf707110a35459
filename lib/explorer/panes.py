"""What the explorer says beside its table, as HTML: one row closely, two runs, and what remains without a kernel."""

import re

import numpy as np
import pandas as pd

from lib.escaping import in_html, isolated, shortened
from lib.explorer import data
from lib.explorer.data import NEVER, Explored
from lib.explorer.drawings import entropy_bar, picture, strip
from lib.protocol import named

LISTED = 50  # rows of each list where two runs are compared
LONGEST = 3000  # characters of a text shown whole


def number(value: float | None) -> str:
    """Four digits, which tell scores apart also where dropout is off and they are rounding."""
    return "–" if value is None else f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.4f}"


def when(queried: int) -> str:
    return "no" if queried == NEVER else f"round {queried}"


def titled(explored: Explored) -> str:
    p = explored.run.protocol
    return f"{named(p.task)}, {named(p.strategy)}, F = {p.frozen}, seed {p.seed}"


# ---- one row


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


# ---- two runs


def comparison(first: Explored, second: Explored, round_: int) -> str:
    """What two runs have picked until a round, class counts and word overlap of both, and what one picked alone."""
    names = [f"first: {titled(first)}", f"second: {titled(second)}"]
    told = [data.compared(one, round_) for one in (first, second)]
    lines = {
        f"rows of T: {label}": [one["class_counts"][c] for one in told] for c, label in enumerate(first.texts.labels)
    }
    lines["rows of T"] = [one["labelled"] for one in told]
    if not np.isnan(told[0]["overlap"]):
        lines["shared words of both texts, mean of picks"] = [f"{one['overlap']:.1%}" for one in told]
    lines["shared words with the closest row of the last batch, mean"] = [
        "–" if np.isnan(one["closest"]) else f"{one['closest']:.1%}" for one in told
    ]
    body = "".join(
        f"<tr><th>{isolated(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, values in lines.items()
    )
    picks = [one.picked_until(round_) for one in (first, second)]
    both = len(picks[0] & picks[1])
    lists = [_picks(name, picks[i] - picks[1 - i], first, second, round_) for i, name in enumerate(("first", "second"))]
    return (
        f'<h4>Two runs, after the acquisition of round {round_}</h4><div class="wide"><table><tr><td></td>'
        f"{''.join(f'<th>{in_html(name)}</th>' for name in names)}</tr>{body}</table></div>"
        f'<p>{both} rows were picked by both.</p><div class="beside">{"".join(lists)}</div>'
    )


def _picks(name: str, rows: set[int], first: Explored, second: Explored, round_: int) -> str:
    """Rows with the scores that they had when they were last in a pool, the highest first."""
    scored = [(name, one) for name, one in (("first", first), ("second", second)) if one.pool]
    scores = {row: [one.last_score(round_, row) for _, one in scored] for row in rows}
    order = sorted(rows, key=lambda row: [-np.inf if score is None else score for score in scores[row]], reverse=True)
    lines = [
        f"<tr><td>{row}</td>{''.join(f'<td>{number(score)}</td>' for score in scores[row])}"
        f"<td>{isolated(first.label(row))}</td><td>{isolated(first.text(row), 160)}</td></tr>"
        for row in order[:LISTED]
    ]
    head = "".join(f"<th>{name}'s score</th>" for name, _ in scored)
    more = f'<p class="note">and {len(rows) - LISTED} more: filter by “Picked by”</p>' if len(rows) > LISTED else ""
    title = f"{len(rows)} rows picked by the {name} alone"
    return (
        f'<section tabindex="0" aria-label="{title}"><h5>{title}</h5><table><tr><th>row</th>{head}'
        f"<th>label</th><th>text</th></tr>{''.join(lines)}</table>{more}</section>"
    )


# ---- without a kernel


def static(explored: Explored, other: Explored | None, round_: int, examples: int = 10) -> str:
    """The rows with the highest and the lowest scores and the histogram, in HTML that needs no style and no script."""
    table = explored.table(round_)
    half = min(examples, (len(table) + 1) // 2)
    parts = [
        '<div class="mathjax_ignore tex2jax_ignore">',
        f"<p><b>{in_html(titled(explored))}</b>: the pool of {len(table)} rows as round {round_} scored it, "
        f"after {explored.rounds['labelled'][round_]} labelled rows. "
        "In a running notebook this is a table to filter, sort and slide through.</p>",
        picture(table["score"].to_numpy()),
        _extremes(explored, table.head(half), "most uncertain"),
        _extremes(explored, table.tail(min(half, len(table) - half))[::-1], "least uncertain"),
        comparison(explored, other, round_) if other else "",
        "</div>",
    ]
    return "".join(parts)


def _extremes(explored: Explored, rows: pd.DataFrame, name: str) -> str:
    single = not rows["second"].map(bool).any()
    texts = ["first"] if single else ["first", "second"]
    head = ["rank", "row", "score", "entropy", "expected entropy", "label", "prediction", "queried"]
    head += ["text"] if single else ["first text", "second text"]
    labels = explored.texts.labels
    lines = []
    for one in rows.to_dict("records"):
        cells = [str(one["rank"]), str(one["row"]), *(number(one[n]) for n in ("score", "entropy", "expected_entropy"))]
        cells += [isolated(labels[one["label"]]), isolated(labels[one["prediction"]]), when(one["queried"])]
        cells += [isolated(one[text]) for text in texts]
        lines.append(_line("td", cells))
    head, body = _line("th", head), "".join(lines)
    return f"<p>The {len(rows)} {name} rows:</p><table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _line(tag: str, cells: list[str]) -> str:
    """Five numbers, right; then words, left."""
    sides = ["right"] * 5 + ["left"] * (len(cells) - 5)
    written = [f'<{tag} style="text-align: {side}">{cell}</{tag}>' for side, cell in zip(sides, cells, strict=True)]
    return f"<tr>{''.join(written)}</tr>"

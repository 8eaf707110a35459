"""Two runs side by side: what they picked, classes and word overlap of both."""

import numpy as np

from lib.data.escaping import in_html, isolated
from lib.data.words import overlap, overlaps
from lib.errors import StudyError
from lib.explorer.data import Explored
from lib.explorer.panes import number

LISTED = 50  # rows of each list
LEFT = 'style="text-align: left"'  # words, where a page would set all cells right


def check(first: Explored, second: Explored) -> None:
    """Raises StudyError if the rows of two runs are not the same rows."""
    if first.rows != second.rows:
        raise StudyError(
            f"{first.run.name} and {second.run.name} have other rows: give two runs of the same task and data"
        )


def compared(explored: Explored, round_: int) -> dict:
    """What a run has picked until a round: rows of each class of T, and overlaps of words.

    overlap: mean over the picks of the share of words that both texts of a row have (nan for single sentences).
    closest: mean over the last batch of the largest share that a row has with another row of the batch.
    """
    last = min(round_ + 1, len(explored.rounds) - 1)
    rows = [] if explored.lacking else [explored.texts.train[row] for row in explored.picked_until(round_)]
    shared = [overlap(*texts) for *texts, _ in rows if len(texts) == 2]
    batch = [] if explored.lacking else [explored.text(row) for row in explored.picked(last - 1)]
    return {
        "labelled": int(explored.rounds["labelled"][last]),
        "class_counts": explored.rounds["class_counts"][last],
        "overlap": float(np.mean(shared)) if shared else np.nan,
        "closest": closest(batch),
    }


def closest(texts: list[str]) -> float:
    """Mean over texts of the largest word overlap with another one of them; nan for fewer than two."""
    return float(overlaps(texts).max(1).mean()) if len(texts) > 1 else np.nan


def html(first: Explored, second: Explored, round_: int) -> str:
    """What two runs have picked until a round, class counts and word overlap of both, and what one picked alone."""
    names = [f"first: {first.title}", f"second: {second.title}"]
    told = [compared(one, round_) for one in (first, second)]
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
        f"<tr><th {LEFT}>{isolated(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>"
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
        f"<td {LEFT}>{isolated(first.label(row))}</td><td {LEFT}>{isolated(first.text(row), 160)}</td></tr>"
        for row in order[:LISTED]
    ]
    head = "".join(f"<th>{name}'s score</th>" for name, _ in scored)
    more = f'<p class="note">and {len(rows) - LISTED} more: filter by “Picked by”</p>' if len(rows) > LISTED else ""
    title = f"{len(rows)} rows picked by the {name} alone"
    return (
        f'<section tabindex="0" aria-label="{title}"><h5>{title}</h5><table><tr><th>row</th>{head}'
        f"<th {LEFT}>label</th><th {LEFT}>text</th></tr>{''.join(lines)}</table>{more}</section>"
    )

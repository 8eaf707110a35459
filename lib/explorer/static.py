"""What remains of the explorer without a kernel: tables and a picture, in HTML that needs neither style nor script."""

import pandas as pd

from lib.data.escaping import in_html, isolated
from lib.explorer import comparison
from lib.explorer.data import Explored
from lib.explorer.drawings import picture
from lib.explorer.panes import number, when


def html(explored: Explored, other: Explored | None, round_: int, examples: int = 10) -> str:
    """The rows with the highest and the lowest scores of a round and the histogram; of two runs what each picked."""
    table = explored.table(round_)
    half = min(examples, (len(table) + 1) // 2)
    parts = [
        '<div class="mathjax_ignore tex2jax_ignore">',
        f"<p><b>{in_html(explored.title)}</b>: the pool of {len(table)} rows as round {round_} scored it, "
        f"after {explored.rounds['labelled'][round_]} labelled rows. "
        "In a running notebook this is a table to filter, sort and slide through.</p>",
        f"<p>{in_html(explored.lacking)}.</p>" if explored.lacking else "",
        picture(table["score"].to_numpy()),
        _extremes(explored, table.head(half), "most uncertain"),
        _extremes(explored, table.tail(min(half, len(table) - half))[::-1], "least uncertain"),
        comparison.html(explored, other, round_) if other else "",
        "</div>",
    ]
    return "".join(parts)


def _extremes(explored: Explored, rows: pd.DataFrame, name: str) -> str:
    head = ["rank", "row", "score", "entropy", "expected entropy", "label", "prediction", "queried"]
    head += {0: [], 1: ["text"], 2: ["first text", "second text"]}[len(explored.columns)]
    labels = explored.texts.labels
    lines = []
    for one in rows.to_dict("records"):
        cells = [str(one["rank"]), str(one["row"]), *(number(one[n]) for n in ("score", "entropy", "expected_entropy"))]
        cells += [isolated(labels[one["label"]]), isolated(labels[one["prediction"]]), when(one["queried"])]
        cells += [isolated(one[text]) for text in explored.columns]
        lines.append(_line("td", cells))
    head, body = _line("th", head), "".join(lines)
    return f"<p>The {len(rows)} {name} rows:</p><table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _line(tag: str, cells: list[str]) -> str:
    """Five numbers, right; then words, left."""
    sides = ["right"] * 5 + ["left"] * (len(cells) - 5)
    written = [f'<{tag} style="text-align: {side}">{cell}</{tag}>' for side, cell in zip(sides, cells, strict=True)]
    return f"<tr>{''.join(written)}</tr>"

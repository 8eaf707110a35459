"""The explorer's table: one page of rows at a time, drawn by grid.js."""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from lib.data.escaping import shortened, visible
from lib.explorer.data import Explored
from lib.explorer.filters import cut
from lib.explorer.panes import number, when

HERE = Path(__file__).parent
LONGEST = 200  # characters of a text in the table
TITLES = {"expected_entropy": "expected entropy", "bald": "BALD", "first": "text", "second": "second text"}
SCORES = ("score", "bald", "entropy", "expected_entropy")


class Grid(anywidget.AnyWidget):
    """Rows that can be clicked and walked through with keys, which those of ipywidgets' own cannot."""

    _esm = HERE / "grid.js"
    _css = HERE / "explorer.css"
    columns = traitlets.List().tag(sync=True)  # key, title, number: whether it is one, falling: sorted so at first
    page = traitlets.Dict().tag(sync=True)  # rows (strings), found, first, size, total, says
    sort = traitlets.List(["rank", False]).tag(sync=True)  # column, descending
    chosen = traitlets.Int(0).tag(sync=True)  # position of the chosen row among all that match


def columns(explored: Explored) -> list[dict]:
    """What the table shows of a run: BALD beside the score where it is another number, a second text where there is."""
    pool = explored.pool[min(explored.pool)]
    bald = [] if (pool["score"] == pool["bald"]).all() else ["bald"]
    keys = [
        "rank",
        "row",
        "score",
        *bald,
        "entropy",
        "expected_entropy",
        "label",
        "prediction",
        "queried",
        *explored.columns,
    ]
    return [
        {
            "key": key,
            "title": TITLES.get(key, key),
            "number": key in ("rank", "row", *SCORES),
            "falling": key in SCORES,
        }
        for key in keys
    ]


def found(cells: list[str], columns: list[dict], spans: Callable) -> dict[int, list[str]]:
    """Column → the pieces of a text, every second of which was found, where a search found any."""
    texts = [c for c, column in enumerate(columns) if column["key"] in ("first", "second")]
    cut_up = {c: cut(cells[c], spans(cells[c])) for c in texts}
    return {c: pieces for c, pieces in cut_up.items() if len(pieces) > 1}


def cells(row: dict, labels: tuple[str, ...], columns: list[dict]) -> list[str]:
    """A record of Explored.table as it is shown."""
    written = {
        **{name: str(row[name]) for name in ("rank", "row")},
        **{name: number(row[name]) for name in SCORES},
        "label": labels[row["label"]],
        "prediction": f"{'✓' if row['right'] else '✗'} {labels[row['prediction']]}",
        "queried": when(row["queried"]),
        **{name: shortened(row[name], LONGEST) for name in ("first", "second")},
    }
    return [visible(written[column["key"]]) for column in columns]

"""The widget: a pool with its scores, round by round, beside all that the store says about the chosen row."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
import traitlets

from lib.escaping import in_cell, in_html, shortened, visible
from lib.explorer import data, filters, panes
from lib.explorer.drawings import histogram
from lib.protocol import Protocol, StudyError
from lib.results import Run

HERE = Path(__file__).parent
CELL = 200  # characters of a text in the table
NUMBERS = ("rank", "row", "score", "bald", "entropy", "expected_entropy")
TITLES = {"expected_entropy": "expected entropy", "bald": "BALD", "first": "text", "second": "second text"}


class Grid(anywidget.AnyWidget):
    """One page of rows, which can be clicked and walked through with keys. Of ipywidgets' own, none can."""

    _esm = HERE / "grid.js"
    _css = HERE / "explorer.css"
    columns = traitlets.List().tag(sync=True)  # key, title, number: whether it is one, falling: sorted so at first
    page = traitlets.Dict().tag(sync=True)  # rows (strings), first, size, total, says
    sort = traitlets.List(["rank", False]).tag(sync=True)  # column, descending
    chosen = traitlets.Int(0).tag(sync=True)  # position of the chosen row among all that match


class Explorer(widgets.VBox):
    """The pool of a run that scores, in every round; and beside it another run, such as random of the same seed.

    run, other: a lib.protocol.Protocol or lib.results.Run that is finished. store: where they lie if they are
    protocols; empty: results/ of the checkout. page: rows of a page. Reads the store and the texts, never a model.
    Raises StudyError if a run is not there, has no scores, or `other` has other rows.
    """

    def __init__(self, run: Protocol | Run, other: Protocol | Run | None = None, *, store="", page: int = 15):
        self.first = data.explore(run, store)
        self.second = None if other is None else data.explore(other, store)
        if not self.first.pool:
            hint = "give the other run first" if self.second and self.second.pool else "give a run of BALD"
            raise StudyError(f"run {self.first.run.name} has no scores, since it makes no stochastic pass: {hint}")
        if self.second:
            data.check_comparable(self.first, self.second)
        self.seeds = data.other_seeds(self.first)
        self._table, self._comparison = cache(self.first.table), cache(self._compared)
        self._size, self._quiet, self._order, self._row = page, False, np.arange(0), None
        self._build()
        super().__init__(self._panes())
        self.add_class("bald-explorer")
        self._show_round()

    # ---- what it is made of

    def _build(self) -> None:
        scores = np.concatenate([pool["score"] for pool in self.first.pool.values()]).astype(float)
        self._limits = float(scores.min()), max(float(scores.max()), float(scores.min()) + 1e-9)
        last = max(self.first.pool)
        self._round = widgets.IntSlider(last, 0, last, description="Round", continuous_update=True)
        self._play = widgets.Play(last, min=0, max=last, interval=1500, tooltip="play the rounds", show_repeat=False)
        widgets.jslink((self._play, "value"), (self._round, "value"))
        labels = [(visible(shortened(label, 40)), c) for c, label in enumerate(self.first.texts.labels)]
        queried = [("any", ""), ("after this round", "now"), ("in a later round", "later"), ("never", "never")]
        picked = [("any", ""), ("the first alone", "first"), ("the second alone", "second")]
        picked += [("both", "both"), ("neither", "neither")]
        chosen = {
            "label": widgets.Dropdown(options=[("any", filters.ANY), *labels], description="Class"),
            "prediction": widgets.Dropdown(
                options=[("any", ""), ("right", "right"), ("wrong", "wrong")], description="Prediction"
            ),
            "queried": widgets.Dropdown(options=queried, description="Queried"),
            "picked": widgets.Dropdown(options=picked, description="Picked by"),
            "search": widgets.Text(description="Search", placeholder="words that all must occur"),
            "regular": widgets.Checkbox(description="regular expression", indent=False),
        }
        self._filters = chosen
        low, high = self._limits
        self._range = widgets.FloatRangeSlider(
            value=self._limits, min=low, max=high, step=(high - low) / 400, description="Score", readout_format=".4f"
        )
        self._histogram, self._about, self._count, self._detail, self._both = (widgets.HTML() for _ in range(5))
        self._clear = widgets.Button(description="Clear filters", tooltip="show all rows")
        self._save = widgets.Button(description="Save as csv", tooltip="the matching rows, in this order, as csv")
        self._grid = Grid(columns=self._columns())
        self._round.observe(self._show_round, "value")
        for control in [*chosen.values(), self._range]:
            control.observe(self._show_rows, "value")
        self._grid.observe(self._show_rows, "sort")
        self._grid.observe(self._show_row, "chosen")
        self._clear.on_click(self._clear_filters)
        self._save.on_click(lambda _: self._grid.send({"name": self._file_name(), "text": self.csv()}))

    def _columns(self) -> list[dict]:
        keys = [
            "rank",
            "row",
            "score",
            "bald",
            "entropy",
            "expected_entropy",
            "label",
            "prediction",
            "queried",
            "first",
        ]
        pool = self.first.pool[0]
        if (pool["score"] == pool["bald"]).all():
            keys.remove("bald")
        if len(self.first.texts.train[0]) == 3:
            keys.append("second")
        return [
            {"key": key, "title": TITLES.get(key, key), "number": key in NUMBERS, "falling": key in NUMBERS[2:]}
            for key in keys
        ]

    def _panes(self) -> list[widgets.Widget]:
        names = [panes.titled(one) for one in (self.first, self.second) if one]
        title = widgets.HTML(f"<h4>{in_html(' and '.join(names))}</h4>")
        controls = dict(self._filters)
        if not self.second:
            del controls["picked"]
        for control in controls.values():
            control.layout = widgets.Layout(width="auto", flex="0 1 220px")
            control.style.description_width = "70px"
        for button in (self._clear, self._save):
            button.layout = widgets.Layout(width="auto")
        self._histogram.add_class("histogram")
        self._histogram.layout = widgets.Layout(margin="0 130px 0 86px")
        self._range.add_class("score-range")
        self._range.layout = widgets.Layout(width="100%")
        self._range.style.description_width = "70px"
        self._round.style.description_width = "70px"
        self._detail.add_class("bald-detail")
        self._detail.layout = widgets.Layout(flex="2 1 370px", max_height="620px", min_width="0")
        single = len(self.first.texts.train[0]) == 2
        rows = widgets.VBox(
            [self._count, self._grid], layout=widgets.Layout(flex=f"3 1 {600 if single else 780}px", min_width="0")
        )
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="center")
        parts = [
            title,
            widgets.HBox([self._round, self._play, self._about], layout=wrapped),
            widgets.HBox([*controls.values(), self._clear, self._save], layout=wrapped),
            widgets.VBox([self._histogram, self._range], layout=widgets.Layout(max_width="720px")),
            widgets.HBox([rows, self._detail], layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start")),
        ]
        return [*parts, self._both] if self.second else parts

    # ---- what it shows

    @property
    def round(self) -> int:
        return self._round.value

    @property
    def table(self) -> pd.DataFrame:
        """The pool as this round scored it."""
        return self._table(self.round)

    @property
    def selection(self) -> pd.DataFrame:
        """The rows that match, in the order shown."""
        return self.table.iloc[self._order]

    @property
    def chosen(self) -> pd.Series | None:
        """The row whose details are shown; None if no row matches."""
        return self.table.iloc[self._order[self._grid.chosen]] if len(self._order) else None

    def _show_round(self, _=None) -> None:
        labelled = self.first.rounds["labelled"][self.round]
        self._about.value = f"<p>trained on {labelled} rows; {len(self.table):,} in the pool</p>"
        if self.second:
            self._both.value = self._comparison(self.round)
        self._show_rows(row=self._row)

    def _compared(self, round_: int) -> str:
        return panes.comparison(self.first, self.second, round_)

    def _show_rows(self, _=None, row: int | None = None) -> None:
        """What matches, in order; the chosen row is `row`, if it matches, else the first."""
        if self._quiet:
            return
        given, said = self._given(), ""
        picks = tuple(one.picked_until(self.round) if one else set() for one in (self.first, self.second))
        try:
            kept = filters.matching(self.table, given, self.round, picks)
        except StudyError as error:
            said = f'<p role="alert">{in_html(error)}</p>'
            kept = filters.matching(self.table, replace(given, search=""), self.round, picks)
        self._count.value = f'{said}<p role="status">{kept.sum():,} of {len(kept):,} rows match</p>'
        self._order = filters.ordered(self.table, kept, *self._grid.sort)
        self._histogram.value = histogram(self.table["score"].to_numpy(), kept, self._limits, self._range.value)
        places = np.flatnonzero(self.selection["row"] == row)
        with self._silently():
            self._grid.chosen = int(places[0]) if len(places) else 0
        self._show_row()

    def _given(self) -> filters.Filters:
        """The filters as the controls are set. A handle at its end lets pass what rounding puts beyond it."""
        (low, high), (lowest, highest) = self._range.value, self._limits
        near = self._range.step / 2
        low, high = (-np.inf if low < lowest + near else low), (np.inf if high > highest - near else high)
        return filters.Filters(**{name: one.value for name, one in self._filters.items()}, low=low, high=high)

    def _show_row(self, _=None) -> None:
        if self._quiet:
            return
        first = self._grid.chosen // self._size * self._size
        rows = self.table.iloc[self._order[first : first + self._size]].to_dict("records")
        page = {
            "first": first,
            "size": self._size,
            "total": len(self._order),
            "rows": [self._cells(row) for row in rows],
        }
        self._grid.page = page | {"says": f"Pool of round {self.round}"}
        row = self.chosen
        if row is None:
            self._detail.value = "<p>No row matches: clear a filter.</p>"
        else:
            self._row = int(row["row"])
            self._detail.value = panes.details(self.first, self.seeds, self.round, row)

    def _cells(self, row: dict) -> list[str]:
        labels = self.first.texts.labels
        written = {
            **{name: str(row[name]) for name in ("rank", "row")},
            **{name: panes.number(row[name]) for name in ("score", "bald", "entropy", "expected_entropy")},
            "label": labels[row["label"]],
            "prediction": f"{'✓' if row['right'] else '✗'} {labels[row['prediction']]}",
            "queried": panes.when(row["queried"]),
            **{name: shortened(row[name], CELL) for name in ("first", "second")},
        }
        return [visible(written[column["key"]]) for column in self._grid.columns]

    @contextmanager
    def _silently(self):
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _clear_filters(self, _=None) -> None:
        with self._silently():
            for name, control in self._filters.items():
                control.value = getattr(filters.Filters(), name)
            self._range.value = self._limits
        self._show_rows()

    # ---- what leaves it

    def csv(self) -> str:
        """The matching rows in the order shown; no text is a formula to a spreadsheet."""
        labels = [in_cell(label) for label in self.first.texts.labels]
        table = self.selection.copy()
        for name in ("label", "prediction"):
            table[name] = [labels[c] for c in table[name]]
        for name in ("first", "second"):
            table[name] = pd.Series([in_cell(text) for text in table[name]], table.index, dtype=object)
        table["queried"] = [panes.when(queried) for queried in table["queried"]]
        if self.second:
            picked = self.second.picked_until(self.round)
            table["picked by the second run"] = [row in picked for row in table["row"]]
        return table.to_csv(index=False)

    def save(self, path) -> None:
        """The same, in a file."""
        Path(path).write_text(self.csv(), "utf-8")

    def _file_name(self) -> str:
        return f"{self.first.run.name}-round-{self.round:02}.csv"

    def _repr_mimebundle_(self, **options):
        """The widget, and for viewers that cannot run it, or do not trust it, a table."""
        bundle = super()._repr_mimebundle_(**options)
        about = f"Explorer of {self.first.run.name}: {len(self.first.pool)} scored rounds"
        return bundle | {"text/plain": about, "text/html": panes.static(self.first, self.second, max(self.first.pool))}

"""The widget: a pool with its scores, round by round, beside all that the store says about the chosen row."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import Markdown
from ipywidgets import Layout

from lib.data.escaping import in_cell, in_html
from lib.explorer import comparison, data, filters, panes, static
from lib.explorer.controls import Controls
from lib.explorer.drawings import histogram
from lib.explorer.grid import Grid, cells, columns
from lib.fields import StudyError
from lib.protocol import Protocol
from lib.store.results import Run


class Explorer(widgets.VBox):
    """The pool of a run that scores, in every round; and beside it another run, such as random of the same seed.

    run, other: a lib.protocol.Protocol or lib.store.results.Run that is finished. store: where they lie if they are
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
            comparison.check(self.first, self.second)
        self.seeds = data.other_seeds(self.first)
        self._table = cache(self.first.table)
        self._both = cache(lambda round_: comparison.html(self.first, self.second, round_))
        self._size, self._quiet = page, False
        self._order, self._row = np.arange(0), None  # positions in the table of what matches; the row chosen last
        self.controls = Controls(self.first, two=self.second is not None)
        self.grid = Grid(columns=columns(self.first))
        self.about, self.count, self.histogram, self.detail, self.comparison = (widgets.HTML() for _ in range(5))
        super().__init__(self._parts())
        self.add_class("bald-explorer")
        self._observe()
        self._show_round()

    def _parts(self) -> list[widgets.Widget]:
        names = " and ".join(one.title for one in (self.first, self.second) if one)
        wide = 600 if self.first.single else 780
        rows = widgets.VBox([self.count, self.grid], layout=Layout(flex=f"3 1 {wide}px", min_width="0"))
        self.detail.add_class("bald-detail")
        self.detail.layout = Layout(flex="2 1 370px", max_height="620px", min_width="0")
        return [
            widgets.HTML(f"<h4>{in_html(names)}</h4>"),
            *self.controls.boxes(self.about, self.histogram),
            widgets.HBox([rows, self.detail], layout=Layout(flex_flow="row wrap", align_items="flex-start")),
            *([self.comparison] if self.second else []),
        ]

    def _observe(self) -> None:
        self.controls.round.observe(self._show_round, "value")
        for control in [*self.controls.filters.values(), self.controls.range]:
            control.observe(self._show_rows, "value")
        self.controls.clear.on_click(self._clear)
        self.controls.save.on_click(lambda _: self.grid.send({"name": self._file_name(), "text": self.csv()}))
        self.grid.observe(self._show_rows, "sort")
        self.grid.observe(self._show_row, "chosen")

    # ---- what it shows

    @property
    def round(self) -> int:
        return self.controls.round.value

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
        # a key may have been pressed before a filter left fewer rows
        place = min(self.grid.chosen, len(self._order) - 1)
        return self.table.iloc[self._order[place]] if place >= 0 else None

    def _show_round(self, _=None) -> None:
        labelled = self.first.rounds["labelled"][self.round]
        self.about.value = f"<p>trained on {labelled} rows; {len(self.table):,} in the pool</p>"
        if self.second:
            self.comparison.value = self._both(self.round)
        self._show_rows(row=self._row)

    def _show_rows(self, _=None, row: int | None = None) -> None:
        """What matches, in order; the chosen row is `row`, if it matches, else the first."""
        if self._quiet:
            return
        given, said = self.controls.given(), ""
        picks = tuple(one.picked_until(self.round) if one else set() for one in (self.first, self.second))
        try:
            kept = filters.matching(self.table, given, self.round, picks)
        except StudyError as error:
            said = f'<p role="alert">{in_html(error)}</p>'
            kept = filters.matching(self.table, replace(given, search=""), self.round, picks)
        self.count.value = f'{said}<p role="status">{kept.sum():,} of {len(kept):,} rows match</p>'
        self._order = filters.ordered(self.table, kept, *self.grid.sort)
        scores, controls = self.table["score"].to_numpy(), self.controls
        self.histogram.value = histogram(scores, kept, controls.limits, controls.range.value)
        places = np.flatnonzero(self.selection["row"] == row)
        with self._silently():
            self.grid.chosen = int(places[0]) if len(places) else 0
        self._show_row()

    def _show_row(self, _=None) -> None:
        """The page that the chosen row is on, and its details."""
        if self._quiet:
            return
        row, labels = self.chosen, self.first.texts.labels
        first = self.grid.chosen // self._size * self._size
        rows = self.table.iloc[self._order[first : first + self._size]].to_dict("records")
        shown = [cells(one, labels, self.grid.columns) for one in rows]
        page = {"rows": shown, "first": first, "size": self._size, "total": len(self._order)}
        self.grid.page = page | {"says": f"Pool of round {self.round}"}
        if row is None:
            self.detail.value = "<p>No row matches: clear a filter.</p>"
        else:
            self._row = int(row["row"])
            self.detail.value = panes.details(self.first, self.seeds, self.round, row)

    @contextmanager
    def _silently(self):
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _clear(self, _=None) -> None:
        with self._silently():
            self.controls.reset()
        self._show_rows()

    # ---- what leaves it

    def csv(self) -> str:
        """The matching rows in the order shown; no text is a formula to a spreadsheet."""
        labels = [in_cell(label) for label in self.first.texts.labels]
        table = self.selection.drop(columns="words")
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
        return bundle | {"text/plain": about, "text/html": static.html(self.first, self.second, max(self.first.pool))}


def of_runs(protocols: list[Protocol], store="") -> Explorer | Markdown:
    """The explorer of the first of these runs that has scores, beside the random run of its seed (see `data.pair`).

    Where the texts or the runs are not there, a line says so, and what to give.
    """
    try:
        return Explorer(*data.pair(protocols, store))
    except StudyError as error:
        return Markdown(f"No explorer here: {in_html(error)}")

"""The widget: a pool with its scores, round by round, beside all that the store says about the chosen row."""

from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.data.escaping import in_cell, in_html, visible
from lib.errors import StudyError
from lib.explorer import catalogue, comparison, data, filters, panes, static
from lib.explorer.controls import WRAPPED, Controls
from lib.explorer.drawings import histogram
from lib.explorer.grid import Grid, cells, columns, found
from lib.explorer.picker import Picker
from lib.protocol import Protocol
from lib.runs.results import Run


class Explorer(widgets.VBox):
    """The pool of a run that scores, in every round; and beside it another run, such as random of the same seed.

    run, other: a lib.protocol.Protocol or lib.runs.results.Run that is finished; none: what the store has. store:
    where they lie if they are protocols; empty: results/ of the checkout. hub: where rows are looked for, laid out like
    the Hub; empty: where the runs had them. page: rows of a page. Reads the store and the texts, never a model. Raises
    StudyError if a run is not there, has no scores, or `other` has other rows.
    """

    def __init__(
        self,
        run: Protocol | Run | None = None,
        other: Protocol | Run | None = None,
        *,
        store="",
        hub: str = "",
        page: int = 15,
    ):
        if run is None:
            run, other = catalogue.first(catalogue.read(store, hub))
        first = data.explore(run, store)
        second = None if other is None else data.explore(other, store)
        self._size, self._quiet = page, False
        self._check(first, second)
        self.picker = Picker(catalogue.read(first.run.store, hub, first.run), self._pick)
        super().__init__()
        self.add_class("bald-explorer")
        self._open(first, second)

    def _check(self, first: data.Explored, second: data.Explored | None) -> None:
        if not first.pool:
            hint = "give the other run first" if second and second.pool else "give a run of BALD"
            raise StudyError(f"run {first.run.name} has no scores, since it makes no stochastic pass: {hint}")
        if second:
            comparison.check(first, second)

    def _open(self, first, second, round_: int | None = None, row: int | None = None) -> None:
        """Show these two runs, the second of which may be None, and a row of the first if it is in the pool."""
        self.first, self.second = first, second
        self.seeds = data.other_seeds(first)
        self._table = cache(first.table)
        self._both = cache(lambda round_: comparison.html(first, second, round_))
        self._order, self._row = np.arange(0), row  # positions in the table of what matches; the row chosen last
        self.controls = Controls(first, two=second is not None)
        if round_ in first.pool:
            self.controls.round.value = round_
        self.grid = Grid(columns=columns(first))
        self.about, self.count, self.histogram, self.detail, self.comparison = (widgets.HTML() for _ in range(5))
        self.trouble = widgets.HTML(f'<p role="note">{in_html(first.lacking)}.</p>' if first.lacking else "")
        self.picker.show(first.run, second.run if second else None)
        before, self.children = self.children, self._parts()
        close(before, kept=self.picker)
        self._observe()
        self._show_round()

    def _pick(self, name: str, beside: str, follow: bool = False) -> None:
        """Open runs of the catalogue, in the same round if they have it. One that cannot be opened is a line.

        follow: the chosen row, into the last round, up to this one, in which it is in the run's pool.
        """
        try:
            first, second = (data.explore(self.picker.catalogue.run(one)) if one else None for one in (name, beside))
            self._check(first, second)
        except StudyError as error:
            self.trouble.value = f'<p role="alert">{in_html(error)}</p>'
            self.picker.show(self.first.run, self.second.run if self.second else None)
            return
        row = self._row if first.run.protocol.task == self.first.run.protocol.task else None
        round_ = min(self.round, first.queried.get(row, self.round)) if follow else self.round
        self._open(first, second, round_, row)

    def _message(self, _, content: dict, __) -> None:
        """A click on a link to the chosen row in another run."""
        name = content.get("open") if isinstance(content, dict) else None
        if name in self.picker.catalogue.runs and self._row is not None:
            self._pick(name, self.picker.companion(name), follow=True)

    def _parts(self) -> list[widgets.Widget]:
        names = " and ".join(one.title for one in (self.first, self.second) if one)
        self.detail.add_class("bald-detail")
        return [
            widgets.HTML(f"<h4>{in_html(names)}</h4>"),
            self.picker,
            self.trouble,
            *self.controls.boxes(self.about, self.histogram),
            widgets.HBox([self.count, self.controls.clear, self.controls.save], layout=WRAPPED),
            self.grid,
            self.detail,
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
        self.grid.on_msg(self._message)

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
        labelled, right = (self.first.rounds[name][self.round] for name in ("labelled", "accuracy"))
        beside = ""
        if self.second and self.round < len(self.second.rounds):
            beside = f" (the second: {self.second.rounds['accuracy'][self.round]:.3f})"
        self.about.value = (
            f"<p>trained on {labelled} rows; {len(self.table):,} in the pool; accuracy <b>{right:.3f}</b>{beside}</p>"
        )
        with self._silently():
            self.controls.show_scores(self.table["score"])
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
        counted = f'<p role="status">{kept.sum():,} of {len(kept):,} rows match</p>'
        self.count.value = f"{said}{counted}{self._picked_before(given.picked, picks)}"
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
        spans = filters.spans(self.controls.given())
        page = {"rows": shown, "found": [found(one, self.grid.columns, spans) for one in shown]}
        page |= {"first": first, "size": self._size, "total": len(self._order)}
        self.grid.page = page | {"says": f"Pool of round {self.round}"}
        if row is None:
            self.detail.value = "<p>No row matches: clear a filter.</p>"
        else:
            self._row = int(row["row"])
            others = self.picker.others()
            self.detail.value = panes.details(self.first, self.seeds, self.round, row, others, spans)

    def _picked_before(self, filter_: str, picks: tuple[set, set]) -> str:
        """Why the list below has more rows than the filter: what was picked earlier is in this pool no more."""
        first, second = picks
        every = {"first": first - second, "second": second - first, "both": first & second}.get(filter_, set())
        gone = len(every) - self.table["row"].isin(every).sum()
        if not gone:
            return ""
        name = {"both": "both"}.get(filter_, f"the {filter_} alone")
        return (
            f'<p class="note">{len(every):,} rows were picked by {name} until now; {gone:,} of them are not in this '
            "pool any more, since the first run has labelled them.</p>"
        )

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
        labels = [in_cell(visible(label)) for label in self.first.texts.labels]
        table = self.selection.drop(columns="words")
        for name in ("label", "prediction"):
            table[name] = [labels[c] for c in table[name]]
        for name in ("first", "second"):
            table[name] = pd.Series([in_cell(visible(text)) for text in table[name]], table.index, dtype=object)
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


def close(parts: tuple[widgets.Widget, ...], kept: widgets.Widget) -> None:
    """Take widgets and all that is in them out of the page and the kernel, but for one."""
    for part in parts:
        if part is not kept:
            close(getattr(part, "children", ()), kept)
            part.close()


def of_runs(protocols: list[Protocol], store="") -> Explorer | Markdown:
    """The explorer of the first of these runs that has scores, beside the random run of its seed (see `data.pair`).

    Where the texts or the runs are not there, a line says so, and what to give.
    """
    try:
        return Explorer(*data.pair(protocols, store))
    except StudyError as error:
        return Markdown(f"No explorer here: {in_html(error)}")

"""Which run is explored, and which beside it: a choice of task, strategy, F and seed among the runs that are there."""

from collections.abc import Callable
from contextlib import contextmanager

import ipywidgets as widgets
from ipywidgets import Layout

from lib.data.tasks import display_name
from lib.explorer.catalogue import Catalogue, identity
from lib.explorer.data import signed
from lib.protocol import IDENTITY
from lib.runs.results import Run

TITLES = {"task": "Task", "strategy": "Strategy", "frozen": "F", "seed": "Seed"}
WIDTHS = {"task": "190px", "strategy": "250px", "frozen": "120px", "seed": "120px"}


def titled(strategy: str, frozen: int, seed: int | None = None) -> str:
    return f"{display_name(strategy)}, F = {signed(frozen)}{'' if seed is None else f', seed {seed}'}"


class Picker(widgets.HBox):
    """Lists of what the store has. open: is called with the names of the two runs, the second empty for none."""

    def __init__(self, catalogue: Catalogue, open: Callable[[str, str], None]):
        self.catalogue, self._open, self._quiet = catalogue, open, False
        self.fields = {
            name: widgets.Dropdown(description=title, layout=Layout(width=WIDTHS[name]))
            for name, title in TITLES.items()
        }
        self.beside = widgets.Dropdown(description="Beside it", layout=Layout(width="300px"))
        for name, control in self.fields.items():
            control.style.description_width = "initial"
            control.observe(lambda change, name=name: self._pick(name), "value")
        self.beside.style.description_width = "initial"
        self.beside.observe(lambda change: self._pick_beside(), "value")
        super().__init__([*self.fields.values(), self.beside], layout=Layout(flex_flow="row wrap"))

    def show(self, first: Run, second: Run | None) -> None:
        """These two runs are open: set the lists to them."""
        self._first, self._second = first, second
        for run in filter(None, (first, second)):
            self.catalogue.add(run)
        here, there = identity(first.protocol), self.catalogue.identities()
        with self._silently():
            for place, (name, control) in enumerate(self.fields.items()):
                of_task = [one for one in there if name == "task" or one[0] == here[0]]
                values = sorted({one[place] for one in of_task})
                written = display_name if name in ("task", "strategy") else signed
                control.options = [(written(value), value) for value in values]
                control.value = here[place]
            options = [("nothing", "")]
            for task, *rest in self.catalogue.identities(scoring=False):
                name = self.catalogue.best((task, *rest), first.protocol)
                if second and identity(second.protocol) == (task, *rest):
                    name = second.name
                if task == here[0] and (name != first.name or (second and name == second.name)):
                    options.append((titled(*rest), name))
            self.beside.options = options
            self.beside.value = second.name if second else ""

    def others(self) -> list[tuple[str, str]]:
        """Name and title of the other runs of the task and seed that have scores."""
        task, *_, seed = here = identity(self._first.protocol)
        there = [one for one in self.catalogue.identities() if (one[0], one[3]) == (task, seed) and one != here]
        return [(self.catalogue.best(one, self._first.protocol), titled(*one[1:3])) for one in there]

    def _pick(self, changed: str) -> None:
        if self._quiet:
            return
        wanted = self.catalogue.nearest(tuple(self.fields[name].value for name in IDENTITY), changed)
        name = self.catalogue.best(wanted, self._first.protocol)
        self._open(name, self.companion(name))

    def companion(self, name: str) -> str:
        """What stands beside a run as the second does beside the first: of its strategy and F, in the run's seed."""
        if self._second is None:
            return ""
        protocol, second = self.catalogue.runs[name], self._second.protocol
        found = self.catalogue.best((protocol.task, second.strategy, second.frozen, protocol.seed), second)
        return found if found != name else ""

    def _pick_beside(self) -> None:
        if not self._quiet:
            self._open(self._first.name, self.beside.value)

    @contextmanager
    def _silently(self):
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

"""All that chooses rows: the round, filters, a range of scores."""

import ipywidgets as widgets
import numpy as np
from ipywidgets import Layout

from lib.data.escaping import shortened, visible
from lib.explorer.data import Explored
from lib.explorer.filters import ANY, Filters

QUERIED = (("any", ""), ("after this round", "now"), ("in a later round", "later"), ("never", "never"))
PREDICTION = (("any", ""), ("right", "right"), ("wrong", "wrong"))
PICKED = (("any", ""), ("the first alone", "first"), ("the second alone", "second"))
PICKED += (("both", "both"), ("neither", "neither"))
NAMES = "70px"  # width of the controls' names
WRAPPED = Layout(flex_flow="row wrap", align_items="center")


class ScoreRange(widgets.FloatRangeSlider):
    """A slider whose ends move with the round."""

    def get_state(self, key=None, drop_defaults=False) -> dict:
        """The value comes last: a page that hears of it before the new ends clips it to the old ones, and says so."""
        state = super().get_state(key, drop_defaults)
        return {name: state[name] for name in sorted(state, key=lambda name: name == "value")}


class Controls:
    """The controls of the explorer of one run, or of two."""

    def __init__(self, explored: Explored, two: bool):
        first, last = min(explored.pool), max(explored.pool)  # of some published runs one round is there
        self.round = widgets.IntSlider(last, first, last, description="Round")
        self.play = widgets.Play(last, min=first, max=last, interval=1500, show_repeat=False)
        widgets.jslink((self.play, "value"), (self.round, "value"))
        labels = [(visible(shortened(label, 40)), c) for c, label in enumerate(explored.texts.labels)]
        self.filters = {
            "label": widgets.Dropdown(options=[("any", ANY), *labels], description="Class"),
            "prediction": widgets.Dropdown(options=PREDICTION, description="Prediction"),
            "queried": widgets.Dropdown(options=QUERIED, description="Queried"),
            **({"picked": widgets.Dropdown(options=PICKED, description="Picked by")} if two else {}),
            "search": widgets.Text(description="Search", placeholder="words that all must occur"),
            "regular": widgets.Checkbox(description="regular expression", indent=False),
        }
        for name in ("search", "regular") if explored.lacking else ():
            self.filters[name].disabled = True
        self.range = ScoreRange(description="Score", readout_format=".4f")
        self.limits = None
        self.show_scores(explored.pool[last]["score"])
        self.clear = widgets.Button(description="Clear filters", tooltip="show all rows", layout=Layout(width="auto"))
        says = "the matching rows, in this order, as csv"
        self.save = widgets.Button(description="Save as csv", tooltip=says, layout=Layout(width="auto"))

    def show_scores(self, scores) -> None:
        """The range goes from the lowest to the highest of these scores; a handle at an end stays there."""
        low, high = float(scores.min()), max(float(scores.max()), float(scores.min()) + 1e-9)
        given = self.given() if self.limits else Filters()
        self.limits = low, high
        with self.range.hold_sync(), self.range.hold_trait_notifications():  # one message: no page sees half of it
            self.range.min, self.range.max, self.range.step = low, high, (high - low) / 400
            self.range.value = float(np.clip(given.low, low, high)), float(np.clip(given.high, low, high))

    def given(self) -> Filters:
        """The filters as the controls are set. A handle at its end lets pass what rounding puts beyond it."""
        (low, high), (lowest, highest) = self.range.value, self.limits
        near = self.range.step / 2
        low, high = (-np.inf if low < lowest + near else low), (np.inf if high > highest - near else high)
        return Filters(**{name: one.value for name, one in self.filters.items()}, low=low, high=high)

    def reset(self) -> None:
        for name, control in self.filters.items():
            control.value = getattr(Filters(), name)
        self.range.value = self.limits

    def boxes(self, about: widgets.Widget, histogram: widgets.Widget) -> list[widgets.Widget]:
        """The controls in lines. about: stands beside the round; histogram: above the range, as wide as its track."""
        for control in self.filters.values():
            control.layout = Layout(width="auto", flex="0 1 220px")
        self.filters["regular"].layout = Layout(width="auto")
        for control in (self.round, self.range, *self.filters.values()):
            control.style.description_width = NAMES
        histogram.add_class("histogram")
        histogram.layout = Layout(margin="0 136px 0 88px")
        self.range.add_class("score-range")
        self.range.layout = Layout(width="auto")  # with its margins as wide as the box, not wider
        return [
            widgets.HBox([self.round, self.play, about], layout=WRAPPED),
            widgets.HBox([*self.filters.values()], layout=WRAPPED),
            widgets.VBox([histogram, self.range], layout=Layout(max_width="900px")),
        ]

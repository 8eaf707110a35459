"""The look of all figures: names and colours that mean the same everywhere, panels, one legend below them."""

import itertools
import math
import zlib
from functools import wraps

import matplotlib
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from lib.analysis.wording import NOTHING
from lib.data.escaping import visible
from lib.data.tasks import display_name
from lib.protocol import choices

NAMES = {"labelled": "labelled rows |T|", "frozen": "F", "area": "area under the curve"}  # of columns, on axes
BLUE, ORANGE, GREEN, _, PURPLE, _, _, GREY, *_ = sns.color_palette("colorblind")
LINES = ("", (4, 2), (1, 1), (5, 1, 1, 1), (2, 1), (6, 1), (3, 1, 1, 1), (1, 3))
GUARD = "\u200b"  # without width, before a leading underscore: matplotlib leaves such names out of legends
ACROSS = 3  # panels side by side: of more, letters are too small to read in print
MARKERS = ("o", "X", "s", "P", "D", "^", "v", "p")


def style() -> None:
    """The look of all figures; called once by each notebook."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    matplotlib.rcParams |= {"figure.dpi": 100, "savefig.dpi": 200, "savefig.bbox": "tight", "svg.hashsalt": "bald"}


def label(name) -> str:
    """The display name of a task, class, strategy or other level, on one line."""
    return visible(display_name(str(name).removeprefix(GUARD)))


def legend_label(name) -> str:
    """The same for a legend: guarded where matplotlib would leave it out."""
    return _guarded(label(name))


def axis_label(column: str) -> str:
    """A column as a reader should see it."""
    return NAMES.get(column, column)


class _Looks(dict):
    """Name of a strategy → its look; of one that is not registered here any more, always the same one of all looks."""

    def __init__(self, looks):
        super().__init__(zip(choices("strategy"), itertools.cycle(looks), strict=False))
        self.looks = looks

    def __missing__(self, name):
        return self.looks[zlib.crc32(str(name).encode()) % len(self.looks)]


def colours() -> dict:
    """Each strategy's colour, the same in every figure; the eleventh has the first one's, with another line."""
    return _Looks(sns.color_palette("colorblind"))


def dashes() -> dict:
    """Each strategy's line, as seaborn's `dashes`."""
    return _Looks(LINES)


def markers() -> dict:
    """Each strategy's marker, as seaborn's `markers`."""
    return _Looks(MARKERS)


def linestyle(strategy: str):
    """A strategy's line, as matplotlib's `linestyle`."""
    return drawn_as(dashes()[strategy])


def drawn_as(dash):
    """One of seaborn's `dashes` as matplotlib's `linestyle`."""
    return (0, dash) if dash else "-"


def apart(values, most: int, scale=float) -> list:
    """Of the values that occur, up to `most` for ticks, from the smallest on, whose labels do not overprint.

    scale: where a value stands on the axis; math.log for a logarithmic one.
    """
    values = sorted(set(values))
    gap = 0.99 * (scale(values[-1]) - scale(values[0])) / max(most - 1, 1)
    kept = values[:1]
    for value in values[1:]:
        if scale(value) - scale(kept[-1]) >= gap:
            kept.append(value)
    return kept


def log_ticks(axis, values, most: int = 6) -> None:
    """Plain numbers on a logarithmic axis, at values that occur."""
    axis.set_major_locator(FixedLocator(apart(values, most, math.log)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def panels(count: int, height: float = 3.4, width: float = 3.6, **options):
    """`count` axes, a row as long as they fit on a printed page, else as few rows of equal length as hold them.

    → figure, list of axes
    """
    rows = math.ceil(count / ACROSS)
    columns = math.ceil(count / rows)
    figure, grid = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False, **options)
    axes = list(grid.flat)
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[max(count - columns, 0) : count]:  # with nothing below it, also where the x axis is shared
        ax.tick_params(labelbottom=True)
    return figure, axes[:count]


def label_left(axes, text: str, **look) -> None:
    """The label of a y axis that panels share, left of each row of them."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel(text, **look)


def of_rows(draw):
    """How a table is drawn: an empty one says that there is nothing to draw; names are shown as they are.

    To matplotlib, dollars are the ends of a formula, and what begins with an underscore has no place in a legend.
    """

    @wraps(draw)
    def answer(table, *arguments, **options):
        if len(table):
            names = {column: table[column].map(_guarded) for column in table.select_dtypes(["object", "str"])}
            with matplotlib.rc_context({"text.parse_math": False}):
                figure = draw(table.assign(**names), *arguments, **options)
            for text in figure.findobj(Text):
                text.set_text(text.get_text().replace(GUARD, ""))
            return figure
        figure, (ax,) = panels(1, height=1)
        ax.text(0.5, 0.5, NOTHING, ha="center", va="center")
        ax.axis("off")
        return figure

    return answer


def _guarded(value):
    return GUARD + value if isinstance(value, str) and value.startswith("_") else value


def bars(table):
    """Lengths of the error bars below and above `mean`; None, which draws neither bar nor cap, if none is known."""
    known = table[["low", "high"]].notna().any(axis=None)
    return [table["mean"] - table["low"], table["high"] - table["mean"]] if known else None


def shared_legend(figure, axes, prefix: str = "") -> None:
    """One legend of all axes, below them, where it hides no data, and in as many lines as the figure's width needs.

    prefix: before numbers, which are put in order.
    """
    drawn = {name: handle for ax in axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    numbers = sorted((level for level in drawn if _is_number(level)), key=int) if prefix else []
    levels = numbers + [level for level in drawn if level not in numbers]
    handles = [drawn[name] for name in levels]
    texts = [prefix + level.replace("-", "−") if level in numbers else label(level) for level in levels]
    for ax in axes:
        if ax.get_legend():
            ax.get_legend().remove()
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.02), "frameon": False}
    for lines in range(1, len(texts) + 1):
        legend = figure.legend(handles, texts, ncols=-(-len(texts) // lines), **place)
        if lines == len(texts) or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()


def _is_number(level: str) -> bool:
    return level.lstrip("-").isdecimal()

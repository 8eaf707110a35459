"""Every figure and table: tidy frames in, axes out; saved with the runs and the commit inside the file."""

from lib.figures.curves import data_size, differences, learning_curves, spread
from lib.figures.layers import architecture, layer_differences, parameter_change
from lib.figures.looks import style
from lib.figures.notebook import (
    Later,
    markdown,
    output_folder,
    save_figure,
    say,
    show_index,
    show_limits,
    show_protocol,
    show_reading,
    show_table,
    versions,
)
from lib.figures.payoff import forest, labels_needed
from lib.figures.picks import class_counts, lengths, overlap, reliability, risk_coverage, settings, shared_picks

__all__ = [
    "Later",
    "architecture",
    "class_counts",
    "data_size",
    "differences",
    "forest",
    "labels_needed",
    "layer_differences",
    "learning_curves",
    "lengths",
    "markdown",
    "output_folder",
    "overlap",
    "parameter_change",
    "reliability",
    "risk_coverage",
    "save_figure",
    "say",
    "settings",
    "shared_picks",
    "show_index",
    "show_limits",
    "show_protocol",
    "show_reading",
    "show_table",
    "spread",
    "style",
    "versions",
]

"""What a notebook shows beside its figures: tables, the protocol, the index, answer, reading and versions."""

import inspect
import platform
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from lib.figures.files import markdown, save_table
from lib.protocol import Profile, Protocol
from lib.reading.wording import NOTHING, say_chance, say_precision
from lib.store.provenance import commit, processor

INDEX = (
    ("Figure 1, architecture", "00_claims", "00_architecture"),
    ("Figure 2, accuracy against the number of training rows", "01_data_size", "01_data_size"),
    ("Figure 3, BALD against random acquisition", "02_bald_vs_random", "02_bald_vs_random"),
    ("Figure 4, mean absolute difference of each layer", "03_parameter_change", "03_parameter_change"),
    ("Figure 5, learning curves with frozen layers", "04_layer_freezing", "04_layer_freezing"),
    ("Table 1, accuracy at the last round with frozen layers", "04_layer_freezing", "04_table_1"),
    ("Table 2, width of the intervals with frozen layers", "04_layer_freezing", "04_table_2"),
    ("Figure 6, classes of T over the rounds", "05_qualitative", "05_class_counts"),
    ("Table 3, largest minus smallest class", "05_qualitative", "05_table_3"),
    ("Table 4, examples with their scores", "05_qualitative", "05_table_4"),
)


class Later:
    """A place in a notebook whose content is computed further down: an answer above its evidence."""

    def __init__(self):
        self.handle = display(Markdown("*computed below*"), display_id=True)

    def show(self, content) -> None:
        """Put a sentence or a figure there. A figure is closed: its own cell would show it a second time."""
        self.handle.update(Markdown(content) if isinstance(content, str) else content)
        if isinstance(content, Figure):
            plt.close(content)


def say(sentence: str) -> None:
    """Show a sentence; nothing where there is nothing to tell, which the table above it has said."""
    if sentence != NOTHING:
        display(Markdown(sentence))


def show_table(table: pd.DataFrame, name: str, folder: Path, runs, **look) -> None:
    """Save a table and show it, or a line if it is empty. look: `digits` and `best` of `markdown`."""
    if table.empty:
        display(Markdown(f"*{NOTHING}*"))
        return
    save_table(table, name, folder, runs, **look)
    display(Markdown(markdown(table, **look)))


def show_protocol(protocol: Protocol, folder: Path) -> None:
    """Every field of a run with what it means, from the comments beside the fields of lib.protocol.Protocol."""
    source = inspect.getsource(Protocol)
    notes = dict(re.findall(r"^    (\w+): \w+.*?# (.*)$", source, re.MULTILINE))
    rows = [{"field": name, "value": str(value), "meaning": notes[name]} for name, value in asdict(protocol).items()]
    show_table(pd.DataFrame(rows), "00_protocol", folder, [])


def show_index(folder: Path) -> None:
    """Every figure and table of the paper with the notebook that makes it and the name of its files."""
    show_table(pd.DataFrame(INDEX, columns=["in the paper", "notebook", "files"]), "00_index", folder, [])


def show_reading(sentences: str, study: Profile, runs: pd.DataFrame) -> None:
    """What came out, and what a reader must know before believing it."""
    seeds = runs["seed"].nunique()
    sure = (
        "One seed: nothing is known about the spread between runs, and no difference is more than an example."
        if seeds == 1
        else f"{seeds} seeds: an interval of a mean over seeds says nothing about other data or other encoders."
    )
    show_limits(sentences, (sure, *say_precision(runs), *say_chance(runs), *study.caveats))


def show_limits(sentences: str, limits) -> None:
    lines = [f"- {limit}" for limit in limits]
    parts = [sentences, "\n".join(["**Limits.**", "", *lines]) if lines else ""]
    display(Markdown("\n\n".join(part for part in parts if part)))


def versions() -> None:
    """What this notebook runs with."""
    packages = ("torch", "transformers", "datasets", "numpy", "pandas", "seaborn")
    print(f"commit {commit()}, Python {platform.python_version()}, {processor()}")
    print(", ".join(f"{name} {version(name)}" for name in packages))

"""What a notebook shows and keeps: figures and tables as files, with runs and commit inside; its answer, its index."""

import json
import platform
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from lib.analysis.statistics import FEWEST
from lib.analysis.wording import NOTHING, say_chance, say_data, say_precision, say_ties
from lib.data.escaping import in_markdown
from lib.data.tasks import display_name
from lib.figures.looks import axis_label
from lib.protocol import Profile, Protocol
from lib.runs.provenance import ROOT, commit, processor

FIGURES = ROOT / "figures"
# columns of the code's tables, as a reader should see them; others as on the axes of figures
HEADINGS = {
    "labelled": "rows of T",
    "half_width": "half of the interval",
    "paper": "the paper's",
    "paper_half_width": "its half of the interval",
    "paper_frozen": "the paper's F",
    "width": "width of the interval",
    "rho": "ρ",
    "overlap": "word overlap",
    "near_duplicates": "near duplicates",
    "between_draws": "shared by two draws",
    "with_largest": "shared with the largest S",
    "samples": "S",
    "error": "calibration error",
    "floor": "its floor",
    "brier": "Brier score",
}
COUNTS = ("near_duplicates", "pairs")  # columns of counts, which are floats because they are means over runs
ROUNDING = 1e-12  # smaller differences are errors of rounding, and shown as 0


def output_folder(profile: str, given: str = "") -> Path:
    """Where a notebook saves its figures and tables."""
    own = Path(profile).parent.name if profile.endswith(".json") else profile
    return Path(given) if given else FIGURES / own


def save_figure(figure, name: str, folder: Path, runs) -> None:
    """<folder>/<name>.png and .svg, with the runs and the commit in the files' metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    source = provenance(runs)
    figure.savefig(folder / f"{name}.png", metadata={"Source": source, "Software": None})
    figure.savefig(folder / f"{name}.svg", metadata={"Source": source, "Date": None})


def save_table(table: pd.DataFrame, name: str, folder: Path, runs, **look) -> None:
    """<folder>/<name>.csv (all digits, # header) and .md (as `markdown` makes it), with the runs and the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    source = provenance(runs)
    with open(folder / f"{name}.csv", "w", encoding="utf-8") as file:
        file.write(f"# {source}\n")
        table.to_csv(file, index=False)
    (folder / f"{name}.md").write_text(f"<!-- {source} -->\n\n{markdown(table, **look)}\n", "utf-8")


def markdown(table: pd.DataFrame, digits: int = 3, best: dict[str, str] | None = None) -> str:
    """A Markdown table: rounded numbers, names written out, nothing for what is missing.

    Numbers that `digits` decimals would round away have two significant digits; counts that are whole have no decimals.
    best: column → "max" or "min"; the best value of each task that has several is set in bold. Text of data sets is
    escaped. Columns have their HEADINGS; numbers are set to the right.
    """
    decimals = {column: 0 if _whole(table[column]) else digits for column in table}
    written = pd.DataFrame({column: [_cell(value, decimals[column]) for value in table[column]] for column in table})
    for column, how in (best or {}).items():
        by_task = table.groupby("task")[column]
        winners = (table[column] == by_task.transform(how)) & (by_task.transform("count") > 1)
        written[column] = np.where(winners, "**" + written[column] + "**", written[column])
    sides = ["right" if is_numeric_dtype(table[column]) else "left" for column in table]
    headings = [in_markdown(HEADINGS.get(column, axis_label(column))) for column in table]
    return written.to_markdown(headers=headings, index=False, disable_numparse=True, colalign=sides)


def _whole(column: pd.Series) -> bool:
    return column.name in COUNTS and bool((column.dropna() % 1 == 0).all())


def _cell(value, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        small = ROUNDING < abs(value) < min(1e-3, 10.0 ** (2 - digits))
        return f"{value:#.2g}" if small else f"{value:z.{digits}f}"  # z: no −0
    if not isinstance(value, str):
        return str(value)
    return in_markdown(display_name(value))


def provenance(runs) -> str:
    """The runs that a file was made from and the commit that made it, as JSON."""
    return json.dumps({"commit": commit(), "runs": sorted(set(map(str, runs)))})


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


def show_table(table: pd.DataFrame, name: str, folder: Path, runs, nothing: str = NOTHING, **look) -> None:
    """Save a table and show it, or `nothing` if it is empty. look: `digits` and `best` of `markdown`."""
    if table.empty:
        display(Markdown(f"*{nothing}*"))
        return
    save_table(table, name, folder, runs, **look)
    display(Markdown(markdown(table, **look)))


def show_protocol(protocol: Protocol, folder: Path) -> None:
    """Every field of a run with what it means."""
    rows = [
        {"field": field.name, "value": str(getattr(protocol, field.name)), "meaning": field.metadata["help"]}
        for field in fields(protocol)
    ]
    show_table(pd.DataFrame(rows), "00_protocol", folder, [])


def show_index(folder: Path) -> None:
    """Every figure and table of the paper with the notebook that makes it and the name of its files."""
    show_table(pd.DataFrame(INDEX, columns=["in the paper", "notebook", "files"]), "00_index", folder, [])


def show_reading(sentences: str, study: Profile, runs: pd.DataFrame) -> None:
    """What came out, and what a reader must know before believing it."""
    seeds = runs.groupby("task")["seed"].nunique()
    fewest, most = seeds.min(), seeds.max()
    if most == 1:
        sure = "One seed: nothing is known about the spread between runs, and no difference is more than an example."
    else:
        many = f"{most} seeds" if fewest == most else f"{fewest} to {most} seeds, by task"
        sure = f"{many}: an interval of a mean over seeds says nothing about other data or other encoders."
        if fewest < FEWEST:
            sure += f" Fewer than {FEWEST} have no interval."
    of_runs = (*say_data(runs), *say_precision(runs), *say_chance(runs), *say_ties(runs))
    show_limits(sentences, (sure, *of_runs, *study.caveats))


def show_limits(sentences: str, limits) -> None:
    lines = [f"- {limit}" for limit in limits]
    parts = [sentences, "\n".join(["**Limits.**", "", *lines]) if lines else ""]
    display(Markdown("\n\n".join(part for part in parts if part)))


def versions() -> None:
    """What this notebook runs with."""
    packages = ("torch", "transformers", "datasets", "numpy", "pandas", "seaborn")
    print(f"commit {commit()}, Python {platform.python_version()}, {processor()}")
    print(", ".join(f"{name} {version(name)}" for name in packages))

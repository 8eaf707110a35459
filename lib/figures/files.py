"""Figures and tables as files, with the runs and the commit inside."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from lib.fields import named
from lib.figures.looks import label
from lib.store.provenance import ROOT, commit

FIGURES = ROOT / "figures"
# columns of the code's tables, as a reader should see them; others as on the axes of figures
HEADINGS = {
    "labelled": "rows of T",
    "half_width": "half of the interval",
    "paper": "the paper's",
    "paper_half_width": "its half of the interval",
    "width": "width of the interval",
    "rho": "ρ",
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
    return Path(given) if given else FIGURES / profile


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
    best: column → "max" or "min"; the best value of each task is set in bold. Text of data sets is escaped. Columns
    have their HEADINGS; numbers are set to the right.
    """
    decimals = {column: 0 if _whole(table[column]) else digits for column in table}
    written = pd.DataFrame({column: [_cell(value, decimals[column]) for value in table[column]] for column in table})
    for column, how in (best or {}).items():
        winners = table[column] == table.groupby("task")[column].transform(how)
        written[column] = np.where(winners, "**" + written[column] + "**", written[column])
    sides = ["right" if is_numeric_dtype(table[column]) else "left" for column in table]
    headings = [HEADINGS.get(column, label(column)) for column in table]
    return written.to_markdown(headers=headings, index=False, disable_numparse=True, colalign=sides)


def _whole(column: pd.Series) -> bool:
    return column.name in COUNTS and bool((column.dropna() % 1 == 0).all())


def _cell(value, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        small = ROUNDING < abs(value) < min(1e-3, 10.0 ** (2 - digits))
        return f"{value:#.2g}" if small else f"{value:.{digits}f}"
    if not isinstance(value, str):
        return str(value)
    text = " ".join(named(value).split())
    # not two backslashes for one: before a bracket, Jupyter takes them for the beginning of a formula
    return re.sub(r"[\\`*_{}\[\]<>|$#~&!]", lambda sign: "&#92;" if sign[0] == "\\" else f"\\{sign[0]}", text)


def provenance(runs) -> str:
    """The runs that a file was made from and the commit that made it, as JSON."""
    return json.dumps({"commit": commit(), "runs": sorted(set(map(str, runs)))})

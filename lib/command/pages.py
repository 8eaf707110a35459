"""Executed notebooks as pages to open from a file, without network or kernel, and an index of all of them.

The index has each notebook's answer, its figures and its tables.
"""

import base64
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from lib.errors import StudyError

VIEW = "application/vnd.jupyter.widget-view+json"
INDEX = "index.html"
# without what the lab template would load from the network, none of which is needed to read the page; with a way back
OFFLINE = f"""\
{{% extends 'lab/index.html.j2' %}}
{{% block html_head_js %}}{{% endblock %}}
{{% block html_head_js_mathjax %}}{{% endblock %}}
{{% block html_head_js_mermaidjs %}}{{% endblock %}}
{{% block body_header %}}{{{{ super() }}}}
<nav style="padding: 8px 16px"><a style="color: #0645ad" href="{INDEX}">← All notebooks, figures and tables</a></nav>
{{% endblock %}}
"""
STYLE = """\
:root { color-scheme: light dark; }
body { font-family: system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
section { margin: 3rem 0; } figure { margin: 2rem 0; }
img { max-width: 100%; background: white; } figcaption { margin-bottom: 0.5rem; }
details { margin: 1rem 0; overflow-x: auto; } summary { cursor: pointer; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: 0.25rem 0.75rem; }
"""


def write(executed: Path, names=None) -> Path:
    """A page for each notebook in a folder of executed ones, in its subfolder html. → html/index.html

    names: of the notebooks that are shown; None: all. Raises StudyError if there is none.
    """
    notebooks = sorted(executed.glob("[0-9][0-9]_*.ipynb"))
    notebooks = [path for path in notebooks if names is None or path.name in names]
    if not notebooks:
        raise StudyError(f"{executed} holds no executed notebook: run them first")
    folder = executed / "html"
    folder.mkdir(exist_ok=True)
    sections = []
    for path in notebooks:
        notebook = without_widgets(nbformat.read(path, as_version=4))
        (folder / f"{path.stem}.html").write_text(page(notebook, path.stem), "utf-8")
        sections.append(section(notebook, path.stem))
    title = f"Notebooks and figures of the profile {executed.name}"
    index = folder / INDEX
    index.write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n{''.join(sections)}</body></html>\n",
        "utf-8",
    )
    return index


def without_widgets(notebook):
    """The notebook as it reads without a kernel: where an output is a widget, what it shows instead."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if len(output.get("data", {})) > 1:
                output["data"].pop(VIEW, None)
    return notebook


def page(notebook, name: str) -> str:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\$\$(.+?)\$\$", formula, cell.source, flags=re.DOTALL)
    for heading, data in figures(notebook):
        data.setdefault("text/html", img(heading, data["image/png"]))  # with a text for those who do not see it
    # a widget needs a kernel: text/html, its table, comes first
    kinds = ["text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex", "text/plain"]
    exporter = HTMLExporter(config=Config({"NbConvertBase": {"display_data_priority": kinds}}))
    exporter.raw_template = OFFLINE
    return exporter.from_notebook_node(notebook, {"metadata": {"name": name}})[0]


def formula(found: re.Match) -> str:
    """A displayed formula as a picture: Jupyter's way to set formulas needs the network."""
    from matplotlib.mathtext import math_to_image

    drawn = io.BytesIO()
    try:
        math_to_image(f"${found[1].strip()}$", drawn, dpi=200, format="png")
    except ValueError:  # beyond what matplotlib can set: it stays as it is typed
        return found[0]
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{html.escape(found[1].strip())}" style="height: 3em" src="data:image/png;base64,{data}">'


def figures(notebook) -> Iterator[tuple[str, dict]]:
    """Every picture among the outputs: the heading that it stands below, and the output's data."""
    return ((heading, data) for heading, data in outputs(notebook) if "image/png" in data)


def outputs(notebook) -> Iterator[tuple[str, dict]]:
    """What was shown: the heading that it stands below, and the output's data."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE)):
            heading = found[1]
        for output in cell.get("outputs", []):
            yield heading, output.get("data", {})


def img(heading: str, picture: str) -> str:
    return f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{picture.strip()}">'


def section(notebook, name: str) -> str:
    """Title, link, answer, every figure and every table of a notebook.

    A figure that is shown twice has the heading of its last place; the tables below one heading open together.
    """
    from nbconvert.filters import markdown2html

    first = re.search(r"^#+ +(.+)$", notebook.cells[0].source, re.MULTILINE)
    title = first[1] if first else name
    pictures = {data["image/png"]: heading for heading, data in figures(notebook)}
    drawn = "".join(
        f"<figure>{'' if heading == title else f'<figcaption>{html.escape(heading)}</figcaption>'}"
        f"{img(heading, picture)}</figure>\n"
        for picture, heading in pictures.items()
    )
    said = [(heading, data.get("text/markdown", "")) for heading, data in outputs(notebook)]
    answers = "".join(markdown2html(text) for _, text in said if text.startswith("**Answer.**"))
    tables = {}
    for heading, text in said:
        if text.startswith("|"):
            tables.setdefault(heading, []).append(text)
    told = "".join(
        f"<details><summary>{'Table' if len(texts) == 1 else f'{len(texts)} tables'}: {html.escape(heading)}</summary>"
        f"{''.join(map(markdown2html, texts))}</details>\n"
        for heading, texts in tables.items()
    )
    link = f'<a href="{html.escape(name)}.html">{html.escape(name)}</a>'
    return f"<section><h2>{html.escape(title)}</h2><p>{link}</p>\n{answers}{drawn}{told}</section>\n"

"""Pages of executed notebooks: all that was shown, nothing from the network, and every figure in the index."""

import base64
import io
import re

import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.command import pages
from lib.errors import StudyError

STATE = {"application/vnd.jupyter.widget-state+json": {"state": {"1": {}}, "version_major": 2, "version_minor": 0}}
WIDGET = {"version_major": 2, "version_minor": 0, "model_id": "1"}


def picture(height: float) -> str:
    content = io.BytesIO()
    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, height])
    figure.savefig(content, format="png", dpi=20)
    return base64.b64encode(content.getvalue()).decode()


def shown(**data) -> object:
    kinds = {
        "html": "text/html",
        "png": "image/png",
        "plain": "text/plain",
        "markdown": "text/markdown",
        "view": pages.VIEW,
    }
    return new_code_cell("show()", outputs=[new_output("display_data", {kinds[kind]: d for kind, d in data.items()})])


@pytest.fixture
def executed(tmp_path):
    """A folder with two notebooks as papermill leaves them: figures, one of them twice, a widget, a formula."""
    folder = tmp_path / "quick"
    folder.mkdir()
    first = [
        new_markdown_cell("# Sizes <b>&\n\n**Question.** Which?"),
        shown(markdown="**Answer.** The *larger*.", plain="<Markdown>"),
        shown(png=picture(1), plain="<Figure>"),
        shown(png=picture(2), plain="<Figure>"),
        new_markdown_cell("## Figure 2: by task\n\n$$|\\Delta\\theta| = \\frac{1}{N}\\sum_n |x_n|$$"),
        shown(png=picture(2), plain="<Figure>"),
        shown(markdown="| task | mean |\n|:-----|-----:|\n| &lt;i&gt; | 0.5 |", plain="<Markdown>"),
        shown(markdown="Not | a table", plain="<Markdown>"),
    ]
    second = [
        new_markdown_cell("# Rows"),
        shown(html="<table><tr><td>a row</td></tr></table>", plain="Box", view=WIDGET),
    ]
    for name, cells in (("01_sizes", first), ("05_rows", second)):
        nbformat.write(new_notebook(cells=cells, metadata={"widgets": STATE}), folder / f"{name}.ipynb")
    return folder


def test_the_index_shows_every_figure_below_its_heading_and_links_every_page(executed):
    index = pages.write(executed)
    assert index == executed / "html" / "index.html"
    text = index.read_text("utf-8")
    assert re.findall('href="(.*?)"', text) == ["01_sizes.html", "05_rows.html"]
    assert re.findall("<h2>(.*?)</h2>", text) == ["Sizes &lt;b&gt;&amp;", "Rows"]
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == ["Figure 2: by task"], "no heading is said twice"
    assert text.count("data:image/png;base64,") == 2
    assert all((executed / "html" / name).exists() for name in ("01_sizes.html", "05_rows.html"))


def test_the_index_shows_every_answer_and_every_table_and_each_page_leads_back_to_it(executed):
    index = pages.write(executed)
    text = index.read_text("utf-8")
    assert "<p><strong>Answer.</strong> The <em>larger</em>.</p>" in text
    assert re.findall("<summary>(.*?)</summary>", text) == ["Table: Figure 2: by task"]
    assert re.findall("<t[hd].*?>(.*?)</t[hd]>", text) == ["task", "mean", "&lt;i&gt;", "0.5"]
    assert "<i>" not in text
    assert "Not | a table" not in text
    for name in ("01_sizes.html", "05_rows.html"):
        page = (index.parent / name).read_text("utf-8")
        back = re.search(r'<body.*?<a [^>]*href="([^"]*)"', page, re.DOTALL)[1]
        assert (index.parent / back).samefile(index)


def test_only_the_notebooks_that_are_named_are_shown(executed):
    text = pages.write(executed, {"05_rows.ipynb"}).read_text("utf-8")
    assert re.findall('href="(.*?)"', text) == ["05_rows.html"]
    assert [path.name for path in (executed / "html").glob("0*.html")] == ["05_rows.html"]


def test_pages_ask_the_network_for_nothing(executed):
    pages.write(executed)
    for page in (executed / "html").glob("*.html"):
        text = page.read_text("utf-8")
        sources = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', text)
        assert set(sources) <= {"index.html", "01_sizes.html", "05_rows.html"}
        assert "<script src" not in text
        assert not re.search(r"@import|url\(\s*['\"]?http", text)


def test_a_widget_is_the_table_that_it_brings_along(executed):
    pages.write(executed)
    text = (executed / "html" / "05_rows.html").read_text("utf-8")
    assert "<td>a row</td>" in text
    assert "model_id" not in text
    assert "widget-state" not in text


def test_a_formula_is_a_picture(executed):
    pages.write(executed)
    text = (executed / "html" / "01_sizes.html").read_text("utf-8")
    assert re.search(r'<img alt="\|\\Delta\\theta\|[^>]* src="data:image/png;base64', text)
    assert "$$" not in text


def test_a_formula_beyond_matplotlib_stays_as_it_is_typed():
    assert (
        re.sub(r"\$\$(.+?)\$\$", pages.formula, "$$\\begin{matrix}x\\end{matrix}$$")
        == "$$\\begin{matrix}x\\end{matrix}$$"
    )


def test_the_executed_notebooks_are_left_as_they_are(executed):
    before = {path: path.read_bytes() for path in executed.glob("*.ipynb")}
    pages.write(executed)
    assert {path: path.read_bytes() for path in executed.glob("*.ipynb")} == before


def test_without_notebooks_there_is_one_line(tmp_path):
    with pytest.raises(StudyError, match="no executed notebook"):
        pages.write(tmp_path)

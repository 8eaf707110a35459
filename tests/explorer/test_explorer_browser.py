"""The explorer in a real JupyterLab: every action with mouse and keys, and what is left of it without trust."""

import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from browser import PATIENCE
from explored import hostile, large
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import TimeoutError as NoAnswer

from lib.command import pages
from lib.explorer import Explorer
from lib.runs.run import run

TESTS = Path(__file__).parents[1]
SHOW = """\
import sys
sys.path.insert(0, {tests!r})
from explored import hostile, large
from lib.explorer import Explorer, data
from lib.protocol import Protocol

protocols = [Protocol(**fields) for fields in {fields!r}]
"""


@pytest.fixture(scope="module")
def protocols(tiny_protocol, tmp_path_factory):
    """BALD and random of a seed, and BALD of another one, in a store. → protocols of the first two, store"""
    store = tmp_path_factory.mktemp("store")
    of = [tiny_protocol(task="snli", samples=20, **changed) for changed in ({}, {"strategy": "random"}, {"seed": 1})]
    for protocol in of:
        run(protocol, store)
    return of[:2], str(store)


@pytest.fixture(scope="module")
def write(protocols):
    """write(path, code) → a notebook at `path` whose last cell is `code`, with the protocols and the store at hand."""
    of, store = protocols
    fields = [dataclasses.asdict(protocol) for protocol in of]

    def build(path: Path, code: str) -> Path:
        first = SHOW.format(tests=str(TESTS), fields=fields)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        cells = [new_code_cell(first), new_code_cell(code.format(store=store))]
        nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
        return path

    return build


@pytest.fixture(scope="module")
def shown(jupyterlab, write):
    """The explorer of two runs in a notebook that was run in JupyterLab."""
    write(jupyterlab.root / "two.ipynb", "Explorer(*protocols, store={store!r})")
    notebook = jupyterlab.open("two.ipynb")
    notebook.run_all()
    notebook.page.get_by_role("grid").wait_for()
    yield notebook
    notebook.close()


@pytest.fixture(scope="module")
def explorer(protocols) -> Explorer:
    """The same, here: what the page should show."""
    of, store = protocols
    return Explorer(*of, store=store)


@pytest.fixture
def page(shown):
    """The page, with all rows of the last round, sorted by rank."""
    page = shown.page
    page.get_by_role("button", name="Clear filters").click()
    if not page.locator("th[aria-sort=ascending]").get_by_text("rank").count():
        page.get_by_role("button", name="rank").click()
    wait_for_count(page, "45 of 45 rows match")
    yield page
    assert shown.errors == []


def control(page, name: str):
    return page.locator(".bald-explorer").get_by_label(name)


def rows(page) -> list[list[str]]:
    """The cells of the rows shown."""
    found = page.get_by_role("grid").locator("tbody tr")
    return found.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")


def wait_for_rows(page, expected: list[int]) -> None:
    """Until these rows are shown: they come in a message of their own, after the one with their number."""
    for _ in range(10 * PATIENCE):
        found = [int(row[1]) for row in rows(page)]
        if found == expected:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"shown are {found}, not {expected}")


def wait_for_row(page, number: int) -> None:
    page.get_by_role("heading", name=f"Row {number}", exact=True).wait_for()


def wait_for_count(page, text: str) -> None:
    count(page, text).wait_for()


def count(page, text: str):
    return page.get_by_role("status").get_by_text(text, exact=True)  # "3 of 45" is a part of "13 of 45"


def search(page, text: str, answer) -> None:
    """Type into the search box and wait for the answer; where none comes, as when a key was lost, type once more."""
    box = control(page, "Search")
    for wait in (20_000, 1000 * PATIENCE):
        box.fill(text)
        try:
            answer.wait_for(timeout=wait)
            return
        except NoAnswer:
            shown = page.get_by_role("status").or_(page.get_by_role("alert")).all_inner_texts()
            said = f"{text!r} in the search box, which holds {box.input_value()!r}, was answered with {shown}"
            box.fill("")
    raise AssertionError(said)


def test_it_shows_rows_histogram_details_and_both_runs(page, shown, explorer):
    wait_for_rows(page, explorer.table["row"][:15].tolist())
    wait_for_row(page, explorer.table["row"][0])
    assert page.get_by_role("img", name="Histogram").is_visible()
    assert page.get_by_role("img", name="20 passes").count() == 3
    assert page.get_by_role("heading", name="picked by the second alone").is_visible()
    assert shown.screenshot("explorer-light").stat().st_size > 10_000


def test_people_with_keys_or_a_screen_reader_meet_nothing_serious(page, shown):
    assert shown.violations(".bald-explorer") == []


def test_rows_are_chosen_with_the_mouse_and_walked_through_with_keys(page, explorer):
    order = explorer.table["row"].tolist()
    grid = page.get_by_role("grid")
    grid.locator("tbody tr").nth(3).click()
    wait_for_row(page, order[3])
    grid.focus()
    for key, position in [("ArrowDown", 4), ("ArrowUp", 3), ("PageDown", 18), ("End", 44), ("Home", 0)]:
        grid.press(key)
        wait_for_row(page, order[position])
        (chosen,) = grid.locator("[aria-selected=true]").all()
        assert chosen.get_attribute("aria-rowindex") == str(position + 2)
        assert grid.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == 1, "keys stay in the table"
    page.get_by_role("button", name="next page").click()
    wait_for_row(page, order[15])
    wait_for_rows(page, order[15:30])


def test_a_column_sorts_and_says_so(page, explorer):
    page.get_by_role("button", name="entropy", exact=True).click()
    page.locator("th[aria-sort=descending]").get_by_text("entropy").wait_for()
    expected = explorer.table.sort_values("entropy", ascending=False)["row"].tolist()
    wait_for_row(page, expected[0])
    wait_for_rows(page, expected[:15])
    page.get_by_role("button", name="rank").click()
    wait_for_row(page, explorer.table["row"][0])


def test_filters_and_search_are_answered_with_rows_and_their_number(page, explorer):
    table = explorer.table
    control(page, "Class").select_option("neutral")
    expected = table.query("label == 1")
    wait_for_count(page, f"{len(expected)} of 45 rows match")
    wait_for_rows(page, expected["row"][:15].tolist())
    found = [all(word in f"{one.first} {one.second}" for word in ("superb", "film")) for one in expected.itertuples()]
    search(page, "superb film", count(page, f"{sum(found)} of 45 rows match"))
    control(page, "regular expression").check()
    search(page, "film (", page.get_by_role("alert").get_by_text("is not a regular expression"))
    search(page, "no such text", count(page, "0 of 45 rows match"))
    wait_for_rows(page, [])


def test_the_round_slides_with_keys(page, explorer):
    page.get_by_role("slider", name="Round").press("ArrowLeft")
    page.get_by_text("trained on 10 rows; 50 in the pool").wait_for()
    wait_for_count(page, "50 of 50 rows match")
    page.get_by_role("slider", name="Round").press("ArrowRight")
    wait_for_count(page, "45 of 45 rows match")
    page.get_by_role("slider", name="lowest Score").press("End")
    scores = explorer.table["score"]
    highest = (scores >= scores.max() - (scores.max() - scores.min()) / 800).sum()  # half a step of the slider
    wait_for_count(page, f"{highest} of 45 rows match")


def test_the_selection_is_saved_as_csv(page, explorer):
    control(page, "Prediction").select_option("wrong")
    expected = explorer.table.query("not right")["row"].tolist()
    wait_for_count(page, f"{len(expected)} of 45 rows match")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as csv").click()
    assert download.value.suggested_filename == f"{explorer.first.run.name}-round-01.csv"
    assert pd.read_csv(download.value.path())["row"].tolist() == expected


def test_many_hostile_rows_are_text_and_fluid(jupyterlab, write, explorer, capsys):
    """Times are printed, not asserted: from the action to the page that shows its answer."""
    table = hostile(large(explorer.first)).table(1)
    found = table["first"].str.contains("onerror") | table["second"].str.contains("onerror")
    write(jupyterlab.root / "hostile.ipynb", "Explorer(hostile(large(data.explore(protocols[0], {store!r}))))")
    notebook = jupyterlab.open("hostile.ipynb", theme="dark")
    page = notebook.page
    notebook.run_all()
    wait_for_count(page, "20,000 of 20,000 rows match")
    grid, times = page.get_by_role("grid"), {}
    assert any("<script>window.hacked = 1</script>" in cell for row in rows(page) for cell in row)

    def timed(name: str, act, answered) -> None:
        start = time.perf_counter()
        act()
        answered()
        times[name] = max(time.perf_counter() - start, times.get(name, 0))

    for row in table["row"][1:6]:
        heading = page.get_by_role("heading", name=f"Row {row}", exact=True)
        timed("row", lambda: grid.press("ArrowDown"), heading.wait_for)
    timed("page", lambda: grid.press("PageDown"), page.get_by_text("rows 16–30 of 20,000").wait_for)
    order = page.locator("th[aria-sort=ascending]").get_by_text("text", exact=False)
    timed("sort", page.get_by_role("button", name="text", exact=True).click, order.wait_for)
    kind = control(page, "Class")
    for name, act, expected in [
        ("search", lambda: control(page, "Search").fill("onerror"), found.sum()),
        ("class", lambda: kind.select_option(index=2), (found & (table["label"] == 1)).sum()),
    ]:
        timed(name, act, page.get_by_role("status").get_by_text(f"{expected:,} of 20,000 rows").wait_for)
    notebook.screenshot("explorer-dark")
    with capsys.disabled():
        print("\n20,000 rows in the browser, ms: " + ", ".join(f"{name} {1000 * t:.0f}" for name, t in times.items()))
    assert page.evaluate("window.hacked") is None
    assert not page.locator(".bald-explorer").locator("script, iframe, a").count()
    assert notebook.errors == []
    notebook.close()


@pytest.fixture(scope="module")
def executed(write, tmp_path_factory) -> Path:
    """A folder with a notebook as papermill leaves it: nobody trusts it."""
    folder = tmp_path_factory.mktemp("quick")
    source = write(folder / "source.ipynb", "Explorer(*protocols, store={store!r})")
    papermill = [sys.executable, "-m", "papermill", "--no-progress-bar", source, folder / "05_explorer.ipynb"]
    done = subprocess.run(papermill, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def check_static(page, explorer) -> None:
    """The highest and lowest rows and the histogram are there, and no place is left for a widget."""
    table = explorer.table
    for row in (*table["row"][:10], *table["row"][-10:]):
        assert page.get_by_role("cell", name=str(row), exact=True).first.is_visible()
    assert page.get_by_text(table["first"][0]).first.is_visible()
    picture = page.get_by_role("img", name="Histogram")
    assert picture.is_visible()
    assert picture.evaluate("picture => picture.naturalWidth") > 300
    assert not page.locator(".jupyter-widgets").count()


def test_an_executed_notebook_that_nobody_trusts_shows_tables_and_pictures(jupyterlab, executed, explorer):
    shutil.copy(executed / "05_explorer.ipynb", jupyterlab.root)
    notebook = jupyterlab.open("05_explorer.ipynb")
    check_static(notebook.page, explorer)
    notebook.screenshot("explorer-untrusted")
    assert notebook.errors == []
    notebook.close()


def test_its_page_needs_no_network(jupyterlab, executed, explorer):
    index = pages.write(executed)
    page = jupyterlab.browser.new_page()
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.goto(index.as_uri())
    page.get_by_role("link", name="05_explorer").click()
    check_static(page, explorer)
    page.screenshot(path=jupyterlab.place / "explorer-page.png")
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert errors == []
    page.close()

"""Notebook 07 as a person uses it: in JupyterLab, with keys, and with a kernel that dies."""

import nbformat
import pytest
from test_labelling import HOSTILE, NOTEBOOK, invented, write_csv

from lib.journal import Journal
from lib.own_rows import read_rows

KEYS = {"negative": "1", "positive": "2"}


@pytest.fixture
def opened(jupyterlab, tiny_encoder):
    """opened(rows, **parameters) → the notebook in JupyterLab, run from end to end, with the widget in view."""
    notebooks = []

    def build(rows: list[dict], theme: str = "light", **parameters):
        folder = jupyterlab.root / f"work-{len(list(jupyterlab.root.iterdir()))}"
        folder.mkdir()
        values = {"path": str(write_csv(folder / "mine.csv", rows)), "labels": ",".join(KEYS)}
        values |= {"encoder": tiny_encoder, "begin": 6, "query": 8, "at_random": 2, **parameters}
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in values.items())
        nbformat.write(notebook, folder / NOTEBOOK.name)
        shown = jupyterlab.open(f"{folder.name}/{NOTEBOOK.name}", theme)
        notebooks.append(shown)
        shown.run_all()
        return shown, folder

    yield build
    for notebook in notebooks:
        notebook.close()


def give(page, label: str) -> str:
    """Answer the row in view with its key and wait for the next one. → the text that was answered"""
    text = page.locator(".labeller-text").first.inner_text()
    page.keyboard.press(KEYS[label])
    page.wait_for_function(
        """before => {
            const text = document.querySelector(".labeller-text"), busy = document.querySelector(".labeller-busy");
            return !busy && text && text.innerText !== before;
        }""",
        arg=text,
    )
    return text


def answers(folder) -> dict:
    about = {"columns": ["text"], "labels": list(KEYS), "answers": ""}
    said = Journal(folder / "mine-labelled" / "journal.jsonl", about).said()
    rows = read_rows(folder / "mine.csv", "text", labels=list(KEYS))
    texts = dict(zip(rows.keys, rows.texts, strict=True))
    return {texts[key][0]: label for key, label in said.answers.items()}


def test_ten_labels_given_with_keys_survive_a_killed_kernel(opened):
    notebook, folder = opened(invented(40))
    page, given = notebook.page, {}
    page.locator(".labeller").click()
    for number in range(10):
        label = list(KEYS)[number % 2]
        given[give(page, label)] = label
    notebook.screenshot("labelling-light")
    waiting = page.locator(".labeller-text").inner_text()
    assert page.locator(".labeller-total").inner_text().startswith("10 labelled, 0 skipped")

    notebook.kill_kernel()
    notebook.run_all()
    assert page.locator(".labeller-total").inner_text().startswith("10 labelled, 0 skipped")
    assert answers(folder) == given
    assert page.locator(".labeller-text").inner_text() == waiting
    notebook.screenshot("labelling-after-restart")

    page.locator(".labeller").click()
    page.keyboard.press("u")
    page.wait_for_function("() => document.querySelector('.labeller-total').innerText.startsWith('9 ')")
    assert answers(folder) == dict(list(given.items())[:-1])
    assert notebook.errors == []


def test_hostile_texts_are_shown_as_text_in_the_dark(opened):
    rows = [{"text": text, "label": ""} for text in HOSTILE] + invented(30)[:10]
    notebook, _ = opened(rows, "dark", begin=16, query=1, at_random=0)
    page, seen = notebook.page, []
    page.locator(".labeller").click()
    for _ in range(16):
        notebook.screenshot(f"labelling-dark-{len(seen):02}")
        seen.append(page.locator(".labeller-text").text_content())
        page.get_by_role("button", name="skip").click()
        page.wait_for_function(
            "before => document.querySelector('.labeller-text')?.textContent !== before", arg=seen[-1]
        )
    assert {"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "␛[31mred␀"} <= set(seen)
    assert not page.locator(".labeller-text *").count()
    assert notebook.errors == []

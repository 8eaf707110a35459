"""Notebook 07 as a person uses it: in JupyterLab, with keys and buttons, and with a kernel that dies."""

import json
import random
import shutil

import nbformat
import pytest
from test_labelling import HOSTILE, NOTEBOOK, invented, write_csv

from lib.data.own_rows import read_rows
from lib.labelling.journal import Journal
from lib.labelling.labeller import lines

KEYS = {"negative": "1", "positive": "2"}


MANY = {f"class {n:02}": key for n, key in enumerate("123456789acdefghijklmnopqrtvwxyz", 1)}


HOSTILE_FILE = [{"text": text, "label": ""} for text in HOSTILE] + invented(11)


@pytest.fixture(params=[{"labels": list(KEYS)}])
def opened(request, jupyterlab, tiny_encoder):
    """The notebook in JupyterLab, run from end to end; by default 17 rows of 18 to label before the first training."""
    shutil.rmtree(jupyterlab.root / "mine-labelled", ignore_errors=True)  # of the test before
    given = {"rows": HOSTILE_FILE, "start": 17, "query": 1, "at_random": 0, **request.param}
    values = {"path": str(write_csv(jupyterlab.root / "mine.csv", given.pop("rows"))), "encoder": tiny_encoder}
    values |= given | {"labels": ",".join(given["labels"])}
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in values.items())
    nbformat.write(notebook, jupyterlab.root / NOTEBOOK.name)
    shown = jupyterlab.open(NOTEBOOK.name)
    shown.run_all()
    yield shown
    shown.close()


def text_of(page) -> str:
    return page.locator(".labeller-text").text_content()


def wait_for(page, total: str) -> None:
    """Until the widget is idle and says that there are so many labels."""
    page.wait_for_function(
        """total => {
            const idle = !document.querySelector(".labeller-busy");
            return idle && document.querySelector(".labeller-total").innerText.startsWith(total);
        }""",
        arg=total,
    )


def answers(folder, labels=tuple(KEYS)) -> dict[str, str]:
    """Text → label, as the journal on the disk says."""
    said = Journal(folder / "mine-labelled" / "journal.jsonl", {"columns": ["text"], "answers": ""}).said()
    rows = read_rows(folder / "mine.csv", "text", labels=labels)
    return {lines(rows.texts[rows.keys.index(key)][0]): label for key, label in said.answers.items()}


def test_ten_labels_given_with_keys_survive_a_killed_kernel(opened, jupyterlab):
    page, given = opened.page, {}

    def give(label: str, act) -> None:
        given[text_of(page)] = label
        assert not page.locator(".labeller-text *").count(), "a text is text, not HTML"
        act()
        wait_for(page, f"{len(given)} labelled")

    page.locator(".labeller").click()
    for number in range(10):
        label = list(KEYS)[number % 2]
        give(label, lambda label=label: page.keyboard.press(KEYS[label]))
    opened.screenshot("labelling")
    assert opened.violations(".labeller") == []
    waiting = text_of(page)

    opened.kill_kernel()
    opened.run_all()
    wait_for(page, "10 labelled, 0 skipped")
    assert answers(jupyterlab.root) == given
    assert text_of(page) == waiting

    page.locator(".labeller").click()
    page.keyboard.press("u")
    wait_for(page, "9 labelled")
    assert text_of(page) == list(given)[-1]
    given.popitem()
    assert answers(jupyterlab.root) == given

    first = next(iter(given))
    page.get_by_label("Correct an earlier answer").select_option(index=len(given))
    page.wait_for_function("() => document.querySelector('.labeller-place').innerText.startsWith('correcting')")
    assert text_of(page) == first
    page.keyboard.press(KEYS["positive"])
    page.wait_for_function("() => document.querySelector('.labeller-place').innerText.startsWith('batch')")
    given[first] = "positive"
    assert answers(jupyterlab.root) == given

    given[text_of(page)] = "negative"
    page.keyboard.press("?")
    page.keyboard.type("1 or 2?")  # what is typed there answers nothing
    opened.screenshot("labelling-ambiguous")
    assert opened.violations(".labeller") == []
    page.keyboard.press("Enter")
    page.keyboard.press(KEYS["negative"])
    wait_for(page, f"{len(given)} labelled")
    assert page.locator(".labeller-total").inner_text().endswith(", 1 ambiguous")
    assert not page.locator(".labeller-doubt").is_visible()
    assert '"ambiguous": "1 or 2?"' in (jupyterlab.root / "mine-labelled" / "journal.jsonl").read_text()

    while len(given) < 17:
        give("positive", page.get_by_role("button", name="positive").click)
    assert page.locator(".labeller-place").inner_text() == "batch 2, row 1 of 1", "it was trained, and asks for more"
    opened.screenshot("labelling-trained")
    seen = {*given, text_of(page)}
    assert seen == {lines(text) for text in [*HOSTILE[:-1], HOSTILE[-1].strip()]} | {r["text"] for r in invented(11)}
    assert answers(jupyterlab.root) == given
    assert opened.errors == []


@pytest.mark.parametrize(
    "opened", [{"labels": [*MANY, "class 33", "class 34", "class 35"]}], indirect=True, ids=["35 classes"]
)
def test_many_classes_have_letters_and_are_found_by_typing(opened, jupyterlab):
    page, given = opened.page, {}
    page.locator(".labeller-texts").click()  # in the middle there are buttons
    for label in ("class 01", "class 11", "class 32"):
        given[text_of(page)] = label
        page.keyboard.press(MANY[label].upper())  # as with Caps Lock
        wait_for(page, f"{len(given)} labelled")
    given[text_of(page)] = "class 35"
    page.keyboard.press("/")
    page.keyboard.type("35")
    assert page.locator(".labeller-class:visible").count() == 1
    page.keyboard.press("Enter")
    wait_for(page, "4 labelled")
    assert page.locator(".labeller-class:visible").count() == 35
    given[text_of(page)] = "class 02"
    page.keyboard.press("2")  # keys stand for classes again
    wait_for(page, "5 labelled")
    opened.screenshot("labelling-many")
    assert opened.violations(".labeller") == []
    assert answers(jupyterlab.root, [*MANY, "class 33", "class 34", "class 35"]) == given
    assert opened.errors == []


MANY_ROWS = {"labels": list(KEYS), "rows": invented(330), "start": 10, "query": 20, "at_random": 5}


@pytest.mark.slow  # minutes: each of ten kernels imports torch and runs the notebook
@pytest.mark.parametrize("opened", [MANY_ROWS], indirect=True, ids=["330 rows"])
def test_three_hundred_labels_survive_ten_kills_at_random_and_the_model_keeps_silent(opened, jupyterlab):
    page, given, rng = opened.page, {}, random.Random(0)
    folder = jupyterlab.root / "mine-labelled"
    kills = sorted(rng.sample(range(5, 295), 10))
    page.locator(".labeller").click()
    heard, lost = {}, 0
    while len(given) < 300:
        page.wait_for_function("() => document.querySelector('.labeller-text')")
        text, place = text_of(page), page.locator(".labeller-place").inner_text()
        notes = page.locator(".labeller-note").first.inner_text()
        batch = place.partition(",")[0]
        assert heard.setdefault(batch, notes) == notes, "what is said of the model changes within a batch"
        label = ("negative", "positive")["superb" in text]
        page.keyboard.press(KEYS[label])
        if kills and len(given) >= kills[0]:
            kills.pop(0)
            opened.kill_kernel()  # perhaps before the answer was received
            opened.run_all()
            lost += text not in answers(jupyterlab.root)
            page.locator(".labeller").click()
            page.wait_for_function("() => document.querySelector('.labeller-text')")
            assert {text: label for text, label in answers(jupyterlab.root).items() if text in given} == given
            given = answers(jupyterlab.root)
        else:
            page.wait_for_function("text => document.querySelector('.labeller-text')?.textContent !== text", arg=text)
            given[text] = label
    assert lost <= 10
    assert answers(jupyterlab.root) == given
    assert {text: ("negative", "positive")["superb" in text] for text in given} == given
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    asked = [row for line in lines if "batch" in line and not line.get("begun") for row in line["rows"]]
    assert len(asked) == len(set(asked)), "no row was asked twice"
    assert [line["batch"] for line in lines if "batch" in line and not line.get("begun")] == list(range(16))
    assert opened.errors == []

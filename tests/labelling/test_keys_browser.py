"""Keys pressed in the frame, in a browser, and the class that the journal then holds."""

import json
from pathlib import Path

import pytest
from test_labelling import invented, write_csv

from lib import labelling
from lib.data.own_rows import read_rows
from lib.labelling import labeller
from lib.labelling.keys import class_keys, command_keys

# a model as anywidget gives it, whose messages go to the Labeller of this process
PAGE = """
<style>%s</style><div id="here"></div>
<script type="module">
%s
const heard = {};
let state = await window.shown();
render({
  el: document.getElementById("here"),
  model: {
    get: (name) => (name === "shown" ? state : {}),
    on: (name, act) => { heard[name] = act; },
    off() {},
    send: async (message) => {
      state = await window.answered(message);
      heard["change:shown"]();
    },
  },
});
</script>
"""


@pytest.fixture
def frame(chromium, tmp_path, tiny_encoder):
    """frame(labels) → (page, Labelling): the frame in a page of its own. labels: of the file's column."""
    pages = []

    def show(labels: list[str]):
        labelled = [{"text": f"this one is {name}", "label": name} for name in labels]
        table = [{**row, "label": ""} for row in invented(40)] + labelled
        rows = read_rows(write_csv(tmp_path / "mine.csv", table), "text", label_column="label")
        session = labelling.Labelling(rows, labelling.recipe(rows, 30, 5, tiny_encoder), tmp_path / "out")
        widget = labeller.Labeller(session, 0.99)

        def answered(message):
            widget.receive(message)
            return widget.shown

        page = chromium.new_page()
        pages.append(page)
        page.expose_function("shown", lambda: widget.shown)
        page.expose_function("answered", answered)
        folder = Path(labeller.__file__).parent
        code = (folder / "labeller.js").read_text("utf-8").replace("export default { render };", "")
        page.set_content(PAGE % ((folder / "labeller.css").read_text("utf-8"), code))
        page.locator(".labeller").focus()
        return page, session

    yield show
    for page in pages:
        page.close()


def given(session) -> list:
    """The answers in the journal, in order; None of a row that was skipped."""
    written = map(json.loads, session.journal.path.read_text("utf-8").splitlines())
    return [line["label"] for line in written if "label" in line]


def press(page, session, key: str, answers: int = 1) -> list:
    """The answers that the journal holds more, once it has so many, or a tenth of a second has passed."""
    before = len(given(session))
    page.keyboard.press(key)
    for _ in range(200):
        page.wait_for_timeout(100)
        if len(given(session)) >= before + answers:
            break
    return given(session)[before:]


def buttons(page) -> dict[str, str]:
    """Class → the key that its button shows."""
    found = page.locator(".labeller-class").all()
    return {
        button.locator(".labeller-name").inner_text(): "".join(button.locator("kbd").all_inner_texts())
        for button in found
    }


NUMBERS = {
    "0 and 1": (["1", "0"], {"0": "0", "1": "1"}),
    "1 to 5": (list("51324"), {key: key for key in "12345"}),
    "0 to 9": (list("9876543210"), {key: key for key in "0123456789"}),
    "floats": (["1.0", "0.0", "2.0"], {"0": "0.0", "1": "1.0", "2": "2.0"}),
    "-1, 0, 1": (["0", "1", "-1"], {"-": "-1", "0": "0", "1": "1"}),
    "0 to 10": (list(map(str, range(11))), dict(zip("acdefghijkl", map(str, range(11)), strict=True))),
    "halves": (["1", "0.5", "1.5"], {"a": "0.5", "c": "1", "d": "1.5"}),
    "two negative numbers": (["-2", "-1", "0", "1"], {"a": "-2", "c": "-1", "d": "0", "e": "1"}),
    "stars": (["0 stars", "1 star", "2 stars"], {"0": "0 stars", "1": "1 star", "2": "2 stars"}),
    "words": (["no", "yes"], {"1": "no", "2": "yes"}),
    "A to D": (list("DBCA"), dict(zip("abcd", "ABCD", strict=True))),
    "a letter and a word": (["b", "other", "1"], {"1": "1", "b": "b", "a": "other"}),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_each_key_gives_the_class_that_it_names_and_no_other_key_gives_any(what, frame):
    labels, keys = NUMBERS[what]
    page, session = frame(labels)
    assert buttons(page) == {name: key for key, name in keys.items()}
    for key in {*keys, *"0123456789v-"}:
        page.wait_for_timeout(700 if "-" in keys and key.isdigit() else 0)
        expected = [keys[key]] if key in keys else []
        assert press(page, session, key, len(expected)) == expected, key


def test_a_negative_number_that_is_typed_is_one_answer(frame):
    page, session = frame(["-1", "0", "1"])
    page.keyboard.press("-")
    page.keyboard.press("1")
    page.wait_for_timeout(700)
    assert press(page, session, "1") == ["1"]
    assert list(session.said.answers.values()) == ["-1", "1"]


def test_commands_have_other_keys_where_classes_are_called_like_theirs(frame):
    page, session = frame(list("abcsu"))
    assert buttons(page) == {name: name for name in "abcsu"}
    for name in "sub":
        assert press(page, session, name) == [name]
    shown = page.locator(".labeller-command").all_inner_texts()
    keys = {name.split()[-1]: name.split()[0] for name in shown if len(name.split()) == 2}
    assert press(page, session, keys["skip"]) == [None]
    for left in (3, 2):
        page.keyboard.press(keys["undo"])
        page.wait_for_function(f"() => document.querySelectorAll('.labeller-earlier option').length === {left + 1}")
    assert list(session.said.answers.values()) == ["s", "u"]


@pytest.mark.parametrize(
    "labels",
    [["a", "A", "b"], ["1", "01", "2"], list("sub?/.,<!#"), ["+", "-"], ["½", "1"], [str(n) for n in range(40)]],
    ids=str,
)
def test_no_key_stands_for_two_things(labels):
    keys = class_keys(labels)
    assert len(keys) == len(labels)
    used = [key for key in (*keys, *command_keys(keys).values()) if key]
    assert len(set(used)) == len(used)
    for label, key in zip(labels, keys, strict=True):
        assert key == label.lower() or key not in [name.lower() for name in labels]

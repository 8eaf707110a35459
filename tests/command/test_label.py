"""./run_all.sh label FILE: a copy of notebook 07 beside the file, which the command opens."""

import nbformat
import pytest

from lib import __main__ as runner
from lib.command import label
from lib.command.options import parameters_cell, read_parameters

NOTEBOOK = runner.NOTEBOOKS / "07_label_your_own.ipynb"


@pytest.fixture
def called(tmp_path, monkeypatch, capsys):
    """called(*arguments) → exit code, the notebook that was opened, standard error."""
    (tmp_path / "mine.csv").write_text("text,label\na,x\nb,y\n")
    opened = []
    monkeypatch.setattr(label, "open_in_jupyterlab", opened.append)

    def call(*arguments: str):
        code = runner.main(["run", str(tmp_path), "label", *arguments])
        return code, opened[-1] if opened else None, capsys.readouterr().err

    return call


def test_a_copy_without_outputs_has_the_values_and_is_left_when_it_is_there(called, tmp_path):
    before = NOTEBOOK.read_bytes()
    code, copied, _ = called("mine.csv", "-p", "labels", 'it\'s,"y"', "-p", "query", "5", "-p", "corrected", "true")
    assert (code, copied) == (0, tmp_path / "mine-labelling.ipynb")
    values, usual = read_parameters(copied), read_parameters(NOTEBOOK)
    changed = {"path": str(tmp_path / "mine.csv"), "labels": 'it\'s,"y"', "query": 5, "corrected": True}
    assert values == usual | changed
    assert parameters_cell(copied).count("#") == parameters_cell(NOTEBOOK).count("#"), "what they mean stays"
    cells = nbformat.read(copied, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)
    assert NOTEBOOK.read_bytes() == before
    called("mine.csv", "-p", "query", "7")
    assert read_parameters(copied)["query"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "label needs FILE"),
        (("none.csv",), "there is no such file"),
        (("mine.csv", "--hub", "."), "--hub does not belong to label"),
        (("mine.csv", "-p", "querry", "5"), "did you mean query?"),
        (("mine.csv", "-p", "query", "five"), "give a whole number"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, called, tmp_path):
    code, opened, said = called(*arguments)
    assert (code, opened) == (2, None)
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "mine-labelling.ipynb").exists()

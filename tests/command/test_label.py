"""./run_all.sh label FILE: a copy of notebook 07 beside the file, which the command opens."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

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


def test_a_copy_without_outputs_has_the_values(called, tmp_path):
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


def test_a_copy_that_is_there_takes_the_values_that_are_given_and_keeps_the_rest(called, tmp_path):
    _, copied, _ = called("mine.csv", "-p", "query", "5")
    notebook = nbformat.read(copied, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source = cell.source.replace("start: int = 10", "start = 12")  # as a person writes it
    cell.outputs = [new_output("stream", text="what a cell said")]
    notebook.cells.append(new_code_cell("1 + 1"))
    nbformat.write(notebook, copied)
    before = copied.read_bytes()
    called("mine.csv", "-p", "query", "5")
    assert copied.read_bytes() == before
    called("mine.csv", "-p", "query", "7", "-p", "start", "14")
    assert copied.read_text("utf-8") == before.decode().replace("query: int = 5", "query: int = 7").replace(
        "start = 12", "start = 14"
    )


def test_a_copy_that_is_no_notebook_is_one_line(called, tmp_path):
    (tmp_path / "mine-labelling.ipynb").write_text("half a note")
    code, opened, said = called("mine.csv")
    assert (code, opened) == (2, None)
    assert "mine-labelling.ipynb is no notebook that can be read" in said
    assert said.count("\n") == 1


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

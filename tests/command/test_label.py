"""./run_all.sh label FILE: a copy of notebook 07 beside the file, which the command opens."""

import errno
import json
import os
from pathlib import Path

import nbformat
import pytest
from browser import NEWS
from helpers import parameters_cell, run_all
from nbformat.v4 import new_code_cell, new_output

from lib import cli
from lib.command import label
from lib.command.notebooks import read_parameters
from lib.labelling import output_folder

NOTEBOOK = cli.NOTEBOOKS / "07_label_your_own.ipynb"


@pytest.fixture
def called(tmp_path, monkeypatch, capsys):
    """called(*arguments) → exit code, the notebook that was opened, standard error."""
    (tmp_path / "mine.csv").write_text("text,label\na,x\nb,y\nc,\n")
    opened = []
    monkeypatch.setattr(label, "open_in_jupyterlab", lambda notebook, options: opened.append(notebook))

    def call(*arguments: str):
        code = run_all(tmp_path, "label", *arguments)
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


def test_columns_are_found_and_written_into_the_copy(called, tmp_path):
    (tmp_path / "new.csv").write_text("id,sentence\n1,hello there\n2,what a day\n")
    _, copied, _ = called("new.csv", "-p", "labels", "a,b")
    assert read_parameters(copied)["text_column"] == "sentence"
    (tmp_path / "pairs.csv").write_text("premise,hypothesis,gold\na,b,yes\nc,d,no\ne,f,\n")
    _, copied, _ = called("pairs.csv")
    values = read_parameters(copied)
    assert [values[name] for name in ("text_column", "second_text_column")] == ["premise", "hypothesis"]
    assert (values["labels"], values["label_column"]) == ("", "gold")


def test_the_same_command_goes_on_without_what_the_copy_knows(called, tmp_path):
    (tmp_path / "new.csv").write_text("number,words\n1,hello there\n2,what a day\n")
    _, first, _ = called("new.csv", "-p", "labels", "a,b", "-p", "text_column", "words")
    before = first.read_bytes()
    code, again, _ = called("new.csv")
    assert (code, again, first.read_bytes()) == (0, first, before)


def test_every_file_has_a_copy_and_a_folder_of_its_own(called, tmp_path):
    names = ("survey.2023.csv", "survey.2024.csv", "survey.2024.tsv")
    copies = []
    for name in names:
        (tmp_path / name).write_text("text\na\nb\n")
        copies.append(called(name, "-p", "labels", "x,y")[1])
    assert len(set(copies)) == 3
    assert [Path(read_parameters(copy)["path"]).name for copy in copies] == list(names)
    places = [(values["path"], values["save"], values["answers"]) for values in map(read_parameters, copies)]
    assert len({output_folder(Path(path), save, answers) for path, save, answers in places}) == 3
    assert [called(name)[1] for name in names] == copies, "and the same again"


def test_a_copy_that_cannot_be_written_is_one_line_and_nothing_is_left(called, tmp_path, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(label, "write_text", full)
    code, opened, said = called("mine.csv")
    assert (code, opened, said.count("\n")) == (2, None, 1)
    assert "No space left on device" in said


@pytest.mark.parametrize(("uid", "given"), [(0, []), (0, ["--allow-root"]), (1000, [])])
def test_jupyterlab_gets_its_own_options_and_may_run_as_root(uid, given, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(label.os, "geteuid", lambda: uid)
    monkeypatch.setattr(label.os, "execv", lambda python, arguments: called.append(arguments))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/of/theirs")
    monkeypatch.setattr(cli, "prepare_environment", lambda: None)
    (tmp_path / "mine.csv").write_text("text\na\nb\n")
    options = ["--no-browser", "--port", "8889", *given]
    assert run_all(tmp_path, "label", "mine.csv", "-p", "labels", "x,y", "--", *options) == 0
    (arguments,) = called
    assert [word for word in arguments if word in options] == options
    assert arguments.count("--allow-root") == (uid == 0)
    assert arguments[-1] == str(tmp_path / "mine-labelling.ipynb")
    first, second = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert second == "/of/theirs"
    settings = json.loads((Path(first) / "labconfig" / "page_config.json").read_text())
    assert settings == {"disabledExtensions": {NEWS: True}}, "no question about news, as in the tests in a browser"


def test_a_copy_that_is_no_notebook_is_one_line(called, tmp_path):
    (tmp_path / "mine-labelling.ipynb").write_text("half a note")
    code, opened, said = called("mine.csv")
    assert (code, opened) == (2, None)
    assert "mine-labelling.ipynb is no notebook that can be read" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'FILE'"),
        (("none.csv",), "'none.csv' does not exist"),
        (("mine.csv", "--hub", "."), "No such option '--hub'"),
        (("mine.csv", "-p", "querry", "5"), "did you mean query?"),
        (("mine.csv", "-p", "query", "five"), "give a whole number"),
        (("mine.csv", "-p", "text_column", "words"), "has no column 'words'"),
        (("mine.csv", "-p", "labels", "u,v", "-p", "label_column", "label"), "'x' (row 1), 'y' (row 2)"),
        (("new.csv",), "which classes are there? Name them: -p labels"),
        (("done.csv",), "every row has a label in 'label'"),
        (
            ("unclear.csv", "-p", "labels", "a,b"),
            "2 columns could hold the text ('Title', 'body'): name the right one, -p",
        ),
        (("empty.csv", "-p", "labels", "a,b"), "has no rows"),
    ],
)
def test_a_mistake_is_one_line_before_jupyterlab_starts(arguments, words, called, tmp_path):
    (tmp_path / "new.csv").write_text("id,sentence\n1,hello there\n2,what a day\n")
    (tmp_path / "done.csv").write_text("text,label\na,x\nb,y\n")
    (tmp_path / "unclear.csv").write_text("Title,body\na,x\nb,y\n")
    (tmp_path / "empty.csv").write_text("text\n")
    code, opened, said = called(*arguments)
    assert (code, opened) == (2, None)
    assert words in said
    assert said.count("\n") == 1
    assert not [*tmp_path.glob("*.ipynb")]

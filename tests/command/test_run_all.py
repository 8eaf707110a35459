"""The command line: what run_all.sh accepts, refuses, runs and reports."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from helpers import SPEC, planned, run_all
from jupyter_client.connect import LocalPortCache
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from lib import cli
from lib.command import execution
from lib.command.execution import KERNEL
from lib.errors import StudyError
from lib.method.acquisition import STRATEGIES
from lib.protocol import PROFILES

CHECKOUT = Path(__file__).resolve().parents[2]


def write_notebook(path: Path, parameters: str, *cells: str) -> Path:
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[tagged, *map(new_code_cell, cells)], metadata=SPEC), path)
    return path


@pytest.fixture
def notebooks(tmp_path) -> Path:
    """Two notebooks that leave a trace of their parameters in the folder `trace`."""
    folder, trace = tmp_path / "notebooks", tmp_path / "trace"
    folder.mkdir()
    trace.mkdir()
    common = 'profile: str = "quick"\nhub: str = ""\nresults: str = "results"\n'
    own = 'tasks: str = "reviews"  # separated by commas\nruns: int = 3\nrate: float = 1e-3\nwarm: bool = False\n'
    show = f"open(r'{trace}/%s', 'w').write(repr(%s))"
    write_notebook(folder / "01_one.ipynb", common + own, show % ("01", "[profile, hub, tasks, runs, rate, warm]"))
    write_notebook(folder / "02_two.ipynb", 'frozen: str = "0"', show % ("02", "[frozen]"))
    return folder


def call(notebooks: Path, *options: str) -> int:
    """The runner, called from the folder above the notebooks."""
    caller = notebooks.parent
    return run_all(caller, *options, notebooks=notebooks, executed=caller / "executed")


MISTAKES = {
    "--profil quick": "No such option '--profil'. Did you mean '--profile'?",
    "--nothing": "No such option '--nothing'",
    "tset": "unknown command 'tset' (did you mean test?): choose from run, status, publish",
    "staus": "unknown command 'staus' (did you mean status?)",
    "--profile minilmm": "'--profile': 'minilmm' (did you mean minilm?): choose from quick, minilm, paper",
    "--only 02_to": "no notebook '02_to' (did you mean 02_two?)",
    "--profile large": "'large': choose from quick, minilm, paper",
    "--profile": "'--profile' requires an argument",
    "--hub --only 01": "Directory '--only' does not exist",
    "--only 01,09": "no notebook '09': choose from 01, 02",
    "--only=": "no notebook '': choose from 01, 02",
    "-p tasc reviews": "-p tasc reviews: no chosen notebook has it (did you mean tasks?): choose from frozen, rate,",
    "--only 02 -p tasks reviews": "only notebook 01 has it: add --only 01",
    "-p runs": "'-p' requires 2 arguments",
    "-p runs many": "-p runs many: give a whole number, as in -p runs 3",
    "-p runs 1.5": "give a whole number",
    "-p rate fast": "-p rate fast: give a number, as in -p rate 0.001",
    "-p warm yes": "-p warm yes: give true or false, as in -p warm false",
    "-p profile paper": "profile has its own option: --profile",
    "--hub nowhere": "Directory 'nowhere' does not exist",
    "--results notebooks/01_one.ipynb": "this is not a folder",
    "--workers two": "'two' is not a valid integer",
    "--workers 0": "0 is not in the range x>=1",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2_before_anything_is_written(command, notebooks, capsys):
    before = sorted(notebooks.parent.rglob("*"))
    assert call(notebooks, *command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_all.sh: ")
    assert err.count("\n") == 1
    assert MISTAKES[command] in err
    assert sorted(notebooks.parent.rglob("*")) == before


def test_a_parameters_cell_with_more_than_literals_is_one_line(notebooks, capsys):
    write_notebook(notebooks / "03_three.ipynb", "import os\nruns = len(os.sep)")
    assert call(notebooks) == 2
    assert "03_three.ipynb: its parameters cell must hold literals" in capsys.readouterr().err


def test_parameters_go_to_the_notebooks_that_have_them_in_the_type_of_their_default(notebooks):
    pairs = "-p tasks sst2,qnli -p runs 1 -p rate 1e-5 -p warm true -p frozen -2,0"
    options = f"--profile minilm --hub notebooks --results kept --workers 2 {pairs}".split()
    command = planned(notebooks.parent, *options, notebooks=notebooks)
    (one, first), (two, second) = command.jobs
    assert (command.profile, command.workers, one.name, two.name) == ("minilm", 2, "01_one.ipynb", "02_two.ipynb")
    assert first == {
        "profile": "minilm",
        "hub": str(notebooks),
        "results": str(notebooks.parent / "kept"),
        "tasks": "sst2,qnli",
        "runs": 1,
        "rate": 1e-5,
        "warm": True,
    }
    assert second == {"frozen": "-2,0"}
    assert first["warm"] is True
    assert isinstance(first["runs"], int)


def test_only_chooses_notebooks_and_keeps_their_order(notebooks):
    def names(*options):
        command = planned(notebooks.parent, *options, notebooks=notebooks)
        return [path.name for path, _ in command.jobs]

    assert names() == ["01_one.ipynb", "02_two.ipynb"]
    assert names("--only", "02") == ["02_two.ipynb"]
    assert names("--only=02,01") == ["01_one.ipynb", "02_two.ipynb"]
    assert names("--only", "two,01_one") == ["01_one.ipynb", "02_two.ipynb"]


def test_help_names_the_commands_the_options_and_every_parameter(notebooks, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    assert call(notebooks, "--help") == 0
    out = capsys.readouterr().out
    assert all(param.opts[0] in out for param in cli.run_all.commands["run"].params)
    assert re.search(r"^  tasks +separated by commas \(01\)$", out, re.MULTILINE)
    assert "  frozen " in out
    for name, profile in PROFILES.items():
        assert re.search(rf"^  tasks of {name} +{', '.join(profile.tasks)}$", out, re.MULTILINE)
    assert re.search(rf"^  strategies +{', '.join(STRATEGIES)}$", out, re.MULTILINE)
    assert re.search(r"^  status ", out, re.MULTILINE)


def test_the_examples_of_the_help_are_commands_that_are_accepted(tmp_path, capsys):
    """With the notebooks of the study, where the file is that they name."""
    (tmp_path / "my.csv").touch()
    assert run_all(tmp_path, "-h") == 0
    written = re.findall(r"^  \./run_all\.sh(.*?)(?:   .*)?$", capsys.readouterr().out, re.MULTILINE)
    assert len(written) >= 5
    for options in written:
        assert planned(tmp_path, *options.split()), options


def test_a_lib_in_the_folder_of_the_caller_is_not_imported(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "cli.py").write_text("raise SystemExit('another lib')")
    command = [sys.executable, "-P", "-m", "lib.cli", "--hub", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("run_all.sh: Invalid value for '--hub': Directory 'nowhere' does not exist")
    assert done.stderr.count("\n") == 1


# ---- running


def command(notebooks: Path, *options: str) -> list[str]:
    folder = notebooks.parent
    call = "import os, sys, pathlib; from lib.cli import main; folder = pathlib.Path(sys.argv[1]); os.chdir(folder); "
    call += "sys.exit(main(sys.argv[2:], folder / 'notebooks', folder / 'executed'))"
    return [sys.executable, "-c", call, str(folder), *options]


def run(notebooks: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    settings = {"cwd": CHECKOUT, "env": {**os.environ, **environment}, "capture_output": True, "text": True}
    return subprocess.run(command(notebooks, *options), **settings)


def test_notebooks_run_with_their_parameters_and_one_line_each(notebooks, tmp_path):
    """In this environment's kernel, even if the user has another one of the same name."""
    other = tmp_path / "jupyter" / "kernels" / KERNEL
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["false"], "display_name": "not this", "language": "python"}')
    options = ["--workers", "2", "-p", "runs", "1", "-p", "warm", "true", "-p", "frozen", "-2,0", "--html"]
    done = run(notebooks, *options, JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
    assert (done.returncode, done.stderr) == (0, "")
    *others, last = done.stdout.splitlines()
    assert sorted(line.split(":")[0] for line in others) == ["01_one", "02_two"]
    assert last.startswith("pages: ")
    assert last.endswith("executed/quick/html/index.html")
    assert (tmp_path / "trace" / "01").read_text() == "['quick', '', 'reviews', 1, 0.001, True]"
    assert (tmp_path / "trace" / "02").read_text() == "['-2,0']"
    executed = sorted(path.name for path in (tmp_path / "executed" / "quick").iterdir())
    assert executed == ["01_one.ipynb", "02_two.ipynb", "html"]


@pytest.mark.parametrize(("starts", "error"), [(2, ""), (1, "RuntimeError")])
def test_a_kernel_whose_port_another_program_took_is_started_again(starts, error, notebooks, tmp_path, monkeypatch):
    find = LocalPortCache.find_available_port
    monkeypatch.setattr(execution, "STARTS", starts)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = iter([other.getsockname()[1]])
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda *of: next(taken, None) or find(*of))
        ended, _ = execution.execute(notebooks / "02_two.ipynb", tmp_path / "out.ipynb", {})
    assert ended == error
    assert (tmp_path / "trace" / "02").exists() == (not error)


def test_an_error_and_a_dead_kernel_are_reported_and_the_others_go_on(notebooks, tmp_path):
    write_notebook(notebooks / "01_one.ipynb", "", "raise ValueError('one thing\\nand another')")
    write_notebook(notebooks / "03_dies.ipynb", "", "import os\nos._exit(9)")
    done = run(notebooks, "--workers", "1")
    assert done.returncode == 1
    first, second, last = done.stderr.splitlines()
    assert "01_one: ValueError: one thing; see " in first + second
    assert "03_dies: its kernel died" in first + second
    assert last == "run_all.sh: 2 of 3 notebooks failed"
    assert (tmp_path / "trace" / "02").exists()
    assert "did not finish" in (tmp_path / "executed" / "quick" / "03_dies.ipynb").read_text()


def test_a_mistake_that_a_notebook_finds_is_one_line_and_exit_code_2(notebooks):
    raise_it = "from lib.protocol import StudyError\nraise StudyError('tasks: choose another')"
    write_notebook(notebooks / "01_one.ipynb", "", raise_it)
    done = run(notebooks, "--workers", "1", "--only", "01")
    assert done.returncode == 2
    assert done.stderr.startswith("01_one: tasks: choose another; see ")
    executed = nbformat.read(notebooks.parent / "executed" / "quick" / "01_one.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    assert [(error.ename, error.traceback) for error in errors] == [("StudyError", ["tasks: choose another"])]


def test_a_mistake_is_one_line_in_a_notebook_whatever_led_to_it(capsys):
    """Not the traceback of the error that it was made from, nor its own."""
    from IPython.core.interactiveshell import InteractiveShell

    def read():
        try:
            return int("three")
        except ValueError as error:
            raise StudyError("runs=three: give a whole number") from error

    shell = InteractiveShell()
    shell.user_ns["read"] = read
    shell.run_cell("read()")
    out, err = capsys.readouterr()
    assert (out.strip(), err) == ("runs=three: give a whole number", "")


def test_the_kernel_that_set_up_registers_is_the_one_that_the_notebooks_name():
    """Else opening a notebook changes it."""
    script = (CHECKOUT / "run_all.sh").read_text("utf-8")
    shown, name = re.search(r'"display_name": "(.+?)".*install_kernel_spec\(spec, "(\S+?)"', script, re.DOTALL).groups()
    assert name == KERNEL
    for path in (CHECKOUT / "notebooks").glob("*.ipynb"):
        kernel = nbformat.read(path, as_version=4).metadata.kernelspec
        assert (kernel.name, kernel.display_name, kernel.language) == (name, shown, "python"), path.name


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_is_computed(notebooks, tmp_path, capsys):
    """A file where the folder should be: as root, permissions refuse nothing."""
    (tmp_path / "file").touch()
    assert run_all(tmp_path, "--only", "01", notebooks=notebooks, executed=tmp_path / "file" / "executed") == 2
    assert "cannot be written to, where executed notebooks go" in capsys.readouterr().err


def test_a_kernel_that_is_started_beside_another_lib_takes_this_one(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("raise SystemExit('another lib')")
    notebook = new_notebook(cells=[new_code_cell("import lib\nprint(lib.__file__)")])
    NotebookClient(notebook, kernel_name=KERNEL, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[0].outputs[0].text.strip() == str(CHECKOUT / "lib" / "__init__.py")


LONG = """
from lib.protocol import Protocol
from lib.runs import plans
grid = [Protocol(task="reviews", encoder=r"{encoder}", rounds=0, epochs=10_000, seed=seed) for seed in range(2)]
plans.PLANS["01_one"] = lambda: grid
"""


def stop(process: subprocess.Popen, started) -> list[psutil.Process]:
    """Send SIGTERM as soon as `started()`; → all that the process had started by then."""
    while process.poll() is None and not started():
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    assert b"stopped" in process.stderr.read()
    assert process.wait() == 130
    return children


def test_a_stopped_command_leaves_no_kernel(notebooks, tmp_path):
    trace = tmp_path / "trace" / "kernel"
    write_notebook(notebooks / "01_one.ipynb", "", f"open(r'{trace}', 'w').close()\nimport time\ntime.sleep(60)")
    with subprocess.Popen(command(notebooks, "--only", "01"), cwd=CHECKOUT, stderr=subprocess.PIPE) as process:
        children = stop(process, trace.exists)
    assert len(children) >= 2, "a process for the notebook, and its kernel"
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_stopped_command_leaves_no_workers(notebooks, tiny_encoder, tmp_path):
    store = tmp_path / "store"
    write_notebook(notebooks / "01_one.ipynb", f"results: str = {str(store)!r}")
    python, flag, code, *options = command(notebooks, "--workers", "2", "--only", "01", "--results", str(store))
    planned = LONG.format(encoder=tiny_encoder)
    with subprocess.Popen([python, flag, planned + code, *options], cwd=CHECKOUT, stderr=subprocess.PIPE) as process:
        children = stop(process, lambda: len(list(store.glob("*/protocol.json"))) == 2)
    assert len(children) >= 2, "two workers, and what watches them"
    assert not psutil.wait_procs(children, timeout=10)[1]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the script alone; its .venv has a stand-in for Python that writes down what it is asked to do."""
    bin_ = tmp_path / "checkout" / ".venv" / "bin"
    bin_.mkdir(parents=True)
    shutil.copy(CHECKOUT / "run_all.sh", tmp_path / "checkout")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / "checkout" / name).touch()
    (bin_ / "python").write_text('#!/bin/sh\necho "$@ in $PWD" >>"$(dirname "$0")/../../asked"\n')
    (bin_ / "pip").write_text(f"#!{bin_ / 'python'}\n")
    (tmp_path / "chromium").touch()
    for program in (bin_ / "python", tmp_path / "chromium"):
        program.chmod(0o755)
    return tmp_path / "checkout"


def asked(checkout) -> str:
    """What the stand-in was asked to do in a set-up and the tests after it."""
    environment = {"PATH": f"{checkout.parent}:/usr/bin:/bin"}
    subprocess.run(["./run_all.sh", "test"], cwd=checkout, env=environment, capture_output=True, timeout=60, check=True)
    return (checkout / "asked").read_text("utf-8")


def test_another_set_up_keeps_what_the_user_added_to_the_environment(checkout):
    first = asked(checkout)
    assert "pip --disable-pip-version-check" in first
    assert "-m venv" not in first
    (checkout / "requirements.lock").write_text("another==1\n")
    assert asked(checkout).count("-r requirements.lock") == 2


def test_an_environment_of_another_folder_is_made_anew(checkout):
    (checkout / ".venv" / "bin" / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
    assert "-m venv --clear .venv" in asked(checkout)


def test_set_up_comes_first_then_the_command_from_any_folder_and_through_a_link(checkout, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").symlink_to(checkout / "run_all.sh")
    command = ["../study", "--hub", "nowhere"]
    subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, timeout=60, check=True)
    *others, last = (checkout / "asked").read_text("utf-8").splitlines()
    assert any("-r requirements.lock" in line for line in others)
    assert last == f"-P -m lib.cli --hub nowhere in {tmp_path / 'elsewhere'}"

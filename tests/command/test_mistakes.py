"""Thirty and more kinds of bad input to run_all.sh, to the notebooks' parameters and to Protocol: one line each."""

from pathlib import Path

import pytest
from helpers import refused, run_all

from lib.protocol import Protocol, profile

CHECKOUT = Path(__file__).resolve().parents[2]

# to run_all.sh, with the notebooks of the study: the command, and what its line says
COMMANDS = {
    "--dryrun": "No such option '--dryrun'. Did you mean '--dry-run'?",
    "--only 99": "no notebook '99'",
    "--profile huge": "choose from quick, minilm, paper",
    "--workers -1": "'--workers': -1 is not in the range x>=1",
    "--workers 00": "0 is not in the range x>=1",
    "--workers 1e3": "is not a valid integer",
    "--scheduler": "'--scheduler' requires an argument",
    "--scheduler somewhere": "give the address of a Dask scheduler, for example tcp://",
    "--scheduler tcp://host:": "give the address",
    "--scheduler http://host:8786": "give the address",
    "--scheduler tcp://host:65536": "give the address",
    "--scheduler host:8786 --workers 2": "--workers is for this machine",
    "--watch": "No such option '--watch'",
    "status --dry-run": "No such option '--dry-run'",
    "status status": "unexpected extra argument (status)",
    "--results lib/method/model.py": "this is not a folder",
    "--results lib/method/model.py/below": "this is not a folder",
    "--hub lib/method/model.py": "'lib/method/model.py' is a file",
    "--hub nowhere": "'nowhere' does not exist",
    "--only 02,": "as in --only 02,04",
    "-p path my.csv": "only notebook 07 has it: add --only 07",
    "--only 00 -p output lib/method/model.py": "is not a folder that can be written to",
    "--only 00 -p output lib/method/model.py/below": "is not a folder that can be written to",
    "-p": "'-p' requires 2 arguments",
    "-p run 3": "no chosen notebook has it",
    "-p runs three": "give a whole number",
    # the values of parameters, which the runs of the notebooks are planned with
    "--only 02 -p tasks sst2": "task 'sst2' is not in profile 'quick'",
    "--only 02 -p strategies guess": "strategy='guess' is not known",
    "--only 02 -p runs -1": "runs=-1 is not allowed",
    "--only 02 -p query -5": "query=-5 is not allowed",
    "--only 02 -p query 5000": "lower query or rounds, or raise pool",
    "--only 02 -p samples -1": "samples=-1 is not allowed",
    "--only 02 -p encoder bert": "",
    "--only 04 -p frozen 0,two": "give whole numbers with commas",
    "--only 04 -p frozen 0,9": "frozen=9 is beyond the 6 layers",
    "--only 04 -p frozen 2": "frozen=0 is not among 2; add it",
    "--only 02 -p strategies bald": "strategy='random' is not among bald; add it",
    "--only 02 -p strategies random": "is alone; add another",
    "--only 02 -p runs 10000000": "give a number of seeds up to 10,000",
    "--only 02 -p tasks ,": "tasks=',' names nothing",
    "--only 03 -p task sst2": "task 'sst2' is not in profile 'quick'",
    "--only 02,05 -p tasks reviews,kind": "task 'kind' is not in profile 'quick' (did you mean kinds?)",
    "--only 02 -p strategies bold,random": "strategy='bold' is not known (did you mean bald?)",
    "--only 05 -p after -1": "after=-1 is not allowed",
    "--only 05 -p examples 0": "examples=0 is not allowed",
    "--profile minilm --only 02 --hub tests": "",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_in_a_command_is_one_line_and_exit_code_2(command, tmp_path, monkeypatch, capsys):
    """A run plans all runs of the chosen notebooks first, and stops there."""
    monkeypatch.setattr("lib.command.run.execute_all", None)
    monkeypatch.setattr("lib.command.run.workers", None)
    monkeypatch.setattr("lib.command.run.prepare_environment", lambda: None)
    given = command.split(" ")
    store = [] if "--results" in given else ["--results", str(tmp_path / "store")]
    assert (
        run_all(CHECKOUT, *(given + store if given[0] == "status" else store + given), executed=tmp_path / "executed")
        == 2
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_all.sh: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert COMMANDS[command] in err
    assert not list(tmp_path.iterdir()), "nothing is computed, nothing written"


def test_a_scheduler_of_the_environment_that_is_no_address_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "http://host")
    assert run_all(CHECKOUT, "--only", "02") == 2
    assert "'http://host': give the address of a Dask scheduler" in capsys.readouterr().err


FIELDS = {
    "strategy": "coin",
    "seed": -1,
    "frozen": 1.5,
    "query": 0,
    "rounds": "nine",
    "pool": 10,
    "samples": True,
    "dropout": 1.0,
    "epochs": 0,
    "restart": "hot",
    "batch_size": 1,
    "encoder_lr": float("nan"),
    "decoder": "rnn",
    "max_length": 100_000,
    "precision": "float16",
    "threads": None,
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_mistake_in_a_protocol_is_one_line(field):
    with refused(field):
        Protocol(task="sst2", **{field: FIELDS[field]})


def test_a_mistake_in_the_name_of_a_profile_is_one_line():
    with refused("'large'", "quick, minilm or paper"):
        profile("large")

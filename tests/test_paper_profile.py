"""The paper's own profile from end to end, reduced: a BERT-base of random weights, F of 0, ±3 and ±6, all notebooks.

Whoever has the weights only waits longer. ./run_all.sh test -m slow tests/test_paper_profile.py -n 0
"""

import dataclasses
import json

import pandas as pd
import pytest
from helpers import NOTEBOOKS, as_in_a_new_shell

from lib.command import execution
from lib.command.notebooks import read_parameters
from lib.command.run import prepare_environment
from lib.protocol import profile

SIZES = {"query": 4, "rounds": 2, "pool": 40, "validation_rows": 20, "max_length": 16, "samples": 8, "epochs": 1}


@pytest.mark.slow
def test_every_notebook_draws_the_paper_profile(bert_base, tiny_hub, tmp_path, monkeypatch):
    paper = profile("paper")
    reduced = dataclasses.replace(
        paper,
        tasks=("sst2",),
        runs=1,
        layer_task="sst2",
        sizes=(10, 14, 18),
        questions={"tasks": ["sst2"], "runs": 1, "rounds": 1},
        common=paper.common | SIZES | {"encoder": bert_base, "hub": tiny_hub},
    )
    (tmp_path / "profile.json").write_text(json.dumps(dataclasses.asdict(reduced)))
    places = {name: str(tmp_path / name) for name in ("results", "output")}
    as_in_a_new_shell(monkeypatch)
    prepare_environment()
    for path in NOTEBOOKS:
        known = read_parameters(path)
        values = {"profile": str(tmp_path / "profile.json"), **places}
        values = {name: value for name, value in values.items() if name in known}
        assert execution.execute(path, tmp_path / path.name, values) == ("", ""), path.stem
    drawn = {path.stem for path in (tmp_path / "output").glob("*.png")}
    assert {"00_forest", "01_data_size", "02_bald_vs_random", "03_parameter_change", "04_layer_freezing"} <= drawn
    protocols = [json.loads(path.read_text())["fields"] for path in (tmp_path / "results").glob("*/protocol.json")]
    assert {fields["frozen"] for fields in protocols} == set(paper.frozen)
    layers = pd.read_csv(tmp_path / "output" / "03_parameter_change.csv", comment="#")["layer"]
    assert {f"encoder {number}" for number in range(12)} <= set(layers)

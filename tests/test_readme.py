"""README says what the committed study says, and what it points to is there."""

import json
import re

import pandas as pd
import pytest

from lib.results import ROOT

README = (ROOT / "README.md").read_text("utf-8")
STUDY = ROOT / "figures" / "study" / "quick"


def words(text: str) -> str:
    return " ".join(text.split())


def test_its_first_result_is_the_answer_of_notebook_02():
    cells = json.loads((ROOT / "notebooks" / "02_bald_vs_random.ipynb").read_text("utf-8"))["cells"]
    shown = ["".join(output["data"].get("text/markdown", "")) for output in cells[1]["outputs"] if "data" in output]
    (answer,) = [text.removeprefix("**Answer.** ") for text in shown if text.startswith("**Answer.** ")]
    assert words(answer) in words(README)


def test_its_verdicts_are_those_of_the_ledger():
    ledger = pd.read_csv(STUDY / "claims.csv", comment="#")
    measured = ledger[ledger["verdict"] != "no runs"]
    said, wanted = measured["verdict"].value_counts(), ("supported", "not supported", "inconclusive")
    numbers = (
        "of the {} tests that it makes of {} claims, each on one of two tasks, {} are supported, {} are not, and {} are"
    )
    claims = measured["claim"].nunique()
    assert numbers.format(len(measured), claims, *(said[verdict] for verdict in wanted)) in words(README)


@pytest.mark.parametrize("place", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_what_it_links_to_is_there(place):
    assert (ROOT / place).exists()


def test_every_run_that_a_committed_table_names_is_committed():
    headers = [path.read_text("utf-8").partition("\n")[0] for path in STUDY.parent.glob("*/*.csv")]
    named = {run for header in headers for run in json.loads(header.removeprefix("# "))["runs"]}
    assert len(named) > 60
    assert named == {path.parent.name for path in (ROOT / "results" / "study").glob("*/DONE")}

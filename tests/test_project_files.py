"""What CONTRIBUTING names is there; the licence, the citation and the package agree on what the project is."""

import re
import tomllib

import pytest
import yaml

from lib.runs.results import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PLACES = re.findall(r"\]\(([^)#]+)\)|`((?:lib|tests|results)/[\w/.]+)`", CONTRIBUTING)


@pytest.mark.parametrize("place", sorted({link or path for link, path in PLACES}))
def test_what_contributing_names_is_there(place):
    assert (ROOT / place).exists()


def test_the_citation_is_one_and_says_what_pyproject_says():
    """What schema 1.2.0 of the Citation File Format demands, of the project and of the paper that it re-executes."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in ("software", "dataset")
    assert all(isinstance(citation[name], str) and citation[name] for name in ("title", "message"))
    assert [{"name": author["name"]} for author in citation["authors"]] == project["authors"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])
    assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/\S+", paper["doi"])
    assert paper["url"].rpartition("/")[2] == paper["doi"].rpartition("/")[2] == "2020.coling-main.100"
    assert (paper["year"], paper["start"], paper["end"]) == (2020, 1158, 1171)


def test_the_licence_is_the_one_that_is_named():
    first, second, *_ = map(str.strip, (ROOT / "LICENSE").read_text("utf-8").split("\n", 3)[1:])
    assert (first, second) == ("Apache License", "Version 2.0, January 2004")

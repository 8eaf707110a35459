"""What README and the pages below it point to is there, and README's numbers are those of the published study."""

import re
import tomllib

import pytest

from lib.command.publish import write_overview
from lib.protocol import profile
from lib.runs import published
from lib.runs.results import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README = PAGES[0].read_text("utf-8")
LINKS = {
    f"{page.relative_to(ROOT)}: {place}": page.parent / place
    for page in PAGES
    for place in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
}


@pytest.mark.parametrize("link", LINKS)
def test_what_it_links_to_is_there(link):
    assert LINKS[link].exists()


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb")))
def test_every_notebook_is_one_click_away(file):
    assert f"](notebooks/{file})" in README


def test_badges_are_true():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=")
    said = {"license": project["license"], "python": f"{least} or newer"}
    for name, value in said.items():
        badge = (ROOT / "docs" / "badges" / f"{name}.svg").read_text("utf-8")
        assert re.findall(r"<text [^>]*>([^<]*)</text>", badge) == [name, value]
        assert f"{value}](docs/badges/{name}.svg)" in README
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


def test_every_page_of_docs_is_one_click_away():
    assert [page.name for page in PAGES[1:] if f"](docs/{page.name})" not in README] == []


def test_the_table_of_results_is_what_the_published_study_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "STUDIES", ROOT / "results" / "study")
    copy = tmp_path / "README.md"
    copy.write_text(README, "utf-8")
    assert write_overview(copy, profile("minilm"))
    assert copy.read_text("utf-8") == README, "./run_all.sh publish --profile minilm writes it anew"

"""What README points to is there."""

import re

import pytest

from lib.results import ROOT

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("place", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_what_it_links_to_is_there(place):
    assert (ROOT / place).exists()

"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["rules.md", "faults.md"])
def test_every_test_that_a_page_names_is_there(page: str) -> None:
    """And in the file that the page names right before it, if it names one."""
    folder = ROOT / "samegoal_pipelines_tests"
    text = (ROOT / "docs" / page).read_text()
    there = {
        str(path.relative_to(folder)): set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
        for path in folder.rglob("test_*.py")
    }
    everywhere = set().union(*there.values())
    named = re.findall(r"`(?:(\w+/test_\w+\.py)`: `)?(test_\w+)`", text)
    assert len(named) > 40
    assert {test for _, test in named} - everywhere == set()
    assert [(file, test) for file, test in named if file and test not in there[file]] == []

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


def test_every_test_that_the_rules_name_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "rules.md").read_text()))
    tests = (ROOT / "samegoal_pipelines_tests").rglob("test_*.py")
    there = set(re.findall(r"^def (test_\w+)", "\n".join(path.read_text() for path in tests), re.MULTILINE))
    assert len(named) > 40
    assert named - there == set()

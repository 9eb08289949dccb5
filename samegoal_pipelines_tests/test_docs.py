"""What the documents point at is there."""

import ast
import re
from pathlib import Path

import pytest

import samegoal_pipelines

ROOT = Path(samegoal_pipelines.__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_to_a_page_and_a_heading(page):
    for target, heading in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if "://" not in target:
            linked = page.parent / target if target else page
            assert linked.exists(), target
            assert not heading or heading in headings(linked), f"{target}#{heading}"


def headings(page: Path) -> set[str]:
    """The page's headings as links name them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


PATHS = re.compile(r"`((?:samegoal_pipelines|samegoal_pipelines_tests|benchmarks|docs)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    assert [path for path in PATHS.findall(page.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", ["rules.md", "faults.md"])
def test_every_test_that_a_page_names_is_there(page):
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


def test_the_program_says_every_reason_of_the_runbook():
    """The first column of "A district failed" quotes messages, with … for what varies."""
    table = (
        (ROOT / "docs" / "runbook.md").read_text().partition("## A district failed")[2].partition("\n## ")[0]
    )
    quoted = [text for row in table.splitlines()[3:] for text in re.findall("`(.+?)`", row.split("|")[1])]
    said = "\n".join(
        node.value
        for path in (ROOT / "samegoal_pipelines").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert len(quoted) > 15
    assert [text for text in quoted for part in text.split("…") if part.strip(" ,()") not in said] == []

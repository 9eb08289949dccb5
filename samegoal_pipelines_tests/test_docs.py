"""What the documents point at is there, and the help says what every command does."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import samegoal_pipelines
from samegoal_pipelines.cli.main import cli

ROOT = Path(samegoal_pipelines.__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text() for page in PAGES}
PATHS = re.compile(r"`((?:samegoal_pipelines|samegoal_pipelines_tests|benchmarks|docs)/[\w./-]+)`")

# -- links, files, tests and messages --


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 120


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


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_that_a_page_names_exists(page):
    assert [path for path in PATHS.findall(TEXTS[page]) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", ["rules.md", "faults.md"])
def test_every_test_that_a_page_names_is_there(page):
    """And in the file that the page names right before it, if it names one."""
    folder = ROOT / "samegoal_pipelines_tests"
    there = {
        str(path.relative_to(folder)): set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
        for path in folder.rglob("test_*.py")
    }
    everywhere = set().union(*there.values())
    named = re.findall(r"`(?:(\w+/test_\w+\.py)`: `)?(test_\w+)`", TEXTS[page])
    assert len(named) > 40
    assert {test for _, test in named} - everywhere == set()
    assert [(file, test) for file, test in named if file and test not in there[file]] == []


def test_the_program_says_every_reason_of_the_runbook():
    """The first column of "A district failed" quotes messages, with … for what varies."""
    table = TEXTS["runbook.md"].partition("## A district failed")[2].partition("\n## ")[0]
    quoted = [text for row in table.splitlines()[3:] for text in re.findall("`(.+?)`", row.split("|")[1])]
    said = "\n".join(
        node.value
        for path in (ROOT / "samegoal_pipelines").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert len(quoted) > 15
    assert [text for text in quoted for part in text.split("…") if part.strip(" ,()") not in said] == []


# -- commands --


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def help_of(*path: str) -> str:
    answer = CliRunner().invoke(cli, [*path, "--help"])
    assert answer.exit_code == 0
    return answer.output


def in_documents() -> list[tuple[str, str]]:
    """Every command line in the documents, without the program's name: in blocks, and within sentences."""
    found = set()
    for page, text in TEXTS.items():
        text = text.replace("\\\n", " ")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        typed = [line for block in blocks for line in re.split(r"\n|\$\(|\||&&|;|#|\)\"", block)]
        quoted = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", sentences)]
        for line in (*typed, *quoted):
            named, _, rest = line.strip().partition(" ")
            if named == "samegoal-pipelines" and rest.strip() and not rest.startswith("-"):
                found.add((page, rest.strip()))
            elif (named,) in COMMANDS and rest and line in quoted:
                found.add((page, line))
    return sorted(found)


COMMANDS = dict(commands())
IN_DOCUMENTS = in_documents()


@pytest.mark.parametrize("group", [(), ("alerts",), ("districts",), ("postgres",)])
def test_every_command_is_listed_with_a_whole_sentence(group):
    shown = help_of(*group)
    for path in COMMANDS:
        if path[:-1] == group:
            assert re.search(rf"^  {path[-1]}  +\w", shown, re.MULTILINE), path
    assert "..." not in shown.replace("[ARGS]...", "")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(path):
    assert "%Y" not in help_of(*path)
    for option in COMMANDS[path].params:
        assert not isinstance(option, click.Option) or option.help, option.name


def test_the_version_is_told():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", CliRunner().invoke(cli, ["--version"]).output)


@pytest.mark.parametrize(("page", "line"), IN_DOCUMENTS)
def test_every_command_in_the_documents_exists_with_its_options(page, line):
    words = shlex.split(line)
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path = (*path, words.pop(0))
    assert path, line
    options = {name for option in COMMANDS[path].params for name in option.opts} | {"--debug"}
    assert {word for word in words if word.startswith("-")} <= options, line


def test_the_documents_commands_were_found():
    assert len(IN_DOCUMENTS) > 20
    assert {page for page, _ in IN_DOCUMENTS} >= {"README.md", "production.md", "runbook.md"}


@pytest.mark.parametrize("shown", [help_of("database-url"), TEXTS["README.md"]], ids=["help", "README"])
def test_the_help_of_database_url_and_the_readme_show_how_a_reader_names_its_district(shown):
    lines = [line.strip() for line in shown.splitlines()]
    at = lines.index("begin;")
    assert lines[at + 1] == "set local samegoal.district_id = 'grand-bend';"
    assert lines[at + 2].startswith("select * from samegoal.student_details")

"""The help as a new user meets it, and the documents' commands, which are ones that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from samegoal_pipelines.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("group", [(), ("alerts",), ("districts",), ("postgres",)])
def test_every_command_is_listed_with_a_whole_sentence(group):
    answer = CliRunner().invoke(cli, [*group, "--help"])
    assert answer.exit_code == 0
    for path in COMMANDS:
        if path[:-1] == group:
            assert re.search(rf"^  {path[-1]}  +\w", answer.output, re.MULTILINE), path
    assert "..." not in answer.output.replace("[ARGS]...", "")


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(path):
    answer = CliRunner().invoke(cli, [*path, "--help"])
    assert answer.exit_code == 0
    assert "%Y" not in answer.output
    for option in COMMANDS[path].params:
        assert not isinstance(option, click.Option) or option.help, option.name


def test_the_version_is_told():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", CliRunner().invoke(cli, ["--version"]).output)


def in_documents() -> list[tuple[str, str]]:
    """Every command line in the documents, without the program's name: in blocks, and within sentences."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        typed = [line for block in blocks for line in re.split(r"\n|\$\(|\||&&|;|#|\)\"", block)]
        quoted = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", sentences)]
        for line in (*typed, *quoted):
            named, _, rest = line.strip().partition(" ")
            if named == "samegoal-pipelines" and rest.strip() and not rest.startswith("-"):
                found.append((page.name, rest.strip()))
            elif (named,) in COMMANDS and rest and line in quoted:
                found.append((page.name, line))
    return found


@pytest.mark.parametrize(("page", "line"), sorted(set(in_documents())))
def test_every_command_in_the_documents_exists_with_its_options(page, line):
    words = shlex.split(line)
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path = (*path, words.pop(0))
    assert path, line
    options = {name for option in COMMANDS[path].params for name in option.opts} | {"--debug"}
    assert {word for word in words if word.startswith("-")} <= options, line


def test_the_documents_commands_were_found():
    assert len(in_documents()) > 20
    assert {page for page, _ in in_documents()} >= {"README.md", "production.md", "runbook.md"}


@pytest.mark.parametrize(
    "shown",
    [CliRunner().invoke(cli, ["database-url", "--help"]).output, (ROOT / "README.md").read_text()],
    ids=["help", "README"],
)
def test_the_help_of_database_url_and_the_readme_show_how_a_reader_names_its_district(shown):
    lines = [line.strip() for line in shown.splitlines()]
    at = lines.index("begin;")
    assert lines[at + 1] == "set local samegoal.district_id = 'grand-bend';"
    assert lines[at + 2].startswith("select * from samegoal.student_details")

"""Names, reasons and numbers from outside are shown as they are, and steer neither rich nor the terminal."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from samegoal_pipelines.cli import terminal
from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.printable import on_one_line
from samegoal_pipelines_tests.mass_changes import enrolled
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.reporting.factories import register

SOON = datetime.now(UTC).date() + timedelta(days=5)
"""When a status flips, as a forecast is to tell."""
MARKUP = "Dry [/x] [red]Fork [b]ISD[/b] :smile:"
CONTROL = "Dry \x1b[2J\x1b]0;t\x07\u202eFork\nerror: nobody\r\x9b1m is \u2028published"
AS_SHOWN = {MARKUP: MARKUP, CONTROL: "Dry [2J ]0;t Fork error: nobody 1m is published"}


@pytest.fixture(params=[MARKUP, CONTROL], ids=["markup", "control characters"])
def strange(request, pipeline, district) -> str:
    """A text that is the name of a district, of a school and a pause's reason, and begins a number."""
    text = request.param
    stays, leaves = enrolled(12)[-2:]
    made = district([stays, leaves | {"EndDate": str(SOON)}], name=text)
    made.replace_rows("Enrollment/School", [{**row, "Name": text} for row in made.rows("Enrollment/School")])
    made.edit("Student/Student", 12, StudentNumber=text)
    pipeline.add(made, name="Plain", expires=date(2026, 11, 1))
    register(pipeline.deployment.warehouse, "beta")
    until = date(2099, 6, 1)
    pause(pipeline.deployment.warehouse, "beta", paused_from=TODAY, paused_to=until, set_by=text, reason=text)
    # as registered before names were checked
    pipeline.rows("update samegoal.districts set name = :name", name=text)
    assert pipeline.run().published
    return text


@pytest.mark.slow
def test_every_command_that_shows_them_shows_them_as_they_are(strange, pipeline, ask, tmp_path):
    def output_of(*command: str) -> str:
        answered = ask(*command)
        shown = answered.stdout + answered.stderr
        for each in shown.split("\n"):
            assert each.isprintable(), (command, each)
            assert not each.startswith("error:"), (command, each)
        return " ".join(shown.split())

    as_shown = " ".join(AS_SHOWN[strange].split())
    for command in (
        ["districts", "list"],
        ["districts", "show", "grand-bend"],
        ["districts", "show", "beta"],
        ["districts", "verify", "grand-bend"],
        ["explain", "grand-bend", "000011"],
        ["changes", "grand-bend", "--students"],
        ["forecast", "grand-bend", "--students"],
        ["export", "grand-bend", "--to", str(tmp_path / "files")],
        ["report", "--night", TODAY.isoformat()],
    ):
        assert as_shown in output_of(*command), command


def test_a_table_has_a_line_for_each_string_and_more_only_for_a_list(capsys):
    terminal.print_table([{"a": "one\ntwo", "b": ["three", "four\nfive"]}, {"a": 1_000, "b": None}])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [["one", "two", "three"], ["four", "five"], ["1,000"]]


def test_facts_are_aligned_on_the_left_and_missing_ones_are_left_out(capsys):
    terminal.print_facts({"entity id": 4, "name": "Dry Fork", "contact": None})
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["entity id  4", "name       Dry Fork"]


@pytest.mark.parametrize("text", [MARKUP, CONTROL])
def test_in_a_terminal_with_colours_too(text, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    terminal.print_table([{text: text}])
    shown = capsys.readouterr().out
    assert [line.count("Fork") for line in shown.splitlines()] == [1, 0, 1]
    assert not set("\x07\u202e\x9b") & set(shown)
    assert "\x1b[2J" not in shown
    if text is MARKUP:
        assert shown.count(text) == 2


def test_progress_shows_brackets_as_they_are(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    deployment = SimpleNamespace(progress=None)
    with terminal.reading_progress(deployment, "alpha"):
        deployment.progress("School [/x] [red]", 5)
    assert "alpha: School [/x] [red]" in capsys.readouterr().err


def test_what_became_of_a_night_is_one_line():
    said = line(PipelineError(f"this is district {CONTROL}", district_id="grand-bend"))
    assert said == on_one_line(f"error: grand-bend: this is district {CONTROL}")
    assert said.isprintable()


def test_without_a_terminal_no_progress_is_counted_and_no_line_is_written(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    deployment = SimpleNamespace(progress=None)
    with terminal.reading_progress(deployment, "alpha"):
        assert deployment.progress is None
    assert capsys.readouterr() == ("", "")

"""`sync --dry-run`: what a night would publish, and that nothing is published, recorded or landed."""

from datetime import timedelta
from pathlib import Path

import pytest

from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.operations.runs import execute, run_error
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

RECORDED = (
    "snapshots",
    "current_snapshots",
    "student_changes",
    "departures",
    "registrar_worklist",
    "student_status_history",
    "student_demographics_history",
    "parent_demographics_history",
)


def everything(pipeline) -> tuple[object, list[Path]]:
    """Every row that a night writes, and every landed file."""
    rows = {
        table: pipeline.rows(f"select t::text from samegoal.{table} as t order by 1") for table in RECORDED
    }
    return rows, sorted((pipeline.deployment.settings.home / "landing").rglob("*"))


@pytest.fixture
def published(good_night, district):
    """A district of 60 students with one good night, and two changes in Qmlativ since."""
    made = good_night(enrolled(60))
    change(made, {1}, EndDate="2026-10-09")
    made.edit("Demographics/Name", 1_000_002, LastName="Renamed")
    return made


def test_a_dry_run_says_what_would_change_and_publishes_records_and_lands_nothing(pipeline, published, ask):
    before = everything(pipeline)
    answer = ask("sync", "grand-bend", "--today", str(TOMORROW), "--dry-run", "--students").ok
    assert "dry run for 2026-10-13: 60 students (0 added, 2 changed, 0 removed)" in answer.stderr
    assert "it would be published. Nothing was published or recorded" in answer.stderr
    assert "grand-bend Grand Bend ISD would be published 60 59 0 0 1" in answer.lines
    assert answer.lines[-2:] == [
        "grand-bend 000001 status ENROLLED INACTIVE status, reason, last_day",
        "grand-bend 000002 demographics ENROLLED ENROLLED last_name",
    ]
    assert "Renamed" not in answer.stdout

    # of the night that is published
    (report,) = ask("sync", "grand-bend", "--today", "2026-10-12", "--dry-run", "--students", "--json").json
    assert (report["state"], report["changed"], report["inactive"]) == ("published", 2, 1)
    changes = [(one["student_id"], one["change"]) for one in report["changes"]]
    assert changes == [(1, "status"), (2, "demographics")]

    older = ask("sync", "grand-bend", "--today", "2026-10-01", "--dry-run")
    assert older.returncode == 1
    assert "the night 2026-10-01 is older than 2026-10-12, which is published and stays" in older.stderr
    assert everything(pipeline) == before


def test_a_dry_run_that_the_gate_would_hold_exits_with_3_and_says_why(pipeline, published, ask):
    change(published, range(3, 33), EndDate="2026-10-09")
    before = everything(pipeline)
    answer = ask("sync", "grand-bend", "--today", str(TOMORROW), "--dry-run", "--json")
    assert answer.returncode == 3
    (report,) = answer.json
    assert report["state"] == "held"
    (reason,) = report["reasons"]
    assert reason.startswith("31 of 60 students")
    assert "31 of them" in reason  # the rows of the published night say what time alone explains
    assert report["next_step"].startswith("check in Qmlativ whether their enrollments were ended")
    assert f"To do: {report['next_step']}" in answer.stderr
    assert "changes" not in report
    assert reason in answer.stderr
    assert everything(pipeline) == before


def test_a_date_in_the_future_needs_a_dry_run_at_the_terminal_and_in_the_ui(
    pipeline, published, ask, monkeypatch
):
    monkeypatch.setattr(District, "local_date", lambda *_: TODAY)
    future = str(TODAY + timedelta(days=30))
    before = everything(pipeline)
    refused = ask("sync", "grand-bend", "--today", future, SAMEGOAL_ALLOW_LOCAL_SOURCES="0")
    assert refused.returncode == 1
    assert "no night is published before its date" in refused.stderr
    assert f"samegoal-pipelines sync grand-bend --today {future} --dry-run" in refused.stderr

    tried = ask("sync", "grand-bend", "--today", future, "--dry-run")
    assert f"dry run for {future}: 60 students" in tried.stderr

    pipeline.deployment.settings.allow_local_sources = False
    tags = {"samegoal/today": future}
    result = execute(pipeline.deployment, "grand-bend", "nightly_snapshot", tags=tags)
    assert not result.success
    assert "no night is published before its date" in run_error(result, "grand-bend").reason
    assert everything(pipeline) == before

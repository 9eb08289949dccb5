"""`sync --dry-run` and `districts preview`: what a night would publish; nothing is published or recorded."""

from datetime import timedelta
from pathlib import Path

import pytest

from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.operations.runs import execute
from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

RECORDED = (
    *("snapshots", "current_snapshots", "student_changes", "departures", "registrar_worklist"),
    *("student_status_history", "student_demographics_history", "parent_demographics_history"),
)
PREVIEW = ("districts", "preview", "grand-bend", "--today", "2026-10-13")


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

    older = ask("sync", "grand-bend", "--today", "2026-10-01", "--dry-run").refusal
    assert "the night 2026-10-01 is older than 2026-10-12, which is published and stays" in older
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
    previewed = ask(*PREVIEW)
    assert (previewed.returncode, "the gate would hold it" in previewed.stderr) == (3, True)
    assert everything(pipeline) == before


def test_a_date_in_the_future_needs_a_dry_run(pipeline, published, ask, monkeypatch):
    monkeypatch.setattr(District, "local_date", lambda *_: TODAY)
    future = str(TODAY + timedelta(days=30))
    before = everything(pipeline)
    refused = ask("sync", "grand-bend", "--today", future, SAMEGOAL_ALLOW_LOCAL_SOURCES="0").failed
    assert "no night is published before its date" in refused.stderr
    assert f"samegoal-pipelines sync grand-bend --today {future} --dry-run" in refused.stderr

    tried = ask("sync", "grand-bend", "--today", future, "--dry-run")
    assert f"dry run for {future}: 60 students" in tried.stderr

    pipeline.deployment.settings.allow_local_sources = False
    tags = {"samegoal/today": future}
    run = execute(pipeline.deployment, "grand-bend", "nightly_snapshot", tags=tags)
    assert "no night is published before its date" in run.error.reason
    assert everything(pipeline) == before


# -- beside a file of what SameGoal has --


@pytest.fixture
def made(pipeline, district):
    made = district(enrolled(5))
    pipeline.add(made)
    return made


@pytest.fixture
def exported(pipeline, made, ask: Ask, tmp_path: Path) -> Path:
    assert pipeline.run().published
    assert ask("export", "grand-bend", "--to", str(tmp_path)).ok
    return tmp_path / "students.csv"


def test_what_samegoal_has_is_compared_before_the_first_publish(pipeline, made, ask, tmp_path):
    file = tmp_path / "students.csv"
    file.write_bytes(b"\xef\xbb\xbfStudent Id,Last Name,Grade\r\n000001,Another,\r\n01,Somebody,01\r\n")
    before = everything(pipeline)
    arguments = ("districts", "preview", "grand-bend", "--today", "2026-10-12", "--against", str(file))
    answer = ask(*arguments, "--json", "--students").ok
    assert "dry run for 2026-10-12: 5 students (5 added, 0 changed, 0 removed)" in answer.stderr
    told = answer.json
    assert (told["state"], told["gate"]) == ("published", None)
    found = told["comparison"]
    by_column, new = found.pop("different_by_column"), ["000002", "000003", "000004", "000005"]
    assert by_column["Last Name"] == 1
    assert found.pop("students") == {"new": new, "missing": ["01"], "different": {"000001": [*by_column]}}
    assert found.pop("not_compared")
    counts = {"students_in_file": 2, "same": 0, "different": 1, "new": 4, "missing": 1}
    assert found == counts | {"without_usable_number": 0, "differ_in_leading_zeros": 0}
    shown = ask(*arguments)
    assert "grand-bend Grand Bend ISD would be published 5 5 0 0 0" in shown.lines
    assert "missing 1 in the file, and would not be published" in shown.lines
    for value in ("Another", "Somebody", "000001", "leading zeros"):
        assert value not in shown.stdout
    file.write_text("Student Id\n2\n3\n")
    assert "2 of the missing differ from a new student only in leading zeros" in ask(*arguments).stdout
    assert everything(pipeline) == before


def test_the_file_that_was_exported_is_the_same_also_where_a_student_is_carried_over(made, exported, ask):
    words = (*PREVIEW, "--against", str(exported), "--json")
    found = ask(*words).json["comparison"]
    assert [found[name] for name in ("same", "different", "new", "missing")] == [5, 0, 0, 0]
    assert found["not_compared"] == ["District of Residence"]

    entry = made.rows("Enrollment/EntryWithdrawal")[0]["EntryWithdrawalID"]
    made.edit("Enrollment/EntryWithdrawal", entry, StartDate="soon")  # unreadable: carried over
    assert ask(*words).json["comparison"]["same"] == 5


def test_of_a_district_that_has_published_differences_are_listed_by_number(pipeline, made, exported, ask):
    change(made, {1}, EndDate="2026-10-09")
    made.edit("Demographics/Name", 1_000_002, LastName="Renamed")
    lines = exported.read_text(encoding="utf-8").splitlines(keepends=True)
    exported.write_text("".join(line for line in lines if "000003" not in line), encoding="utf-8")
    before = everything(pipeline)
    answer = ask(*PREVIEW, "--against", str(exported), "--students")
    different = ["000001 different District Enrollment", "000002 different Last Name"]
    assert answer.lines[-3:] == [*different, "000003 new"]
    assert "Renamed" not in answer.stdout
    assert everything(pipeline) == before


def test_a_bad_file_is_refused_before_anything_is_read(pipeline, made, ask, tmp_path):
    file = tmp_path / "students.csv"
    file.write_text("Student Id,Grade\n000001,01\n000001,02\n")
    answer = ask("districts", "preview", "grand-bend", "--against", str(file)).failed
    assert answer.stderr == (
        "error: grand-bend: preview: students.csv: lines 2 and 3 have the same Student Id; correct the file "
        "there, or save it again as CSV UTF-8 in SameGoal's layout, as `export` writes it\n"
    )
    assert "000001" not in answer.stderr
    assert not pipeline.source.traffic.requests(kind="list")

"""`sync --dry-run`, `districts preview` and `replay`: what a night would publish, and past nights again.

The rule that a replay changes is one that a district may change.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.operations.runs import execute
from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.defs.test_withholding_nights import FAMILY
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW, change, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

RECORDED = (
    *("snapshots", "current_snapshots", "student_changes", "departures", "registrar_worklist"),
    *("student_status_history", "student_demographics_history", "parent_demographics_history"),
)
TONIGHT = ("sync", "grand-bend", "--today", str(TOMORROW))
PREVIEW = ("districts", "preview", "grand-bend", "--today", str(TOMORROW))
REPLAY = ("replay", "grand-bend", "--from")


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
    answer = ask(*TONIGHT, "--dry-run", "--students").ok
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
    answer = ask(*TONIGHT, "--dry-run", "--json")
    assert answer.returncode == 3
    (report,) = answer.json
    (reason,) = report["reasons"]
    assert report["state"] == "held"
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
    words = ("sync", "grand-bend", "--today", future)
    before = everything(pipeline)
    refused = ask(*words, SAMEGOAL_ALLOW_LOCAL_SOURCES="0").failed
    assert "no night is published before its date" in refused.stderr
    assert f"samegoal-pipelines sync grand-bend --today {future} --dry-run" in refused.stderr
    assert f"dry run for {future}: 60 students" in ask(*words, "--dry-run").stderr

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
    arguments = (*PREVIEW, "--against", str(file))
    answer = ask(*arguments, "--json", "--students").ok
    assert "dry run for 2026-10-13: 5 students (5 added, 0 changed, 0 removed)" in answer.stderr
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

    made.edit(ENTRIES, 1, StartDate="soon")  # unreadable: carried over
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
    answer = ask(*PREVIEW, "--against", str(file)).failed
    assert answer.stderr == (
        "error: grand-bend: preview: students.csv: lines 2 and 3 have the same Student Id; correct the file "
        "there, or save it again as CSV UTF-8 in SameGoal's layout, as `export` writes it\n"
    )
    assert not pipeline.source.traffic.requests(kind="list")


# -- replay --

EMAILS = "select email from samegoal.parent_demographics_as_of(:night)"


@pytest.fixture
def two_nights(pipeline, district, prepared):
    """A student whose parent is under restriction, published twice; the second night changes the status."""

    def nights() -> None:
        leaves = {"StartDate": "2026-08-12", "EndDate": TODAY.isoformat(), "WithdrawalCode": "77"}
        pipeline.add(district([{"StudentID": 11, **leaves}], rows=FAMILY))
        for night in (TODAY, TOMORROW):
            assert pipeline.run(today=night).published

    prepared("two nights with a parent under restriction", nights)
    return pipeline


def test_a_dry_run_shows_what_a_replay_then_does(two_nights, ask):
    assert ask("districts", "set", "grand-bend", "--restricted-contacts", "show").ok

    dry = ask(*REPLAY, "2026-10-12", "--dry-run").ok
    assert two_nights.rows(EMAILS, night=TODAY) == [(None,)]
    told = "2 of 2 nights from 2026-10-12 to 2026-10-13 would differ; nothing was changed"
    assert dry.stderr == f"grand-bend: {told}\n"

    done = ask(*REPLAY, "2026-10-12").ok
    assert done.stdout == dry.stdout
    listed = [line for line in done.lines if line.startswith("2026")]
    assert listed == [f"{night} 1 0 0 0 0 1 0 0" for night in (TODAY, TOMORROW)]
    assert two_nights.rows(EMAILS, night=TODAY) == [("pat@example.org",)]

    assert ask(*REPLAY, "2026-10-12").ok.stdout == "no difference\n"


def test_another_status_is_told_in_words_and_a_script_gets_numbers(two_nights, ask, monkeypatch):
    for module in ("transforms.status", "tables.vocabulary"):
        monkeypatch.setattr(f"samegoal_pipelines.{module}.GRADUATED_CODE", "77")

    result = ask(*REPLAY, "2026-10-13", "--dry-run")
    assert "2026-10-13: 1 from INACTIVE to GRADUATED" in result.stdout

    facts = ask(*REPLAY, "2026-10-13", "--dry-run", "--json").json
    (night,) = facts["nights"]
    assert (facts["written"], facts["reason"], night["night"]) == (False, None, "2026-10-13")
    assert (night["differs"], night["graduated"]) == (True, 1)
    (transition,) = night["difference"]["transitions"]
    assert transition == {"old_status": "INACTIVE", "new_status": "GRADUATED", "students": 1}


def test_nights_without_a_snapshot_are_skipped_and_said(two_nights, ask):
    two_nights.source.sandbox.districts[0].client_secret = "another"
    assert two_nights.run(today=TODAY + timedelta(days=2)).failed

    replayed = ask(*REPLAY, "2026-10-12").ok
    assert "2026-10-14: skipped: failed, never published" in replayed.stdout


def test_what_cannot_be_replayed_is_said_in_one_line(two_nights, ask):
    before = two_nights.states()
    reason = "replay: no night from 2026-10-14 on is published; the last one is 2026-10-13"
    assert ask("replay", "nowhere", "--from", "2026-10-12").refusal.startswith("error: nowhere: ")
    assert ask(*REPLAY, "2026-10-14").refusal == f"error: grand-bend: {reason}\n"
    failed = ask(*REPLAY, "2026-10-14", "--json").failed
    assert failed.stderr == f"error: grand-bend: {reason}\n"
    asked = {"district_id": "grand-bend", "from": "2026-10-14", "dry_run": False}
    assert failed.json == {**asked, "reason": reason, "written": False, "nights": [], "skipped": []}
    assert two_nights.states() == before

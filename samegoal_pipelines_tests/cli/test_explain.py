"""`explain` as a person or a script meets it, on nights that were read, landed and published."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
PAST = {"EntryWithdrawalID": 2, "StudentID": 11, "StartDate": "2026-01-07", "EndDate": "2026-05-28"}
OTHER = {"EntryWithdrawalID": 4, "StudentID": 13, "StartDate": "2026-08-12"}


@pytest.fixture
def explained(ask: Ask) -> Callable[..., dict[str, Any]]:
    return lambda *arguments: ask("explain", "grand-bend", *arguments, "--json").ok.json


@pytest.fixture
def explain(ask: Ask) -> Callable[..., str]:
    return lambda *arguments: ask("explain", "grand-bend", *arguments).ok.stdout


def test_every_enrollment_the_rule_and_the_building_are_told(good_night, explained, explain):
    good_night([ENROLLED, PAST, {**ENROLLED, "EntryWithdrawalID": 5, "WithdrawalCode": "CECS"}, OTHER])
    said = explain("000011")
    for part in (
        "grand-bend, night of 2026-10-12",
        "published: ENROLLED",
        "rule 1: there is a current enrollment (current_enrollment)",
        "enrollment 1 decides: it is the only current one",
        "as listed for its school year",
        "begins on 2025-10-12",
        *("counted as current; decides", "counted as past", "excluded: a cross-entity course"),
    ):
        assert part in said
    for none in ("Student1000011", "differs", "replay"):  # the first is a name
        assert none not in said

    (student,) = explained("000011")["students"]
    assert [row["enrollment_id"] for row in student["enrollments"]] == [2, 1, 5]
    assert student["decision"]["status"] == student["published"]["status"] == "ENROLLED"
    assert student["differs"] == []
    assert "Sam" not in json.dumps(student)


def test_a_carried_over_student_is_explained_by_the_unreadable_field(pipeline, good_night, explain):
    without_record = {**OTHER, "EntryWithdrawalID": 6, "StudentID": 14}
    made = good_night([ENROLLED, OTHER, without_record])
    made.edit("Enrollment/EntryWithdrawal", 1, StartDate="31 February")
    made.remove_row("Demographics/Name", 1_000_014)
    assert pipeline.run(today=TOMORROW).carried_over == 2

    said, without_record = explain("000011"), explain("000014")
    assert "night of 2026-10-13" in said
    assert "unchanged since 2026-10-12; carried over, because this night's rows cannot be relied on" in said
    assert "uncertain: 1 row cannot be relied on (unreadable)" in said
    assert "quarantined: a field cannot be read (StartDate)" in said
    assert "no usable record" in without_record
    assert "; carried over, because" in without_record
    for none in ("31 February", "replay"):
        assert none not in said + without_record


def test_what_changed_since_and_the_night_that_was_published_on_a_date_are_told(
    pipeline, good_night, explained, explain, ask
):
    made = good_night([OTHER, {**ENROLLED, "EndDate": "2026-09-01"}])
    made.edit("Enrollment/EntryWithdrawal", 1, StartDate="2024-08-14", EndDate="2025-06-01")
    made.edit("Enrollment/EntryWithdrawal", 4, EndDate="2026-10-12")
    assert pipeline.run(today=TODAY + timedelta(days=5)).published

    gone, still_there = explain("000011"), explain("000013")
    assert "published: nothing; left on 2026-10-17 as INACTIVE: left the import window" in gone
    assert "excluded: it ended more than a year ago (before 2025-10-17)" in gone
    assert "published: INACTIVE" in still_there
    assert "published before 2026-10-17: ENROLLED" in still_there

    between = explained("000011", "--on", "2026-10-16")
    assert (between["night"], between["students"][0]["published"]["status"]) == ("2026-10-12", "INACTIVE")
    early = ask("explain", "grand-bend", "000011", "--on", "2026-10-01").refusal
    assert "the first night is 2026-10-12" in early


def test_numbers_are_text_compared_without_the_spaces_around(pipeline, district, explained, explain):
    numbers = {11: "007", 13: " 7 ", 14: "8", 15: "8"}
    made = district([{"StudentID": student, "StartDate": "2026-08-12"} for student in numbers])
    for student, number in numbers.items():
        made.edit("Student/Student", student, StudentNumber=number)
    pipeline.add(made)
    assert pipeline.run().published

    for number, student in (("007", 11), ("7", 13), (" 7 ", 13)):
        assert [one["student_id"] for one in explained(number)["students"]] == [student]

    said = explain("8")
    for part in ("2 students have this number", "StudentID 14", "StudentID 15"):
        assert part in said


def test_an_unknown_number_says_what_to_check(good_night, ask):
    good_night([ENROLLED])
    for number in ("999", "11", "%", "'; --", "", "9" * 5_000, "9\nerror: 9", "\x1b[31m9", "9\udc80"):
        refused = ask("explain", "grand-bend", number).refusal
        assert "student number" in refused
        assert "000011" not in refused
        assert len(refused) < 400
        assert refused.rstrip("\n").isprintable()


def test_what_the_rules_would_say_otherwise_today_is_told(pipeline, good_night, explained, explain):
    """As after a change of the rules: what is published is not what the landed rows give."""
    good_night([ENROLLED])
    pipeline.rows("update samegoal.student_status_history set status = 'INACTIVE', reason = 'withdrawn'")
    words = explain("000011")
    assert "by today's rules these rows give ENROLLED, but INACTIVE is published" in words
    assert "samegoal-pipelines replay grand-bend --from 2026-10-12" in words
    assert explained("000011")["students"][0]["differs"] == ["status", "reason"]


# -- absent students: one cause, one next step --

SINCE_AUGUST = {"StartDate": "2026-08-12", "EntityID": 101}
ABSENT = {
    12: ("CECS only", {**SINCE_AUGUST, "WithdrawalCode": "CECS"}),
    23: ("outside the window", {**SINCE_AUGUST, "StartDate": "2025-08-13", "EndDate": "2025-09-30"}),
    24: ("never closed", {**SINCE_AUGUST, "StartDate": "2024-08-14"}),
    25: ("never effective", {**SINCE_AUGUST, "EndDate": "2026-08-10"}),
    26: ("entity not included", {**SINCE_AUGUST, "EntityID": 102}),
    27: ("quarantined", {**SINCE_AUGUST, "StartDate": None}),
    28: ("no Student or Name row", SINCE_AUGUST),
    29: ("no enrollment", SINCE_AUGUST),
    30: ("not in Qmlativ", SINCE_AUGUST),
}


def test_an_absent_student_has_one_cause_and_one_next_step(pipeline, district, explained, explain):
    rows = [{"EntryWithdrawalID": n, "StudentID": n, **row} for n, (_, row) in ABSENT.items()]
    made = district([*rows, {"EntryWithdrawalID": 99, "StudentID": 99, **SINCE_AUGUST}])
    made.remove_row("Demographics/Name", 1_000_028)
    pipeline.add(made, entities="101")
    assert pipeline.run().published
    for student in (29, 30):
        made.remove_row("Enrollment/EntryWithdrawal", student)
    made.remove_row("Student/Student", 30)
    assert pipeline.run(today=TOMORROW).published

    for student, (cause, _) in ABSENT.items():
        (answer,) = explained(f"{student:06}")["students"]
        assert answer["published"] is None
        assert answer["cause"]["name"] == cause
        assert answer["cause"]["next_step"]
    said = explain("000012")
    assert "published: nothing, on that night or before" in said
    assert "no status: CECS only" in said
    said = explain("000026")
    assert said.count("cause: ") == said.count("next step: ") == 1
    assert "districts set grand-bend --entities" in said
    assert "cause: enrollment 27 cannot be relied on: it has no start date" in explain("000027")
    assert "next step: Student Profile > Enrollment > Entity Year: if the student has left" in explain(
        "000024"
    )
    (there,) = explained("000099")["students"]
    assert (there["published"]["status"], there["cause"]) == ("ENROLLED", None)

    shutil.rmtree(pipeline.deployment.settings.home / "landing")
    assert explained("000029")["students"][0]["cause"]["name"] == "no enrollment"


def test_a_student_whom_samegoal_would_refuse_is_not_exported(pipeline, district, explained):
    made = district([ENROLLED, OTHER])
    made.edit("Demographics/Name", 1_000_011, BirthDate=None)
    pipeline.add(made)
    assert pipeline.run().published
    cause = explained("000011")["students"][0]["cause"]
    assert cause["name"] == "excluded from the export"
    assert "refuses no Date of Birth" in cause["sentence"]
    assert explained("000013")["students"][0]["cause"] is None


def test_a_new_student_of_a_held_night_waits_for_its_release(pipeline, good_night, ask):
    made = good_night(enrolled(60))
    change(made, range(1, 50), EndDate="2026-10-09")
    for path, ids in (
        ("Enrollment/EntryWithdrawal", {"EntryWithdrawalID": 900}),
        ("Student/Student", {"StudentNumber": "900"}),
    ):
        made.add_row(path, **made.rows(path)[59] | {"StudentID": 900} | ids)
    assert pipeline.run(today=TOMORROW).held
    answer = ask("explain", "grand-bend", "900").failed
    assert "the night 2026-10-13 is held, and has the student as ENROLLED" in answer.stderr
    assert "--release" in answer.stderr
    assert "is held" not in ask("explain", "grand-bend", "901").stderr
    assert "note: the night 2026-10-13 is held: 49 of 60" in ask("explain", "grand-bend", "000060").stdout


def test_without_a_district_or_a_published_night_or_after_a_failure_it_says_so(pipeline, district, ask):
    assert ask("explain", "nowhere", "000011").stderr.startswith("error: nowhere: ")
    made = district([ENROLLED])
    pipeline.add(made)
    assert "sync grand-bend" in ask("explain", "grand-bend", "000011").stderr

    made.denied_fields.add("Student/Student.StudentNumber")
    assert pipeline.run().failed
    never = ask("explain", "grand-bend", "000011").failed
    assert "no night is published yet: the night 2026-10-12 failed: " in never.stderr
    assert "grant it in the Integration Access" in never.stderr

    made.denied_fields.clear()
    assert pipeline.run().published
    made.denied_fields.add("Student/Student.StudentNumber")
    assert pipeline.run(today=TOMORROW).failed
    unknown = ask("explain", "grand-bend", "900")
    assert "no student has the student number 900" in unknown.stderr
    assert "no student has the student number (empty)" in ask("explain", "grand-bend", "").failed.stderr
    assert "the night 2026-10-13 failed: " in unknown.stderr
    assert "grant it in the Integration Access" in unknown.stderr
    known = ask("explain", "grand-bend", "000011").stdout
    assert "night of 2026-10-12" in known
    assert "note: the night 2026-10-13 failed: reading Qmlativ: " in known
    assert "note:" not in ask("explain", "grand-bend", "000011", "--on", "2026-10-12").stdout


def test_a_district_that_is_late_says_so(pipeline, good_night, ask, monkeypatch):
    good_night([ENROLLED])
    pipeline.rows("update samegoal.districts set registered_at = '2026-01-01', due_since = null")
    evening = datetime(2026, 10, 13, 23, tzinfo=UTC)
    monkeypatch.setattr(
        "samegoal_pipelines.operations.explain.datetime", SimpleNamespace(now=evening.astimezone)
    )
    late = "the night 2026-10-13 is late: no snapshot by 06:00"
    assert late in ask("explain", "grand-bend", "900").refusal
    assert f"note: {late}" in ask("explain", "grand-bend", "000011").ok.stdout


def test_without_usable_landed_rows_the_warehouse_still_tells(good_night, explain, explained, pipeline):
    good_night([ENROLLED])
    landing = pipeline.deployment.settings.home / "landing"
    (manifest,) = landing.glob("grand-bend/*/*/raw_enrollments/landed.json")
    read_less = json.loads(manifest.read_text())
    del read_less["rows"]["School"]
    manifest.write_text(json.dumps(read_less))
    said = explain("000011")
    assert "landed rows of raw_enrollments for 2026-10-12 are from an older version" in said
    assert "published: ENROLLED" in said

    shutil.rmtree(landing / "grand-bend")
    said = explain("000011")
    assert "landed rows of raw_enrollments for 2026-10-12 are missing, so only what was published" in said
    assert "published: ENROLLED" in said
    assert "rule 1 decided: there is a current enrollment" in said
    assert "enrollment 1 decided, 2026-08-12 to open" in said
    answer = explained("000011")
    assert answer["landed_run_id"] is None
    assert answer["students"][0]["enrollments"] is None

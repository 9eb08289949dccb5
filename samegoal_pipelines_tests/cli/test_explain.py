"""`explain` as a person or a script meets it, on nights that were read, landed and published."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from samegoal_pipelines_tests.cli.asking import Ask, run
from samegoal_pipelines_tests.pipeline import TODAY

TOMORROW = TODAY + timedelta(days=1)
ENROLLED = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
PAST = {"EntryWithdrawalID": 2, "StudentID": 11, "StartDate": "2026-01-07", "EndDate": "2026-05-28"}
COURSE = {"EntryWithdrawalID": 3, "StudentID": 12, "StartDate": "2026-08-12", "WithdrawalCode": "CECS"}
OTHER = {"EntryWithdrawalID": 4, "StudentID": 13, "StartDate": "2026-08-12"}


@pytest.fixture
def explained(ask: Ask) -> Callable[..., dict[str, Any]]:
    def answer(*arguments: str) -> dict[str, Any]:
        answered = ask("explain", "grand-bend", *arguments, "--json")
        assert answered.returncode == 0, answered.stderr
        return json.loads(answered.stdout)

    return answer


@pytest.fixture
def explain(ask: Ask) -> Callable[..., str]:
    def answer(*arguments: str) -> str:
        answered = ask("explain", "grand-bend", *arguments)
        assert answered.returncode == 0, answered.stderr
        return answered.stdout

    return answer


def test_every_enrollment_the_rule_and_the_building_are_told(good_night, explained, explain):
    rows = [ENROLLED, PAST, {**ENROLLED, "EntryWithdrawalID": 5, "WithdrawalCode": "CECS"}, OTHER]
    good_night(rows)

    said = explain("000011")

    assert "grand-bend, night of 2026-10-12" in said
    assert "published: ENROLLED" in said
    assert "rule 1: there is a current enrollment (current_enrollment)" in said
    assert "enrollment 1 decides: it is the only current one" in said
    assert "as listed for its school year" in said
    assert "begins on 2025-10-12" in said
    for fate in ("counted as current; decides", "counted as past", "excluded: a cross-entity course"):
        assert fate in said
    assert "Student1000011" not in said, "names are not shown"
    assert "differs" not in said
    assert "replay" not in said

    (student,) = explained("000011")["students"]
    assert [row["enrollment_id"] for row in student["enrollments"]] == [2, 1, 5]
    assert student["decision"]["status"] == student["published"]["status"] == "ENROLLED"
    assert student["differs"] == []
    assert "Sam" not in json.dumps(student)


def test_a_student_without_a_status_is_explained_in_words(good_night, explained, explain):
    good_night([OTHER, COURSE])

    said = explain("000012")

    assert "published: nothing, on that night or before" in said
    assert "there are only cross-entity course enrollments (CECS)" in said
    assert explained("000012")["students"][0]["absent"] == "CECS only"


def test_a_carried_over_student_is_shown_as_carried_over_and_the_unreadable_row_with_its_field(
    pipeline, good_night, explain
):
    made = good_night([ENROLLED, OTHER])
    made.edit("Enrollment/EntryWithdrawal", 1, StartDate="31 February")
    assert pipeline.run(today=TOMORROW).carried_over == 1

    said = explain("000011")

    assert "night of 2026-10-13" in said
    assert "unchanged since 2026-10-12; carried over, because this night's rows cannot be relied on" in said
    assert "uncertain: 1 row cannot be relied on (unreadable)" in said
    assert "quarantined: a field cannot be read (StartDate)" in said
    assert "31 February" not in said
    assert "replay" not in said


def test_a_student_who_left_is_told_with_the_day_and_why(pipeline, good_night, explain):
    made = good_night([OTHER, {**ENROLLED, "EndDate": "2026-09-01"}])
    made.edit("Enrollment/EntryWithdrawal", 1, StartDate="2024-08-14", EndDate="2025-06-01")
    assert pipeline.run(today=TOMORROW).published

    said = explain("000011")

    assert "published: nothing; left on 2026-10-13 as INACTIVE: left the import window" in said
    assert "excluded: it ended more than a year ago (before 2025-10-13)" in said
    assert "published: INACTIVE" in explain("000011", "--on", "2026-10-12")


def test_the_night_that_was_published_on_a_date_is_explained(pipeline, good_night, explained, explain, ask):
    made = good_night([OTHER, ENROLLED])
    made.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-10-12")
    later = TODAY + timedelta(days=5)
    assert pipeline.run(today=later).published

    assert "INACTIVE" in explain("000011")
    assert "published before 2026-10-17: ENROLLED" in explain("000011")
    between = explained("000011", "--on", "2026-10-16")
    assert between["night"] == "2026-10-12"
    assert between["students"][0]["published"]["status"] == "ENROLLED"

    early = ask("explain", "grand-bend", "000011", "--on", "2026-10-01")
    assert early.returncode == 1
    assert "the first night is 2026-10-12" in early.stderr


def test_a_night_that_failed_later_is_mentioned(pipeline, good_night, explain):
    made = good_night([ENROLLED])
    made.client_secret = "another"
    assert not pipeline.run(today=TOMORROW).published

    said = explain("000011")

    assert "night of 2026-10-12" in said
    assert "note: the night 2026-10-13 failed: reading Qmlativ: " in said
    assert "note:" not in explain("000011", "--on", "2026-10-12")


def test_a_night_that_is_held_is_mentioned_with_its_reason(pipeline, good_night, explain):
    good_night([ENROLLED])
    with pipeline.deployment.warehouse.begin() as connection:
        connection.execute(
            text(
                "insert into samegoal.snapshots "
                "(district_id, snapshot_date, state, held_reason, run_id, started_at) "
                "values ('grand-bend', :night, 'held', 'too many are dropped', 'a-run', now())"
            ),
            {"night": TOMORROW},
        )

    assert "note: the night 2026-10-13 was held: too many are dropped\n" in explain("000011")


def test_numbers_are_text_compared_exactly_and_then_without_the_spaces_around(pipeline, district, explained):
    made = district([ENROLLED, OTHER])
    made.edit("Student/Student", 11, StudentNumber="007")
    made.edit("Student/Student", 13, StudentNumber=" 7 ")
    pipeline.add(made)
    assert pipeline.run().published

    assert [one["student_id"] for one in explained("007")["students"]] == [11]
    loose = explained("7")
    assert [one["student_id"] for one in loose["students"]] == [13]
    assert "spaces" in loose["remarks"][0]
    assert [one["student_id"] for one in explained(" 7 ")["students"]] == [13]


def test_two_students_with_one_number_are_both_explained(pipeline, district, explain):
    made = district([ENROLLED, OTHER])
    made.edit("Student/Student", 11, StudentNumber="7")
    made.edit("Student/Student", 13, StudentNumber="7")
    pipeline.add(made)
    assert pipeline.run().published

    said = explain("7")

    assert "2 students have this number" in said
    assert "StudentID 11" in said
    assert "StudentID 13" in said


def test_an_unknown_number_says_what_to_check(good_night, ask):
    good_night([ENROLLED])

    for number in ("999", "11", "%", "'; --", "", "9" * 5_000, "9\nerror: 9", "\x1b[31m9", "9\udc80"):
        answer = ask("explain", "grand-bend", number)
        assert answer.returncode == 1
        assert answer.stdout == ""
        assert answer.stderr.count("\n") == 1
        assert "student number" in answer.stderr
        assert "000011" not in answer.stderr
        assert len(answer.stderr) < 400
        assert answer.stderr.rstrip("\n").isprintable()


def test_without_a_published_night_and_without_a_district_it_says_so(pipeline, district, ask):
    pipeline.add(district([ENROLLED]))
    answer = ask("explain", "grand-bend", "000011")
    assert answer.returncode == 1
    assert "sync grand-bend" in answer.stderr
    assert ask("explain", "nowhere", "000011").returncode == 1


def test_where_the_landing_was_pruned_the_warehouse_still_tells(pipeline, good_night, explained, explain):
    good_night([ENROLLED])
    shutil.rmtree(pipeline.deployment.settings.landing_root + "/grand-bend")

    said = explain("000011")

    assert "no longer in the landing" in said
    assert "published: ENROLLED" in said
    assert "rule 1 decided: there is a current enrollment" in said
    assert "enrollment 1 decided, 2026-08-12 to open" in said
    answer = explained("000011")
    assert answer["landed_run_id"] is None
    assert answer["students"][0]["enrollments"] is None


def test_what_the_rules_would_say_otherwise_today_is_told(pipeline, good_night, explained, explain):
    """As after a change of the rules: what is published is not what the landed rows give."""
    good_night([ENROLLED])
    with pipeline.deployment.warehouse.begin() as connection:
        connection.execute(
            text("update samegoal.student_status_history set status = 'INACTIVE', reason = 'withdrawn'")
        )

    words = explain("000011")

    assert "by today's rules these rows give ENROLLED, but INACTIVE is published" in words
    assert "samegoal-pipelines replay grand-bend --from 2026-10-12" in words
    assert explained("000011")["students"][0]["differs"] == ["status", "reason"]


def test_a_student_without_a_record_is_told_to_keep_what_was_published(pipeline, good_night, explain):
    made = good_night([ENROLLED, OTHER])
    made.remove_row("Demographics/Name", 1_000_011)
    assert pipeline.run(today=TOMORROW).carried_over == 1

    said = explain("000011")

    assert "no usable record" in said
    assert "; carried over, because" in said
    assert "replay" not in said


def test_a_date_that_is_none_is_wrong_usage(environment):
    assert run("explain", "grand-bend", "1", "--on", "12/10/2026").returncode == 2

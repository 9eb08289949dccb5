"""`forecast` as a person or a script meets it."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from samegoal_pipelines.reporting import nightly_status
from samegoal_pipelines_tests.mass_changes import enrolled
from samegoal_pipelines_tests.pipeline import TODAY

STAYS = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
ENDS = {"EntryWithdrawalID": 2, "StudentID": 12, "StartDate": "2026-08-12", "EndDate": "2026-10-14"}
BEGINS = {"EntryWithdrawalID": 3, "StudentID": 13, "StartDate": "2026-10-19"}


@pytest.fixture(autouse=True)
def is_now(monkeypatch: pytest.MonkeyPatch) -> Callable[[date], None]:
    """Set every district's date. It is the day of the usual night, unless a test sets another."""

    def is_now(today: date) -> None:
        monkeypatch.setattr(nightly_status, "night_since", lambda *_, **__: today)

    is_now(TODAY)
    return is_now


def test_flips_are_counted_by_day_and_students_are_listed_on_request(good_night, ask):
    good_night([STAYS, ENDS, BEGINS])

    result = ask("forecast", "grand-bend").ok
    assert "by 2026-10-26, according to the rows of the night 2026-10-12" in result.stdout
    assert "2026-10-15 ENROLLED INACTIVE 1" in result.lines
    assert "2026-10-19 PRE-ENROLLED ENROLLED 1" in result.lines
    assert "000012" not in result.stdout

    (student,) = ask("forecast", "grand-bend", "--students", "--days", "3", "--json").json["students"]
    told = {"day": "2026-10-15", "old_status": "ENROLLED", "new_status": "INACTIVE"}
    assert student == {"student_id": 12, "student_number": "000012", **told}


def test_days_to_come_begin_today_however_old_the_night_is(good_night, ask, is_now):
    later = {"EntryWithdrawalID": 4, "StudentID": 14, "StartDate": "2026-08-12", "EndDate": "2026-12-01"}
    good_night([STAYS, ENDS, BEGINS, later])
    is_now(date(2026, 11, 26))

    result = ask("forecast", "grand-bend")
    assert "2 statuses have changed since 2026-10-12, the last published night" in result.stdout
    assert "by 2026-12-10, according to the rows of the night 2026-10-12" in result.stdout
    assert "2026-12-02 ENROLLED INACTIVE 1" in result.lines
    assert "2026-10-15" not in result.stdout
    said = ask("forecast", "grand-bend", "--days", "3", "--json").json
    assert (said["night"], said["until"]) == ("2026-10-12", "2026-11-29")
    assert (said["overdue"], said["flips"]) == (2, [])


def test_a_hold_that_is_overdue_is_foretold_for_the_next_night(good_night, ask, is_now):
    good_night(enrolled(60, EndDate="2026-10-20"))
    is_now(date(2026, 11, 26))
    assert "the night 2026-11-26 will be held: 60 of 60" in ask("forecast", "grand-bend").stdout


def test_without_a_published_night_or_its_landed_rows_it_says_what_to_do(pipeline, district, ask):
    pipeline.add(district([STAYS]))
    result = ask("forecast", "grand-bend")
    assert (result.returncode, result.stdout) == (1, "")
    assert "grand-bend: no night is published yet; next: samegoal-pipelines sync grand-bend" in result.stderr

    assert pipeline.run().published
    shutil.rmtree(Path(pipeline.deployment.landing.root) / "grand-bend")
    assert "the landed rows of 2026-10-12 are gone or damaged" in ask("forecast", "grand-bend").refusal


def test_a_night_that_will_be_held_is_told(pipeline, district, ask, is_now):
    """The year ends for 40 of 60, and 20 graduate; nobody has entered the next year yet."""
    last_day = date(2026, 5, 28)
    entries = enrolled(60, StartDate="2025-08-13", EndDate=last_day.isoformat())
    for senior in entries[40:]:
        senior["WithdrawalCode"] = "01"
    pipeline.add(district(entries, today=last_day))
    assert pipeline.run(today=date(2026, 5, 27)).published
    is_now(date(2026, 5, 27))

    result = ask("forecast", "grand-bend")
    reason = (
        "40 of 60 students (66.7%) last published as ENROLLED or PRE-ENROLLED would be gone or INACTIVE only "
        "because time has passed; the limit is 50%"
    )
    assert f"the night 2026-05-29 will be held: {reason}" in result.stdout
    assert "to do: have next year's enrollments entered in Qmlativ before; if the students" in result.stdout
    said = ask("forecast", "grand-bend", "--json").json["held_from"]
    assert (said["night"], said["students"], said["of"], said["reason"]) == ("2026-05-29", 40, 60, reason)
    nothing = ask("forecast", "grand-bend", "--days", "1").stdout
    assert "no status changes by 2026-05-28" in nothing
    assert "will be held" not in nothing

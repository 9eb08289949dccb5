"""The status of a student: the worked cases, which enrollment decides, and what the status carries."""

import csv
from datetime import date
from pathlib import Path

import pytest

from samegoal_pipelines.tables.vocabulary import STATUSES
from samegoal_pipelines.transforms.status import forecast_statuses
from samegoal_pipelines_tests.transforms.builders import Row, classify, enrollments, entry, read_entries

with (Path(__file__).parent / "status_cases.csv").open(newline="") as file:
    CASES = list(csv.DictReader(file))  # the integration's thirty, and ours
assert len(CASES) >= 36

TODAY = date(2026, 10, 12)
PAST = ("2026-01-07", "2026-05-28")


def statuses(*entries: Row):
    return classify(enrollments(entries, TODAY), TODAY).statuses


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_the_worked_case_gets_its_status(case):
    today = date.fromisoformat(case["today"])
    codes = {text.split("|")[3] for text in case["enrollments"].split(";")} - {""}
    result = classify(enrollments(read_entries(case["enrollments"]), today, codes=codes), today)
    expected = [(case["expected_status"], case["expected_reason"])] if case["expected_status"] else []
    assert list(zip(result.statuses["status"], result.statuses["reason"], strict=True)) == expected
    assert result.uncertain.empty


@pytest.mark.parametrize(
    ("base", "other", "deciding"),
    [
        (PAST, ("2026-01-07", "2026-05-27", True), 100),  # the latest last day, before the default entity
        (PAST, ("2026-01-07", "2026-05-28", True), 1),  # then the default entity
        (PAST, ("2026-01-08", "2026-05-28", False), 1),  # then the latest first day
        (PAST, ("2026-01-06", "2026-05-28", False), 100),
        (PAST, ("2026-01-07", "2026-05-28", False), 100),  # then the highest id
        (["2026-08-12"], ("2026-08-10", "2027-05-28", True), 1),  # current: the default entity first
        (["2026-08-12"], ("2026-08-13", "2027-05-28", False), 1),  # then the latest first day
        (["2026-08-12"], ("2026-08-11", "2027-05-28", False), 100),
        (["2026-08-12"], ("2026-08-12", "2027-05-28", False), 100),  # then the highest id
        (["2027-01-07"], ("2027-02-01", None, True), 1),  # upcoming: the default entity first
        (["2027-01-07"], ("2027-01-06", None, False), 1),  # then the earliest first day
        (["2027-01-07"], ("2027-01-08", None, False), 100),
        (["2027-01-07"], ("2027-01-07", None, False), 100),  # then the highest id
    ],
)
def test_of_several_enrollments_of_a_kind_one_decides(base, other, deciding):
    """Of upcoming ones, also where a past one makes the student ENROLLED."""
    first, last, default = other
    rows = [entry(100, *base, default=False), entry(1, first, last, default=default)]
    assert statuses(*rows)["enrollment_id"].tolist() == [deciding]
    if last is None:
        assert statuses(*rows, entry(50, *PAST))["enrollment_id"].tolist() == [deciding]


def test_each_status_carries_its_deciding_enrollment_and_the_student_s_building():
    row = statuses(entry(7, "2026-01-07", "2026-05-28", "01 ")).iloc[0]
    decision = {"student_id": 1, "status": "GRADUATED", "reason": "graduated", "enrollment_id": 7}
    dates = {"first_day": date(2026, 1, 7), "last_day": date(2026, 5, 28), "withdrawal_code": "01"}
    place = {"entity_id": 5, "building": "Main", "building_reporting_id": "255901001"}
    assert row.to_dict() == {**decision, **dates, "school_year_id": 2026, **place}


def test_a_row_leaves_the_window_a_day_later_after_a_29_february():
    """28 February 2027 is still in on 29 February 2028, which counts from it."""
    today = date(2028, 2, 27)
    raw = enrollments([entry(1, "2026-08-12", "2027-02-28", "82")], today)
    assert forecast_statuses(raw, today, 5) == [(1, date(2028, 3, 1), "INACTIVE", None)]


def test_there_are_four_statuses_and_pre_enrolled_has_a_hyphen():
    """TRANSFERRED, DROPPED_OUT and HISTORICAL_IDLE are not supported."""
    assert STATUSES == ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")

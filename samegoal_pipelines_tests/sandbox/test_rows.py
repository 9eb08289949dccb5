"""Districts of literal rows, as other rooms' tests write them."""

from __future__ import annotations

from datetime import date

import pytest

from samegoal_pipelines_tests.literal_district import literal_district
from samegoal_pipelines_tests.sandbox.caller import ENROLLMENTS

TODAY = date(2026, 10, 5)


def test_what_a_test_leaves_out_is_filled_in():
    district = literal_district(
        {ENROLLMENTS: [{"StudentID": 7, "StartDate": "2025-08-12", "EndDate": date(2026, 5, 1)}]}, today=TODAY
    )
    (row,) = district.rows(ENROLLMENTS)
    assert row["EntryWithdrawalID"] == 1
    assert row["SchoolYearID"] == 26
    assert row["IsDefaultEntity"] is True
    assert row["EndDate"] == date(2026, 5, 1)
    assert [student["StudentID"] for student in district.rows("Student/Student")] == [7]
    assert district.rows("Demographics/Name")[0]["IsStudentName"] is True


def test_rows_that_are_given_are_left_as_they_are():
    district = literal_district(
        {
            ENROLLMENTS: [{"StudentID": None, "StartDate": None, "SchoolYearID": None}],
            "Student/Student": [],
            "District/SchoolYear": [],
        },
        today=TODAY,
    )
    (row,) = district.rows(ENROLLMENTS)
    assert (row["StudentID"], row["StartDate"], row["SchoolYearID"]) == (None, None, None)
    assert district.rows("Student/Student") == []
    assert district.current_year_id() is None


def test_a_withdrawal_code_may_be_given_by_its_text():
    rows = [{"StudentID": n, "StartDate": f"{2023 + n}-08-12", "WithdrawalCode": " cecs"} for n in (1, 2)]
    district = literal_district({ENROLLMENTS: rows}, today=TODAY)
    codes = {row["WithdrawalCodeID"]: row for row in district.rows("Enrollment/WithdrawalCode")}
    used = [codes[row["WithdrawalCodeID"]] for row in district.rows(ENROLLMENTS)]
    assert [(code["Code"], code["SchoolYearID"]) for code in used] == [(" cecs", 25), (" cecs", 26)]


def test_unknown_names_and_keys_are_mistakes():
    with pytest.raises(KeyError, match="Nothing"):
        literal_district({"Nothing/Here": []}, today=TODAY)
    with pytest.raises(KeyError, match="Begin"):
        literal_district({ENROLLMENTS: [{"Begin": 1}]}, today=TODAY)
    district = literal_district({}, today=TODAY)
    with pytest.raises(KeyError, match="404"):
        district.edit("Student/Student", 404, Grade="01")


def test_odd_values_survive_further_edits():
    district = literal_district({ENROLLMENTS: [{"StudentID": 1}, {"StudentID": 2}]}, today=TODAY)
    district.edit(ENROLLMENTS, 1, StartDate="never")
    district.edit(ENROLLMENTS, 1, EndDate="2026-09-01")
    district.edit(ENROLLMENTS, 2, EndDate=3)
    first, second = district.rows(ENROLLMENTS)
    assert (first["StartDate"], first["EndDate"]) == ("never", date(2026, 9, 1))
    assert second["EndDate"] == 3
    district.edit(ENROLLMENTS, 1, StartDate="2026-08-12")
    assert district.rows(ENROLLMENTS)[0]["StartDate"] == date(2026, 8, 12)

"""Which enrollments count: the import window, rows that never count, and rows that are quarantined."""

import json
from collections.abc import Iterable
from datetime import date

import pytest

from samegoal_pipelines.transforms.enrollments import (
    FilteredEnrollments,
    count_outcomes,
    filter_enrollments,
    window_start,
)
from samegoal_pipelines.transforms.status import StudentStatuses, classify_students
from samegoal_pipelines_tests.transforms.builders import Row, code_id, enrollments, entry, school_years

TODAY = date(2026, 10, 12)


def run(*entries: Row, today: date = TODAY, **objects: Iterable[Row]) -> FilteredEnrollments:
    return filter_enrollments(enrollments(entries, today, **objects), today)


def statuses(*entries: Row, today: date = TODAY, **objects: Iterable[Row]) -> StudentStatuses:
    filtered = run(*entries, today=today, **objects)
    return classify_students(filtered.enrollments, filtered.excluded, today)


def counted(*entries: Row, **more) -> list[int]:
    return list(run(*entries, **more).enrollments["enrollment_id"])


def fates(*entries: Row, **more) -> dict[int, tuple[str, str]]:
    excluded = run(*entries, **more).excluded
    return dict(
        zip(excluded["enrollment_id"], zip(excluded["outcome"], excluded["reason"], strict=True), strict=True)
    )


# Section 1: the import window


def test_an_enrollment_that_ended_within_the_past_year_counts_and_the_boundary_day_is_in():
    """Section 1: its last day is not before the same calendar day a year ago; the boundary day is in."""
    assert counted(entry(1, "2025-08-13", "2025-10-12")) == [1]
    assert fates(entry(1, "2025-08-13", "2025-10-11")) == {1: ("excluded", "outside_window")}


@pytest.mark.parametrize(
    ("today", "start"),
    [
        ("2026-10-12", "2025-10-12"),
        ("2028-02-29", "2027-02-28"),
        ("2029-02-28", "2028-02-28"),
        ("2028-03-01", "2027-03-01"),
    ],
)
def test_29_february_counts_from_28_february(today, start):
    """Section 1: on a leap day the window starts on 28 February of the year before."""
    assert window_start(date.fromisoformat(today)) == date.fromisoformat(start)


def test_an_enrollment_whose_end_is_already_known_counts_in_whatever_year_it_lies():
    """Section 1: enrollments whose end is already known are imported, of old school years too."""
    assert counted(entry(1, "2026-08-12", "2027-05-28"), entry(2, "2024-08-14", "2026-12-18")) == [1, 2]


def test_an_open_enrollment_of_the_current_year_counts():
    """Section 1: or it has no last day and belongs to the current school year."""
    assert counted(entry(1, "2026-08-12")) == [1]


def test_an_open_enrollment_of_an_upcoming_year_counts():
    """Section 1: a year flagged as upcoming counts as well, so nobody turns inactive over the summer."""
    assert counted(entry(1, "2027-08-12")) == [1]
    result = statuses(entry(1, "2025-08-13", "2026-05-28"), entry(2, "2026-08-12"), today=date(2026, 6, 30))
    assert list(result.statuses["status"]) == ["ENROLLED"]


def test_an_open_enrollment_of_a_later_year_that_is_not_flagged_is_not_imported():
    """Section 1: neither the current school year nor one that Qmlativ flags as upcoming."""
    assert counted(entry(1, "2028-08-12")) == []


def test_an_open_enrollment_of_an_old_year_was_never_closed_and_is_reported_as_that():
    """Section 1: an enrollment of an old year that was never closed is not imported; it is counted."""
    filtered = run(entry(1, "2025-08-13"))
    assert list(filtered.excluded["reason"]) == ["never_closed"]
    assert count_outcomes(filtered)["never_closed"] == 1


def test_the_current_year_is_the_one_that_is_flagged_and_not_the_one_of_the_calendar():
    years = [
        year | {"IsCurrentYearForProvidedEntity": year["SchoolYearID"] == 2026}
        for year in school_years(TODAY)
    ]
    assert counted(entry(1, "2025-08-13"), SchoolYear=years) == [1]


def test_without_a_current_year_no_open_enrollment_is_taken_for_forgotten():
    """A district without a current year must not see all its students inactive."""
    years = [year | {"IsCurrentYearForProvidedEntity": None} for year in school_years(TODAY)]
    with pytest.raises(ValueError, match="no year is flagged as current"):
        run(entry(1, "2026-08-12"), SchoolYear=years)
    assert run(SchoolYear=[]).enrollments.empty


def test_the_last_day_is_the_day_before_the_withdrawal_date_where_there_is_no_end_date():
    """In Texas a student is not in membership on the withdrawal date."""
    filtered = run(
        entry(1, "2026-08-12", WithdrawalDate=date(2026, 10, 1)),
        entry(2, "2026-08-12", "2026-09-15", WithdrawalDate=date(2026, 10, 1)),
        entry(3, "2026-08-12"),
    )
    assert list(filtered.enrollments["last_day"].dropna()) == [date(2026, 9, 30), date(2026, 9, 15)]


# Section 2: rows that never count


@pytest.mark.parametrize("code", ["CECS", " cecs ", "Cecs"])
@pytest.mark.parametrize("last", [None, "2020-05-28", "2026-10-20", "2026-08-01"])
def test_a_cross_entity_course_enrollment_never_counts_whatever_its_dates(code, last):
    """Section 2: code CECS, trimmed and without regard to case; whatever the dates."""
    assert fates(entry(1, "2026-08-12", last, code)) == {1: ("excluded", "cecs")}


def test_a_cross_entity_course_enrollment_is_excluded_though_other_fields_are_missing_or_unreadable():
    rows = [
        entry(1, None, code="CECS", student=None),
        entry(2, None, code="CECS", Unreadable=json.dumps({"StartDate": "31 February"})),
    ]
    assert {reason for _, reason in fates(*rows).values()} == {"cecs"}


def test_a_student_with_nothing_but_cross_entity_courses_gets_no_row_and_is_counted():
    """Section 2: a student with no other enrollment gets no row, and is reported as CECS only."""
    rows = [
        entry(1, "2026-08-12", code="CECS", student=1),
        entry(2, "2026-08-12", code="CECS", student=1),
        entry(3, "2026-08-12", code="CECS", student=2),
        entry(4, "2026-08-12", student=2),
        entry(5, "2026-08-12", code="CECS", student=3),
        entry(6, "2019-08-12", "2020-05-28", student=3),
    ]
    assert count_outcomes(run(*rows))["cecs_only_students"] == 1
    assert list(statuses(*rows).statuses["student_id"]) == [2]


def test_a_row_flagged_as_cross_entity_course_without_the_code_counts_and_is_reported():
    """Section 2: the documentation names the code and not Qmlativ's flag."""
    filtered = run(
        entry(1, "2026-08-12", IsCrossEntityCourseEnrollment=True),
        entry(2, "2026-08-12", code="82", IsCrossEntityCourseEnrollment=True),
        entry(3, "2026-08-12", IsCrossEntityCourseEnrollment=False),
        entry(4, "2026-08-12", IsCrossEntityCourseEnrollment=None),
    )
    assert list(filtered.enrollments["enrollment_id"]) == [1, 2, 3, 4]
    assert count_outcomes(filtered)["flagged_without_code"] == 2


def test_an_enrollment_that_ends_before_it_begins_was_never_effective_and_makes_nobody_uncertain():
    """Section 2: quarantined as never effective; the one quarantined reason that leaves nothing in doubt."""
    assert fates(entry(1, "2026-08-12", "2026-08-11")) == {1: ("quarantined", "never_effective")}
    assert statuses(entry(1, "2026-08-12", "2026-08-11")).uncertain.empty
    assert counted(entry(1, "2026-08-12", "2026-08-12")) == [1]


UNRELIABLE = {
    "no_start_date": [entry(1, None)],
    "unreadable": [entry(1, "2026-08-12", Unreadable=json.dumps({"EndDate": "31 February"}))],
    "unknown_withdrawal_code": [entry(1, "2026-08-12", "2026-09-30", WithdrawalCodeID=123)],
    "conflicting_duplicate": [entry(1, "2026-08-12"), entry(1, "2026-08-13")],
    "no_school_year": [entry(1, "2026-08-12", year=1999)],
}


@pytest.mark.parametrize("reason", UNRELIABLE)
def test_a_row_that_cannot_be_relied_on_is_quarantined_and_makes_its_student_uncertain(reason):
    """Section 2: quarantined with its reason, counted; the student is never inactive by accident."""
    rows = UNRELIABLE[reason]
    filtered = run(*rows)
    assert set(zip(filtered.excluded["outcome"], filtered.excluded["reason"], strict=True)) == {
        ("quarantined", reason)
    }
    assert count_outcomes(filtered)[reason] == len(rows)
    result = statuses(*rows, entry(9, "2025-08-13", "2026-05-28"))
    assert result.statuses.empty
    assert result.uncertain.to_dict("list") == {"student_id": [1], "reasons": [reason]}


def test_a_row_without_a_student_is_quarantined_and_makes_nobody_uncertain():
    """Section 2: no student."""
    assert fates(entry(1, "2026-08-12", student=None)) == {1: ("quarantined", "no_student")}
    assert statuses(entry(1, "2026-08-12", student=None)).uncertain.empty


@pytest.mark.parametrize(
    "field", ["StudentID", "EndDate", "WithdrawalDate", "WithdrawalCodeID", "IsDefaultEntity"]
)
def test_a_row_with_a_value_of_the_wrong_type_is_quarantined(field):
    """Section 2: a date that is no date; and any other field that is not what it should be."""
    row = entry(1, "2026-08-12") | {field: None, "Unreadable": json.dumps({field: "?"})}
    assert fates(row) == {1: ("quarantined", "unreadable")}


def test_a_row_whose_last_day_is_readable_and_outside_the_window_is_not_imported_whatever_else_is_wrong():
    rows = [
        entry(1, None, "2020-05-28", student=None),
        entry(2, None, "2020-05-28", Unreadable=json.dumps({"StartDate": "?"})),
        entry(3, "2019-08-12", "2020-05-28", WithdrawalCodeID=123),
    ]
    assert {reason for _, reason in fates(*rows).values()} == {"outside_window"}


def test_a_row_whose_end_is_unreadable_is_not_taken_for_open():
    old = entry(1, "2024-08-14", Unreadable=json.dumps({"EndDate": "31 February"}))
    assert fates(old) == {1: ("quarantined", "unreadable")}
    guessed = entry(
        2, "2024-08-14", WithdrawalDate=date(2025, 1, 7), Unreadable=json.dumps({"EndDate": "31 February"})
    )
    assert fates(guessed) == {2: ("quarantined", "unreadable")}


@pytest.mark.parametrize("code", [None, "", "  "])
def test_a_withdrawal_code_id_without_a_code_is_unknown_because_it_might_be_cecs(code):
    """Section 2: a withdrawal code id that no code list knows."""
    listed = [{"WithdrawalCodeID": code_id("82", 2027), "Code": code}]
    assert fates(entry(1, "2026-08-12", "2026-09-30", "82"), WithdrawalCode=listed) == {
        1: ("quarantined", "unknown_withdrawal_code")
    }


def test_a_withdrawal_code_id_with_two_codes_is_unknown_and_with_the_same_code_twice_is_not():
    same = [{"WithdrawalCodeID": code_id("82", 2027), "Code": code} for code in ("82", " 82")]
    other = [{"WithdrawalCodeID": code_id("82", 2027), "Code": code} for code in ("82", "CECS", "82")]
    row = entry(1, "2026-08-12", "2026-09-30", "82")
    assert counted(row, WithdrawalCode=same) == [1]
    assert fates(row, WithdrawalCode=other) == {1: ("quarantined", "unknown_withdrawal_code")}


def test_the_same_row_twice_is_one_row():
    """Section 2: the same row twice is one row; what is dropped is counted."""
    row = entry(1, "2026-08-12", code=None)
    filtered = run(row, entry(2, "2026-08-13"), row, row)
    assert list(filtered.enrollments["enrollment_id"]) == [1, 2]
    assert filtered.repeated == 2


def test_an_enrollment_id_that_comes_with_different_content_is_quarantined_in_all_its_rows():
    """Section 2: an id that comes twice with different content, both; repeats of either collapse."""
    one, other = entry(1, "2026-08-12", student=1), entry(1, "2026-08-12", student=2)
    result = statuses(one, other, one, entry(2, "2026-08-12", student=3))
    assert list(result.statuses["student_id"]) == [3]
    assert list(result.uncertain["student_id"]) == [1, 2]
    assert run(one, other, one).repeated == 1


def test_a_sound_current_enrollment_makes_certain_and_nothing_else_does():
    """Section 2: uncertain unless a sound row makes the student currently enrolled."""
    doubtful = entry(1, None)
    assert list(statuses(doubtful, entry(2, "2026-08-12")).statuses["reason"]) == ["current_enrollment"]
    assert statuses(doubtful, entry(2, "2026-08-12")).uncertain.empty
    between = [entry(2, "2025-08-13", "2026-05-28"), entry(3, "2027-01-07")]
    assert statuses(doubtful, *between).statuses.empty
    assert list(statuses(doubtful, *between).uncertain["student_id"]) == [1]


def test_an_uncertain_student_comes_with_all_reasons():
    rows = [entry(1, None), entry(2, "2026-08-12", year=1999), entry(3, None)]
    assert list(statuses(*rows).uncertain["reasons"]) == ["no_start_date,no_school_year"]


def test_nothing_is_dropped_in_silence():
    """Section 2: quarantined means landed with its reason."""
    rows = [row for rows in UNRELIABLE.values() for row in rows]
    rows = [row | {"EntryWithdrawalID": row["EntryWithdrawalID"] + 10 * n} for n, row in enumerate(rows)]
    filtered = run(*rows, rows[0])
    assert len(filtered.enrollments) + len(filtered.excluded) + filtered.repeated == len(rows) + 1
    assert sum(count_outcomes(filtered)[reason] for reason in ("counted", *UNRELIABLE)) == len(rows)


# What is carried along


def test_the_building_is_the_school_of_that_year_else_the_latest_known_one():
    schools = [
        {"SchoolID": 5, "SchoolYearID": 2026, "Name": "Old", "StateAssignedID": "001"},
        {"SchoolID": 5, "SchoolYearID": 2027, "Name": "New", "StateAssignedID": "002"},
        {"SchoolID": 5, "SchoolYearID": 2027, "Name": "New", "StateAssignedID": "002"},
    ]
    rows = [
        entry(1, "2026-01-07", "2026-05-28"),
        entry(2, "2026-08-12"),
        entry(3, "2027-08-12"),
        entry(4, "2026-08-12", SchoolID=6),
        entry(5, "2026-08-12", SchoolID=None),
    ]
    found = run(*rows, School=schools).enrollments
    assert none(found["building"]) == ["Old", "New", "New", None, None]
    assert none(found["building_reporting_id"]) == ["001", "002", "002", None, None]


def none(column) -> list:
    return column.astype(object).where(column.notna(), None).tolist()


def test_however_many_codes_there_are_each_enrollment_keeps_its_own():
    """More codes than a byte can number: no leaver takes another's code, and no CECS row loses its own."""
    codes = [*(f"{number:03}" for number in range(300)), "CECS"]
    rows = [entry(n, "2026-08-12", "2026-09-30", code) for n, code in enumerate(codes, start=1)]
    filtered = run(*rows, codes=codes)
    assert none(filtered.enrollments["withdrawal_code"]) == codes[:-1]
    assert none(filtered.excluded["withdrawal_code"]) == ["CECS"]
    assert fates(*rows, codes=codes) == {len(codes): ("excluded", "cecs")}


def test_nul_is_dropped_from_codes_and_school_names_because_postgres_cannot_store_it():
    row = entry(1, "2026-08-12", "2026-09-30", "82")
    listed = [{"WithdrawalCodeID": row["WithdrawalCodeID"], "Code": "8\x002"}]
    school = {"SchoolID": 5, "SchoolYearID": 2027, "Name": "Ma\x00in", "StateAssignedID": "2559\x0001"}
    found = run(row, WithdrawalCode=listed, School=[school]).enrollments
    columns = ("withdrawal_code", "building", "building_reporting_id")
    assert [found[column][0] for column in columns] == ["82", "Main", "255901"]


def test_enrollments_without_a_readable_id_are_no_duplicates_of_each_other():
    """Each is unreadable for itself: neither says anything about the other."""
    unreadable = {"EntryWithdrawalID": None, "Unreadable": json.dumps({"EntryWithdrawalID": "?"})}
    rows = [entry(0, "2026-08-12", student=student) | unreadable for student in (1, 2)]
    filtered = run(*rows)
    assert list(filtered.excluded["reason"]) == ["unreadable", "unreadable"]
    assert filtered.repeated == 0
    assert dict(statuses(*rows).uncertain.values.tolist()) == {1: "unreadable", 2: "unreadable"}


def test_codes_are_trimmed_text_and_no_code_is_null():
    rows = [entry(1, "2026-08-12", code="01 "), entry(2, "2026-08-12", code="1"), entry(3, "2026-08-12")]
    assert none(run(*rows).enrollments["withdrawal_code"]) == ["01", "1", None]


def test_an_unanswered_default_entity_counts_as_false_and_an_unanswered_flag_stays_unanswered():
    found = run(entry(1, "2026-08-12", default=None)).enrollments
    assert list(found["is_default_entity"]) == [False]
    assert none(found["is_cross_entity_course"]) == [None]


PLACEHOLDERS = ["0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_for_no_date_is_no_date(placeholder):
    """Section 1: such an enrollment is open; where the other date is real, that one counts."""
    no_date = date.fromisoformat(placeholder)
    rows = [
        entry(1, "2026-08-12", placeholder),
        entry(2, "2026-08-12", WithdrawalDate=no_date),
        entry(3, "2026-08-12", placeholder, WithdrawalDate=no_date),
        entry(4, "2026-08-12", placeholder, WithdrawalDate=date(2026, 10, 1)),
        entry(5, "2026-08-12", "2026-09-15", WithdrawalDate=no_date),
        entry(6, "2026-08-12"),
    ]
    filtered = run(*rows)
    ends = [None, None, None, date(2026, 9, 30), date(2026, 9, 15), None]
    assert none(filtered.enrollments["last_day"]) == ends
    assert count_outcomes(filtered)["placeholder_dates"] == 5
    assert list(statuses(rows[0]).statuses["reason"]) == ["current_enrollment"]
    assert fates(entry(1, "2024-08-14", placeholder)) == {1: ("excluded", "never_closed")}


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_for_the_first_day_is_no_start_date(placeholder):
    row = entry(1, placeholder, year=2027)
    assert fates(row) == {1: ("quarantined", "no_start_date")}
    assert list(statuses(row).uncertain["student_id"]) == [1]


def test_the_days_beside_a_placeholder_are_days():
    rows = [entry(1, "0001-01-02", "9999-12-30"), entry(2, "1900-01-02", WithdrawalDate=date(1, 1, 2))]
    filtered = run(*rows)
    found = [*filtered.enrollments["last_day"], *filtered.excluded["last_day"]]
    assert sorted(found) == [date(1, 1, 1), date(9999, 12, 30)]
    assert filtered.placeholder_dates == 0


def test_ids_beyond_what_a_float_can_hold_stay_what_they_are():
    huge = 2**53 + 1
    found = run(
        entry(huge, "2026-08-12", student=huge), entry(huge + 1, "2026-08-12", student=huge + 1)
    ).enrollments
    assert list(found["enrollment_id"]) == [huge, huge + 1]
    assert list(found["student_id"]) == [huge, huge + 1]


def test_a_district_without_enrollments_has_none():
    filtered = run()
    assert filtered.enrollments.empty
    assert filtered.excluded.empty
    assert filtered.repeated == 0
    assert set(count_outcomes(filtered).values()) == {0}

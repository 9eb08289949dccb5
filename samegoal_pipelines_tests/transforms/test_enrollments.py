"""Which enrollments count: the import window, rows that never count, and rows that are quarantined."""

import json
from collections.abc import Iterable
from datetime import date, timedelta

import pytest

from samegoal_pipelines.tables.vocabulary import QUARANTINED, UNCERTAIN
from samegoal_pipelines.transforms.enrollments import (
    FilteredEnrollments,
    contradicts_inclusive_reading,
    count_outcomes,
    observe_end_dates,
    window_start,
)
from samegoal_pipelines_tests.transforms.builders import (
    Classified,
    Row,
    classify,
    code_id,
    enrollments,
    entry,
    school_years,
)

TODAY = date(2026, 10, 12)


def classified(*entries: Row, today: date = TODAY, **objects: Iterable[Row]) -> Classified:
    return classify(enrollments(entries, today, **objects), today)


def run(*entries: Row, **more) -> FilteredEnrollments:
    return classified(*entries, **more).filtered


def reasons(*entries: Row, **more) -> dict[int | None, str]:
    """Enrollment → why it does not count."""
    excluded = run(*entries, **more).excluded
    return dict(zip(none(excluded["enrollment_id"]), excluded["reason"], strict=True))


def none(column) -> list:
    return column.astype(object).where(column.notna(), None).tolist()


def unreadable(*fields: str) -> str:
    return json.dumps(dict.fromkeys(fields, "?"))


PLACEHOLDERS = ["0001-01-01", "1753-01-01", "1900-01-01", "9999-12-31"]
END = "2026-09-30"
ROWS: dict[str, dict[str, Row]] = {
    "counted": {
        "it ended on the first day of the window": entry(1, "2025-08-13", "2025-10-12"),
        "its end is known already": entry(1, "2026-08-12", "2027-05-28"),
        "its end is known already, in an old year": entry(1, "2024-08-14", "2026-12-18"),
        "it is open in the current year": entry(1, "2026-08-12"),
        "it is open in the upcoming year": entry(1, "2027-08-12"),
        "it is one day": entry(1, "2026-08-12", "2026-08-12"),
    },
    "outside_window": {
        "it ended the day before": entry(1, "2025-08-13", "2025-10-11"),
        "without student": entry(1, None, "2020-05-28", student=None),
        "with an unknown code": entry(1, "2019-08-12", "2020-05-28", WithdrawalCodeID=123),
        "the first day is unreadable": entry(1, None, "2020-05-28", Unreadable=unreadable("StartDate")),
    },
    "never_closed": {
        "it is open in a year that is not upcoming yet": entry(1, "2028-08-12"),
        "it is open in an old year": entry(1, "2025-08-13"),
        **{f"its last day is the placeholder {day}": entry(1, "2024-08-14", day) for day in PLACEHOLDERS},
    },
    "no_school_year": {"it is open in an unknown year": entry(1, "2026-08-12", year=1999)},
    "never_effective": {"it ends before it begins": entry(1, "2026-08-12", "2026-08-11")},
    "no_start_date": {
        "it has no first day": entry(1, None),
        **{f"its first day is the placeholder {day}": entry(1, day, year=2027) for day in PLACEHOLDERS},
    },
    "no_student": {"it has no student": entry(1, "2026-08-12", student=None)},
    "unknown_withdrawal_code": {
        "no list knows its code": entry(1, "2026-08-12", END, WithdrawalCodeID=123),
    },
    "unreadable": {
        "its end is, so it may not be open": entry(1, "2024-08-14", Unreadable=unreadable("EndDate")),
        "its end is, and the withdrawal date is a guess": entry(
            1, "2024-08-14", WithdrawalDate=date(2025, 1, 7), Unreadable=unreadable("EndDate")
        ),
        **{
            field: entry(1, "2026-08-12") | {field: None, "Unreadable": unreadable(field)}
            for field in ("StudentID", "EndDate", "WithdrawalDate", "WithdrawalCodeID", "IsDefaultEntity")
        },
    },
    "cecs": {
        **{
            f"the code {code!r} and the last day {last}": entry(1, "2026-08-12", last, code)
            for code in ("CECS", " cecs ", "Cecs")
            for last in (None, "2020-05-28", "2026-10-20", "2026-08-01")
        },
        "without first day and student": entry(1, None, code="CECS", student=None),
        "an unreadable first day": entry(1, None, code="CECS", Unreadable=unreadable("StartDate")),
    },
}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(row, reason, id=f"{reason}: {why}")
        for reason, rows in ROWS.items()
        for why, row in rows.items()
    ],
)
def test_each_enrollment_counts_or_not_for_one_reason(row, reason):
    """It is counted under that reason, and a reason that leaves doubt makes its student uncertain."""
    found = classified(row, entry(9, "2025-08-13", "2026-05-28"))
    assert count_outcomes(found.filtered)[reason] == 1 + (reason == "counted")
    outcomes = found.filtered.excluded[["outcome", "reason"]].values.tolist()
    outcome = "quarantined" if reason in QUARANTINED else "excluded"
    assert outcomes == ([] if reason == "counted" else [[outcome, reason]])
    doubt = reason in UNCERTAIN and row["StudentID"] is not None
    assert found.uncertain.values.tolist() == ([[1, reason]] if doubt else [])


@pytest.mark.parametrize(
    ("today", "start"),
    [
        *(("2026-10-12", "2025-10-12"), ("2028-02-29", "2027-02-28")),
        *(("2029-02-28", "2028-02-28"), ("2028-03-01", "2027-03-01")),
    ],
)
def test_29_february_counts_from_28_february(today, start):
    assert window_start(date.fromisoformat(today)) == date.fromisoformat(start)


def test_the_current_year_is_the_one_that_is_flagged_and_not_the_one_of_the_calendar():
    years = [
        year | {"IsCurrentYearForProvidedEntity": year["SchoolYearID"] == 2026}
        for year in school_years(TODAY)
    ]
    assert reasons(entry(1, "2025-08-13"), SchoolYear=years) == {}


def test_without_a_current_year_no_open_enrollment_is_taken_for_forgotten():
    """A district without a current year must not see all its students inactive."""
    years = [year | {"IsCurrentYearForProvidedEntity": None} for year in school_years(TODAY)]
    with pytest.raises(ValueError, match="no year is flagged as current"):
        run(entry(1, "2026-08-12"), SchoolYear=years)
    assert set(count_outcomes(run(SchoolYear=[])).values()) == {0}


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_the_last_day_is_the_end_date_or_else_the_day_before_the_withdrawal_date(placeholder):
    """In Texas a student is not in membership on the withdrawal date. A placeholder is no date."""
    no_date = date.fromisoformat(placeholder)
    filtered = run(
        entry(1, "2026-08-12"),
        entry(2, "2026-08-12", WithdrawalDate=date(2026, 10, 1)),
        entry(3, "2026-08-12", "2026-09-15", WithdrawalDate=date(2026, 10, 1)),
        entry(4, "2026-08-12", no_date),
        entry(5, "2026-08-12", WithdrawalDate=no_date),
        entry(6, "2026-08-12", no_date, WithdrawalDate=no_date),
        entry(7, "2026-08-12", no_date, WithdrawalDate=date(2026, 10, 1)),
        entry(8, "2026-08-12", "2026-09-15", WithdrawalDate=no_date),
    )
    before, end = date(2026, 9, 30), date(2026, 9, 15)
    assert none(filtered.enrollments["last_day"]) == [None, before, end, None, None, None, before, end]
    assert count_outcomes(filtered)["placeholder_dates"] == 5


def test_the_days_beside_a_placeholder_are_days():
    filtered = run(entry(1, "0001-01-02", "9999-12-30"), entry(2, "1900-01-02", WithdrawalDate=date(1, 1, 2)))
    assert list(filtered.enrollments["last_day"]) == [date(9999, 12, 30)]
    assert list(filtered.excluded["last_day"]) == [date(1, 1, 1)]
    assert filtered.placeholder_dates == 0


def test_a_student_with_nothing_but_cross_entity_courses_gets_no_row_and_is_counted():
    courses = [entry(n, "2026-08-12", code="CECS", student=s) for n, s in enumerate((1, 1, 2, 3))]
    others = [entry(4, "2026-08-12", student=2), entry(5, "2019-08-12", "2020-05-28", student=3)]
    found = classified(*courses, *others)
    assert count_outcomes(found.filtered)["cecs_only_students"] == 1
    assert list(found.statuses["student_id"]) == [2]


def test_a_row_flagged_as_cross_entity_course_without_the_code_counts_and_is_reported():
    """The documentation names the code and not Qmlativ's flag. A flag that is not answered stays so."""
    flags = [True, False, None]
    filtered = run(
        *(entry(n, "2026-08-12", IsCrossEntityCourseEnrollment=flag) for n, flag in enumerate(flags))
    )
    assert none(filtered.enrollments["is_cross_entity_course"]) == flags
    assert count_outcomes(filtered)["flagged_without_code"] == 1


@pytest.mark.parametrize("codes", [(None,), ("",), ("  ",), ("82", "CECS", "82"), ("82", " "), ("82", " 82")])
def test_a_withdrawal_code_id_without_a_code_is_unknown_because_it_might_be_cecs(codes):
    """So is one with two codes; the same code twice is one."""
    listed = [{"WithdrawalCodeID": code_id("82", 2027), "Code": code} for code in codes]
    found = reasons(entry(1, "2026-08-12", END, "82"), WithdrawalCode=listed)
    assert found == ({} if codes == ("82", " 82") else {1: "unknown_withdrawal_code"})


def test_the_same_row_twice_is_one_row():
    row = entry(1, "2026-08-12", code=None)
    filtered = run(row, entry(2, "2026-08-13"), row, row)
    assert list(filtered.enrollments["enrollment_id"]) == [1, 2]
    assert filtered.repeated == 2


def test_an_enrollment_id_that_comes_with_different_content_is_quarantined_in_all_its_rows():
    """Repeats of either collapse."""
    one, other = entry(1, "2026-08-12", student=1), entry(1, "2026-08-12", student=2)
    found = classified(one, other, one, entry(2, "2026-08-12", student=3))
    assert list(found.statuses["student_id"]) == [3]
    assert found.uncertain.values.tolist() == [[n, "conflicting_duplicate"] for n in (1, 2)]
    assert found.filtered.repeated == 1


def test_enrollments_without_a_readable_id_are_no_duplicates_of_each_other():
    nameless = {"EntryWithdrawalID": None, "Unreadable": unreadable("EntryWithdrawalID")}
    found = classified(*(entry(0, "2026-08-12", student=student) | nameless for student in (1, 2)))
    assert found.filtered.repeated == 0
    assert found.uncertain.values.tolist() == [[1, "unreadable"], [2, "unreadable"]]


def test_a_sound_current_enrollment_makes_certain_and_nothing_else_does():
    """An uncertain student comes with all reasons."""
    doubtful = [entry(1, None), entry(2, "2026-08-12", year=1999), entry(3, None)]
    sound = classified(*doubtful, entry(4, "2026-08-12"))
    assert (list(sound.statuses["reason"]), len(sound.uncertain)) == (["current_enrollment"], 0)
    between = classified(*doubtful, entry(4, "2025-08-13", "2026-05-28"), entry(5, "2027-01-07"))
    assert between.statuses.empty
    assert between.uncertain.values.tolist() == [[1, "no_start_date,no_school_year"]]


# Whether EndDate is the last day enrolled


def observed(*dates: tuple[date | None, date | None]) -> dict[int, int]:
    """What enrollments with these pairs of EndDate and WithdrawalDate show."""
    rows = [entry(n, "2026-08-12", end, WithdrawalDate=left) for n, (end, left) in enumerate(dates)]
    return observe_end_dates(enrollments(rows, TODAY))


@pytest.mark.parametrize(
    ("differences", "contradicts"),
    [
        ([1] * 30, False),  # the day after, as the rules assume
        ([0] * 12 + [1] * 8, True),  # the same day in most rows
        ([0] * 19, False),  # too few rows
        ([0] * 11 + [1] * 9, False),  # too few of them
        ([3] * 40, False),  # neither reading
        ([], False),
    ],
)
def test_the_same_day_in_most_of_enough_rows_contradicts_the_reading(differences, contradicts):
    seen = observed(*((TODAY, TODAY + timedelta(days=days)) for days in differences))
    assert contradicts_inclusive_reading(seen) == contradicts
    assert seen == {days: differences.count(days) for days in differences}


def test_rows_without_both_dates_tell_nothing_and_the_most_common_differences_come_first():
    """A placeholder is no date."""
    placeholders = [(date.fromisoformat(day), date.fromisoformat(day)) for day in PLACEHOLDERS]
    widest = (date(1, 1, 2), date(9999, 12, 30))
    pairs = [widest] * 5 + [(TODAY, TODAY + timedelta(days=n)) for n in (5, 5, 5, 1, 1, 1, 1, 0, 0, 20)]
    seen = observed(*placeholders, (TODAY, None), (None, TODAY), *pairs)
    assert list(seen.items()) == [((widest[1] - widest[0]).days, 5), (1, 4), (5, 3), (0, 2), (20, 1)]


# What is carried along


def test_the_building_is_the_school_of_that_year_else_the_latest_known_one():
    new = {"SchoolID": 5, "SchoolYearID": 2027, "Name": "New", "StateAssignedID": "002"}
    old = {"SchoolID": 5, "SchoolYearID": 2026, "Name": "Old", "StateAssignedID": "001"}
    rows = [entry(1, "2026-01-07", "2026-05-28"), entry(2, "2026-08-12"), entry(3, "2027-08-12")]
    unknown = [entry(4 + n, "2026-08-12", SchoolID=school) for n, school in enumerate((6, None))]
    found = run(*rows, *unknown, School=[old, new, new]).enrollments
    assert none(found["building"]) == ["Old", "New", "New", None, None]
    assert none(found["building_reporting_id"]) == ["001", "002", "002", None, None]


def test_however_many_codes_there_are_each_enrollment_keeps_its_own():
    """More codes than a byte can number: no leaver takes another's code, and no CECS row loses its own."""
    codes = [*(f"{number:03}" for number in range(300)), "CECS"]
    rows = [entry(n, "2026-08-12", "2026-09-30", code) for n, code in enumerate(codes, start=1)]
    filtered = run(*rows, codes=codes)
    assert none(filtered.enrollments["withdrawal_code"]) == codes[:-1]
    assert none(filtered.excluded["withdrawal_code"]) == ["CECS"]


def test_nul_is_dropped_from_codes_and_school_names_because_postgres_cannot_store_it():
    row = entry(1, "2026-08-12", "2026-09-30", "82")
    listed = [{"WithdrawalCodeID": row["WithdrawalCodeID"], "Code": "8\x002"}]
    school = {"SchoolID": 5, "SchoolYearID": 2027, "Name": "Ma\x00in", "StateAssignedID": "2559\x0001"}
    found = run(row, WithdrawalCode=listed, School=[school]).enrollments
    columns = ("withdrawal_code", "building", "building_reporting_id")
    assert [found[column][0] for column in columns] == ["82", "Main", "255901"]


def test_codes_are_trimmed_text_and_no_code_is_null():
    rows = [entry(1, "2026-08-12", code="01 "), entry(2, "2026-08-12", code="1"), entry(3, "2026-08-12")]
    assert none(run(*rows).enrollments["withdrawal_code"]) == ["01", "1", None]

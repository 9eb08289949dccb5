"""Students who left an older school year (one before the previous) within the past year."""

from datetime import date

import pytest

from samegoal_pipelines_tests.defs.test_withholding_nights import notes

TODAY = date(2026, 6, 11)
ENTRIES = [
    {"StudentID": 11, "StartDate": "2024-08-14", "EndDate": "2025-06-18", "WithdrawalCode": "82"},
    {"StudentID": 12, "StartDate": "2024-08-14", "EndDate": "2026-06-05", "WithdrawalCode": "01"},
    {"StudentID": 13, "StartDate": "2023-08-16"},
    {"StudentID": 14, "StartDate": "2024-08-14", "EndDate": "2025-06-10", "WithdrawalCode": "82"},
    {"StudentID": 15, "StartDate": "2026-08-12"},
]


@pytest.fixture
def switched_early(pipeline, district):
    """On June 11, 2026, the year 2026-27 is flagged as current already."""
    made = district(ENTRIES, TODAY)
    current, upcoming = "IsCurrentYearForProvidedEntity", "IsUpcomingYearForProvidedEntity"
    made.edit("District/SchoolYear", 26, **{current: False})
    made.edit("District/SchoolYear", 27, **{current: True, upcoming: False})
    pipeline.add(made)
    return made


def test_who_withdrew_within_the_past_year_has_a_row_whatever_the_school_year(pipeline, switched_early):
    """One ended on June 18, 2025; one was left open for two years and was closed last week."""
    assert pipeline.run(today=TODAY).published
    assert pipeline.statuses() == {
        11: ("INACTIVE", "withdrawn"),
        12: ("GRADUATED", "graduated"),
        15: ("PRE-ENROLLED", "upcoming_enrollment_only"),
    }
    assert notes(pipeline) == []
    worklist = pipeline.rows("select student_id, problem from samegoal.registrar_worklist")
    assert worklist == [(13, "never closed")]


def test_years_that_nobody_looked_at_are_named(pipeline, switched_early):
    switched_early.refused_conditions.add("DateTimeSearchCondition")
    assert pipeline.run(today=TODAY).published
    assert set(pipeline.statuses()) == {11, 12, 15}
    (note,) = notes(pipeline)
    assert note.startswith("not read: enrollments of the school years with SchoolYearID 23, 24, because ")

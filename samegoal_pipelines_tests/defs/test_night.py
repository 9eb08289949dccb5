"""One district's night, from Qmlativ to the views, through a real Dagster run."""

from datetime import date

import pytest

from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests.defs.test_withholding_nights import notes
from samegoal_pipelines_tests.pipeline import TODAY

LAST_YEAR = {"StartDate": "2025-08-13", "EndDate": "2026-05-28"}
FIVE_STUDENTS = [
    {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"},
    {"EntryWithdrawalID": 2, "StudentID": 12, "StartDate": "2026-11-02"},
    {"EntryWithdrawalID": 3, "StudentID": 13, **LAST_YEAR, "WithdrawalCode": "01"},
    {"EntryWithdrawalID": 4, "StudentID": 14, **LAST_YEAR, "WithdrawalCode": "82"},
    {"EntryWithdrawalID": 5, "StudentID": 15, "StartDate": "2026-08-12", "WithdrawalCode": "CECS"},
]


def test_a_night_publishes_every_status_and_leaves_cross_entity_students_out(pipeline, district):
    pipeline.add(district(FIVE_STUDENTS))

    night = pipeline.run()

    assert night.published, night.reason
    assert pipeline.statuses() == {
        11: ("ENROLLED", "current_enrollment"),
        12: ("PRE-ENROLLED", "upcoming_enrollment_only"),
        13: ("GRADUATED", "graduated"),
        14: ("INACTIVE", "withdrawn"),
    }
    columns = "district_id, snapshot_date, students, enrolled, pre_enrolled, graduated, inactive"
    assert pipeline.states(columns, "added, changed, removed, held_reason, run_id") == [
        ("published", "grand-bend", TODAY, 4, 1, 1, 1, 1, 4, 0, 0, None, night.run_id),
    ]
    assert pipeline.rows(
        "select count(*) from samegoal.student_status s full join samegoal.student_demographics d "
        "using (district_id, student_id) where s.student_id is null or d.student_id is null"
    ) == [(0,)]


def test_a_rerun_leaves_the_same_content_and_the_next_night_says_what_changed(pipeline, district):
    made = district(FIVE_STUDENTS)
    pipeline.add(made)
    pipeline.run()
    before = pipeline.published()
    assert pipeline.run().published
    assert pipeline.published() == before
    assert pipeline.states() == [("superseded",), ("published",)]

    made.remove_row("Enrollment/EntryWithdrawal", 4)
    begun = {"EntryWithdrawalID": 6, "StudentID": 12, "StartDate": "2026-10-01", "EndDate": None}
    made.add_row("Enrollment/EntryWithdrawal", **made.rows("Enrollment/EntryWithdrawal")[0] | begun)

    night = pipeline.run(today=date(2026, 10, 13))

    assert (night.added, night.changed, night.removed) == (0, 1, 1)
    assert pipeline.statuses()[12] == ("ENROLLED", "current_enrollment")
    assert 14 not in pipeline.statuses()
    changes = pipeline.rows(
        "select student_id, change, old_status, new_status from samegoal.student_changes "
        "where snapshot_date = '2026-10-13' order by 1"
    )
    assert changes == [(12, "status", "PRE-ENROLLED", "ENROLLED"), (14, "removed", "INACTIVE", None)]


def test_codes_and_student_numbers_stay_text_all_the_way(pipeline, good_night):
    students = [{"StudentID": 11, "NameID": 1_000_011, "StudentNumber": "00123", "Grade": "01"}]
    left = {"StudentID": 11, "StartDate": "2025-08-13", "EndDate": "2026-05-28", "WithdrawalCode": "1"}
    good_night([left], rows={"Student/Student": students})

    assert pipeline.rows(
        "select s.student_number, s.withdrawal_code, s.status, d.grade "
        "from samegoal.student_status s join samegoal.student_demographics d using (district_id, student_id)"
    ) == [("00123", "1", "INACTIVE", "01")]


def test_two_districts_do_not_mix_although_their_ids_are_the_same(pipeline, district):
    pipeline.add(
        district(FIVE_STUDENTS[:1], id="alpha", name="Alpha ISD", code="111111"),
        district(FIVE_STUDENTS[3:4], id="beta", name="Beta ISD", code="222222"),
    )

    assert pipeline.run("alpha").published
    assert pipeline.run("beta").published

    assert pipeline.statuses("alpha") == {11: ("ENROLLED", "current_enrollment")}
    assert pipeline.statuses("beta") == {14: ("INACTIVE", "withdrawn")}


def test_staff_and_vendors_never_land_and_restricted_parents_have_no_contact_data(pipeline, deployment):
    (generated,) = Sandbox.generate(districts=1, students=300, seed=5, today=TODAY).districts
    pipeline.add(generated)
    assert pipeline.run(generated.id).published

    names = generated.rows("Demographics/Name")
    strangers = {row["NameID"] for row in names if not row["IsStudentName"] and not row["IsGuardianName"]}
    assert strangers
    for asset in ("raw_students", "raw_parents"):
        landed = deployment.landing.read(asset, district_id=generated.id, night=TODAY)
        for table in ("Name", "NamePhone", "NameEmail", "NameAddress"):
            assert strangers.isdisjoint(landed[table]["NameID"].tolist()), f"{asset}/{table}"

    contacts = "num_nonnulls(street, city, state, zip, home_phone, cell_phone, work_phone, email)"
    most = f"select has_restricted_access, max({contacts}) from samegoal.parent_demographics group by 1"
    given = dict(pipeline.rows(most))
    assert given[True] == 0
    assert given[False] > 3


# -- an older school year (one before the previous), left within the past year --

JUNE_11 = date(2026, 6, 11)
ENTRIES = [
    {"StudentID": 11, "StartDate": "2024-08-14", "EndDate": "2025-06-18", "WithdrawalCode": "82"},
    {"StudentID": 12, "StartDate": "2024-08-14", "EndDate": "2026-06-05", "WithdrawalCode": "01"},
    {"StudentID": 13, "StartDate": "2023-08-16"},
    {"StudentID": 14, "StartDate": "2024-08-14", "EndDate": "2025-06-10", "WithdrawalCode": "82"},
    {"StudentID": 15, "StartDate": "2026-08-12"},
]


@pytest.fixture
def switched_early(pipeline, district):
    """The year 2026-27 is flagged as current already."""
    made = district(ENTRIES, JUNE_11)
    current, upcoming = "IsCurrentYearForProvidedEntity", "IsUpcomingYearForProvidedEntity"
    made.edit("District/SchoolYear", 26, **{current: False})
    made.edit("District/SchoolYear", 27, **{current: True, upcoming: False})
    pipeline.add(made)
    return made


def test_who_withdrew_within_the_past_year_has_a_row_whatever_the_school_year(pipeline, switched_early):
    """One ended on June 18, 2025; one was left open for two years and was closed last week."""
    assert pipeline.run(today=JUNE_11).published
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
    assert pipeline.run(today=JUNE_11).published
    assert set(pipeline.statuses()) == {11, 12, 15}
    (note,) = notes(pipeline)
    assert note.startswith("not read: enrollments of the school years with SchoolYearID 23, 24, because ")

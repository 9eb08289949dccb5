"""An answer that is not what Qmlativ's contract says fails the night, and the page it came for is named."""

import pytest

from samegoal_pipelines_tests.faults.fixtures import ATTEMPTS, OURS
from samegoal_pipelines_tests.mass_changes import TOMORROW

STUDENTS = "Student/Student"
PERSISTS = ". To do: run again, and ask Skyward's support if it happens again"
NO_JSON = "the answer is not valid JSON" + PERSISTS
NO_OBJECTS = "the answer has no list of objects in Objects" + PERSISTS
CUT_SHORT = f"the answer was cut short; gave up after {ATTEMPTS} attempts. To do: try again later"
DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000
PAGING = b'"Paging": {"Next": null}'


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param({"html": True}, "expected JSON, got text/html: maintenance page?", id="HTML"),
        pytest.param({"cut": 0.5}, CUT_SHORT, id="cut short"),
        pytest.param({"body": b'{"Objects": [{"StudentID": 1}, {"Stu'}, CUT_SHORT, id="cut, and said whole"),
        pytest.param({"body": b""}, CUT_SHORT, id="empty"),
        pytest.param({"remove": ["Objects"]}, NO_OBJECTS, id="no Objects"),
        pytest.param({"set": {"Objects": None}}, NO_OBJECTS, id="Objects null"),
        pytest.param({"set": {"Objects": {}}}, NO_OBJECTS, id="Objects an object"),
        pytest.param({"set": {"Objects": ["Sentinel"]}}, NO_OBJECTS, id="Objects of texts"),
        pytest.param({"set": {"Objects": [None]}}, NO_OBJECTS, id="Objects of null"),
        pytest.param({"body": b'{"Message": "Sentinel"}'}, NO_OBJECTS, id="an error object"),
        pytest.param({"body": b'[{"StudentID": 1}]'}, NO_OBJECTS, id="a bare list"),
        pytest.param({"body": b'{"Objects": [{"Grade": "\xe9"}], ' + PAGING + b"}"}, NO_JSON, id="no UTF-8"),
        pytest.param({"body": b'{"Objects": [{"StudentID": NaN}], ' + PAGING + b"}"}, NO_JSON, id="NaN"),
        pytest.param(
            {"body": b'{"Objects": [{"StudentID": 1, "StudentID": 2}], ' + PAGING + b"}"},
            NO_JSON,
            id="a key twice",
        ),
        pytest.param(
            {
                "body": b'{"Objects": [{"StudentID": '
                + b'{"a":' * 999
                + b"1"
                + b"}" * 1000
                + b"], "
                + PAGING
                + b"}"
            },
            NO_JSON,
            id="1,000 deep",
        ),
    ],
)
def test_an_answer_that_is_none_fails_the_night_and_names_object_and_page(published, fails, fault, says):
    struck = published.source.faults.add(object=STUDENTS, kind="list", page=2, **fault)
    line = fails(f"{STUDENTS}?SchoolYearID=", f", page 2: {says}")
    assert 1 <= struck.applied <= ATTEMPTS * 3  # of three school years
    assert line.count(OURS) == 1


NOBODY = "the snapshot has no students"


@pytest.mark.parametrize(
    ("emptied", "says"),
    [
        ("Enrollment/EntryWithdrawal", NOBODY),
        ("Student/Student", NOBODY),
        (
            "Enrollment/School",
            "check in Qmlativ whether they were deleted, or the Integration Access no longer sees them",
        ),
        ("Demographics/NamePhone", "check in Qmlativ whether they were deleted"),
        ("Demographics/NameEmail", "check in Qmlativ whether they were deleted"),
        ("Family/StudentGuardian", "would lose their last parent with a phone"),
    ],
)
def test_no_rows_where_there_were_many_are_held(published, holds, emptied, says):
    nothing = {"Objects": [], "Paging": {"Next": None}}
    published.source.faults.add(object=emptied, kind="list", set=nothing)
    holds(says, f"{emptied} came without a single row, but with ", "for the published snapshot")


def test_what_comes_empty_on_a_second_night_is_held_again(published, holds):
    """What was held is nothing to compare with."""
    emptied = "Demographics/NamePhone"
    nothing = {"Objects": [], "Paging": {"Next": None}}
    published.source.faults.add(object=emptied, kind="list", set=nothing)
    for _ in range(2):
        holds(f"{emptied} came without a single row")


def test_a_required_field_that_no_row_has_any_more_is_named(published, fails):
    published.source.faults.add(object=STUDENTS, kind="list", remove_fields=["StudentNumber"])
    fails(
        f"{STUDENTS}?SchoolYearID=",
        ": the field StudentNumber is missing from every row. To do: grant it in the",
    )


def test_a_field_of_another_type_in_every_row_is_a_change_of_the_contract(published, fails):
    published.source.faults.add(object="Enrollment/EntryWithdrawal", kind="list", values={"SchoolID": "1101"})
    fails("Enrollment/EntryWithdrawal", "a field has a wrong type in every row")


def test_a_field_of_another_type_in_some_rows_quarantines_these_rows_and_counts_them(published, tonight):
    published.source.faults.add(
        object="Demographics/NamePhone", kind="list", page=1, rows=[0, 1], values={"PhoneNumber": 5551234}
    )
    assert tonight().returncode == 0
    landed = published.pipeline.deployment.landing.read("raw_students", district_id=OURS, night=TOMORROW)
    parents = published.pipeline.deployment.landing.read("raw_parents", district_id=OURS, night=TOMORROW)
    unreadable = [tables["NamePhone"]["Unreadable"].notna().sum() for tables in (landed, parents)]
    counted = [
        tables["Reads"].set_index("Object").loc["NamePhone", "Unreadable"] for tables in (landed, parents)
    ]
    assert unreadable == counted
    assert sum(unreadable) >= 2

"""A report says which check failed on which column in how many rows, and never what stood there."""

import traceback
from datetime import date

import pandas as pd
import pytest

from samegoal_pipelines.tables import enrollments, people
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines_tests.tables.test_models import ALL_TABLES, counted, parent, student
from samegoal_pipelines_tests.transforms.builders import table

SENTINEL = "Zz-sentinel-741"
NUMBER = 741_741_741


def leaks(report) -> bool:
    text = f"{report!r} {report.summary()} {report.failures}"
    return SENTINEL in text or str(NUMBER) in text or "0741" in text


BROKEN = {
    "text": (enrollments.STUDENT_STATUS, [student(status=SENTINEL, reason=SENTINEL)]),
    "number": (enrollments.STUDENT_STATUS, [student(NUMBER), student(NUMBER)]),
    "date": (
        enrollments.FILTERED_ENROLLMENTS,
        [counted(last_day=date(741, 7, 4), withdrawal_code=f" {SENTINEL} ")],
    ),
    "restricted": (people.PARENT_DEMOGRAPHICS, [parent(has_restricted_access=True, email=SENTINEL)]),
    "raw": (
        RAW_TABLES["raw_students"]["Name"],
        [{"LastName": SENTINEL}, {"Unreadable": SENTINEL, "NameID": NUMBER}],
    ),
    "reasons": (enrollments.UNCERTAIN_STUDENTS, [{"student_id": 1, "reasons": SENTINEL}]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_report_never_contains_a_value(name):
    model, rows = BROKEN[name]
    report = validate(table(model, rows), model)
    assert not report.ok
    assert not leaks(report)


@pytest.mark.parametrize("name", ALL_TABLES)
def test_a_report_never_contains_a_value_of_a_column_of_the_wrong_type(name):
    """Checks may stumble over such a column; what they say then stays inside."""
    declared = ALL_TABLES[name]
    frame = pd.DataFrame({column: [SENTINEL, f"{SENTINEL} {NUMBER}"] for column in declared.names})
    report = validate(frame, declared)
    assert not report.ok
    assert not leaks(report)


def test_no_exception_leaves_with_a_value():
    """Not even one that a check of pandera's hides behind another."""
    frame = table(enrollments.STUDENT_STATUS, [student(NUMBER)])
    frame["status"] = [[SENTINEL]]
    try:
        assert not leaks(validate(frame, enrollments.STUDENT_STATUS))
    except Exception:
        assert SENTINEL not in traceback.format_exc()
        raise


def test_a_summary_names_table_rows_columns_checks_and_counts_in_one_line():
    report = validate(table(enrollments.STUDENT_STATUS, [student(1), student(1)]), enrollments.STUDENT_STATUS)
    assert report.summary() == (
        "student_status: 2 rows, "
        "(table): an enrollment decides one status (2); (table): the key is unique (2)"
    )
    sound = validate(table(enrollments.STUDENT_STATUS, [student()]), enrollments.STUDENT_STATUS)
    assert sound.summary() == "student_status: 1 rows, sound"


def test_a_missing_and_an_unexpected_column_are_named_and_an_unexpected_name_is_cut():
    frame = table(enrollments.UNCERTAIN_STUDENTS, [{"student_id": 1, "reasons": "unreadable"}])
    report = validate(frame.rename(columns={"reasons": "x" * 500}), enrollments.UNCERTAIN_STUDENTS)
    assert {(failure.column, failure.check) for failure in report.failures} == {
        ("reasons", "is missing"),
        ("x" * 60, "is not expected"),
    }


def test_counts_are_right_on_a_frame_with_any_index():
    frame = table(enrollments.STUDENT_STATUS, [student(n, status="other") for n in range(5)])
    frame.index = pd.Index([7, 7, 3, 1, 0])
    report = validate(frame, enrollments.STUDENT_STATUS)
    assert {failure.rows for failure in report.failures} == {5}


def test_every_failure_of_a_frame_is_reported_at_once():
    rows = [student(1, status="other", first_day=None), student(1, enrollment_id=None)]
    report = validate(table(enrollments.STUDENT_STATUS, rows), enrollments.STUDENT_STATUS)
    assert {failure.check for failure in report.failures} == {
        "the key is unique",
        "is given",
        "is one of the four",
        "status and reason belong together",
    }

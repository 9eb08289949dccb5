"""A report says which check failed on which column in how many rows, and never what stood there."""

import traceback
from datetime import date

import pandas as pd
import pytest

from samegoal_pipelines.schemas import demographics, enrollments, raw, status
from samegoal_pipelines.schemas.report import validate
from samegoal_pipelines_tests.schemas.test_models import ALL_MODELS, counted, parent, student
from samegoal_pipelines_tests.transforms.builders import table

SENTINEL = "Zz-sentinel-741"
NUMBER = 741_741_741


def leaks(report) -> bool:
    told = f"{report!r} {report.summary()} {report.failures}"
    return SENTINEL in told or str(NUMBER) in told or "0741" in told


BROKEN = {
    "text": (status.StudentStatus, [student(status=SENTINEL, reason=SENTINEL)]),
    "number": (status.StudentStatus, [student(NUMBER), student(NUMBER)]),
    "date": (
        enrollments.FilteredEnrollments,
        [counted(last_day=date(741, 7, 4), withdrawal_code=f" {SENTINEL} ")],
    ),
    "restricted": (demographics.ParentDemographics, [parent(has_restricted_access=True, email=SENTINEL)]),
    "raw": (
        raw.RAW_MODELS["raw_students"]["Name"],
        [{"LastName": SENTINEL}, {"Unreadable": SENTINEL, "NameID": NUMBER}],
    ),
    "reasons": (status.UncertainStudents, [{"student_id": 1, "reasons": SENTINEL}]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_report_never_contains_a_value(name):
    model, rows = BROKEN[name]
    report = validate(table(model, rows), model)
    assert not report.ok
    assert not leaks(report)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_report_never_contains_a_value_of_a_column_of_the_wrong_type(name):
    """Checks may stumble over such a column; what they say then stays inside."""
    model = ALL_MODELS[name]
    frame = pd.DataFrame({column: [SENTINEL, f"{SENTINEL} {NUMBER}"] for column in model.to_schema().columns})
    report = validate(frame, model)
    assert not report.ok
    assert not leaks(report)


def test_no_exception_leaves_with_a_value():
    """Not even one that a check of pandera's hides behind another."""
    frame = table(status.StudentStatus, [student(NUMBER)])
    frame["status"] = [[SENTINEL]]
    try:
        assert not leaks(validate(frame, status.StudentStatus))
    except Exception:
        assert SENTINEL not in traceback.format_exc()
        raise


def test_a_summary_names_table_rows_columns_checks_and_counts_in_one_line():
    report = validate(table(status.StudentStatus, [student(1), student(1)]), status.StudentStatus)
    assert report.summary() == (
        "StudentStatus: 2 rows, "
        "(table): a student has one status (2); (table): an enrollment decides one status (2)"
    )
    sound = validate(table(status.StudentStatus, [student()]), status.StudentStatus)
    assert sound.summary() == "StudentStatus: 1 rows, sound"


def test_a_missing_and_an_unexpected_column_are_named_and_an_unexpected_name_is_cut():
    frame = table(status.UncertainStudents, [{"student_id": 1, "reasons": "unreadable"}])
    report = validate(frame.rename(columns={"reasons": "x" * 500}), status.UncertainStudents)
    assert {(failure.column, failure.check) for failure in report.failures} == {
        ("reasons", "is missing"),
        ("x" * 60, "is not expected"),
    }


def test_counts_are_right_on_a_frame_with_any_index():
    frame = table(status.StudentStatus, [student(n, status="other") for n in range(5)])
    frame.index = pd.Index([7, 7, 3, 1, 0])
    report = validate(frame, status.StudentStatus)
    assert {failure.rows for failure in report.failures} == {5}


def test_every_failure_of_a_frame_is_reported_at_once():
    rows = [student(1, status="other", first_day=None), student(1, enrollment_id=None)]
    report = validate(table(status.StudentStatus, rows), status.StudentStatus)
    assert {failure.check for failure in report.failures} == {
        "a student has one status",
        "is given",
        "is one of the four",
        "status and reason belong together",
    }

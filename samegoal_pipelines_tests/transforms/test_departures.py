"""Why a student who has enrollments has no status: the words of the ledger of departures."""

from datetime import date

import pyarrow as pa
import pytest

from samegoal_pipelines.tables.vocabulary import DEPARTURES, NO_ROWS
from samegoal_pipelines.transforms.departures import explain_absences
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines_tests.transforms.builders import Row, enrollments, entry, raw
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district
from samegoal_pipelines_tests.transforms.naive import judge

TODAY = date(2026, 10, 12)
LONG_AGO = entry(1, "2024-08-14", "2025-05-28")
FORGOTTEN = entry(2, "2024-08-14")
COURSE = entry(3, "2026-08-12", code="CECS")
NO_SHOW = entry(4, "2026-08-12", "2026-08-11")
WITHOUT_START = entry(5, None)
CURRENT = entry(6, "2026-08-12")


def absences(*entries: Row, today: date = TODAY) -> dict[int, str]:
    return why(enrollments(entries, today), today)


def why(raw_enrollments, today: date) -> dict[int, str]:
    filtered = filter_enrollments(raw_enrollments, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    return dict(zip(absent["student_id"], absent["why"], strict=True))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([LONG_AGO], "left the import window"),
        ([FORGOTTEN], "left the import window"),
        ([COURSE], "CECS only"),
        ([NO_SHOW], "never effective only"),
        ([WITHOUT_START], "rows unreadable"),
        ([LONG_AGO, COURSE, NO_SHOW], "left the import window"),
        ([COURSE, NO_SHOW], "CECS only"),
        ([LONG_AGO, WITHOUT_START], "rows unreadable"),
        ([entry(7, "2024-08-14", "2025-05-28", code="CECS")], "CECS only"),
    ],
)
def test_a_student_without_a_status_is_absent_for_the_weightiest_of_the_reasons(rows, expected):
    assert absences(*rows) == {1: expected}


def test_a_student_with_a_status_is_not_absent_whatever_else_was_excluded():
    assert absences(CURRENT, LONG_AGO, COURSE, NO_SHOW, WITHOUT_START) == {}


def test_a_row_that_names_no_student_is_nobody_s_absence():
    assert absences(entry(1, "2026-08-12", student=None)) == {}
    assert absences() == {}


def test_the_columns_are_an_id_and_a_text_also_where_nobody_is_absent():
    for rows in ([COURSE], [CURRENT], []):
        filtered = filter_enrollments(enrollments(rows, TODAY), TODAY)
        statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, TODAY)
        absent = explain_absences(filtered.excluded, statuses, uncertain)
        assert [type.pyarrow_dtype for type in absent.dtypes] == [pa.int64(), pa.string()]


@pytest.mark.parametrize("seed", range(60))
def test_everyone_with_enrollments_has_a_status_or_a_reason_for_having_none(seed):
    """Against the naive version of the rules, row by row."""
    district, today = edge_case_district(seed)
    verdict = judge(district, today)
    fates: dict[int, set[str]] = {}
    reason_of = dict(verdict.excluded)
    for row in district["EntryWithdrawal"]:
        if row["StudentID"] is not None and row["EntryWithdrawalID"] in reason_of:
            fates.setdefault(row["StudentID"], set()).add(reason_of[row["EntryWithdrawalID"]])
    expected = {}
    for student, reasons in fates.items():
        if student in verdict.uncertain:
            expected[student] = "rows unreadable"
        elif student not in verdict.statuses:
            window = reasons & {"outside_window", "never_closed"}
            others = "CECS only" if "cecs" in reasons else "never effective only"
            expected[student] = "left the import window" if window else others
    found = why(raw("raw_enrollments", district), today)
    assert found == expected
    assert list(found) == sorted(found)
    assert set(found.values()) <= set(DEPARTURES) - {NO_ROWS}

"""Why a student who has enrollments has no status: the words of the ledger of departures.

`test_properties` compares the reasons in random districts with the naive version of the rules.
"""

from datetime import date

import pyarrow as pa
import pytest

from samegoal_pipelines_tests.transforms.builders import classify, enrollments, entry

TODAY = date(2026, 10, 12)
LONG_AGO = entry(1, "2024-08-14", "2025-05-28")
FORGOTTEN = entry(2, "2024-08-14")
COURSE = entry(3, "2026-08-12", code="CECS")
NO_SHOW = entry(4, "2026-08-12", "2026-08-11")
WITHOUT_START = entry(5, None)
CURRENT = entry(6, "2026-08-12")


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
        ([CURRENT, LONG_AGO, COURSE, NO_SHOW, WITHOUT_START], None),
        ([entry(1, "2026-08-12", student=None)], None),
        ([], None),
    ],
)
def test_a_student_without_a_status_is_absent_for_the_weightiest_of_the_reasons(rows, expected):
    absent = classify(enrollments(rows, TODAY), TODAY).absent
    assert absent.values.tolist() == ([[1, expected]] if expected else [])
    assert [type.pyarrow_dtype for type in absent.dtypes] == [pa.int64(), pa.string()]

"""The whole way of a night at once: what it counts and explains beside the tables.

That its tables are those that the assets publish is told where there are assets (defs).
"""

from datetime import date

from samegoal_pipelines.transforms.snapshot import compute_night, statuses_of
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines_tests.transforms import builders

TODAY = date(2026, 10, 12)


def test_rows_in_doubt_are_counted_and_whoever_has_no_row_is_explained():
    rows = [
        builders.entry(1, "2026-08-12", student=1),
        builders.entry(2, None, student=2),
        builders.entry(3, "2026-09-01", "2026-08-31", student=3),
        builders.entry(4, "2026-08-12", "2026-09-30", "CECS", student=4),
        builders.entry(4, "2026-08-12", "2026-09-30", "CECS", student=4),
    ]
    reads = builders.reads("StudentGuardian", ["HasActiveRestrictedAccess"])

    computed = compute_night(
        builders.enrollments(rows, TODAY),
        builders.raw("raw_students", {}),
        builders.raw("raw_parents", {}) | {"Reads": reads},
        TODAY,
        withholding=Withholding(),
    )

    assert (computed.enrollment_rows, computed.quarantined) == (4, 1)
    assert computed.absent.to_dict("list") == {
        "student_id": [2, 3, 4],
        "why": ["rows unreadable", "never effective only", "CECS only"],
    }


def test_the_statuses_of_the_same_rows_move_with_the_day():
    raw = builders.enrollments([builders.entry(1, "2026-08-12", "2026-10-12", student=7)], TODAY)

    def status(today: date) -> list[tuple[int, str]]:
        statuses = statuses_of(raw, today).statuses
        return list(zip(statuses["student_id"], statuses["status"], strict=True))

    assert status(date(2026, 10, 12)) == [(7, "ENROLLED")]
    assert status(date(2026, 10, 13)) == [(7, "INACTIVE")]

"""The status of a student: the table of section 3, its words, its ties, and the enrollment that decided."""

from datetime import date

import numpy as np
import pytest

from samegoal_pipelines.tables.vocabulary import STATUSES
from samegoal_pipelines.transforms.columns import best_rows, group_codes
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines_tests.transforms.builders import Row, enrollments, entry

TODAY = date(2026, 10, 12)
PAST = ("2026-01-07", "2026-05-28")


def statuses(*entries: Row, today: date = TODAY):
    filtered = filter_enrollments(enrollments(entries, today), today)
    return classify_students(filtered.enrollments, filtered.excluded, today).statuses


def status(*entries: Row, today: date = TODAY) -> tuple[str, str, int]:
    """Status, reason and deciding enrollment of the one student."""
    found = statuses(*entries, today=today)
    assert len(found) == 1
    return found["status"][0], found["reason"][0], found["enrollment_id"][0]


def test_a_current_enrollment_makes_enrolled_whatever_else_there_is():
    """Section 3, row 1."""
    rows = [entry(1, "2026-08-12"), entry(2, "2027-01-07"), entry(3, *PAST, "01")]
    assert status(*rows) == ("ENROLLED", "current_enrollment", 1)


def test_an_upcoming_enrollment_alone_makes_pre_enrolled():
    """Section 3, row 2."""
    assert status(entry(1, "2027-01-07")) == ("PRE-ENROLLED", "upcoming_enrollment_only", 1)


@pytest.mark.parametrize("code", ["01", "82", None])
def test_an_upcoming_and_a_past_enrollment_keep_a_student_enrolled_over_the_summer(code):
    """Section 3, row 3: whatever the code of the past one."""
    assert status(entry(1, *PAST, code), entry(2, "2027-01-07")) == ("ENROLLED", "between_enrollments", 2)


def test_a_past_enrollment_with_code_01_makes_graduated():
    """Section 3, row 4."""
    assert status(entry(1, *PAST, "01")) == ("GRADUATED", "graduated", 1)


@pytest.mark.parametrize("code", ["82", "1", None])
def test_a_past_enrollment_with_any_other_code_or_none_makes_inactive(code):
    """Section 3, row 5; and 01 is text: 1 is not 01."""
    assert status(entry(1, *PAST, code)) == ("INACTIVE", "withdrawn", 1)


def test_first_and_last_day_belong_to_an_enrollment():
    """Section 3: current from the first day up to the last day, both included."""
    assert status(entry(1, "2026-10-12", "2026-10-12"))[1] == "current_enrollment"
    assert status(entry(1, "2026-10-13", "2026-10-13"))[1] == "upcoming_enrollment_only"
    assert status(entry(1, "2026-10-11", "2026-10-11"))[1] == "withdrawn"


def test_a_past_enrollment_is_one_that_ended_within_the_window():
    """An older one neither keeps a student ENROLLED until the next first day nor makes anyone INACTIVE."""
    upcoming = entry(2, "2027-01-07")
    assert status(entry(1, "2025-01-07", "2025-10-12"), upcoming)[0] == "ENROLLED"
    assert status(entry(1, "2025-01-07", "2025-10-11"), upcoming)[0] == "PRE-ENROLLED"
    assert statuses(entry(1, "2025-01-07", "2025-10-11")).empty


@pytest.mark.parametrize(
    ("others", "deciding"),
    [
        ([("2026-01-07", "2026-05-27", True)], 100),  # the latest last day, before the default entity
        ([("2026-01-07", "2026-05-28", True)], 1),  # then the default entity
        ([("2026-01-08", "2026-05-28", False)], 1),  # then the latest first day
        ([("2026-01-06", "2026-05-28", False)], 100),
        ([("2026-01-07", "2026-05-28", False)], 100),  # then the highest id
    ],
)
def test_the_most_recent_past_enrollment_decides(others, deciding):
    """Section 3: the latest last day; ties to the default entity, the latest first day, the highest id."""
    rows = [entry(100, *PAST, default=False)]
    rows += [
        entry(n, first, last, default=default) for n, (first, last, default) in enumerate(others, start=1)
    ]
    assert status(*rows)[2] == deciding


@pytest.mark.parametrize(
    ("other", "deciding"),
    [
        (("2026-08-10", True), 1),  # the default entity first
        (("2026-08-13", False), 1),  # then the latest first day
        (("2026-08-11", False), 100),
        (("2026-08-12", False), 100),  # then the highest id
    ],
)
def test_of_several_current_enrollments_the_default_entity_then_the_latest_then_the_highest_id_decides(
    other, deciding
):
    """Section 3: rows 1 to 3 may have several; row 1 takes the latest first day."""
    first, default = other
    rows = [entry(100, "2026-08-12", default=False), entry(1, first, "2027-05-28", default=default)]
    assert status(*rows)[2] == deciding


@pytest.mark.parametrize("past", [[], [entry(50, *PAST, default=True)]])
@pytest.mark.parametrize(
    ("other", "deciding"),
    [
        (("2027-02-01", True), 1),  # the default entity first
        (("2027-01-06", False), 1),  # then the earliest first day
        (("2027-01-08", False), 100),
        (("2027-01-07", False), 100),  # then the highest id
    ],
)
def test_of_several_upcoming_enrollments_the_default_entity_then_the_earliest_decides(other, deciding, past):
    """Section 3: rows 2 and 3 take the earliest first day, and an upcoming enrollment decides row 3."""
    first, default = other
    rows = [entry(100, "2027-01-07", default=False), entry(1, first, default=default)]
    assert status(*rows, *past)[2] == deciding


def test_each_status_carries_its_deciding_enrollment_and_the_student_s_building():
    """Section 3: each status names the enrollment that decided it; its school is the building."""
    row = statuses(entry(7, "2026-01-07", "2026-05-28", "01 ")).iloc[0]
    assert row.to_dict() == {
        "student_id": 1,
        "status": "GRADUATED",
        "reason": "graduated",
        "enrollment_id": 7,
        "first_day": date(2026, 1, 7),
        "last_day": date(2026, 5, 28),
        "withdrawal_code": "01",
        "school_year_id": 2026,
        "entity_id": 5,
        "building": "Main",
        "building_reporting_id": "255901001",
    }


def test_there_are_four_statuses_and_pre_enrolled_has_a_hyphen():
    """Section 3: TRANSFERRED, DROPPED_OUT and HISTORICAL_IDLE are not supported."""
    assert STATUSES == ("ENROLLED", "PRE-ENROLLED", "GRADUATED", "INACTIVE")


@pytest.mark.parametrize("spread", [1, 2**40])
def test_statuses_come_ordered_by_student_however_far_apart_ids_lie(spread):
    rows = [
        entry(n, "2026-08-12", student=student * spread) for n, student in enumerate([5, 3, 9, 1], start=1)
    ]
    assert list(statuses(*rows)["student_id"]) == [student * spread for student in (1, 3, 5, 9)]


def test_nobody_has_a_status_in_an_empty_district():
    assert statuses().empty


@pytest.mark.parametrize("spread", [1, 2**20, 2**55, 2**62])
def test_the_best_row_of_a_group_is_the_greatest_by_the_fields_in_order_whatever_their_ranges(spread):
    """Fields are packed into words where they fit; where they do not, the result is the same."""
    random = np.random.default_rng(spread % 7)
    groups = random.integers(0, 20, 200)
    fields = [random.integers(-1, 2, 200) * spread for _ in range(3)] + [random.permutation(200)]
    chosen = best_rows(groups, 21, fields)
    for group in range(20):
        rows = [(*(field[row] for field in fields), row) for row in np.flatnonzero(groups == group)]
        assert chosen[group] == max(rows)[-1]
    assert chosen[20] == -1


@pytest.mark.parametrize("keys", [[3, 1, 2, 3], [2**60, 1, 2**60, 5], []])
def test_group_codes_stand_for_their_keys(keys):
    codes, found = group_codes(np.array(keys, np.int64))
    assert found[codes].tolist() == keys

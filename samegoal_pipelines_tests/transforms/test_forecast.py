"""The forecast says exactly what classifying as of each day to come would say."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS, forecast_statuses
from samegoal_pipelines_tests.transforms.builders import classify, enrollments, entry
from samegoal_pipelines_tests.transforms.builders import raw as raw_asset
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district

TODAY = date(2026, 10, 12)


def statuses(raw, today: date) -> dict[int, str]:
    found = classify(raw, today)
    known = dict(zip(found.statuses["student_id"], found.statuses["status"], strict=True))
    return known | dict.fromkeys(found.uncertain["student_id"], UNCERTAIN_STATUS)


def test_each_flip_is_on_its_day_and_the_horizon_is_the_last_one():
    ending = [entry(n, "2026-08-12", "2026-10-14", code, student=n) for n, code in ((1, "82"), (2, "01"))]
    coming, staying = entry(3, "2026-10-15", student=3), entry(5, "2026-08-12", student=5)
    leaving = entry(4, "2025-08-12", "2025-10-13", "82", student=4)
    raw = enrollments([*ending, coming, leaving, staying], TODAY)
    expected = [
        (4, date(2026, 10, 14), "INACTIVE", None),
        (1, date(2026, 10, 15), "ENROLLED", "INACTIVE"),
        (2, date(2026, 10, 15), "ENROLLED", "GRADUATED"),
        (3, date(2026, 10, 15), "PRE-ENROLLED", "ENROLLED"),
    ]
    assert forecast_statuses(raw, TODAY, 3) == expected
    assert forecast_statuses(raw, TODAY, 2) == expected[:1]
    assert forecast_statuses(enrollments([], TODAY), TODAY, 30) == []


def test_a_row_leaves_the_window_a_day_later_after_a_29_february():
    """28 February 2027 is still in on 29 February 2028, which counts from it."""
    raw = enrollments([entry(1, "2026-08-12", "2027-02-28", "82")], date(2028, 2, 27))
    assert forecast_statuses(raw, date(2028, 2, 27), 5) == [(1, date(2028, 3, 1), "INACTIVE", None)]


@pytest.mark.parametrize("seed", range(20))
def test_the_forecast_is_what_each_day_would_say(seed):
    rows, today = edge_case_district(seed)
    raw = raw_asset("raw_enrollments", rows)
    expected, before = [], statuses(raw, today)
    for step in range(1, 31):
        day = today + timedelta(days=step)
        after = statuses(raw, day)
        expected += [
            (student, day, before.get(student), after.get(student))
            for student in sorted(before.keys() | after.keys())
            if before.get(student) != after.get(student)
        ]
        before = after
    assert forecast_statuses(raw, today, 30) == expected

"""The forecast says exactly what classifying as of each day to come would say."""

from datetime import date, timedelta

import pytest

from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS, forecast_statuses
from samegoal_pipelines_tests.transforms.builders import classify, enrollments, entry
from samegoal_pipelines_tests.transforms.builders import raw as raw_asset
from samegoal_pipelines_tests.transforms.edge_cases import edge_case_district


def statuses(raw, today: date) -> dict[int, str]:
    found = classify(raw, today)
    known = dict(zip(found.statuses["student_id"], found.statuses["status"], strict=True))
    return known | dict.fromkeys(found.uncertain["student_id"], UNCERTAIN_STATUS)


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
    for horizon in (*range(1, 8), 30):
        within = [flip for flip in expected if flip[1] <= today + timedelta(days=horizon)]
        assert forecast_statuses(raw, today, horizon) == within

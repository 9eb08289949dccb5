"""The trend of all districts is what SameGoal read each night, also of districts that were not published."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from samegoal_pipelines.reporting.trends import read_trends
from samegoal_pipelines_tests.reporting.factories import NIGHT, attempt, register


def test_a_district_that_fails_counts_with_what_was_last_published(warehouse: sa.Engine) -> None:
    for district_id, students in (("alpha", 100), ("beta", 200)):
        register(warehouse, district_id)
        attempt(warehouse, district_id, "published", NIGHT - timedelta(days=2), students=students)
    attempt(warehouse, "alpha", "failed", NIGHT - timedelta(days=1), "no luck")
    attempt(warehouse, "beta", "published", NIGHT - timedelta(days=1), students=210)
    attempt(warehouse, "alpha", "published", students=90, removed=10)
    attempt(warehouse, "beta", "held", students=10)

    trends = read_trends(warehouse, NIGHT)
    assert [(one.night, one.students, one.districts) for one in trends] == [
        (NIGHT - timedelta(days=2), 300, 2),
        (NIGHT - timedelta(days=1), 310, 1),
        (NIGHT, 300, 1),
    ]
    assert (trends[-1].enrolled, trends[-1].removed, trends[-1].changed) == (280, 10, 5)


def test_only_the_last_nights_are_told_beginning_with_what_was_there_before(
    warehouse: sa.Engine,
) -> None:
    register(warehouse, "alpha")
    register(warehouse, "beta")
    attempt(warehouse, "beta", "published", NIGHT - timedelta(days=300), students=50)
    for days in range(9):
        attempt(warehouse, "alpha", "published", NIGHT - timedelta(days=10 * days), students=100 + days)

    trends = read_trends(warehouse, NIGHT - timedelta(days=1), nights=3)
    assert [(one.night, one.students) for one in trends] == [
        (NIGHT - timedelta(days=30), 153),
        (NIGHT - timedelta(days=20), 152),
        (NIGHT - timedelta(days=10), 151),
    ]


def test_where_nothing_was_published_there_is_no_trend(warehouse: sa.Engine) -> None:
    register(warehouse, "alpha")
    attempt(warehouse, "alpha", "failed", reason="no luck")
    assert read_trends(warehouse, NIGHT) == []

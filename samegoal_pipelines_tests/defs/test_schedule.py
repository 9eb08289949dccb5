"""The schedule starts each active district once per local night, whatever the clocks do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.nightly import (
    SCHEDULE_NAME,
    SCHEDULE_TAG,
    districts_due,
    nightly_by_district,
    nights_started,
)


@dataclass(frozen=True)
class Somewhere:
    id: str
    timezone: str


AUSTIN, HONOLULU, NEW_YORK = (
    Somewhere("austin", "America/Chicago"),
    Somewhere("honolulu", "Pacific/Honolulu"),
    Somewhere("new-york", "America/New_York"),
)


def due(*districts: Somewhere, at: str) -> list[tuple[str, date]]:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return [(district.id, night) for district, night in districts_due(districts, now)]


def test_a_night_begins_at_one_in_the_morning_where_the_district_is():
    assert due(AUSTIN, at="2026-10-12T05:59") == []  # 00:59 there
    assert due(AUSTIN, at="2026-10-12T06:00") == [("austin", date(2026, 10, 12))]


def test_each_district_gets_its_own_date():
    at_eight_utc = due(NEW_YORK, AUSTIN, HONOLULU, at="2026-10-12T08:00")
    assert at_eight_utc == [
        ("new-york", date(2026, 10, 12)),
        ("austin", date(2026, 10, 12)),
        ("honolulu", date(2026, 10, 11)),  # still yesterday evening there
    ]


def test_a_night_that_was_missed_is_still_due_in_the_afternoon():
    assert due(AUSTIN, at="2026-10-12T21:00") == [("austin", date(2026, 10, 12))]


@pytest.mark.parametrize("day", ["2026-03-08", "2026-11-01"])
def test_both_nights_of_the_clock_change_are_due_once_each_day(day):
    """In March the hour from two to three does not exist, in November the one from one to two comes twice."""
    nights = {
        night
        for hour in range(24)
        for minute in (0, 15, 30, 45)
        for _, night in due(AUSTIN, at=f"{day}T{hour:02d}:{minute:02d}")
    }
    assert date.fromisoformat(day) in nights


def test_what_the_schedule_has_started_is_known_from_the_runs_whatever_became_of_them():
    night = date(2026, 10, 12)
    tags = {SCHEDULE_TAG: SCHEDULE_NAME, "samegoal/today": "2026-10-12", "dagster/partition": "austin"}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(
            dg.DagsterRun(job_name="nightly_snapshot", tags=tags, status=dg.DagsterRunStatus.FAILURE)
        )
        by_hand = {"samegoal/today": "2026-10-12", "dagster/partition": "new-york"}
        instance.add_run(dg.DagsterRun(job_name="nightly_snapshot", tags=by_hand))

        assert nights_started(instance, {night}) == {("austin", night)}
        assert nights_started(instance, {date(2026, 10, 13)}) == set()


def tick(pipeline, instance) -> tuple[list[dg.RunRequest], str | None]:
    """What the schedule asks for now, and why it asks for nothing."""
    context = dg.build_schedule_context(
        instance=instance,
        repository_def=build_defs(pipeline.deployment).get_repository_def(),
        resources={"deployment": pipeline.deployment},
    )
    data = nightly_by_district.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


def test_a_tick_asks_for_every_active_district_once_and_a_second_tick_for_none(pipeline, district):
    at_noon = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # Etc/GMT-5 is five hours ahead of Greenwich
    for name in ("alpha", "beta", "gamma"):
        pipeline.add(district([], id=name, name=f"{name.title()} ISD", code=name), timezone=at_noon)
    pipeline.deployment.registry.set_active("gamma", False)

    with dg.instance_for_test() as instance:
        requests, _ = tick(pipeline, instance)
        assert [request.partition_key for request in requests] == ["alpha", "beta"]
        there = datetime.now(ZoneInfo(at_noon)).date().isoformat()
        assert {request.tags["samegoal/today"] for request in requests} == {there}
        assert {request.tags["samegoal/source_host"] for request in requests} == {"127.0.0.1"}
        assert instance.get_dynamic_partitions("district") == ["alpha", "beta"]

        for request in requests:
            tags = {**request.tags, "dagster/partition": request.partition_key, SCHEDULE_TAG: SCHEDULE_NAME}
            instance.add_run(dg.DagsterRun(job_name="nightly_snapshot", tags=tags))
        requests, skipped = tick(pipeline, instance)

    assert requests == []
    assert "2 district(s) past 01:00 local time, all started already" in skipped

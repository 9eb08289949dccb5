"""The nightly job, and the schedule that starts it once per active district and local night.

The schedule asks one question of each district: has its night begun, and has it not been started
yet? What has been started is read from Dagster's own runs, so a tick that is repeated, late or cut
short by a restart neither runs a district twice nor forgets one. An hourly test like "is it one
o'clock there?" would skip a night when the clocks change.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import dagster as dg

from samegoal_pipelines.defs.night import PARTITION_TAG, SOURCE_HOST_TAG, TODAY_TAG
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import unpaused
from samegoal_pipelines.districts.registry import District

NIGHT_BEGINS = time(1, 0)
"""A night begins at this local time; before it, the Qmlativ day may not be over."""

SCHEDULE_NAME = "nightly_by_district"
SCHEDULE_TAG = "dagster/schedule_name"

nightly_snapshot = dg.define_asset_job(
    "nightly_snapshot",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups("report"),  # which covers all districts
    description="Read, filter, classify, check and publish one district's night.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(
    name=SCHEDULE_NAME,
    job=nightly_snapshot,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="One run per active, unpaused district and local night, once 01:00 has passed there.",
)
def nightly_by_district(
    context: dg.ScheduleEvaluationContext, deployment: dg.ResourceParam[Deployment]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the runs that are due and not started.

    The date is that of the clock, not of the tick: a tick that is made up for after an outage must
    not stamp yesterday's date on what Qmlativ says today.
    """
    begun = districts_due(deployment.registry.list_active(), datetime.now(UTC))
    due = list(unpaused(deployment.warehouse, begun))
    started = nights_started(context.instance, {night for _, night in due})
    requested = [(district, night) for district, night in due if (district.id, night) not in started]
    context.instance.add_dynamic_partitions(DISTRICTS.name or "", [district.id for district, _ in requested])
    for district, night in requested:
        yield dg.RunRequest(
            run_key=f"{district.id}:{night.isoformat()}",
            partition_key=district.id,
            tags={TODAY_TAG: night.isoformat(), SOURCE_HOST_TAG: district.source_host},
        )
    if not requested:
        yield dg.SkipReason(
            f"{len(due)} district(s) past {NIGHT_BEGINS:%H:%M} local time, all started already"
        )


def districts_due(districts: Iterable[District], now: datetime) -> Iterator[tuple[District, date]]:
    """The districts whose local night has begun, with its date.

    Args:
        now: an aware instant.
    """
    for district in districts:
        local = now.astimezone(ZoneInfo(district.timezone))
        if local.time() >= NIGHT_BEGINS:
            yield district, local.date()


def nights_started(instance: dg.DagsterInstance, nights: Collection[date]) -> set[tuple[str, date]]:
    """The districts that the schedule has started for these nights, whatever became of their runs."""
    return {
        (run.tags[PARTITION_TAG], night)
        for night in nights
        for run in instance.get_runs(
            dg.RunsFilter(tags={SCHEDULE_TAG: SCHEDULE_NAME, TODAY_TAG: night.isoformat()})
        )
    }

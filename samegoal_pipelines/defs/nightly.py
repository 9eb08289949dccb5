"""The nightly job, and the schedule that starts it once per active district and local night.

The schedule reads the started nights from Dagster's runs, so a repeated, late or interrupted tick neither
runs a district twice nor forgets one. An hourly test like "is it one o'clock there?" would skip a night when
the clocks change. The schedule still runs a night that you already ran by hand.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import dagster as dg

from samegoal_pipelines.defs.dagster_internals import TICK_TAG
from samegoal_pipelines.defs.district_run import (
    PARTITION_TAG,
    PARTITIONS,
    SCHEDULE_TAG,
    SOURCE_HOST_TAG,
    TODAY_TAG,
)
from samegoal_pipelines.defs.instance import UNFINISHED, close_abandoned_runs
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import all_pauses
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import NIGHT_BEGINS

SCHEDULE_NAME = "nightly_by_district"
_NAMED = 10  # districts in a tick's log
_STILL_RUNNING = "skipped, because a run of theirs is still in progress, and looked at again at the next tick"

nightly_snapshot = dg.define_asset_job(
    "nightly_snapshot",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups("report"),  # a report covers all districts
    description="Read, filter, classify, check and publish one district's night.",
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
    """Request the runs that are due and not started."""
    if closed := close_abandoned_runs(context.instance, deployment):
        context.log.info(f"marked as failed: {counted(closed, 'run')} of killed commands")
    tick = context.scheduled_execution_time.astimezone(UTC).isoformat()
    # The date comes from the clock: a late tick must not put yesterday's date on what Qmlativ says today.
    requested, said = look_at_tonight(deployment, context.instance, datetime.now(UTC), tick)
    context.instance.add_dynamic_partitions(PARTITIONS, [district.id for district, _ in requested])
    context.log.info(said)
    for district, night in requested:
        yield dg.RunRequest(
            run_key=f"{district.id}:{night.isoformat()}",
            partition_key=district.id,
            tags={
                PARTITION_TAG: district.id,  # given here, which saves two queries each
                TODAY_TAG: night.isoformat(),
                SOURCE_HOST_TAG: district.source_host,
            },
        )
    if not requested:
        yield dg.SkipReason(said)


def look_at_tonight(
    deployment: Deployment, instance: dg.DagsterInstance, now: datetime, tick: str
) -> tuple[list[tuple[District, date]], str]:
    """The districts that are due now with their nights, and a line about every registered district.

    `tick` is the tick's scheduled time, as Dagster writes it into the tags of its runs.
    """
    registered, pauses = deployment.registry.list(), all_pauses(deployment.warehouse)
    begun = {district.id: night for district, night in districts_due(registered, now)}
    due = {id: night for id, night in begun.items() if id not in pauses or not pauses[id].covers(night)}
    started, unfinished = read_ledger(instance, set(due.values()), now, tick)
    requested: list[tuple[District, date]] = []
    others = defaultdict[str, list[str]](list)
    for district in registered:
        id = district.id
        if not district.active:
            others["disabled"].append(id)
        elif district.awaits_secret:
            others["awaiting secret"].append(id)
        elif id not in begun:
            others[f"before {NIGHT_BEGINS:%H:%M} local time"].append(id)
        elif id not in due:
            others["paused"].append(id)
        elif (id, due[id]) in started:
            others["started already"].append(id)
        elif id in unfinished:
            others[_STILL_RUNNING].append(id)
        else:
            requested.append((district, due[id]))
    said = (f"{len(ids):,} {what}: {some(ids, _NAMED)}" for what, ids in others.items())
    return requested, "; ".join([f"{counted(len(requested), 'run')} requested", *said])


def districts_due(districts: Iterable[District], now: datetime) -> Iterator[tuple[District, date]]:
    """The districts whose local night has begun at an aware instant, with the night's date."""
    for district in districts:
        local = now.astimezone(ZoneInfo(district.timezone))
        if local.time() >= NIGHT_BEGINS:
            yield district, local.date()


def read_ledger(
    instance: dg.DagsterInstance, nights: Collection[date], now: datetime, tick: str
) -> tuple[set[tuple[str, date]], set[str]]:
    """District and night of what the schedule has started of these nights, and the districts in progress.

    A run that this tick created but did not launch, because the daemon stopped in between, does not count:
    Dagster launches it when it is requested again with the same key. Runs created after `now` show that the
    clock was set back, and their nights do not run again. Nor does the night before a started one. Older
    nights do: the clock was wrong when the later one was started.
    """
    by_schedule = {SCHEDULE_TAG: SCHEDULE_NAME}
    asked = [dg.RunsFilter(tags={**by_schedule, TODAY_TAG: night.isoformat()}) for night in nights]
    asked.append(dg.RunsFilter(tags=by_schedule, created_after=now))
    started: set[tuple[str, date]] = set()
    for run in chain.from_iterable(map(instance.get_runs, asked)):
        if run.status != dg.DagsterRunStatus.NOT_STARTED or run.tags.get(TICK_TAG) != tick:
            district_id, night = run.tags[PARTITION_TAG], date.fromisoformat(run.tags[TODAY_TAG])
            started |= {(district_id, night), (district_id, night - timedelta(days=1))}
    unfinished = {
        run.tags[PARTITION_TAG]
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if PARTITION_TAG in run.tags and run.tags.get(TICK_TAG) != tick
    }
    return started, unfinished

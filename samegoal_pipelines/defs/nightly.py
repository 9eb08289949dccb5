"""The nightly job, and the schedule that starts it once per active district and local night.

The schedule starts each district whose night has begun and was not started yet. It reads the started nights
from Dagster's runs, so a repeated, late or interrupted tick neither runs a district twice nor forgets one. An
hourly test like "is it one o'clock there?" would skip a night when the clocks change.

The schedule still runs a night that you already ran by hand, possibly before the night began.

A run that is still queued when its night is over fails when it starts, because Qmlativ only answers for now.
The next tick requests the district's current night.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg

from samegoal_pipelines.defs.dagster_internals import TICK_TAG
from samegoal_pipelines.defs.district_run import (
    DISTRICTS,
    PARTITION_TAG,
    SCHEDULE_TAG,
    SOURCE_HOST_TAG,
    TODAY_TAG,
)
from samegoal_pipelines.defs.in_process import GOING_ON, close_abandoned_runs
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import unpaused
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import NIGHT_BEGINS

SCHEDULE_NAME = "nightly_by_district"
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, *GOING_ON]
_NAMED = 10  # districts in a tick's log

nightly_snapshot = dg.define_asset_job(
    "nightly_snapshot",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups("report"),  # a report covers all districts
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
    """Request the runs that are due and not started.

    The date comes from the clock, not the tick, because a late tick must not put yesterday's date on what
    Qmlativ says today.
    """
    if closed := close_abandoned_runs(context.instance):
        context.log.info(f"marked as failed: {counted(closed, 'run')} of killed commands")
    tick = context.scheduled_execution_time.astimezone(UTC).isoformat()
    tonight = look_at_tonight(deployment, context.instance, datetime.now(UTC), tick)
    requested = [district.id for district, _ in tonight.requested]
    context.instance.add_dynamic_partitions(DISTRICTS.name or "", requested)
    context.log.info(tonight.sentence())
    for district, night in tonight.requested:
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
        yield dg.SkipReason(tonight.sentence())


class Tonight(NamedTuple):
    """The result of one tick. Every registered district is in one of these."""

    requested: Sequence[tuple[District, date]]
    started: int
    in_progress: Sequence[str]
    paused: Sequence[str]
    awaiting_secret: Sequence[str]
    disabled: int
    not_begun: int

    def sentence(self) -> str:
        """The result as one line for people."""
        parts = [
            f"{counted(len(self.requested), 'run')} requested",
            f"{counted(self.started, 'district')} started already",
        ]
        if self.in_progress:
            parts.append(
                f"{len(self.in_progress):,} skipped, because a run of theirs is still in progress, "
                f"and looked at again at the next tick: {some(self.in_progress, _NAMED)}"
            )
        if self.paused:
            parts.append(f"{len(self.paused):,} paused: {some(self.paused, _NAMED)}")
        if self.awaiting_secret:
            named = some(self.awaiting_secret, _NAMED)
            parts.append(f"{len(self.awaiting_secret):,} awaiting secret: {named}")
        if self.disabled:
            parts.append(f"{self.disabled:,} disabled")
        if self.not_begun:
            parts.append(f"{self.not_begun:,} before {NIGHT_BEGINS:%H:%M} local time")
        return "; ".join(parts)


class Ledger(NamedTuple):
    """The districts' runs, as Dagster knows them."""

    started: Mapping[str, Set[date]]
    """District → the nights that the schedule has started, regardless of the result."""
    unfinished: Set[str]
    """Districts with a run in progress, regardless of how it was started."""

    def has(self, district_id: str, night: date) -> bool:
        """Whether a night is started. It also counts if the next one is, which means that the clock was set
        back.

        Later started nights do not count: the clock was wrong then, and the nights until then must run.
        """
        return not {night, night + timedelta(days=1)}.isdisjoint(self.started.get(district_id, ()))


def look_at_tonight(
    deployment: Deployment, instance: dg.DagsterInstance, now: datetime, tick: str
) -> Tonight:
    """Find the districts that are due now. It takes a few queries for any number of districts.

    Args:
        now: an aware instant.
        tick: the tick's scheduled time, as Dagster writes it into the tags of its runs.
    """
    registered = deployment.registry.list()
    enabled = [district for district in registered if district.active]
    active = [district for district in enabled if not district.awaits_secret]
    begun = list(districts_due(active, now))
    due = list(unpaused(deployment.warehouse, begun))
    ledger = read_ledger(instance, {night for _, night in due}, now, tick)
    missing = [(district, night) for district, night in due if not ledger.has(district.id, night)]
    return Tonight(
        requested=[(district, night) for district, night in missing if district.id not in ledger.unfinished],
        started=len(due) - len(missing),
        in_progress=[district.id for district, _ in missing if district.id in ledger.unfinished],
        paused=sorted({district.id for district, _ in begun} - {district.id for district, _ in due}),
        awaiting_secret=[district.id for district in enabled if district.awaits_secret],
        disabled=len(registered) - len(enabled),
        not_begun=len(active) - len(begun),
    )


def districts_due(districts: Iterable[District], now: datetime) -> Iterator[tuple[District, date]]:
    """The districts whose local night has begun, with the night's date.

    Args:
        now: an aware instant.
    """
    for district in districts:
        local = now.astimezone(ZoneInfo(district.timezone))
        if local.time() >= NIGHT_BEGINS:
            yield district, local.date()


def read_ledger(instance: dg.DagsterInstance, nights: Collection[date], now: datetime, tick: str) -> Ledger:
    """The nights of these that the schedule has started, and the districts in progress.

    A run that this tick created but did not launch, because the daemon stopped in between, does not count:
    Dagster launches it when it is requested again with the same key. Runs created after `now` show that the
    clock was set back, and their nights do not run again.
    """
    by_schedule = {SCHEDULE_TAG: SCHEDULE_NAME}
    asked = [dg.RunsFilter(tags={**by_schedule, TODAY_TAG: night.isoformat()}) for night in nights]
    asked.append(dg.RunsFilter(tags=by_schedule, created_after=now))
    started: dict[str, set[date]] = {}
    for run in (run for which in asked for run in instance.get_runs(which)):
        if run.status == dg.DagsterRunStatus.NOT_STARTED and run.tags.get(TICK_TAG) == tick:
            continue
        night = date.fromisoformat(run.tags[TODAY_TAG])
        started.setdefault(run.tags[PARTITION_TAG], set()).add(night)
    unfinished = {
        run.tags[PARTITION_TAG]
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        if PARTITION_TAG in run.tags and run.tags.get(TICK_TAG) != tick
    }
    return Ledger(started, unfinished)

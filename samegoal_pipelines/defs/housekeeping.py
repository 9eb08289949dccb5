"""Delete old landed nights, report pages and Dagster runs every day.

This limits how far back a replay can go (`SAMEGOAL_LANDING_NIGHTS`). The warehouse's history is pruned only
if SAMEGOAL_HISTORY_DAYS is set. Erasing is in `operations`.
"""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.errors import in_plain_words
from samegoal_pipelines.defs.instance import OVER
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.printable import some
from samegoal_pipelines.warehouse.erase import prune_history
from samegoal_pipelines.warehouse.snapshots import last_published

_NAMED = 10  # most faults that a failure names
_RUNS_AT_ONCE = 5_000  # most runs deleted in one day; or two per district, if that is more


@dg.op(out=dg.Out(dg.Nothing))
def prune(context: dg.OpExecutionContext, deployment: dg.ResourceParam[Deployment]) -> None:
    """Delete what is older than the settings say. Fail in the end if something cannot be deleted."""
    now, settings, warehouse = datetime.now(UTC), deployment.settings, deployment.warehouse
    faults: list[str] = []
    pruned: dict[str, int] = {}
    students = pages = runs = 0
    for district in deployment.registry.list():
        with _noted(faults, district.id):
            nights, gone = prune_district(deployment, district, now)
            pruned[district.id], students = len(nights), students + gone
    with _noted(faults, "pages of reports"):
        keep_from = now.date() - timedelta(days=settings.landing_nights)
        pages = len(deployment.landing.prune_pages(keep_from))
    with _noted(faults, "Dagster's runs"):
        last = (last_published(warehouse, district.id) for district in deployment.registry.list())
        keep = {published.run_id for published in last if published}  # what the views show names its run
        runs = prune_runs(context.instance, now - timedelta(days=settings.run_nights), keep)
    metadata: dict[str, Any] = {
        "nights pruned": sum(pruned.values()),
        "students pruned from the history": students,
        "pages of reports pruned": pages,
        "runs pruned": runs,
        "by district": table(("district", "nights pruned"), pruned.items()),
    }
    if faults:
        raise dg.Failure(f"pruning failed: {some(faults, _NAMED)}", metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


@contextmanager
def _noted(faults: list[str], name: str) -> Iterator[None]:
    """Note an error inside under this name, and continue."""
    try:
        yield
    except Exception as error:
        if isinstance(error, PipelineError):
            error.district_id = ""  # the name is shown beside it
        faults.append(f"{name}: {in_plain_words(error)}")


def prune_district(deployment: Deployment, district: District, now: datetime) -> tuple[list[date], int]:
    """Delete one district's expired landed nights, and the history of students who left long ago.

    The published night stays regardless of its age, because the next one is compared with its rows. Students
    stay in the history unless SAMEGOAL_HISTORY_DAYS is set, and as long as their nights can be replayed.
    Return the nights, and the number of students.
    """
    settings, today = deployment.settings, district.local_date(now)
    published = last_published(deployment.warehouse, district.id)
    nights = deployment.landing.prune(
        district.id,
        keep_from=today - timedelta(days=settings.landing_nights),
        today=today,
        local_date=district.local_date,
        also_keep={published.snapshot_date} if published else set(),
    )
    students = 0
    if settings.history_days is not None:
        days = max(settings.history_days, settings.landing_nights)
        students = prune_history(deployment.warehouse, district.id, today - timedelta(days=days))
    return nights, students


def prune_runs(instance: dg.DagsterInstance, before: datetime, keep: Set[str]) -> int:
    """Delete finished runs created before `before` with their logs, except `keep`. Return the count."""
    old = dg.RunsFilter(created_before=before, statuses=OVER)
    most = max(_RUNS_AT_ONCE, 2 * len(keep))
    runs = instance.get_runs(old, limit=most + len(keep), ascending=True)
    pruned = [run.run_id for run in runs if run.run_id not in keep][:most]
    for run_id in pruned:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        instance.delete_run(run_id)
    return len(pruned)


@dg.job(
    description="Delete the landed nights of every district and the pages of reports that are older than "
    "SAMEGOAL_LANDING_NIGHTS, and Dagster's runs older than SAMEGOAL_RUN_NIGHTS.",
)
def prune_landing() -> None:
    """One step for all districts, because each needs little work."""
    prune()


nightly_prune = dg.ScheduleDefinition(
    name="nightly_prune",
    job=prune_landing,
    cron_schedule="0 18 * * *",  # in Hawaii, where a night ends last in the fifty states, it is 08:00
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, when the night is over in all fifty states.",
)

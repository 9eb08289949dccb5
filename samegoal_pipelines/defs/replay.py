"""The job that replays a district's past nights in order, from the landing, with today's rules.

It reads nothing from Qmlativ. A failed replay does not count as a failed night.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun, read_date
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT
from samegoal_pipelines.defs.io import IN_MEMORY
from samegoal_pipelines.defs.materializing import compute_valid_night
from samegoal_pipelines.defs.metadata import table
from samegoal_pipelines.landing import LandedFileError, LandingError
from samegoal_pipelines.landing.runs import NotLandedError, read_landed_for
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.warehouse.replay import Replayed, find_nights, replay
from samegoal_pipelines.warehouse.rows import Contents, content_of
from samegoal_pipelines.warehouse.snapshots import Snapshot


class Replay(dg.Config):
    """The first night, and whether to write."""

    from_date: str = Field(description="The first night to replay, as YYYY-MM-DD.")
    dry_run: bool = Field(
        default=True, description="Only show what would differ. Switch it off to rewrite the nights."
    )


@dg.op(out=dg.Out(io_manager_key=IN_MEMORY))
def replay_landed_nights(
    context: dg.OpExecutionContext,
    config: Replay,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Recompute every published night from a date on, and rewrite what differs unless it is a dry run."""
    with as_dagster_failure("replay", district_run):
        first = read_date(config.from_date, "the first night to replay")
        nights, skipped = find_nights(district_run.deployment.warehouse, district_run.district_id, first)
        replayed = replay(
            district_run.deployment.warehouse,
            replace(district_run.identity(), night=nights[-1].snapshot_date),
            nights,
            recompute(context, district_run, nights),
            dry_run=config.dry_run,
        )
        replayed = replace(replayed, skipped=tuple(skipped))
        facts = facts_of(replayed)
        if replayed.written:
            yield dg.AssetObservation(
                PUBLISHED_SNAPSHOT,
                partition=district_run.district_id,
                description=f"nights replayed from {first} on",
                metadata=facts,
            )
        yield dg.Output(replayed, metadata={**facts, "dry run": config.dry_run})


def recompute(context: dg.OpExecutionContext, run: DistrictRun, nights: Sequence[Snapshot]) -> Contents:
    """Recompute these published nights from their landed rows, without a lock."""
    contents = Contents()
    faults: dict[date, str] = {}
    for published in nights:
        night = published.snapshot_date
        try:
            raw = {asset: read_landed_for(run.deployment.landing, published, asset) for asset in RAW_TABLES}
        except NotLandedError as error:
            faults[night] = error.detail
        except LandedFileError as error:
            faults[night] = f"cannot be used: file {error.table} of {error.asset} {error.fault}"
        if faults:
            continue
        computed = compute_valid_night(raw, night, run.district.withholding, f"the night {night}: ")
        contents.add(content_of(computed))
        context.log.info(f"the night {night}: {computed.enrollment_rows:,} enrollments")
        if run.deployment.progress:
            run.deployment.progress("enrollments of past nights", computed.enrollment_rows)
    if faults:
        (first, what), others = next(iter(faults.items())), len(faults) - 1
        also = f", and {counted(others, 'later night')} cannot be replayed either" if others else ""
        sound = [one.snapshot_date for one in nights if one.snapshot_date > max(faults)]
        next_step = (
            f"the earliest date to replay from is {sound[0]}" if sound else "no later night can be replayed"
        )
        raise LandingError(f"the landed rows of the night {first} {what}{also}", next_step=next_step)
    return contents


def facts_of(replayed: Replayed) -> dict[str, Any]:
    """What differs by night: counts, but no student."""
    differing = replayed.differing
    facts: dict[str, Any] = {
        "nights": len(replayed.nights),
        "nights that differ": len(differing),
        "rewritten": replayed.written,
    }
    if differing:
        rows: list[dict[str, str | int]] = [
            {"night": str(one.night), "students": one.counts.students, **one.difference.students}
            for one in differing
        ]
        facts["differences"] = table(rows[0], (row.values() for row in rows))
        facts["another status"] = table(
            ("night", "was", "is", "students"),
            (
                (str(night.night), one.old_status, one.new_status, one.students)
                for night in differing
                for one in night.difference.transitions
            ),
        )
    if replayed.skipped:
        facts["nights skipped"] = ", ".join(f"{one.snapshot_date} ({one.state})" for one in replayed.skipped)
    return facts


@dg.job(
    partitions_def=DISTRICTS,
    description="Recompute a district's published nights from a date on, from the landing, with today's "
    "rules. The district is the partition. Nothing is written without dry_run: false in the configuration.",
)
def replay_nights() -> None:
    """Replay the nights of one district."""
    replay_landed_nights()

"""The jobs that compute nights in one op, without the assets: the dry run and the replay.

A dry run reads Qmlativ, computes the night and asks the gate, but lands, publishes and records nothing. Its
date may be in the future (tag samegoal/today). A replay recomputes a district's past nights in order, from
the landing, with today's rules, and reads nothing from Qmlativ. Neither counts as a failed night.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.district_run import (
    DISTRICTS,
    DRY_RUN_JOB,
    PUBLISHED_SNAPSHOT,
    DistrictRun,
    read_date,
)
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.materializing import (
    IN_MEMORY,
    SchemaBrokenError,
    Tables,
    broken_columns,
    declared_tables,
)
from samegoal_pipelines.defs.metadata import COUNTED, change_facts, table
from samegoal_pipelines.defs.published import shares_facts
from samegoal_pipelines.defs.students import (
    read_tonight,
    refuse_a_lost_restriction,
    refuse_unreadable_flags,
)
from samegoal_pipelines.landing import LandedFileError, LandingError
from samegoal_pipelines.landing.runs import LandedEvidence, NotLandedError, read_landed_for
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.transforms.demographics import restriction_is_known
from samegoal_pipelines.transforms.gate import Verdict
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, compute_night
from samegoal_pipelines.warehouse.publishing import preview
from samegoal_pipelines.warehouse.replay import Replayed, find_nights, replay
from samegoal_pipelines.warehouse.rows import Contents, content_of
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import Counts, Snapshot


def compute_valid_night(run: DistrictRun, raw: Mapping[str, Tables], night: date) -> SnapshotPayload:
    """What is published for the raw rows of a night, checked against the declarations."""
    enrollments, students, parents = (raw[asset] for asset in RAW_TABLES)
    payload = compute_night(enrollments, students, parents, night, withholding=run.district.withholding)
    if broken := broken_columns(payload.published(), declared_tables(payload)):
        raise SchemaBrokenError(f"the night {night}: {broken}; nothing was changed")
    return payload


# -- the dry run --


@dataclass(frozen=True)
class DryRun:
    """What publishing a night would do."""

    district_id: str
    night: date
    counts: Counts
    verdict: Verdict
    changes: tuple[StudentChange, ...]
    """The students whom it would change, by number."""
    payload: SnapshotPayload = field(repr=False, compare=False)
    """All that it would publish, except carried-over students."""

    @property
    def held(self) -> bool:
        """Whether the gate would hold it."""
        return bool(self.verdict.found)


@dg.op(out=dg.Out(io_manager_key=IN_MEMORY))
def try_night(
    context: dg.OpExecutionContext,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Read Qmlativ, compute the night and ask the gate, but publish and record nothing."""
    with as_dagster_failure("dry run", district_run):
        district, night = district_run.district, district_run.today
        raw, _ = read_tonight(district_run)
        refuse_a_lost_restriction(district_run, restriction_is_known(raw["raw_parents"]))
        for tables in raw.values():
            refuse_unreadable_flags(tables, district.withholding)
        payload = compute_valid_night(district_run, raw, night)
        counts, changes, verdict = preview(
            district_run.deployment.warehouse,
            district_run.identity(),
            content_of(payload),
            district.limits,
            LandedEvidence(district_run.landing, [tables["Reads"] for tables in raw.values()]),
        )
        tried = DryRun(district.id, night, counts, verdict, tuple(changes), payload)
        statuses = ((status, getattr(counts, name)) for status, name in COUNTED.items())
        facts: dict[str, Any] = {
            "snapshot date": night.isoformat(),
            "gate": f"would hold it: {'; '.join(verdict.reasons)}" if tried.held else "would publish it",
            "statuses": table(("status", "students"), statuses),
            **change_facts(counts),
            **shares_facts(verdict, district.limits),
        }
        if tried.held:
            facts["what to do"] = verdict.to_check
        context.log.info(f"the gate {facts['gate']}")
        yield dg.Output(tried, metadata=facts)


@dg.job(
    name=DRY_RUN_JOB,
    partitions_def=DISTRICTS,
    description="Read one district's Qmlativ, compute its night and ask the gate; publish and record "
    "nothing. The district is the partition. The tag samegoal/today names another date, which may be later.",
)
def dry_run() -> None:
    """Dry-run one district's night."""
    try_night()


# -- the replay --


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
        warehouse = district_run.deployment.warehouse
        nights, skipped = find_nights(warehouse, district_run.district_id, first)
        contents = recompute(context, district_run, nights)
        identity = replace(district_run.identity(), night=nights[-1].snapshot_date)
        replayed = replay(warehouse, identity, nights, contents, dry_run=config.dry_run)
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
        computed = compute_valid_night(run, raw, night)
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

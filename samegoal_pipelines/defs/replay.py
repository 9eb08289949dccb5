"""The job that replays a district's past nights: from the landing, in order, with today's rules.

It asks nothing of Qmlativ. What a night's rows are published as is `transforms.snapshot`'s to say, and
rewriting the history the warehouse's. A replay that fails is no failed night.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.errors import SchemaBrokenError, as_dagster_failure
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night, read_date
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandedFileError, LandingError
from samegoal_pipelines.tables.catalog import RAW_TABLES, published_tables
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.transforms.snapshot import Computed, compute_night
from samegoal_pipelines.warehouse.replay import (
    LeftOut,
    NightToReplay,
    Replayed,
    ReplayedNight,
    find_nights,
    replay,
)

REPLAY_JOB = "replay_nights"
IN_MEMORY = "in_memory"
"""The resource that hands the outcome to whoever runs the job in process; it is not landed."""


class Replay(dg.Config):
    """From which night on, and whether to write."""

    from_date: str = Field(description="The first night to replay, as YYYY-MM-DD.")
    dry_run: bool = Field(
        default=True, description="Only tell what would differ; switch it off to rewrite the nights."
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a replay, and of which nights in its range nothing was there to replay."""

    replayed: Replayed
    left_out: tuple[LeftOut, ...]


class LandedNight(NamedTuple):
    """The raw rows from which a night was published."""

    raw_enrollments: Tables
    raw_students: Tables
    raw_parents: Tables


@dg.op(out=dg.Out(io_manager_key=IN_MEMORY))
def replay_landed_nights(
    context: dg.OpExecutionContext,
    config: Replay,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """Compute every published night from a date on again; tell what differs, and rewrite it unless dry."""
    with as_dagster_failure("replay", night):
        first = read_date(config.from_date, "the first night to replay")
        nights, left_out = find_nights(deployment.warehouse, night.district_id, first)
        refuse_what_is_not_landed(deployment, night.district_id, nights)
        replayed = replay(
            deployment.warehouse,
            district_id=night.district_id,
            nights=nights,
            recompute=Recomputing(context, deployment, night),
            switches=night.district.withholding,
            run_id=night.run_id,
            started_at=night.started_at,
            dry_run=config.dry_run,
        )
        outcome = Outcome(replayed, tuple(left_out))
        if replayed.written:
            yield dg.AssetObservation(
                PUBLISHED_SNAPSHOT,
                partition=night.district_id,
                description=f"nights replayed from {first} on",
                metadata=facts_of(outcome),
            )
        yield dg.Output(outcome, metadata={**facts_of(outcome), "dry run": config.dry_run})


class Recomputing:
    """Computes nights again, as the warehouse asks for them."""

    def __init__(self, context: dg.OpExecutionContext, deployment: Deployment, night: Night) -> None:
        self._context, self._deployment, self._night = context, deployment, night
        self._rows = self._nights = 0

    def __call__(self, published: NightToReplay) -> Computed:
        """What a published night's landed rows give today."""
        try:
            landed = read_night(self._deployment, self._night.district_id, published)
        except NotLandedError:
            raise LandingError(
                f"the landed rows of the night {published.night} were there when the replay began and are "
                "gone now; nothing was changed",
                next_step="replay again",
            ) from None
        computed = compute_night(*landed, published.night, withholding=self._night.district.withholding)
        declared = published_tables(self._night.district.show_restricted_contacts)
        for name, table in declared.items():
            report = validate(getattr(computed.snapshot, name), table)
            if not report.ok:
                raise SchemaBrokenError(
                    f"the night {published.night}: {report.summary()}; nothing was changed"
                )
        self._rows, self._nights = self._rows + computed.enrollment_rows, self._nights + 1
        self._context.log.info(f"the night {published.night}: {computed.enrollment_rows} enrollments")
        if self._deployment.progress:
            self._deployment.progress("enrollments of past nights", self._rows, self._nights)
        return computed


def refuse_what_is_not_landed(
    deployment: Deployment, district_id: str, nights: Sequence[NightToReplay]
) -> None:
    """Read every night's landed rows once, before anything is computed from them.

    Raises:
        LandingError: a night's rows are missing or cannot be used; names it, and from when on all can.
    """
    faults: dict[date, str] = {}
    for published in nights:
        try:
            read_night(deployment, district_id, published)
        except NotLandedError as error:
            faults[published.night] = error.detail
        except LandedFileError as error:
            faults[published.night] = f"cannot be used: file {error.table} of {error.asset} {error.fault}"
    if not faults:
        return
    night, what = next(iter(faults.items()))
    others = len(faults) - 1
    also = f", and those of {others} later night(s) are missing or cannot be used either" if others else ""
    sound = [published.night for published in nights if published.night > max(faults)]
    next_step = (
        f"the earliest date to replay from is {sound[0]}" if sound else "no later night can be replayed"
    )
    raise LandingError(f"the landed rows of the night {night} {what}{also}", next_step=next_step)


class NotLandedError(LandingError):
    """A night's landed rows cannot be replayed from; says only in which way."""


def read_night(deployment: Deployment, district_id: str, published: NightToReplay) -> LandedNight:
    """The raw rows that a published night was made from.

    Raises:
        NotLandedError: they are not there, or an older version landed them.
        LandedFileError: a file cannot be used.
    """
    return LandedNight(*(_read(deployment, asset, district_id, published) for asset in LandedNight._fields))


def _read(deployment: Deployment, asset: str, district_id: str, published: NightToReplay) -> Tables:
    """As landed by the run that published, the one whose enrollments it took, or the last one before."""
    landing, night = deployment.landing, published.night
    landed = landing.landed(asset, district_id=district_id, night=night)
    runs = [one.run_id for one in landed if one.landed_at <= published.started_at]
    for run_id in (published.run_id, published.landed_run_id, *reversed(runs)):
        if run_id in runs:
            tables = landing.read(asset, district_id=district_id, night=night, run_id=run_id)
            if RAW_TABLES[asset].keys() - tables.keys():
                raise NotLandedError("are of an older version, which did not read all that is used today")
            return tables
    raise NotLandedError("are missing")


# -- what the UI shows --


def facts_of(outcome: Outcome) -> dict[str, Any]:
    """What differs, night by night; counts, and no student."""
    differing = [night for night in outcome.replayed.nights if night.differs]
    facts: dict[str, Any] = {
        "nights": len(outcome.replayed.nights),
        "nights that differ": len(differing),
        "rewritten": outcome.replayed.written,
    }
    if differing:
        facts["differences"] = dg.MetadataValue.table([_record(night) for night in differing])
        facts["another status"] = dg.MetadataValue.md(_transitions(differing))
    if outcome.left_out:
        facts["nights left out"] = ", ".join(f"{one.night} ({one.state})" for one in outcome.left_out)
    return facts


def _record(night: ReplayedNight) -> dg.TableRecord:
    counts = {name: n for name, n in asdict(night.difference).items() if isinstance(n, int)}
    return dg.TableRecord({"night": night.night.isoformat(), "students": night.counts.students, **counts})


def _transitions(nights: Sequence[ReplayedNight]) -> str:
    rows = [
        f"| {night.night} | {one.old_status} | {one.new_status} | {one.students:,} |"
        for night in nights
        for one in night.difference.transitions
    ]
    return "\n".join(["| night | was | is | students |", "|---|---|---|---:|", *rows]) if rows else "nobody"


@dg.job(
    name=REPLAY_JOB,
    partitions_def=DISTRICTS,
    executor_def=dg.in_process_executor,
    description="Compute a district's published nights again from the landing, from a date on, with today's "
    "rules. The district is the partition; without dry_run: false in the configuration, nothing is written.",
)
def replay_nights() -> None:
    """Replay the nights of one district."""
    replay_landed_nights()

"""The job that publishes what the gate has held: exactly those rows, on a person's word, for that night only.

It reads nothing of Qmlativ and decides nothing: whether there is something to release, and whether the
district has moved on since, is the warehouse's to say. A release that fails is no failed night.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.gate import GATE_CHECK, PUBLISHED_SNAPSHOT, RELEASE_JOB
from samegoal_pipelines.defs.held import read_held
from samegoal_pipelines.defs.night import Night, read_date
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.published import facts_of
from samegoal_pipelines.defs.steps import plainly_failing
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.warehouse.errors import NothingHeld
from samegoal_pipelines.warehouse.publish import last_attempts
from samegoal_pipelines.warehouse.release import HeldSnapshot, find_held
from samegoal_pipelines.warehouse.release import release as release_held


class Release(dg.Config):
    """On whose word a held snapshot is published, and why; both go on record."""

    why: str = Field(description="Why it is right that so much changes at once, for the record.")
    who: str = Field(default="", description="Who releases it; empty: SAMEGOAL_OPERATOR, as configured.")
    night: str = Field(
        default="", description="The held night as YYYY-MM-DD; empty: the district's date now."
    )


@dg.op(out={})
def release(
    config: Release,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """Publish what the gate has held of one night of the district, and turn its check green."""
    with plainly_failing("release", night):
        if not config.why.strip():
            raise dg.Failure(f"{night.district_id}: release: say why; it goes on record", allow_retries=False)
        snapshot_date = read_date(config.night, "the night") if config.night else night.today
        held = held_of(deployment, night.district_id, snapshot_date)
        who, why = config.who.strip() or deployment.settings.operator, config.why.strip()
        published = release_held(
            deployment.warehouse,
            district_id=night.district_id,
            held=held,
            run_id=night.run_id,
            started_at=night.started_at,
            released_by=who,
            reason=why,
            **read_held(night, snapshot_date, held.run_id)._asdict(),
        )
        record = {"released by": who, "why": why, "held in run": held.run_id, "held because": held.reason}
        facts = {**facts_of(published, snapshot_date), **record}
        yield from events(night.district_id, facts, f"released by {who}: {why}")


def held_of(deployment: Deployment, district_id: str, snapshot_date: date) -> HeldSnapshot:
    """What is held of this night.

    Raises:
        NothingHeld: nothing is; says what is there instead.
        ReleaseTooLate: as `find_held` does.
    """
    try:
        return find_held(deployment.warehouse, district_id, snapshot_date)
    except NothingHeld as error:
        last = next(iter(last_attempts(deployment.warehouse, district_id, limit=1)), None)
        there = f"its last attempt is of {last.snapshot_date}: {last.state}" if last else "it has no night"
        raise NothingHeld(f"{error}; {there}") from None


def events(
    district_id: str, facts: dict[str, Any], why: str
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The release where the UI shows that a night was published: at the asset, and at its check."""
    asset = dg.AssetKey(PUBLISHED_SNAPSHOT)
    yield dg.AssetMaterialization(asset, partition=district_id, description=why, metadata=facts)
    yield dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=GATE_CHECK,
        passed=True,
        partition=district_id,
        description=why,
        metadata=facts,
    )


@dg.job(
    name=RELEASE_JOB,
    partitions_def=DISTRICTS,
    executor_def=dg.in_process_executor,
    description="Publish exactly what the gate has held of one district's night. The district is the "
    "partition; say why in the configuration.",
)
def release_held_snapshot() -> None:
    """Find what is held, and publish it."""
    release()

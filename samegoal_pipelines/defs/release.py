"""The job that publishes what the gate has held: exactly those rows, on a person's word, for that night only.

It reads nothing of Qmlativ and decides nothing: whether there is something to release, and whether the
district has moved on since, is the warehouse's to say. A release that fails is no failed night.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.events import EngineEventData  # exported by no public name
from pydantic import Field

from samegoal_pipelines.defs.checks import Finding, tell_apart
from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.gate import GATE_CHECK, PUBLISHED_SNAPSHOT, RELEASE_JOB
from samegoal_pipelines.defs.held import read_held
from samegoal_pipelines.defs.metadata import ATTEMPTS_SHOWN, snapshot_facts
from samegoal_pipelines.defs.night import Night, read_date
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.worklist import refreshed
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import Kind, PipelineError
from samegoal_pipelines.transforms.withholding import (
    CONFIDENTIAL_PHONES_SHOWN,
    RESTRICTED_CONTACTS_SHOWN,
    RESTRICTION_NOT_KNOWN,
    Withholding,
    withholding_notes,
)
from samegoal_pipelines.warehouse.errors import NothingHeldError, ReleaseTooLateError
from samegoal_pipelines.warehouse.publish import Published
from samegoal_pipelines.warehouse.release import HeldSnapshot, find_held
from samegoal_pipelines.warehouse.release import release as release_held
from samegoal_pipelines.warehouse.snapshots import last_attempts


class Release(dg.Config):
    """On whose word a held snapshot is published, and why; both go on record."""

    why: str = Field(
        default="", description="Why it is right that so much changes at once, for the record; must be said."
    )
    who: str = Field(default="", description="Who releases it; empty: SAMEGOAL_OPERATOR, as configured.")
    night: str = Field(
        default="", description="The held night as YYYY-MM-DD; empty: the district's date now."
    )


@dg.op(out={})
def release(
    context: dg.OpExecutionContext,
    config: Release,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """Publish what the gate has held of one night of the district, and turn its check green."""
    with as_dagster_failure("release", night):
        if not config.why.strip():
            raise PipelineError(
                "no reason was given", kind=Kind.RELEASE, next_step="say why; it goes on record"
            )
        snapshot_date = read_date(config.night, "the night") if config.night else night.today
        held = held_of(deployment, night, snapshot_date)
        refuse_what_is_withheld_since(deployment, night, held)
        who, why = config.who.strip() or deployment.settings.operator, config.why.strip()
        published = release_held(
            deployment.warehouse,
            district_id=night.district_id,
            held=held,
            switches=shown_by(held),
            run_id=night.run_id,
            started_at=night.started_at,
            released_by=who,
            reason=why,
            **read_held(night, snapshot_date, held.run_id)._asdict(),
        )
        link_to_release(context, held)
        yield from events(context, deployment, published, Record(who, why, held))
        yield from refreshed(context, deployment, night, snapshot_date, held.landed_run_id or held.run_id)


def held_of(deployment: Deployment, night: Night, snapshot_date: date) -> HeldSnapshot:
    """What is held of this night.

    Raises:
        NothingHeldError: nothing is; says what is there instead.
        ReleaseTooLateError: as `find_held` does.
    """
    try:
        return find_held(deployment.warehouse, night.district_id, snapshot_date)
    except NothingHeldError as error:
        last = next(iter(last_attempts(deployment.warehouse, night.district_id, limit=1)), None)
        there = f"its last attempt is of {last.snapshot_date}: {last.state}" if last else "it has no night"
        raise NothingHeldError(f"{error.detail}; {there}") from None


def shown_by(held: HeldSnapshot) -> Withholding:
    """Which contacts that are withheld by default the held snapshot shows."""
    return Withholding(RESTRICTED_CONTACTS_SHOWN in held.notes, CONFIDENTIAL_PHONES_SHOWN in held.notes)


def refuse_what_is_withheld_since(deployment: Deployment, night: Night, held: HeldSnapshot) -> None:
    """Let no release show contacts that the district has been set to withhold since they were held.

    Raises:
        ReleaseTooLateError: it shows some.
        RestrictionsForgottenError: it shows all contacts: the restriction flag was not readable.
    """
    switches, known = night.district.withholding, RESTRICTION_NOT_KNOWN not in held.notes
    if {RESTRICTED_CONTACTS_SHOWN, CONFIDENTIAL_PHONES_SHOWN} & (
        {*held.notes} - {*withholding_notes(known, switches)}
    ):
        raise ReleaseTooLateError(
            f"what was held on {held.snapshot_date} shows contacts that the district has been set to "
            "withhold since"
        )
    refuse_a_lost_restriction(deployment, night, known)


class Record(NamedTuple):
    """Who released what, and why."""

    who: str
    why: str
    held: HeldSnapshot

    def facts(self) -> dict[str, Any]:
        """As the UI shows it, with a link to the run that was held."""
        return {
            "released by": self.who,
            "why": self.why,
            "held in run": dg.MetadataValue.dagster_run(self.held.run_id),
            "held because": self.held.reason,
        }


def events(
    context: dg.OpExecutionContext, deployment: Deployment, published: Published, record: Record
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The release where the UI shows that a night was published: at the asset, and at its check."""
    district_id, told = context.partition_key, f"released by {record.who}: {record.why}"
    attempts = last_attempts(deployment.warehouse, district_id, limit=ATTEMPTS_SHOWN)
    facts = record.facts() | snapshot_facts(published, attempts, record.held.snapshot_date)
    yield dg.AssetMaterialization(PUBLISHED_SNAPSHOT, partition=district_id, description=told, metadata=facts)
    gate = {GATE_CHECK: Finding(True, told, record.facts())}
    yield from tell_apart(context.instance, PUBLISHED_SNAPSHOT, district_id, gate)


def link_to_release(context: dg.OpExecutionContext, held: HeldSnapshot) -> None:
    """Write the release into the log of the run that was held, as far as Dagster still has that run."""
    run = context.instance.get_run_by_id(held.run_id)
    if run is not None:
        link = EngineEventData(metadata={"released in run": dg.MetadataValue.dagster_run(context.run_id)})
        context.instance.report_engine_event("What was held here has been released.", run, link)


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

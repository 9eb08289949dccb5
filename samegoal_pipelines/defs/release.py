"""A release: a run that materializes `published_snapshot` from the held rows, requested by a person.

It has the tag samegoal/release. Assets that depend on the snapshot follow in the same run. Nothing is read
from Qmlativ. The warehouse decides whether there is something to release. A failed release does not count as
a failed night.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.dagster_internals import link_release
from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction
from samegoal_pipelines.defs.district_run import RELEASE_TAG, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.gate import GATE_CHECK, PUBLISHED_SNAPSHOT, RELEASE_JOB
from samegoal_pipelines.defs.materializing import Finding, check_results, materialized, validate_payload
from samegoal_pipelines.defs.metadata import rows_facts, snapshot_facts
from samegoal_pipelines.errors import SYNC, Kind, PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.transforms.withholding import (
    CONFIDENTIAL_PHONES_SHOWN,
    RESTRICTED_CONTACTS_SHOWN,
    RESTRICTION_NOT_KNOWN,
    Withholding,
)
from samegoal_pipelines.warehouse.release import find_held, release
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.snapshots import Snapshot


class Release(dg.Config):
    """For a release only: who publishes a held snapshot, and why. Both are recorded."""

    why: str = Field(
        default="", description="Why it is right that so much changes at once. Required for a release."
    )
    who: str = Field(default="", description="Who releases it. Empty: SAMEGOAL_OPERATOR.")
    night: str = Field(
        default="", description="The held night as YYYY-MM-DD. Empty: the district's date now."
    )


def release_held(context: dg.AssetExecutionContext, config: Release, run: DistrictRun) -> Iterator[Any]:
    """Publish the held snapshot of this run's night, and turn its check green."""
    with as_dagster_failure("release", run):
        who, why = config.who.strip() or run.deployment.settings.operator, config.why.strip()
        if not why:
            raise PipelineError("no reason was given", kind=Kind.RELEASE, next_step="say why; it is recorded")
        held = find_held(run.deployment.warehouse, run.district_id, run.today)
        refuse_a_lost_restriction(run, RESTRICTION_NOT_KNOWN not in held.notes)
        payload = _read_held(run, held)
        sound = yield from validate_payload(context, PUBLISHED_SNAPSHOT, payload)
        published = release(
            run.deployment.warehouse,
            run.identity(held.landed_run_id),
            content_of(payload),
            released_by=who,
            reason=why,
        )
        link_release(context.instance, held.run_id, context.run.run_id)
        facts = {
            "released by": who,
            "why": why,
            "held in run": dg.MetadataValue.dagster_run(held.run_id),
            "held because": held.reason,
        }
        shown = facts | snapshot_facts(published, run) | rows_facts(payload, published)
        yield materialized(context, PUBLISHED_SNAPSHOT, shown)
        yield from sound
        found = {GATE_CHECK: Finding(True, f"released by {who}: {why}", facts)}
        yield from check_results(context, PUBLISHED_SNAPSHOT, found)


def _read_held(run: DistrictRun, held: Snapshot) -> SnapshotPayload:
    """Read exactly what was held."""
    try:
        landed = run.landing.read(HELD_SNAPSHOT, held.snapshot_date, held.run_id)
    except LandingError:
        raise LandingError(
            f"what was held on {held.snapshot_date} is no longer in the landing, or is damaged",
            kind=Kind.LANDED_ROWS,
            next_step=f"run the night again: {SYNC}",
        ) from None
    return SnapshotPayload.from_landed(landed)._replace(
        enrollment_rows=held.enrollment_rows,
        quarantined=held.quarantined,
        notes=tuple(held.notes),
        shows=Withholding(RESTRICTED_CONTACTS_SHOWN in held.notes, CONFIDENTIAL_PHONES_SHOWN in held.notes),
    )


release_held_snapshot = dg.define_asset_job(
    RELEASE_JOB,
    # Everything that depends on the snapshot follows, except the report, which covers all districts and has
    # its own sensor.
    selection=dg.AssetSelection.assets(PUBLISHED_SNAPSHOT).downstream() - dg.AssetSelection.groups("report"),
    tags={RELEASE_TAG: "true"},
    executor_def=dg.in_process_executor,
    description="Publish exactly what the gate held for one district's night. The district is the "
    "partition. Say why in the configuration.",
)

"""Group published: tonight's snapshot, published completely, held for a person, or released by one.

`transforms.gate` decides what is held. A release is a run with the tag samegoal/release that materializes
`published_snapshot` from the held rows. Assets that depend on the snapshot follow in the same run. Nothing is
read from Qmlativ. A failed release does not count as a failed night.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import dagster as dg
from pydantic import Field

from samegoal_pipelines.defs.dagster_internals import location_of
from samegoal_pipelines.defs.district_run import (
    DISTRICTS,
    PARTITION_TAG,
    PUBLISHED_SNAPSHOT,
    RELEASE_TAG,
    DistrictRun,
)
from samegoal_pipelines.defs.errors import as_dagster_failure, tag_outcome
from samegoal_pipelines.defs.materializing import (
    ERROR,
    Finding,
    Tables,
    check_results,
    column_metadata,
    declared_tables,
    district_check,
    materialized,
    schema_check,
    validate_tables,
)
from samegoal_pipelines.defs.metadata import rows_facts, snapshot_facts, table
from samegoal_pipelines.defs.students import refuse_a_lost_restriction
from samegoal_pipelines.defs.worklist import list_of_held
from samegoal_pipelines.errors import SYNC, Kind, PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT, LandedEvidence
from samegoal_pipelines.tables.catalog import PUBLISHED, VIEWS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Verdict, shares
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, assemble_snapshot
from samegoal_pipelines.transforms.withholding import (
    CONFIDENTIAL_PHONES_SHOWN,
    RESTRICTED_CONTACTS_SHOWN,
    RESTRICTION_NOT_KNOWN,
    Withholding,
)
from samegoal_pipelines.warehouse.publishing import find_held, publish_or_hold, release
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.snapshots import Snapshot

GATE_CHECK = "gate"
RELEASE_JOB = "release_held_snapshot"


class Release(dg.Config):
    """For a release only: who publishes a held snapshot, and why. Both are recorded."""

    why: str = Field(
        default="", description="Why it is right that so much changes at once. Required for a release."
    )
    who: str = Field(default="", description="Who releases it. Empty: SAMEGOAL_OPERATOR.")
    night: str = Field(
        default="", description="The held night as YYYY-MM-DD. Empty: the district's date now."
    )


@dg.asset(
    group_name="published",
    kinds={"postgres"},
    partitions_def=DISTRICTS,
    check_specs=[
        schema_check(PUBLISHED_SNAPSHOT),
        district_check(
            PUBLISHED_SNAPSHOT,
            GATE_CHECK,
            "Tonight's snapshot differs little enough from the published one to replace it. Red: it is held, "
            "with these numbers, and SameGoal keeps reading last night's until a person has looked and runs "
            f"the job {RELEASE_JOB}, or until a later night passes.",
        ),
    ],
    metadata=column_metadata(PUBLISHED_SNAPSHOT, {view: VIEWS[view] for view in PUBLISHED}),
)
def published_snapshot(
    context: dg.AssetExecutionContext,
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    student_demographics: Tables,
    parent_demographics: Tables,
    config: Release,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """The status and demographics that SameGoal reads, replaced in one transaction.

    Uncertain students and students without a record are carried over as last published, without newly
    withheld contacts. If too much would change at once, the snapshot is held: nothing is replaced until a
    person releases it with the job release_held_snapshot, or a later night passes.
    """
    if district_run.is_release:
        yield from release_held(context, config, district_run)
        return
    with as_dagster_failure(PUBLISHED_SNAPSHOT, district_run, of_night=True):
        reads = district_run.landing.reads()
        refuse_a_lost_restriction(district_run, parent_demographics["restriction"]["is_known"].item())
        payload = assemble_snapshot(
            cecs_filtered_enrollments, student_status, student_demographics, parent_demographics, reads
        )
        found = yield from validate_tables(PUBLISHED_SNAPSHOT, payload.published(), declared_tables(payload))
        landed_run_id = district_run.landing.enrollments_run_id()
        refuse_finished_run(context)
        outcome, verdict = publish_or_hold(
            district_run.deployment.warehouse,
            district_run.identity(landed_run_id),
            content_of(payload),
            district_run.district.limits,
            LandedEvidence(district_run.landing, reads),
        )
        facts = snapshot_facts(outcome, district_run)
        found[GATE_CHECK] = gate_finding(context, district_run, outcome, verdict, facts)
        if outcome.published:
            if district_run.outcome:
                tag_outcome(district_run, "published")
            yield materialized(context, PUBLISHED_SNAPSHOT, facts | rows_facts(payload, outcome), found)
        else:
            yield from check_results(PUBLISHED_SNAPSHOT, found)
            yield from list_of_held(
                context, district_run, landed_run_id, cecs_filtered_enrollments, student_status
            )
            tag_outcome(district_run, "held")
            raise dg.Failure(
                f"{district_run.district_id}: held: {outcome.reason}; last night's snapshot stays. To do: "
                f"{outcome.to_do}, or with the job {RELEASE_JOB} in the Dagster UI",
                allow_retries=False,  # a retry would be held again
            )


def refuse_finished_run(context: dg.AssetExecutionContext) -> None:
    """Refuse to publish if Dagster has declared this run lost, or a person has canceled it.

    That happens while the host of a worker cannot be reached. The run's retry publishes the night.
    """
    run = context.instance.get_run_by_id(context.run.run_id)
    if run is None or run.is_finished:
        raise dg.Failure(
            f"{context.partition_key}: publishing: Dagster has ended this run already; its retry publishes "
            "the night; if there is none, run the night again",
            allow_retries=False,
        )


def gate_finding(
    context: dg.AssetExecutionContext,
    run: DistrictRun,
    outcome: Snapshot,
    verdict: Verdict,
    about: Mapping[str, Any],
) -> Finding:
    """The outcome of the gate's check, with the shares and their limits.

    It also shows the facts `about` a held snapshot, because no materialization does.
    """
    facts = shares_facts(verdict, run.district.limits)
    if outcome.held:
        to_do = {"what to do": outcome.to_do, "release it": _release_link(context, run)}
        return Finding(False, f"held: {outcome.reason}", {**facts, **about, **to_do}, ERROR)
    said = "nothing to compare: the district's first snapshot, or the same rows as are published"
    return Finding(True, "within the limits" if facts else said, facts, ERROR)


def shares_facts(verdict: Verdict, limits: Limits) -> dict[str, Any]:
    """What the gate compared, and its limits. Dagster sorts by name, so that this comes first."""
    if not verdict.numbers:
        return {}
    columns = ("what", "rows", "of", "share", "held above")
    return {"each share and its limit": table(columns, shares(limits, verdict.numbers))}


def _release_link(context: dg.AssetExecutionContext, run: DistrictRun) -> dg.MarkdownMetadataValue:
    """A link to the release in the launchpad, filled in except for who and why."""
    config = f"""\
ops:
  published_snapshot:
    config:
      night: '{run.today}'
      who: ''  # your name; empty: SAMEGOAL_OPERATOR
      why: ''  # required
"""
    tag = {"tags[0][key]": PARTITION_TAG, "tags[0][value]": run.district_id}
    page = f"/locations/{location_of(context.run)}/jobs/{RELEASE_JOB}/playground/setup"
    query = urlencode({"config": config, **tag})
    return dg.MetadataValue.md(
        f"[Publish what is held: say why, and launch]({page}?{query})\n\n"
        f"This publishes exactly what was held for {run.district_id} for {run.today}, not what Qmlativ "
        "says now. Who released it and why is recorded."
    )


# -- a release --


def release_held(context: dg.AssetExecutionContext, config: Release, run: DistrictRun) -> Iterator[Any]:
    """Publish the held snapshot of this run's night, and turn its check green."""
    with as_dagster_failure("release", run):
        who, why = config.who.strip() or run.deployment.settings.operator, config.why.strip()
        if not why:
            raise PipelineError("no reason was given", kind=Kind.RELEASE, next_step="say why; it is recorded")
        held = find_held(run.deployment.warehouse, run.district_id, run.today)
        refuse_a_lost_restriction(run, RESTRICTION_NOT_KNOWN not in held.notes)
        payload = _read_held(run, held)
        found = yield from validate_tables(PUBLISHED_SNAPSHOT, payload.published(), declared_tables(payload))
        identity = run.identity(held.landed_run_id)
        published = release(
            run.deployment.warehouse, identity, content_of(payload), released_by=who, reason=why
        )
        if held_run := context.instance.get_run_by_id(held.run_id):  # Dagster prunes old ones
            said = f"What was held here has been released by run {context.run.run_id}."
            context.instance.report_engine_event(said, held_run)
        facts = {
            "released by": who,
            "why": why,
            "held in run": dg.MetadataValue.dagster_run(held.run_id),
            "held because": held.reason,
        }
        shown = facts | snapshot_facts(published, run) | rows_facts(payload, published)
        found[GATE_CHECK] = Finding(True, f"released by {who}: {why}", facts)
        yield materialized(context, PUBLISHED_SNAPSHOT, shown, found)


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
        enrollment_rows=held.enrollment_rows or 0,
        quarantined=held.quarantined or 0,
        notes=tuple(held.notes),
        shows=Withholding(RESTRICTED_CONTACTS_SHOWN in held.notes, CONFIDENTIAL_PHONES_SHOWN in held.notes),
    )


release_held_snapshot = dg.define_asset_job(
    RELEASE_JOB,
    # Everything that depends on the snapshot follows, except the report, which covers all districts and has
    # its own sensor, and the worklist, which was made from the same rows when they were held.
    selection=dg.AssetSelection.assets(PUBLISHED_SNAPSHOT).downstream()
    - dg.AssetSelection.groups("report", "worklist"),
    tags={RELEASE_TAG: "true"},
    description="Publish exactly what the gate held for one district's night. The district is the "
    "partition. Say why in the configuration.",
)

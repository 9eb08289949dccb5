"""Group published: tonight's snapshot, published completely or held for a person."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction, shown_by
from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure, tag_outcome
from samegoal_pipelines.defs.gate import (
    GATE_CHECK,
    PUBLISHED_SNAPSHOT,
    gate_check,
    gate_finding,
    held_failure,
)
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, published_columns
from samegoal_pipelines.defs.materializing import (
    check_results,
    materialized,
    schema_check,
    validate_payload,
)
from samegoal_pipelines.defs.metadata import rows_facts, snapshot_facts
from samegoal_pipelines.defs.release import Release, release_held
from samegoal_pipelines.defs.worklist import list_of_held
from samegoal_pipelines.landing.runs import LandedEvidence
from samegoal_pipelines.transforms.demographics import StudentDemographics
from samegoal_pipelines.transforms.snapshot import assemble_snapshot
from samegoal_pipelines.transforms.status import StudentStatuses
from samegoal_pipelines.warehouse.publishing import publish_or_hold
from samegoal_pipelines.warehouse.rows import content_of


@dg.asset(
    group_name="published",
    kinds={"postgres"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check(PUBLISHED_SNAPSHOT), gate_check],
    metadata=published_columns() | column_lineage(PUBLISHED_SNAPSHOT),
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
        reads = district_run.landing.read_reads(district_run.today, district_run.run_id)
        known = bool(parent_demographics["restriction"]["is_known"].item())
        refuse_a_lost_restriction(district_run, known)
        payload = assemble_snapshot(
            cecs_filtered_enrollments["enrollments"],
            cecs_filtered_enrollments["excluded"],
            StudentStatuses(student_status["student_status"], student_status["uncertain"]),
            StudentDemographics(
                student_demographics["student_demographics"], student_demographics["without_record"]
            ),
            parent_demographics["parent_demographics"],
            restriction_known=known,
            restricted=parent_demographics["restricted"],
            confidential=[tables["confidential"] for tables in (student_demographics, parent_demographics)],
            withholding=shown_by(student_demographics, parent_demographics),
            reads=reads,
        )
        sound = yield from validate_payload(context, PUBLISHED_SNAPSHOT, payload)
        landed_run_id = district_run.landing.enrollments_run_id()
        refuse_finished_run(context)
        outcome, verdict = publish_or_hold(
            district_run.deployment.warehouse,
            district_run.identity(landed_run_id),
            content_of(payload),
            district_run.district.limits,
            LandedEvidence(district_run.landing, payload, reads),
        )
        facts = snapshot_facts(outcome, district_run)
        if outcome.published:
            yield materialized(context, PUBLISHED_SNAPSHOT, facts | rows_facts(payload, outcome))
        yield from sound
        found = {GATE_CHECK: gate_finding(context, district_run, outcome, verdict, facts)}
        yield from check_results(context, PUBLISHED_SNAPSHOT, found)
        if outcome.held:
            yield from list_of_held(
                context, district_run, landed_run_id, cecs_filtered_enrollments, student_status
            )
            tag_outcome(district_run, "held")
            raise held_failure(district_run, outcome)


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

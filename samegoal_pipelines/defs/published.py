"""Group published: tonight's snapshot, published completely or held for a person."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.checks import check_results
from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction, refuse_other_switches
from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import (
    materialized,
    record_failures,
    schema_check,
    tag_outcome,
    validate_tables,
)
from samegoal_pipelines.defs.gate import (
    PUBLISHED_SNAPSHOT,
    gate_check,
    gate_finding,
    held_failure,
    release_link,
)
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, published_columns
from samegoal_pipelines.defs.metadata import ATTEMPTS_SHOWN, rows_facts, snapshot_facts
from samegoal_pipelines.defs.release import Release, release_held
from samegoal_pipelines.defs.worklist import list_of_held
from samegoal_pipelines.landing.runs import LandedEvidence
from samegoal_pipelines.tables.catalog import published_tables
from samegoal_pipelines.transforms.demographics import StudentDemographics
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, assemble_snapshot
from samegoal_pipelines.transforms.status import StudentStatuses
from samegoal_pipelines.warehouse.publishing import publish_or_hold
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.session import Held, Published
from samegoal_pipelines.warehouse.snapshots import last_attempts


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
    with record_failures(PUBLISHED_SNAPSHOT, district_run):
        refuse_other_switches(district_run, student_demographics, parent_demographics)
        refuse_a_lost_restriction(district_run, restriction_is_known(parent_demographics))
        reads = district_run.landing.read_reads(district_run.today, district_run.run_id)
        payload = payload_of(
            district_run,
            reads,
            cecs_filtered_enrollments,
            student_status,
            student_demographics,
            parent_demographics,
        )
        sound = yield from validate_tables(
            context,
            PUBLISHED_SNAPSHOT,
            payload.published(),
            published_tables(district_run.district.show_restricted_contacts),
        )
        landed_run_id = district_run.landing.enrollments_run_id()
        refuse_finished_run(context)
        outcome = publish_or_hold(
            district_run.deployment.warehouse,
            district_run.identity(landed_run_id),
            content_of(payload),
            district_run.district.limits,
            LandedEvidence(district_run.landing, payload, reads),
        )
        yield from events(context, district_run, payload, outcome, sound)
        if isinstance(outcome, Held):
            yield from list_of_held(context, district_run, landed_run_id)
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
            "the night, so there is nothing to do",
            allow_retries=False,
        )


def payload_of(
    run: DistrictRun,
    reads: Sequence[pd.DataFrame],
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    student_demographics: Tables,
    parent_demographics: Tables,
) -> SnapshotPayload:
    """Assemble what a night's assets publish."""
    return assemble_snapshot(
        cecs_filtered_enrollments["enrollments"],
        cecs_filtered_enrollments["excluded"],
        StudentStatuses(student_status["student_status"], student_status["uncertain"]),
        StudentDemographics(
            student_demographics["student_demographics"], student_demographics["without_record"]
        ),
        parent_demographics["parent_demographics"],
        restriction_known=restriction_is_known(parent_demographics),
        restricted=parent_demographics["restricted"],
        confidential=[tables["confidential"] for tables in (student_demographics, parent_demographics)],
        withholding=run.district.withholding,
        reads=reads,
    )


def restriction_is_known(parent_demographics: Tables) -> bool:
    """Whether it is known which parents are under restriction."""
    (known,) = parent_demographics["restriction"]["is_known"]
    return bool(known)


def events(
    context: dg.AssetExecutionContext,
    run: DistrictRun,
    payload: SnapshotPayload,
    outcome: Published | Held,
    sound: Iterable[dg.AssetCheckResult],
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """The events for the UI: the materialization, if the night is published, and the checks."""
    attempts = last_attempts(run.deployment.warehouse, run.district_id, limit=ATTEMPTS_SHOWN)
    facts, tables = snapshot_facts(outcome, attempts, run.today), payload.published()
    about_held = {**facts, "release it": release_link(context, run)}
    found = gate_finding(outcome, run, about_held)
    if isinstance(outcome, Published):
        yield materialized(context, PUBLISHED_SNAPSHOT, facts | rows_facts(tables, outcome))
    yield from chain(sound, check_results(context, PUBLISHED_SNAPSHOT, found))

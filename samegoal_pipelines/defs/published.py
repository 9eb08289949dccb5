"""Group published: tonight's snapshot in the warehouse, all of it or none of it; or held for a person."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.gate import (
    GATE_CHECK,
    PUBLISHED_SNAPSHOT,
    gate_check,
    gate_of,
    gate_result,
    held_failure,
)
from samegoal_pipelines.defs.held import HELD_SNAPSHOT, notes_of, to_publish
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.steps import check_tables, is_selected, recorded, schema_check
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.schemas.demographics import StudentDemographics, published_parents_model
from samegoal_pipelines.schemas.status import PublishedStatus
from samegoal_pipelines.warehouse.publish import Held, Published, publish


@dg.asset(
    group_name="published",
    kinds={"postgres"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check(PUBLISHED_SNAPSHOT), gate_check],
)
def published_snapshot(
    context: dg.AssetExecutionContext,
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    student_demographics: Tables,
    parent_demographics: Tables,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """The status and demographics that SameGoal reads, replaced in one transaction.

    Uncertain students and students without a record keep what was last published, but for what has come
    to be withheld since: contacts under restriction, confidential numbers. Where too much would change at
    once, it is held: nothing is replaced until a person releases it with the job release_held_snapshot, or a
    later night passes.
    """
    with recorded(PUBLISHED_SNAPSHOT, night):
        tonight = to_publish(
            cecs_filtered_enrollments, student_status, student_demographics, parent_demographics
        )
        tables = {name: tonight.tables()[name] for name in ("status", "students", "parents")}
        yield from check_tables(context, PUBLISHED_SNAPSHOT, tables, published_models(night))
        outcome = publish(
            deployment.warehouse,
            district_id=night.district_id,
            snapshot_date=night.today,
            run_id=night.run_id,
            started_at=night.started_at,
            landed_run_id=night.landed_run_id(),
            local_date=night.local_date,
            notes=notes_of(parent_demographics, night.district.withholding),
            gate=gate_of(night, cecs_filtered_enrollments),
            on_hold=lambda: night.land(HELD_SNAPSHOT, tonight.tables()),
            **tonight._asdict(),
        )
        if is_selected(context, PUBLISHED_SNAPSHOT, GATE_CHECK):
            yield gate_result(outcome.verdict, night.district.limits)
        if isinstance(outcome, Held):
            raise held_failure(night, outcome)
        yield dg.MaterializeResult(metadata=facts_of(outcome, night.today))


def published_models(night: Night) -> dict[str, Any]:
    """Table name → pandera model of what this district publishes."""
    parents = published_parents_model(night.district.show_restricted_contacts)
    return {"status": PublishedStatus, "students": StudentDemographics, "parents": parents}


def facts_of(published: Published, snapshot_date: date) -> dict[str, Any]:
    """What the UI shows with a published snapshot: its counts and its night."""
    counts = {name: count for name, count in asdict(published).items() if isinstance(count, int)}
    return {**counts, "snapshot date": snapshot_date.isoformat()}

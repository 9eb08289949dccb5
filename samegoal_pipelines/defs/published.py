"""Group published: tonight's snapshot in the warehouse, all of it or none of it; or held for a person."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.checks import tell
from samegoal_pipelines.defs.demographics import refuse_a_lost_restriction, refuse_other_switches
from samegoal_pipelines.defs.errors import materialized, record_failures, schema_check, validate_tables
from samegoal_pipelines.defs.gate import (
    PUBLISHED_SNAPSHOT,
    gate_check,
    gate_finding,
    gate_of,
    held_failure,
    reads_that_landed,
    release_link,
)
from samegoal_pipelines.defs.held import HELD_SNAPSHOT, ToPublish, notes_of, restriction_is_known, to_publish
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, published_columns
from samegoal_pipelines.defs.metadata import ATTEMPTS_SHOWN, rows_facts, snapshot_facts
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.worklist import list_of_held
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.tables.catalog import published_tables
from samegoal_pipelines.warehouse.gate import Gate
from samegoal_pipelines.warehouse.publish import Held, Published, publish
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
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """The status and demographics that SameGoal reads, replaced in one transaction.

    Uncertain students and students without a record keep what was last published, but for what has come
    to be withheld since: contacts under restriction, confidential numbers. Where too much would change at
    once, it is held: nothing is replaced until a person releases it with the job release_held_snapshot, or a
    later night passes.
    """
    with record_failures(PUBLISHED_SNAPSHOT, night):
        refuse_other_switches(night, student_demographics, parent_demographics)
        refuse_a_lost_restriction(deployment, night, restriction_is_known(parent_demographics))
        tonight = to_publish(
            cecs_filtered_enrollments, student_status, student_demographics, parent_demographics
        )
        sound = yield from validate_tables(
            context,
            PUBLISHED_SNAPSHOT,
            tonight.published(),
            published_tables(night.district.show_restricted_contacts),
        )
        landed_run_id = night.landed_run_id()
        gate = gate_of(night, cecs_filtered_enrollments)
        reads = reads_that_landed(night, night.today, night.run_id)
        notes = notes_of(parent_demographics, night.district.withholding, reads)
        outcome = publish_or_hold(deployment, night, tonight, landed_run_id, gate, notes)
        yield from events(context, deployment, night, tonight, outcome, sound)
        if isinstance(outcome, Held):
            yield from list_of_held(context, deployment, night, landed_run_id)
            night.tag_outcome("held")
            raise held_failure(night, outcome)


def publish_or_hold(
    deployment: Deployment,
    night: Night,
    tonight: ToPublish,
    landed_run_id: str | None,
    gate: Gate,
    notes: Sequence[str],
) -> Published | Held:
    """Publish the night as this run's, as `warehouse.publish` does; what is held is landed."""
    return publish(
        deployment.warehouse,
        district_id=night.district_id,
        snapshot_date=night.today,
        run_id=night.run_id,
        started_at=night.started_at,
        landed_run_id=landed_run_id,
        switches=night.district.withholding,
        notes=notes,
        gate=gate,
        on_hold=lambda: night.land(HELD_SNAPSHOT, tonight.tables()),
        **tonight._asdict(),
    )


def events(
    context: dg.AssetExecutionContext,
    deployment: Deployment,
    night: Night,
    tonight: ToPublish,
    outcome: Published | Held,
    sound: Iterable[dg.AssetCheckResult],
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """What the UI shows: the checks, and before them the materialization, where the night is published."""
    attempts = last_attempts(deployment.warehouse, night.district_id, limit=ATTEMPTS_SHOWN)
    facts, tables = snapshot_facts(outcome, attempts, night.today), tonight.published()
    about_held = {**facts, "release it": release_link(context, night)}
    found = gate_finding(outcome, night.district.limits, about_held)
    if isinstance(outcome, Published):
        yield materialized(context, PUBLISHED_SNAPSHOT, facts | rows_facts(tables, outcome))
    yield from chain(sound, tell(context, PUBLISHED_SNAPSHOT, found))

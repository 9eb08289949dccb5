"""The registrar's worklist: what should be looked at in Qmlativ, by school, with the checks that count it.

It follows a night's snapshot, published or held: what holds a night is often what a registrar can mend in the
morning. A night that failed leaves the list that was there. Not here: what belongs on it
(`transforms.worklist`), nor which night's list stands (`warehouse.worklist`).
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.checks import (
    WORKLIST,
    check_results,
    finding_checks,
    report_check_results,
    worklist_findings,
)
from samegoal_pipelines.defs.errors import (
    as_dagster_failure,
    materialized,
    schema_check,
    validate_tables,
)
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_schema
from samegoal_pipelines.defs.metadata import worklist_facts
from samegoal_pipelines.defs.night import Night, NotLandedError
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandedFileError
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines.transforms.worklist import list_problems
from samegoal_pipelines.warehouse.worklist import publish_worklist


@dg.multi_asset(  # of one asset: only such a step may end without its asset and checks, as a release's may
    name=WORKLIST,
    outs={
        WORKLIST: dg.AssetOut(
            group_name="worklist",
            description="Enrollments that a registrar should look at: which one, what is odd about it, what "
            "to do in Qmlativ. The table of this name in the warehouse has them, by school; here are their "
            "numbers.",
            kinds={"pandas", "postgres"},
            metadata=column_schema(REGISTRAR_WORKLIST),
            is_required=False,
        )
    },
    check_specs=[schema_check(WORKLIST), *finding_checks(WORKLIST)],
    partitions_def=DISTRICTS,
    deps=[PUBLISHED_SNAPSHOT],
    can_subset=True,
)
def registrar_worklist(
    context: dg.AssetExecutionContext,
    raw_enrollments: Tables,
    raw_students: Tables,
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """Make and keep the list; skipped by a release whose landed rows are gone."""
    # The snapshot is published: a list that fails is no failed night.
    with as_dagster_failure(WORKLIST, night):
        try:
            worklist = list_problems(
                raw_enrollments,
                raw_students,
                cecs_filtered_enrollments["enrollments"],
                cecs_filtered_enrollments["excluded"],
                student_status["student_status"],
                student_status["uncertain"],
                night.today,
            )
        except (NotLandedError, LandedFileError) as gone:
            if not night.is_release:
                raise
            context.log.warning(
                f"{WORKLIST}: skipped, because the landed rows of the released night are gone or damaged "
                f"({gone.detail}); the list that was made when the night was held stays"
            )
            return
        tables, declared = {WORKLIST: worklist}, {WORKLIST: REGISTRAR_WORKLIST}
        sound = yield from validate_tables(context, WORKLIST, tables, declared)
        publish_worklist(
            deployment.warehouse,
            worklist,
            district_id=night.district_id,
            snapshot_date=night.today,
        )
        yield materialized(context, WORKLIST, worklist_facts(worklist, night.today))
        yield from chain(sound, check_results(context, WORKLIST, worklist_findings(worklist)))


def list_of_held(
    context: dg.AssetExecutionContext, deployment: Deployment, night: Night, landed_run_id: str | None
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The list of a night that this run has just held; the asset itself comes only after what is published.

    Whatever goes wrong with it is a line in the log: the run is to end by saying why the night is held.
    """
    try:
        with as_dagster_failure(WORKLIST, night):
            raw_enrollments, raw_students = (
                night.read_landed(asset, night.today, landed_run_id or night.run_id)
                for asset in ("raw_enrollments", "raw_students")
            )
            filtered = filter_enrollments(raw_enrollments, night.today)
            statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, night.today)
            worklist = list_problems(
                raw_enrollments,
                raw_students,
                filtered.enrollments,
                filtered.excluded,
                statuses,
                uncertain,
                night.today,
            )
            publish_worklist(
                deployment.warehouse,
                worklist,
                district_id=night.district_id,
                snapshot_date=night.today,
                held_by=night.run_id,
            )
            facts = worklist_facts(worklist, night.today)
            yield dg.AssetMaterialization(WORKLIST, partition=night.district_id, metadata=facts)
            yield from report_check_results(
                context.instance, WORKLIST, night.district_id, worklist_findings(worklist)
            )
    except dg.Failure as failure:
        context.log.warning(failure.description)

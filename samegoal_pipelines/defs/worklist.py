"""The registrar's worklist: what should be looked at in Qmlativ, by school, with the checks that count it.

It follows a published snapshot and is replaced with it: a night that failed or was held leaves the list that
belongs to what SameGoal reads. Not here: what belongs on it (`transforms.worklist`).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.findings import WORKLIST, finding_checks, tell, worklist_findings
from samegoal_pipelines.defs.gate import PUBLISHED_SNAPSHOT
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.steps import check_tables, column_schema, plainly_failing, schema_check
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.schemas.worklist import RegistrarWorklist
from samegoal_pipelines.transforms.worklist import count_problems, list_problems
from samegoal_pipelines.warehouse.worklist import publish_worklist


@dg.asset(
    group_name="published",
    kinds={"pandas", "postgres"},
    partitions_def=DISTRICTS,
    deps=[PUBLISHED_SNAPSHOT],
    check_specs=[schema_check(WORKLIST), *finding_checks(WORKLIST)],
    metadata=column_schema(RegistrarWorklist),
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
    """Enrollments that a registrar should look at: which one, what is odd about it, what to do in Qmlativ.

    The table of this name in the warehouse has them, by school; here are their numbers.
    """
    with plainly_failing(WORKLIST, night):  # the snapshot is published: a list that fails is no failed night
        worklist = list_problems(
            raw_enrollments,
            raw_students,
            cecs_filtered_enrollments["enrollments"],
            cecs_filtered_enrollments["left_out"],
            student_status["student_status"],
            student_status["uncertain"],
            night.today,
        )
        yield from check_tables(context, WORKLIST, {WORKLIST: worklist}, {WORKLIST: RegistrarWorklist})
        publish_worklist(
            deployment.warehouse, worklist, district_id=night.district_id, snapshot_date=night.today
        )
        yield from tell(context, WORKLIST, worklist_findings(worklist))
        yield dg.MaterializeResult(metadata=count_problems(worklist))

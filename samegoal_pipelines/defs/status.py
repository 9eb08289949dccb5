"""Group status: one status per student as of tonight, and the enrollment that decided it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import materialize_tables, record_failures, schema_check
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, column_schema
from samegoal_pipelines.defs.metadata import status_facts
from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.transforms.status import classify_students


@dg.asset(
    group_name="status",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("student_status")],
    metadata=column_schema(STUDENT_STATUS) | column_lineage("student_status"),
)
def student_status(
    context: dg.AssetExecutionContext,
    cecs_filtered_enrollments: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE for every student, with the reason and the enrollment.

    Students with a row that cannot be relied on are uncertain, and carried over as last published.
    """
    with record_failures("student_status", district_run):
        classified = classify_students(
            cecs_filtered_enrollments["enrollments"],
            cecs_filtered_enrollments["excluded"],
            district_run.today,
        )
        yield from materialize_tables(
            context,
            "student_status",
            {"student_status": classified.statuses, "uncertain": classified.uncertain},
            LANDED["student_status"],
            status_facts(cecs_filtered_enrollments["enrollments"], classified),
        )

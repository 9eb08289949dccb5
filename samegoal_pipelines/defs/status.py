"""Group status: one status per student as of tonight, and the enrollment that decided it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.errors import materialize_tables, record_failures, schema_check
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, column_schema
from samegoal_pipelines.defs.metadata import status_facts
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
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
    context: dg.AssetExecutionContext, cecs_filtered_enrollments: Tables, night: dg.ResourceParam[Night]
) -> Iterator[Any]:
    """ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE for every student, with the reason and the enrollment.

    Students with a row that cannot be relied on are uncertain, and carried over as last published.
    """
    with record_failures("student_status", night):
        classified = classify_students(
            cecs_filtered_enrollments["enrollments"], cecs_filtered_enrollments["excluded"], night.today
        )
        yield from materialize_tables(
            context,
            "student_status",
            {"student_status": classified.statuses, "uncertain": classified.uncertain},
            LANDED["student_status"],
            status_facts(cecs_filtered_enrollments["enrollments"], classified),
        )

"""Groups enrollments and status: the enrollments that count, and the status that they give each student."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.materializing import materialize_tables, table_asset
from samegoal_pipelines.defs.metadata import filtering_facts, status_facts
from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS, STUDENT_STATUS
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.status import classify_students

FILTERED, STATUS = "cecs_filtered_enrollments", "student_status"


@table_asset("enrollments", FILTERED_ENROLLMENTS)
def cecs_filtered_enrollments(
    context: dg.AssetExecutionContext, raw_enrollments: Tables, district_run: dg.ResourceParam[DistrictRun]
) -> Iterator[Any]:
    """Enrollments that count: cross-entity course enrollments (CECS) excluded, the import window applied.

    Rows that cannot be relied on are quarantined. All excluded and quarantined rows are landed beside it with
    their reasons.
    """
    with as_dagster_failure(FILTERED, district_run, of_night=True):
        filtered = filter_enrollments(raw_enrollments, district_run.today)
        tables = {"enrollments": filtered.enrollments, "excluded": filtered.excluded}
        facts = filtering_facts(raw_enrollments["EntryWithdrawal"], filtered)
        yield from materialize_tables(context, FILTERED, tables, facts)


@table_asset("status", STUDENT_STATUS)
def student_status(
    context: dg.AssetExecutionContext,
    cecs_filtered_enrollments: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """ENROLLED, PRE-ENROLLED, GRADUATED or INACTIVE for every student, with the reason and the enrollment.

    Students with a row that cannot be relied on are uncertain, and carried over as last published.
    """
    with as_dagster_failure(STATUS, district_run, of_night=True):
        enrollments, excluded = (cecs_filtered_enrollments[name] for name in ("enrollments", "excluded"))
        classified = classify_students(enrollments, excluded, district_run.today)
        tables = {"student_status": classified.statuses, "uncertain": classified.uncertain}
        yield from materialize_tables(context, STATUS, tables, status_facts(enrollments, classified))

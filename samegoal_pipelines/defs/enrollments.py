"""Group enrollments: the enrollments that count, and every other row with its reason."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import materialize_tables, record_failures, schema_check
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, column_schema
from samegoal_pipelines.defs.metadata import filtering_facts
from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS
from samegoal_pipelines.transforms.enrollments import filter_enrollments

FILTERED = "cecs_filtered_enrollments"


@dg.asset(
    group_name="enrollments",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check(FILTERED)],
    metadata=column_schema(FILTERED_ENROLLMENTS) | column_lineage(FILTERED),
)
def cecs_filtered_enrollments(
    context: dg.AssetExecutionContext, raw_enrollments: Tables, district_run: dg.ResourceParam[DistrictRun]
) -> Iterator[Any]:
    """Enrollments that count: cross-entity course enrollments (CECS) excluded, the import window applied.

    Rows that cannot be relied on are quarantined. All excluded and quarantined rows are landed beside it with
    their reasons.
    """
    with record_failures(FILTERED, district_run):
        filtered = filter_enrollments(raw_enrollments, district_run.today)
        yield from materialize_tables(
            context,
            FILTERED,
            {"enrollments": filtered.enrollments, "excluded": filtered.excluded},
            LANDED[FILTERED],
            filtering_facts(raw_enrollments["EntryWithdrawal"], filtered),
        )

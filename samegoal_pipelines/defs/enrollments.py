"""Group enrollments: the home-campus enrollments that count, and every other row with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.steps import checked, column_schema, recorded, schema_check
from samegoal_pipelines.schemas.enrollments import Enrollments, LeftOutEnrollments
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments, filter_enrollments


@dg.asset(
    group_name="enrollments",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("cecs_filtered_enrollments")],
    metadata=column_schema(Enrollments),
)
def cecs_filtered_enrollments(
    context: dg.AssetExecutionContext, raw_enrollments: Tables, night: dg.ResourceParam[Night]
) -> Iterator[Any]:
    """Enrollments that count: cross-entity course enrollments (CECS) left out, the import window applied.

    Rows that cannot be relied on are set aside. Everything left out is landed beside it with its reason.
    """
    with recorded("cecs_filtered_enrollments", night):
        filtered = filter_enrollments(raw_enrollments, night.today)
        yield from checked(
            context,
            "cecs_filtered_enrollments",
            {"enrollments": filtered.enrollments, "left_out": filtered.left_out},
            {"enrollments": Enrollments, "left_out": LeftOutEnrollments},
            bookkeeping(filtered),
        )


def bookkeeping(filtered: FilteredEnrollments) -> dict[str, int]:
    """Where every enrollment that came in went: counted, filtered or set aside, by reason."""
    left_out = filtered.left_out
    outcomes = left_out["outcome"].value_counts()
    reasons = left_out.groupby(["outcome", "reason"]).size()
    return {
        "in": len(filtered.enrollments) + len(left_out),
        "repeated": filtered.repeated,
        "counted": len(filtered.enrollments),
        "filtered": int(outcomes.get("filtered", 0)),
        "set aside": int(outcomes.get("set_aside", 0)),
        **{
            f"{outcome.replace('_', ' ')}: {reason.replace('_', ' ')}": int(count)
            for (outcome, reason), count in reasons.items()
            if count
        },
    }

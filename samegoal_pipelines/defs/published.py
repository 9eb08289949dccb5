"""Group published: tonight's snapshot in the warehouse, all of it or none of it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.steps import check_tables, recorded, schema_check
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.schemas.demographics import PublishedParents
from samegoal_pipelines.schemas.demographics import StudentDemographics as PublishedStudents
from samegoal_pipelines.schemas.status import PublishedStatus
from samegoal_pipelines.transforms.snapshot import assemble_snapshot
from samegoal_pipelines.transforms.students import StudentDemographics
from samegoal_pipelines.warehouse.publish import publish

PUBLISHED_MODELS = {"status": PublishedStatus, "students": PublishedStudents, "parents": PublishedParents}


@dg.asset(
    group_name="published",
    kinds={"postgres"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("published_snapshot")],
)
def published_snapshot(
    context: dg.AssetExecutionContext,
    student_status: Tables,
    student_demographics: Tables,
    parent_demographics: Tables,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """The status and demographics that SameGoal reads, replaced in one transaction.

    Uncertain students and students without a record keep what was last published, but for the contact
    data of parents who have come under restriction.
    """
    with recorded("published_snapshot", night):
        snapshot = assemble_snapshot(
            student_status["student_status"],
            student_status["uncertain"],
            StudentDemographics(
                student_demographics["student_demographics"], student_demographics["without_record"]
            ),
            parent_demographics["parent_demographics"],
        )
        tables = {"status": snapshot.status, "students": snapshot.students, "parents": snapshot.parents}
        yield from check_tables(context, "published_snapshot", tables, PUBLISHED_MODELS)
        published = publish(
            deployment.warehouse,
            district_id=night.district_id,
            snapshot_date=night.today,
            snapshot=snapshot,
            restricted=parent_demographics["restricted"],
            run_id=night.run_id,
            started_at=night.started_at,
            local_date=night.local_date,
        )
        yield dg.MaterializeResult(metadata={**asdict(published), "snapshot date": night.today.isoformat()})

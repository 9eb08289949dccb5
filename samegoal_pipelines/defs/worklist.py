"""The registrar's worklist: enrollments to check in Qmlativ by school, with a check that counts them.

It follows a night's published or held snapshot, because a registrar can often correct what held a night.
After a failed night, the last list stays.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DISTRICTS, PUBLISHED_SNAPSHOT, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.materializing import (
    Tables,
    check_evaluation,
    column_metadata,
    materialized,
    schema_check,
    validate_tables,
)
from samegoal_pipelines.defs.metadata import WORKLIST, finding_checks, rows_out, worklist_findings
from samegoal_pipelines.defs.students import FILTERED
from samegoal_pipelines.landing import LandedFileError
from samegoal_pipelines.landing.runs import NotLandedError, read_landed_for
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST
from samegoal_pipelines.transforms.worklist import list_problems
from samegoal_pipelines.warehouse.snapshots import last_published
from samegoal_pipelines.warehouse.worklist import publish_worklist


@dg.asset(
    group_name="worklist",
    kinds={"pandas", "postgres"},
    partitions_def=DISTRICTS,
    deps=[PUBLISHED_SNAPSHOT],
    check_specs=[schema_check(WORKLIST), *finding_checks(WORKLIST)],
    metadata=column_metadata(WORKLIST, {"": REGISTRAR_WORKLIST}),
)
def registrar_worklist(
    context: dg.AssetExecutionContext,
    raw_enrollments: Tables,
    raw_students: Tables,
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """The enrollments that a registrar should check: what is odd about each, and what to do in Qmlativ.

    The warehouse's table of this name lists them by school. These are their numbers.
    """
    # The snapshot is published, so a failed list does not make the night fail.
    with as_dagster_failure(WORKLIST, district_run):
        worklist, facts = _make_list(
            district_run, raw_enrollments, raw_students, cecs_filtered_enrollments, student_status
        )
        sound = yield from validate_tables(WORKLIST, {WORKLIST: worklist}, {WORKLIST: REGISTRAR_WORKLIST})
        publish_worklist(
            district_run.deployment.warehouse,
            worklist,
            district_id=district_run.district_id,
            snapshot_date=district_run.today,
        )
        yield materialized(context, WORKLIST, facts, sound | worklist_findings(worklist))


def list_of_held(
    context: dg.AssetExecutionContext,
    run: DistrictRun,
    landed_run_id: str | None,
    filtered: Tables,
    classified: Tables,
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """Make the list of a night that this run has just held. The asset itself only runs after a publication.

    An error is only logged, because the run must end with the reason of the hold.
    """
    try:
        with as_dagster_failure(WORKLIST, run):
            raw_enrollments, raw_students = (
                run.landing.read(asset, run_id=landed_run_id or run.run_id)
                for asset in ("raw_enrollments", "raw_students")
            )
            worklist, facts = _make_list(run, raw_enrollments, raw_students, filtered, classified)
            publish_worklist(
                run.deployment.warehouse,
                worklist,
                district_id=run.district_id,
                snapshot_date=run.today,
                held_by=run.run_id,
            )
            yield dg.AssetMaterialization(WORKLIST, partition=run.district_id, metadata=facts)
            for name, finding in worklist_findings(worklist).items():
                yield check_evaluation(context.instance, WORKLIST, name, run.district_id, finding)
    except dg.Failure as failure:
        context.log.warning(failure.description)


def _make_list(
    run: DistrictRun, raw_enrollments: Tables, raw_students: Tables, filtered: Tables, classified: Tables
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The list and its metadata. The past is compared with the last published night before this one.

    Nothing is compared if that night's landed files are gone, damaged, or from an older version.
    """
    compared, published = "nothing: no earlier published night has usable landed files", None
    last = last_published(run.deployment.warehouse, run.district_id, run.today - timedelta(days=1))
    if last is not None:
        with suppress(NotLandedError, LandedFileError):
            published = read_landed_for(run.deployment.landing, last, FILTERED)
            compared = last.snapshot_date.isoformat()
    worklist = list_problems(raw_enrollments, raw_students, filtered, classified, run.today, published)
    return worklist, {
        "snapshot date": run.today.isoformat(),
        "past compared with": compared,
        "where to read it": "the table samegoal.registrar_worklist, by school",
        **rows_out(len(worklist)),
    }

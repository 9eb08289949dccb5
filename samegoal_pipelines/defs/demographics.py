"""Group demographics: who the students with a status are, and who their parents are."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.steps import checked, column_schema, recorded, schema_check
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.schemas.demographics import (
    ParentDemographics,
    RestrictedPairs,
    StudentDemographics,
    StudentsWithoutRecord,
)
from samegoal_pipelines.schemas.reads import is_granted
from samegoal_pipelines.transforms.parents import build_parent_demographics, find_restricted_pairs
from samegoal_pipelines.transforms.students import build_student_demographics
from samegoal_pipelines.warehouse.withholding import refuse_to_forget_restrictions


@dg.asset(
    group_name="demographics",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("student_demographics")],
    metadata=column_schema(StudentDemographics),
)
def student_demographics(
    context: dg.AssetExecutionContext,
    raw_students: Tables,
    student_status: Tables,
    night: dg.ResourceParam[Night],
) -> Iterator[Any]:
    """Names, birth date, grade, race, language, contact data and building of every student with a status."""
    with recorded("student_demographics", night):
        built = build_student_demographics(raw_students, student_status["student_status"])
        yield from checked(
            context,
            "student_demographics",
            {"student_demographics": built.students, "without_record": built.without_record},
            {"student_demographics": StudentDemographics, "without_record": StudentsWithoutRecord},
            {"students without a record in Qmlativ": len(built.without_record)},
        )


@dg.asset(
    group_name="demographics",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("parent_demographics")],
    metadata=column_schema(ParentDemographics),
)
def parent_demographics(
    context: dg.AssetExecutionContext,
    raw_parents: Tables,
    student_status: Tables,
    night: dg.ResourceParam[Night],
    deployment: dg.ResourceParam[Deployment],
) -> Iterator[Any]:
    """One row per student and guardian; one under active restricted access has no contact data in it."""
    with recorded("parent_demographics", night):
        known = is_granted(raw_parents["Reads"], "StudentGuardian", "HasActiveRestrictedAccess")
        if not known:
            refuse_to_forget_restrictions(deployment.warehouse, night.district_id)
        built = build_parent_demographics(
            raw_parents, student_status["student_status"], restriction_known=known
        )
        restricted = find_restricted_pairs(raw_parents)
        if not known:
            restricted = restricted.iloc[:0]
        yield from checked(
            context,
            "parent_demographics",
            {"parent_demographics": built.parents, "restricted": restricted},
            {"parent_demographics": ParentDemographics, "restricted": RestrictedPairs},
            built.counts,
        )

"""Groups enrollments, status and demographics: the tables that are computed from the raw assets."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import table_columns
from samegoal_pipelines.defs.materializing import materialize_tables, schema_check
from samegoal_pipelines.defs.metadata import filtering_facts, parent_facts, status_facts, student_facts
from samegoal_pipelines.qmlativ.errors import AccessRefusedError
from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS, STUDENT_STATUS
from samegoal_pipelines.tables.people import (
    NAME_PHONE,
    PARENT_DEMOGRAPHICS,
    STUDENT_DEMOGRAPHICS,
    STUDENT_GUARDIAN,
    parents_table,
)
from samegoal_pipelines.transforms.demographics import parent_tables, restriction_is_known, student_tables
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.reads import is_granted
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.withholding import refuse_to_forget_restrictions

FILTERED, STATUS = FILTERED_ENROLLMENTS.name, STUDENT_STATUS.name
STUDENTS, PARENTS = STUDENT_DEMOGRAPHICS.name, PARENT_DEMOGRAPHICS.name


def table_asset(group: str, schema: Table) -> Callable[..., dg.AssetsDefinition]:
    """The decorator of an asset that computes a table from other assets."""
    return dg.asset(
        group_name=group,
        kinds={"pandas", "pandera"},
        partitions_def=DISTRICTS,
        check_specs=[schema_check(schema.name)],
        metadata=table_columns(schema),
    )


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


@table_asset("demographics", STUDENT_DEMOGRAPHICS)
def student_demographics(
    context: dg.AssetExecutionContext,
    raw_students: Tables,
    student_status: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Names, birth date, grade, race, language, contact data and building of every student with a status."""
    with as_dagster_failure(STUDENTS, district_run, of_night=True):
        statuses, withholding = student_status["student_status"], district_run.district.withholding
        refuse_unreadable_flags(raw_students, withholding)
        tables = student_tables(raw_students, statuses, withholding)
        yield from materialize_tables(context, STUDENTS, tables, student_facts(statuses, tables))


@table_asset("demographics", PARENT_DEMOGRAPHICS)
def parent_demographics(
    context: dg.AssetExecutionContext,
    raw_parents: Tables,
    student_status: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """One row per student and guardian, without contacts if the guardian's access is actively restricted."""
    with as_dagster_failure(PARENTS, district_run, of_night=True):
        withholding = district_run.district.withholding
        refuse_a_lost_restriction(district_run, restriction_is_known(raw_parents))
        refuse_unreadable_flags(raw_parents, withholding)
        tables, unused = parent_tables(raw_parents, student_status["student_status"], withholding)
        facts = parent_facts(raw_parents["StudentGuardian"], unused, tables)
        # Contacts under restriction are invalid unless the district shows them.
        declared = LANDED[PARENTS] | {PARENTS: parents_table(withholding.show_restricted_contacts)}
        yield from materialize_tables(context, PARENTS, tables, facts, declared=declared)


def refuse_a_lost_restriction(run: DistrictRun, known: bool) -> None:
    """Refuse to publish contacts if an earlier snapshot had the restriction flag and it cannot be read now.

    A district that shows such contacts needs no flag.
    """
    if not known and not run.district.show_restricted_contacts:
        refuse_to_forget_restrictions(run.deployment.warehouse, run.district_id)


def refuse_unreadable_flags(raw: Tables, withholding: Withholding) -> None:
    """Fail the night if a granted field that says what to withhold is null in every row.

    A single null withholds that row's contacts. But if every row is null, Qmlativ no longer returns the
    field, and publishing or holding that night would hide everyone's contacts. A single row proves nothing.
    """
    for read, field, shown in (
        (NAME_PHONE, "IsConfidential", withholding.show_confidential_phones),
        (STUDENT_GUARDIAN, "HasActiveRestrictedAccess", withholding.show_restricted_contacts),
    ):
        rows = raw.get(read.name)
        if rows is None or shown or len(rows) < 2 or not rows[field].isna().all():
            continue
        if is_granted(raw["Reads"], read.name, field):
            detail = f"the field {field} is null in all {len(rows):,} rows, so it is unknown what to withhold"
            raise AccessRefusedError(detail, read.path)

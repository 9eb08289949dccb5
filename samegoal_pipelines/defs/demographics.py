"""Group demographics: the students with a status, and their parents."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.district_run import DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.materializing import materialize_tables, table_asset
from samegoal_pipelines.defs.metadata import parent_facts, student_facts
from samegoal_pipelines.qmlativ.errors import AccessRefusedError
from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.people import (
    NAME_PHONE,
    PARENT_DEMOGRAPHICS,
    STUDENT_DEMOGRAPHICS,
    STUDENT_GUARDIAN,
    parents_table,
)
from samegoal_pipelines.transforms.demographics import (
    parent_tables,
    restriction_is_known,
    student_tables,
)
from samegoal_pipelines.transforms.reads import is_granted
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.withholding import refuse_to_forget_restrictions

STUDENTS, PARENTS = "student_demographics", "parent_demographics"


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
        known, withholding = restriction_is_known(raw_parents), district_run.district.withholding
        refuse_a_lost_restriction(district_run, known)
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

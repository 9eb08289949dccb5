"""Group demographics: the students with a status, and their parents."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun, OutdatedError
from samegoal_pipelines.defs.errors import materialize_tables, record_failures, schema_check
from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.lineage import column_lineage, column_schema
from samegoal_pipelines.defs.metadata import parent_facts, student_facts
from samegoal_pipelines.qmlativ.errors import MissingFieldError
from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.people import (
    NAME_PHONE,
    PARENT_DEMOGRAPHICS,
    STUDENT_DEMOGRAPHICS,
    STUDENT_GUARDIAN,
    parents_table,
)
from samegoal_pipelines.tables.reads import is_granted
from samegoal_pipelines.transforms import demographics
from samegoal_pipelines.transforms.columns import frame_of
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.withholding import refuse_to_forget_restrictions


@dg.asset(
    group_name="demographics",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("student_demographics")],
    metadata=column_schema(STUDENT_DEMOGRAPHICS) | column_lineage("student_demographics"),
)
def student_demographics(
    context: dg.AssetExecutionContext,
    raw_students: Tables,
    student_status: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Names, birth date, grade, race, language, contact data and building of every student with a status."""
    with record_failures("student_demographics", district_run):
        withholding = district_run.district.withholding
        refuse_unreadable_flags(raw_students, withholding)
        built = demographics.build_student_demographics(
            raw_students, student_status["student_status"], withholding=withholding
        )
        tables = {
            "student_demographics": built.students,
            "without_record": built.without_record,
            "confidential": demographics.find_confidential_phones(raw_students, withholding),
            "withholding": withholding_table(withholding),
        }
        facts = student_facts(student_status["student_status"], tables)
        yield from materialize_tables(
            context, "student_demographics", tables, LANDED["student_demographics"], facts
        )


@dg.asset(
    group_name="demographics",
    kinds={"pandas", "pandera"},
    partitions_def=DISTRICTS,
    check_specs=[schema_check("parent_demographics")],
    metadata=column_schema(PARENT_DEMOGRAPHICS) | column_lineage("parent_demographics"),
)
def parent_demographics(
    context: dg.AssetExecutionContext,
    raw_parents: Tables,
    student_status: Tables,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """One row per student and guardian, without contacts if the guardian's access is actively restricted."""
    with record_failures("parent_demographics", district_run):
        known, withholding = demographics.restriction_is_known(raw_parents), district_run.district.withholding
        refuse_a_lost_restriction(district_run, known)
        refuse_unreadable_flags(raw_parents, withholding)
        built = demographics.build_parent_demographics(
            raw_parents, student_status["student_status"], restriction_known=known, withholding=withholding
        )
        tables = parent_tables(raw_parents, built, known, withholding)
        facts = parent_facts(raw_parents["StudentGuardian"], built, tables)
        yield from materialize_tables(
            context, "parent_demographics", tables, declared_tables(withholding), facts
        )


def refuse_a_lost_restriction(run: DistrictRun, known: bool) -> None:
    """Refuse to publish contacts when the restriction flag is no longer readable.

    Raises:
        RestrictionsForgottenError: the flag is not readable, an earlier snapshot had it, and the district
        withholds such contacts.
    """
    if not known and not run.district.show_restricted_contacts:
        refuse_to_forget_restrictions(run.deployment.warehouse, run.district_id)


def refuse_unreadable_flags(raw: Tables, withholding: Withholding) -> None:
    """Fail the night if a granted field that says what to withhold is null in every row.

    A single null withholds that row's contacts. But if every row is null, Qmlativ no longer returns the
    field, and publishing or holding that night would hide everyone's contacts.

    Raises:
        MissingFieldError: the field is null in every row, and there is more than one row.
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
            raise MissingFieldError(detail, read.path)


def parent_tables(
    raw_parents: Tables, built: demographics.ParentDemographics, known: bool, withholding: Withholding
) -> Tables:
    """The parents' tables: the parents, whether restrictions are known, and what is withheld."""
    return {
        "parent_demographics": built.parents,
        "restriction": frame_of({"is_known": pa.array([known])}),
        "restricted": demographics.find_restricted_pairs(
            raw_parents, restriction_known=known, withholding=withholding
        ),
        "confidential": demographics.find_confidential_phones(raw_parents, withholding),
        "withholding": withholding_table(withholding),
    }


def declared_tables(withholding: Withholding) -> dict[str, Table]:
    """The tables' declarations. Contacts under restriction are invalid unless the district shows them."""
    parents = parents_table(withholding.show_restricted_contacts)
    return LANDED["parent_demographics"] | {"parent_demographics": parents}


def withholding_table(withholding: Withholding) -> pd.DataFrame:
    """The contact switches, to be landed with the contacts."""
    return frame_of(
        {
            "shows_restricted_contacts": pa.array([withholding.show_restricted_contacts]),
            "shows_confidential_phones": pa.array([withholding.show_confidential_phones]),
        }
    )


def refuse_other_switches(run: DistrictRun, *demographics: Tables) -> None:
    """Refuse to publish contacts that were made before the district's switches changed.

    Raises:
        OutdatedError: the contacts were made with other switches.
    """
    switches = run.district.withholding
    for tables in demographics:
        if "withholding" not in tables:
            raise OutdatedError("an older version of the pipeline made the contacts")
        (used,) = tables["withholding"].itertuples(index=False)
        if Withholding(*(bool(switch) for switch in used)) != switches:
            raise OutdatedError("the district was set to withhold other contacts since they were made")

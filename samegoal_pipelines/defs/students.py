"""Groups raw, enrollments, status and demographics: tonight's rows from Qmlativ, and what follows from them.

One step reads everything that the selected raw assets need, several objects at a time, to use all
connections. If any object fails, nothing of the night is stored.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.defs.materializing import Tables, column_metadata, materialize_tables, schema_check
from samegoal_pipelines.defs.metadata import (
    entity_facts,
    filtering_facts,
    finding_checks,
    parent_facts,
    reading_facts,
    reading_findings,
    status_facts,
    student_facts,
)
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import AccessRefusedError
from samegoal_pipelines.qmlativ.reading import read_district
from samegoal_pipelines.tables.catalog import LANDED, RAW_TABLES
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
from samegoal_pipelines.transforms.enrollments import filter_enrollments, window_start
from samegoal_pipelines.transforms.erasure import drop_erased
from samegoal_pipelines.transforms.reads import is_granted, rows_by_listing
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.erase import erased_students
from samegoal_pipelines.warehouse.withholding import refuse_to_forget_restrictions

FILTERED, STATUS = FILTERED_ENROLLMENTS.name, STUDENT_STATUS.name
STUDENTS, PARENTS = STUDENT_DEMOGRAPHICS.name, PARENT_DEMOGRAPHICS.name
STEP = "reading Qmlativ"
RAW_ASSETS = {
    "raw_enrollments": "Entries and withdrawals of the previous, current and upcoming school year, and those "
    "of older years that are open or ended within the past year, with their codes, schools, entities and "
    "school years, as Qmlativ gave them tonight.",
    "raw_students": "Students, their names, addresses, phones and e-mails, as Qmlativ gave them tonight.",
    "raw_parents": "Guardians of students, their names, addresses, phones and e-mails, as Qmlativ gave them "
    "tonight. Staff and vendors, who share these objects, are dropped before anything is stored.",
}


@dg.multi_asset(
    name="read_qmlativ",
    outs={
        asset: dg.AssetOut(
            group_name="raw",
            description=description,
            kinds={"qmlativ", "parquet"},
            metadata=column_metadata(asset, RAW_TABLES[asset]),
            is_required=False,
        )
        for asset, description in RAW_ASSETS.items()
    },
    check_specs=[check for asset in RAW_ASSETS for check in (schema_check(asset), *finding_checks(asset))],
    partitions_def=DISTRICTS,
    can_subset=True,
)
def read_qmlativ(
    context: dg.AssetExecutionContext,
    district_run: dg.ResourceParam[DistrictRun],
) -> Iterator[Any]:
    """Read the selected raw assets in one pass."""
    selected = {key.to_user_string() for key in context.op_execution_context.selected_asset_keys}
    if not selected:  # the UI also offers to execute such a check alone
        message = f"{STEP}: a check of a raw asset only runs with the asset: materialize the asset instead"
        raise dg.Failure(message, allow_retries=False)
    with as_dagster_failure(STEP, district_run, of_night=True):
        district_run.refuse_another_night()
        last = {asset: district_run.landing.last_reads(asset) for asset in selected}
        raw, erased = read_tonight(district_run, selected, last.values())
        for asset, tables in raw.items():
            facts = reading_facts(tables["Reads"]) | entity_facts(tables)
            facts["rows of erased students dropped"] = erased[asset]
            findings = reading_findings(asset, tables, last[asset])
            yield from materialize_tables(context, asset, tables, facts, findings=findings)


def read_tonight(
    run: DistrictRun, assets: Set[str] = RAW_ASSETS.keys(), last_reads: Iterable[pd.DataFrame | None] = ()
) -> tuple[dict[str, Tables], dict[str, int]]:
    """Read these raw assets with the district's credentials. `last_reads` are from when they landed last.

    Return the tables by asset, and the number of rows of erased students, which are left out.
    """
    deployment, district = run.deployment, run.district
    with QmlativClient(deployment.registry.connection(district)) as client:
        deployment.registry.recognize(district, client.identity())
        read = read_district(
            client,
            assets,
            ended_since=window_start(run.today),
            expected_rows=rows_by_listing(last_reads),  # known pages load at once
            entities=district.entities,
            progress=deployment.progress,
        )
    return drop_erased(read, erased_students(deployment.warehouse, district.id))


def table_asset(group: str, schema: Table) -> Callable[..., dg.AssetsDefinition]:
    """The decorator of an asset that computes a table from other assets."""
    return dg.asset(
        group_name=group,
        kinds={"pandas", "pandera"},
        partitions_def=DISTRICTS,
        check_specs=[schema_check(schema.name)],
        metadata=column_metadata(schema.name, {"": schema}),
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

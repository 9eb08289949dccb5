"""The tables of each asset: what it reads and lands, and what is published."""

from dataclasses import replace
from typing import Literal

import pyarrow as pa

from samegoal_pipelines.tables import enrollments, people
from samegoal_pipelines.tables.declaration import QmlativObject, Table, day, table, text
from samegoal_pipelines.tables.reads import READS

RawAsset = Literal["raw_enrollments", "raw_students", "raw_parents"]

# The largest first, so that a parallel reader starts with what takes longest.
_CONTACTS = (
    people.NAME_ADDRESS,
    people.ADDRESS,
    people.NAME_PHONE,
    people.NAME_EMAIL,
    people.ZIP,
    people.COUNTY,
    people.STATE,
    people.PHONE_TYPE,
    people.NAME_SUFFIX,
)
NEEDED: dict[RawAsset, tuple[QmlativObject, ...]] = {
    "raw_enrollments": (
        enrollments.ENTRY_WITHDRAWAL,
        enrollments.WITHDRAWAL_CODE,
        enrollments.SCHOOL,
        enrollments.SCHOOL_YEAR,
        enrollments.ENTITY,
    ),
    "raw_students": (people.STUDENT, people.STUDENT_NAME, *_CONTACTS, people.LANGUAGE),
    "raw_parents": (people.STUDENT_GUARDIAN, people.GUARDIAN_NAME, *_CONTACTS, people.RELATIONSHIP),
}
"""Raw asset → the objects it is read from. Fields that nothing uses are not declared."""

OBJECTS: dict[str, QmlativObject] = {
    wanted.label: wanted for objects in NEEDED.values() for wanted in objects
}


def _by_name(*tables: Table) -> dict[str, Table]:
    return {each.name: each for each in tables}


RAW_TABLES: dict[str, dict[str, Table]] = {
    asset: _by_name(*(wanted.table for wanted in objects)) for asset, objects in NEEDED.items()
}
"""Raw asset → Qmlativ object → the table of its rows."""

STUDENT_NUMBER = replace(people.STUDENT_DEMOGRAPHICS.columns[1], origin="student_demographics.student_number")
DISTRICT_ID = text("district_id", "The district, as registered", required=True)
SNAPSHOT_DATE = day("snapshot_date", "The night of the district's last published snapshot", required=True)


def _with_number(table: Table) -> Table:
    student_id, *others = table.columns
    return replace(table, columns=(student_id, STUDENT_NUMBER, *others))


PUBLISHED = _by_name(
    _with_number(enrollments.STUDENT_STATUS),
    people.STUDENT_DEMOGRAPHICS,
    _with_number(people.PARENT_DEMOGRAPHICS),
)
"""View → its table in a snapshot."""
_STATUS, _STUDENTS, _PARENTS = PUBLISHED.values()
BESIDE_STATUS = tuple(column for column in _STUDENTS.columns if column.name not in _STATUS.names)
"""What the details of a student show beside the status."""
PARENT_FACTS = _PARENTS.columns[2:]
"""What they show of each parent: everything but the student."""
DETAILS = table(
    "student_details",
    "One row per student: status, demographics and parents",
    *_STATUS.columns,
    *BESIDE_STATUS,
    text("parents", "The student's parents as in parent_demographics: a JSON array by rank", required=True),
    key=("student_id",),
)
VIEWS = _by_name(
    *(
        replace(table, columns=(DISTRICT_ID, *table.columns, SNAPSHOT_DATE), key=("district_id", *table.key))
        for table in (*PUBLISHED.values(), DETAILS)
    )
)
"""View → its table, with the district and the night."""


def published_tables(show_restricted_contacts: bool) -> dict[str, Table]:
    """The tables of a snapshot, by their names in `SnapshotPayload`."""
    parents = _with_number(people.parents_table(show_restricted_contacts))
    return {"status": _STATUS, "students": _STUDENTS, "parents": parents}


LANDED: dict[str, dict[str, Table]] = {
    "raw_enrollments": RAW_TABLES["raw_enrollments"] | _by_name(enrollments.ENTITY_ACCESS, READS),
    "raw_students": RAW_TABLES["raw_students"] | _by_name(READS),
    "raw_parents": RAW_TABLES["raw_parents"] | _by_name(READS),
    "cecs_filtered_enrollments": {
        "enrollments": enrollments.FILTERED_ENROLLMENTS,
        "excluded": enrollments.EXCLUDED_ENROLLMENTS,
    },
    "student_status": _by_name(enrollments.STUDENT_STATUS, enrollments.UNCERTAIN_STUDENTS),
    "student_demographics": _by_name(
        people.STUDENT_DEMOGRAPHICS,
        people.STUDENTS_WITHOUT_RECORD,
        people.CONFIDENTIAL_PHONES,
        people.WITHHOLDING_USED,
    ),
    "parent_demographics": _by_name(
        people.PARENT_DEMOGRAPHICS,
        people.RESTRICTED_PAIRS,
        people.RESTRICTION_KNOWN,
        people.CONFIDENTIAL_PHONES,
        people.WITHHOLDING_USED,
    ),
    "held_snapshot": published_tables(show_restricted_contacts=False)
    | _by_name(
        enrollments.CARRIED_OVER_STUDENTS,
        people.RESTRICTED_PAIRS,
        people.CONFIDENTIAL_PHONES,
        enrollments.ABSENT_STUDENTS,
    ),
}
"""Asset → landed table → its declaration. `held_snapshot` is what a held night would have published."""


def landed_types(asset: str, table: str) -> dict[str, pa.DataType]:
    """Column → Arrow type of a landed table; empty for a table that nothing declares."""
    declared = LANDED.get(asset, {}).get(table)
    return declared.arrow_types if declared else {}

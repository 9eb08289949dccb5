"""Which fields the sandbox has: those that the catalog reads, and the few that only a server needs.

A real Qmlativ has many more. The catalog declares the fields; only additions are declared here.
"""

from __future__ import annotations

import pyarrow as pa

from samegoal_pipelines.tables.arrow_types import ARROW_TYPES
from samegoal_pipelines.tables.catalog import OBJECTS
from samegoal_pipelines.tables.declaration import Column, flag, integer, text

_UNREAD: dict[str, tuple[Column, ...]] = {
    "District/Entity": (
        integer("EntityID", "Listings are asked for through an entity; others are refused"),
        text("Name", "The entity's name"),
    ),
    "Enrollment/EntryWithdrawal": (
        flag("IsNoShow", "In Qmlativ's schema, but nothing reads it", optional=True),
    ),
    "Enrollment/WithdrawalCode": (integer("SchoolYearID", "The year whose listing shows the code"),),
    "Student/Student": (integer("GradeNumeric", "KG is 0; the grade of another year is computed from it"),),
    "Demographics/Name": (
        flag("IsStudentName", "Listings select students by it"),
        flag("IsGuardianName", "Listings select guardians by it"),
    ),
}


_FIELDS: dict[str, dict[str, Column]] = {}
for _path, _columns in [*((each.path, each.fields) for each in OBJECTS.values()), *_UNREAD.items()]:
    for _column in _columns:
        _FIELDS.setdefault(_path, {}).setdefault(_column.name, _column)

SCHEMAS: dict[str, pa.Schema] = {
    path: pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns.values()])
    for path, columns in _FIELDS.items()
}
"""Module/Object → its fields; the first is the primary key."""

OPTIONAL_FIELDS = frozenset(
    f"{path}.{column.name}"
    for path, columns in _FIELDS.items()
    for column in columns.values()
    if column.optional
)
"""Fields that a district may decline to grant, as "Module/Object.Field"."""

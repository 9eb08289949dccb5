"""Which Qmlativ fields each column comes from, and what a missing field costs, from the declarations."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from samegoal_pipelines.tables.catalog import DISTRICT_ID, PUBLISHED, SNAPSHOT_DATE, STUDENT_NUMBER
from samegoal_pipelines.tables.declaration import Origin
from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS, STUDENT_STATUS
from samegoal_pipelines.tables.people import PARENT_DEMOGRAPHICS, STUDENT_DEMOGRAPHICS

_TABLES = (FILTERED_ENROLLMENTS, STUDENT_STATUS, STUDENT_DEMOGRAPHICS, PARENT_DEMOGRAPHICS)

LINEAGE: dict[str, dict[str, Origin]] = {
    **{
        table.name: {column.name: column.origin for column in table.columns if column.origin}
        for table in _TABLES
    },
    "published_snapshot": {
        f"{view}.{column.name}": column.origin
        if column is STUDENT_NUMBER
        else Origin(((f"{view}.{column.name}",),))
        for view, table in PUBLISHED.items()
        for column in table.columns
        if column.origin
    },
}
"""Asset → column → its sources."""

CONSTANT = {
    **{
        table.name: {column.name: column.description for column in table.columns if not column.origin}
        for table in _TABLES
    },
    "published_snapshot": {
        f"{view}.{column.name}": column.description
        for view, table in PUBLISHED.items()
        for column in (DISTRICT_ID, *table.columns, SNAPSHOT_DATE)
        if not column.origin
    },
}
"""Asset → column → its description, for columns that do not come from Qmlativ."""


def empty_without(missing: Collection[str]) -> tuple[str, ...]:
    """The published columns (`view.column`) that are empty if these Qmlativ fields are not granted."""
    return tuple(
        column
        for column in LINEAGE["published_snapshot"]
        if _is_empty(f"published_snapshot.{column}", frozenset(missing))
    )


def fed_by(field: str) -> tuple[str, ...]:
    """The published columns (`view.column`) that can take their value from this field."""
    return tuple(
        column
        for column in LINEAGE["published_snapshot"]
        if field in _alternatives(f"published_snapshot.{column}")
    )


def made_of(source: str) -> str:
    """The Qmlativ fields that a column's value is ultimately taken or computed from."""
    asset, _, field = source.partition(".")
    if asset not in LINEAGE:
        return field
    origin = _origin(source)
    if origin is None:
        return ""
    values = list(dict.fromkeys(map(made_of, origin.value)))
    return f"the rules, out of {', '.join(values)}" if origin.worked_out else " or ".join(values)


def _origin(source: str) -> Origin | None:
    asset, _, column = source.partition(".")
    return LINEAGE.get(asset, {}).get(column)


def _is_empty(source: str, missing: frozenset[str]) -> bool:
    origin = _origin(source)
    if origin is None:
        return source in missing
    return any(all(_is_empty(one, missing) for one in group) for group in origin.needs)


@cache
def _alternatives(source: str) -> frozenset[str]:
    origin = _origin(source)
    if origin is None:
        return frozenset({source})
    return frozenset().union(*(_alternatives(one) for group in origin.needs for one in group))

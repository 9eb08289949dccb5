"""Literal rows in and out of Arrow tables.

A value of the declared type goes into its typed cell. Any other JSON value, such as ``"31 February"`` as a
StartDate, leaves the cell null and is kept in a hidden column, from which it is served as it is.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from samegoal_pipelines.sandbox.objects import SCHEMAS

ODD_VALUES = "_odd_values"
"""The hidden column: a JSON object of field → value, or null."""

Row = Mapping[str, Any]


def table_of(name: str, rows: Sequence[Row]) -> pa.Table:
    """A table of literal rows. A field that a row leaves out is null."""
    schema = SCHEMAS[name]
    if unknown := {field for row in rows for field in row} - set(schema.names):
        raise KeyError(f"{name} has no field {', '.join(sorted(unknown))}")
    cells = [{field.name: _typed(row.get(field.name), field.type) for field in schema} for row in rows]
    odd = [
        {field: value for field, value in row.items() if value is not None and typed[field] is None}
        for row, typed in zip(rows, cells, strict=True)
    ]
    table = pa.Table.from_pylist(cells, schema=schema)
    if not any(odd):
        return table
    return table.append_column(ODD_VALUES, pa.array([json.dumps(each) if each else None for each in odd]))


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as a test would write them."""
    return [row | json.loads(row.pop(ODD_VALUES, None) or "{}") for row in table.to_pylist()]


def _typed(value: Any, type_: pa.DataType) -> Any:
    """The value for a typed cell, or None if it has another type."""
    if pa.types.is_boolean(type_):
        return value if isinstance(value, bool) else None
    if pa.types.is_integer(type_):
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return value if is_integer and -(2**63) <= value < 2**63 else None
    if pa.types.is_date(type_):
        return value if isinstance(value, dt.date) else _plain_date(value)
    return value if isinstance(value, str) and _is_utf8(value) else None


def _plain_date(value: Any) -> dt.date | None:
    """A date, if the text has exactly the form in which the sandbox serves it, or is its first half."""
    try:
        date = dt.date.fromisoformat(value.removesuffix("T00:00:00"))
    except (AttributeError, ValueError):
        return None
    return date if value[:10] == date.isoformat() else None


def _is_utf8(text: str) -> bool:
    """False for a lone surrogate, which JSON can hold and Arrow cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

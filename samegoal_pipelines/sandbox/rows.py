"""Rows as tests write them, in and out of Arrow tables.

A value of a field's declared type goes into its typed cell. Any other JSON value (``"31 February"`` as a
StartDate) leaves the cell null and is served as it is, from the hidden column. No generator and no HTTP
here.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.objects import RAW, SandboxObject

Row = Mapping[str, Any]


def table_of(declared: SandboxObject, rows: Sequence[Row]) -> pa.Table:
    """A table of literal rows; fields left out are null, unknown ones are a mistake."""
    typed: list[dict[str, Any]] = []
    raw: list[str | None] = []
    for row in rows:
        unknown = row.keys() - declared.types.keys()
        if unknown:
            raise KeyError(f"{declared.name} has no field {', '.join(sorted(unknown))}")
        cells = {field: _typed(row.get(field), type_) for field, type_ in declared.types.items()}
        odd = {field: row[field] for field in row if row[field] is not None and cells[field] is None}
        typed.append(cells)
        raw.append(json.dumps(odd) if odd else None)
    table = pa.Table.from_pylist(typed, schema=declared.schema)
    return table.append_column(RAW, pa.array(raw, pa.string())) if any(raw) else table


def appended(table: pa.Table, more: pa.Table) -> pa.Table:
    """Both tables' rows, as one chunk."""
    return pa.concat_tables([table, more], promote_options="default").combine_chunks()


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as they would be written by a test: overrides in place of typed cells."""
    rows = table.to_pylist()
    for row in rows:
        raw = row.pop(RAW, None)
        if raw:
            row.update(json.loads(raw))
    return rows


def changed(declared: SandboxObject, table: pa.Table, key: int, fields: Row) -> pa.Table:
    """The table with some fields of the rows with this key changed; KeyError if there is no such row."""
    mask = pc.equal(table[declared.key], key).combine_chunks().fill_null(False)
    if not pc.any(mask).as_py():
        raise KeyError(f"{declared.name} has no {declared.key} {key}")
    before = table.filter(mask)
    after = table_of(declared, [{**row, **fields} for row in rows_of(before)])
    if RAW in after.column_names and RAW not in table.column_names:
        table = table.append_column(RAW, pa.nulls(table.num_rows, pa.string()))
    for number, name in enumerate(table.column_names):
        new = (
            after[name].combine_chunks()
            if name in after.column_names
            else pa.nulls(after.num_rows, pa.string())
        )
        column = table[name].combine_chunks()
        table = table.set_column(number, name, pc.replace_with_mask(column, mask, new))
    return table


def without(declared: SandboxObject, table: pa.Table, key: int) -> pa.Table:
    """The table without the rows of this key."""
    return table.filter(
        pc.not_equal(table[declared.key], key).combine_chunks().fill_null(True)
    ).combine_chunks()


def _typed(value: Any, type_: Any) -> Any:
    """The value for a typed cell, or None where it is not of that type."""
    if pa.types.is_boolean(type_):
        return value if isinstance(value, bool) else None
    if pa.types.is_integer(type_):
        sound = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
        return value if sound else None
    if pa.types.is_date(type_):
        return value if isinstance(value, dt.date) else _plain_date(value)
    return value if isinstance(value, str) and _is_utf8(value) else None


def _plain_date(value: Any) -> dt.date | None:
    """A date, if the text is one in the very form in which the sandbox would serve it (or only its date)."""
    try:
        date = dt.date.fromisoformat(value.removesuffix("T00:00:00"))
    except (AttributeError, ValueError):
        return None
    return date if value[:10] == date.isoformat() else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and Arrow cannot hold
        return False
    return True

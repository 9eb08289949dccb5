"""The Arrow type of each declared type, by declaration and never by inference."""

from __future__ import annotations

import pyarrow as pa

from samegoal_pipelines.tables.catalog import LANDED
from samegoal_pipelines.tables.declaration import Table, Type

ARROW_TYPES: dict[Type, pa.DataType] = {
    "integer": pa.int64(),
    "text": pa.string(),
    "code": pa.dictionary(pa.int32(), pa.string()),
    "date": pa.date32(),
    "flag": pa.bool_(),
    "number": pa.float64(),
}


def arrow_types(table: Table) -> dict[str, pa.DataType]:
    """Column → Arrow type of a table, in its order."""
    return {column.name: ARROW_TYPES[column.type] for column in table.columns}


def landed_types(asset: str, table: str) -> dict[str, pa.DataType]:
    """Column → Arrow type of a landed table; empty for a table that nothing declares."""
    declared = LANDED.get(asset, {}).get(table)
    return arrow_types(declared) if declared else {}

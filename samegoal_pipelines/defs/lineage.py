"""Column schemas and column lineage for Dagster, from the declarations of the tables.

They belong to an asset's definition, because they are the same for every district and night, and so do not
fill the event log. Dagster's UI only offers `dagster/column_lineage` in its API, so a table shows it to
people.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from samegoal_pipelines.tables.catalog import PUBLISHED, RAW_TABLES, VIEW_COLUMNS
from samegoal_pipelines.tables.declaration import Column, Table, Type
from samegoal_pipelines.tables.lineage import CONSTANT, LINEAGE, Origin, made_of

COLUMN_SCHEMA = "dagster/column_schema"
COLUMN_LINEAGE = "dagster/column_lineage"
FOR_PEOPLE = "where its columns come from"

_PLAIN_TYPES: dict[Type, str] = {
    "integer": "integer",
    "text": "string",
    "code": "string",
    "date": "date",
    "flag": "boolean",
    "number": "float",
}


def column_lineage(asset: str) -> dict[str, Any]:
    """Metadata for an asset's definition: the source columns of each column.

    Raw assets have none. Their columns are called `Object.Field`.
    """
    deps = {column: [_dep(source) for source in origin.sources] for column, origin in LINEAGE[asset].items()}
    return {
        COLUMN_LINEAGE: dg.TableColumnLineage(deps),
        FOR_PEOPLE: dg.MetadataValue.md(_table_for_people(asset)),
    }


def column_schema(table: Table) -> dict[str, Any]:
    """Metadata for an asset's definition: names, types and descriptions of a table's columns."""
    return {COLUMN_SCHEMA: dg.TableSchema([_column(column, column.name) for column in table.columns])}


def raw_columns(asset: str) -> dict[str, Any]:
    """Metadata for a raw asset's definition: its columns as `Object.Field`."""
    return _columns_of({name: table.columns for name, table in RAW_TABLES[asset].items()})


def published_columns() -> dict[str, Any]:
    """Metadata for the definition of `published_snapshot`: its views' columns as `view.column`."""
    return _columns_of({view: VIEW_COLUMNS[view] for view in PUBLISHED})


def _columns_of(tables: dict[str, tuple[Column, ...]]) -> dict[str, Any]:
    columns = [
        _column(column, f"{name}.{column.name}") for name, columns in tables.items() for column in columns
    ]
    return {COLUMN_SCHEMA: dg.TableSchema(columns)}


def _column(column: Column, name: str) -> dg.TableColumn:
    return dg.TableColumn(
        name=name,
        type=_PLAIN_TYPES[column.type],
        description=column.description,
        constraints=dg.TableColumnConstraints(nullable=not column.required),
    )


def _dep(source: str) -> dg.TableColumnDep:
    asset, _, column = source.partition(".")
    return dg.TableColumnDep(dg.AssetKey(asset), column)


def _table_for_people(asset: str) -> str:
    rows = [
        f"| {column} | {made_of(f'{asset}.{column}')} | {_found_by(origin)} |"
        for column, origin in LINEAGE[asset].items()
    ]
    rows += [f"| {column} | {text} | |" for column, text in CONSTANT[asset].items()]
    return "\n".join(["| Column | Made of | Found and chosen by |", "|---|---|---|", *rows])


def _found_by(origin: Origin) -> str:
    """The columns that lead to the value or choose it, without the names of raw assets."""
    others = (source.partition(".") for source in origin.sources if source not in origin.value)
    return ", ".join(column if asset in RAW_TABLES else f"{asset}.{column}" for asset, _, column in others)

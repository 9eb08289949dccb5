"""Column schemas and column lineage for Dagster, from the declarations of the tables.

They belong to an asset's definition, because they are the same for every district and night, and so do not
fill the event log. Dagster's UI does not show the lineage, so a column's description says what it is made of.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from samegoal_pipelines.tables.catalog import PUBLISHED, RAW_TABLES, VIEWS
from samegoal_pipelines.tables.declaration import Column, Table
from samegoal_pipelines.tables.lineage import LINEAGE, made_of

_PLAIN_TYPES = {"text": "string", "code": "string", "flag": "boolean", "number": "float"}


def table_columns(table: Table) -> dict[str, Any]:
    """Metadata for the definition of an asset that is one table."""
    return _metadata(table.name, {column.name: column for column in table.columns})


def raw_columns(asset: str) -> dict[str, Any]:
    """Metadata for a raw asset's definition: its columns as `Object.Field`."""
    tables = RAW_TABLES[asset]
    return _metadata(asset, {f"{name}.{one.name}": one for name in tables for one in tables[name].columns})


def published_columns(asset: str) -> dict[str, Any]:
    """Metadata for the definition of the asset with the views: their columns as `view.column`."""
    return _metadata(asset, {f"{view}.{one.name}": one for view in PUBLISHED for one in VIEWS[view].columns})


def _metadata(asset: str, columns: Mapping[str, Column]) -> dict[str, Any]:
    origins = LINEAGE.get(asset, {})
    schema = [
        dg.TableColumn(
            name,
            _PLAIN_TYPES.get(column.type, column.type),
            f"{column.description}. Made of: {made_of(f'{asset}.{name}')}"
            if name in origins
            else column.description,
            dg.TableColumnConstraints(nullable=not column.required),
        )
        for name, column in columns.items()
    ]
    deps = {name: [_dep(source) for source in origin.sources] for name, origin in origins.items()}
    metadata: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(schema)}
    return metadata | ({"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {})


def _dep(source: str) -> dg.TableColumnDep:
    asset, _, column = source.partition(".")
    return dg.TableColumnDep(dg.AssetKey(asset), column)

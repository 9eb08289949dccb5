"""Column schemas and column lineage as Dagster shows them, from the one map in `schemas.lineage`.

They belong to an asset's definition: they hold for every district and night, and so cost nothing in the event
log. Dagster's own UI keeps `dagster/column_lineage` for its API, so the same stands in a table for people.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from samegoal_pipelines.schemas.demographics import PublishedParents, StudentDemographics
from samegoal_pipelines.schemas.lineage import CONSTANT, LINEAGE, Origin
from samegoal_pipelines.schemas.raw import RAW_MODELS
from samegoal_pipelines.schemas.report import column_descriptions
from samegoal_pipelines.schemas.status import PublishedStatus

COLUMN_SCHEMA = "dagster/column_schema"
COLUMN_LINEAGE = "dagster/column_lineage"
FOR_PEOPLE = "where its columns come from"

_REQUIRED = dg.TableColumnConstraints(nullable=False)
_PLAIN_TYPES = {
    "string[pyarrow]": "string",
    "int64[pyarrow]": "integer",
    "double[pyarrow]": "float",
    "bool[pyarrow]": "boolean",
    "date32[day][pyarrow]": "date",
}

PUBLISHED_VIEWS = {
    "student_status": PublishedStatus,
    "student_demographics": StudentDemographics,
    "parent_demographics": PublishedParents,
}


def column_lineage(asset: str) -> dict[str, Any]:
    """Metadata for the definition of an asset: from which columns each of its columns comes.

    Raw assets come from Qmlativ alone and have none; their columns are called `Object.Field`.
    """
    deps = {column: [_dep(source) for source in origin.sources] for column, origin in LINEAGE[asset].items()}
    return {
        COLUMN_LINEAGE: dg.TableColumnLineage(deps),
        FOR_PEOPLE: dg.MetadataValue.md(_table_for_people(asset)),
    }


def column_schema(model: Any) -> dict[str, Any]:
    """Metadata for the definition of an asset: names, types and descriptions of a model's columns."""
    return {COLUMN_SCHEMA: dg.TableSchema(_columns("", model))}


def raw_columns(asset: str) -> dict[str, Any]:
    """Metadata for the definition of a raw asset: its columns as `Object.Field`."""
    models = RAW_MODELS[asset].items()
    return {COLUMN_SCHEMA: dg.TableSchema([one for name, model in models for one in _columns(name, model)])}


def published_columns() -> dict[str, Any]:
    """Metadata for the definition of `published_snapshot`: the columns of its views as `view.column`."""
    columns = [column for view, model in PUBLISHED_VIEWS.items() for column in _view_columns(view, model)]
    return {COLUMN_SCHEMA: dg.TableSchema(columns)}


def _view_columns(view: str, model: Any) -> list[dg.TableColumn]:
    """The model's columns between the two that a view has besides."""
    first, last = (
        dg.TableColumn(name, kind, CONSTANT["published_snapshot"][name], constraints=_REQUIRED)
        for name, kind in ((f"{view}.district_id", "string"), (f"{view}.snapshot_date", "date"))
    )
    return [first, *_columns(view, model), last]


def _columns(table: str, model: Any) -> list[dg.TableColumn]:
    return [
        dg.TableColumn(
            name=f"{table}.{column.name}" if table else column.name,
            type=_PLAIN_TYPES.get(column.dtype, column.dtype),
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in column_descriptions(model)
    ]


def _dep(source: str) -> dg.TableColumnDep:
    asset, _, column = source.partition(".")
    return dg.TableColumnDep(dg.AssetKey(asset), column)


def _table_for_people(asset: str) -> str:
    rows = [
        f"| {column} | {_value(f'{asset}.{column}')} | {_found_by(origin)} |"
        for column, origin in LINEAGE[asset].items()
    ]
    rows += [f"| {column} | {text} | |" for column, text in CONSTANT.get(asset, {}).items()]
    return "\n".join(["| Column | Made of | Found and chosen by |", "|---|---|---|", *rows])


def _value(source: str) -> str:
    """The Qmlativ fields that a column's value is taken from in the end, or what it is worked out of."""
    asset, _, column = source.partition(".")
    if asset in RAW_MODELS:
        return column
    origin = LINEAGE[asset][column]
    made_of = list(dict.fromkeys(map(_value, origin.value)))
    return f"the rules, out of {', '.join(made_of)}" if origin.worked_out else " or ".join(made_of)


def _found_by(origin: Origin) -> str:
    """The columns that lead to the value or choose it; without the name of a raw asset."""
    others = (source.partition(".") for source in origin.sources if source not in origin.value)
    return ", ".join(column if asset in RAW_MODELS else f"{asset}.{column}" for asset, _, column in others)

"""What every asset's step does alike: check its tables before they are stored, and fail in plain words.

A frame that breaks its schema is never stored: the asset yields a failed check with counts by
column and then fails. Every failure becomes one line that names district, step and remedy, is
written to `snapshots`, and holds no value of a row: the text of an unforeseen exception is left out,
because it may quote one.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from samegoal_pipelines.defs.night import Night, NotADate
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.qmlativ import QmlativError
from samegoal_pipelines.schemas.report import column_descriptions, validate
from samegoal_pipelines.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_CHECK = "schema"
PLAIN_ERRORS = (QmlativError, LandingError, WarehouseError, DistrictError, NotADate)


class SchemaBroken(Exception):
    """A table does not keep its schema; names table, columns, checks and counts."""


@contextmanager
def recorded(step: str, night: Night) -> Iterator[None]:
    """Turn whatever goes wrong inside into one plain line, write it to `snapshots`, and fail the step.

    Raises:
        Failure: with district, step and remedy; retryable only where trying again can help.
    """
    try:
        yield
    except dg.Failure as failure:
        night.record_failure(failure.description or step)
        raise
    except dg.DagsterExecutionInterruptedError:
        night.record_failure(f"{step}: stopped by hand or by the machine; run it again")
        raise
    except (*PLAIN_ERRORS, SchemaBroken) as error:
        reason = str(error).removeprefix(f"{night.district_id}: ")
        retry = getattr(error, "transient", False)
        night.record_failure(f"{step}: {reason}")
        raise dg.Failure(f"{night.district_id}: {step}: {reason}", allow_retries=retry) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = (
            f"unforeseen {type(error).__name__} at {place.filename.rsplit('/', 1)[-1]}:{place.lineno}; "
            "last night's snapshot stays; this is a defect of the pipeline, please report it"
        )
        night.record_failure(f"{step}: {reason}")
        raise dg.Failure(f"{night.district_id}: {step}: {reason}", allow_retries=False) from None


def check_tables(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    models: Mapping[str, Any],
) -> Iterator[dg.AssetCheckResult]:
    """Check an asset's tables against their models, and say in the UI what was found, by column and count.

    Raises:
        SchemaBroken: after the failed check was yielded.
    """
    reports = {name: validate(frame, models[name]) for name, frame in tables.items()}
    broken = "; ".join(report.summary() for report in reports.values() if not report.ok)
    key = dg.AssetKey(asset)
    if dg.AssetCheckKey(key, SCHEMA_CHECK) in context.op_execution_context.selected_asset_check_keys:
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=SCHEMA_CHECK,
            passed=not broken,
            description=broken or f"{len(tables)} table(s), every column as declared",
            metadata={f"{name} rows": report.rows for name, report in reports.items()},
        )
    if broken:
        raise SchemaBroken(f"{broken}; nothing was stored")


def checked(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    models: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Check an asset's tables, then hand them over; or say what is wrong, and hand over nothing.

    Args:
        tables: the asset's tables by name.
        models: table name → pandera model. Every table must have one.
    """
    yield from check_tables(context, asset, tables, models)
    rows = {f"{name} rows": len(frame) for name, frame in tables.items()}
    yield dg.MaterializeResult(
        asset_key=dg.AssetKey(asset), value=tables, metadata={**rows, **(metadata or {})}
    )


def schema_check(asset: str) -> dg.AssetCheckSpec:
    """The check that every stored asset carries."""
    return dg.AssetCheckSpec(
        SCHEMA_CHECK,
        asset=asset,
        description="Every table keeps its pandera model; where one does not, nothing is stored.",
    )


def column_schema(model: Any) -> dict[str, Any]:
    """Column names, types and descriptions of a model, for the asset's page in the UI."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=column.dtype,
                    description=column.description,
                    constraints=dg.TableColumnConstraints(nullable=column.nullable),
                )
                for column in column_descriptions(model)
            ]
        )
    }

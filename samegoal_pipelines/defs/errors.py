"""What every asset's step does alike: check its tables before they are stored, and fail in plain words.

A frame that breaks its schema is never stored: the asset yields a failed check with counts by
column and then fails. Every failure becomes one line that names district, step and remedy, is
written to `snapshots`, and holds no value of a row: the text of an unforeseen exception is left out,
because it may quote one.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # exported by no public name
    AssetCheckEvaluationTargetMaterializationData,
)

from samegoal_pipelines.defs.night import Night, NotADateError, NotTonightError, OutdatedError
from samegoal_pipelines.defs.partitions import DISTRICTS
from samegoal_pipelines.defs.retries import RETRIES
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_CHECK = "schema"
PLAIN_ERRORS = (
    QmlativError,
    LandingError,
    WarehouseError,
    DistrictError,
    NotADateError,
    NotTonightError,
    OutdatedError,
)


class SchemaBrokenError(Exception):
    """A table does not keep its schema; names table, columns, checks and counts."""


@contextmanager
def recorded(step: str, night: Night) -> Iterator[None]:
    """Turn whatever goes wrong inside into one plain line, write it to `snapshots`, and fail the step.

    A night that was held has its row there already, which stays. A step that is tried again and succeeds
    leaves a published row; one that fails again, the reason of its last try.

    Raises:
        Failure: with district, step and remedy.
        RetryRequested: the same, where trying again can help and the run has a retry left.
    """
    with plainly_failing(step, night, night.record_failure, night.retries.wait_after):
        yield


@contextmanager
def plainly_failing(
    step: str,
    night: Night,
    tell: Callable[[str], None] | None = None,
    wait_after: Callable[[Exception], float | None] | None = None,
) -> Iterator[None]:
    """Turn whatever goes wrong inside into one plain line, and fail the step.

    Args:
        tell: is called with the line first, if anybody is to hear it.
        wait_after: how many seconds after this error the step is to be tried again; None: not at all.

    Raises:
        Failure, RetryRequested: as `recorded` does.
    """
    tell = tell or (lambda _: None)
    try:
        yield
    except dg.RetryRequested:
        raise
    except dg.Failure as failure:
        tell(failure.description or step)
        raise
    except dg.DagsterExecutionInterruptedError:
        tell(f"{step}: stopped by hand or by the machine; run it again")
        raise
    except (*PLAIN_ERRORS, SchemaBrokenError) as error:
        reason = str(error).removeprefix(f"{night.district_id}: ")
        wait = wait_after(error) if wait_after else None
        if wait is not None:
            reason += f"; this run tries it again after {wait:.0f} seconds"
        tell(f"{step}: {reason}")
        # No RetryPolicy on the asset: Dagster applies it to a run that somebody has stopped as well.
        plain = dg.Failure(f"{night.district_id}: {step}: {reason}", allow_retries=False)
        if wait is None:
            raise plain from None
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=wait) from plain
    except Exception as error:
        reason = (
            f"{unforeseen(error)}; last night's snapshot stays; this is a defect of the pipeline, "
            "please report it"
        )
        tell(f"{step}: {reason}")
        raise dg.Failure(f"{night.district_id}: {step}: {reason}", allow_retries=False) from None


def unforeseen(error: Exception) -> str:
    """An error that is none of ours: its type and place, without its text, which may quote a row."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"unforeseen {type(error).__name__} at {place.filename.rsplit('/', 1)[-1]}:{place.lineno}"


def check_tables(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Table],
) -> Generator[dg.AssetCheckResult, None, list[dg.AssetCheckResult]]:
    """Check an asset's tables against their declarations; show in the UI what is broken, by column and count.

    Returns:
        What is to be said when the asset is materialized: of a partition, Dagster shows only what was told
        of its last materialization.

    Raises:
        SchemaBrokenError: after the failed check was yielded.
    """
    reports = {name: validate(frame, declared[name]) for name, frame in tables.items()}
    broken = "; ".join(report.summary() for report in reports.values() if not report.ok)
    told = []
    if is_selected(context, asset, SCHEMA_CHECK):
        result = dg.AssetCheckResult(
            asset_key=dg.AssetKey(asset),
            check_name=SCHEMA_CHECK,
            passed=not broken,
            description=broken or f"{len(tables)} table(s), every column as declared",
            metadata={"rows checked": sum(report.rows for report in reports.values())},
        )
        told.append(result)
    if broken:
        yield from told
        raise SchemaBrokenError(f"{broken}; nothing was stored")
    return told


def checked(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Table],
    facts: Mapping[str, Any],
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Check an asset's tables, then hand them over; or say what is wrong, and hand over nothing.

    Args:
        tables: the asset's tables by name.
        declared: table name → declaration. Every table must have one.
        facts: what the UI shows with the materialization (`facts`).
    """
    sound = yield from check_tables(context, asset, tables, declared)
    yield materialized(context, asset, facts, value=tables)
    yield from sound


def materialized(
    context: dg.AssetExecutionContext, asset: str, facts: Mapping[str, Any], **value: Any
) -> dg.MaterializeResult[Any]:
    """The result that materializes an asset.

    Its facts go to the materialization alone: Dagster keeps the metadata of a result with the output of the
    step as well, and every night's events would hold the picture twice.
    """
    context.add_asset_metadata(facts, asset_key=asset)
    return dg.MaterializeResult(asset_key=dg.AssetKey(asset), **value)


def is_selected(context: dg.AssetExecutionContext, asset: str, check: str) -> bool:
    """Whether this run is to tell the outcome of a check; Dagster refuses one that it was not asked for."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    return key in context.op_execution_context.selected_asset_check_keys


def last_materialization(
    instance: dg.DagsterInstance, asset: str, district_id: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What an outcome must say it is about, where no step says so: else the partition does not show it."""
    which = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[district_id])
    for record in instance.fetch_materializations(which, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None


def schema_check(asset: str) -> dg.AssetCheckSpec:
    """The check that every stored asset carries."""
    return district_check(
        asset,
        SCHEMA_CHECK,
        "Every table is as declared; where one is not, nothing is stored.",
    )


def district_check(asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    """A check with an outcome of its own for each district: one district's green hides no other's red."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of checks with partitions, in Dagster 1.13
        return dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=DISTRICTS)

"""Validate an asset's tables before they are stored, and turn errors into failures of its step.

A frame that breaks its schema is never stored: the asset yields a failed check with counts by column and then
fails. Every failure names the district, the step and what to do, and is written to `snapshots`. It contains
no value of a row, so the text of an unforeseen exception is dropped.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from samegoal_pipelines.defs.district_run import DISTRICTS, OUTCOME_TAG, DistrictRun
from samegoal_pipelines.defs.retries import RETRIES
from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.errors import REPORT, Kind, PipelineError, fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.catalog import published_tables
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.validation import validate
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, compute_night
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse import snapshots

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

SCHEMA_CHECK = "schema"
REASON, NEXT_STEP = "reason", "next step"
"""The name of a failure's metadata."""


class SchemaBrokenError(PipelineError):
    """A table does not match its declaration. Names table, columns, checks and counts."""

    kind = Kind.DEFECT
    next_step = REPORT
    rerun = False


class StoppedError(PipelineError):
    """A person or the machine stopped the run."""

    kind = Kind.STOPPED

    def __init__(self) -> None:
        super().__init__("stopped by hand or by the machine")


class DefectError(PipelineError):
    """An exception that the pipeline does not foresee. Its text is dropped."""

    kind = Kind.DEFECT
    next_step = REPORT
    rerun = False

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{unforeseen(error)}; last night's snapshot stays")


@contextmanager
def record_failures(step: str, run: DistrictRun) -> Iterator[None]:
    """Turn an error inside into a failure of the step, and write it to `snapshots`.

    A held night keeps its row there. If a retry succeeds, its row is published. If it fails, the row has its
    reason.

    Raises:
        Failure: names the district, the step and what to do.
        RetryRequested: the same, if a retry can help and the run has one left.
    """
    with as_dagster_failure(step, run, partial(record_failure, run), run.retries.wait_after):
        yield


@contextmanager
def as_dagster_failure(
    step: str,
    run: DistrictRun,
    record: Callable[[PipelineError], None] | None = None,
    wait_after: Callable[[Exception], float | None] | None = None,
) -> Iterator[None]:
    """Turn an error inside into a failure of the step.

    Args:
        record: receives the error first, if this failure ends the night.
        wait_after: the seconds until the step is retried after this error. `None`: no retry.

    Raises:
        Failure, RetryRequested: as in `record_failures`.
    """
    try:
        yield
    except (dg.RetryRequested, dg.Failure):
        raise
    except dg.DagsterExecutionInterruptedError:
        if record:
            record(_in_step(StoppedError(), step, run))
        raise
    except Exception as caught:
        error = _in_step(caught if isinstance(caught, PipelineError) else DefectError(caught), step, run)
        wait = wait_after(error) if wait_after else None
        if wait is not None:
            error.detail += f"; this run tries it again after {wait:.0f} seconds"
        if record:
            record(error)
        failure = _failure(error, error.next_step_of_night if record else error.next_step, run)
        if wait is None:
            raise failure from None
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=wait) from failure


def _failure(error: PipelineError, next_step: str, run: DistrictRun) -> dg.Failure:
    to_do = fill_in(next_step, run.district_id, run.run_id)
    return dg.Failure(
        "; ".join(filter(None, [f"{run.district_id}: {error.reason}", to_do])),
        metadata={REASON: error.reason, NEXT_STEP: to_do},
        allow_retries=False,  # Dagster would also retry a stopped run
    )


def _in_step(error: PipelineError, step: str, run: DistrictRun) -> PipelineError:
    error.step = f"{step}: {error.step}" if error.step else step
    error.district_id = run.district_id
    return error


def record_failure(run: DistrictRun, error: PipelineError) -> None:
    """Write a run's failure to `snapshots`; an unreachable warehouse must not hide the reason.

    A district that awaits its secret never counts as failed.
    """
    if isinstance(error, SecretAwaitedError):
        return
    tag_outcome(run, "failed")
    with suppress(PipelineError):
        snapshots.record_failure(run.deployment.warehouse, run.identity(), error)


def tag_outcome(run: DistrictRun, outcome: Literal["held", "failed"]) -> None:
    """Tag the run for the list of runs. An unavailable storage must not hide why the run failed."""
    if run.instance is not None:
        with suppress(Exception):
            run.instance.add_run_tags(run.run_id, {OUTCOME_TAG: outcome})


def unforeseen(error: Exception) -> str:
    """Describe an unforeseen error by its type and place. Its text may quote a row."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"unforeseen {type(error).__name__} at {place.filename.rsplit('/', 1)[-1]}:{place.lineno}"


def validate_tables(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Table],
) -> Generator[dg.AssetCheckResult, None, list[dg.AssetCheckResult]]:
    """Check an asset's tables against their declarations. The UI shows failures by column and count.

    Returns:
        The outcomes to yield with the materialization, because Dagster only shows a partition the outcomes of
        its last one.

    Raises:
        SchemaBrokenError: raised after the failed check is yielded.
    """
    reports = {name: validate(frame, declared[name]) for name, frame in tables.items()}
    broken = "; ".join(report.summary() for report in reports.values() if not report.ok)
    results = []
    if is_selected(context, asset, SCHEMA_CHECK):
        result = dg.AssetCheckResult(
            asset_key=dg.AssetKey(asset),
            check_name=SCHEMA_CHECK,
            passed=not broken,
            description=broken or f"every column of {counted(len(tables), 'table')} as declared",
            metadata={"rows checked": sum(report.rows for report in reports.values())},
        )
        results.append(result)
    if broken:
        yield from results
        raise SchemaBrokenError(f"{broken}; nothing was stored")
    return results


def compute_valid_night(
    raw: Mapping[str, Mapping[str, pd.DataFrame]], today: date, withholding: Withholding, what: str = ""
) -> SnapshotPayload:
    """What is published for the raw rows of a night, checked against the declarations.

    Args:
        what: names the night, if a message must.

    Raises:
        SchemaBrokenError: a table is not as declared.
    """
    payload = compute_night(
        raw["raw_enrollments"], raw["raw_students"], raw["raw_parents"], today, withholding=withholding
    )
    declared = published_tables(withholding.show_restricted_contacts)
    for name, frame in payload.published().items():
        report = validate(frame, declared[name])
        if not report.ok:
            raise SchemaBrokenError(f"{what}{report.summary()}; nothing was changed")
    return payload


def materialize_tables(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Table],
    facts: Mapping[str, Any],
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Validate an asset's tables, then materialize the asset. Nothing is stored if a table is invalid.

    Args:
        tables: the asset's tables by name.
        declared: table name → declaration. Every table must have one.
        facts: the materialization's metadata.
    """
    sound = yield from validate_tables(context, asset, tables, declared)
    yield materialized(context, asset, facts, value=tables)
    yield from sound


def materialized(
    context: dg.AssetExecutionContext, asset: str, facts: Mapping[str, Any], **value: Any
) -> dg.MaterializeResult[Any]:
    """The result that materializes an asset.

    Its facts only go to the materialization. Dagster also stores a result's metadata with the step's output,
    so every plot would be stored twice.
    """
    context.add_asset_metadata(facts, asset_key=asset)
    return dg.MaterializeResult(asset_key=dg.AssetKey(asset), **value)


def is_selected(context: dg.AssetExecutionContext, asset: str, check: str) -> bool:
    """Whether this run has selected a check. Dagster refuses the outcome of any other."""
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    return key in context.op_execution_context.selected_asset_check_keys


def schema_check(asset: str) -> dg.AssetCheckSpec:
    """The schema check of every stored asset."""
    return district_check(
        asset,
        SCHEMA_CHECK,
        "Every table matches its declaration. Otherwise nothing is stored.",
    )


def district_check(asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    """A check with an outcome per district, so that one district's green does not hide another's red."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of checks with partitions, in Dagster 1.13
        return dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=DISTRICTS)

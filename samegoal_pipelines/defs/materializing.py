"""An asset's tables in Dagster: declared, validated, materialized, and handed on between steps and runs.

A frame that breaks its schema is never stored: the asset yields a failed check with counts by column and then
fails. An asset's value maps table names to frames. Within a run it is passed in memory. A later run reads the
landed files of the same district and night, unless Qmlativ was read again since, so that nothing outdated is
published.
"""

import warnings
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd

from samegoal_pipelines.defs.dagster_internals import about_last_materialization
from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.errors import as_dagster_failure
from samegoal_pipelines.errors import REPORT, Kind, PipelineError
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.catalog import LANDED, published_tables
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.lineage import LINEAGE, made_of
from samegoal_pipelines.tables.validation import violations
from samegoal_pipelines.transforms.snapshot import SnapshotPayload

Tables = dict[str, pd.DataFrame]
IN_MEMORY = "in_memory"
"""The resource that passes a job's outcome to the command that runs it in process. It lands nothing."""
SCHEMA_CHECK = "schema"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
_PLAIN_TYPES = {"text": "string", "code": "string", "flag": "boolean", "number": "float"}


# -- in an asset's definition --


def column_metadata(asset: str, tables: Mapping[str, Table]) -> dict[str, Any]:
    """The columns of an asset and their lineage: the same for every night, so no event repeats them.

    Dagster's UI does not show the lineage, so a column's description says what it is made of. A column of
    several tables is called `table.column`. The only table of an asset is called "" here.
    """
    columns = {
        f"{name}.{column.name}" if name else column.name: column
        for name, table in tables.items()
        for column in table.columns
    }
    origins = LINEAGE.get(asset, {})
    schema = [
        dg.TableColumn(
            name,
            _PLAIN_TYPES.get(column.type, column.type),
            column.description + (f". Made of: {made_of(f'{asset}.{name}')}" if name in origins else ""),
            dg.TableColumnConstraints(nullable=not column.required),
        )
        for name, column in columns.items()
    ]
    metadata: dict[str, Any] = {"dagster/column_schema": dg.TableSchema(schema)}
    if origins:
        deps = {
            name: [dg.TableColumnDep(*source.split(".", 1)) for source in origin.sources]
            for name, origin in origins.items()
        }
        metadata["dagster/column_lineage"] = dg.TableColumnLineage(deps)
    return metadata


def schema_check(asset: str) -> dg.AssetCheckSpec:
    """The schema check of every stored asset."""
    says = "Every table matches its declaration. Otherwise nothing is stored."
    return district_check(asset, SCHEMA_CHECK, says)


def district_check(asset: str, name: str, description: str) -> dg.AssetCheckSpec:
    """A check with an outcome per district, so that one district's green does not hide another's red."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of checks with partitions, in Dagster 1.13
        return dg.AssetCheckSpec(name, asset=asset, description=description, partitions_def=DISTRICTS)


# -- the outcome of a check --


class Finding(NamedTuple):
    """The outcome of a check: counts only, never a row's value."""

    passed: bool
    description: str
    metadata: Mapping[str, Any]
    severity: dg.AssetCheckSeverity = WARN

    def for_dagster(self) -> dict[str, Any]:
        """The outcome's fields. Numbers are text, or Dagster would plot all districts' numbers as a curve."""
        metadata = {
            name: f"{value:,}" if isinstance(value, int | float) else value
            for name, value in self.metadata.items()
        }
        return {**self._asdict(), "metadata": metadata}


def check_results(asset: str, findings: Mapping[str, Finding]) -> list[dg.AssetCheckResult]:
    """The findings about an asset (check → finding) that a step yields."""
    return [
        dg.AssetCheckResult(asset_key=asset, check_name=name, **finding.for_dagster())
        for name, finding in findings.items()
    ]


def check_evaluation(
    instance: dg.DagsterInstance, asset: str, name: str, district_id: str, finding: Finding
) -> dg.AssetCheckEvaluation:
    """A finding about a district's asset, from a step that does not materialize it."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        target_materialization_data=about_last_materialization(instance, asset, district_id),
        partition=district_id,
        **finding.for_dagster(),
    )


# -- validating and materializing --


class SchemaBrokenError(PipelineError):
    """A table does not match its declaration. Names table, columns, checks and counts."""

    kind = Kind.DEFECT
    next_step = REPORT


def broken_columns(tables: Mapping[str, pd.DataFrame], declared: Mapping[str, Table]) -> str:
    """Where tables do not match their declarations, by table, column and count. Empty if they do."""
    found = (violations(frame, declared[name]) for name, frame in tables.items())
    return "; ".join(filter(None, found))


def declared_tables(payload: SnapshotPayload) -> dict[str, Table]:
    """The declarations of what is to be published."""
    return published_tables(payload.shows.show_restricted_contacts)


def validate_tables(
    asset: str, tables: Mapping[str, pd.DataFrame], declared: Mapping[str, Table]
) -> Generator[dg.AssetCheckResult, None, dict[str, Finding]]:
    """Check an asset's tables against their declarations. A failed check is yielded before it is raised.

    Return the finding to show with the materialization: Dagster shows a partition no other outcomes.
    """
    broken = broken_columns(tables, declared)
    said = broken or f"every column of {counted(len(tables), 'table')} as declared"
    rows = {"rows checked": sum(map(len, tables.values()))}
    found = {SCHEMA_CHECK: Finding(not broken, said, rows, ERROR)}
    if broken:
        yield from check_results(asset, found)
        raise SchemaBrokenError(f"{broken}; nothing was stored")
    return found


def materialize_tables(
    context: dg.AssetExecutionContext,
    asset: str,
    tables: Mapping[str, pd.DataFrame],
    facts: Mapping[str, Any],
    *,
    declared: Mapping[str, Table] | None = None,
    findings: Mapping[str, Finding] | None = None,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Validate an asset's tables, by default against `LANDED`, then materialize the asset.

    Nothing is stored if a table is invalid. `findings` are those of checks besides the schema's.
    """
    sound = yield from validate_tables(asset, tables, declared or LANDED[asset])
    yield materialized(context, asset, facts, sound | dict(findings or {}), value=tables)


def materialized(
    context: dg.AssetExecutionContext,
    asset: str,
    facts: Mapping[str, Any],
    findings: Mapping[str, Finding],
    **value: Any,
) -> dg.MaterializeResult[Any]:
    """The result that materializes an asset, with the outcomes of its checks.

    Its facts only go to the materialization. Dagster also stores a result's metadata with the step's output,
    so every plot would be stored twice.
    """
    context.add_asset_metadata(facts, asset_key=asset)
    return dg.MaterializeResult(asset_key=asset, check_results=check_results(asset, findings), **value)


# -- between steps and runs --

_MADE_FROM = {
    "cecs_filtered_enrollments": ("raw_enrollments",),
    "student_status": ("raw_enrollments",),
    "student_demographics": ("raw_enrollments", "raw_students"),
    "parent_demographics": ("raw_enrollments", "raw_parents"),
}
"""Asset → the raw assets it is made from."""


class LandingIOManager(dg.IOManager):
    """Lands every asset's value under its district, night and run."""

    def __init__(self, run: DistrictRun) -> None:
        self._run = run
        self._in_memory: dict[str, Tables] = {}

    def handle_output(self, context: dg.OutputContext, obj: Tables | None) -> None:
        """Land the value. An asset without one (`published_snapshot`) lands nothing."""
        if obj is None:
            return
        asset = context.asset_key.to_user_string()
        with as_dagster_failure(asset, self._run, of_night=True):
            self._run.landing.write(asset, obj)
        self._in_memory[asset] = obj

    def load_input(self, context: dg.InputContext) -> Tables:
        """The value landed by this run, or else by the last run of the same night.

        Empty in a release, which publishes what is held.
        """
        asset = context.asset_key.to_user_string()
        if asset in self._in_memory or self._run.is_release:
            return self._in_memory.get(asset, {})
        with as_dagster_failure(asset, self._run, of_night=True):
            newest = self._run.landing.newest(asset)
            for raw in _MADE_FROM.get(asset, ()):
                read = self._run.landing.newest(raw)
                if newest and read and read.landed_at > newest.landed_at:
                    raise PipelineError(f"{raw} was read again after it was made", kind=Kind.OUTDATED)
            if newest:
                context.log.info(f"{asset} of {self._run.today} was landed by run {newest.run_id}")
            return self._run.landing.read(asset, run_id=newest.run_id if newest else None)


@dg.io_manager(required_resource_keys={"district_run"})
def landing_io_manager(context: dg.InitResourceContext) -> LandingIOManager:
    """Dagster's IO manager over the landing of this run's night."""
    return LandingIOManager(context.resources.district_run)

"""Dagster's instance on the pipeline's own Postgres, so that one setting serves both.

Named by `dagster.yaml`. Dagster's `env:` entries have no default, and the embedded Postgres has no
address before it is up; these two classes ask the deployment instead, so that `dagster dev`, the
webserver and the daemon start from any directory without preparation.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from typing import Any, TypeVar, cast

import dagster as dg
import psycopg2
import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.storage import DagsterPostgresStorage

from samegoal_pipelines.defs.night import PARTITION_TAG, SOURCE_HOST_TAG
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.tables.catalog import RAW_TABLES

_RECYCLED_AFTER = 300  # seconds: a connection that outlived a restart of Postgres is not kept for long
_CONNECTIONS = 20  # beyond the one that is kept, for each of the three storages of a process
_OUTPUTS_WITH_A_VALUE = {"result", *RAW_TABLES}  # as Dagster names them; the others are outcomes of checks
_PLUMBING = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.LOADED_INPUT,
    dg.DagsterEventType.STEP_INPUT,
    dg.DagsterEventType.HANDLED_OUTPUT,
}
_RUN_ENDS = {
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}
_T = TypeVar("_T")


class PipelineEventLog(PostgresEventLogStorage):
    """dagster-postgres' event log, which asks for less and says no more than it knows."""

    def __init__(self, postgres_url: str, *, should_autocreate_tables: bool = True) -> None:
        super().__init__(postgres_url, should_autocreate_tables)
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        self._answers: dict[tuple[dg.AssetKey | None, Hashable], Any] | None = None

    def has_table(self, table_name: str) -> bool:
        """Whether a table of its own is there; for each of them Dagster asks at every event."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether its table of assets has a column; for each check's outcome Dagster asks for all of them."""
        if column_name not in self._columns and super().has_asset_key_col(column_name):
            self._columns.add(column_name)
        return column_name in self._columns

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, unless nobody reads it (`_is_plumbing`)."""
        if _is_plumbing(event):
            return
        super().store_event(event)
        kind = event.dagster_event_type
        if kind == dg.DagsterEventType.RUN_START:
            self._answers = {}
        elif kind in _RUN_ENDS:
            self._answers = None
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            self._forget(event.get_dagster_event().asset_key)

    # -- Dagster asks for these at every step: while this process executes a run, each is read once --

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether the partition exists. Dagster asks some 90 times per run."""
        return self._ask(
            None,
            (partitions_def_name, partition_key),
            lambda: super(PipelineEventLog, self).has_dynamic_partition(partitions_def_name, partition_key),
        )

    def fetch_materializations(
        self, records_filter: dg.AssetKey | dg.AssetRecordsFilter, limit: int, *args: Any, **more: Any
    ) -> dg.EventRecordsResult:
        """The latest materializations of an asset. Dagster asks for each outcome of each check."""
        asset = records_filter if isinstance(records_filter, dg.AssetKey) else records_filter.asset_key
        return self._ask(
            asset,
            ("materializations", repr(records_filter), limit, *args, *more.items()),
            lambda: super(PipelineEventLog, self).fetch_materializations(
                records_filter, limit, *args, **more
            ),
        )

    def get_latest_tags_by_partition(
        self, asset_key: dg.AssetKey, *args: Any, **more: Any
    ) -> Mapping[str, Mapping[str, str]]:
        """The version of an asset's data. Dagster asks for each input of each step."""
        return self._ask(
            asset_key,
            ("tags", repr(args), repr(more)),
            lambda: super(PipelineEventLog, self).get_latest_tags_by_partition(asset_key, *args, **more),
        )

    def _ask(self, asset: dg.AssetKey | None, question: Hashable, ask: Callable[[], _T]) -> _T:
        if self._answers is None:
            return ask()
        if (asset, question) not in self._answers:
            self._answers[asset, question] = ask()
        return cast("_T", self._answers[asset, question])

    def _forget(self, asset: dg.AssetKey | None) -> None:
        if self._answers:
            self._answers = {key: answer for key, answer in self._answers.items() if key[0] != asset}


def _is_plumbing(event: EventLogEntry) -> bool:
    """Whether an event only repeats what others of its run say.

    The plan to evaluate a check would even mislead: Dagster shows a check as failed where a run that had
    planned it ended before it was evaluated, so one district with a wrong secret would turn every check of
    every asset red. The outputs that carry an asset's value are kept: a run that is executed again from its
    failure goes on from them.
    """
    kind = event.dagster_event_type
    if kind == dg.DagsterEventType.STEP_OUTPUT:
        return event.get_dagster_event().step_output_data.output_name not in _OUTPUTS_WITH_A_VALUE
    return kind in _PLUMBING


class PipelineRunStorage(PostgresRunStorage):
    """dagster-postgres' storage of runs, which asks for its own columns once."""

    _is_up_to_date = False

    def has_run_stats_index_cols(self) -> bool:
        """Whether its table has the columns of newer versions; Dagster asks whenever it reads a run."""
        self._is_up_to_date = self._is_up_to_date or super().has_run_stats_index_cols()
        return self._is_up_to_date


class PipelineStorage(DagsterPostgresStorage):
    """dagster-postgres in the schema `dagster` of the deployment's database."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, should_autocreate_tables=True, inst_data=inst_data)
        self._run_storage = PipelineRunStorage(postgres_url, should_autocreate_tables=False)
        self._event_log_storage = PipelineEventLog(postgres_url, should_autocreate_tables=False)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure: the environment says where the database is."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Any,  # noqa: ARG003 - Dagster hands over what `config_type` asks for: nothing
    ) -> PipelineStorage:
        """Storage over the configured Postgres, or the embedded one, which this starts."""
        storage = cls(prepare_dagster_storage(Deployment().database_url), inst_data)
        # Left alone, dagster-postgres connects anew for every statement, 360 times a run: half a small night.
        # What it does for the webserver keeps a connection, without a limit on statements here.
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=0, pool_recycle=_RECYCLED_AFTER, max_overflow=_CONNECTIONS
            )
            sa.event.listen(part._engine, "checkout", _refuse_the_dead)  # type: ignore[union-attr]
        return storage


def _refuse_the_dead(connection: Any, _record: object, _proxy: object) -> None:
    """A connection that a restart of Postgres has cut is replaced: its first event would end the run.

    Postgres says so before it closes a connection. One on which nothing has come is asked no question, which
    would be one for every statement.
    """
    line = select.poll()
    try:
        line.register(connection, select.POLLIN)
        if line.poll(0):
            with connection.cursor() as cursor:
                cursor.execute("select 1")
    except psycopg2.Error:
        raise sa.exc.DisconnectionError from None


class SourceHostCoordinator(QueuedRunCoordinator):
    """Dagster's run queue; runs that carry no source host yet, such as a backfill's, get their tag here.

    The tag's concurrency limit keeps all districts of one host, however started, from asking it at once.
    """

    @cached_property
    def _deployment(self) -> Deployment:
        """One for all runs: each would connect and check the migrations again."""
        return Deployment()

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag the run with its district's host, then queue it."""
        run = context.dagster_run
        district_id = run.tags.get(PARTITION_TAG)
        if district_id and SOURCE_HOST_TAG not in run.tags:
            try:
                host = self._deployment.registry.get(district_id).source_host
            except DistrictError:
                host = "unknown"  # the run itself will say that the district is not registered
            self._instance.add_run_tags(run.run_id, {SOURCE_HOST_TAG: host})
        return super().submit_run(context)

"""Dagster's instance on the pipeline's own Postgres, so that one setting serves both.

Named by `dagster.yaml`. Dagster's `env:` entries have no default, and the embedded Postgres has no
address before it is up; these two classes ask the deployment instead, so that `dagster dev`, the
webserver and the daemon start from any directory without preparation.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext
from dagster._serdes import ConfigurableClassData
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage

from samegoal_pipelines.defs.night import PARTITION_TAG, SOURCE_HOST_TAG
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.warehouse import server

_RECYCLED_AFTER = 300  # seconds: a connection that outlived a restart of Postgres is not kept for long
_CONNECTIONS = 20  # beyond the one that is kept, for each of the three storages of a process


class PipelineStorage(DagsterPostgresStorage):
    """dagster-postgres in the schema `dagster` of the deployment's database."""

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
        storage = cls(
            postgres_url=server.dagster_storage_url(Deployment().database_url),
            should_autocreate_tables=True,
            inst_data=inst_data,
        )
        # Left alone, dagster-postgres connects anew for every statement, 360 times a run: half a small night.
        # What it does for the webserver keeps a connection, without a limit on statements here.
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=0, pool_recycle=_RECYCLED_AFTER, max_overflow=_CONNECTIONS
            )
        _ask_once_for_tables(storage.event_log_storage)  # type: ignore[arg-type]
        return storage


def _ask_once_for_tables(events: PostgresEventLogStorage) -> None:
    """Let the event log ask no second time whether a table of its own is there: it does for every event."""
    ask, known = events.has_table, set[str]()

    def has_table(table_name: str) -> bool:
        if table_name not in known and ask(table_name):
            known.add(table_name)
        return table_name in known

    events.has_table = has_table  # type: ignore[method-assign]


class SourceHostCoordinator(QueuedRunCoordinator):
    """Dagster's run queue; runs that carry no source host yet, such as a backfill's, get their tag here.

    The tag's concurrency limit keeps all districts of one host, however started, from asking it at once.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Tag the run with its district's host, then queue it."""
        run = context.dagster_run
        district_id = run.tags.get(PARTITION_TAG)
        if district_id and SOURCE_HOST_TAG not in run.tags:
            try:
                host = Deployment().registry.get(district_id).source_host
            except DistrictError:
                host = "unknown"  # the run itself will say that the district is not registered
            self._instance.add_run_tags(run.run_id, {SOURCE_HOST_TAG: host})
        return super().submit_run(context)

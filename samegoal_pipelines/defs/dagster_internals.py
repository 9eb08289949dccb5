"""Every use of Dagster that its public interface does not cover, with what depends on it.

Nothing else imports `dagster._…` or changes how Dagster and `multiprocessing` work inside. The test of each
use says what broke and what depends on it. Run those tests first when you raise Dagster's version.
"""

import gc
import select
from collections.abc import Callable, Mapping
from functools import partial, wraps
from multiprocessing import set_forkserver_preload, util
from multiprocessing.context import ForkServerProcess, SpawnContext
from typing import Any, TypeVar, cast

import dagster as dg
import psycopg2
import sqlalchemy as sa
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import WorkerStatus as WorkerStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG, SCHEDULED_EXECUTION_TIME_TAG
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData as ConfigurableClassData
from dagster._serdes import unpack_value
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.storage import DagsterPostgresStorage

from samegoal_pipelines.tables.catalog import RAW_TABLES

LOCATION = "samegoal_pipelines.definitions"
"""The code location's name in `workspace.yaml`."""
TICK_TAG = SCHEDULED_EXECUTION_TIME_TAG
"""The tag of a schedule's runs: the scheduled time of their tick."""


# -- events and labels for the UI --


def about_last_materialization(
    instance: dg.DagsterInstance, asset: str, district_id: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The materialization of a check's outcome. Without it, the partition shows no outcome."""
    which = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[district_id])
    for record in instance.fetch_materializations(which, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None


def location_of(run: dg.DagsterRun) -> str:
    """The code location from which a run was launched."""
    return run.remote_job_origin.location_name if run.remote_job_origin else LOCATION


def appear_in_timeline(instance: dg.DagsterInstance, job: str) -> dict[str, str]:
    """Label the runs that this instance creates with their job and code location. Return tags for the same.

    Without them, the UI lists a run under no job and the timeline omits it. `execute_in_process` has no
    argument for it.
    """
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), SINGLETON_REPOSITORY_NAME)
    instance.create_run_for_job = partial(  # type: ignore[method-assign]
        instance.create_run_for_job, remote_job_origin=RemoteJobOrigin(repository, job)
    )
    return {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{LOCATION}"}


# -- starting runs --


PRELOADED = [
    "dagster._grpc.impl",
    "samegoal_pipelines.definitions",
    "samegoal_pipelines.defs.instance",
    # Modules that these import on first use, which every run needs.
    "cryptography.fernet",
    "dagster._core.storage.local_compute_log_manager",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.container",
    "pyarrow.dataset",
    "upath.implementations.local",
]


def start_runs_warm() -> None:
    """From now on, start this process's `spawn` processes from a fork server.

    Dagster's code server starts a process for every run by `spawn`, which imports Dagster, pandas and this
    package each time: half the work of a small night. Dagster offers a fork server for steps (`start_method:
    forkserver`), but not for runs. The fork server starts with the first run, has everything imported and no
    connection open, and ends with the code server.
    """
    set_forkserver_preload([*PRELOADED])
    SpawnContext.Process = ForkServerProcess  # type: ignore[assignment]


def _begin(_: object) -> None:
    """Keep imports out of garbage collection. Otherwise one takes a third of a second in every few runs."""
    gc.freeze()


util.register_after_fork(start_runs_warm, _begin)


def run_of_task(arguments: Mapping[str, Any]) -> str:
    """The id of the run that a task of Dagster's CeleryRunLauncher executes."""
    return unpack_value(arguments["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id


# -- storing runs and events --


_RECYCLED_AFTER = 300  # seconds: limits the life of a connection across a restart of Postgres
_CONNECTIONS = 20  # besides the one that is kept, for each of a process's three storages
_OUTPUTS_WITH_A_VALUE = {"result", *RAW_TABLES}  # Dagster's event names; the others are outcomes of checks
_PLUMBING = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.LOADED_INPUT,
    dg.DagsterEventType.STEP_INPUT,
    dg.DagsterEventType.HANDLED_OUTPUT,
    dg.DagsterEventType.RESOURCE_INIT_STARTED,
    dg.DagsterEventType.RESOURCE_INIT_SUCCESS,
}
_RUN_ENDS = {
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}
_T = TypeVar("_T")


def _asked_once(question: Callable[..., _T], *, per_run: bool = False) -> Callable[..., _T]:
    """Ask a storage once, or once per run in this process. Dagster asks at every event, step or check."""

    @wraps(question)
    def ask(self: Any, *args: Any, **more: Any) -> _T:
        answers = self._answers if per_run else vars(self).setdefault("_known", {})
        if answers is None:
            return question(self, *args, **more)
        key = f"{question.__name__} {args} {more}"
        if key not in answers:
            answer = question(self, *args, **more)
            if not (per_run or answer):
                return answer  # a migration may be under way: "no" is not for ever
            answers[key] = answer
        return cast("_T", answers[key])

    return ask


class LeanEventLog(PostgresEventLogStorage):
    """dagster-postgres' event log, with fewer events and queries."""

    _answers: dict[str, Any] | None = None
    """The answers of the run in this process, if one is in progress."""

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event unless it is redundant (`_is_plumbing`)."""
        if _is_plumbing(event):
            return
        super().store_event(event)
        kind = event.dagster_event_type
        if kind == dg.DagsterEventType.RUN_START:
            self._answers = {}
        elif kind in _RUN_ENDS:
            self._answers = None
        elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION and self._answers:
            asset = repr(event.get_dagster_event().asset_key)
            self._answers = {key: answer for key, answer in self._answers.items() if asset not in key}

    has_table = _asked_once(PostgresEventLogStorage.has_table)
    has_asset_key_col = _asked_once(PostgresEventLogStorage.has_asset_key_col)
    has_dynamic_partition = _asked_once(PostgresEventLogStorage.has_dynamic_partition, per_run=True)
    fetch_materializations = _asked_once(PostgresEventLogStorage.fetch_materializations, per_run=True)
    get_latest_tags_by_partition = _asked_once(
        PostgresEventLogStorage.get_latest_tags_by_partition, per_run=True
    )


def _is_plumbing(event: dg.EventLogEntry) -> bool:
    """Whether an event only repeats other events of its run.

    The planned evaluation of a check is misleading: Dagster shows a check as failed if its run ended before
    the evaluation, so one district with a wrong secret would turn every check red. Outputs with an asset's
    value are kept, because a re-execution from failure continues from them.
    """
    kind = event.dagster_event_type
    if kind == dg.DagsterEventType.STEP_OUTPUT:
        return event.get_dagster_event().step_output_data.output_name not in _OUTPUTS_WITH_A_VALUE
    return kind in _PLUMBING


class LeanRunStorage(PostgresRunStorage):
    """dagster-postgres' run storage, which looks up its own columns once."""

    has_run_stats_index_cols = _asked_once(PostgresRunStorage.has_run_stats_index_cols)


class LeanStorage(DagsterPostgresStorage):
    """dagster-postgres with these two storages, on pooled connections.

    By default, it opens a connection for every statement, 360 times per run, which is half of a small night.
    The webserver's pool keeps a connection, here without its limit on a statement's time.
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, should_autocreate_tables=True, inst_data=inst_data)
        self._run_storage = LeanRunStorage(postgres_url, should_autocreate_tables=False)
        self._event_log_storage = LeanEventLog(postgres_url, should_autocreate_tables=False)
        for part in (self.run_storage, self.event_log_storage, self.schedule_storage):
            part.optimize_for_webserver(
                statement_timeout=0, pool_recycle=_RECYCLED_AFTER, max_overflow=_CONNECTIONS
            )
            sa.event.listen(part._engine, "checkout", _refuse_the_dead)  # type: ignore[union-attr]


def _refuse_the_dead(connection: Any, _record: object, _proxy: object) -> None:
    """Replace a connection that a restart of Postgres has cut, because using it would end the run.

    Postgres sends a message before it closes a connection, so this only looks for received data. A test query
    would double the number of statements.
    """
    line = select.poll()
    try:
        line.register(connection, select.POLLIN)
        if line.poll(0):
            with connection.cursor() as cursor:
                cursor.execute("select 1")
    except psycopg2.Error:
        raise sa.exc.DisconnectionError from None

"""Runs on Celery workers instead of one machine's processes: Dagster's CeleryRunLauncher, with leases.

`deploy/celery/dagster.yaml` names the launcher; the workers' app is `celery_worker`. Both need the extra
`celery`. Celery's results are in the schema `celery` of the pipeline's Postgres, so a broker that comes back
empty forgets no run that is under way. The broker is `SAMEGOAL_CELERY_BROKER_URL`; without it, that schema.

A worker holds a lease (`warehouse.leases`) while it executes a run. The launcher asks for leases, not for
workers, because Celery's remote control needs a broker that can broadcast, which Postgres cannot.
"""

import warnings
from typing import Any

import dagster as dg
from celery.exceptions import DuplicateTaskNameWarning
from dagster_celery.launcher import CeleryRunLauncher

from samegoal_pipelines.defs.dagster_internals import (
    CheckRunHealthResult,
    ConfigurableClassData,
    WorkerStatus,
)
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.warehouse.leases import is_leased

CELERY_SCHEMA = "celery"
_CONFIG = {
    "worker_prefetch_multiplier": 1,  # a task that waits behind another would look lost to Dagster
    "worker_max_tasks_per_child": 200,  # bounds the memory of a worker's processes
    "worker_max_memory_per_child": 1_500_000,  # KiB: a district of 60,000 students needs half of that
    "worker_redirect_stdouts": False,  # or the worker's log repeats every event of every run
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a worker waits for its broker for as long as it takes
    "task_acks_late": False,  # Dagster retries; a task that the broker delivers again would run twice
}


def app_settings(deployment: Deployment) -> dict[str, Any]:
    """Broker, backend and configuration of the Celery app, for the launcher and for the workers."""
    schema = prepare_dagster_storage(deployment.database_url, CELERY_SCHEMA)
    broker = deployment.settings.celery_broker_url
    return {
        "broker": broker.get_secret_value() if broker else f"sqla+{schema}",
        "backend": f"db+{schema}",
        "config_source": _CONFIG,
    }


class LeasedCeleryLauncher(CeleryRunLauncher):
    """Dagster's CeleryRunLauncher, which fails a run only when its lease has ended, and cancels for good."""

    def __init__(self, default_queue: str, inst_data: ConfigurableClassData | None = None) -> None:
        deployment = Deployment()
        super().__init__(default_queue, inst_data=inst_data, **app_settings(deployment))
        self._warehouse = deployment.warehouse
        # Dagster registers the same task once more for each run that it launches.
        warnings.filterwarnings("ignore", category=DuplicateTaskNameWarning)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Only the queue: the environment says where broker and database are."""
        return {"default_queue": dg.Field(dg.StringSource, is_required=False, default_value="dagster")}

    def terminate(self, run_id: str) -> bool:
        """Cancel a run. Its worker sees that within seconds; a task that nobody has taken never begins."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if run.status != dg.DagsterRunStatus.STARTED:
            self._instance.report_run_canceled(run)
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker still executes the run. Dagster retries a run that has failed here."""
        health = super().check_run_worker_health(run)
        if health.status == WorkerStatus.RUNNING and not is_leased(self._warehouse, run.run_id):
            return CheckRunHealthResult(
                WorkerStatus.FAILED, "The worker of this run was killed, or its host cannot be reached."
            )
        return health

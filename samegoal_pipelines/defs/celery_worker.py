"""The app of the Celery workers, which `celery --app samegoal_pipelines.defs.celery_worker worker` starts.

A worker imports the code once and forks a process per slot. It reads the same environment as every other
process of the pipeline and keeps nothing on its disk.
"""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import signal
import threading
from typing import Any

import dagster as dg
import psycopg2
from celery.signals import task_postrun, task_prerun, worker_init, worker_process_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from samegoal_pipelines.defs.celery_launcher import app_settings, lease
from samegoal_pipelines.defs.dagster_internals import PRELOADED, run_of_task
from samegoal_pipelines.deployment import Deployment

LOOK_EVERY = 3.0  # seconds
_log = logging.getLogger(__name__)
_deployment = Deployment()
_watches: dict[str, Watch] = {}
# Not SUCCESS: such a run is only ending, and to interrupt it would cost the worker a process.
_UNWANTED = {
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.CANCELED,
    dg.DagsterRunStatus.FAILURE,
}

app = make_app({**app_settings(_deployment), "task_default_queue": "dagster"})
execute_job = create_execute_job_task(app)


class Watch:
    """Holds the lease of a run while this process executes it, and interrupts the run when it is canceled."""

    def __init__(self, database_url: str, run_id: str) -> None:
        self._database_url = database_url
        self._run_id = run_id
        self._over = threading.Event()
        self._lease = lease(database_url, run_id)
        self._thread = threading.Thread(target=self._look, name=f"lease of {run_id}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the lease."""
        self._over.set()
        self._thread.join()
        self._lease.close()

    def _look(self) -> None:
        """Interrupt the run if it was canceled, or declared lost while this host was unreachable."""
        if self._over.wait(LOOK_EVERY):
            return  # most runs end before the first look, and opening an instance costs more than a look
        with dg.DagsterInstance.get() as instance:
            while not self._over.is_set():
                if self._is_unwanted(instance):
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                self._over.wait(LOOK_EVERY)

    def _is_unwanted(self, instance: dg.DagsterInstance) -> bool:
        try:
            self._renew()
            run = instance.get_run_by_id(self._run_id)
        except Exception as error:  # the database cannot be reached: look again
            _log.warning("run %s: cannot check its lease: %s", self._run_id, type(error).__name__)
            return False
        return run is None or run.status in _UNWANTED

    def _renew(self) -> None:
        try:
            with self._lease.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.Error:
            self._lease.close()
            self._lease = lease(self._database_url, self._run_id)


@worker_init.connect
def _import_everything(**_: Any) -> None:
    """Import everything before the worker forks, so that its processes share the code and start quickly."""
    for module in PRELOADED:
        importlib.import_module(module)


@worker_process_init.connect
def _keep_what_was_imported(**_: Any) -> None:
    gc.freeze()


@task_prerun.connect(sender=execute_job)
def _begin(task_id: str, kwargs: dict[str, Any], **_: Any) -> None:
    _watches[task_id] = Watch(_deployment.database_url, run_of_task(kwargs))


@task_postrun.connect(sender=execute_job)
def _end(task_id: str, **_: Any) -> None:
    if watch := _watches.pop(task_id, None):
        watch.close()
    _delete_old_results()


@functools.cache
def _delete_old_results() -> None:
    """Once per process, which ends after 200 runs. Otherwise only `celery beat` does this."""
    app.backend.cleanup()

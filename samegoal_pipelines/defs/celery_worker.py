"""The app of the Celery workers, which `celery --app samegoal_pipelines.defs.celery_worker worker` starts.

A worker imports the code once and forks a process per slot. It reads the same environment as every other
process of the pipeline and keeps nothing on its disk.
"""

import functools
import gc
import importlib
import os
import signal
import threading
from contextlib import ExitStack, suppress
from typing import Any

import dagster as dg
from celery.signals import task_postrun, task_prerun, worker_init, worker_process_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from samegoal_pipelines.defs.celery_launcher import app_settings
from samegoal_pipelines.defs.dagster_internals import PRELOADED, run_of_task
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.warehouse.engine import connect
from samegoal_pipelines.warehouse.leases import lease

LOOK_EVERY = 3.0  # seconds
_deployment = Deployment()
_leases = connect(_deployment.database_url)
_watch = ExitStack()
"""Of the run in this process, which executes one at a time."""
_UNWANTED = {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE}
"""Not SUCCESS: such a run is only ending, and interrupting it would cost the worker a process."""

app = make_app({**app_settings(_deployment), "task_default_queue": "dagster"})
execute_job = create_execute_job_task(app)


def _interrupt_if_unwanted(run_id: str, over: threading.Event) -> None:
    """Interrupt the run in this process if it is canceled or declared lost, until it is over."""
    if over.wait(LOOK_EVERY):
        return  # most runs end before the first look, and opening an instance costs more than a look
    with dg.DagsterInstance.get() as instance:
        while not over.is_set():
            with suppress(Exception):  # the database cannot be reached: look again
                run = instance.get_run_by_id(run_id)
                if run is None or run.status in _UNWANTED:
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
            over.wait(LOOK_EVERY)


@worker_init.connect
def _import_everything(**_: Any) -> None:
    """Import everything before the worker forks, so that its processes share the code and start quickly."""
    for module in PRELOADED:
        importlib.import_module(module)


@worker_process_init.connect
def _keep_what_was_imported(**_: Any) -> None:
    gc.freeze()


@task_prerun.connect(sender=execute_job)
def _begin(kwargs: dict[str, Any], **_: Any) -> None:
    """Hold the run's lease, and watch the run, until `_end`."""
    run_id, over = run_of_task(kwargs), threading.Event()
    thread = threading.Thread(target=_interrupt_if_unwanted, args=(run_id, over), daemon=True)
    _watch.enter_context(lease(_leases, run_id))
    thread.start()
    _watch.callback(thread.join)
    _watch.callback(over.set)


@task_postrun.connect(sender=execute_job)
def _end(**_: Any) -> None:
    _watch.close()
    _delete_old_results()


@functools.cache
def _delete_old_results() -> None:
    """Once per process, which ends after 200 runs. Otherwise only `celery beat` does this."""
    app.backend.cleanup()

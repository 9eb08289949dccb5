"""The real daemon, with the schedule switched on: for tests of whole nights.

The schedule asks every quarter of an hour. Nobody waits for the next one: the schedule is switched on as if
that had been a quarter of an hour ago, so that the daemon makes up for the last one at once.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.definitions.instigation_logger import get_instigation_log_records
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
)

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.dagster_internals import LOCATION
from samegoal_pipelines.defs.district_run import PARTITION_TAG, SCHEDULE_TAG
from samegoal_pipelines.defs.nightly import SCHEDULE_NAME, nightly_by_district, nightly_snapshot
from samegoal_pipelines.settings import INSTANCE_FILES

QUARTER = 15 * 60
WORKSPACE = str(INSTANCE_FILES / "workspace.yaml")
BINARIES = Path(sys.executable).parent
REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), "__repository__")


def zone_at(hour: int) -> str:
    """A time zone in which this hour has begun."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"  # Etc/GMT-5 is five hours ahead of Greenwich


class Service:
    """One of the project's programs on this test's deployment, run beside its own log."""

    ready = ""
    """What its log says when it is up."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log, self._command = log, command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program, *arguments = self._command
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARIES / program), *arguments],
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ.copy(),
            )

    def family(self) -> list[psutil.Process]:
        """The process and its descendants, such as a daemon's code server and the runs under way."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """End it without a word, and its descendants with it, as when the machine goes."""
        for process in reversed(self.family()):
            _end(process)
        assert self._process is not None
        self._process.wait(60)

    def stop(self) -> None:
        """As one stops a service."""
        if self._process is not None and self._process.poll() is None:
            family = self.family()
            self._process.terminate()
            _, alive = psutil.wait_procs(family, timeout=30)
            for process in alive:
                _end(process)

    def wait(self, until: Callable[[], Any], what: str, seconds: float = 900) -> Any:
        """Wait until something holds, and return it. If it does not come, show the service's log."""
        deadline = time.monotonic() + seconds
        while not (found := until()):
            assert self._process is None or self._process.poll() is None, f"it has ended\n{self.log_text()}"
            assert time.monotonic() < deadline, f"{what} did not come\n{self.log_text()}"
            time.sleep(0.1)
        return found

    def is_up(self) -> bool:
        return self.ready in self.log.read_text()

    def log_text(self) -> str:
        return self.log.read_text()[-6_000:]


class Daemon(Service):
    """`dagster-daemon run`."""

    ready = "Instance is configured with the following daemons"

    def __init__(self, log: Path) -> None:
        super().__init__(log, "dagster-daemon", "run", "-w", WORKSPACE)


class Worker(Service):
    """A Celery worker."""

    ready = " ready."

    def __init__(self, log: Path, slots: int = 2) -> None:
        app = ["--app", "samegoal_pipelines.defs.celery_worker", "worker", "--queues", "dagster"]
        super().__init__(log, "celery", *app, "--concurrency", str(slots), "--loglevel", "INFO")


def _end(process: psutil.Process) -> None:
    """Kill it, unless it has come to its end by itself meanwhile, as runs do."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def away_from_the_quarter(seconds: float) -> None:
    """Wait, if need be, so that no tick comes in between for so long."""
    left = QUARTER - time.time() % QUARTER
    if left < seconds:
        time.sleep(left + 1)


def launch(instance: dg.DagsterInstance, district_id: str) -> None:
    """Hand a district's run to the instance, as `dagster job launch` does in 5 seconds of its own."""
    job = nightly_snapshot.name
    code = ReconstructableRepository.for_module(LOCATION, "defs").get_reconstructable_job(job)
    run = instance.create_run_for_job(
        build_defs().resolve_job_def(job),
        tags={PARTITION_TAG: district_id},
        remote_job_origin=RemoteJobOrigin(REPOSITORY, job),
        job_code_origin=code.get_python_origin(),
    )
    instance.run_coordinator.submit_run(dg.SubmitRunContext(run, workspace=None))  # type: ignore[arg-type]


def switch_on(instance: dg.DagsterInstance) -> None:
    """Switch the schedule on, as of a quarter of an hour ago."""
    cron = str(nightly_by_district.cron_schedule)
    instance.add_instigator_state(
        InstigatorState(
            RemoteInstigatorOrigin(REPOSITORY, SCHEDULE_NAME),
            InstigatorType.SCHEDULE,
            InstigatorStatus.RUNNING,
            ScheduleInstigatorData(cron, time.time() - QUARTER),
        )
    )


def ticks(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    """The schedule's ticks, newest first."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    state = next(state for state in states if state.instigator_name == SCHEDULE_NAME)
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id))


def log_of(instance: dg.DagsterInstance, tick: InstigatorTick) -> list[str]:
    """What the tick wrote into its log."""
    return [
        record["dagster_meta"]["orig_message"]
        for record in get_instigation_log_records(instance, tick.log_key or [])
    ]


def scheduled_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Every run that the schedule has made."""
    return list(instance.get_runs(dg.RunsFilter(tags={SCHEDULE_TAG: SCHEDULE_NAME})))

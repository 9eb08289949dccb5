"""The real daemon, with the schedule switched on: for tests of whole nights.

The schedule asks every quarter of an hour. Nobody waits for the next one: the schedule is switched on as if
that had been a quarter of an hour ago, so that the daemon makes up for the last one at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.definitions.instigation_logger import get_instigation_log_records
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, ScheduleInstigatorData

from samegoal_pipelines.defs.district_run import SCHEDULE_TAG
from samegoal_pipelines.defs.nightly import SCHEDULE_NAME
from samegoal_pipelines.settings import INSTANCE_FILES

QUARTER = 15 * 60
WORKSPACE = str(INSTANCE_FILES / "workspace.yaml")
BINARIES = Path(sys.executable).parent


def zone_at(hour: int) -> str:
    """A time zone in which this hour has begun."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"  # Etc/GMT-5 is five hours ahead of Greenwich


class Daemon:
    """`dagster-daemon run` on this test's deployment."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(BINARIES / "dagster-daemon"), "run", "-w", WORKSPACE],
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ.copy(),
            )

    def family(self) -> list[psutil.Process]:
        """The daemon, its code server, and the runs under way."""
        assert self._process is not None
        daemon = psutil.Process(self._process.pid)
        return [daemon, *daemon.children(recursive=True)]

    def kill(self) -> None:
        """End it without a word, and the code server with it, as when the machine goes."""
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

    def wait(self, until: Callable[[], object], what: str, seconds: float = 900) -> None:
        """Wait until something holds; the daemon's log is shown where it does not come."""
        deadline = time.monotonic() + seconds
        while not until():
            assert self._process is None or self._process.poll() is None, (
                f"the daemon ended\n{self.log_text()}"
            )
            assert time.monotonic() < deadline, f"{what} did not come\n{self.log_text()}"
            time.sleep(0.1)

    def is_up(self) -> bool:
        """Whether its log says so."""
        return "Instance is configured with the following daemons" in self.log.read_text()

    def log_text(self) -> str:
        return self.log.read_text()[-6_000:]


class Worker(Daemon):
    """A Celery worker on this test's deployment."""

    def __init__(self, log: Path, slots: int = 2) -> None:
        super().__init__(log)
        self._slots = str(slots)

    def start(self) -> None:
        command = [str(BINARIES / "celery"), "--app", "samegoal_pipelines.defs.celery_worker", "worker"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--queues", "dagster", "--concurrency", self._slots, "--loglevel", "INFO"],
                cwd=self.log.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ.copy(),
            )

    def is_up(self) -> bool:
        return " ready." in self.log.read_text()


def _end(process: psutil.Process) -> None:
    """Kill it, unless it has come to its end by itself meanwhile, as runs do."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def away_from_the_quarter(seconds: float) -> None:
    """Wait, if need be, so that no tick comes in between for so long."""
    left = QUARTER - time.time() % QUARTER
    if left < seconds:
        time.sleep(left + 1)


def switch_on(instance: dg.DagsterInstance) -> None:
    """Switch the schedule on, as of a quarter of an hour ago."""
    if _switched_on:  # Dagster's command imports everything twice
        instance.add_instigator_state(_switched_on[0])
    else:
        subprocess.run(
            [str(BINARIES / "dagster"), "schedule", "start", SCHEDULE_NAME, "-w", WORKSPACE],
            check=True,
            capture_output=True,
            timeout=600,
        )
        _switched_on.append(_state_of_the_schedule(instance))
    make_up_for_the_last_tick(instance)


_switched_on: list[InstigatorState] = []


def _state_of_the_schedule(instance: dg.DagsterInstance) -> InstigatorState:
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    return next(state for state in states if state.instigator_name == SCHEDULE_NAME)


def make_up_for_the_last_tick(instance: dg.DagsterInstance) -> None:
    """Let the schedule, which is switched on, have been so for a quarter of an hour and no longer."""
    state = _state_of_the_schedule(instance)
    assert isinstance(state.instigator_data, ScheduleInstigatorData)
    earlier = ScheduleInstigatorData(state.instigator_data.cron_schedule, time.time() - QUARTER)
    instance.update_instigator_state(state.with_data(earlier))


def ticks(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    """The schedule's ticks, newest first."""
    state = _state_of_the_schedule(instance)
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

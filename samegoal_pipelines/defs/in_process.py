"""Run a job in a command's process, and close the runs of killed commands.

These runs skip Dagster's launcher, because starting a process costs more than a small district's night.
Dagster monitors the runs that its daemon launched, including re-executions of a command's run. Runs in a
command's process are closed here.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from samegoal_pipelines.defs.dagster_internals import appear_in_timeline
from samegoal_pipelines.defs.district_run import DISTRICTS, PARTITION_TAG, PROCESS_TAG
from samegoal_pipelines.defs.errors import NEXT_STEP, REASON
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.warehouse.snapshots import OPEN_THE_RUN

MAX_RETRIES_TAG = "dagster/max_retries"
_BEGUN = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
GOING_ON = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")
_PIDS_OF_A_HOST = "pid:[4026531836]"
"""The process namespace of the host. A container has another one."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run in this process.

    Attributes:
        stopped: whether a step ended because a person or the machine stopped this process.
        reason, next_step: why it failed, and what to do; blank if it succeeded.
        output: the value of the job's only op, if the run succeeded.
    """

    run_id: str
    success: bool
    stopped: bool
    reason: str
    next_step: str
    output: Any = None


def execute(
    job: dg.JobDefinition,
    settings: Settings,
    district_id: str,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    debug: bool = False,
) -> FinishedRun:
    """Run a job for one district in this process, on the instance that the UI shows.

    Args:
        debug: let Dagster write its own log to the terminal.
    """
    log_level = "DEBUG" if debug else "CRITICAL"
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(DISTRICTS.name or "", [district_id])
        close_abandoned_runs(instance, district_id)
        result = job.execute_in_process(
            instance=instance,
            partition_key=district_id,
            tags={
                **(tags or {}),
                **appear_in_timeline(instance, job.name),
                PROCESS_TAG: this_process(),
                MAX_RETRIES_TAG: "0",  # the person at the terminal decides
            },
            raise_on_error=False,
            run_config={**(config or {}), "loggers": {"console": {"config": {"log_level": log_level}}}},
        )
    return _finished(result, [node.name for node in job.nodes])


def _finished(result: dg.ExecuteInProcessResult, nodes: Sequence[str]) -> FinishedRun:
    if result.success:
        output = result.output_for_node(nodes[0]) if len(nodes) == 1 else None
        return FinishedRun(result.run_id, True, False, "", "", output)
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if any(f.error and f.error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for f in failures):
        return FinishedRun(result.run_id, False, True, "stopped", "")
    for failure in (one.user_failure_data for one in failures if one.user_failure_data):
        said = {name: str(value.value) for name, value in failure.metadata.items()}
        reason, next_step = said.get(REASON, str(failure.description)), said.get(NEXT_STEP, "")
        return FinishedRun(result.run_id, False, False, reason, next_step)
    return FinishedRun(result.run_id, False, False, "the run failed before its first step", OPEN_THE_RUN)


def run_in_progress(instance: dg.DagsterInstance, district_id: str) -> str | None:
    """The id of the district's run in progress, if any."""
    going_on = dg.RunsFilter(statuses=GOING_ON, tags={PARTITION_TAG: district_id})
    return next((run.run_id for run in instance.get_runs(going_on, limit=1)), None)


def this_process() -> str:
    """Name this process for the tag `PROCESS_TAG`: machine, boot, number, and start in ticks since boot."""
    return f"{_this_machine()} {_this_boot()} {os.getpid()} {_started(os.getpid())}"


def close_abandoned_runs(instance: dg.DagsterInstance, district_id: str | None = None) -> int:
    """Mark as failed the runs of commands on this machine that were killed. Return how many.

    This includes commands that were killed before their run started.

    Args:
        district_id: only look at this district's runs.
    """
    tags = {PARTITION_TAG: district_id} if district_id else {}
    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=_BEGUN, tags=tags)):
        process = run.tags.get(PROCESS_TAG)
        if process and run.parent_run_id is None and _is_gone(process):
            instance.report_run_failed(run, "the command that ran it was killed")
            closed += 1
    return closed


def _is_gone(process: str) -> bool:
    """Whether a process of this machine has ended. False for other machines, because it is unknown here."""
    machine, _, rest = process.partition(" ")
    if machine != _this_machine():
        return False
    boot, _, number_and_start = rest.partition(" ")
    number, _, start = number_and_start.partition(" ")
    return boot != _this_boot() or not start or start != _started(number)


def _this_machine() -> str:
    """Names of this machine, so that runs of another machine are not closed.

    Two containers may have the same host name and machine id, even on different hosts. So a container's name
    includes its process namespace and its host's boot. It is then unknown whether runs of the previous
    container are alive, and Dagster's timeout ends those.
    """
    names = [platform.node(), _read(_MACHINE_ID)]
    with suppress(OSError):
        if (pids := str(_PIDS.readlink())) != _PIDS_OF_A_HOST:
            names += [pids, _this_boot()]
    return "/".join(names).replace(" ", "-")


def _this_boot() -> str:
    return _read(_BOOT_ID)


def _started(pid: int | str) -> str:
    """When a process started, in ticks since boot, which do not depend on the clock."""
    stat = _read(Path(f"/proc/{pid}/stat"))
    return stat.rpartition(")")[2].split()[19] if stat else ""


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""

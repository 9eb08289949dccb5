"""Runs in a command's process: name the process, and close runs whose process is gone.

Dagster monitors the runs that its daemon launched, including re-executions of a command's run. Runs in a
command's process are closed here. They are started in `operations.runs`.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

import dagster as dg

from samegoal_pipelines.defs.night import PARTITION_TAG, PROCESS_TAG

_BEGUN = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")
_PIDS_OF_A_HOST = "pid:[4026531836]"
"""The process namespace of the host. A container has another one."""


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

"""Runs in a command's own process: which process that is, and what becomes of a run whose process is gone.

Dagster watches the runs that its daemon launched, also where the UI executes a command's run again. A run in
a command's own process is ours to close. Not here: running anything (`runs`).
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
"""The namespace that Linux boots with. A container has another one."""


def this_process() -> str:
    """Name this process for the tag `PROCESS_TAG`: machine, boot, number, and start in ticks since boot."""
    return f"{_this_machine()} {_this_boot()} {os.getpid()} {_started(os.getpid())}"


def close_abandoned_runs(instance: dg.DagsterInstance, district_id: str | None = None) -> int:
    """Mark as failed the runs of commands on this machine that were killed. Return how many.

    A command may be killed before its run has started, too.

    Args:
        district_id: look at this district's runs only.
    """
    tags = {PARTITION_TAG: district_id} if district_id else {}
    closed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=_BEGUN, tags=tags)):
        process = run.tags.get(PROCESS_TAG)
        if process and run.parent_run_id is None and _is_gone(process):
            instance.report_run_failed(run, "the command that ran it was ended before it was done")
            closed += 1
    return closed


def _is_gone(process: str) -> bool:
    """Whether a process of this machine has ended. Of another machine's, nobody here can tell."""
    machine, _, rest = process.partition(" ")
    if machine != _this_machine():
        return False
    boot, _, number_and_start = rest.partition(" ")
    number, _, start = number_and_start.partition(" ")
    return boot != _this_boot() or not start or start != _started(number)


def _this_machine() -> str:
    """Names, so that nobody closes runs of another machine.

    Two containers may have one host name and one machine id, even on different hosts. So a container is
    named by its process namespace and the boot of its host, too. Nobody then knows whether the runs of a
    container's predecessor are still alive; Dagster's own timeout ends those.
    """
    names = [platform.node(), _read(_MACHINE_ID)]
    with suppress(OSError):
        if (pids := str(_PIDS.readlink())) != _PIDS_OF_A_HOST:
            names += [pids, _this_boot()]
    return "/".join(names).replace(" ", "-")


def _this_boot() -> str:
    return _read(_BOOT_ID)


def _started(pid: int | str) -> str:
    """When a process started, in ticks since boot: no clock that is set changes that."""
    stat = _read(Path(f"/proc/{pid}/stat"))
    return stat.rpartition(")")[2].split()[19] if stat else ""


def _read(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""

"""Runs of commands that were killed are closed, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg
import pytest

from samegoal_pipelines.defs import in_process
from samegoal_pipelines.defs.district_run import PARTITION_TAG, PROCESS_TAG
from samegoal_pipelines.defs.in_process import close_abandoned_runs, this_process

_MACHINE, _BOOT, _, _START = this_process().split(" ")
ENDED = f"{_MACHINE} {_BOOT} 1 9999999999999"
"""A process of this machine whose number another one has by now."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def run_in(instance: dg.DagsterInstance, process: str | None, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    tags = {PARTITION_TAG: "grand-bend", **({PROCESS_TAG: process} if process else {})}
    return instance.add_run(dg.DagsterRun(job_name="nightly_snapshot", tags=tags, status=status))


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
@pytest.mark.parametrize(
    "process",
    [
        pytest.param(ENDED, id="another process has its number"),
        pytest.param(f"{_MACHINE} {_BOOT} {2**22 + 1} {_START}", id="no process has its number"),
        pytest.param(f"{_MACHINE} before {os.getpid()} {_START}", id="the machine was started again"),
    ],
)
def test_a_run_whose_process_is_gone_is_closed_however_far_it_came(instance, process, status):
    abandoned = run_in(instance, process, dg.DagsterRunStatus[status])
    assert close_abandoned_runs(instance) == 1
    assert instance.get_run_by_id(abandoned.run_id).status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize(
    "process",
    [this_process(), f"{_MACHINE}2 {_BOOT} 1 1", None],
    ids=["this process", "another machine", "unknown"],
)
def test_a_run_that_may_be_going_on_is_not_closed(instance, process):
    """Our own; another machine's, though its name is the same; one that the daemon watches."""
    going_on = run_in(instance, process, dg.DagsterRunStatus.STARTED)
    assert close_abandoned_runs(instance) == 0
    assert instance.get_run_by_id(going_on.run_id).status == dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize("other", ["the same host", "another host"])
def test_two_containers_with_one_name_never_close_each_others_runs(instance, tmp_path, monkeypatch, other):
    pids, boot = tmp_path / "pid", tmp_path / "boot_id"
    monkeypatch.setattr(in_process, "_PIDS", pids)
    monkeypatch.setattr(in_process, "_BOOT_ID", boot)

    def be_in(namespace: str, booted: str) -> None:
        pids.unlink(missing_ok=True)
        pids.symlink_to(namespace)
        boot.write_text(booted)

    be_in("pid:[4026533001]", "boot-1")
    going_on = run_in(instance, this_process(), dg.DagsterRunStatus.STARTED)
    abandoned = run_in(instance, f"{this_process()}9", dg.DagsterRunStatus.STARTED)
    be_in(*(("pid:[4026533002]", "boot-1") if other == "the same host" else ("pid:[4026533001]", "boot-2")))
    assert close_abandoned_runs(instance) == 0
    be_in("pid:[4026533001]", "boot-1")
    assert close_abandoned_runs(instance) == 1, "its own container knows"
    assert instance.get_run_by_id(going_on.run_id).status == dg.DagsterRunStatus.STARTED
    assert instance.get_run_by_id(abandoned.run_id).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_has_ended_stays_as_it_is(instance):
    done = run_in(instance, ENDED, dg.DagsterRunStatus.SUCCESS)
    assert close_abandoned_runs(instance, "grand-bend") == 0
    assert instance.get_run_by_id(done.run_id).status == dg.DagsterRunStatus.SUCCESS

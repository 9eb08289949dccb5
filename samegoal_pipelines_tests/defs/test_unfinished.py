"""Runs of commands that were killed are closed, and no others."""

import threading
from contextlib import nullcontext

import dagster as dg
import pytest

from samegoal_pipelines.defs import unfinished
from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG, PARTITION_TAG
from samegoal_pipelines.defs.unfinished import close_abandoned_runs
from samegoal_pipelines.warehouse import leases
from samegoal_pipelines.warehouse.leases import lease


def add_run(instance: dg.DagsterInstance, status: str, **tags: str) -> dg.DagsterRun:
    tags = {PARTITION_TAG: "grand-bend", **tags}
    run = dg.DagsterRun(job_name="nightly_snapshot", tags=tags, status=dg.DagsterRunStatus[status])
    return instance.add_run(run)


BY_COMMAND = {BY_COMMAND_TAG: "true"}


@pytest.mark.parametrize(
    ("tags", "status", "leased"),
    [(BY_COMMAND, "STARTED", True), ({}, "STARTED", False), (BY_COMMAND, "SUCCESS", False)],
    ids=["its command runs", "the daemon watches it", "it has ended"],
)
def test_no_other_run_is_closed(instance, deployment, tags, status, leased):
    run = add_run(instance, status, **tags)
    with lease(deployment.warehouse, run.run_id) if leased else nullcontext():
        assert close_abandoned_runs(instance, deployment, "grand-bend") == 0
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus[status]


def test_a_lease_is_taken_again_after_a_restart_of_postgres(instance, deployment, monkeypatch):
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.01)
    run = add_run(instance, "STARTED", **BY_COMMAND)
    end_sessions = """
        select pg_terminate_backend(pid) from pg_locks
        where locktype = 'advisory' and database = (
            select oid from pg_database where datname = current_database()
        )
    """
    taken = threading.Event()
    real = leases._take
    with lease(deployment.warehouse, run.run_id):
        monkeypatch.setattr(leases, "_take", lambda *args: (real(*args), taken.set())[0])
        with deployment.warehouse.begin() as connection:
            connection.exec_driver_sql(end_sessions)
        assert taken.wait(60)
        assert close_abandoned_runs(instance, deployment) == 0
    assert close_abandoned_runs(instance, deployment) == 1


def test_a_run_that_ends_while_its_lease_is_looked_up_stays_a_success(instance, deployment, monkeypatch):
    run = add_run(instance, "STARTED", **BY_COMMAND)

    def looks(*args):
        instance.handle_run_event(run.run_id, dg.DagsterEvent("PIPELINE_SUCCESS", "nightly_snapshot"))
        return False

    monkeypatch.setattr(unfinished, "is_leased", looks)

    assert close_abandoned_runs(instance, deployment) == 0
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS

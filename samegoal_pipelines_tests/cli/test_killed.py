"""A command that is killed in the middle leaves nothing half-published, and the next one finishes unaided."""

import signal
import time

import dagster as dg
import pytest

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.cli.asking import Forked, run
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


def wait_for(hanging) -> None:
    deadline = time.monotonic() + 600
    while not hanging.applied:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sync_that_is_killed_while_reading_is_told_as_failed_and_the_next_one_publishes(
    pipeline, district, source
):
    pipeline.add(district(ENROLLED))
    hanging = source.faults.add(object="Demographics/NamePhone", hang=600)
    sync = Forked("sync", "grand-bend", "--today", TODAY.isoformat())
    wait_for(hanging)
    sync.send_signal(signal.SIGKILL)
    assert sync.answer().returncode == -signal.SIGKILL
    source.faults.clear()
    assert pipeline.statuses() == {}

    assert run("sync", "grand-bend", "--today", TODAY.isoformat()).ok
    assert pipeline.statuses() == {11: ("ENROLLED", "current_enrollment")}
    with open_instance(Settings()) as instance:
        statuses = [run.status for run in instance.get_runs()]
    assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sync_that_is_stopped_tries_no_further_district_and_says_so(pipeline, district, source, stop):
    pipeline.add(district(ENROLLED), district(ENROLLED, id="other", name="Other ISD", code="other"))
    hanging = source.faults.add(object="Demographics/NamePhone", district="grand-bend", hang=20)
    sync = Forked("sync", "grand-bend", "other")
    wait_for(hanging)
    sync.send_signal(stop)
    output = sync.answer()

    assert output.returncode != 0
    assert "stopped" in output.stderr
    assert "other: published" not in output.stderr
    assert "Traceback" not in output.stderr
    assert pipeline.rows("select district_id, state from samegoal.snapshots") == [("grand-bend", "failed")]


def test_two_commands_at_once_on_one_district_both_end_and_leave_one_snapshot(pipeline, district):
    pipeline.add(district(ENROLLED))
    both = [Forked("sync", "grand-bend", "--today", TODAY.isoformat()) for _ in range(2)]
    output = [sync.answer() for sync in both]

    assert any(answer.returncode == 0 for answer in output), output
    assert all("Traceback" not in answer.stderr for answer in output)
    assert pipeline.rows("select count(*) from samegoal.snapshots where state = 'published'") == [(1,)]
    assert pipeline.statuses() == {11: ("ENROLLED", "current_enrollment")}

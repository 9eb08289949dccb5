"""A command that is killed in the middle leaves nothing half-published, and the next one finishes unaided."""

import signal
import time

import pytest

from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.cli.asking import ended, run, start
from samegoal_pipelines_tests.mass_changes import enrolled
from samegoal_pipelines_tests.pipeline import TODAY

SYNC = ("sync", "grand-bend", "--today", TODAY.isoformat())


def wait_for(hanging) -> None:
    deadline = time.monotonic() + 600
    while not hanging.applied:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_sync_that_is_killed_while_reading_is_told_as_failed_and_the_next_one_publishes(
    pipeline, district, source
):
    pipeline.add(district(enrolled(1)))
    hanging = source.faults.add(object="Demographics/NamePhone", hang=600)
    sync = start(*SYNC)
    wait_for(hanging)
    sync.kill()
    assert ended(sync).returncode == -signal.SIGKILL
    source.faults.clear()
    assert pipeline.statuses() == {}

    assert run(*SYNC).ok
    assert pipeline.statuses() == {1: ("ENROLLED", "current_enrollment")}
    with open_instance(Settings()) as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS", "FAILURE"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sync_that_is_stopped_tries_no_further_district_and_says_so(pipeline, district, source, stop):
    pipeline.add(district(enrolled(1)), district(enrolled(1), id="other", name="Other ISD", code="other"))
    hanging = source.faults.add(object="Demographics/NamePhone", district="grand-bend", hang=20)
    sync = start("sync", "grand-bend", "other")
    wait_for(hanging)
    sync.send_signal(stop)
    output = ended(sync)

    assert output.returncode != 0
    assert "stopped" in output.stderr
    assert "other: published" not in output.stderr
    assert "Traceback" not in output.stderr
    assert pipeline.states("district_id") == [("failed", "grand-bend")]


def test_two_commands_at_once_on_one_district_both_end_and_leave_one_snapshot(pipeline, district):
    pipeline.add(district(enrolled(1)))
    both = [start(*SYNC) for _ in range(2)]
    output = [*map(ended, both)]

    assert any(answer.returncode == 0 for answer in output), output
    assert all("Traceback" not in answer.stderr for answer in output)
    assert [state for (state,) in pipeline.states()].count("published") == 1
    assert pipeline.statuses() == {1: ("ENROLLED", "current_enrollment")}

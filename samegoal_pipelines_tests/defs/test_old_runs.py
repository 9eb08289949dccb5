"""Qmlativ answers only for now: a run that comes late, or comes again, stamps no other night on its rows."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.execution.plan.state import KnownExecutionState

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.nightly import SCHEDULE_NAME, SCHEDULE_TAG, TICK_TAG, look_at_tonight
from samegoal_pipelines.defs.unfinished import close_abandoned_runs
from samegoal_pipelines.sandbox.objects import school_year_of
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines_tests.defs.daemon_fixtures import zone_at

ZONE = zone_at(12)
TONIGHT = datetime.now(ZoneInfo(ZONE)).date()
LAST_NIGHT = TONIGHT - timedelta(days=1)
TICK = "2026-10-12T08:15:00+00:00"
PUBLISHING = "samegoal_pipelines.defs.published.publish_or_hold"
REASON = (
    f"reading Qmlativ: this run is for the night of {LAST_NIGHT}, but it is {TONIGHT} there, and Qmlativ "
    "answers only for now"
)
REFUSED = (
    f"grand-bend: {REASON}; that night can no longer be read; the schedule runs tonight's, or run it now: "
    "launch nightly_snapshot in the Dagster UI, or: samegoal-pipelines sync grand-bend"
)


@pytest.fixture
def grand_bend(pipeline, district):
    enrolled = {"StudentID": 11, "StartDate": str(TONIGHT - timedelta(days=30))}
    made = district([{**enrolled, "SchoolYearID": school_year_of(TONIGHT)}], today=TONIGHT)
    pipeline.add(made, timezone=ZONE)
    return made


class Runs:
    """Runs of the nightly job as a daemon or a webserver makes them, executed at once."""

    def __init__(self, pipeline, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.job = build_defs(pipeline.deployment).resolve_job_def("nightly_snapshot")
        instance.add_dynamic_partitions("district", ["grand-bend"])

    def launch(self, **tags: str) -> dg.DagsterRun:
        return self._execute({"dagster/partition": "grand-bend", **tags})

    def broken(self, function: str, **tags: str) -> dg.DagsterRun:
        """Launch a run of which one function fails."""

        def fail(*_: Any, **__: Any) -> None:
            raise WarehouseError("publishing: Postgres has no space left")

        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(function, fail)
            failed = self.launch(**tags)
        assert failed.is_failure
        return failed

    def again(self, parent: dg.DagsterRun, *, from_failure: bool = False) -> dg.DagsterRun:
        """As the buttons of the UI do: with the tags of the first run."""
        family = {"root_run_id": parent.root_run_id or parent.run_id, "parent_run_id": parent.run_id}
        plan = None
        if from_failure:
            steps, known = KnownExecutionState.build_resume_retry_reexecution(self.instance, parent)
            plan = create_execution_plan(self.job, step_keys_to_execute=steps, known_state=known)
        return self._execute(dict(parent.tags), execution_plan=plan, **family)

    def reason(self, run: dg.DagsterRun) -> str | None:
        """Why the run failed, as its page in the UI says it."""
        for record in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            data = record.get_dagster_event().step_failure_data.user_failure_data
            if data:
                return data.description
        return None

    def _execute(self, tags: dict[str, str], **how: Any) -> dg.DagsterRun:
        run = self.instance.create_run_for_job(job_def=self.job, tags=tags, **how)
        execute_run(InMemoryJob(self.job), run, self.instance)
        return self.instance.get_run_by_id(run.run_id)


@pytest.fixture
def runs(pipeline, grand_bend, instance) -> Runs:
    return Runs(pipeline, instance)


def attempts(pipeline) -> list[tuple[str, date]]:
    return pipeline.states("snapshot_date")


def test_a_scheduled_run_after_its_night_fails_and_tonight_is_run(pipeline, runs, instance, source):
    """While the old run waits, the district is skipped; once it has failed, tonight is asked for.

    It waited in the queue, or the daemon was down. The night that it was for is lost, and says why.
    """

    def requested() -> list[tuple[str, date]]:
        due, _ = look_at_tonight(pipeline.deployment, instance, datetime.now(UTC), "another tick")
        return [(district.id, night) for district, night in due]

    scheduled = {SCHEDULE_TAG: SCHEDULE_NAME, TICK_TAG: TICK, "dagster/partition": "grand-bend"}
    tags = {**scheduled, "samegoal/today": LAST_NIGHT.isoformat()}
    waiting = instance.create_run_for_job(job_def=runs.job, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
    assert requested() == []

    execute_run(InMemoryJob(runs.job), waiting, instance)

    assert runs.reason(waiting) == REFUSED
    assert source.traffic.token_calls == 0
    told = pipeline.states("snapshot_date, held_reason, kind")
    assert told == [("failed", LAST_NIGHT, REASON, "another night")]
    assert requested() == [("grand-bend", TONIGHT)]
    tonights = runs.launch(**scheduled, **{"samegoal/today": TONIGHT.isoformat()})
    assert tonights.is_success
    assert requested() == []
    assert attempts(pipeline) == [("failed", LAST_NIGHT), ("published", TONIGHT)]

    assert runs.again(tonights).is_success, "a run of tonight may be executed again in the UI"
    assert attempts(pipeline)[1:] == [("superseded", TONIGHT), ("published", TONIGHT)]


def test_an_old_run_executed_again_reads_and_records_nothing(pipeline, runs, source, grand_bend):
    first = runs.launch(**{"samegoal/today": LAST_NIGHT.isoformat()})  # a person has named that night
    assert first.is_success
    before = pipeline.states("*"), pipeline.published()
    grand_bend.edit("Enrollment/EntryWithdrawal", 1, EndDate=str(LAST_NIGHT))
    source.traffic.clear()

    again = runs.again(first)
    and_again = runs.again(again)

    assert runs.reason(again) == runs.reason(and_again) == REFUSED
    assert source.traffic.token_calls == 0
    assert (pipeline.states("*"), pipeline.published()) == before


def test_from_failure_an_old_run_goes_on_from_its_night(pipeline, runs, source, grand_bend):
    """Qmlativ is not asked again, so what is published is of that night."""
    failed = runs.broken(PUBLISHING, **{"samegoal/today": LAST_NIGHT.isoformat()})
    grand_bend.edit("Enrollment/EntryWithdrawal", 1, EndDate=str(LAST_NIGHT - timedelta(days=2)))
    source.traffic.clear()

    assert runs.again(failed, from_failure=True).is_success

    assert source.traffic.token_calls == 0
    assert attempts(pipeline) == [("failed", LAST_NIGHT), ("published", LAST_NIGHT)]
    assert pipeline.statuses() == {11: ("ENROLLED", "current_enrollment")}


def test_a_night_that_failed_while_reading_is_not_read_again_on_another_date(runs, source, grand_bend):
    source.faults.add(district="grand-bend", kind="metadata", status=401, times=99)
    failed = runs.launch(**{"samegoal/today": LAST_NIGHT.isoformat()})
    assert failed.is_failure
    source.faults.clear()
    assert runs.reason(runs.again(failed, from_failure=True)) == REFUSED


def test_a_run_of_a_terminal_is_on_the_timeline_and_is_not_retried_or_closed(pipeline, runs, instance):
    """The timeline shows runs that say of which job of which code location they are, and no others."""
    first = instance.get_run_by_id(pipeline.run(today=TONIGHT).run_id)
    assert first.remote_job_origin.job_name == "nightly_snapshot"
    label = first.remote_job_origin.repository_origin.get_label()
    assert label == "__repository__@samegoal_pipelines.definitions"
    assert first.tags["dagster/max_retries"] == "0"

    # Executed again in the UI, it has the tag of a command, and runs elsewhere without its lease.
    how = {"tags": dict(first.tags), "root_run_id": first.run_id, "parent_run_id": first.run_id}
    again = instance.create_run_for_job(runs.job, status=dg.DagsterRunStatus.STARTED, **how)
    close_abandoned_runs(instance, pipeline.deployment, "grand-bend")
    assert instance.get_run_by_id(again.run_id).status == dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize("tag", ["0001-01-01", "9999-12-31", "rubbish"])
def test_a_tag_that_is_no_night_is_said_to_be_none(runs, source, tag):
    source.traffic.clear()
    run = runs.launch(**{"samegoal/today": tag})
    assert runs.reason(run) == (
        "grand-bend: reading Qmlativ: the run's tag samegoal/today is no valid date; "
        "give a date from 2000-01-01 to 2199-12-31, as YYYY-MM-DD"
    )
    assert source.traffic.token_calls == 0

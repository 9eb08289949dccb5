"""Runs that come late, come again, go on from a failure or were killed publish no night but their own.

Qmlativ answers only for now, so a night that is over can only be published from what it had landed.
"""

import threading
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.execution.plan.state import KnownExecutionState

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs import instance as instance_module
from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG, PARTITION_TAG
from samegoal_pipelines.defs.instance import close_abandoned_runs
from samegoal_pipelines.defs.nightly import SCHEDULE_NAME, SCHEDULE_TAG, TICK_TAG, look_at_tonight
from samegoal_pipelines.sandbox.district import school_year_of
from samegoal_pipelines.warehouse import leases
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.leases import lease
from samegoal_pipelines_tests.defs.daemon_fixtures import zone_at
from samegoal_pipelines_tests.defs.test_withholding_nights import FAMILY, PARENTS, PHONES, RESTRICTION

ZONE = zone_at(12)
TONIGHT = datetime.now(ZoneInfo(ZONE)).date()
LAST_NIGHT = TONIGHT - timedelta(days=1)
OF_TONIGHT, OF_LAST_NIGHT = ({"samegoal/today": night.isoformat()} for night in (TONIGHT, LAST_NIGHT))
PUBLISHING = "samegoal_pipelines.defs.published.publish_or_hold"
REASON = (
    f"reading Qmlativ: this run is for the night of {LAST_NIGHT}, but it is {TONIGHT} there, and Qmlativ "
    "answers only for now"
)
REFUSED = (
    f"grand-bend: {REASON}; that night can no longer be read; the schedule runs tonight's, or run it now: "
    "launch nightly_snapshot in the Dagster UI, or: samegoal-pipelines sync grand-bend"
)


class Runs:
    """Runs of the nightly job as a daemon or a webserver makes them, executed at once."""

    def __init__(self, pipeline, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.job = build_defs(pipeline.deployment).resolve_job_def("nightly_snapshot")
        instance.add_dynamic_partitions("district", ["grand-bend"])

    def launch(self, **tags: str) -> dg.DagsterRun:
        return self._execute({PARTITION_TAG: "grand-bend", **tags})

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
        plan = None
        if from_failure:
            steps, known = KnownExecutionState.build_resume_retry_reexecution(self.instance, parent)
            plan = create_execution_plan(self.job, step_keys_to_execute=steps, known_state=known)
        family = {"root_run_id": parent.root_run_id or parent.run_id, "parent_run_id": parent.run_id}
        return self._execute(dict(parent.tags), execution_plan=plan, **family)

    def reason(self, run: dg.DagsterRun) -> str:
        """Why the run failed, as its page in the UI says it."""
        (record,) = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        data = record.get_dagster_event().step_failure_data.user_failure_data
        return (data and data.description) or ""

    def _execute(self, tags: dict[str, str], **how: Any) -> dg.DagsterRun:
        run = self.instance.create_run_for_job(job_def=self.job, tags=tags, **how)
        execute_run(InMemoryJob(self.job), run, self.instance)
        return self.instance.get_run_by_id(run.run_id)


@pytest.fixture
def made(pipeline, district):
    """A student whose only parent is under restriction; and another student."""
    enrolled = {"StartDate": str(TONIGHT - timedelta(days=30)), "SchoolYearID": school_year_of(TONIGHT)}
    made = district([{"StudentID": n, **enrolled} for n in (11, 12)], today=TONIGHT, rows=FAMILY)
    pipeline.add(made, timezone=ZONE)
    return made


@pytest.fixture
def runs(pipeline, made, instance) -> Runs:
    return Runs(pipeline, instance)


def attempts(pipeline) -> list[tuple[str, date]]:
    return pipeline.states("snapshot_date")


# -- late, and again --


def test_a_scheduled_run_after_its_night_fails_and_tonight_is_run(pipeline, runs, instance, source):
    """While the old run waits, the district is skipped; once it has failed, tonight is asked for.

    It waited in the queue, or the daemon was down. The night that it was for is lost, and says why.
    """

    def requested() -> list[tuple[str, date]]:
        due, _ = look_at_tonight(pipeline.deployment, instance, datetime.now(UTC), "another tick")
        return [(district.id, night) for district, night in due]

    scheduled = {SCHEDULE_TAG: SCHEDULE_NAME, TICK_TAG: "a tick", PARTITION_TAG: "grand-bend"}
    waiting = instance.create_run_for_job(
        runs.job, tags=scheduled | OF_LAST_NIGHT, status=dg.DagsterRunStatus.NOT_STARTED
    )
    assert requested() == []

    execute_run(InMemoryJob(runs.job), waiting, instance)

    assert runs.reason(waiting) == REFUSED
    assert source.traffic.token_calls == 0
    told = pipeline.states("snapshot_date, held_reason, kind")
    assert told == [("failed", LAST_NIGHT, REASON, "another night")]
    assert requested() == [("grand-bend", TONIGHT)]
    tonights = runs.launch(**scheduled, **OF_TONIGHT)
    assert tonights.is_success
    assert requested() == []
    assert attempts(pipeline) == [("failed", LAST_NIGHT), ("published", TONIGHT)]

    assert runs.again(tonights).is_success, "a run of tonight may be executed again in the UI"
    assert attempts(pipeline)[1:] == [("superseded", TONIGHT), ("published", TONIGHT)]


def test_an_old_run_executed_again_reads_and_records_nothing(pipeline, runs, source, made):
    first = runs.launch(**OF_LAST_NIGHT)  # a person has named that night
    assert first.is_success
    before = pipeline.states("*"), pipeline.published()
    made.edit("Enrollment/EntryWithdrawal", 1, EndDate=str(LAST_NIGHT))
    source.traffic.clear()

    again = runs.again(first)
    and_again = runs.again(again)

    assert runs.reason(again) == runs.reason(and_again) == REFUSED
    assert source.traffic.token_calls == 0
    assert (pipeline.states("*"), pipeline.published()) == before


@pytest.mark.parametrize("tag", ["0001-01-01", "9999-12-31", "rubbish"])
def test_a_tag_that_is_no_night_is_said_to_be_none(runs, source, tag):
    assert runs.reason(runs.launch(**{"samegoal/today": tag})) == (
        "grand-bend: reading Qmlativ: the run's tag samegoal/today is no valid date; "
        "give a date from 2000-01-01 to 2199-12-31, as YYYY-MM-DD"
    )
    assert source.traffic.token_calls == 0


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


# -- from a failure: two readings are not mixed, and nothing is shown that was withheld since --


def refused(runs: Runs, failed: dg.DagsterRun, *words: str) -> None:
    """The run does not go on, and says why and what to do."""
    reason = runs.reason(runs.again(failed, from_failure=True))
    for word in (*words, "samegoal-pipelines sync grand-bend"):
        assert word in reason


def test_from_failure_an_old_run_goes_on_from_its_night(pipeline, runs, source, made):
    """Qmlativ is not asked again, so what is published is of that night."""
    failed = runs.broken(PUBLISHING, **OF_LAST_NIGHT)
    made.edit("Enrollment/EntryWithdrawal", 1, EndDate=str(LAST_NIGHT - timedelta(days=2)))
    source.traffic.clear()

    again = runs.again(failed, from_failure=True)

    assert again.is_success
    assert source.traffic.token_calls == 0
    assert attempts(pipeline) == [("failed", LAST_NIGHT), ("published", LAST_NIGHT)]
    assert [run.tags["samegoal/outcome"] for run in (failed, again)] == ["failed", "published"]
    assert pipeline.statuses()[11] == ("ENROLLED", "current_enrollment")
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_night_that_failed_while_reading_is_not_read_again_on_another_date(runs, source):
    source.faults.add(district="grand-bend", kind="metadata", status=401, times=99)
    failed = runs.launch(**OF_LAST_NIGHT)
    assert failed.is_failure
    source.faults.clear()
    assert runs.reason(runs.again(failed, from_failure=True)) == REFUSED


def test_a_run_does_not_go_on_once_another_one_has_read_qmlativ_again(pipeline, made, runs):
    """The parents of the first reading beside the students of the second: half of each."""
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    failed = runs.broken(PUBLISHING, **OF_TONIGHT)
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    made.edit("Demographics/Name", 1_000_011, LastName="read by another run")
    runs.broken("samegoal_pipelines.defs.students.parent_tables", **OF_TONIGHT)

    refused(runs, failed, "parent_demographics: raw_", "was read again after it was made")
    assert pipeline.rows(PARENTS) == []
    assert runs.launch(**OF_TONIGHT).is_success
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_confidential_phones_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs
):
    for phone in (1, 3):
        made.edit("Demographics/NamePhone", phone, IsConfidential=True)
    deployment.registry.set("grand-bend", show_confidential_phones=True)
    failed = runs.broken(PUBLISHING)
    deployment.registry.set("grand-bend", show_confidential_phones=False)

    refused(runs, failed, "contacts that the district has been set to withhold since")
    assert pipeline.rows(PHONES) == []


def test_restricted_contacts_are_not_published_by_a_switch_that_was_taken_back(
    pipeline, deployment, made, runs
):
    assert pipeline.run(today=LAST_NIGHT).published
    deployment.registry.set("grand-bend", show_restricted_contacts=True)
    made.denied_fields.add(RESTRICTION)
    failed = runs.broken(PUBLISHING)
    deployment.registry.set("grand-bend", show_restricted_contacts=False)

    refused(runs, failed, "nobody can tell which parents are under restriction")
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_run_that_dagster_has_given_up_publishes_nothing(pipeline, source, runs):
    """Its worker's host could not be reached for a while, and its retry has the night now."""

    def give_up(_: Any) -> None:
        (run,) = runs.instance.get_runs()
        runs.instance.report_run_failed(run, "the worker of this run cannot be reached")

    source.faults.add(kind="list", nth=1, run=give_up)
    runs.launch()
    assert pipeline.states() == []
    again = runs.launch()
    assert again.is_success
    assert pipeline.states("run_id") == [("published", again.run_id)]


def test_a_raw_assets_check_that_is_executed_alone_says_what_to_do_and_fails_no_night(pipeline, runs):
    alone = {dg.AssetCheckKey(dg.AssetKey("raw_students"), "field_grants")}
    everything = build_defs(pipeline.deployment).resolve_job_def("__ASSET_JOB")
    runs.job = everything.get_subset(asset_check_selection=alone)

    assert "materialize the asset instead" in runs.reason(runs.launch())
    assert pipeline.states() == []


# -- of commands that were killed: these are closed, and no others --

BY_COMMAND = {BY_COMMAND_TAG: "true"}


def add_run(instance: dg.DagsterInstance, status: str = "STARTED", **tags: str) -> dg.DagsterRun:
    tags = {PARTITION_TAG: "grand-bend", **tags}
    return instance.add_run(dg.DagsterRun("nightly_snapshot", tags=tags, status=dg.DagsterRunStatus[status]))


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
    run = add_run(instance, **BY_COMMAND)
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
    run = add_run(instance, **BY_COMMAND)

    def looks(*_: Any) -> bool:
        instance.handle_run_event(run.run_id, dg.DagsterEvent("PIPELINE_SUCCESS", "nightly_snapshot"))
        return False

    monkeypatch.setattr(instance_module, "is_leased", looks)

    assert close_abandoned_runs(instance, deployment) == 0
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.SUCCESS

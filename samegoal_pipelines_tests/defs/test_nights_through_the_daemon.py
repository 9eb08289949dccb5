"""A scheduled night through the real daemon: everybody who is due, nobody else, nobody twice."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.scheduler.instigation import TickStatus

from samegoal_pipelines.defs.instance import OVER, add_partition
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines_tests import traces
from samegoal_pipelines_tests.defs.daemon_fixtures import (
    Daemon,
    away_from_the_quarter,
    log_of,
    scheduled_runs,
    switch_on,
    ticks,
    zone_at,
)

pytestmark = pytest.mark.slow

CLOSED = "http://127.0.0.1:9"  # nobody listens there


@pytest.fixture
def daemon(deployment, tmp_path, monkeypatch) -> Iterator[Daemon]:
    """Not started yet."""
    monkeypatch.setenv("SAMEGOAL_RETRY_SECONDS", "0.5")
    one = Daemon(tmp_path / "daemon.log")
    yield one
    one.stop()


def partition(run: dg.DagsterRun) -> str:
    return run.tags["dagster/partition"]


def test_exactly_those_who_are_due_run_and_each_comes_out_as_it_should(
    pipeline, source, daemon, instance, tmp_path
):
    zone = zone_at(2)  # the night has begun there, and nothing is late yet
    tonight = datetime.now(ZoneInfo(zone)).date()
    names = ["wrong-secret", "held", "down", "stumbling", "paused", "disabled", "registered-later"]
    names += ["quiet"]
    made = Sandbox.generate(districts=len(names), students=40, seed=5, today=tonight).districts
    districts = dict(zip(names, made, strict=True))
    for name, one in districts.items():
        one.id = name
        how = {"client_secret": "another"} if name == "wrong-secret" else {}
        how |= {"base_url": f"{CLOSED}{one.base_path}"} if name == "down" else {}
        if name != "registered-later":
            pipeline.add(one, timezone=zone, **how)
    assert pipeline.run("held", today=tonight - timedelta(days=1)).published
    before = pipeline.published("held")
    for row in districts["held"].rows("Enrollment/EntryWithdrawal")[4:]:
        districts["held"].remove_row("Enrollment/EntryWithdrawal", row["EntryWithdrawalID"])
    source.faults.add(district="stumbling", kind="metadata", status=503, times=5)
    pause(pipeline.deployment.warehouse, "paused", paused_from=tonight, paused_to=tonight, set_by="pat")
    pipeline.deployment.registry.set("disabled", active=False)
    source.traffic.clear()

    daemon.start()
    daemon.wait(daemon.is_up, "the daemon")
    pipeline.add(districts["registered-later"], timezone=zone)  # nothing is restarted for it
    add_partition(pipeline.deployment.settings, "registered-later")
    assert "registered-later" in instance.get_dynamic_partitions("district")
    switch_on(instance)
    due = {name for name in names if name not in ("paused", "disabled")}
    daemon.wait(lambda: len(scheduled_runs(instance)) >= len(due), "the runs")
    started = dg.DagsterRunStatus.STARTED
    daemon.wait(lambda: any(run.status == started for run in scheduled_runs(instance)), "a run")
    secrets = [one.client_secret for one in made] + (tmp_path / "home" / "secret.key").read_text().split()
    assert traces.in_processes(daemon.family(), secrets) == []
    daemon.wait(lambda: all(run.status in OVER for run in scheduled_runs(instance)), "their end")
    daemon.wait(lambda: all(tick.is_completed for tick in ticks(instance)), "the end of a later tick")

    assert Counter(map(partition, scheduled_runs(instance))) == Counter(due)
    assert {run.tags["samegoal/today"] for run in scheduled_runs(instance)} == {tonight.isoformat()}
    states = {
        district_id: (state, reason or "")
        for district_id, state, reason in pipeline.rows(
            "select district_id, state, held_reason from samegoal.snapshots where snapshot_date = :night",
            night=tonight,
        )
    }
    assert {name for name, (state, _) in states.items() if state == "published"} == due - {
        "wrong-secret",
        "held",
        "down",
    }
    assert states["held"][0] == "held"
    assert "would be gone, INACTIVE or GRADUATED" in states["held"][1]
    assert pipeline.published("held") == before
    assert states["wrong-secret"][0] == states["down"][0] == "failed"
    assert "does not accept the credentials" in states["wrong-secret"][1]
    assert "the connection was refused" in states["down"][1]
    assert len(states) == len(due)
    # What cannot help was not tried again; what can, was.
    # The one that is down asks for no token, the stumbling one for two, the wrong secret is tried both ways.
    assert source.traffic.token_calls == len(due) + 1
    runs = {partition(run): run for run in scheduled_runs(instance)}
    assert {name for name in due if retried(instance, runs[name])} == {"stumbling", "down"}
    secrets += list(source.tokens)
    assert traces.in_database(pipeline.deployment.warehouse, secrets) == []
    assert traces.in_files([tmp_path], secrets) == []  # compute logs and the daemon's own among them
    *later, first = ticks(instance)
    assert first.status == TickStatus.SUCCESS
    assert all(tick.status == TickStatus.SKIPPED for tick in later)  # where a quarter has passed meanwhile
    assert log_of(instance, first) == ["6 runs requested; 1 disabled: disabled; 1 paused: paused"]


def retried(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    return bool(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY))


# -- killed --

BLOCKED_AFTER = 6
LOCK = 4711
BLOCK_ENQUEUEING = f"""
create function dagster.wait_while_enqueueing() returns trigger language plpgsql as $$
begin
    if (select count(*) from dagster.event_logs where dagster_event_type = 'PIPELINE_ENQUEUED')
        >= {BLOCKED_AFTER}
    then
        perform pg_advisory_xact_lock({LOCK});
    end if;
    return new;
end
$$;
create trigger wait_while_enqueueing before insert on dagster.event_logs for each row
when (new.dagster_event_type = 'PIPELINE_ENQUEUED') execute function dagster.wait_while_enqueueing();
"""
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = :lock"


def test_a_daemon_that_is_killed_while_it_submits_starts_every_district_exactly_once(
    pipeline, district, daemon, instance
):
    """Some runs were queued by then, some made and not queued, some not even made."""
    zone = zone_at(2)
    names = [f"district-{n:02d}" for n in range(24)]
    for name in names:
        pipeline.add(district([], id=name, name=name, code=name), timezone=zone, base_url=f"{CLOSED}/{name}")
    engine = pipeline.deployment.warehouse
    with engine.begin() as connection:
        connection.execute(sa.text(BLOCK_ENQUEUEING))
    away_from_the_quarter(240)  # Dagster takes no tick up again after the next one has come
    switch_on(instance)
    with engine.connect() as blocking:
        blocking.execute(sa.text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
        daemon.start()
        # All of them: one that does not wait yet may be between a run's event and its state.
        threads = instance.get_settings("schedules")["num_submit_workers"]
        daemon.wait(lambda: pipeline.rows(WAITING, lock=LOCK) == [(threads,)], "the middle of submitting")
        daemon.kill()
        blocking.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and not granted and objid = :lock"
            ),
            {"lock": LOCK},
        )
    at_the_kill = Counter(run.status for run in scheduled_runs(instance))
    assert at_the_kill.pop(dg.DagsterRunStatus.NOT_STARTED) > 0
    assert sum(at_the_kill.values()) >= BLOCKED_AFTER  # those who came at the same moment are let through
    assert len(scheduled_runs(instance)) < len(names)
    with engine.begin() as connection:
        connection.execute(sa.text("drop trigger wait_while_enqueueing on dagster.event_logs"))

    daemon.start()
    # The first one: where a quarter has passed since it was taken up, there is another, which starts nothing.
    daemon.wait(lambda: ticks(instance)[-1].status == TickStatus.SUCCESS, "the rest of the tick")
    daemon.kill()

    assert Counter(map(partition, scheduled_runs(instance))) == Counter(names)
    assert all(run.status != dg.DagsterRunStatus.NOT_STARTED for run in scheduled_runs(instance))
    assert all(
        len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.PIPELINE_ENQUEUED)) == 1
        for run in scheduled_runs(instance)
    )

"""The schedule starts each active district once per local night, whatever the clocks do."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_origin import RemoteJobOrigin

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs import instance as instance_module
from samegoal_pipelines.defs.district_run import BY_COMMAND_TAG
from samegoal_pipelines.defs.nightly import (
    SCHEDULE_NAME,
    SCHEDULE_TAG,
    TICK_TAG,
    districts_due,
    nightly_by_district,
    read_ledger,
)
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.reporting.nightly_status import NIGHT_BEGINS
from samegoal_pipelines.warehouse.leases import lease
from samegoal_pipelines_tests.defs.daemon_fixtures import REPOSITORY, zone_at
from samegoal_pipelines_tests.defs.test_run_costs import counted_statements


class Somewhere(NamedTuple):
    id: str
    timezone: str


AUSTIN = Somewhere("austin", "America/Chicago")
HONOLULU = Somewhere("honolulu", "Pacific/Honolulu")
NEW_YORK = Somewhere("new-york", "America/New_York")
FURTHER = ["America/Phoenix", "America/Adak", "Pacific/Pago_Pago", "Pacific/Guam", "Europe/London"]
EVERYWHERE = [AUSTIN, HONOLULU, NEW_YORK, *(Somewhere(zone, zone) for zone in FURTHER)]
TICK, EARLIER_TICK = "2026-10-12T08:15:00+00:00", "2026-10-12T08:00:00+00:00"


def due(*districts: Somewhere, at: str) -> list[tuple[str, date]]:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return [(district.id, night) for district, night in districts_due(districts, now)]


def test_a_night_begins_at_one_in_the_morning_where_the_district_is():
    assert due(AUSTIN, at="2026-10-12T05:59") == []  # 00:59 there
    for begun in ("06:00", "21:00"):  # one that was missed is still due in the afternoon
        assert due(AUSTIN, at=f"2026-10-12T{begun}") == [("austin", date(2026, 10, 12))]
    assert due(NEW_YORK, AUSTIN, HONOLULU, at="2026-10-12T08:00") == [
        ("new-york", date(2026, 10, 12)),
        ("austin", date(2026, 10, 12)),
        ("honolulu", date(2026, 10, 11)),  # still yesterday evening there
    ]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-03-04", "2026-03-13"),  # on 8 March the hour from two to three does not exist
        ("2026-10-28", "2026-11-06"),  # on 1 November the hour from one to two comes twice
        ("2026-03-26", "2026-04-02"),  # where Europe changes its clocks
        ("2028-02-26", "2028-03-04"),  # 29 February
        ("2027-02-26", "2027-03-04"),  # none
        ("2026-12-29", "2027-01-04"),
    ],
)
def test_every_local_date_is_started_exactly_once_and_soon_after_one(first, last):
    now, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    days, started = (end - now).days, dict[tuple[Somewhere, date], datetime]()
    while now < end:
        for district, night in districts_due(EVERYWHERE, now):
            started.setdefault((district, night), now.astimezone(ZoneInfo(district.timezone)))
        now += timedelta(minutes=15)

    for district in EVERYWHERE:
        nights = [night for one, night in started if one is district]
        assert nights == [nights[0] + timedelta(days=n) for n in range(len(nights))], district
        assert len(nights) >= days
    for (district, night), local in [*started.items()][len(EVERYWHERE) :]:  # the first are under way
        assert local.date() == night
        waited = local.astimezone(UTC) - datetime.combine(night, NIGHT_BEGINS, ZoneInfo(district.timezone))
        assert timedelta(0) <= waited < timedelta(minutes=15), (district, local)


# -- what Dagster's runs tell --


def made(tags: dict[str, str], status: str = "SUCCESS", job: str = "nightly_snapshot") -> dg.DagsterRun:
    origin = RemoteJobOrigin(REPOSITORY, job)
    return dg.DagsterRun(job, tags=tags, status=dg.DagsterRunStatus[status], remote_job_origin=origin)


def run_of(
    district_id: str, night: object, status: str = "SUCCESS", tick: str = EARLIER_TICK
) -> dg.DagsterRun:
    """A run that the schedule made."""
    by_schedule = {SCHEDULE_TAG: SCHEDULE_NAME, TICK_TAG: tick}
    return made({**by_schedule, "samegoal/today": str(night), "dagster/partition": district_id}, status)


TONIGHT, TOMORROW = date(2026, 10, 12), date(2026, 10, 13)


def ledger(*runs: dg.DagsterRun, night: date = TONIGHT, now: datetime | None = None) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        for run in runs:
            instance.add_run(run)
        now = now or datetime.now(UTC) + timedelta(minutes=1)
        return read_ledger(instance, {night}, now, TICK)


def test_a_night_that_was_started_is_not_started_again_whatever_became_of_it():
    statuses = {status.name for status in dg.DagsterRunStatus} - {"MANAGED"}
    started, _ = ledger(*(run_of(status, TONIGHT, status) for status in statuses))
    assert {name for name, night in started if night == TONIGHT} == statuses
    assert {name for name, night in started if night == TOMORROW} == set()


def test_a_night_that_was_run_by_hand_is_run_by_the_schedule_all_the_same():
    by_hand = {"samegoal/today": "2026-10-12", "dagster/partition": "austin"}
    assert ledger(made(by_hand)) == (set(), set())


def test_a_run_that_this_tick_made_and_did_not_hand_over_is_asked_for_again():
    """The daemon was killed between making the run and queueing it; Dagster takes the tick up again.

    Dagster itself fails a run of an earlier tick after five minutes and starts it anew: asked for again, the
    district would run twice.
    """
    started, unfinished = ledger(
        run_of("austin", TONIGHT, "NOT_STARTED", TICK),
        run_of("new-york", TONIGHT, "QUEUED", TICK),
        run_of("honolulu", TONIGHT, "NOT_STARTED"),
    )
    assert {name for name, _ in started} == {"new-york", "honolulu"}
    assert "austin" not in unfinished


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_that_was_set_back_brings_no_night_again_nor_yesterdays(hours):
    """The run was made just now; to the clock that was set back, that is still to come."""
    now = datetime.now(UTC)
    tonight, set_back = now.date(), now - timedelta(hours=hours)

    started, _ = ledger(run_of("austin", tonight), night=set_back.date(), now=set_back)

    assert {("austin", tonight), ("austin", set_back.date())} <= started
    assert ("austin", tonight + timedelta(days=1)) not in started


@pytest.mark.parametrize("days", [2, 39, 400])
def test_a_clock_that_had_leapt_ahead_stops_no_district_until_that_night_comes(days):
    now = datetime.now(UTC)
    tonight = (now - timedelta(days=days)).date()
    leapt = run_of("austin", now.date(), "FAILURE")
    guams = run_of("guam", tonight + timedelta(days=1))  # where it is tomorrow already
    started, _ = ledger(leapt, guams, night=tonight, now=now - timedelta(days=days))
    assert ("austin", tonight) not in started
    assert ("guam", tonight + timedelta(days=1)) in started


def test_a_run_that_is_not_over_is_known_however_it_was_started():
    for status in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING"):
        _, unfinished = ledger(
            run_of("new-york", "2026-10-11", status),
            made({"dagster/partition": "austin"}, status),
            made({}, status, "make_nightly_report"),
            run_of("honolulu", "2026-10-11"),
        )
        assert unfinished == {"austin", "new-york"}, status


# -- a tick --


AT_NOON = zone_at(12)  # where it is noon, so that the night has begun


def night_there() -> date:
    return datetime.now(ZoneInfo(AT_NOON)).date()


@pytest.fixture
def add(pipeline, district):
    """Register districts where the night has begun."""

    def register(*names: str, **how: Any) -> None:
        for name in names:
            pipeline.add(district([], id=name, name=name, code=name), timezone=AT_NOON, **how)

    return register


def tick(pipeline, instance) -> tuple[list[dg.RunRequest], str | None]:
    """What the schedule asks for now, and why it asks for nothing."""
    context = dg.build_schedule_context(
        instance=instance,
        repository_def=build_defs(pipeline.deployment).get_repository_def(),
        resources={"deployment": pipeline.deployment},
        scheduled_execution_time=datetime.fromisoformat(TICK),
    )
    data = nightly_by_district.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


def start(instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    """Make the run that was asked for, as the daemon does."""
    instance.add_run(run_of(request.partition_key or "", request.tags["samegoal/today"]))


def test_a_tick_asks_for_every_active_district_once(pipeline, add, instance):
    add("alpha", "beta", "gamma")
    add("delta", client_secret=None)
    pipeline.deployment.registry.set("gamma", active=False)

    requests, _ = tick(pipeline, instance)
    assert [request.partition_key for request in requests] == ["alpha", "beta"]
    assert {request.tags["samegoal/today"] for request in requests} == {night_there().isoformat()}
    assert {request.tags["samegoal/source_host"] for request in requests} == {"127.0.0.1"}
    assert instance.get_dynamic_partitions("district") == ["alpha", "beta"]

    for request in requests:
        start(instance, request)
    requests, skipped = tick(pipeline, instance)

    assert requests == []
    assert skipped == (
        "0 runs requested; 2 started already: alpha, beta; 1 awaiting secret: delta; 1 disabled: gamma"
    )


def test_paused_districts_are_left_out_on_their_own_date_and_named(pipeline, add, instance):
    add("alpha", "beta")
    there = night_there()
    nights = {"alpha": (there, there), "beta": (there - timedelta(days=9), there - timedelta(days=1))}
    for name, (first, last) in nights.items():
        pause(pipeline.deployment.warehouse, name, paused_from=first, paused_to=last, set_by="pat")

    requests, _ = tick(pipeline, instance)
    assert [request.partition_key for request in requests] == ["beta"]

    start(instance, requests[0])
    _, skipped = tick(pipeline, instance)
    assert skipped == "0 runs requested; 1 paused: alpha; 1 started already: beta"


def test_a_district_whose_last_night_is_still_running_is_skipped_and_looked_at_again(pipeline, add, instance):
    add("alpha", "beta")
    running = instance.add_run(run_of("alpha", night_there() - timedelta(days=1), "STARTED"))

    requests, _ = tick(pipeline, instance)
    assert [request.partition_key for request in requests] == ["beta"]
    start(instance, requests[0])
    requests, skipped = tick(pipeline, instance)
    assert requests == []
    assert "1 skipped, because a run of theirs is still in progress" in skipped
    assert "looked at again at the next tick: alpha; 1 started already: beta" in skipped

    instance.report_run_failed(running)
    requests, _ = tick(pipeline, instance)
    assert [request.partition_key for request in requests] == ["alpha"]


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
def test_the_next_tick_runs_what_a_killed_command_left(pipeline, add, instance, status):
    add("alpha")
    killed = instance.add_run(made({"dagster/partition": "alpha", BY_COMMAND_TAG: "true"}, status))

    with lease(pipeline.deployment.warehouse, "another run"):
        requests, _ = tick(pipeline, instance)

    assert [request.partition_key for request in requests] == ["alpha"]
    assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE


# -- 1,200 districts --


REGISTER = """
    insert into samegoal.districts (district_id, name, base_url, source_host, timezone, secret_set_at)
    select 'district-' || to_char(n, 'FM0000'), n, 'https://' || n || '.org/API', n || '.org', :zone, now()
    from generate_series(0, :count - 1) n
"""


def test_a_tick_for_1200_districts_makes_as_few_queries_as_one_for_3(pipeline, instance):
    counts = []
    for registered in (3, 1_200):
        pipeline.rows("delete from samegoal.districts")
        pipeline.rows(REGISTER, count=registered, zone=AT_NOON)
        with counted_statements() as seen:
            requests, _ = tick(pipeline, instance)
        assert len(requests) == registered
        counts.append(seen.total())
    assert counts[0] == counts[1] <= 30, counts
    assert len(instance.get_dynamic_partitions("district")) == 1_200

    pipeline.rows("update samegoal.districts set active = false")
    named = ", ".join(f"district-{n:04d}" for n in range(10))
    assert tick(pipeline, instance) == ([], f"0 runs requested; 1,200 disabled: {named} and 1,190 more")


# -- the queue --


def test_runs_are_tagged_with_their_host_by_one_deployment(monkeypatch):
    opened = []

    class OneDeployment:
        def __init__(self):
            opened.append(self)
            self.registry = SimpleNamespace(get=lambda id: SimpleNamespace(source_host=f"{id}.example.org"))

    monkeypatch.setattr(instance_module, "Deployment", OneDeployment)
    queue = {"module": instance_module.__name__, "class": "SourceHostCoordinator"}
    districts = {"alpha", "beta", "gamma"}
    with dg.instance_for_test(overrides={"run_coordinator": queue}) as instance:
        for district_id in districts:
            run = instance.add_run(made({"dagster/partition": district_id}, "NOT_STARTED"))
            instance.run_coordinator.submit_run(dg.SubmitRunContext(run, workspace=None))
        queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    hosts = {run.tags["samegoal/source_host"] for run in queued}
    assert hosts == {f"{district_id}.example.org" for district_id in districts}
    assert len(opened) == 1

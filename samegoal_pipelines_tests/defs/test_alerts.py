"""The sensor night_alert: one message through real servers, and a check that is red for late districts."""

import json
import threading
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import dagster as dg
import pytest

from samegoal_pipelines.definitions import build_defs, defs
from samegoal_pipelines.defs import alerts
from samegoal_pipelines.defs.alerts import check_deadlines, night_alert, once_published
from samegoal_pipelines.defs.district_run import DISTRICTS, DistrictRun
from samegoal_pipelines.defs.report import REPORT_JOB, TRIES
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.reporting.addresses import Address, AlertError
from samegoal_pipelines_tests.defs.daemon_fixtures import zone_at
from samegoal_pipelines_tests.mass_changes import check_outcomes
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.reporting.factories import NIGHT, REGISTERED, at, attempt, put, register
from samegoal_pipelines_tests.reporting.servers import hook, mail, mailbox

__all__ = ["hook", "mailbox"]

ON_TIME = dg.AssetCheckKey(dg.AssetKey("published_snapshot"), "on_time")
STAYS = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
SIX_IN_CHICAGO = at("11:00")


@pytest.fixture
def environment(environment, monkeypatch, mailbox, hook) -> None:
    """Alerts go to the servers of this test."""
    monkeypatch.setenv("SAMEGOAL_ALERT_URLS", f"{mail(mailbox.port)},{hook.url}")


class Daemon:
    """Looks at given moments, and keeps the cursor as Dagster's daemon does."""

    def __init__(self, deployment: Deployment, instance: dg.DagsterInstance) -> None:
        self.deployment, self.instance, self.cursor = deployment, instance, None

    def look(self, now: datetime) -> str:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = check_deadlines(context, self.deployment, now)
        self.cursor = result.cursor
        return result.skip_reason.skip_message

    def shown(self) -> dict[str, bool]:
        """District → whether its check is green, as far as the UI would show an outcome at all."""
        return {
            info.partition_key: info.latest_execution_status.value == "SUCCEEDED"
            for info in self.instance.event_log_storage.get_asset_check_partition_info([ON_TIME])
            if info.is_current
        }

    def said(self, district_id: str) -> tuple[str, dict[str, Any]]:
        _, found = check_outcomes("published_snapshot", "on_time", district_id)[-1]
        return found.description, {name: value.value for name, value in found.metadata.items()}


@pytest.fixture
def daemon(deployment: Deployment, instance: dg.DagsterInstance) -> Daemon:
    return Daemon(deployment, instance)


def test_a_tick_sends_every_address_one_message_and_a_second_none(deployment, instance, mailbox, hook):
    for district_id in ("alpha", "beta"):
        register(deployment.warehouse, district_id, zone_at(12))

    def tick(cursor: str | None) -> Any:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=build_defs(deployment).get_repository_def(),
            resources={"deployment": deployment},
        )
        return night_alert.evaluate_tick(context)

    first = tick(None)
    second = tick(first.cursor)
    forgetful = tick(None)  # a cursor that is lost must not ring again
    assert [message["Subject"][-13:] for message in mailbox.received] == [": 2 late of 2"]
    assert [posted["title"][-13:] for posted in hook.received] == [": 2 late of 2"]
    assert "sent to mailto: SameGoal night" in first.skip_message
    assert "sent to json: SameGoal night" in first.skip_message
    assert second.skip_message == "deadlines checked: 1; nothing new"
    assert "nothing new" in forgetful.skip_message


def test_the_check_is_red_for_overdue_districts_and_says_what_to_do(daemon, deployment, instance):
    put(deployment.warehouse, "alpha", "failed")
    put(deployment.warehouse, "beta", None)
    put(deployment.warehouse, "gamma", "published")
    daemon.look(SIX_IN_CHICAGO)
    runs = instance.get_runs_count()
    for minutes in range(1, 4):  # a look without news writes nothing
        assert "nothing new" in daemon.look(SIX_IN_CHICAGO + timedelta(minutes=minutes))
    assert instance.get_runs_count() == runs == 1
    assert daemon.shown() == {"alpha": False, "beta": False}
    said = daemon.said("beta")
    daemon.look(SIX_IN_CHICAGO + timedelta(days=1))
    assert daemon.said("beta")[1]["night"] == "2026-10-13"
    assert said == (
        "overdue since 06:00 of 2026-10-12: late, for 1 night, last published 2026-10-11",
        {
            "night": "2026-10-12",
            "state": "late",
            "reason": "no snapshot by 06:00: the run has not started or is still in progress",
            "what to do": "check in the Dagster UI that the daemon is running, nightly_by_district is on "
            "and runs are not stuck in the queue; or: samegoal-pipelines sync beta",
        },
    )


def test_a_district_turns_red_and_green_night_after_night(daemon, deployment):
    """Dagster refuses a second evaluation of a partition without a run; ours have one."""
    put(deployment.warehouse, "alpha", None)
    for night in range(3):
        now = SIX_IN_CHICAGO + timedelta(days=night)
        daemon.look(now)
        assert daemon.shown() == {"alpha": False}
        attempt(deployment.warehouse, "alpha", "published", NIGHT + timedelta(days=night))
        daemon.look(now + timedelta(minutes=1))
        assert daemon.shown() == {"alpha": True}
    assert daemon.said("alpha")[0] == (
        "the snapshot of 2026-10-14 was published by 06:00 of the district's time"
    )


def test_a_district_that_is_paused_disabled_or_erased_is_waited_for_no_more(daemon, deployment, pipeline):
    """Even if it is the last one of its time zone."""
    put(deployment.warehouse, "paused", None)
    put(deployment.warehouse, "erased", None)
    put(deployment.warehouse, "disabled", "failed", timezone="Pacific/Honolulu")
    put(deployment.warehouse, "well", "published")
    daemon.look(at("16:30"))
    assert daemon.shown() == {"paused": False, "erased": False, "disabled": False}
    pause(deployment.warehouse, "paused", paused_from=NIGHT, paused_to=NIGHT, set_by="pat", reason="fire")
    deployment.registry.set("disabled", active=False)
    pipeline.rows("delete from samegoal.districts where district_id = 'erased'")
    daemon.look(at("16:31"))
    assert daemon.shown() | {"erased": True} == {"paused": True, "erased": True, "disabled": True}
    assert daemon.said("paused")[0] == "no snapshot of 2026-10-12 is due: paused until 2026-10-12: fire"
    assert json.loads(daemon.cursor) == {}


def test_many_districts_turn_red_over_several_looks(daemon, deployment, monkeypatch):
    monkeypatch.setattr(alerts, "EVENTS_AT_ONCE", 2)
    for district_id in ("alpha", "beta", "gamma"):
        put(deployment.warehouse, district_id, None)
    daemon.look(SIX_IN_CHICAGO)
    assert len(daemon.shown()) == 2
    daemon.look(SIX_IN_CHICAGO + timedelta(minutes=1))
    assert daemon.shown() == {"alpha": False, "beta": False, "gamma": False}


def test_an_address_that_fails_is_tried_again_in_red_ticks(daemon, deployment, mailbox, hook):
    put(deployment.warehouse, "alpha", "failed")
    hook.status = 500
    assert "alert not sent: json: the server refused the message (HTTP 500)" in daemon.look(SIX_IN_CHICAGO)
    assert daemon.shown() == {"alpha": False}
    with pytest.raises(AlertError) as caught:
        daemon.look(SIX_IN_CHICAGO + timedelta(minutes=1))
    assert str(caught.value) == (
        "alert not sent: json: the server refused the message (HTTP 500); to try again: "
        "samegoal-pipelines alerts test"
    )
    hook.status = 204
    assert "sent to json" in daemon.look(SIX_IN_CHICAGO + timedelta(minutes=2))
    assert len(mailbox.received) == 1
    assert [posted["title"] for posted in hook.received[-1:]] == ["SameGoal night 2026-10-12: 1 failed of 1"]


def test_an_unforeseen_error_blocks_nothing_else(daemon, deployment, mailbox, hook, monkeypatch):
    put(deployment.warehouse, "alpha", "failed")
    send, broken = Address.send, Mock(side_effect=IndexError("of ana@example.com"))
    monkeypatch.setattr(
        Address, "send", lambda self, message: (broken if self.name == "mailto" else send)(self, message)
    )
    assert "alert not sent: mailto: unforeseen IndexError; report this" in daemon.look(SIX_IN_CHICAGO)
    assert daemon.shown() == {"alpha": False}
    assert (len(mailbox.received), len(hook.received)) == (0, 1)


def test_an_address_that_hangs_blocks_nothing_else(daemon, deployment, mailbox, hook, monkeypatch):
    """And the next look finds nothing locked."""
    put(deployment.warehouse, "alpha", "failed")
    put(deployment.warehouse, "new-york", "failed", timezone="America/New_York")
    clocks = threading.local()  # of each address's thread: only the webhook's goes on
    send = Address.send

    def hangs(self, message) -> Any:
        clocks.now = 0
        if self.name == "json":
            clocks.now = alerts.SECONDS_PER_ADDRESS + 1
            raise AlertError("json: the server did not answer in time")
        return send(self, message)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Address, "send", hangs)
        meanwhile.setattr(alerts, "monotonic", lambda: getattr(clocks, "now", 0))
        said = daemon.look(SIX_IN_CHICAGO)
    assert "alert not sent: json: the server did not answer in time" in said
    assert "alert not sent: json is slow; the next tick sends the rest" in said
    assert daemon.shown() == {"alpha": False, "new-york": False}
    assert len(mailbox.received) == 2

    assert "sent to json" in daemon.look(SIX_IN_CHICAGO + timedelta(minutes=1))
    assert (len(hook.received), len(mailbox.received)) == (2, 2)


def test_a_message_that_arrives_in_part_is_reported_and_not_sent_again(daemon, deployment, monkeypatch):
    put(deployment.warehouse, "alpha", "failed")
    monkeypatch.setattr(Address, "send", lambda self, _: f"sent in part: {self.name}: SMTP 550")
    said = daemon.look(SIX_IN_CHICAGO)
    assert "sent in part: mailto: SMTP 550" in said
    assert daemon.look(SIX_IN_CHICAGO + timedelta(minutes=1)) == "deadlines checked: 1; nothing new"


def test_an_invalid_address_stops_the_code_server_at_its_start(environment, monkeypatch):
    monkeypatch.setenv("SAMEGOAL_ALERT_URLS", "json://hooks.example.com, slack://abracadabra")
    with pytest.raises(AlertError) as caught:
        defs()
    assert str(caught.value).startswith("SAMEGOAL_ALERT_URLS: slack: not a valid apprise URL")
    assert "abracadabra" not in str(caught.value)


def test_all_is_well_is_sent_where_the_setting_asks_for_it(deployment, instance, mailbox, monkeypatch):
    put(deployment.warehouse, "alpha", "published")
    Daemon(deployment, instance).look(SIX_IN_CHICAGO)
    assert mailbox.received == []
    monkeypatch.setenv("SAMEGOAL_ALERT_ALL_WELL", "1")
    daemon = Daemon(Deployment(), instance)
    for minutes in range(2):
        daemon.look(SIX_IN_CHICAGO + timedelta(minutes=minutes))
    daemon.deployment.warehouse.dispose()
    assert [mail["Subject"] for mail in mailbox.received] == ["SameGoal night 2026-10-12: all is well"]


def test_a_report_that_failed_to_the_last_try_is_told_once(daemon, deployment, instance, mailbox, hook):
    """Beside the district's own message of the same deadline: in Reykjavik, six is six in UTC."""
    put(deployment.warehouse, "reykjavik", "failed", timezone="Atlantic/Reykjavik")
    for number in range(1, TRIES + 1):
        daemon.look(SIX_IN_CHICAGO + timedelta(minutes=number))
        assert len(mailbox.received) == 1
        tags = {"samegoal/today": str(NIGHT)}
        failed = dg.DagsterRun(job_name=REPORT_JOB, tags=tags, status=dg.DagsterRunStatus.FAILURE)
        instance.add_run(failed)
    said = daemon.look(SIX_IN_CHICAGO + timedelta(minutes=10))
    assert "sent to mailto: SameGoal night 2026-10-12: its report is missing" in said
    assert "nothing new" in daemon.look(SIX_IN_CHICAGO + timedelta(minutes=11))
    (_, mail), (_, posted) = mailbox.received, hook.received
    assert mail["Subject"] == posted["title"] == "SameGoal night 2026-10-12: its report is missing"
    for part in (f"last in run {failed.run_id}.", "samegoal-pipelines report --night 2026-10-12"):
        assert part in posted["message"]


def test_neither_the_checks_nor_the_messages_wait_for_each_other(daemon, deployment, mailbox, monkeypatch):
    put(deployment.warehouse, "alpha", "failed")
    show, send, shown = alerts._show, Address.send, threading.Event()
    monkeypatch.setattr(alerts, "_show", lambda *what: (show(*what), shown.set()))
    monkeypatch.setattr(
        Address, "send", lambda self, message: send(self, message) if shown.wait(120) else "never shown"
    )
    assert "sent to mailto" in daemon.look(SIX_IN_CHICAGO)
    assert len(mailbox.received) == 1


def test_checks_that_cannot_be_written_stop_no_message(daemon, deployment, mailbox, hook, monkeypatch):
    put(deployment.warehouse, "alpha", "failed")
    monkeypatch.setattr(alerts, "_show", Mock(side_effect=RuntimeError("no space")))
    with pytest.raises(RuntimeError):
        daemon.look(SIX_IN_CHICAGO)
    assert (len(mailbox.received), len(hook.received)) == (1, 1)


def test_publishing_turns_a_district_green_at_once(daemon, deployment, pipeline, district, instance):
    pipeline.add(district([STAYS]))
    pipeline.rows("update samegoal.districts set registered_at = :at", at=REGISTERED)
    assert pipeline.run(today=TODAY - timedelta(days=1)).published
    assert daemon.shown() == {"grand-bend": True}

    daemon.look(SIX_IN_CHICAGO)
    assert daemon.shown() == {"grand-bend": False}
    assert daemon.said("grand-bend")[0] == (
        "overdue since 06:00 of 2026-10-12: late, for 1 night, last published 2026-10-11"
    )
    assert instance.get_dynamic_partitions(DISTRICTS.name) == ["grand-bend"]

    assert pipeline.run(today=TODAY).published
    assert daemon.shown() == {"grand-bend": True}
    assert daemon.said("grand-bend")[0] == (  # the machine's clock is past that night's six o'clock
        "the snapshot of 2026-10-12 was published after 06:00 of the district's time"
    )
    daemon.look(SIX_IN_CHICAGO + timedelta(minutes=5))
    assert daemon.shown() == {"grand-bend": True}
    assert daemon.cursor == "{}"


def test_the_check_of_a_partition_that_has_no_night_to_judge_waits_for_nothing(deployment):
    """As when a person materializes it by hand."""

    def on_time(district_id: str) -> dg.AssetCheckResult:
        tags = {"dagster/partition": district_id, "samegoal/today": "2026-10-09"}
        run = dg.DagsterRun(job_name="nightly_snapshot", tags=tags)
        return next(once_published(DistrictRun(deployment, run, dg.DagsterInstance.ephemeral())))

    register(deployment.warehouse, "alpha", registered_at=at("12:00"))
    found = on_time("alpha")
    assert (found.passed, found.description) == (True, "no snapshot of 2026-10-09 is due: pending")
    with pytest.raises(dg.Failure) as caught:
        on_time("nowhere")
    assert (caught.value.description or "").startswith("nowhere: on_time: ")
    assert "unforeseen" not in (caught.value.description or "")

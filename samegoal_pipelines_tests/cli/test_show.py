"""`districts show` and `districts list`: how a district stands, for whoever is asked about it."""

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines_tests.reporting.factories import REFUSED, attempt, register
from samegoal_pipelines_tests.warehouse.factories import NIGHT, publish_night, snapshot, student

ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # where it is about noon
TODAY = datetime.now(ZoneInfo(ZONE)).date()
YESTERDAY = TODAY - timedelta(days=1)


def publish(deployment, district_id: str, night: date, **facts) -> None:
    publish_night(
        deployment.warehouse,
        (night - NIGHT).days,
        snapshot(student(1, **facts), student(2, status="INACTIVE", reason="withdrawn")),
        district_id=district_id,
        run_id=f"published {district_id} {night}",  # `attempt` numbers its runs by itself
    )


def shown(ask, district_id: str) -> dict[str, str]:
    """What a person reads: the left column → the right one."""
    answered = ask("districts", "show", district_id)
    assert answered.returncode == 0, answered.stderr
    rows: dict[str, str] = {}
    for line in answered.stdout.splitlines():
        name, _, value = line.strip().partition("  ")
        if line.startswith(" ") or not value:
            name, value = list(rows)[-1], f"{rows[list(rows)[-1]]} {line.strip()}"
        rows[name.strip()] = value.strip()
    return rows


def facts(ask, district_id: str) -> dict[str, object]:
    return json.loads(ask("districts", "show", district_id, "--json").stdout)


def test_the_last_snapshot_is_told_with_its_students(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    publish(deployment, "alpha", YESTERDAY)

    lines = shown(ask, "alpha")

    assert lines["state"] == "active"
    assert lines["last published"].startswith(f"night of {YESTERDAY}, on ")
    assert lines["students"] == "2: 1 enrolled, 0 pre-enrolled, 0 graduated, 1 inactive"
    assert {"last attempt", "because", "to do", "pause"}.isdisjoint(lines)
    published = facts(ask, "alpha")["last_published"]
    assert (published["snapshot_date"], published["students"]) == (str(YESTERDAY), 2)
    assert facts(ask, "alpha")["last_attempt"] is None


def test_a_failure_since_then_is_told_with_its_reason_and_what_to_do(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    publish(deployment, "alpha", YESTERDAY)
    attempt(deployment.warehouse, "alpha", "failed", TODAY, REFUSED)

    lines = shown(ask, "alpha")

    assert lines["last published"].startswith(f"night of {YESTERDAY}")
    assert lines["last attempt"] == f"failed, night of {TODAY}"
    assert lines["because"] == REFUSED.reason
    assert "samegoal-pipelines districts rotate-secret alpha" in lines["to do"]
    last = facts(ask, "alpha")["last_attempt"]
    assert (last["state"], last["next_step"]) == ("failed", lines["to do"])


def test_a_hold_names_its_night_in_the_command_that_releases_it(deployment, ask):
    """As written that night, the command is about the day on which it is typed."""
    register(deployment.warehouse, "alpha", ZONE)
    reason, release = "31 students would be dropped", "samegoal-pipelines sync alpha --release"
    attempt(deployment.warehouse, "alpha", "held", YESTERDAY, reason)
    lines = shown(ask, "alpha")
    assert lines["last published"] == "never"
    assert lines["last attempt"] == f"held, night of {YESTERDAY}"
    assert lines["because"] == facts(ask, "alpha")["last_attempt"]["reason"] == reason
    assert lines["to do"].endswith(f"{release} --today {YESTERDAY} --why REASON")


def test_a_night_that_was_published_after_all_leaves_no_trouble(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    attempt(deployment.warehouse, "alpha", "failed", TODAY, "reading Qmlativ: unavailable")
    publish(deployment, "alpha", TODAY)
    assert "last attempt" not in shown(ask, "alpha")


def test_pauses_that_hold_or_are_to_come_are_told_and_past_ones_are_not(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    until = TODAY + timedelta(days=9)

    def paused(first: date, last: date) -> dict[str, str]:
        pause(deployment.warehouse, "alpha", paused_from=first, paused_to=last, set_by="Pat", reason="summer")
        return shown(ask, "alpha")

    lines = paused(TODAY + timedelta(days=1), until)
    assert (lines["state"], lines["pause"]) == (
        "active",
        f"from {TODAY + timedelta(days=1)} to {until}: summer, set by Pat",
    )
    lines = paused(TODAY, until)
    assert lines["state"] == f"paused until {until}"
    assert lines["pause"] == f"from {TODAY} to {until}: summer, set by Pat"
    assert lines["last published"] == "never; next: samegoal-pipelines sync alpha"
    assert facts(ask, "alpha")["pause"]["paused_to"] == str(until)

    assert ask("resume", "alpha").returncode == 0
    lines = paused(YESTERDAY, YESTERDAY)
    assert lines["state"] == "active"
    assert "pause" not in lines


def test_the_list_says_what_is_published_and_who_does_not_run(deployment, ask):
    for name in ("alpha", "beta", "gamma"):
        register(deployment.warehouse, name, ZONE)
    publish(deployment, "alpha", YESTERDAY)
    deployment.registry.set_active("beta", False)
    pause(deployment.warehouse, "gamma", paused_from=TODAY, paused_to=TODAY, set_by="Pat")

    listed = [line.split() for line in ask("districts", "list").stdout.splitlines()]

    lines = {line[0]: line for line in listed if line}
    assert lines["alpha"][-2:] == [str(YESTERDAY), "active"]
    assert lines["beta"][-2:] == ["never", "disabled"]
    assert lines["gamma"][-4:] == ["never", "paused", "until", str(TODAY)]
    rows = json.loads(ask("districts", "list", "--json").stdout)
    assert [(row["state"], row["last_published_night"]) for row in rows] == [
        ("active", str(YESTERDAY)),
        ("disabled", None),
        (f"paused until {TODAY}", None),
    ]


def test_the_list_fits_a_terminal_of_100_columns(deployment, ask, monkeypatch):
    register(deployment.warehouse, "grand-bend", "America/Chicago", expires=date(2099, 8, 1))
    pause(
        deployment.warehouse,
        "grand-bend",
        paused_from=TODAY - timedelta(days=9),
        paused_to=TODAY + timedelta(days=9),
        set_by="Pat",
    )
    monkeypatch.setattr("samegoal_pipelines.cli.terminal.PIPED_WIDTH", 100)
    listed = ask("districts", "list").stdout
    assert sum("20" in line or "grand" in line.lower() for line in listed.splitlines()) == 1, listed

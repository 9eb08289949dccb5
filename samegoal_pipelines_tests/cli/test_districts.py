"""A district's state, its pauses, and what can be set for it."""

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
    rows: dict[str, str] = {}
    for line in ask("districts", "show", district_id).ok.stdout.splitlines():
        name, _, value = line.strip().partition("  ")
        if line.startswith(" ") or not value:  # a cell's further lines
            name, value = list(rows)[-1], f"{rows[list(rows)[-1]]} {line.strip()}"
        rows[name.strip()] = value.strip()
    return rows


def facts(ask, district_id: str) -> dict[str, object]:
    return ask("districts", "show", district_id, "--json").json


def test_the_last_snapshot_is_told_and_a_failure_since_then_with_what_to_do_until_the_next(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    publish(deployment, "alpha", YESTERDAY)
    lines = shown(ask, "alpha")
    assert lines["state"] == "active"
    assert lines["last published"].startswith(f"night of {YESTERDAY}, on ")
    assert lines["students"] == "2: 1 enrolled, 0 pre-enrolled, 0 graduated, 1 inactive"
    assert {"last attempt", "because", "to do", "pause"}.isdisjoint(lines)
    told = facts(ask, "alpha")
    assert told["last_published"]["snapshot_date"] == str(YESTERDAY)
    assert (told["last_published"]["students"], told["last_attempt"]) == (2, None)

    attempt(deployment.warehouse, "alpha", "failed", TODAY, REFUSED)
    lines = shown(ask, "alpha")
    assert lines["last published"].startswith(f"night of {YESTERDAY}")
    assert (lines["last attempt"], lines["because"]) == (f"failed, night of {TODAY}", REFUSED.reason)
    assert "samegoal-pipelines districts rotate-secret alpha" in lines["to do"]
    last = facts(ask, "alpha")["last_attempt"]
    assert (last["state"], last["next_step"]) == ("failed", lines["to do"])

    publish(deployment, "alpha", TODAY)
    assert "last attempt" not in shown(ask, "alpha")


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


def test_pauses_that_hold_or_are_to_come_are_told_and_past_ones_are_not(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    until, tomorrow = TODAY + timedelta(days=9), TODAY + timedelta(days=1)

    def paused(first: date, last: date) -> tuple[str, str | None]:
        pause(deployment.warehouse, "alpha", first, last, set_by="Pat", reason="summer")
        lines = shown(ask, "alpha")
        return lines["state"], lines.get("pause")

    by = "summer, set by Pat"
    assert paused(tomorrow, until) == ("active", f"from {tomorrow} to {until}: {by}")
    assert paused(TODAY, until) == (f"paused until {until}", f"from {TODAY} to {until}: {by}")
    assert shown(ask, "alpha")["last published"] == "never; next: samegoal-pipelines sync alpha"
    assert facts(ask, "alpha")["pause"]["paused_to"] == str(until)
    assert ask("resume", "alpha").ok
    assert paused(YESTERDAY, YESTERDAY) == ("active", None)


def test_the_list_says_what_is_published_and_who_does_not_run_in_100_columns(deployment, ask, monkeypatch):
    for name in ("alpha", "beta", "gamma"):
        register(deployment.warehouse, name, ZONE, expires=date(2099, 8, 1), expiration="assumed")
    publish(deployment, "alpha", YESTERDAY)
    deployment.registry.set("beta", active=False)
    pause(deployment.warehouse, "gamma", paused_from=TODAY, paused_to=TODAY, set_by="Pat")

    alpha, beta, gamma = ask("districts", "list").lines[2:]
    assert alpha.endswith(f" {YESTERDAY} active")
    assert beta.endswith(" never disabled")
    assert gamma.endswith(f" never paused until {TODAY}")
    rows = ask("districts", "list", "--json").json
    assert [row["state"] for row in rows] == ["active", "disabled", f"paused until {TODAY}"]
    assert [row["last_published_night"] for row in rows] == [str(YESTERDAY), None, None]

    monkeypatch.setattr("samegoal_pipelines.cli.terminal.PIPED_WIDTH", 100)
    narrow = ask("districts", "list").stdout.splitlines()
    assert len([line for line in narrow if "gamma" in line.lower() or str(TODAY) in line]) == 1, narrow


def test_a_paused_district_is_shown_as_paused_until_it_is_resumed(deployment, ask):
    register(deployment.warehouse, "alpha", ZONE)
    until = TODAY + timedelta(days=9)
    words = ["pause", "alpha", "--from", str(TODAY), "--to", str(until), "--reason"]
    assert ask(*words, "summer\n[break] \x1b[2J\udc80\u202e", SAMEGOAL_OPERATOR="Pat").stdout == (
        f"alpha: paused from {TODAY} to {until} (10 nights); end it with: samegoal-pipelines resume alpha\n"
    )
    assert f"paused until {until}: summer [break] [2J" in ask("report").stdout
    assert shown(ask, "alpha")["pause"] == f"from {TODAY} to {until}: summer [break] [2J, set by Pat"
    assert ask("resume", "alpha").stdout == (
        f"alpha: no longer paused (it was from {TODAY} to {until}); the schedule runs it again\n"
    )
    assert ask("resume", "alpha").stdout == "alpha: was not paused\n"


def test_limits_are_set_shown_and_taken_back_and_what_is_none_is_refused_in_one_line(deployment, ask):
    register(deployment.warehouse, "grand-bend")
    changed = ask("districts", "set", "grand-bend", "--limit", "dropped=12.5", "--limit", "dropped_least=40")
    assert changed.ok.stderr == ""
    lines = ask("districts", "show", "grand-bend").lines
    assert "limit dropped 12.5% (set)" in lines
    assert "limit dropped_least 40 students (set)" in lines
    assert "limit contacts 10%" in lines
    assert "restricted contacts withheld" in lines

    assert ask("districts", "set", "grand-bend", "--limit", "dropped=default").ok
    (listed,) = ask("districts", "list", "--json").json
    assert (listed["gate_limits"]["dropped"], listed["gate_limits"]["dropped_least"]) == (10.0, 40)

    refused = ask("districts", "set", "grand-bend", "--limit", "most=5").refusal
    assert refused.startswith("error: grand-bend: the gate has no limit named most; its limits are dropped,")


def test_showing_what_is_withheld_says_what_it_means(deployment, ask):
    register(deployment.warehouse, "grand-bend")

    def switches() -> tuple[object, object]:
        shown = facts(ask, "grand-bend")
        return shown["show_restricted_contacts"], shown["show_confidential_phones"]

    shown = ask("districts", "set", "grand-bend", "--restricted-contacts", "show")
    assert (shown.returncode, shown.stdout.count("\n")) == (0, 2), shown.stderr
    assert "parents under active restricted access are published" in shown.stdout
    assert "--restricted-contacts withhold" in shown.stdout
    assert switches() == (True, False)

    words = ("--restricted-contacts", "withhold", "--confidential-phones", "show")
    back = ask("districts", "set", "grand-bend", *words)
    assert "confidential phones are published" in back.stdout
    assert switches() == (False, True)

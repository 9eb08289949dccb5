"""`report` tells in a terminal what needs somebody, and a script by its exit status; `alerts test`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.qmlativ.errors import SourceUnavailableError
from samegoal_pipelines_tests.cli.asking import Answered
from samegoal_pipelines_tests.reporting.factories import NIGHT, attempt, land, put, register
from samegoal_pipelines_tests.reporting.servers import SLACK, certificate, chat, web_server
from samegoal_pipelines_tests.transforms.builders import enrollments, entry
from samegoal_pipelines_tests.warehouse.factories import publish_night, snapshot, student

__all__ = ["certificate", "chat"]


@pytest.fixture
def run(deployment, ask) -> Callable[..., Answered]:
    """The night is long past, so what is missing is late."""
    return lambda *words: ask("report", "--night", NIGHT.isoformat(), *words)


UNAVAILABLE = SourceUnavailableError("Qmlativ is unavailable (HTTP 503)", step="reading Qmlativ")


def test_totals_and_trouble_stand_first_and_then_the_rest(deployment, run):
    put(deployment.warehouse, "alpha", "published")
    put(deployment.warehouse, "beta", "failed", UNAVAILABLE)
    put(deployment.warehouse, "gamma", None)
    put(deployment.warehouse, "delta", "held", "200 of 1,190 students would be gone")
    put(deployment.warehouse, "epsilon", None, expires=NIGHT + timedelta(days=20))
    pause(deployment.warehouse, "epsilon", NIGHT, NIGHT, set_by="pat", reason="summer")
    lines = [line.rstrip() for line in run().stdout.splitlines()]
    assert lines == [
        "SameGoal night 2026-10-12: 1 failed, 1 held, 1 late of 4",
        "published 1, held 1, failed 1, late 1, paused 1",
        "",
        "failed: Beta ISD (beta), for 1 night, last published 2026-10-11",
        "    reading Qmlativ: Qmlativ is unavailable (HTTP 503)",
        "    to do: try again later; to run the night again: samegoal-pipelines sync beta",
        "",
        "late: Gamma ISD (gamma), for 1 night, last published 2026-10-11",
        "    no snapshot by 06:00: the run has not started or is still in progress",
        "    to do: check in the Dagster UI that the daemon is running, nightly_by_district is on and "
        "runs are not stuck in the queue; or: samegoal-pipelines sync gamma",
        "",
        "held: Delta ISD (delta), for 1 night, last published 2026-10-11",
        "    200 of 1,190 students would be gone",
        "    to do: look at the students with: samegoal-pipelines changes delta --students; correct "
        "Qmlativ and run the night again, or, if the change is meant, publish what is held: "
        "samegoal-pipelines sync delta --release --today 2026-10-12 --why REASON",
        "",
        "Integration Access of Epsilon ISD (epsilon) expires on 2026-11-01, in 20 days",
        "",
        "the next 14 days, if nobody edits anything: not known. Looked at 0 districts; not at alpha, beta, "
        "delta, epsilon, gamma: their landed rows are gone or cannot be read",
        "",
        "district  name         state      students  enrolled  added  changed  removed  carried over",
        "─" * len(lines[20]),
        "alpha     Alpha ISD    published       100        90      2        5        1             0",
        "epsilon   Epsilon ISD  paused          100        90      –        –        –             –  paused "
        "until 2026-10-12: summer",
    ]
    facts = run("--json").failed.json
    assert (facts["totals"]["failed"], len(facts["trends"]), facts["expiring"]) == (1, 2, ["epsilon"])
    assert facts["districts"][0]["next_step"] == (
        "try again later; to run the night again: samegoal-pipelines sync beta"
    )


OK, HELD = "published", "held"


@pytest.mark.parametrize(
    ("states", "status"), [([OK, OK], 0), ([OK, HELD], 3), ([HELD, "failed"], 1), ([OK, None], 1), ([], 0)]
)
def test_the_exit_status_says_whether_somebody_must_look(deployment, run, states, status):
    for district_id, state in zip(("alpha", "beta"), states, strict=False):
        put(deployment.warehouse, district_id, state)
    assert run().returncode == status


def test_where_nothing_is_published_nothing_is_foreseen(deployment, run, tmp_path):
    register(deployment.warehouse, "alpha")
    attempt(deployment.warehouse, "alpha", "failed", reason="no luck")
    shown = run("--html", str(tmp_path / "night.html")).stdout
    assert "the next 14 days, if nobody edits anything: not known. No district is published yet" in shown
    page = (tmp_path / "night.html").read_text()
    assert "<title>SameGoal night 2026-10-12: 1 failed of 1</title>" in page
    assert "No district is published yet." in page
    assert "because time passes" not in page


def test_a_page_that_cannot_be_written_is_one_plain_line(deployment, run, tmp_path):
    put(deployment.warehouse, "alpha", "published")
    refused = run("--html", str(tmp_path / "nowhere" / "night.html")).failed.stderr
    assert refused.count("\n") == 1
    assert refused.startswith("error: writing the page: ")
    assert "No such file or directory; give --html another file" in refused
    assert run("--html", str(tmp_path)).returncode == 2


def test_a_landing_that_cannot_be_reached_is_asked_once_for_all_districts(deployment, run, monkeypatch):
    asked: list[str] = []

    def unreachable(*_: object, district_id: str, **__: object) -> None:
        asked.append(district_id)
        raise LandingError("the landing cannot be reached", transient=True)

    for name in ("alpha", "beta", "gamma"):
        put(deployment.warehouse, name, "published")
    monkeypatch.setattr(Landing, "read", unreachable)
    assert run("--json").json["ahead"]["excluded"] == ["alpha", "beta", "gamma"]
    assert asked == ["alpha"]


def will_end(deployment: Any, district_id: str, days: int) -> None:
    """A published district of 100 students, for 90 of whom the year ends so many days after the night."""
    register(deployment.warehouse, district_id)
    run_id, last_day = f"run of {district_id}", NIGHT + timedelta(days=days)
    rows = [entry(n, "2026-08-12", last_day if n <= 90 else None, student=n) for n in range(1, 101)]
    land(deployment.landing, enrollments(rows, NIGHT), run_id, district_id=district_id)
    everybody = snapshot(*(student(row["StudentID"]) for row in rows))
    publish_night(deployment.warehouse, NIGHT, everybody, district_id=district_id, run_id=run_id)


def test_districts_that_will_be_held_are_told_the_soonest_first(deployment, run, monkeypatch):
    will_end(deployment, "alpha", 9)
    will_end(deployment, "beta", 3)
    result = run().ok
    lines = result.stdout.splitlines()
    ahead = "the next 14 days, if nobody edits anything: 2 will be held because time passes."
    begin = lines.index(f"{ahead} Looked at 2 districts")
    assert lines[begin + 1 : begin + 7] == [
        "from 2026-10-16 on: Beta ISD (beta)",
        "    90 of 100 students (90.0%) last published as ENROLLED or PRE-ENROLLED would be gone or INACTIVE "
        "only because time has passed; the limit is 50%",
        "    to do: have next year's enrollments entered in Qmlativ before; if the students really leave, "
        "publish it that day: samegoal-pipelines sync beta --release --why REASON",
        "from 2026-10-22 on: Alpha ISD (alpha)",
        lines[begin + 2],
        lines[begin + 3].replace("beta", "alpha"),
    ]

    holds = run("--json").json["ahead"]["holds"]
    assert [(one["district_id"], one["night"], one["students"], one["of"]) for one in holds] == [
        ("beta", "2026-10-16", 90, 100),
        ("alpha", "2026-10-22", 90, 100),
    ]

    monkeypatch.setattr("samegoal_pipelines.cli.report.HOLDS_SHOWN", 1)
    shown = run().stdout
    assert "and 1 more, in --html and --json" in shown
    assert "from 2026-10-22" not in shown
    assert "the next 14 days" not in run("--no-forecast").stdout
    assert run("--no-forecast", "--json").json["ahead"] is None


def test_without_a_night_the_report_is_about_the_newest(deployment, ask, monkeypatch):
    register(deployment.warehouse, "alpha", "America/Chicago")
    for hour, night in ((11, "2028-02-28"), (12, "2028-02-29")):  # due at 06:00 in Chicago
        now = datetime(2028, 2, 29, hour, tzinfo=UTC)
        monkeypatch.setattr("samegoal_pipelines.cli.report.datetime", SimpleNamespace(now=now.astimezone))
        assert ask("report").stdout.startswith(f"SameGoal night {night}: ")


def test_each_address_is_told_of_and_one_that_refuses_does_not_keep_it_from_the_others(ask, chat):
    with web_server() as hook:
        addresses = f"{hook.url},{SLACK}"
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=addresses)
        assert answered == (0, "json: sent\nhooks.slack.com: sent\n", "")
        hook.status = 500
        answered = ask("alerts", "test", SAMEGOAL_ALERT_URLS=addresses)
    refused = "not sent: json: the server refused the message (HTTP 500)"
    assert answered == (1, f"{refused}\nhooks.slack.com: sent\n", "")
    assert [one["attachments"][0]["title"] for one in chat.received] == ["SameGoal: test alert"] * 2

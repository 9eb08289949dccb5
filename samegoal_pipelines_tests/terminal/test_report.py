"""`report` tells in a terminal what needs somebody, and a script by its exit status."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from samegoal_pipelines.cli import cli
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines_tests.reports.nights_at_hand import NIGHT, attempt, register

LAST_NIGHT = NIGHT - timedelta(days=1)


@pytest.fixture
def run(deployment) -> Any:
    """Runs the command line on the test's deployment; the night is long past, so what is missing is late."""

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(
            cli, ["report", "--night", NIGHT.isoformat(), *words], standalone_mode=False
        )

    return invoke


def put(deployment: Any, district_id: str, state: str | None, reason: str = "no luck", **facts: Any) -> None:
    register(deployment.warehouse, district_id, **facts)
    attempt(deployment.warehouse, district_id, "published", LAST_NIGHT)
    if state is not None:
        attempt(deployment.warehouse, district_id, state, reason=None if state == "published" else reason)


def test_totals_and_trouble_stand_first_and_then_the_rest(deployment, run):
    put(deployment, "alpha", "published")
    put(deployment, "beta", "failed", "reading Qmlativ: Qmlativ is unavailable (HTTP 503); try again later")
    put(deployment, "gamma", None)
    put(deployment, "delta", "held", "200 of 1,190 students would be gone")
    put(deployment, "epsilon", None, expires=NIGHT + timedelta(days=20))
    pause(deployment.warehouse, "epsilon", paused_from=NIGHT, paused_to=NIGHT, set_by="pat", reason="summer")
    result = run()
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "SameGoal night 2026-10-12: 1 failed, 1 held, 1 late of 4",
        "published 1, held 1, failed 1, late 1, paused 1",
        "",
        "failed: Beta ISD (beta), for 1 night, last published 2026-10-11",
        "    reading Qmlativ: Qmlativ is unavailable (HTTP 503); try again later",
        "    to do: wait until the district's Qmlativ answers again, then: samegoal-pipelines sync beta; "
        "if it stays so, ask the district",
        "",
        "late: Gamma ISD (gamma), for 1 night, last published 2026-10-11",
        "    nothing has come of the night by 06:00: it has not run, or still runs",
        "    to do: see in the Dagster UI that the daemon is up, the schedule nightly_by_district is on and "
        "its queue moves; or: samegoal-pipelines sync gamma",
        "",
        "held: Delta ISD (delta), for 1 night, last published 2026-10-11",
        "    200 of 1,190 students would be gone",
        "    to do: look at the numbers in the Dagster UI; if the change is meant, publish it: "
        "samegoal-pipelines sync delta --release --today 2026-10-12",
        "",
        "Integration Access of Epsilon ISD (epsilon) expires on 2026-11-01, in 20 days",
        "",
        "district  state      students  enrolled  added  changed  removed",
        "─" * len(result.output.splitlines()[18]),
        "alpha     published       100        90      2        5        1",
        "epsilon   paused          100        90                           paused until 2026-10-12: summer",
    ]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["published", "published"], 0),
        (["published", "held"], 3),
        (["held", "failed"], 1),
        (["published", None], 1),
        ([], 0),
    ],
)
def test_the_exit_status_says_whether_somebody_must_look(deployment, run, states, status):
    for district_id, state in zip(("alpha", "beta"), states, strict=False):
        put(deployment, district_id, state)
    assert run().return_value == status


def test_a_district_that_is_paused_or_disabled_is_no_reason_to_look(deployment, run):
    put(deployment, "alpha", None)
    put(deployment, "beta", None, active=False)
    pause(deployment.warehouse, "alpha", paused_from=NIGHT, paused_to=NIGHT, set_by="pat")
    assert run().return_value == 0


def test_a_warehouse_that_is_down_is_a_reason_to_look(monkeypatch, run):
    monkeypatch.setenv("SAMEGOAL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    result = run()
    assert "no connection to Postgres" in str(result.exception)


def test_scripts_get_json(deployment, run):
    put(deployment, "alpha", "failed")
    result = run("--json")
    facts = json.loads(result.output)
    assert result.return_value == 1
    assert facts["totals"]["failed"] == 1
    assert facts["districts"][0]["remedy"].startswith("open the run run-")


def test_the_page_is_written_where_it_is_wanted(deployment, run, tmp_path: Path):
    put(deployment, "alpha", "published")
    result = run("--html", str(tmp_path / "night.html"))
    assert result.return_value == 0
    assert (
        "<title>SameGoal night 2026-10-12: 1 of 1 published</title>" in (tmp_path / "night.html").read_text()
    )
    assert "without the rows that were landed for alpha" in (tmp_path / "night.html").read_text()


def test_without_a_night_the_report_is_about_the_newest(deployment):
    register(deployment.warehouse, "alpha")
    result = CliRunner().invoke(cli, ["report"], standalone_mode=False)
    assert result.output.startswith("SameGoal night 20")
    assert "2026-10-12" not in result.output.splitlines()[0]


def test_the_help_says_that_a_cron_can_use_it_as_a_dead_mans_switch():
    assert "dead man's switch" in " ".join(CliRunner().invoke(cli, ["report", "--help"]).output.split())

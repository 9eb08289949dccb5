"""`pause` and `resume`: the schedule leaves the district out, and takes it up again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from samegoal_pipelines.cli.main import cli
from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.nightly import nightly_by_district
from samegoal_pipelines.districts.errors import InvalidDistrictError, UnknownDistrictError
from samegoal_pipelines.districts.pauses import all_pauses
from samegoal_pipelines_tests.reporting.factories import register

ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"  # where it is about noon
TODAY = datetime.now(ZoneInfo(ZONE)).date()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words], standalone_mode=False)


def scheduled(deployment: Any) -> list[str]:
    """The districts that the schedule asks for now."""
    with dg.instance_for_test() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime.now(UTC),
            repository_def=build_defs(deployment).get_repository_def(),
            resources={"deployment": deployment},
        )
        requests = nightly_by_district.evaluate_tick(context).run_requests or []
        return [str(request.partition_key) for request in requests]


def test_a_paused_district_is_left_out_until_it_is_resumed(deployment, monkeypatch):
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Pat")
    register(deployment.warehouse, "alpha", ZONE)
    register(deployment.warehouse, "beta", ZONE)
    until = TODAY + timedelta(days=9)

    paused = run("pause", "alpha", "--from", str(TODAY), "--to", str(until), "--reason", "summer")
    assert paused.output == (
        f"alpha: paused from {TODAY} to {until} (10 nights); end it with: samegoal-pipelines resume alpha\n"
    )
    assert scheduled(deployment) == ["beta"]
    assert f"paused until {until}: summer" in run("report").output

    assert run("resume", "alpha").output == (
        f"alpha: no longer paused (it was from {TODAY} to {until}); the schedule runs it again\n"
    )
    assert scheduled(deployment) == ["alpha", "beta"]
    assert run("resume", "alpha").output == "alpha: was not paused\n"


def test_a_pause_that_is_to_come_or_over_leaves_nobody_out(deployment):
    register(deployment.warehouse, "alpha", ZONE)
    register(deployment.warehouse, "beta", ZONE)
    run("pause", "alpha", "--from", str(TODAY + timedelta(days=1)), "--to", str(TODAY + timedelta(days=1)))
    run("pause", "beta", "--from", str(TODAY - timedelta(days=9)), "--to", str(TODAY - timedelta(days=1)))
    assert scheduled(deployment) == ["alpha", "beta"]


def test_what_cannot_be_paused_is_said_in_one_line(deployment):
    with pytest.raises(UnknownDistrictError, match="nowhere: no such district is registered"):
        raise run("pause", "nowhere", "--from", "2027-06-01", "--to", "2027-08-15").exception
    register(deployment.warehouse, "alpha")
    with pytest.raises(InvalidDistrictError, match="before it begins on 2027-08-15"):
        raise run("pause", "alpha", "--from", "2027-08-15", "--to", "2027-06-01").exception


def test_a_reason_is_kept_as_one_line_that_can_be_read(deployment):
    register(deployment.warehouse, "alpha")
    words = ["pause", "alpha", "--from", "2027-06-01", "--to", "2027-08-15", "--reason"]
    assert run(*words, "summer\n[break] \x1b[2J\udc80\u202e").exit_code == 0
    assert all_pauses(deployment.warehouse)["alpha"].reason == "summer [break] [2J"


@pytest.mark.parametrize(
    "words", [["pause", "alpha"], ["pause", "alpha", "--from", "june", "--to", "august"]]
)
def test_both_dates_are_needed(words):
    assert CliRunner().invoke(cli, words).exit_code == 2

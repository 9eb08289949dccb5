"""The report of all districts: once per night, when the night is over, also after a restart."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.report import REPORT_JOB, missing_reports, report_after_the_night, reports_due
from samegoal_pipelines.districts.pauses import pause
from samegoal_pipelines.landing.store import REPORTS
from samegoal_pipelines.reporting.messages import missing_report_message
from samegoal_pipelines_tests.defs.daemon_fixtures import zone_at
from samegoal_pipelines_tests.pipeline import TODAY, failure, log_of
from samegoal_pipelines_tests.reporting.factories import NIGHT, REGISTERED, at, attempt, put, register

STAYS = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
LEAVES = STAYS | {"EntryWithdrawalID": 2, "StudentID": 12, "EndDate": "2026-10-14", "WithdrawalCode": "82"}
THREE_IN_CHICAGO, SIX_IN_CHICAGO, SIX_IN_HONOLULU = at("08:00"), at("11:00"), at("16:00")


def add_run(instance: dg.DagsterInstance, request: dg.RunRequest, became: str) -> None:
    status = dg.DagsterRunStatus[became]
    instance.add_run(dg.DagsterRun(job_name=REPORT_JOB, tags=dict(request.tags), status=status))


@pytest.fixture
def asked_for(instance, deployment) -> Callable[..., list[str]]:
    """The nights whose report is asked for now; the daemon makes their runs, which become this."""

    def ask(now: datetime, became: str = "NOT_STARTED") -> list[str]:
        due = reports_due(instance, deployment, now)
        for request in due:
            add_run(instance, request, became)
        return [request.tags["samegoal/today"] for request in due]

    return ask


def test_the_report_is_asked_for_once_when_the_last_deadline_has_passed(deployment, asked_for):
    put(deployment.warehouse, "austin", "failed")
    put(deployment.warehouse, "honolulu", None, timezone="Pacific/Honolulu")
    assert asked_for(SIX_IN_CHICAGO) == ["2026-10-11"]
    assert asked_for(SIX_IN_HONOLULU - timedelta(seconds=1)) == []
    assert asked_for(SIX_IN_HONOLULU) == ["2026-10-12"]
    assert asked_for(SIX_IN_HONOLULU) == []
    assert asked_for(SIX_IN_HONOLULU + timedelta(hours=10)) == []


def test_a_report_that_fails_is_asked_for_again_three_times_in_all(deployment, instance):
    register(deployment.warehouse, "austin", registered_at=at("00:00"))
    keys = []
    for minutes in range(5):
        for request in reports_due(instance, deployment, SIX_IN_CHICAGO + timedelta(minutes=minutes)):
            keys.append(request.run_key)
            add_run(instance, request, "CANCELED" if minutes == 1 else "FAILURE")
        gone = list(missing_reports(instance, [NIGHT - timedelta(days=1), NIGHT]))
        assert len(gone) == (minutes > 1)
    assert [key.rpartition(":")[2] for key in keys] == ["1", "2", "3"]
    assert len({key.rpartition(":")[0] for key in keys}) == 1
    last, *_ = instance.get_runs()
    assert gone == [(NIGHT, missing_report_message(NIGHT, 3, last.run_id))]


def test_the_report_is_made_again_when_its_night_changes(deployment, asked_for):
    """By a release, and by a run that fails later; not by time alone."""
    register(deployment.warehouse, "austin", registered_at=at("00:00"))
    for hours, state in enumerate(("held", "published", "failed")):
        attempt(deployment.warehouse, "austin", state, reason="no luck")
        now = SIX_IN_CHICAGO + timedelta(hours=hours)
        assert asked_for(now, "SUCCESS") == ["2026-10-12"]
        assert asked_for(now + timedelta(minutes=30), "SUCCESS") == []


def test_an_older_report_does_not_take_the_place_of_a_newer_one(deployment, asked_for):
    register(deployment.warehouse, "austin", registered_at=at("00:00"))
    attempt(deployment.warehouse, "austin", "failed", reason="no luck")
    next_day = timedelta(days=1)
    assert asked_for(SIX_IN_CHICAGO, "SUCCESS") == ["2026-10-12"]
    attempt(deployment.warehouse, "austin", "published", NIGHT + next_day)
    assert asked_for(SIX_IN_CHICAGO + next_day, "SUCCESS") == ["2026-10-13"]

    attempt(deployment.warehouse, "austin", "published")

    assert asked_for(SIX_IN_CHICAGO + next_day, "SUCCESS") == []


def test_the_report_comes_earlier_where_nothing_is_waited_for_any_more(deployment, asked_for):
    for district_id in ("alpha", "beta", "gamma"):
        register(deployment.warehouse, district_id, registered_at=at("00:00"))
    pause(deployment.warehouse, "gamma", paused_from=NIGHT, paused_to=NIGHT, set_by="pat")
    attempt(deployment.warehouse, "alpha", "published")
    attempt(deployment.warehouse, "beta", "failed", reason="no luck")
    assert asked_for(THREE_IN_CHICAGO) == []  # it may be tried again
    attempt(deployment.warehouse, "beta", "held", reason="too many")
    assert asked_for(THREE_IN_CHICAGO) == ["2026-10-12"]


def test_a_night_in_which_nothing_was_due_is_not_reported(deployment, asked_for):
    register(deployment.warehouse, "alpha", active=False)
    register(deployment.warehouse, "beta", registered_at=at("20:00"))
    assert asked_for(at("23:00")) == []


@pytest.mark.parametrize("night", ["2026-10-31", "2026-11-01", "2027-03-13", "2027-03-14", "2028-02-29"])
def test_every_night_is_reported_once_whatever_the_clocks_do(deployment, asked_for, night):
    register(deployment.warehouse, "austin")
    begin = at("00:00", date.fromisoformat(night) - timedelta(days=1))
    nights = [asked_for(begin + timedelta(hours=n)) for n in range(72)]
    found = [one for some in nights for one in some]
    assert found.count(night) == 1
    assert sorted(found) == sorted(set(found))


def test_the_sensor_asks_with_a_key_that_dagster_knows_again(deployment, instance):
    register(deployment.warehouse, "alpha", zone_at(12))
    context = dg.build_sensor_context(
        instance=instance,
        repository_def=build_defs(deployment).get_repository_def(),
        resources={"deployment": deployment},
    )
    requests = report_after_the_night.evaluate_tick(context).run_requests
    nights = [request.tags["samegoal/today"] for request in requests]
    assert len({request.run_key for request in requests}) == 2
    assert len(nights) == 2  # today's, and yesterday's that nobody has reported


@pytest.fixture
def materialize(pipeline, instance) -> Callable[..., dg.ExecuteInProcessResult]:
    def make(**config: str) -> dg.ExecuteInProcessResult:
        how = {"nightly_report": config}
        return pipeline.execute(REPORT_JOB, config=how, district_id=None, today=None, instance=instance)

    return make


def test_the_asset_shows_the_page_and_keeps_it_in_the_landing(deployment, pipeline, district, materialize):
    """No student is in it."""
    pipeline.add(district([STAYS, LEAVES]))
    pipeline.rows("update samegoal.districts set registered_at = :at", at=REGISTERED)
    assert pipeline.run().published
    register(deployment.warehouse, "alpha", name="Alpha | <b>ISD</b>")

    (event,) = materialize(night=TODAY.isoformat()).asset_materializations_for_node("nightly_report")
    facts = {name: value.value for name, value in event.metadata.items()}
    assert (facts["night"], facts["summary"]) == ("2026-10-12", "1 late of 2")
    assert (facts["published"], facts["late"], facts["held"]) == (1, 1, 0)
    assert "grand-bend" in facts["report"]
    assert "| 2026-10-15 | ENROLLED → INACTIVE | 1 |" in facts["report"]
    assert "<b>" not in facts["report"]
    assert facts["plots"].count("data:image/svg+xml;base64,") == 2
    page = Path(facts["page"])
    assert page == Path(deployment.settings.landing_root) / REPORTS / "2026-10-12.html"
    assert "1 late of 2" in page.read_text()
    assert event.partition is None
    shown = str(event.metadata) + page.read_text()
    published = pipeline.rows("select student_number, last_name from samegoal.student_demographics")
    assert len(published) == 2
    for number, last_name in published:
        assert last_name not in shown
        assert f">{number}<" not in shown


def test_a_report_that_cannot_be_kept_as_a_file_is_shown_all_the_same(deployment, instance, materialize):
    register(deployment.warehouse, "alpha")
    root = Path(deployment.settings.landing_root)
    root.mkdir(parents=True)
    (root / REPORTS).write_text("a file")
    result = materialize(night=TODAY.isoformat())
    (event,) = result.asset_materializations_for_node("nightly_report")
    assert "Alpha ISD" in str(event.metadata["report"].value)
    said = str(event.metadata["page"].value)
    assert said.startswith("not saved as a file: the report of 2026-10-12 cannot be written (storage at ")
    assert said.replace("not saved as a file", "nightly_report") in log_of(instance, result.run_id)


def test_a_night_that_is_no_date_is_said_in_plain_words(materialize):
    assert failure(materialize(night="yesterday")) == (
        "nightly_report: the night is no valid date; give a date from 2000-01-01 to 2199-12-31, as YYYY-MM-DD"
    )

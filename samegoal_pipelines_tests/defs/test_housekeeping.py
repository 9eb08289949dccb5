"""Once a day the landing is pruned to the nights that are kept."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pytest

from samegoal_pipelines.defs import housekeeping
from samegoal_pipelines.defs.housekeeping import prune_district
from samegoal_pipelines.landing import LandedAsset, LandingError
from samegoal_pipelines.landing.store import REPORTS
from samegoal_pipelines.transforms.columns import frame_of
from samegoal_pipelines_tests.pipeline import TODAY, failure

ENROLLED = [{"StudentID": 11, "StartDate": "2026-08-12"}]


@pytest.fixture(autouse=True)
def moment(monkeypatch) -> datetime:
    """Now, and no later: no day ends in the middle of a test."""
    moment = datetime.now(UTC)
    monkeypatch.setattr(housekeeping, "datetime", SimpleNamespace(now=moment.astimezone))
    return moment


@pytest.fixture
def prune(pipeline, instance) -> Callable[[], dg.ExecuteInProcessResult]:
    return partial(pipeline.execute, "prune_landing", district_id=None, today=None, instance=instance)


def metadata(result: dg.ExecuteInProcessResult) -> Any:
    (output,) = [event for event in result.events_for_node("prune") if event.is_successful_output]
    return output.step_output_data.metadata


@pytest.fixture
def today(moment, district) -> date:
    return moment.astimezone(ZoneInfo(district(ENROLLED).timezone)).date()


def land(deployment, district_id: str, *nights: date) -> None:
    for night in nights:
        landed_at = datetime.combine(night, time(9), UTC)
        landed = LandedAsset(district_id, night, "a-run", "raw_enrollments", landed_at)
        deployment.landing.write(landed, {"School": frame_of({"SchoolID": pa.array([1])})})


def back(day: date, *days: int) -> list[date]:
    return [day - timedelta(days=n) for n in days]


@pytest.fixture
def alpha_and_beta(pipeline, district) -> None:
    pipeline.add(*(district(ENROLLED, id=name, name=name, code=name) for name in ("alpha", "beta")))


def test_each_district_keeps_its_last_nights(alpha_and_beta, deployment, moment, today, prune):
    """The pages of old reports go with their nights."""
    deployment.settings.landing_nights = 5
    deployment.registry.set("beta", active=False)
    land(deployment, "alpha", *back(today, 9, 6, 5, 4, 0))
    land(deployment, "beta", *back(today, 50, 3))
    reported = back(moment.date(), 9, 6, 4, 0)
    for night in reported:
        deployment.landing.keep_page(night, "<html></html>")

    result = prune()

    assert result.success
    assert deployment.landing.nights("alpha") == back(today, 5, 4, 0)
    assert deployment.landing.nights("beta") == back(today, 3)
    data = metadata(result)
    assert (data["nights pruned"].value, data["pages of reports pruned"].value) == (3, 2)
    by_district = {one.data["district"]: one.data["nights pruned"] for one in data["by district"].records}
    assert by_district == {"alpha": 2, "beta": 1}
    left = sorted(path.name for path in (Path(deployment.settings.landing_root) / REPORTS).iterdir())
    assert left == sorted(f"{night}.html" for night in reported[2:])


def test_the_published_night_stays_however_old_it_is_and_the_date_is_the_district_s_own(
    pipeline, district, deployment, moment
):
    """The next night is compared with its rows; a district may have been paused for a year."""
    pipeline.add(district(ENROLLED), timezone="Pacific/Kiritimati")
    assert pipeline.run().published
    noon = datetime.combine(moment.date() + timedelta(days=400), time(12), UTC)  # the next day there
    kept = noon.date() + timedelta(days=1 - deployment.settings.landing_nights)
    land(deployment, "grand-bend", *back(kept, 1, 0))

    assert prune_district(deployment, deployment.registry.get("grand-bend"), noon) == (back(kept, 1), 0)
    assert set(deployment.landing.nights("grand-bend")) == {TODAY, kept}


def test_what_cannot_be_pruned_stops_no_other(alpha_and_beta, deployment, today, monkeypatch, prune):
    land(deployment, "beta", *back(today, 50))
    pruning = deployment.landing.prune

    def fail_for_alpha(district_id, **how):
        if district_id == "alpha":
            raise LandingError("landed files of alpha cannot all be deleted: check the storage")
        return pruning(district_id, **how)

    def fail(*_):
        raise LandingError("old pages in reports cannot all be deleted: check the storage")

    monkeypatch.setattr(deployment.landing, "prune_pages", fail)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(deployment.landing, "prune", fail_for_alpha)
        result = prune()

    assert not result.success
    assert deployment.landing.nights("beta") == []
    (failed,) = [event for event in result.all_node_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data.metadata["nights pruned"].value == 1
    of_pages = "pages of reports: old pages in reports cannot all be deleted: check the storage"
    assert failure(result) == (
        f"pruning failed: alpha: landed files of alpha cannot all be deleted: check the storage, {of_pages}"
    )
    assert failure(prune()) == f"pruning failed: {of_pages}"


def age_runs(pipeline, days: int) -> None:
    """Let every run that Dagster knows of be so many days older."""
    aged = "update dagster.runs set create_timestamp = create_timestamp - make_interval(days => :days)"
    pipeline.rows(aged, days=days)


def test_old_runs_go_and_the_published_one_stays(pipeline, district, deployment, instance, prune):
    """Dagster itself keeps every run for good."""
    made = district(ENROLLED)
    pipeline.add(made)
    old, published = (pipeline.run(today=date(2026, 8, day)).run_id for day in (20, 21))
    deployment.settings.run_nights = 30
    age_runs(pipeline, 29)
    assert metadata(prune())["runs pruned"].value == 0
    age_runs(pipeline, 2)
    made.client_secret = made.id
    failed = pipeline.run(today=date(2026, 8, 22)).run_id
    manager = instance.compute_log_manager
    logs = [Path(manager.get_captured_local_path([run, "a step"], "out")) for run in (old, published)]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("what a step has printed")

    result = prune()

    assert result.success
    assert metadata(result)["runs pruned"].value == 1
    assert {published, failed, result.run_id} < {run.run_id for run in instance.get_runs()}
    assert instance.get_run_by_id(old) is None
    assert not instance.all_logs(old)
    assert instance.all_logs(published)
    assert [log.exists() for log in logs] == [False, True]
    assert instance.get_materialized_partitions(dg.AssetKey("published_snapshot")) == {made.id}

"""Releasing a held night: exactly what was held, on somebody's word, and for that night only."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from samegoal_pipelines import definitions
from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs import release
from samegoal_pipelines.defs.district_run import DISTRICTS
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.settings import Settings
from samegoal_pipelines.warehouse.release import release as publish_held
from samegoal_pipelines_tests.mass_changes import (
    ENTRIES,
    TOMORROW,
    change,
    enrolled,
    gate_checks,
    materializations,
)

DAY_AFTER = date(2026, 10, 14)
WITHDRAWN = range(1, 40)


@pytest.fixture
def held(pipeline, district, monkeypatch, prepared):
    """A district of 300 students with one good night, and one that is held for 39 withdrawals and a CECS."""
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Dana Data")
    pipeline.deployment.settings.operator = "Dana Data"

    def two_nights():
        cecs_only = {"StudentID": 301, "StartDate": "2026-08-12", "WithdrawalCode": "CECS"}
        made = district([*enrolled(300), cecs_only])
        pipeline.add(made)
        assert pipeline.run().published
        (cecs,) = {row["WithdrawalCodeID"] for row in made.rows(ENTRIES)} - {None}
        change(made, WITHDRAWN, EndDate="2026-10-09")
        change(made, {300}, WithdrawalCodeID=cecs)
        night = pipeline.run(today=TOMORROW)
        assert night.held, night.reason
        return made, night

    return prepared("a night that is held", two_nights)


def refused(pipeline, today: date, *words: str) -> None:
    """A release fails in one line with these words, changes nothing, and leaves no failed night behind."""
    before, attempts = pipeline.published(), pipeline.rows("select * from samegoal.snapshots order by 1")
    with pytest.raises(PipelineError) as caught:
        pipeline.release(today=today)
    said = line(caught.value)
    assert said.startswith("error: grand-bend: release: "), said
    assert "\n" not in said
    for word in words:
        assert word in said
    assert pipeline.published() == before
    assert pipeline.rows("select * from samegoal.snapshots order by 1") == attempts


def launch(
    pipeline, config: dict[str, Any], only: list[dg.AssetKey] | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    """The job as the UI's launchpad runs it, or a part of it as the UI executes it again."""
    with open_instance(Settings()) as instance:
        return (
            build_defs(pipeline.deployment)
            .resolve_job_def("release_held_snapshot")
            .execute_in_process(
                instance=instance,
                partition_key="grand-bend",
                run_config={"ops": {"published_snapshot": {"config": config}}} if config else {},
                asset_selection=only,
                tags=tags,
                raise_on_error=False,
            )
        )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return failure.user_failure_data.description


def test_a_release_publishes_exactly_what_was_held_although_qmlativ_has_changed_since(pipeline, held, source):
    made, attempt = held
    change(made, WITHDRAWN, EndDate=None)
    made.edit("Demographics/Name", 1_000_200, LastName="Renamed-Since")
    made.remove_row(ENTRIES, 250)
    source.traffic.log.clear()

    night = pipeline.release(today=TOMORROW)

    assert night.published, night.reason
    statuses = pipeline.statuses()
    assert {student for student, (status, _) in statuses.items() if status == "INACTIVE"} == {*WITHDRAWN}
    assert set(statuses) == set(range(1, 300))
    assert pipeline.rows(
        "select count(*) from samegoal.student_demographics where last_name = 'Renamed-Since'"
    ) == [(0,)]
    assert pipeline.rows("select student_id, why from samegoal.departures") == [(300, "CECS only")]
    assert not source.traffic.log
    counts = "students, enrolled, inactive, changed, removed, dropped, dropped_by_time, landed_run_id, state"
    assert pipeline.rows(f"select {counts} from samegoal.snapshots order by snapshot_id")[1:] == [
        (299, 260, 39, 39, 1, 40, 0, attempt.run_id, "superseded"),
        (299, 260, 39, 39, 1, 40, 0, attempt.run_id, "published"),
    ]


def test_a_release_is_on_record_and_turns_the_check_green(pipeline, held):
    _, attempt = held

    night = pipeline.release(today=TOMORROW, why="the campus has closed")

    assert pipeline.rows(
        "select released_by, reason, r.snapshot_date, h.run_id, p.run_id from samegoal.releases r "
        "join samegoal.snapshots h on h.snapshot_id = r.held_snapshot_id "
        "join samegoal.snapshots p on p.snapshot_id = r.published_snapshot_id"
    ) == [("Dana Data", "the campus has closed", TOMORROW, attempt.run_id, night.run_id)]
    *_, (red_run, red), (green_run, green) = gate_checks()
    assert (red_run, red.passed) == (attempt.run_id, False)
    assert (green_run, green.passed) == (night.run_id, True)
    assert green.description == "released by Dana Data: the campus has closed"
    run, facts = materializations()[-1]
    assert run == night.run_id
    assert (facts["released by"], facts["why"], facts["held in run"]) == (
        "Dana Data",
        "the campus has closed",
        attempt.run_id,
    )
    assert (facts["students changed"], facts["snapshot date"]) == (39, "2026-10-13")
    statuses = {record.data["status"]: record.data["students"] for record in facts["statuses"].records}
    assert (statuses["INACTIVE"], statuses["all students"]) == ("39", "299")


def test_a_release_comes_too_late_once_the_next_night_is_published(pipeline, held):
    made, _ = held
    change(made, WITHDRAWN, EndDate=None)
    assert pipeline.run(today=DAY_AFTER).published

    refused(pipeline, TOMORROW, "moved on since its snapshot was held on 2026-10-13")
    refused(pipeline, DAY_AFTER, "nothing is held for the night 2026-10-14")


def test_a_release_does_not_outlive_its_night(pipeline, held):
    made, _ = held
    assert pipeline.release(today=TOMORROW).published
    change(made, range(101, 140), EndDate="2026-10-12")

    again = pipeline.run(today=DAY_AFTER)

    assert again.held, again.reason
    refused(pipeline, TOMORROW, "2026-10-14", "does not outlive its night")
    assert pipeline.release(today=DAY_AFTER).published
    assert pipeline.rows("select count(*) from samegoal.releases") == [(2,)]


def test_what_is_released_once_cannot_be_released_twice(pipeline, held):
    assert pipeline.release(today=TOMORROW).published

    refused(pipeline, TOMORROW, "nothing is held for the night 2026-10-13")


def test_a_release_wants_a_reason(pipeline, held):
    for config in ({}, {"why": " "}):
        assert "say why" in failure_of(launch(pipeline, config, **{"samegoal/today": "2026-10-13"}))
    assert pipeline.rows("select state from samegoal.snapshots order by snapshot_id") == [
        ("published",),
        ("held",),
    ]


def test_in_the_ui_a_release_may_name_its_night_and_who_releases_it(pipeline, held):
    rubbish = launch(pipeline, {"why": "moved", "night": "yesterday"})
    assert "YYYY-MM-DD" in failure_of(rubbish)

    released = launch(pipeline, {"why": "moved", "who": "Pat Principal", "night": "2026-10-13"})

    assert released.success
    assert pipeline.rows("select released_by, reason from samegoal.releases") == [("Pat Principal", "moved")]
    assert pipeline.statuses()[1] == ("INACTIVE", "withdrawn")


def test_a_disabled_district_is_released_no_more_than_it_is_run(pipeline, held):
    pipeline.deployment.registry.set_active("grand-bend", False)

    with pytest.raises(PipelineError) as caught:
        pipeline.release(today=TOMORROW)

    assert "districts enable grand-bend" in line(caught.value)


def test_held_rows_that_are_damaged_or_gone_are_not_released(pipeline, held):
    (file,) = pipeline.deployment.settings.home.rglob("held_snapshot/status.parquet")
    file.write_bytes(file.read_bytes()[:100])

    refused(pipeline, TOMORROW, "no longer in the landing", "sync grand-bend")


def test_a_release_keeps_the_list_that_was_made_when_the_night_was_held(pipeline, held):
    before = pipeline.rows("select * from samegoal.registrar_worklist order by line")
    (landed,) = pipeline.deployment.settings.home.rglob("2026-10-13/*/raw_enrollments")
    shutil.rmtree(landed)

    released = launch(pipeline, {"why": "moved", "night": "2026-10-13"})

    assert released.success
    assert pipeline.statuses()[1] == ("INACTIVE", "withdrawn")
    assert pipeline.rows("select * from samegoal.registrar_worklist order by line") == before != []


def test_a_second_destination_follows_every_night_and_every_release_by_itself(
    pipeline, district, monkeypatch, tmp_path
):
    monkeypatch.setattr(definitions, "ASSETS", [*definitions.ASSETS, second_destination(tmp_path)])
    made = district(enrolled(300))
    pipeline.add(made)
    assert pipeline.run().published
    change(made, WITHDRAWN, EndDate="2026-10-09")

    def inactive() -> int:
        copied = pd.read_parquet(tmp_path / "student_status.parquet")
        assert len(copied) == 300
        return int((copied["status"] == "INACTIVE").sum())

    assert inactive() == 0
    assert pipeline.run(today=TOMORROW).held
    assert inactive() == 0
    assert pipeline.release(today=TOMORROW).published
    assert inactive() == 39


def second_destination(folder: Path) -> ModuleType:
    """A destination as CONTRIBUTING.md describes it: a module with one asset."""

    @dg.asset(deps=["published_snapshot"], partitions_def=DISTRICTS, group_name="copies")
    def second_destination(deployment: dg.ResourceParam[Deployment]) -> None:
        with deployment.warehouse.connect() as connection:
            rows = pd.read_sql(sa.text("select * from samegoal.student_status"), connection)
        rows.to_parquet(folder / "student_status.parquet")

    module = ModuleType("second_destination")
    module.second_destination = second_destination  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("switch", ["show_restricted_contacts", "show_confidential_phones"])
def test_contacts_that_were_set_to_be_withheld_since_are_not_released(pipeline, held, switch):
    registry = pipeline.deployment.registry
    registry.set("grand-bend", **{switch: True})
    assert pipeline.run(today=TOMORROW).held
    registry.set("grand-bend", **{switch: False})

    refused(pipeline, TOMORROW, "set to withhold since", "sync grand-bend")

    registry.set("grand-bend", **{switch: True})
    assert pipeline.release(today=TOMORROW).published


def test_a_switch_that_is_set_while_a_release_is_under_way_stops_it(pipeline, held, monkeypatch):
    registry = pipeline.deployment.registry
    registry.set("grand-bend", show_confidential_phones=True)
    assert pipeline.run(today=TOMORROW).held

    def set_in_the_last_moment(*arguments, **named):
        registry.set("grand-bend", show_confidential_phones=False)
        return publish_held(*arguments, **named)

    monkeypatch.setattr(release, "release", set_in_the_last_moment)
    refused(
        pipeline, TOMORROW, "what was held on 2026-10-13 shows contacts", "set to withhold since it was made"
    )


def test_students_who_could_not_be_read_are_kept_by_a_release_as_well(pipeline, held):
    made, _ = held
    change(made, {200}, WithdrawalCodeID=424242)
    assert pipeline.run(today=TOMORROW).held

    night = pipeline.release(today=TOMORROW)

    assert night.published, night.reason
    assert night.carried_over == 1
    assert pipeline.statuses()[200] == ("ENROLLED", "current_enrollment")


def test_the_ui_offers_the_night_of_all_assets_and_the_release():
    definitions = build_defs()
    nightly = definitions.resolve_job_def("nightly_snapshot")
    assert {key.to_user_string() for key in nightly.asset_layer.executable_asset_keys} >= {
        "raw_enrollments",
        "raw_students",
        "raw_parents",
        "cecs_filtered_enrollments",
        "student_status",
        "student_demographics",
        "parent_demographics",
        "published_snapshot",
        "registrar_worklist",
    }
    release = definitions.resolve_job_def("release_held_snapshot")
    assert release.partitions_def == nightly.partitions_def

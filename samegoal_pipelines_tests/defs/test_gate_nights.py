"""Nights that the gate holds, lets pass, or that a person releases, from Qmlativ to the views."""

import shutil
from datetime import date
from types import ModuleType

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from samegoal_pipelines import definitions
from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs.district_run import DISTRICTS, PUBLISHED_SNAPSHOT
from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.warehouse.publishing import release as publish_held
from samegoal_pipelines_tests.landing.forging import replace_file
from samegoal_pipelines_tests.mass_changes import (
    ENTRIES,
    TOMORROW,
    change,
    enrolled,
    gate_checks,
    materializations,
)
from samegoal_pipelines_tests.pipeline import TODAY, failure, log_of

LAST_DAY_OF_SCHOOL = date(2026, 5, 28)
FIRST_DAY_OFF = date(2026, 5, 29)


@pytest.fixture
def published(good_night, prepared):
    """A district of 300 enrolled students with one good night behind it."""
    return prepared("a night of 300 students", lambda: good_night(enrolled(300)))


def holds(pipeline, night, *words: str) -> str:
    """The night is held with a line that has these words; what was published before stays. Return its run."""
    before = pipeline.published()
    outcome = pipeline.run(today=night)
    assert outcome.held, outcome.reason
    said = line(outcome)
    assert said.startswith("held: grand-bend: ")
    assert "\n" not in said
    for word in words:
        assert word in said
    assert pipeline.published() == before
    return outcome.run_id


def test_a_mass_withdrawal_is_held_and_last_nights_snapshot_stays(pipeline, published, district, instance):
    """It is red in Dagster, with the numbers, and materializes nothing."""
    change(published, range(1, 32), EndDate="2026-10-09", WithdrawalCodeID=None)

    held = holds(
        pipeline,
        TOMORROW,
        "31 of 300 students (10.3%)",
        "the limit is 10%",
        "samegoal-pipelines sync grand-bend --release --today 2026-10-13 --why REASON",
    )

    counts = "students, enrolled, inactive, changed, dropped, dropped_by_time, enrollment_rows, quarantined"
    assert pipeline.states(counts) == [
        ("published", 300, 300, 0, 0, 0, None, 300, 0),
        ("held", 300, 269, 31, 31, 31, 0, 300, 0),
    ]
    run = instance.get_run_by_id(held)
    assert run.tags["samegoal/outcome"] == "held"
    assert run.status == dg.DagsterRunStatus.FAILURE
    (first, green), (run_id, red) = gate_checks()
    assert green.passed
    assert "first snapshot" in green.description
    assert (run_id, red.passed, red.severity) == (held, False, dg.AssetCheckSeverity.ERROR)
    assert "31 of 300 students (10.3%)" in red.description
    dropped, *_ = (record.data for record in red.metadata["each share and its limit"].records)
    assert (dropped["what"], dropped["rows"], dropped["of"]) == ("students dropped by edits", "31", "300")
    assert (dropped["share"], dropped["held above"]) == ("10.3%", "10% and at least 25 students")
    enrolled_now, *_ = (record.data for record in red.metadata["statuses"].records)
    assert enrolled_now == {"status": "ENROLLED", "students": "269", "before": "300", "change": "-31"}
    assert "release_held_snapshot/playground" in red.metadata["release it"].value
    assert [run for run, _ in materializations()] == [first]
    (failed,) = instance.all_logs(held, of_type=dg.DagsterEventType.STEP_FAILURE)
    description = failed.dagster_event.step_failure_data.user_failure_data.description
    assert description.startswith("grand-bend: held: 31 of 300")
    assert "release_held_snapshot" in description

    pipeline.add(district(enrolled(2), id="beta", name="Beta ISD", code="222222"))
    assert pipeline.run("beta", today=TOMORROW).published
    assert [check.passed for _, check in gate_checks("beta")] == [True]
    assert [check.passed for _, check in gate_checks()] == [True, False], "beta's green hides nothing"

    pipeline.deployment.registry.set("grand-bend", gate_limits={"dropped": 20.0})
    assert pipeline.run(today=TOMORROW).published, "a district may have limits of its own"


@pytest.mark.parametrize(("edited", "passes"), [(30, True), (31, False)])
def test_withdrawals_that_were_known_beforehand_do_not_count(pipeline, published, edited, passes):
    """Half of them had a last day in Qmlativ the night before: time explains these; 10% of edits pass."""
    change(published, range(101, 131), EndDate="2026-10-12")
    assert pipeline.run().published

    change(published, range(201, 201 + edited), EndDate="2026-10-09")
    night = pipeline.run(today=TOMORROW)

    assert (night.dropped, night.dropped_by_time) == (30 + edited, 30)
    assert night.published is passes, night.reason
    if not passes:
        assert "31 of them (10.3%) not because time has passed" in line(night)


def test_without_last_nights_files_nobody_can_tell_what_time_explains(pipeline, published):
    """Files of an older version are as good as gone: a column that today's rules use was not read then."""
    change(published, range(1, 41), EndDate="2026-10-12")
    assert pipeline.run().published
    landing = pipeline.deployment.settings.home / "landing"
    for path in landing.rglob("raw_enrollments/EntryWithdrawal.parquet"):
        replace_file(path, pq.read_table(path).drop_columns(["IsDefaultEntity"]))

    holds(pipeline, TOMORROW, "40 of 300 students (13.3%)", "cannot be told")
    shutil.rmtree(landing)
    holds(pipeline, TOMORROW, "40 of 300 students (13.3%)", "cannot be told")


def test_the_end_of_the_year_is_held_until_next_years_enrollments_are_there(pipeline, district):
    entries = enrolled(60, StartDate="2025-08-13", EndDate="2026-05-28")
    for senior in entries[40:]:
        senior["WithdrawalCode"] = "01"
    made = district(entries, today=LAST_DAY_OF_SCHOOL)
    pipeline.add(made)
    assert pipeline.run(today=LAST_DAY_OF_SCHOOL).published
    assert set(pipeline.statuses().values()) == {("ENROLLED", "current_enrollment")}

    holds(pipeline, FIRST_DAY_OFF, "40 of 60 students (66.7%)", "next year's enrollments")

    next_year = {"StartDate": "2026-08-12", "EndDate": None, "SchoolYearID": made.current_year_id() + 1}
    rows = made.rows(ENTRIES)
    upcoming = [row | next_year | {"EntryWithdrawalID": 1000 + row["StudentID"]} for row in rows[:40]]
    made.replace_rows(ENTRIES, [*rows, *upcoming])
    night = pipeline.run(today=FIRST_DAY_OFF)

    assert night.published, night.reason
    assert (night.enrolled, night.graduated, night.inactive) == (40, 20, 0)
    assert pipeline.states() == [("published",), ("superseded",), ("published",)]


def test_a_snapshot_that_is_published_apart_names_the_run_that_read_qmlativ(pipeline, published, instance):
    """Materializing one asset in the UI: what it was made from was landed by another run."""
    apart = pipeline.execute("__ASSET_JOB", assets=["published_snapshot"], instance=instance)

    assert apart.success
    ((first, landed_by_itself), found) = pipeline.rows(
        "select run_id, landed_run_id from samegoal.snapshots order by snapshot_id"
    )
    assert first == landed_by_itself
    assert found == (apart.run_id, first)
    assert f"student_status of {TODAY} was landed by run {first}" in log_of(instance, apart.run_id)


def test_a_list_that_comes_empty_is_held_also_where_a_run_reads_only_a_part(pipeline):
    """As where Dagster goes on, from failure, with a run whose process died, or by hand in the UI."""
    (made,) = Sandbox.generate(districts=1, students=40, seed=7, today=TODAY).districts
    made.id = "grand-bend"
    pipeline.add(made)
    assert pipeline.run().published
    nothing = {"Objects": [], "Paging": {"Next": None}}
    pipeline.source.faults.add(object="Demographics/Relationship", kind="list", set=nothing)

    pipeline.execute(assets=["raw_parents", "parent_demographics", "published_snapshot"])

    (first, _), (second, reason) = pipeline.states("held_reason")
    assert (first, second) == ("published", "held")
    assert "Demographics/Relationship came without a single row, but with 9 for the published" in reason


# -- releases: exactly what was held, on somebody's word, and for that night only --

WITHDRAWN = range(1, 40)


@pytest.fixture
def held(pipeline, good_night, monkeypatch, prepared):
    """A district of 300 students with one good night, and one that is held for 39 withdrawals and a CECS."""
    monkeypatch.setenv("SAMEGOAL_OPERATOR", "Dana Data")
    pipeline.deployment.settings.operator = "Dana Data"

    def two_nights():
        cecs_only = {"StudentID": 301, "StartDate": "2026-08-12", "WithdrawalCode": "CECS"}
        made = good_night([*enrolled(300), cecs_only])
        (cecs,) = {row["WithdrawalCodeID"] for row in made.rows(ENTRIES)} - {None}
        change(made, WITHDRAWN, EndDate="2026-10-09")
        change(made, {300}, WithdrawalCodeID=cecs)
        change(made, {210}, WithdrawalCodeID=424242)  # unreadable: carried over
        night = pipeline.run(today=TOMORROW)
        assert night.held, night.reason
        return made, night

    return prepared("a night that is held", two_nights)


def refused(pipeline, *words: str) -> None:
    """A release fails in one line with these words, changes nothing, and leaves no failed night behind."""
    before, attempts = pipeline.published(), pipeline.states("*")
    with pytest.raises(PipelineError) as caught:
        pipeline.release(today=TOMORROW)
    said = line(caught.value)
    assert said.startswith("error: grand-bend: release: "), said
    assert "\n" not in said
    for word in words:
        assert word in said
    assert pipeline.published() == before
    assert pipeline.states("*") == attempts


def launch(pipeline, today: date | None = TOMORROW, **config: str) -> dg.ExecuteInProcessResult:
    """The job as the UI's launchpad runs it."""
    of_op = {"published_snapshot": config} if config else {}
    return pipeline.execute("release_held_snapshot", config=of_op, today=today)


def test_a_release_publishes_exactly_what_was_held_and_turns_the_check_green(pipeline, held, source):
    """Although Qmlativ has changed since."""
    made, attempt = held
    change(made, WITHDRAWN, EndDate=None)
    made.edit("Demographics/Name", 1_000_200, LastName="Renamed-Since")
    made.remove_row(ENTRIES, 250)
    source.traffic.log.clear()

    night = pipeline.release(today=TOMORROW, why="the campus has closed")

    assert night.published, night.reason
    refused(pipeline, "nothing is held for the night 2026-10-13")
    statuses = pipeline.statuses()
    assert {student for student, (status, _) in statuses.items() if status == "INACTIVE"} == {*WITHDRAWN}
    assert set(statuses) == set(range(1, 300))
    assert (night.carried_over, statuses[210]) == (1, ("ENROLLED", "current_enrollment"))
    names = {name for (name,) in pipeline.rows("select last_name from samegoal.student_demographics")}
    assert len(names) > 200
    assert "Renamed-Since" not in names
    assert pipeline.rows("select student_id, why from samegoal.departures") == [(300, "CECS only")]
    assert not source.traffic.log
    counts = "students, enrolled, inactive, changed, removed, dropped, dropped_by_time, landed_run_id"
    held_as = (299, 260, 39, 39, 1, 40, 0, attempt.run_id)
    assert pipeline.states(counts)[1:] == [("superseded", *held_as), ("published", *held_as)]

    *_, (red_run, red), (green_run, green) = gate_checks()
    assert (red_run, red.passed) == (attempt.run_id, False)
    assert (green_run, green.passed) == (night.run_id, True)
    assert green.description == "released by Dana Data: the campus has closed"
    run, facts = materializations()[-1]
    assert run == night.run_id
    who = [facts[name] for name in ("released by", "why", "held in run")]
    assert who == ["Dana Data", "the campus has closed", attempt.run_id]
    assert (facts["students changed"], facts["snapshot date"]) == (39, "2026-10-13")
    shown = {record.data["status"]: record.data["students"] for record in facts["statuses"].records}
    assert (shown["INACTIVE"], shown["all students"]) == ("39", "299")


def test_a_release_wants_a_reason_and_in_the_ui_may_name_its_night_and_who_releases_it(pipeline, held):
    """It keeps the worklist that was made when the night was held, and does not read the raw rows."""
    for config in ({}, {"why": " "}):
        assert "say why" in failure(launch(pipeline, **config))
    assert "YYYY-MM-DD" in failure(launch(pipeline, None, why="moved", night="yesterday"))
    assert pipeline.states() == [("published",), ("held",)]
    worklist = pipeline.rows("select * from samegoal.registrar_worklist order by line")
    (landed,) = pipeline.deployment.settings.home.rglob("2026-10-13/*/raw_enrollments")
    shutil.rmtree(landed)

    assert launch(pipeline, None, why="moved", who="Pat Principal", night="2026-10-13").success

    assert pipeline.rows("select released_by, reason from samegoal.releases") == [("Pat Principal", "moved")]
    assert pipeline.statuses()[1] == ("INACTIVE", "withdrawn")
    assert pipeline.rows("select * from samegoal.registrar_worklist order by line") == worklist != []


def test_held_rows_that_are_damaged_or_gone_are_not_released(pipeline, held):
    """Nor are those of a disabled district, which is not run either."""
    pipeline.deployment.registry.set("grand-bend", active=False)
    with pytest.raises(PipelineError) as caught:
        pipeline.release(today=TOMORROW)
    assert "districts enable grand-bend" in line(caught.value)

    pipeline.deployment.registry.set("grand-bend", active=True)
    (file,) = pipeline.deployment.settings.home.rglob("held_snapshot/status.parquet")
    file.write_bytes(file.read_bytes()[:100])

    refused(pipeline, "no longer in the landing", "sync grand-bend")


def test_a_second_destination_follows_every_night_and_release(pipeline, good_night, monkeypatch, tmp_path):
    """A module with one asset, as CONTRIBUTING.md describes it."""

    @dg.asset(deps=[PUBLISHED_SNAPSHOT], partitions_def=DISTRICTS, group_name="copies")
    def second_destination(deployment: dg.ResourceParam[Deployment]) -> None:
        with deployment.warehouse.connect() as connection:
            rows = pd.read_sql(sa.text("select * from samegoal.student_status"), connection)
        rows.to_parquet(tmp_path / "student_status.parquet")

    module = ModuleType("second_destination")
    module.second_destination = second_destination  # type: ignore[attr-defined]
    monkeypatch.setattr(definitions, "ASSETS", [*definitions.ASSETS, module])
    made = good_night(enrolled(300))
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


def test_contacts_that_were_set_to_be_withheld_since_are_not_released(pipeline, held, monkeypatch):
    registry = pipeline.deployment.registry
    for switch in ("show_restricted_contacts", "show_confidential_phones"):
        registry.set("grand-bend", **{switch: True})
        assert pipeline.run(today=TOMORROW).held
        registry.set("grand-bend", **{switch: False})
        refused(pipeline, "set to withhold since", "sync grand-bend")
        registry.set("grand-bend", **{switch: True})

    def set_in_the_last_moment(*arguments, **named):
        registry.set("grand-bend", show_confidential_phones=False)
        return publish_held(*arguments, **named)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("samegoal_pipelines.defs.published.release", set_in_the_last_moment)
        refused(pipeline, "shows contacts", "set to withhold since it was made")

    registry.set("grand-bend", show_confidential_phones=True)
    assert pipeline.release(today=TOMORROW).published

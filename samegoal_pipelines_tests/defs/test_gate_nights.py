"""Nights that the gate holds, and nights that it lets pass, from Qmlativ to the views."""

from __future__ import annotations

import shutil
from datetime import date

import dagster as dg
import pyarrow.parquet as pq
import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.definitions import build_defs
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.landing.forging import replace_file
from samegoal_pipelines_tests.mass_changes import (
    ENTRIES,
    TOMORROW,
    change,
    enrolled,
    gate_checks,
    materializations,
)
from samegoal_pipelines_tests.pipeline import TODAY

DAY_AFTER = date(2026, 10, 14)
LAST_DAY_OF_SCHOOL = date(2026, 5, 28)
FIRST_DAY_OFF = date(2026, 5, 29)


@pytest.fixture
def published(good_night):
    """A district of 300 enrolled students with one good night behind it."""
    return good_night(enrolled(300))


def holds(pipeline, night, *words: str) -> None:
    """The night is held with a line that has these words, and what was published before stays."""
    before = pipeline.published()
    outcome = pipeline.run(today=night)
    assert outcome.held, outcome.reason
    said = line(outcome)
    assert said.startswith("held: grand-bend: ")
    assert "\n" not in said
    for word in words:
        assert word in said
    assert pipeline.published() == before


def test_a_mass_withdrawal_is_held_and_last_nights_snapshot_stays(pipeline, published):
    change(published, range(1, 32), EndDate="2026-10-09", WithdrawalCodeID=None)

    holds(
        pipeline,
        TOMORROW,
        "31 of 300 students (10.3%)",
        "the limit is 10%",
        "samegoal-pipelines sync grand-bend --release --today 2026-10-13 --why REASON",
    )

    assert pipeline.rows(
        "select state, students, enrolled, inactive, changed, dropped, dropped_by_time, enrollment_rows, "
        "quarantined from samegoal.snapshots order by snapshot_id"
    ) == [
        ("published", 300, 300, 0, 0, 0, None, 300, 0),
        ("held", 300, 269, 31, 31, 31, 0, 300, 0),
    ]


def test_a_held_night_is_red_in_dagster_with_the_numbers_and_materializes_nothing(pipeline, published):
    change(published, range(1, 32), EndDate="2026-10-09")

    held = pipeline.run(today=TOMORROW)

    with open_instance(Settings()) as instance:
        run = instance.get_run_by_id(held.run_id)
    assert run is not None
    assert run.tags["samegoal/outcome"] == "held"
    (_, green), (run_id, red) = gate_checks()
    assert green.passed
    assert (run_id, red.passed, red.severity) == (held.run_id, False, dg.AssetCheckSeverity.ERROR)
    assert "31 of 300 students (10.3%)" in red.description
    dropped, *_ = (record.data for record in red.metadata["each share and its limit"].records)
    assert (dropped["what"], dropped["rows"], dropped["of"]) == ("students dropped by edits", "31", "300")
    assert (dropped["share"], dropped["held above"]) == ("10.3%", "10% and at least 25 students")
    enrolled_now, *_ = (record.data for record in red.metadata["statuses"].records)
    assert enrolled_now == {"status": "ENROLLED", "students": "269", "before": "300", "change": "-31"}
    assert "release_held_snapshot/playground" in red.metadata["release it"].value
    assert [run for run, _ in materializations()] == [gate_checks()[0][0]]
    with open_instance(Settings()) as instance:
        assert instance.get_run_by_id(held.run_id).status == dg.DagsterRunStatus.FAILURE
        (failure,) = [
            record.event_log_entry.dagster_event.step_failure_data
            for record in instance.get_records_for_run(held.run_id).records
            if record.event_log_entry.dagster_event and record.event_log_entry.dagster_event.is_step_failure
        ]
    data = failure.user_failure_data
    assert data.description.startswith("grand-bend: held: 31 of 300")
    assert "release_held_snapshot" in data.description


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
    change(published, range(1, 41), EndDate="2026-10-12")
    assert pipeline.run().published
    shutil.rmtree(pipeline.deployment.settings.home / "landing")

    holds(pipeline, TOMORROW, "40 of 300 students (13.3%)", "cannot be told")


def test_last_nights_files_of_an_older_version_are_as_good_as_gone(pipeline, published):
    """A column that today's rules use was not read then: nobody can tell, and the gate says so."""
    landing = pipeline.deployment.settings.home / "landing"
    for path in landing.rglob("raw_enrollments/EntryWithdrawal.parquet"):
        replace_file(path, pq.read_table(path).drop_columns(["IsDefaultEntity"]))
    change(published, range(1, 41), EndDate="2026-10-09")
    holds(pipeline, TOMORROW, "40 of 300 students", "cannot be told")


def test_the_end_of_the_year_is_held_until_next_years_enrollments_are_there(pipeline, district):
    entries = [
        {"StudentID": student, "StartDate": "2025-08-13", "EndDate": "2026-05-28"} for student in range(1, 61)
    ]
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
    assert pipeline.rows("select state from samegoal.snapshots order by snapshot_id") == [
        ("published",),
        ("superseded",),
        ("published",),
    ]


def test_a_graduating_class_is_not_held_however_large(pipeline, district):
    seniors = [
        {"StudentID": student, "StartDate": "2025-08-13", "EndDate": "2026-05-28", "WithdrawalCode": "01"}
        for student in range(1, 61)
    ]
    pipeline.add(district(seniors, today=LAST_DAY_OF_SCHOOL))
    assert pipeline.run(today=LAST_DAY_OF_SCHOOL).published

    night = pipeline.run(today=FIRST_DAY_OFF)

    assert night.published, night.reason
    assert (night.graduated, night.dropped, night.dropped_by_time) == (60, 60, 60)


def test_enrollments_that_vanish_altogether_are_held_however_few_they_were(pipeline, good_night):
    made = good_night(enrolled(2))
    made.replace_rows(ENTRIES, [])

    holds(pipeline, TOMORROW, "the snapshot has no students", "2 students")


def test_more_than_one_percent_of_rows_quarantined_is_held_and_fewer_keep_their_students(pipeline, published):
    change(published, range(1, 4), WithdrawalCodeID=424242)
    night = pipeline.run(today=TOMORROW)
    assert night.published, night.reason
    assert (night.quarantined, night.carried_over) == (3, 3)

    change(published, range(1, 5), WithdrawalCodeID=424242)

    holds(pipeline, DAY_AFTER, "4 of 300 enrollment rows (1.3%)")


def test_the_first_snapshot_of_a_district_is_never_held(pipeline, district):
    unreadable = [{"StudentID": student, "StartDate": None} for student in range(101, 111)]
    pipeline.add(district([*enrolled(100, EndDate="2026-09-01"), *unreadable]))

    night = pipeline.run()

    assert night.published, night.reason
    assert (night.inactive, night.quarantined) == (100, 10)
    ((_, check),) = gate_checks()
    assert check.passed
    assert "first snapshot" in check.description


def test_a_district_may_have_limits_of_its_own(pipeline, published):
    change(published, range(1, 32), EndDate="2026-10-09")
    pipeline.deployment.registry.set("grand-bend", gate_limits={"dropped": 20.0})

    assert pipeline.run(today=TOMORROW).published


def test_a_held_night_that_is_mended_in_qmlativ_publishes_and_nothing_is_held_any_more(pipeline, published):
    change(published, range(1, 101), EndDate="2026-10-09")
    assert pipeline.run(today=TOMORROW).held
    change(published, range(1, 101), EndDate=None)
    change(published, range(1, 11), EndDate="2026-10-09")

    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason
    assert (night.enrolled, night.inactive, night.dropped) == (290, 10, 10)
    assert pipeline.rows("select state from samegoal.snapshots order by snapshot_id") == [
        ("published",),
        ("superseded",),
        ("published",),
    ]


def test_one_districts_hold_hides_behind_no_other_districts_green(pipeline, published, district):
    pipeline.add(district(enrolled(2), id="beta", name="Beta ISD", code="222222"))
    change(published, range(1, 32), EndDate="2026-10-09")

    assert pipeline.run("grand-bend", today=TOMORROW).held
    assert pipeline.run("beta", today=TOMORROW).published

    assert [check.passed for _, check in gate_checks("grand-bend")] == [True, False]
    assert [check.passed for _, check in gate_checks("beta")] == [True]


def test_a_snapshot_that_is_published_apart_names_the_run_that_read_qmlativ(pipeline, published):
    """Materializing one asset in the UI: what it was made from was landed by another run."""
    with open_instance(Settings()) as instance:
        result = (
            build_defs(pipeline.deployment)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=instance,
                partition_key="grand-bend",
                asset_selection=[dg.AssetKey("published_snapshot")],
                tags={"samegoal/today": TODAY.isoformat()},
            )
        )
        said = {entry.user_message for entry in instance.all_logs(result.run_id)}

    first, apart = pipeline.rows("select run_id, landed_run_id from samegoal.snapshots order by snapshot_id")
    assert first == (first[0], first[0])
    assert apart == (result.run_id, first[0])
    assert f"student_status of {TODAY} was landed by run {first[0]}" in said


def test_a_list_that_comes_empty_is_held_also_where_a_run_reads_only_a_part(pipeline):
    """As where Dagster goes on, from failure, with a run whose process died, or by hand in the UI."""
    (made,) = Sandbox.generate(districts=1, students=40, seed=7, today=TODAY).districts
    made.id = "grand-bend"
    pipeline.add(made)
    assert pipeline.run().published
    nothing = {"Objects": [], "Paging": {"Next": None}}
    pipeline.source.faults.add(object="Demographics/Relationship", kind="list", set=nothing)
    with open_instance(Settings()) as instance:
        build_defs(pipeline.deployment).resolve_job_def("nightly_snapshot").execute_in_process(
            instance=instance,
            partition_key="grand-bend",
            asset_selection=[
                dg.AssetKey(asset) for asset in ("raw_parents", "parent_demographics", "published_snapshot")
            ],
            tags={"samegoal/today": TODAY.isoformat()},
            raise_on_error=False,
        )

    assert pipeline.rows("select state from samegoal.snapshots order by snapshot_id") == [
        ("published",),
        ("held",),
    ]
    (reason,) = pipeline.rows("select held_reason from samegoal.snapshots where state = 'held'")[0]
    assert "Demographics/Relationship came without a single row, but with 9 for the published" in reason

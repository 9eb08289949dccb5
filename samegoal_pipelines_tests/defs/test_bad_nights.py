"""What goes wrong at night: one clear line, last night's rows untouched, other districts publish."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines.defs.instance import open_instance
from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.sandbox import Sandbox
from samegoal_pipelines.settings import Settings
from samegoal_pipelines_tests.mass_changes import TOMORROW, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
TWO = [ENROLLED, {"EntryWithdrawalID": 2, "StudentID": 12, "StartDate": "2026-08-12"}]


@pytest.fixture
def published(pipeline, good_night, district):
    """A district with one good night behind it; returns it and what it published."""
    made = good_night(TWO)
    return made, pipeline.published()


def fails(pipeline, before, *words: str) -> None:
    """Tonight fails with a line that has these words; what was published stays to the byte."""
    night = pipeline.run(today=TOMORROW)
    assert not night.published
    said = line(night)
    assert said.startswith("error: grand-bend: ")
    assert "\n" not in said
    for word in words:
        assert word in said
    assert pipeline.published() == before
    ((state, reason, next_step),) = pipeline.rows(
        "select state, held_reason, next_step from samegoal.snapshots where snapshot_date = :night",
        night=TOMORROW,
    )
    assert state == "failed"
    assert all(word in f"{reason}; {next_step}" for word in words)


def test_a_wrong_secret_names_the_district_and_says_what_to_check(pipeline, published):
    made, before = published
    made.client_secret = "another"
    fails(pipeline, before, "Client Secret")


def test_the_list_of_runs_tells_failed_ones_apart_and_shows_no_long_tag(pipeline, published):
    made, _ = published
    made.client_secret = "another"
    pipeline.run(today=TOMORROW)
    with open_instance(Settings()) as instance:
        failed, well = instance.get_runs(limit=2)
    assert failed.tags["samegoal/outcome"] == "failed"
    assert "samegoal/outcome" not in well.tags
    shown = {name: value for name, value in failed.tags.items() if not name.startswith(".dagster/")}
    assert max(map(len, shown.values())) < 40


def test_another_districts_credentials_are_noticed_before_any_student_is_read(pipeline, published, source):
    made, before = published
    source.traffic.log.clear()
    made.code, made.name = "999999", "Elsewhere ISD"
    fails(pipeline, before, "another district")
    assert not source.traffic.requests(kind="list")


def test_a_required_field_that_is_no_longer_granted_is_named(pipeline, published):
    made, before = published
    made.denied_fields.add("Enrollment/EntryWithdrawal.StartDate")
    fails(pipeline, before, "EntryWithdrawal", "StartDate")


def test_a_field_missing_that_is_optional_leaves_its_column_empty_and_is_reported(pipeline, district):
    made = district([ENROLLED])
    made.deny_optional_fields()
    pipeline.add(made)

    assert pipeline.run().published
    assert pipeline.rows(
        "select is_white, is_hispanic, home_language from samegoal.student_demographics"
    ) == [(None, None, None)]
    reads = pipeline.deployment.landing.read("raw_students", district_id="grand-bend", night=TODAY)["Reads"]
    assert "IsWhite" in reads.loc[reads["Object"] == "Name", "Missing"].iloc[0]


def test_a_page_that_is_html_says_maintenance(pipeline, published, source):
    _, before = published
    source.faults.add(object="Demographics/NameAddress", html=True)
    fails(pipeline, before, "NameAddress", "text/html")


def test_an_unknown_withdrawal_code_id_keeps_the_student_as_last_published(pipeline, published):
    """It might be CECS: neither INACTIVE nor gone by accident."""
    made, _ = published
    made.edit("Enrollment/EntryWithdrawal", 1, WithdrawalCodeID=424242, EndDate="2026-10-01")

    night = pipeline.run(today=TOMORROW)

    assert night.published
    assert "1 unreadable, carried over as last published" in line(night)
    assert pipeline.statuses()[11] == ("ENROLLED", "current_enrollment")
    assert excluded(pipeline, TOMORROW) == [("quarantined", "unknown_withdrawal_code", 1)]


def test_an_uncertain_student_who_was_never_published_gets_no_row(pipeline, district):
    pipeline.add(district([ENROLLED, {"StudentID": 12, "StartDate": None}]))

    assert pipeline.run().published
    assert set(pipeline.statuses()) == {11}


def test_an_end_before_the_start_was_never_effective(pipeline, district):
    pipeline.add(district([ENROLLED, {"StudentID": 12, "StartDate": "2026-08-12", "EndDate": "2026-08-11"}]))

    assert pipeline.run().published
    assert set(pipeline.statuses()) == {11}
    assert excluded(pipeline, TODAY) == [("quarantined", "never_effective", 2)]


def test_the_same_enrollment_twice_is_one_enrollment(pipeline, district):
    made = district([ENROLLED])
    made.add_row("Enrollment/EntryWithdrawal", **made.rows("Enrollment/EntryWithdrawal")[0])
    pipeline.add(made)

    assert pipeline.run().published
    assert pipeline.statuses() == {11: ("ENROLLED", "current_enrollment")}
    assert excluded(pipeline, TODAY) == []


def test_the_same_enrollment_id_with_another_content_quarantines_both(pipeline, good_night):
    made = good_night(enrolled(300))
    row = made.rows("Enrollment/EntryWithdrawal")[0]
    made.add_row("Enrollment/EntryWithdrawal", **{**row, "EndDate": "2026-09-01"})

    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason
    assert pipeline.statuses()[1] == ("ENROLLED", "current_enrollment")
    assert excluded(pipeline, TOMORROW) == [("quarantined", "conflicting_duplicate", 1)] * 2


def test_a_date_that_is_no_date_quarantines_the_row_and_keeps_it(pipeline, published):
    made, _ = published
    made.edit("Enrollment/EntryWithdrawal", 1, StartDate="2026-02-31T00:00:00")

    assert pipeline.run(today=TOMORROW).published
    assert pipeline.statuses()[11] == ("ENROLLED", "current_enrollment")
    assert excluded(pipeline, TOMORROW) == [("quarantined", "unreadable", 1)]


def test_a_table_that_breaks_its_schema_is_a_failed_check_and_nothing_downstream_runs(pipeline, published):
    made, before = published
    made.add_row(
        "Enrollment/School", SchoolID=None, Name="Sentinel School", SchoolYearID=made.current_year_id()
    )

    fails(pipeline, before, "School", "key is given")

    with open_instance(Settings()) as instance:
        records = instance.get_records_for_run(run_id_of(pipeline)).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event)]
    assert "Sentinel" not in str(events)
    assert not [event for event in events if event.is_step_materialization]
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    checks = [event.event_specific_data for event in events if event.event_type == kind]
    assert [(check.asset_key.to_user_string(), check.passed) for check in checks] == [
        ("raw_enrollments", False)
    ]
    assert "School" in checks[0].description


def run_id_of(pipeline) -> str:
    ((run_id,),) = pipeline.rows("select run_id from samegoal.snapshots order by snapshot_id desc limit 1")
    return run_id


def test_an_empty_district_is_an_empty_snapshot_the_first_time(pipeline, district):
    pipeline.add(district([]))

    night = pipeline.run()

    assert night.published, night.reason
    assert night.students == 0


def test_one_districts_failure_touches_no_other(pipeline, published, district):
    made, _ = published
    pipeline.add(district([ENROLLED], id="beta", name="Beta ISD", code="222222"))
    made.client_secret = "another"

    assert not pipeline.run("grand-bend", today=TOMORROW).published
    assert pipeline.run("beta", today=TOMORROW).published


def test_a_night_older_than_the_last_published_is_refused(pipeline, published):
    _, before = published

    night = pipeline.run(today=date(2026, 10, 11))

    assert not night.published
    assert "2026-10-12" in line(night)
    assert pipeline.published() == before


GUARDIAN = {
    "Family/StudentGuardian": [
        {
            "StudentGuardianID": 1,
            "StudentID": 11,
            "NameIDGuardian": 77,
            "Rank": 1,
            "HasActiveRestrictedAccess": True,
        }
    ],
    "Demographics/Name": [
        {
            "NameID": 1_000_011,
            "FirstName": "Sam",
            "LastName": "Young",
            "IsStudentName": True,
            "IsGuardianName": False,
        },
        {
            "NameID": 1_000_012,
            "FirstName": "Kim",
            "LastName": "Other",
            "IsStudentName": True,
            "IsGuardianName": False,
        },
        {
            "NameID": 77,
            "FirstName": "Pat",
            "LastName": "Young",
            "IsStudentName": False,
            "IsGuardianName": True,
        },
    ],
    "Demographics/NameEmail": [
        {"NameEmailID": 1, "NameID": 77, "EmailAddress": "pat@example.org", "Rank": 1}
    ],
}
PARENTS = "select has_restricted_access, email from samegoal.parent_demographics"


def test_a_lost_grant_does_not_forget_who_is_restricted(pipeline, good_night):
    made = good_night([ENROLLED], rows=GUARDIAN)
    assert pipeline.rows(PARENTS) == [(True, None)]
    before = pipeline.published()

    made.denied_fields.add("Family/StudentGuardian.HasActiveRestrictedAccess")

    fails(pipeline, before, "HasActiveRestrictedAccess", "grant it again")
    fails_again = pipeline.run(today=TOMORROW)
    assert not fails_again.published


def test_a_new_restriction_reaches_a_student_who_is_unreadable_tonight(pipeline, district):
    """Keeping what was last published must not keep an address that a court has closed since."""
    made = district(TWO, rows=GUARDIAN)
    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    pipeline.add(made)
    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == [(False, "pat@example.org")]

    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=True)
    made.edit("Enrollment/EntryWithdrawal", 1, WithdrawalCodeID=424242)
    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason
    assert (night.carried_over, night.changed) == (1, 1)
    assert pipeline.rows(PARENTS) == [(True, None)]
    assert pipeline.rows(
        "select valid_to from samegoal.parent_demographics_history where email is not null"
    ) == [(TOMORROW,)]
    assert pipeline.rows(
        "select student_id, change from samegoal.student_changes where snapshot_date = '2026-10-13'"
    ) == [(11, "parents")]

    made.edit("Family/StudentGuardian", 1, HasActiveRestrictedAccess=False)
    made.edit("Enrollment/EntryWithdrawal", 1, WithdrawalCodeID=None)
    assert pipeline.run(today=date(2026, 10, 14)).published
    assert pipeline.rows(PARENTS) == [(False, "pat@example.org")]


def test_a_granted_flag_that_comes_in_no_row_counts_as_restricted(pipeline, district, source):
    pipeline.add(district([ENROLLED], rows=GUARDIAN))
    source.faults.add(
        object="Family/StudentGuardian", kind="list", remove_fields=["HasActiveRestrictedAccess"]
    )

    assert pipeline.run().published
    assert pipeline.rows(PARENTS) == [(True, None)]


def test_a_field_of_another_type_in_every_row_fails_the_night(pipeline, good_night, district):
    """Quarantining every row would freeze the district without a word."""
    made = good_night([{"StudentID": n, "StartDate": "2026-08-12"} for n in range(1, 31)])
    before = pipeline.published()
    for key in range(1, 31):
        made.edit("Enrollment/EntryWithdrawal", key, SchoolID="1101")

    fails(pipeline, before, "EntryWithdrawal", "wrong type in every row")


def test_a_rubbish_date_tag_is_one_line(pipeline, district):
    from samegoal_pipelines.definitions import build_defs

    pipeline.add(district([ENROLLED]))
    with open_instance(Settings()) as instance:
        instance.add_dynamic_partitions("district", ["grand-bend"])
        result = (
            build_defs(pipeline.deployment)
            .resolve_job_def("nightly_snapshot")
            .execute_in_process(
                instance=instance,
                partition_key="grand-bend",
                tags={"samegoal/today": "rubbish"},
                raise_on_error=False,
            )
        )
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "YYYY-MM-DD" in failures[0].user_failure_data.description


def test_an_unknown_district_says_where_to_look(pipeline):
    with pytest.raises(PipelineError) as caught:
        pipeline.run("nowhere")
    assert "nowhere" in line(caught.value)
    assert "districts list" in line(caught.value)


def test_no_failure_text_holds_a_value_of_a_row(pipeline, published):
    """Neither the snapshots table nor Dagster's event log may quote what Qmlativ sent."""
    made, _ = published
    made.edit("Demographics/Name", 1_000_011, LastName="Sentinel-Surname", BirthDate="not a date")
    made.denied_fields.add("Family/StudentGuardian.Rank")

    night = pipeline.run(today=TOMORROW)

    assert not night.published
    assert "Sentinel" not in line(night)
    assert pipeline.rows("select count(*) from dagster.event_logs where event like '%Sentinel%'") == [(0,)]


def test_a_damaged_file_of_last_night_does_not_stand_in_tonights_way(pipeline, published):
    """Last night's page counts only make tonight faster."""
    for file in pipeline.deployment.settings.home.rglob("Reads.parquet"):
        file.write_bytes(file.read_bytes()[:20])

    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason


def test_an_unforeseen_error_keeps_its_text_to_itself(pipeline, published, monkeypatch):
    """A library's exception may quote a row; Dagster stores an exception's text, and that of its context."""
    _, before = published

    def stumble(*_):
        raise KeyError("Sentinel-Surname")

    monkeypatch.setattr("samegoal_pipelines.defs.status.classify_students", stumble)

    fails(pipeline, before, "student_status", "unforeseen KeyError")
    assert pipeline.rows("select count(*) from dagster.event_logs where event like '%Sentinel%'") == [(0,)]
    assert pipeline.rows("select count(*) from samegoal.snapshots where held_reason like '%Sentinel%'") == [
        (0,)
    ]


def test_a_held_back_secret_never_reaches_the_event_log(pipeline):
    sandbox = Sandbox.generate(districts=1, students=20, seed=2, today=TODAY)
    (generated,) = sandbox.districts
    pipeline.add(generated)
    pipeline.run(generated.id)

    for table, column in (
        ("event_logs", "event"),
        ("runs", "run_body"),
        ("snapshots", "snapshot_body::text"),
    ):
        assert pipeline.rows(
            f"select count(*) from dagster.{table} where {column} like '%' || :secret || '%'",
            secret=generated.client_secret,
        ) == [(0,)]


def excluded(pipeline, night: date) -> list[tuple[str, str, int]]:
    """Outcome, reason and enrollment id of every row that did not count, as landed."""
    tables = pipeline.deployment.landing.read(
        "cecs_filtered_enrollments", district_id="grand-bend", night=night
    )
    rows = tables["excluded"]
    return sorted(zip(rows["outcome"], rows["reason"], rows["enrollment_id"], strict=True))

"""What goes wrong at night: one clear line, last night's rows untouched, other districts publish."""

from datetime import date

import dagster as dg
import pytest

from samegoal_pipelines.cli.nights import line
from samegoal_pipelines_tests.literal_district import OPTIONAL_FIELDS
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW, enrolled
from samegoal_pipelines_tests.pipeline import TODAY

ENROLLED = {"EntryWithdrawalID": 1, "StudentID": 11, "StartDate": "2026-08-12"}
TWO = [ENROLLED, {"EntryWithdrawalID": 2, "StudentID": 12, "StartDate": "2026-08-12"}]


@pytest.fixture
def published(pipeline, good_night, prepared):
    """A district with one good night behind it; returns it and what it published."""
    return prepared("a night of two students", lambda: good_night(TWO)), pipeline.published()


def fails(pipeline, before, *words: str) -> str:
    """Tonight fails with a line of these words; what was published stays to the byte. Return its run."""
    night = pipeline.run(today=TOMORROW)
    assert not night.published
    said = line(night)
    assert said.startswith("error: grand-bend: ")
    assert "\n" not in said
    assert pipeline.published() == before
    state, reason, next_step = pipeline.states("held_reason", "next_step")[-1]
    assert state == "failed"
    for word in words:
        assert word in said
        assert word in f"{reason}; {next_step}"
    return night.run_id


def test_a_required_field_that_is_no_longer_granted_is_named(pipeline, published):
    made, before = published
    made.denied_fields.add("Enrollment/EntryWithdrawal.StartDate")
    fails(pipeline, before, "EntryWithdrawal", "StartDate")


def test_a_field_of_another_type_in_every_row_fails_the_night(pipeline, good_night):
    """Quarantining every row would freeze the district without a word."""
    made = good_night(enrolled(30))
    before = pipeline.published()
    made.replace_rows(ENTRIES, [row | {"SchoolID": "1101"} for row in made.rows(ENTRIES)])
    fails(pipeline, before, "EntryWithdrawal", "wrong type in every row")


def test_a_field_missing_that_is_optional_leaves_its_column_empty_and_is_reported(pipeline, district):
    made = district([ENROLLED])
    made.denied_fields |= OPTIONAL_FIELDS
    pipeline.add(made)

    assert pipeline.run().published
    columns = "select is_white, is_hispanic, home_language from samegoal.student_demographics"
    assert pipeline.rows(columns) == [(None, None, None)]
    reads = pipeline.deployment.landing.read("raw_students", district_id="grand-bend", night=TODAY)["Reads"]
    assert "IsWhite" in reads.loc[reads["Object"] == "Name", "Missing"].iloc[0]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"WithdrawalCodeID": 424242, "EndDate": "2026-10-01"}, "unknown_withdrawal_code"),
        ({"StartDate": "2026-02-31T00:00:00"}, "unreadable"),
    ],
)
def test_a_row_that_cannot_be_read_keeps_its_student_as_last_published(pipeline, published, edit, reason):
    """An unknown code might be CECS: the student is neither INACTIVE nor gone by accident."""
    made, _ = published
    made.edit(ENTRIES, 1, **edit)

    night = pipeline.run(today=TOMORROW)

    assert night.published
    assert "1 unreadable, carried over as last published" in line(night)
    assert pipeline.statuses()[11] == ("ENROLLED", "current_enrollment")
    assert excluded(pipeline, TOMORROW) == [("quarantined", reason, 1)]


def test_students_of_whom_nothing_is_certain_and_who_were_never_published_get_no_row(pipeline, district):
    """A row without a start, and one that ends before it starts. The same row twice is one enrollment."""
    ends_first = {"StudentID": 13, "StartDate": "2026-08-12", "EndDate": "2026-08-11"}
    made = district([ENROLLED, {"StudentID": 12, "StartDate": None}, ends_first])
    made.add_row(ENTRIES, **made.rows(ENTRIES)[0])
    pipeline.add(made)

    assert pipeline.run().published
    assert pipeline.statuses() == {11: ("ENROLLED", "current_enrollment")}
    reasons = [("never_effective", 3), ("no_start_date", 2)]
    assert excluded(pipeline, TODAY) == [("quarantined", *reason) for reason in reasons]


def test_the_same_enrollment_id_with_another_content_quarantines_both(pipeline, good_night):
    made = good_night(enrolled(300))
    made.add_row(ENTRIES, **{**made.rows(ENTRIES)[0], "EndDate": "2026-09-01"})

    night = pipeline.run(today=TOMORROW)

    assert night.published, night.reason
    assert pipeline.statuses()[1] == ("ENROLLED", "current_enrollment")
    assert excluded(pipeline, TOMORROW) == [("quarantined", "conflicting_duplicate", 1)] * 2


def test_a_broken_schema_is_a_failed_check_and_nothing_downstream_runs(pipeline, published, instance):
    made, before = published
    school = {"SchoolID": None, "Name": "Sentinel School", "SchoolYearID": made.current_year_id()}
    made.add_row("Enrollment/School", **school)

    run_id = fails(pipeline, before, "School", "key is given")

    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    assert "Sentinel" not in str(events)
    assert not [event for event in events if event.is_step_materialization]
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    (check,) = [event.event_specific_data for event in events if event.event_type == kind]
    assert (check.asset_key.to_user_string(), check.passed) == ("raw_enrollments", False)
    assert "School" in check.description


def test_an_empty_district_is_an_empty_snapshot_the_first_time(pipeline, district):
    pipeline.add(district([]))
    night = pipeline.run()
    assert night.published, night.reason
    assert night.students == 0


def test_one_districts_failure_touches_no_other_and_its_run_can_be_told_apart(
    pipeline, published, district, instance
):
    made, before = published
    pipeline.add(district([ENROLLED], id="beta", name="Beta ISD", code="222222"))
    made.client_secret = "another"

    fails(pipeline, before, "Client Secret")
    assert pipeline.run("beta", today=TOMORROW).published

    well, failed = instance.get_runs(limit=2)
    assert failed.tags["samegoal/outcome"] == "failed"
    assert "samegoal/outcome" not in well.tags
    shown = {name: value for name, value in failed.tags.items() if not name.startswith(".dagster/")}
    assert max(map(len, shown.values())) < 40


EVENTS_WITH = "select count(*) from dagster.event_logs where event like '%Sentinel%'"


def test_no_failure_text_holds_a_value_of_a_row(pipeline, published):
    """Neither the snapshots table nor Dagster's event log may quote what Qmlativ sent."""
    made, _ = published
    made.edit("Demographics/Name", 1_000_011, LastName="Sentinel-Surname", BirthDate="not a date")
    made.denied_fields.add("Family/StudentGuardian.Rank")

    night = pipeline.run(today=TOMORROW)

    assert not night.published
    assert "Sentinel" not in line(night)
    assert pipeline.rows(EVENTS_WITH) == [(0,)]


def test_an_unforeseen_error_keeps_its_text_to_itself(pipeline, published, monkeypatch):
    """A library's exception may quote a row; Dagster stores an exception's text, and that of its context."""

    def stumble(*_):
        raise KeyError("Sentinel-Surname")

    monkeypatch.setattr("samegoal_pipelines.defs.students.classify_students", stumble)

    fails(pipeline, published[1], "student_status", "unforeseen KeyError")
    assert pipeline.rows(EVENTS_WITH) == [(0,)]
    assert not any("Sentinel" in (reason or "") for _, reason in pipeline.states("held_reason"))


def excluded(pipeline, night: date) -> list[tuple[str, str, int]]:
    """Outcome, reason and enrollment id of every row that did not count, as landed."""
    asset = "cecs_filtered_enrollments"
    rows = pipeline.deployment.landing.read(asset, district_id="grand-bend", night=night)["excluded"]
    return sorted(zip(rows["outcome"], rows["reason"], rows["enrollment_id"], strict=True))

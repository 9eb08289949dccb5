"""A held night as a person at a terminal meets it: exit status 3, what to do, and `sync --release`."""

from datetime import UTC, datetime, timedelta

import pytest

from samegoal_pipelines.cli.nights import exit_status, line, print_outcomes
from samegoal_pipelines.warehouse.snapshots import find_attempt
from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.mass_changes import ENTRIES, TOMORROW, change, enrolled
from samegoal_pipelines_tests.reporting.factories import attempt, register

NIGHT = ["--today", TOMORROW.isoformat()]


@pytest.mark.slow
def test_a_held_district_exits_with_3_and_its_release_with_0(pipeline, district):
    held = district(enrolled(300))
    pipeline.add(held, district(enrolled(2), id="beta", name="Beta ISD", code="222222"))
    assert pipeline.run().published
    change(held, range(1, 32), EndDate="2026-10-09")

    both = run("sync", "grand-bend", "beta", *NIGHT)

    assert both.returncode == 3, both.stderr
    first, second = both.stderr.splitlines()
    assert first.startswith("held: grand-bend: 31 of 300 students (10.3%)")
    assert first.endswith("samegoal-pipelines sync grand-bend --release --today 2026-10-13 --why REASON")
    assert second.startswith("beta: published 2 students")
    assert "grand-bend Grand Bend ISD held 300 269 0 0 31" in both.lines

    facts, unknown = run("sync", "grand-bend", "nowhere", "--json", *NIGHT).failed.json
    assert (facts["state"], facts["students"], facts["inactive"]) == ("held", 300, 31)
    assert (facts["dropped"], facts["dropped_by_time"]) == (31, 0)
    assert facts["reason"].startswith("31 of 300 students")
    assert (unknown["state"], unknown["district_id"]) == ("failed", "nowhere")  # which counts more

    release = ("sync", "grand-bend", "--release", "--why")
    released = run(*release, "the campus has closed", *NIGHT, SAMEGOAL_OPERATOR="Dana")

    assert (released.returncode, released.stderr.startswith("grand-bend: published 300")) == (0, True)
    assert pipeline.statuses()[1] == ("INACTIVE", "withdrawn")
    recorded = pipeline.rows("select released_by, reason from samegoal.releases")
    assert recorded == [("Dana", "the campus has closed")]

    again = run(*release, "again", *NIGHT).refusal
    assert again.startswith("error: grand-bend: release: nothing is held for the night 2026-10-13")


def test_the_students_whom_a_held_night_would_change_are_listed_by_number(pipeline, good_night, ask):
    made = good_night(enrolled(300))
    change(made, range(1, 31), EndDate="2026-10-09")
    change(made, [31], EndDate="2026-10-09", WithdrawalCodeID=424242)  # unreadable: stays as it was
    made.replace_rows(ENTRIES, [row for row in made.rows(ENTRIES) if row["StudentID"] != 32])
    assert pipeline.run(today=TOMORROW).held

    shown = ask("changes", "grand-bend", "--students")
    assert "2026-10-13 000001 status ENROLLED INACTIVE" in shown.lines
    assert "2026-10-13 000032 removed ENROLLED no rows in Qmlativ" in shown.lines
    assert not any(line.startswith("2026-10-13 000031") for line in shown.lines)
    by_student = shown.stdout.partition("changed columns, or why")[2].split()
    nights = [word for word in by_student if word in ("2026-10-12", "2026-10-13")]
    assert nights == ["2026-10-13"] * 31 + ["2026-10-12"] * 300, "the held ones first"
    held = ask("changes", "grand-bend", "--students", "--json").json["nights"][-1]
    assert (held["state"], len(held["listed"])) == ("held", 31)
    pipeline.deployment.landing.erase("grand-bend")
    listed = ask("changes", "grand-bend", "--students").stdout
    assert "no longer landed, so the students cannot be listed" in listed

    change(made, range(1, 32), EndDate=None, WithdrawalCodeID=None)
    assert pipeline.run(today=TOMORROW + timedelta(days=1)).published
    nights = ask("changes", "grand-bend", "--students", "--json").json["nights"]
    assert [(one["state"], "listed" in one) for one in nights[1:]] == [("held", False), ("published", True)]


def test_swapped_student_numbers_are_held_listed_and_released(pipeline, good_night, ask):
    made = good_night(enrolled(10))
    for student, number in ((1, "000002"), (2, "000001"), (3, "new")):
        made.edit("Student/Student", student, StudentNumber=number)
    assert pipeline.run(today=TOMORROW).held

    held = ask("changes", "grand-bend", "--students", "--json").json["nights"][-1]
    assert "2 of 10 student numbers (20.0%) would now belong to another student" in held["reason"]
    assert [
        (one["student_id"], one["student_number"], one["previous_number"], one["why"])
        for one in held["listed"]
    ] == [
        (2, "000001", "000002", "the student number is or was that of StudentID 1 too"),
        (1, "000002", "000001", "the student number is or was that of StudentID 2 too"),
        (3, "new", "000003", None),
    ]
    shown = " ".join(ask("changes", "grand-bend", "--students").lines)
    assert "student_number (was 000002); the student number is or was that of StudentID 1 too" in shown

    assert pipeline.release(today=TOMORROW).published
    published = ask("changes", "grand-bend", "--students", "--json").json["nights"][-1]
    renumbered = [(one["student_id"], one["previous_number"]) for one in published["listed"]]
    assert renumbered == [(2, "000002"), (1, "000001"), (3, "000003")]
    assert "student_number (was 000003)" in ask("changes", "grand-bend", "--students").stdout
    assert pipeline.run(today=TOMORROW + timedelta(days=1)).published


@pytest.mark.parametrize(("published_at", "became"), [(None, "held"), (datetime.now(UTC), "published")])
def test_a_night_that_a_later_run_has_replaced_is_well(warehouse, capsys, published_at, became):
    register(warehouse, "alpha")
    outcome = find_attempt(warehouse, attempt(warehouse, "alpha", "superseded", published_at=published_at))
    assert line(outcome) == f"alpha: {became}, and replaced by a later run of the same night"
    assert exit_status([outcome]) == 0
    print_outcomes([outcome], [])
    assert capsys.readouterr().out.split()[-8:] == ["alpha", "–", "superseded", *["100", "90", "4", "3", "3"]]

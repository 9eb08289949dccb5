"""`changes`, `worklist` and `export`: what a person, a script or a registrar gets, and who took it."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import registrar_worklist
from samegoal_pipelines.warehouse.changes import changes_by_night
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.mass_changes import TOMORROW, change, enrolled
from samegoal_pipelines_tests.reporting.factories import attempt as put_attempt
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    gate_of,
    hold_night,
    publish_night,
    release_night,
    rows,
    snapshot,
    student,
)

# -- changes --


def nights(ask: Ask, *arguments: str) -> list[dict[str, Any]]:
    return ask("changes", "grand-bend", *arguments, "--json").ok.json["nights"]


def test_each_night_is_counted_with_what_its_numbers_consist_of(good_night, ask, pipeline):
    made = good_night(enrolled(4))
    change(made, {1}, EndDate="2026-10-12")
    made.edit("Demographics/Name", 1_000_002, FirstName="Secret")
    made.remove_row("Enrollment/EntryWithdrawal", 3)
    assert pipeline.run(today=TOMORROW).published

    first, second = nights(ask)
    assert first["counts"] == {"added": 4, "status": 0, "demographics": 0, "parents": 0, "removed": 0}
    assert second["counts"] == {"added": 0, "status": 1, "demographics": 1, "parents": 0, "removed": 1}
    assert second["departures"] == {"no rows in Qmlativ": 1}
    assert "listed" not in second

    output = ask("changes", "grand-bend").stdout
    assert "2026-10-12: 4 added as ENROLLED" in output
    assert "2026-10-13: 1 from ENROLLED to INACTIVE; 1 removed (1 no rows in Qmlativ)" in output

    (only,) = nights(ask, "--since", "2026-10-13", "--students")
    facts = ("student_number", "change", "old_status", "new_status", "why")
    assert [tuple(one[fact] for fact in facts) for one in only["listed"]] == [
        ("000001", "status", "ENROLLED", "INACTIVE", None),
        ("000002", "demographics", "ENROLLED", "ENROLLED", None),
        ("000003", "removed", "ENROLLED", None, "no rows in Qmlativ"),
    ]
    listed = ask("changes", "grand-bend", "--since", "2026-10-13", "--students")
    assert "2026-10-13 000002 demographics ENROLLED ENROLLED first_name" in listed.lines
    assert "Secret" not in listed.stdout, "names of columns, never values"
    assert "2026-10-12" not in listed.stdout


def test_without_a_night_a_change_or_a_district_it_says_so(ask, pipeline, district):
    pipeline.add(district(enrolled(1)))
    nothing = "grand-bend: no night yet; next: samegoal-pipelines sync grand-bend\n"
    assert ask("changes", "grand-bend") == (0, nothing, "")
    assert nights(ask) == []
    assert pipeline.run().published
    assert "no night since 2026-12-01" in ask("changes", "grand-bend", "--since", "2026-12-01").stdout
    assert pipeline.run(today=TOMORROW).published
    assert "grand-bend: nothing changed" in ask("changes", "grand-bend", "--since", "2026-10-13").stdout
    assert ask("changes", "nowhere").refusal.startswith("error: nowhere: ")


def attempt(engine: sa.Engine, night: int, state: str, reason: str | None = None) -> None:
    """An attempt that published nothing, the latest so far."""
    facts = {"run_id": str(uuid4()), "started_at": datetime(2026, 9, 1, 12, tzinfo=UTC)}
    put_attempt(engine, "grand-bend", state, NIGHT + timedelta(days=night), reason, **facts)


def states(engine: sa.Engine, **more: Any) -> list[tuple[int, str]]:
    """The nights, counted from the first one, and their states."""
    nights = changes_by_night(engine, "grand-bend", **more)
    return [((night.snapshot_date - NIGHT).days, night.state) for night in nights]


def test_of_a_night_that_was_tried_often_only_what_came_of_it_is_shown(deployment, ask):
    warehouse = deployment.warehouse
    register(warehouse, "grand-bend")
    attempt(warehouse, 0, "failed")
    publish_night(warehouse, 0, snapshot(student(1)))
    attempt(warehouse, 1, "failed", "first")
    attempt(warehouse, 1, "failed", "second")
    attempt(warehouse, 1, "held", "too many")
    attempt(warehouse, 2, "superseded")
    assert states(warehouse) == [(0, "published"), (1, "failed"), (1, "held")]
    _, failed, held = nights(ask)
    assert (failed["reason"], failed["counts"], held["reason"]) == ("second", {}, "too many")
    said = {"2026-09-02: failed: second", "2026-09-02: held: too many"}
    assert said < {*ask("changes", "grand-bend").lines}
    publish_night(warehouse, 1, snapshot(student(2)))
    assert states(warehouse) == [(0, "published"), (1, "published")]
    attempt(warehouse, 1, "held")
    assert states(warehouse)[1:] == [(1, "published"), (1, "held")]


def test_the_last_nights_are_counted_in_nights_and_since_leaves_nothing_out(warehouse):
    for night in (0, 10, 40):
        publish_night(warehouse, night, snapshot(student(1, grade=str(night))))
    assert [night for night, _ in states(warehouse, last_nights=2)] == [10, 40]
    since = NIGHT + timedelta(days=10)
    assert [night for night, _ in states(warehouse, since=since, last_nights=1)] == [10, 40]
    assert len(states(warehouse, since=NIGHT)) == 3


def test_changes_of_every_kind_are_counted_and_listed(warehouse):
    publish_night(warehouse, 0, snapshot(*map(student, range(1, 5))))
    tonight = snapshot(
        student(1, status="INACTIVE", reason="withdrawn"),
        student(2, grade="05"),
        student(3, parents={7: {"rank": 1}}),
        student(5, status="PRE-ENROLLED", reason="upcoming_enrollment_only"),
    )
    publish_night(warehouse, 1, tonight)
    publish_night(warehouse, 1, tonight, district_id="oak")
    night = changes_by_night(warehouse, "grand-bend", students=True)[1]
    assert night.counts == dict.fromkeys(("added", "status", "demographics", "parents", "removed"), 1)
    assert [(flip.change, flip.old_status, flip.new_status, flip.students) for flip in night.flips] == [
        ("added", None, "PRE-ENROLLED", 1),
        ("status", "ENROLLED", "INACTIVE", 1),
        ("demographics", "ENROLLED", "ENROLLED", 1),
        ("parents", "ENROLLED", "ENROLLED", 1),
        ("removed", "ENROLLED", None, 1),
    ]
    listed = [(1, "status"), (2, "demographics"), (3, "parents"), (4, "removed"), (5, "added")]
    assert [(one.student_id, one.change) for one in night.listed or ()] == listed


def test_a_released_night_keeps_what_failed_and_what_was_held_and_says_who_released_it(warehouse):
    publish_night(warehouse, 0, snapshot(*map(student, range(1, 41))))
    attempt(warehouse, 1, "failed", "no luck")
    tonight = snapshot(*map(student, range(1, 11)))
    hold_night(warehouse, 1, tonight, gate_of())
    night = NIGHT + timedelta(days=1)
    release_night(warehouse, 1, tonight)
    failed, held, published = changes_by_night(warehouse, "grand-bend", since=night)
    assert [one.state for one in (failed, held, published)] == ["failed", "held", "published"]
    assert (failed.reason, failed.released_by) == ("no luck", None)
    assert "30 of 40 students" in (held.reason or "")
    for one in (held, published):
        assert (one.released_by, one.released_because) == ("mvega", "the school has closed")
    publish_night(warehouse, 1, snapshot(*map(student, range(1, 12))))
    assert states(warehouse, since=night) == [(1, "published")]


# -- files --


@pytest.fixture
def listed(deployment) -> None:
    """A worklist of three enrollments."""
    register(deployment.warehouse, "alpha")
    problems = [("=1+1", "never closed"), ("West High", "tie"), ("West High", "tie")]
    with as_writer(deployment.warehouse, "alpha", "listing") as connection:
        for number, (building, problem) in enumerate(problems, 41):
            key = {"district_id": "alpha", "snapshot_date": date(2026, 10, 12), "line": number}
            enrollment = {"student_id": number, "student_number": f"000{number}", "enrollment_id": number}
            said = {"building": building, "problem": problem, "detail": "two enrollments", "fix": "close one"}
            connection.execute(sa.insert(registrar_worklist).values(key | enrollment | said))


def test_the_registrar_gets_a_file_with_every_student_and_the_terminal_names_none(listed, ask):
    answer = ask("worklist", "alpha", "--csv")
    found = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert [row["student_number"] for row in found] == ["00041", "00042", "00043"]
    assert found[1]["fix"] == "close one"
    assert found[0]["building"] == "'=1+1"  # no spreadsheet runs it

    shown = ask("worklist", "alpha")
    assert "0004" not in shown.stdout
    assert "West High tie 2" in shown.lines
    assert len(ask("worklist", "alpha", "--json").json) == 3


def test_export_names_both_files_who_is_excluded_and_the_operator(deployment, ask, tmp_path):
    register(deployment.warehouse, "grand-bend")
    person = {"first_name": "Ana", "last_name": "Tran", "birth_date": date(2015, 3, 4), "gender": "Female"}
    whole = student(1, **person, building="Elm", building_reporting_id="001", parents={10: {}})
    publish_night(deployment.warehouse, 0, snapshot(whole, student(2, parents={20: {}})))
    folder = tmp_path / "files"
    words = ("export", "grand-bend", "--to", str(folder))
    result = ask(*words, SAMEGOAL_OPERATOR="Pat Miller").ok
    assert "1 student and 1 parent row of the snapshot 2026-09-01" in result.stdout
    assert result.stderr.startswith("excluded: 00002: no Last Name")
    assert sorted(path.name for path in folder.iterdir()) == ["parents.csv", "students.csv"]
    as_json = ask(*words, "--json").json
    assert (as_json["students"], as_json["parents"]) == (1, 1)
    assert as_json["parents_file"] == str(folder / "parents.csv")
    query = "select disclosed_by, what, students, parents from samegoal.disclosures order by disclosure_id"
    recorded = rows(deployment.warehouse, query)
    assert (recorded[0], len(recorded)) == (("Pat Miller", "export", 1, 1), 2)

"""`changes` as a person or a script meets it, over nights that were published, failed and held."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from samegoal_pipelines.warehouse.changes import changes_by_night
from samegoal_pipelines_tests.cli.asking import Ask
from samegoal_pipelines_tests.pipeline import TODAY
from samegoal_pipelines_tests.reporting.factories import attempt as put_attempt
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    gate_of,
    hold_night,
    publish_night,
    release_night,
    snapshot,
    student,
)

TOMORROW = TODAY + timedelta(days=1)


def enrolled(number: int, **fields: Any) -> dict[str, Any]:
    return {"EntryWithdrawalID": number, "StudentID": 10 + number, "StartDate": "2026-08-12", **fields}


def nights(ask: Ask, *arguments: str) -> list[dict[str, Any]]:
    return ask("changes", "grand-bend", *arguments, "--json").ok.json["nights"]


def test_each_night_is_counted_with_what_its_numbers_consist_of(good_night, ask, pipeline):
    made = good_night([enrolled(n) for n in range(1, 5)])
    made.edit("Enrollment/EntryWithdrawal", 1, EndDate="2026-10-12")
    made.edit("Demographics/Name", 1_000_012, FirstName="Secret")
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
    assert [
        (one["student_number"], one["change"], one["old_status"], one["new_status"], one["why"])
        for one in only["listed"]
    ] == [
        ("000011", "status", "ENROLLED", "INACTIVE", None),
        ("000012", "demographics", "ENROLLED", "ENROLLED", None),
        ("000013", "removed", "ENROLLED", None, "no rows in Qmlativ"),
    ]
    assert only["listed"][1]["changed_columns"] == ["first_name"]

    listed = ask("changes", "grand-bend", "--since", "2026-10-13", "--students")
    assert "2026-10-13 000012 demographics ENROLLED ENROLLED first_name" in listed.lines
    assert "Secret" not in listed.stdout, "names of columns, never values"
    assert "2026-10-12" not in listed.stdout


def test_without_a_night_a_change_or_a_district_it_says_so(ask, pipeline, district):
    pipeline.add(district([enrolled(1)]))
    nothing = "grand-bend: no night yet; next: samegoal-pipelines sync grand-bend\n"
    assert ask("changes", "grand-bend") == (0, nothing, "")
    assert nights(ask) == []
    assert pipeline.run().published
    assert "no night since 2026-12-01" in ask("changes", "grand-bend", "--since", "2026-12-01").stdout
    assert pipeline.run(today=TOMORROW).published
    assert "grand-bend: nothing changed" in ask("changes", "grand-bend", "--since", "2026-10-13").stdout
    assert ask("changes", "nowhere").refusal.startswith("error: nowhere: ")


def attempt(engine: sa.Engine, night: int, state: str, reason: str | None = None) -> None:
    """An attempt that came to nothing, the latest so far."""
    facts = {"run_id": str(uuid4()), "started_at": datetime(2026, 9, 1, 12, tzinfo=UTC)}
    put_attempt(engine, "grand-bend", state, NIGHT + timedelta(days=night), reason, **facts)


def states(engine: sa.Engine, **more: Any) -> list[tuple[int, str]]:
    """The nights, counted from the first one, and what came of them."""
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
    assert {"2026-09-02: failed: second", "2026-09-02: held: too many"} < {
        *ask("changes", "grand-bend").lines
    }
    publish_night(warehouse, 1, snapshot(student(2)))
    assert states(warehouse) == [(0, "published"), (1, "published")]
    attempt(warehouse, 1, "held")
    assert states(warehouse)[1:] == [(1, "published"), (1, "held")]


def test_the_last_nights_are_counted_in_nights_and_since_leaves_nothing_out(warehouse):
    for night in (0, 10, 40):
        publish_night(warehouse, night, snapshot(student(1, grade=str(night))))
    assert len(states(warehouse, last_nights=2)) == 2
    assert states(warehouse, last_nights=1) == [(40, "published")]
    assert len(states(warehouse, since=NIGHT + timedelta(days=10), last_nights=1)) == 2
    assert len(states(warehouse, since=NIGHT)) == 3


def test_changes_of_every_kind_are_counted_and_listed(warehouse):
    publish_night(warehouse, 0, snapshot(student(1), student(2), student(3), student(4)))
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
    publish_night(warehouse, 0, snapshot(*(student(n) for n in range(1, 41))))
    attempt(warehouse, 1, "failed", "no luck")
    tonight = snapshot(*(student(n) for n in range(1, 11)))
    hold_night(warehouse, 1, tonight, gate_of())
    night = NIGHT + timedelta(days=1)
    release_night(warehouse, 1, tonight)
    failed, held, published = changes_by_night(warehouse, "grand-bend", since=night)
    assert [one.state for one in (failed, held, published)] == ["failed", "held", "published"]
    assert (failed.reason, failed.released_by) == ("no luck", None)
    assert "30 of 40 students" in (held.reason or "")
    for one in (held, published):
        assert (one.released_by, one.released_because) == ("mvega", "the school has closed")
    publish_night(warehouse, 1, snapshot(*(student(n) for n in range(1, 12))))
    assert states(warehouse, since=night) == [(1, "published")]

"""What a held night leaves: its own row in `snapshots`, and everything else to the byte as it was."""

from dataclasses import asdict, replace

import pandas as pd
import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_attempt
from samegoal_pipelines_tests.warehouse.factories import (
    FewStudents,
    attempts,
    everything,
    fail_night,
    gate_of,
    hold_night,
    pairs,
    phones,
    publish_night,
    rows,
    snapshot,
    student,
    views,
)


def school(count: int) -> FewStudents:
    return snapshot(*(student(n, parents={n: {"email": "x@example.org"}}) for n in range(1, count + 1)))


@pytest.mark.parametrize("night", [1, 2], ids=["the published night again", "the next night"])
def test_a_hold_leaves_every_published_byte_and_counts_what_publishing_would_have_done(warehouse, night):
    families = [student(n, parents={n: {"email": "x@example.org"}}) for n in range(1, 41)]
    last = [*families, student(50, status="INACTIVE"), student(51)]
    tonight = snapshot(
        *({**one, "status": "INACTIVE"} for one in families[:5]),
        *({**one, "grade": "05", "parents": {77: {}}} for one in families[35:]),
        student(60, status="PRE-ENROLLED"),
        student(61, status="GRADUATED"),
        carried_over=frozenset({51}),
    )
    for district_id in ("grand-bend", "riverside"):
        publish_night(warehouse, 0, school(3), district_id=district_id)
        publish_night(warehouse, 1, snapshot(*last), district_id=district_id)
    published_before, bytes_before = views(warehouse), everything(warehouse)
    rows_before = rows(warehouse, "select row_to_json(s)::text from samegoal.snapshots as s order by 1")
    held = hold_night(
        warehouse,
        night,
        tonight,
        gate_of(enrollment_rows=70, quarantined=1),
        run_id="held",
        landed_run_id="landed",
        notes=["the field is not granted"],
    )
    assert views(warehouse) == published_before
    assert everything(warehouse) == bytes_before
    assert rows_before == rows(
        warehouse, "select row_to_json(s)::text from samegoal.snapshots as s where state <> 'held' order by 1"
    )
    would_be = publish_night(warehouse, night, tonight, district_id="riverside")
    attempt = find_attempt(warehouse, "held")
    assert attempt is not None
    for outcome in (held, would_be):
        assert asdict(attempt.counts).items() <= asdict(outcome).items()
    assert (attempt.state, attempt.reason, attempt.published_at) == ("held", held.reason, None)
    assert (attempt.enrollment_rows, attempt.quarantined, attempt.landed_run_id) == (70, 1, "landed")
    assert attempt.notes == ["the field is not granted"]


def test_what_is_held_is_stored_before_the_hold_is_recorded(warehouse):
    stored: list[list[tuple]] = []
    publish_night(warehouse, 0, school(30))
    publish_night(warehouse, 1, school(29), gate=gate_of(), on_hold=lambda: stored.append([("passed",)]))
    hold_night(
        warehouse, 2, snapshot(), gate_of(), on_hold=lambda: stored.append(attempts(warehouse, "state"))
    )
    assert stored == [
        [("published",), ("published",)]
    ]  # the hold is not there yet, and a passed night asks nobody
    assert attempts(warehouse, "state")[-1] == ("held",)


def test_a_hold_whose_content_cannot_be_stored_leaves_nothing(warehouse):
    publish_night(warehouse, 0, school(30))
    before, before_attempts = everything(warehouse), attempts(warehouse, "state", "run_id")

    def disk_full() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        hold_night(warehouse, 1, snapshot(), gate_of(), on_hold=disk_full)
    assert everything(warehouse) == before
    assert attempts(warehouse, "state", "run_id") == before_attempts


def test_a_failure_after_the_hold_does_not_hide_the_hold(warehouse):
    publish_night(warehouse, 0, school(30))
    held = hold_night(warehouse, 1, snapshot(), gate_of(), run_id="held")
    fail_night(warehouse, 0, "held: see above", run_id="held")
    assert attempts(warehouse, "state", "held_reason")[-1] == ("held", held.reason)


def test_a_run_that_is_held_on_a_second_try_does_not_unpublish_what_it_published(warehouse):
    publish_night(warehouse, 0, school(30), run_id="one")
    before = everything(warehouse)
    with pytest.raises(
        Exception, match="this run has published the night already and has read very different"
    ):
        hold_night(warehouse, 0, snapshot(), gate_of(), run_id="one")
    assert everything(warehouse) == before
    assert attempts(warehouse, "run_id", "state") == [("one", "published")]


# -- what a held night hides at once --

SHOWN = {"email": "x@example.org", "home_phone": "(512) 555-0101"}
FAMILY = snapshot(
    student(1, phone="(512) 555-0101", parents={10: SHOWN, 11: {}, 12: {"has_restricted_access": True}}),
    student(2, parents={10: SHOWN}),
)
PARENTS = "select student_id, parent_id, has_restricted_access, email, home_phone"
PARENTS += " from samegoal.parent_demographics order by 1, 2"


def hold_with(warehouse: sa.Engine, **withheld: pd.DataFrame) -> Snapshot:
    return hold_night(warehouse, 1, snapshot(), gate_of(), **withheld)


def test_a_hold_removes_newly_restricted_contacts_from_the_published_rows(warehouse):
    publish_night(warehouse, 0, FAMILY)
    held = hold_with(warehouse, restricted=pairs((1, 10), (1, 11), (1, 12), (3, 13)))
    assert rows(warehouse, PARENTS) == [
        (1, 10, True, None, None),
        (1, 11, True, None, None),
        (1, 12, True, None, None),
        (2, 10, None, "x@example.org", "(512) 555-0101"),  # restricted for the other student only
    ]
    assert "; removed from the published rows: the contacts of 1 newly restricted parent" in held.reason
    details = "select parents::text from samegoal.student_details where student_id = 1"
    assert "x@example.org" not in rows(warehouse, details)[0][0]
    again = hold_with(warehouse, restricted=pairs((1, 10)))
    assert "removed from the published rows" not in again.reason


def test_a_hold_removes_newly_confidential_phones_from_the_published_rows(warehouse):
    publish_night(warehouse, 0, FAMILY)
    numbers = phones((1, None, "5125550101"), (None, 10, "5125550101"), (None, 11, "5125550101"))
    held = hold_with(warehouse, confidential=numbers)
    assert rows(warehouse, "select phone from samegoal.student_demographics order by student_id") == [
        (None,),
        (None,),
    ]
    assert [row[3:] for row in rows(warehouse, PARENTS)][::3] == [("x@example.org", None)] * 2
    assert held.reason.endswith("; removed from the published rows: 3 newly confidential phones")


def test_what_a_hold_hides_is_a_change_of_the_published_night_and_comes_back_only_with_a_new_one(warehouse):
    publish_night(warehouse, 0, FAMILY)
    publish_night(warehouse, 1, FAMILY)
    hold_night(warehouse, 2, snapshot(), gate_of(), restricted=pairs((1, 10)))
    changed = "select snapshot_date::text, student_id, change, changed_columns from samegoal.student_changes"
    assert rows(warehouse, f"{changed} where change <> 'added'") == [
        ("2026-09-02", 1, "parents", ["parents.has_restricted_access", "parents.home_phone", "parents.email"])
    ]
    assert attempts(warehouse, "state", "changed")[:2] == [("published", 0), ("published", 1)]
    publish_night(warehouse, 3, FAMILY, gate=gate_of())  # the same content as before
    assert rows(warehouse, PARENTS)[0] == (1, 10, None, "x@example.org", "(512) 555-0101")


def test_what_a_hold_hides_beside_a_new_parent_is_still_a_change_of_parents(warehouse):
    publish_night(warehouse, 0, snapshot(student(1, parents={10: SHOWN})))
    publish_night(warehouse, 1, snapshot(student(1, parents={10: SHOWN, 11: {}})))
    hold_night(warehouse, 2, snapshot(), gate_of(), restricted=pairs((1, 10)))
    changed = "select change, changed_columns from samegoal.student_changes where change <> 'added'"
    hidden = ["parents.has_restricted_access", "parents.home_phone", "parents.email"]
    assert rows(warehouse, changed) == [("parents", ["parents", *hidden])]


def test_what_is_held_is_stored_while_the_district_is_not_locked(warehouse, monkeypatch):
    """Reading and writing landed files may take minutes; nobody waits for that."""
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    calls: list[str] = []

    def lock_it(what: str) -> None:
        with as_writer(warehouse, "grand-bend", "looking whether it is locked") as connection:
            warehouse_engine.lock(connection, "grand-bend")
        calls.append(what)

    def emptied(_: Snapshot) -> dict[str, int]:
        lock_it("emptied")
        return {}

    def by_time(_: Snapshot) -> None:
        lock_it("by time")

    gate = replace(gate_of(), emptied=emptied, status_by_time=by_time)
    publish_night(warehouse, 0, school(30))
    hold_night(warehouse, 1, snapshot(), gate, on_hold=lambda: lock_it("stored"))
    assert calls == ["emptied", "by time", "stored"]

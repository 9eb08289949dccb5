"""What a published snapshot leaves for readers, night after night."""

from datetime import timedelta

import pytest

from samegoal_pipelines.tables.catalog import VIEWS
from samegoal_pipelines.warehouse.errors import UnfitSnapshotError, WarehouseError
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.snapshots import find_attempt
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    every_byte,
    fail_night,
    publish_night,
    rows,
    snapshot,
    student,
    views,
)

ANA = student(1, first_name="Ana", building="Elm", parents={10: {"rank": 1, "first_name": "Bo"}})
BEN = student(2, first_name="Ben", status="INACTIVE")
CAM = student(3, first_name="Cam", status="PRE-ENROLLED", parents={10: {"rank": 2}, 11: {"rank": 1}})


def test_a_changed_student_number_is_recorded_with_the_previous_one(warehouse):
    publish_night(warehouse, 0, snapshot(ANA, BEN, CAM))
    renumbered = {**ANA, "student_number": "A"}
    without = {**BEN, "student_number": None, "grade": "01"}
    publish_night(warehouse, 1, snapshot(renumbered, without, student(4)))
    recorded = "select student_id, change, student_number, previous_number from samegoal.student_changes"
    assert rows(warehouse, f"{recorded} where snapshot_date = '2026-09-02' order by 1") == [
        (1, "status", "A", "00001"),
        (2, "status", None, "00002"),
        (3, "removed", "00003", None),
        (4, "added", "00004", None),
    ]
    publish_night(warehouse, 2, snapshot({**renumbered, "grade": "02"}, without, student(4)))
    assert rows(warehouse, f"{recorded} where snapshot_date = '2026-09-03'") == [
        (1, "demographics", "A", None)
    ]


def test_publishing_the_same_content_again_leaves_every_byte_and_row_where_it_was(warehouse):
    def places() -> list[tuple]:
        return every_byte(warehouse)["student_status_history"]

    first = publish_night(warehouse, 0, snapshot(ANA, BEN, CAM))
    before, before_places = views(warehouse), places()
    shuffled = snapshot(CAM, ANA, BEN)
    assert publish_night(warehouse, 0, shuffled).counts == first.counts
    assert views(warehouse) == before
    assert places() == before_places
    later = publish_night(warehouse, 1, shuffled)
    assert (later.students, later.added, later.changed, later.removed) == (3, 0, 0, 0)
    assert places() == before_places
    assert rows(warehouse, "select distinct snapshot_date from samegoal.student_details") == [
        (NIGHT + timedelta(days=1),)
    ]


def test_a_value_that_postgres_refuses_is_not_quoted(warehouse):
    publish_night(warehouse, 0, snapshot(ANA))
    before = views(warehouse)
    with pytest.raises(WarehouseError, match="SQLSTATE 23514") as caught:
        publish_night(warehouse, 1, snapshot({**ANA, "status": "EXPELLED"}))
    assert "EXPELLED" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert views(warehouse) == before


def test_texts_arrive_as_they_are(warehouse):
    """Null is not the empty text, and nothing is taken for a number, a null or a separator."""
    texts = ["", "NULL", "\\N", "\\.", '"', ",", "00123", "O'Neil\n\r\t", "=cmd()", "‮Zoë 🎒", "x" * 10_000]
    texts += [None, "None"]
    publish_night(warehouse, 0, snapshot(*(student(n, last_name=text) for n, text in enumerate(texts))))
    found = rows(warehouse, "select last_name from samegoal.student_demographics order by student_id")
    assert [name for (name,) in found] == texts


def test_large_ids_stay_exact(warehouse):
    publish_night(warehouse, 0, snapshot(student(2**53 + 1, parents={2**62: {}})))
    publish_night(warehouse, 1, snapshot(student(2**53 + 1, parents={2**62: {}, -5: {}}), ANA))
    found = rows(warehouse, "select student_id, parent_id from samegoal.parent_demographics order by 1, 2")
    assert found == [(1, 10), (2**53 + 1, -5), (2**53 + 1, 2**62)]


def test_details_hold_the_parents_in_order_of_rank(warehouse):
    publish_night(warehouse, 0, snapshot(ANA, BEN, CAM))
    found = dict(rows(warehouse, "select student_id, parents from samegoal.student_details"))
    assert found[2] == []
    assert [parent["parent_id"] for parent in found[3]] == [11, 10]
    published = {*VIEWS["parent_demographics"].names}
    assert found[1][0].keys() == published - {"district_id", "student_id", "student_number", "snapshot_date"}
    assert (found[1][0]["first_name"], found[1][0]["email"]) == ("Bo", None)


BROKEN = [
    (lambda it: {"students": it.students.iloc[:1]}, "with a status or demographics, but not both: 1"),
    (lambda _: {"carried_over": frozenset({1})}, "students both carried over and published: 1"),
    (lambda it: {"parents": it.parents.assign(student_id=77)}, "parent rows without a student in the snap"),
    (lambda it: {"students": it.students.assign(birth_date=["2 May", None])}, "birth_date: not all values"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_frames_that_do_not_fit_are_refused_without_a_value(broken, message):
    sound = snapshot(ANA, BEN)
    with pytest.raises(UnfitSnapshotError, match=message) as caught:
        content_of(sound._replace(**broken(sound)))
    assert "2 May" not in str(caught.value)


def test_a_failure_is_recorded_but_never_over_what_the_run_has_published(warehouse):
    fail_night(warehouse, 0, "reading Qmlativ: maintenance", run_id="one")
    fail_night(warehouse, 0, "reading Qmlativ: still maintenance", run_id="one")
    attempt = find_attempt(warehouse, "one")
    assert (attempt.state, attempt.reason, attempt.students) == (
        "failed",
        "reading Qmlativ: still maintenance",
        None,
    )
    publish_night(warehouse, 0, snapshot(ANA), run_id="one")
    fail_night(warehouse, 0, "the connection broke after the commit", run_id="one")
    attempt = find_attempt(warehouse, "one")
    assert (attempt.state, attempt.reason, attempt.students) == ("published", None, 1)
    assert find_attempt(warehouse, "two") is None

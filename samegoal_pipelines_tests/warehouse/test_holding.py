"""What a held night leaves: its own row in `snapshots`, and everything else to the byte as it was."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse.publish import publish
from samegoal_pipelines.warehouse.snapshots import find_attempt, record_failure
from samegoal_pipelines.warehouse.writing import Counts
from samegoal_pipelines_tests.warehouse.snapshots_at_hand import (
    NIGHT,
    STARTED,
    FewStudents,
    attempts,
    everything,
    gate_of,
    hold_night,
    pairs,
    publish_night,
    rows,
    snapshot,
    student,
    views,
)

COUNTS = tuple(Counts.__dataclass_fields__)


def school(count: int) -> FewStudents:
    return snapshot(*(student(n, parents={n: {"email": "x@example.org"}}) for n in range(1, count + 1)))


@pytest.mark.parametrize("night", [1, 2], ids=["the published night again", "the next night"])
def test_a_hold_leaves_every_published_byte_and_counts_what_publishing_would_have_done(
    warehouse: sa.Engine, night: int
) -> None:
    families = [student(n, parents={n: {"email": "x@example.org"}}) for n in range(1, 41)]
    last = [*families, student(50, status="INACTIVE"), student(51)]
    tonight = snapshot(
        *({**one, "status": "INACTIVE"} for one in families[:5]),
        *({**one, "grade": "05", "parents": {77: {}}} for one in families[35:]),
        student(60, status="PRE-ENROLLED"),
        student(61, status="GRADUATED"),
        kept=frozenset({51}),
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
        gate_of(enrollment_rows=70, set_aside=1),
        run_id="held",
        landed_run_id="landed",
        notes=["the field is not granted"],
    )
    assert views(warehouse) == published_before
    assert everything(warehouse) == bytes_before
    assert rows_before == rows(
        warehouse,
        "select row_to_json(s)::text from samegoal.snapshots as s where state <> 'held' order by 1",
    )
    would_be = publish_night(warehouse, night, tonight, district_id="riverside")
    assert {name: getattr(held, name) for name in COUNTS} == {
        name: getattr(would_be, name) for name in COUNTS
    }
    attempt = find_attempt(warehouse, "held")
    assert attempt is not None
    assert {name: getattr(attempt, name) for name in COUNTS} == {name: getattr(held, name) for name in COUNTS}
    assert (attempt.state, attempt.reason, attempt.published_at) == ("held", held.reason, None)
    assert (attempt.enrollment_rows, attempt.set_aside, attempt.landed_run_id) == (70, 1, "landed")
    assert attempt.notes == ["the field is not granted"]


def test_what_is_held_is_stored_before_the_hold_is_recorded(warehouse: sa.Engine) -> None:
    stored: list[list[tuple]] = []
    publish_night(warehouse, 0, school(30))
    publish_night(warehouse, 1, school(29), gate=gate_of(), on_hold=lambda: stored.append([("passed",)]))
    hold_night(
        warehouse,
        2,
        snapshot(),
        gate_of(),
        on_hold=lambda: stored.append(attempts(warehouse, "state")),
    )
    assert stored == [
        [("published",), ("published",)]
    ]  # the hold is not there yet, and a passed night asks nobody
    assert attempts(warehouse, "state")[-1] == ("held",)


def test_a_hold_whose_content_cannot_be_stored_leaves_nothing(warehouse: sa.Engine) -> None:
    publish_night(warehouse, 0, school(30))
    before, before_attempts = everything(warehouse), attempts(warehouse, "state", "run_id")

    def disk_full() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        hold_night(warehouse, 1, snapshot(), gate_of(), on_hold=disk_full)
    assert everything(warehouse) == before
    assert attempts(warehouse, "state", "run_id") == before_attempts


def test_a_failure_after_the_hold_does_not_hide_the_hold(warehouse: sa.Engine) -> None:
    publish_night(warehouse, 0, school(30))
    held = hold_night(warehouse, 1, snapshot(), gate_of(), run_id="held")
    record_failure(
        warehouse,
        district_id="grand-bend",
        snapshot_date=NIGHT,
        run_id="held",
        started_at=STARTED,
        reason="held: see above",
    )
    assert attempts(warehouse, "state", "held_reason")[-1] == ("held", held.reason)


def test_a_run_that_is_held_on_a_second_try_does_not_unpublish_what_it_published(
    warehouse: sa.Engine,
) -> None:
    publish_night(warehouse, 0, school(30), run_id="one")
    before = everything(warehouse)
    with pytest.raises(
        Exception, match="this run has published the night already and has read very different"
    ):
        publish(
            warehouse,
            district_id="grand-bend",
            snapshot_date=NIGHT,
            snapshot=snapshot(),
            run_id="one",
            started_at=STARTED,
            gate=gate_of(),
        )
    assert everything(warehouse) == before
    assert attempts(warehouse, "run_id", "state") == [("one", "published")]


def test_a_hold_says_how_many_parents_it_leaves_shown_who_are_restricted_now(warehouse: sa.Engine) -> None:
    shown, not_flagged, flagged = (
        {"email": "x@example.org"},
        {"last_name": "Tran"},
        {"has_restricted_access": True},
    )
    parents = {10: shown, 11: not_flagged, 12: flagged}
    publish_night(warehouse, 0, snapshot(student(1, parents=parents), student(2, parents={10: shown})))
    restricted = pairs((1, 10), (1, 11), (1, 12), (2, 10), (3, 13))
    held = hold_night(warehouse, 1, snapshot(), gate_of(), restricted=restricted)
    assert "; 1 parent(s) newly under restriction are still shown because of this" in held.reason
    assert "still shown" not in hold_night(warehouse, 1, snapshot(), gate_of(), restricted=pairs()).reason

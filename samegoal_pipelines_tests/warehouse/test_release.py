"""A held snapshot that a person releases: exactly that one, only for its night, and only once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError, SnapshotInProgressError, WarehouseError
from samegoal_pipelines.warehouse.publishing import find_held
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_attempt, last_published
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    absences,
    attempts,
    every_byte,
    fail_night,
    gate_of,
    hold_night,
    pairs,
    phones,
    publish_night,
    release_night,
    rows,
    snapshot,
    stored,
    student,
    try_night,
    views,
)

SCHOOL = [student(n, grade="04", parents={n: {"email": "x@example.org"}}) for n in range(1, 41)]
LAST = snapshot(*SCHOOL)
TONIGHT = snapshot(
    *({**one, "grade": "05"} for one in SCHOOL[30:39]),
    student(50, status="PRE-ENROLLED"),
    carried_over=frozenset({40}),
)
ABSENT = absences({1: "CECS only", 2: "left the import window"})
RESTRICTED = pairs((40, 40))


def night(number: int) -> date:
    return NIGHT + timedelta(days=number)


def hold(engine: sa.Engine, number: int = 1, what: SnapshotPayload = TONIGHT, **further: Any) -> Snapshot:
    """Hold a night, and find it as the one who releases does."""
    hold_night(engine, number, what, gate_of(), enrollment_rows=90, **further)
    return find_held(engine, "grand-bend", night(number))


def release_held(
    engine: sa.Engine, held: Snapshot, what: SnapshotPayload = TONIGHT, **further: Any
) -> Snapshot:
    return release_night(engine, held, what, restricted=RESTRICTED, absent=ABSENT, **further)


@pytest.fixture
def district(warehouse: sa.Engine) -> sa.Engine:
    """A warehouse in which Grand Bend has one published night."""
    publish_night(warehouse, 0, LAST)
    return warehouse


@pytest.mark.parametrize("number", [0, 1], ids=["the published night again", "the next night"])
def test_a_release_publishes_exactly_what_was_held(district, number):
    facts = {"landed_run_id": "landed", "notes": ["not granted"], "restricted": RESTRICTED}
    held = hold(district, number, run_id="held", **facts)
    assert held.run_id == "held"
    assert "check in Qmlativ" in held.next_step
    published = release_held(district, held, run_id="released")
    publish_night(district, 0, LAST, district_id="riverside")
    withheld = {"absent": ABSENT, "restricted": RESTRICTED}
    direct = publish_night(district, number, TONIGHT, district_id="riverside", **withheld)
    assert replace(published.counts, changed=direct.counts.changed) == direct.counts
    found, expected = stored(district, "grand-bend"), stored(district, "riverside")
    if number:  # the hold has hidden a restricted parent's contacts as of the published night
        for table in ("parent_demographics_history", "student_changes"):
            assert found.pop(table) != expected.pop(table)
    assert found == expected
    assert len(found["departures"]) == (30 if number else 0)
    attempt = last_published(district, "grand-bend")
    assert attempt == find_attempt(district, "released")
    assert (attempt.landed_run_id, attempt.notes) == ("landed", ["not granted"])
    assert (attempt.enrollment_rows, attempt.quarantined) == (90, 0)
    assert attempt.counts == published.counts
    assert attempt.snapshot_date == night(number)


def test_a_release_is_on_record_with_who_and_why_and_when_and_what_time_explained(district):
    gate = gate_of(by_time=dict.fromkeys(range(1, 4), "INACTIVE") | dict.fromkeys(range(4, 41), "ENROLLED"))
    held = hold_night(district, 1, TONIGHT, gate, run_id="held")
    published = release_night(district, held, TONIGHT, run_id="released")
    assert (published.dropped, published.dropped_by_time) == (30, 3)
    assert rows(
        district,
        """
        select held.run_id, published.run_id, r.snapshot_date, released_by, reason,
            released_at between now() - interval '1 minute' and now()
        from samegoal.releases as r
        join samegoal.snapshots as held on held.snapshot_id = held_snapshot_id
        join samegoal.snapshots as published on published.snapshot_id = published_snapshot_id
        """,
    ) == [("held", "released", night(1), "mvega", "the school has closed", True)]
    assert attempts(district, "run_id", "state", "held_reason", "dropped_by_time")[1:] == [
        ("held", "superseded", held.reason, 3),  # why it was held stays on record
        ("released", "published", None, 3),
    ]


def test_there_is_nothing_to_release_where_nothing_is_held(district):
    with pytest.raises(ReleaseRefusedError, match="nothing is held for the night 2026-09-02"):
        find_held(district, "grand-bend", night(1))
    hold(district)
    publish_night(district, 1, LAST, district_id="riverside")
    with pytest.raises(ReleaseRefusedError):
        find_held(district, "riverside", night(1))
    with pytest.raises(
        ReleaseRefusedError, match=r"is of 2026-09-02, .*\(--today 2026-09-02\), or run 2026-09-03 without"
    ):
        find_held(district, "grand-bend", night(2))
    publish_night(district, 2, snapshot(*SCHOOL[1:]))
    with pytest.raises(ReleaseRefusedError, match="nothing is held for the night 2026-09-03"):
        find_held(district, "grand-bend", night(2))
    with pytest.raises(ReleaseRefusedError, match="the district has moved on since its snapshot was held"):
        find_held(district, "grand-bend", night(1))


@pytest.mark.parametrize(
    "later", [0, 1, 2]
)  # the night before or its own is run again, or the next is published
def test_a_release_that_comes_after_another_publication_changes_nothing(district, later):
    held = hold(district)
    publish_night(district, later, snapshot(*SCHOOL[1:]))
    assert attempts(district, "state")[1] == ("held" if later == 2 else "superseded",)
    before = every_byte(district)
    with pytest.raises(ReleaseRefusedError, match=r"nothing is held for|has moved on"):
        release_held(district, held)
    assert every_byte(district) == before


def test_rows_that_are_not_those_that_were_held_are_not_released(district):
    held = hold(district)
    before = every_byte(district)
    for other in (snapshot(*SCHOOL[30:]), TONIGHT._replace(carried_over=frozenset())):
        with pytest.raises(ReleaseRefusedError, match="rows that are landed for the night 2026-09-02"):
            release_held(district, held, other)
    assert every_byte(district) == before
    assert release_held(district, held).removed == 30


@pytest.mark.parametrize(
    "other", [snapshot(*SCHOOL[38:]), TONIGHT], ids=["other rows", "the same rows again"]
)
def test_only_the_newest_hold_of_a_night_can_be_released(district, other):
    """Also if it has the same rows: its record says who landed them, and a replay reads those."""
    first = hold(district, run_id="first", landed_run_id="first")
    second = hold(district, what=other, run_id="second", landed_run_id="second")
    assert (first.run_id, second.run_id) == ("first", "second")
    with pytest.raises(ReleaseRefusedError, match="landed for the night 2026-09-02 are not those"):
        release_held(district, first)
    assert release_held(district, second, other).landed_run_id == "second"
    with pytest.raises(ReleaseRefusedError):
        find_held(district, "grand-bend", night(1))


def test_of_two_releases_at_once_one_wins_and_the_other_is_told(district):
    held = hold(district)
    together = threading.Barrier(2)

    def try_to(_: int) -> Snapshot | ReleaseRefusedError:
        together.wait(120)
        try:
            return release_held(district, held)
        except ReleaseRefusedError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(try_to, range(2)))
    assert {type(outcome) for outcome in outcomes} == {Snapshot, ReleaseRefusedError}
    assert len(rows(district, "select from samegoal.releases")) == 1
    assert [state for (state,) in attempts(district, "state")] == ["published", "superseded", "published"]


def test_what_follows_a_release_is_compared_with_what_was_released(district):
    published = release_held(district, hold(district))
    before = views(district)
    assert publish_night(district, 1, TONIGHT, gate=gate_of()).counts == published.counts
    assert views(district) == before
    back = publish_night(district, 1, LAST)
    assert (back.added, back.changed, back.removed, back.dropped) == (30, 10, 1, 0)
    release_held(district, hold(district))  # a second time
    assert publish_night(district, 2, snapshot(*SCHOOL[30:39]), gate=gate_of()).removed == 2
    assert len(rows(district, "select from samegoal.releases")) == 2


def test_a_hold_that_fails_to_be_released_can_be_released_later(district, monkeypatch):
    held = hold(district)
    before = every_byte(district)
    with monkeypatch.context() as broken:
        broken.setattr("samegoal_pipelines.warehouse.diff._WRITE", "select 1 / 0")
        with pytest.raises(WarehouseError, match=r"^releasing: .*SQLSTATE 22012"):
            release_held(district, held)
    assert every_byte(district) == before
    release_held(district, find_held(district, "grand-bend", night(1)))
    assert try_night(district, 1, TONIGHT, gate=gate_of()).removed == 30


# -- what a held night leaves: its own row in `snapshots`, and everything else as it was --


@pytest.mark.parametrize("night", [1, 2], ids=["the published night again", "the next night"])
def test_a_hold_leaves_every_published_byte_and_counts_what_publishing_would_have_done(warehouse, night):
    last = [*SCHOOL, student(50, status="INACTIVE"), student(51)]
    tonight = snapshot(
        *({**one, "status": "INACTIVE"} for one in SCHOOL[:5]),
        *({**one, "grade": "05", "parents": {77: {}}} for one in SCHOOL[35:]),
        student(60, status="PRE-ENROLLED"),
        student(61, status="GRADUATED"),
        carried_over=frozenset({51}),
    )
    for district_id in ("grand-bend", "riverside"):
        publish_night(warehouse, 0, snapshot(*SCHOOL[:3]), district_id=district_id)
        publish_night(warehouse, 1, snapshot(*last), district_id=district_id)
    before = every_byte(warehouse)
    facts = {"run_id": "held", "landed_run_id": "landed", "notes": ["the field is not granted"]}
    held = hold_night(warehouse, night, tonight, gate_of(), enrollment_rows=70, quarantined=1, **facts)
    after = every_byte(warehouse)
    assert len(after["snapshots"]) == len(before["snapshots"]) + 1
    assert {*before.pop("snapshots")} < {*after.pop("snapshots")}
    assert after == before
    would_be = publish_night(warehouse, night, tonight, district_id="riverside")
    attempt = find_attempt(warehouse, "held")
    for outcome in (held, would_be):
        assert asdict(attempt.counts).items() <= asdict(outcome).items()
    assert (attempt.state, attempt.reason, attempt.published_at) == ("held", held.reason, None)
    assert (attempt.enrollment_rows, attempt.quarantined, attempt.landed_run_id) == (70, 1, "landed")
    assert attempt.notes == ["the field is not granted"]


def test_a_hold_whose_content_cannot_be_stored_leaves_nothing(district):
    before = every_byte(district)

    def disk_full(_: object) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        hold_night(district, 1, snapshot(), replace(gate_of(), land_held=disk_full))
    assert every_byte(district) == before


def test_a_failure_after_the_hold_does_not_hide_the_hold(district):
    held = hold_night(district, 1, snapshot(), gate_of(), run_id="held")
    fail_night(district, 0, "held: see above", run_id="held")
    assert attempts(district, "state", "held_reason")[-1] == ("held", held.reason)


def test_a_run_that_is_held_on_a_second_try_does_not_unpublish_what_it_published(warehouse):
    publish_night(warehouse, 0, LAST, run_id="one")
    before = every_byte(warehouse)
    with pytest.raises(WarehouseError, match="this run has published the night already and has read very"):
        hold_night(warehouse, 0, snapshot(), gate_of(), run_id="one")
    assert every_byte(warehouse) == before


# -- what a held night hides at once --

SHOWN = {"email": "x@example.org", "home_phone": "(512) 555-0101"}
FAMILY = snapshot(
    student(1, phone="(512) 555-0101", parents={10: SHOWN, 11: {}, 12: {"has_restricted_access": True}}),
    student(2, parents={10: SHOWN}),
)
HIDDEN = ["parents.has_restricted_access", "parents.home_phone", "parents.email"]
PARENTS = "select student_id, parent_id, has_restricted_access, email, home_phone"
PARENTS += " from samegoal.parent_demographics order by 1, 2"


def hold_with(warehouse: sa.Engine, night: int = 1, **withheld: pd.DataFrame) -> Snapshot:
    return hold_night(warehouse, night, snapshot(), gate_of(), **withheld)


def test_a_hold_removes_newly_withheld_contacts_from_the_published_rows(warehouse):
    publish_night(warehouse, 0, FAMILY)
    restricted = pairs((1, 10), (1, 11), (1, 12), (3, 13))
    numbers = phones((1, None, "5125550101"), (None, 10, "5125550101"), (None, 11, "5125550101"))
    held = hold_with(warehouse, restricted=restricted, confidential=numbers)
    assert rows(warehouse, PARENTS) == [
        (1, 10, True, None, None),
        (1, 11, True, None, None),
        (1, 12, True, None, None),
        (2, 10, None, "x@example.org", None),  # restricted for the other student only
    ]
    assert rows(warehouse, "select phone from samegoal.student_demographics") == [(None,)] * 2
    removed = "; removed from the published rows: "
    assert held.reason.endswith(
        f"{removed}the contacts of 1 newly restricted parent{removed}2 newly confidential phones"
    )
    details = "select parents::text from samegoal.student_details where student_id = 1"
    assert "x@example.org" not in rows(warehouse, details)[0][0]
    again = hold_with(warehouse, restricted=pairs((1, 10)))
    assert "removed from the published rows" not in again.reason


@pytest.mark.parametrize("new_parent", [{}, {13: {}}], ids=["alone", "beside a new parent"])
def test_what_a_hold_hides_is_a_change_of_the_published_night_and_comes_back_only_with_a_new_one(
    warehouse, new_parent
):
    last = snapshot(student(1, parents={10: SHOWN} | new_parent))
    publish_night(warehouse, 0, snapshot(student(1, parents={10: SHOWN})))
    publish_night(warehouse, 1, last)
    hold_with(warehouse, 2, restricted=pairs((1, 10)))
    changed = "select snapshot_date::text, change, changed_columns from samegoal.student_changes"
    columns = [*(["parents"] if new_parent else []), *HIDDEN]
    assert rows(warehouse, f"{changed} where change <> 'added'") == [("2026-09-02", "parents", columns)]
    assert attempts(warehouse, "state", "changed")[:2] == [("published", 0), ("published", 1)]
    publish_night(warehouse, 3, last, gate=gate_of())  # the same content as before
    assert rows(warehouse, PARENTS)[0] == (1, 10, None, "x@example.org", "(512) 555-0101")


def test_what_is_held_is_landed_without_the_lock_and_before_the_hold_is_recorded(district, monkeypatch):
    """Landed files may take minutes, and nobody waits for that. A night that passes lands nothing."""
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    calls: list[tuple[str, int]] = []

    def lock_it(what: str, result: Any = None) -> Any:
        with as_writer(district, "grand-bend", "looking whether it is locked") as connection:
            warehouse_engine.lock(connection, "grand-bend")
        calls.append((what, len(attempts(district, "state"))))
        return result

    gate = replace(
        gate_of(),
        emptied=lambda _: lock_it("emptied", {}),
        staying=lambda _: lock_it("by time"),
        land_held=lambda _: lock_it("landed"),
    )
    publish_night(district, 1, snapshot(*SCHOOL[1:]), gate=gate)
    hold_night(district, 2, snapshot(), gate)
    assert calls == [("emptied", 1), ("emptied", 2), ("by time", 2), ("landed", 2)]


@pytest.mark.parametrize("moment", ["emptied", "land_held"])  # before it compares, and before it is recorded
def test_a_run_that_was_compared_with_what_is_no_longer_published_stores_nothing(district, moment):
    def publish_meanwhile(*_: object) -> dict[str, int]:
        publish_night(district, 0, snapshot(*SCHOOL[:39]), run_id="meanwhile")
        return {}

    with pytest.raises(SnapshotInProgressError, match="since this one looked"):
        try_night(district, 1, snapshot(SCHOOL[0]), gate=replace(gate_of(), **{moment: publish_meanwhile}))
    assert attempts(district, "state") == [("superseded",), ("published",)]

"""A held snapshot that a person releases: exactly that one, only for its night, and only once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse.errors import (
    ReleaseRefusedError,
    WarehouseError,
)
from samegoal_pipelines.warehouse.release import find_held
from samegoal_pipelines.warehouse.snapshots import Snapshot, find_attempt, last_published
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    FewStudents,
    absences,
    attempts,
    everything,
    gate_of,
    hold_night,
    pairs,
    publish_night,
    release_night,
    rows,
    snapshot,
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


def hold(engine: sa.Engine, number: int = 1, what: FewStudents = TONIGHT, **further: Any) -> Snapshot:
    """Hold a night, and find it as the one who releases does."""
    hold_night(engine, number, what, gate_of(enrollment_rows=90, quarantined=0), **further)
    return find_held(engine, "grand-bend", night(number))


def release_held(engine: sa.Engine, held: Snapshot, what: FewStudents = TONIGHT, **further: Any) -> Snapshot:
    return release_night(engine, held, what, restricted=RESTRICTED, absent=ABSENT, **further)


def content(engine: sa.Engine, district_id: str) -> dict[str, list[tuple]]:
    """All that is stored of a district's nights, but for its name, its runs and moments."""
    tables = ("student_status_history", "student_demographics_history", "parent_demographics_history")
    return {
        table: rows(
            engine,
            f"select (to_jsonb(t) - 'district_id')::text from samegoal.{table} as t"
            " where district_id = :district order by 1",
            district=district_id,
        )
        for table in (*tables, "student_changes", "departures")
    }


@pytest.fixture
def district(warehouse: sa.Engine) -> sa.Engine:
    """A warehouse in which Grand Bend has one published night."""
    publish_night(warehouse, 0, LAST)
    return warehouse


@pytest.mark.parametrize("number", [0, 1], ids=["the published night again", "the next night"])
def test_a_release_publishes_exactly_what_was_held(district, number):
    held = hold(
        district, number, run_id="held", landed_run_id="landed", notes=["not granted"], restricted=RESTRICTED
    )
    assert held.run_id == "held"
    assert "check in Qmlativ" in (held.next_step or "")
    published = release_held(district, held, run_id="released")
    publish_night(district, 0, LAST, district_id="riverside")
    direct = publish_night(
        district, number, TONIGHT, district_id="riverside", absent=ABSENT, restricted=RESTRICTED
    )
    assert replace(published.counts, changed=direct.counts.changed) == direct.counts
    stored, expected = content(district, "grand-bend"), content(district, "riverside")
    if number:  # the hold has hidden a restricted parent's contacts as of the published night
        for table in ("parent_demographics_history", "student_changes"):
            assert stored.pop(table) != expected.pop(table)
    assert stored == expected
    assert len(rows(district, "select from samegoal.departures where district_id = 'grand-bend'")) == (
        30 if number else 0
    )
    attempt = last_published(district, "grand-bend")
    assert attempt is not None
    assert attempt == find_attempt(district, "released")
    assert (attempt.landed_run_id, attempt.notes) == ("landed", ["not granted"])
    assert (attempt.enrollment_rows, attempt.quarantined) == (90, 0)
    assert attempt.counts == published.counts
    assert attempt.snapshot_date == night(number)


def test_a_release_is_on_record_with_who_and_why_and_when(district):
    held = hold(district, run_id="held")
    release_held(district, held, run_id="released")
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
    assert attempts(district, "run_id", "state")[1:] == [("held", "superseded"), ("released", "published")]
    assert attempts(district, "held_reason")[1] == (held.reason,)  # why it was held stays on record


def test_what_time_explained_stays_on_record(district):
    gate = gate_of(by_time=dict.fromkeys(range(1, 4), "INACTIVE") | dict.fromkeys(range(4, 41), "ENROLLED"))
    hold_night(district, 1, TONIGHT, gate)
    published = release_held(district, find_held(district, "grand-bend", night(1)))
    assert (published.dropped, published.dropped_by_time) == (30, 3)
    assert attempts(district, "dropped_by_time")[-1] == (3,)


def test_there_is_nothing_to_release_where_nothing_is_held(district):
    with pytest.raises(ReleaseRefusedError, match="nothing is held for the night 2026-09-02"):
        find_held(district, "grand-bend", night(1))
    hold_night(district, 1, TONIGHT, gate_of())
    publish_night(district, 1, LAST, district_id="riverside")
    with pytest.raises(ReleaseRefusedError):
        find_held(district, "riverside", night(1))


def test_a_release_does_not_outlive_its_night(district):
    hold(district)
    with pytest.raises(
        ReleaseRefusedError, match=r"is of 2026-09-02, .*\(--today 2026-09-02\), or run 2026-09-03 without"
    ):
        find_held(district, "grand-bend", night(2))


def test_a_night_that_has_passed_since_has_nothing_to_release(district):
    hold(district)
    publish_night(district, 2, snapshot(*SCHOOL[1:]))
    with pytest.raises(ReleaseRefusedError, match="nothing is held for the night 2026-09-03"):
        find_held(district, "grand-bend", night(2))
    with pytest.raises(ReleaseRefusedError, match="the district has moved on since its snapshot was held"):
        find_held(district, "grand-bend", night(1))


@pytest.mark.parametrize(
    "later",
    [0, 1, 2],
    ids=["the night before was run again", "its night was run again", "the next night was published"],
)
def test_a_release_that_comes_after_another_publication_changes_nothing(district, later):
    held = hold(district)
    publish_night(district, later, snapshot(*SCHOOL[1:]))
    before = everything(district)
    with pytest.raises(ReleaseRefusedError, match=r"nothing is held for|has moved on"):
        release_held(district, held)
    assert everything(district) == before


def test_rows_that_are_not_those_that_were_held_are_not_released(district):
    held = hold(district)
    before = everything(district)
    for other in (snapshot(*SCHOOL[30:]), TONIGHT._replace(carried_over=frozenset())):
        with pytest.raises(ReleaseRefusedError, match="rows that are landed for the night 2026-09-02"):
            release_held(district, held, other)
    assert everything(district) == before
    assert attempts(district, "state")[-1] == ("held",)
    assert release_held(district, held).removed == 30


def test_only_the_newest_hold_of_a_night_can_be_released(district):
    first = hold(district, run_id="first")
    other = snapshot(*SCHOOL[38:])
    second = hold(district, what=other, run_id="second")
    assert (first.run_id, second.run_id) == ("first", "second")
    with pytest.raises(ReleaseRefusedError, match="landed for the night 2026-09-02 are not those"):
        release_held(district, first)
    assert release_held(district, second, other).students == 2
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


def test_the_night_after_a_release_is_compared_with_what_was_released(district):
    release_held(district, hold(district))
    remaining = SCHOOL[30:39]
    much_more_gone = snapshot(*remaining[:2])
    hold_night(district, 2, much_more_gone, gate_of(dropped_least=1))
    assert publish_night(district, 2, snapshot(*remaining), gate=gate_of()).removed == 2


def test_running_a_released_night_again_compares_with_what_was_released(district):
    published = release_held(district, hold(district))
    before = views(district)
    assert publish_night(district, 1, TONIGHT, gate=gate_of()).counts == published.counts
    assert views(district) == before
    back = publish_night(district, 1, LAST)
    assert (back.added, back.changed, back.removed, back.dropped) == (30, 10, 1, 0)
    hold_night(district, 1, TONIGHT, gate_of())
    assert len(rows(district, "select from samegoal.releases")) == 1


def test_a_hold_that_fails_to_be_released_can_be_released_later(district, monkeypatch):
    held = hold(district)
    before = everything(district)
    with monkeypatch.context() as broken:
        broken.setattr("samegoal_pipelines.warehouse.diff._CLOSE", "select 1 / 0")
        with pytest.raises(WarehouseError, match=r"^releasing: .*SQLSTATE 22012"):
            release_held(district, held)
    assert everything(district) == before
    release_held(district, find_held(district, "grand-bend", night(1)))
    assert try_night(district, 1, TONIGHT, gate=gate_of()).removed == 30

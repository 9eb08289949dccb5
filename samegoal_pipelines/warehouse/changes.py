"""Queries of the past: what changed from night to night, and what was published about a student."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import CHANGES, departures, releases, snapshots, student_changes
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.session import StudentChange
from samegoal_pipelines.warehouse.snapshots import find_all


@dataclass(frozen=True)
class StatusChange:
    """The number of students with the same kind of change and the same old and new status."""

    change: str
    old_status: str | None
    new_status: str | None
    students: int


@dataclass(frozen=True)
class NightChanges:
    """A published, held or failed night, and what it changed. A released night appears as both."""

    snapshot_date: date
    state: str
    students: int | None
    carried_over: int | None
    reason: str | None
    """Why it was held or failed."""
    released_by: str | None
    released_because: str | None
    run_id: str
    counts: dict[str, int] = field(default_factory=dict)
    """Students by kind of change, with every kind; empty if nothing was published."""
    flips: tuple[StatusChange, ...] = ()
    departures: dict[str, int] = field(default_factory=dict)
    """Removed students by reason, the most frequent first."""
    listed: tuple[StudentChange, ...] | None = None
    """Every student with a change, if requested."""


_OF_SNAPSHOT = ("snapshot_date", "students", "carried_over", "reason", "run_id")


# -- from night to night --


def changes_by_night(
    engine: sa.Engine,
    district_id: str,
    *,
    since: date | None = None,
    last_nights: int | None = None,
    students: bool = False,
) -> list[NightChanges]:
    """What each night changed, oldest first: nights from `since` on, or the last ones, or all.

    A night has one entry per state: published, and also held or failed if that came later.
    """
    flips: defaultdict[date, Counter[tuple[str, str | None, str | None]]] = defaultdict(Counter)
    why_removed: defaultdict[date, Counter[str]] = defaultdict(Counter)
    listed: defaultdict[date, list[StudentChange]] = defaultdict(list)
    with as_operator(engine, "looking up the changes") as connection:
        nights = _attempts(connection, district_id, since)
        if since is None and last_nights is not None:
            dates = sorted({one.snapshot_date for one in nights})[-last_nights:]
            nights = [one for one in nights if one.snapshot_date in dates]
        if not nights:
            return []
        counted, in_full = _queries(district_id, nights[0].snapshot_date)
        for night, change, old, new, why, number in connection.execute(counted):
            flips[night][change, old, new] += number
            if why:
                why_removed[night][why] += number
        for night, *row in connection.execute(in_full) if students else ():
            listed[night].append(StudentChange(*row))

    def with_changes(one: NightChanges) -> NightChanges:
        counts = dict.fromkeys(CHANGES, 0)
        for (change, _, _), number in flips[one.snapshot_date].items():
            counts[change] += number
        return replace(
            one,
            counts=counts,
            flips=tuple(StatusChange(*kind, number) for kind, number in flips[one.snapshot_date].items()),
            departures=dict(why_removed[one.snapshot_date].most_common()),
            listed=tuple(listed[one.snapshot_date]) if students else None,
        )

    return [with_changes(one) if one.state == "published" else one for one in nights]


def _attempts(connection: sa.Connection, district_id: str, since: date | None) -> list[NightChanges]:
    """For each night, the published attempt, and the last held and last failed attempts after it.

    A released night also keeps the held attempt that was released, and what came before it.
    """
    released = connection.execute(sa.select(releases).where(releases.c.district_id == district_id)).all()
    held = {one.held_snapshot_id: one for one in released}
    release_of = held | {one.published_snapshot_id: one for one in released}
    where = snapshots.c.district_id == district_id
    if since is not None:
        where &= snapshots.c.snapshot_date >= since
    found: dict[date, dict[str, NightChanges]] = {}
    for one in find_all(connection, where, order=(snapshots.c.snapshot_date, snapshots.c.snapshot_id)):
        state = "held" if one.snapshot_id in held else one.state
        if state == "superseded":
            continue
        release, night = release_of.get(one.snapshot_id), found.setdefault(one.snapshot_date, {})
        if state == "published" and release is None:
            night.clear()
        night.pop(state, None)  # keeps the later attempt in its own position
        night[state] = NightChanges(
            **{name: getattr(one, name) for name in _OF_SNAPSHOT},
            state=state,
            released_by=release.released_by if release else None,
            released_because=release.reason if release else None,
        )
    return [attempt for night in found.values() for attempt in night.values()]


def _queries(district_id: str, start: date) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The night, kind and number of the students' changes from `start` on, and the same one by one."""
    c, why = student_changes.c, departures.c.why
    same = sa.and_(*(departures.c[key] == c[key] for key in ("district_id", "snapshot_date", "student_id")))
    since = c.district_id == district_id, c.snapshot_date >= start
    kind = (c.change, c.old_status, c.new_status, why)
    place = sa.func.array_position(sa.cast(list(CHANGES), sa.ARRAY(sa.Text)), c.change)
    counted = sa.select(c.snapshot_date, *kind, sa.func.count()).outerjoin(departures, same).where(*since)
    columns = (c[one.name] for one in fields(StudentChange) if one.name != "why")
    in_full = sa.select(c.snapshot_date, *columns, why).outerjoin(departures, same).where(*since)
    return (
        counted.group_by(c.snapshot_date, *kind).order_by(place, *kind),
        in_full.order_by(c.student_number, c.student_id),
    )


# -- one student as of a night --


class PublishedStudent(NamedTuple):
    """What the warehouse knows about a student as of a night."""

    published: dict[str, Any] | None
    """The `student_status` row, and `since`, the first night with that row. None: not published."""
    last_change: dict[str, Any] | None
    """The latest `student_changes` row: snapshot_date, change, old and new status."""
    departure: dict[str, Any] | None
    """The latest `departures` row, if not published: snapshot_date, last_status, why."""


def students_with_number(
    engine: sa.Engine, district_id: str, number: str, on: date | None = None
) -> set[int]:
    """The students published with this number as of a night, or else at any time. Spaces around do not count.

    `number` has none.
    """
    c = STATUS.table.c
    query = sa.select(c.student_id, c.student_number).distinct()
    query = query.where(c.district_id == district_id, sa.func.strpos(c.student_number, number) > 0)
    if on is not None:
        query = query.where(valid_on(on))
    with as_operator(engine, "looking up the student") as connection:
        return {student_id for student_id, text in connection.execute(query) if text.strip() == number}


def student_as_of(engine: sa.Engine, district_id: str, student_id: int, night: date) -> PublishedStudent:
    """What the warehouse knows about this student as of a night."""

    def of(table: sa.Table, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        return sa.select(*columns).where(table.c.district_id == district_id, table.c.student_id == student_id)

    def last(ledger: sa.Table, *names: str) -> sa.Select[Any]:
        when = ledger.c.snapshot_date
        columns = (ledger.c[name] for name in names)
        return of(ledger, when, *columns).where(when <= night).order_by(when.desc()).limit(1)

    status = STATUS.table
    columns = (status.c[name] for name in STATUS.columns)
    queries = (
        of(status, *columns, status.c.valid_from.label("since")).where(valid_on(night)),
        last(student_changes, "change", "old_status", "new_status"),
        last(departures, "last_status", "why"),
    )
    with as_operator(engine, "looking up what was published") as connection:
        rows = [connection.execute(query).mappings().first() for query in queries]
    published, change, departure = (None if row is None else dict(row) for row in rows)
    return PublishedStudent(published, change, None if published else departure)


def valid_on(night: date) -> sa.ColumnElement[bool]:
    """The condition for the rows of the status history that this night shows."""
    status = STATUS.table
    return (status.c.valid_from <= night) & (status.c.valid_to.is_(None) | (status.c.valid_to > night))

"""Queries of the past: what changed from night to night, and what was published about a student."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

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
    """Removed students by reason."""
    listed: tuple[StudentChange, ...] | None = None
    """Every student with a change, if requested."""


@dataclass(frozen=True)
class PublishedStudent:
    """What the warehouse knows about a student as of a night."""

    status: dict[str, Any] | None
    """The `student_status` row as of the night, without the district. None if not published then."""
    since: date | None
    """The first night with that row."""
    last_change: dict[str, Any] | None
    """The latest `student_changes` row up to that night: snapshot_date, change, old and new status."""
    departure: dict[str, Any] | None
    """The latest `departures` row up to that night, if not published."""


ByNight = defaultdict[date, list[Any]]


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
    with as_operator(engine, "looking up the changes") as connection:
        nights = _attempts(connection, district_id, since)
        if since is None and last_nights is not None:
            dates = sorted({one.snapshot_date for one in nights})[-last_nights:]
            nights = [one for one in nights if one.snapshot_date in dates]
        if not nights:
            return []
        start = nights[0].snapshot_date
        flips = _flips(connection, district_id, start)
        why = _departures(connection, district_id, start)
        listed = _listed(connection, district_id, start) if students else _by_night(())
    return [
        replace(
            one,
            counts={
                kind: sum(flip.students for flip in flips[one.snapshot_date] if flip.change == kind)
                for kind in CHANGES
            },
            flips=tuple(flips[one.snapshot_date]),
            departures=dict(why[one.snapshot_date]),
            listed=tuple(listed[one.snapshot_date]) if students else None,
        )
        if one.state == "published"
        else one
        for one in nights
    ]


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
            one.snapshot_date,
            state,
            one.students,
            one.carried_over,
            one.reason,
            release.released_by if release else None,
            release.reason if release else None,
            one.run_id,
        )
    return [attempt for night in found.values() for attempt in night.values()]


def _flips(connection: sa.Connection, district_id: str, start: date) -> ByNight:
    kind = (student_changes.c.change, student_changes.c.old_status, student_changes.c.new_status)
    query = (
        sa.select(student_changes.c.snapshot_date, *kind, sa.func.count())
        .where(student_changes.c.district_id == district_id, student_changes.c.snapshot_date >= start)
        .group_by(student_changes.c.snapshot_date, *kind)
        .order_by(sa.func.array_position(sa.cast(list(CHANGES), sa.ARRAY(sa.Text)), kind[0]), *kind)
    )
    return _by_night((night, StatusChange(*row)) for night, *row in connection.execute(query))


def _departures(connection: sa.Connection, district_id: str, start: date) -> ByNight:
    query = (
        sa.select(departures.c.snapshot_date, departures.c.why, sa.func.count())
        .where(departures.c.district_id == district_id, departures.c.snapshot_date >= start)
        .group_by(departures.c.snapshot_date, departures.c.why)
        .order_by(sa.func.count().desc(), departures.c.why)
    )
    return _by_night((night, (why, students)) for night, why, students in connection.execute(query))


def _listed(connection: sa.Connection, district_id: str, start: date) -> ByNight:
    c = student_changes.c
    same = (
        (departures.c.district_id == c.district_id)
        & (departures.c.snapshot_date == c.snapshot_date)
        & (departures.c.student_id == c.student_id)
    )
    columns = [c[one.name] for one in fields(StudentChange) if one.name != "why"]
    query = (
        sa.select(c.snapshot_date, *columns, departures.c.why)
        .outerjoin(departures, same)
        .where(c.district_id == district_id, c.snapshot_date >= start)
        .order_by(c.snapshot_date, c.student_number, c.student_id)
    )
    return _by_night((night, StudentChange(*row)) for night, *row in connection.execute(query))


def _by_night(pairs: Iterable[tuple[date, Any]]) -> ByNight:
    found: ByNight = defaultdict(list)
    for night, one in pairs:
        found[night].append(one)
    return found


# -- one student as of a night --


def numbers_like(
    engine: sa.Engine, district_id: str, number: str, on: date | None = None
) -> set[tuple[int, str]]:
    """Student ids and numbers that contain these characters, published as of a night, or else at any time.

    The caller picks the exact match, or the match that ignores spaces.
    """
    status = STATUS.table
    query = (
        sa.select(status.c.student_id, status.c.student_number)
        .distinct()
        .where(status.c.district_id == district_id, sa.func.strpos(status.c.student_number, number) > 0)
    )
    if on is not None:
        query = query.where(_valid_on(on))
    with as_operator(engine, "looking up the student") as connection:
        return {(student_id, text) for student_id, text in connection.execute(query)}


def students_as_of(
    engine: sa.Engine, district_id: str, students: Collection[int], night: date
) -> dict[int, PublishedStudent]:
    """What the warehouse knows about each of these students as of a night."""
    status = STATUS.table

    def last(ledger: sa.Table, *names: str) -> sa.Select[Any]:
        """Each student's last row up to the night."""
        c = ledger.c
        return (
            sa.select(c.student_id, c.snapshot_date, *(c[name] for name in names))
            .ext(distinct_on(c.student_id))
            .where(c.district_id == district_id, c.student_id.in_(students), c.snapshot_date <= night)
            .order_by(c.student_id, c.snapshot_date.desc())
        )

    current = (
        sa.select(*(status.c[name] for name in STATUS.columns), status.c.valid_from)
        .where(status.c.district_id == district_id, status.c.student_id.in_(students))
        .where(_valid_on(night))
    )
    ledgers = (
        last(student_changes, "change", "old_status", "new_status"),
        last(departures, "last_status", "why"),
    )
    with as_operator(engine, "looking up what was published") as connection:
        published = {row["student_id"]: dict(row) for row in connection.execute(current).mappings()}
        changed, departed = (
            {row.pop("student_id"): row for row in map(dict, connection.execute(query).mappings())}
            for query in ledgers
        )
    found = {}
    for student in students:
        row = published.get(student)
        since = row.pop("valid_from") if row else None
        departure = None if row else departed.get(student)
        found[student] = PublishedStudent(row, since, changed.get(student), departure)
    return found


def _valid_on(night: date) -> sa.ColumnElement[bool]:
    status = STATUS.table
    return (status.c.valid_from <= night) & (status.c.valid_to.is_(None) | (status.c.valid_to > night))

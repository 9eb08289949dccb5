"""Queries of the past: what changed from night to night, and what was published about a student on a night.

They read the history tables, `student_changes`, `departures` and `snapshots`, and write nothing. Each
function reads one consistent moment of the warehouse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import CHANGES, departures, releases, snapshots, student_changes
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.session import StudentChange


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


# -- from night to night --


def changes_by_night(
    engine: sa.Engine,
    district_id: str,
    *,
    since: date | None = None,
    last_nights: int | None = None,
    students: bool = False,
) -> list[NightChanges]:
    """What each night changed, oldest first: nights from `since` on, or the `last` ones, or all.

    A night has one entry per state: published, and also held or failed if that came later.

    Args:
        students: also list every student with a change.
    """
    with as_operator(engine, "looking up the changes", one_moment=True) as connection:
        nights = _attempts(connection, district_id, since)
        if since is None and last_nights is not None:
            dates = sorted({row["snapshot_date"] for row in nights})[-last_nights:]
            nights = [row for row in nights if row["snapshot_date"] in dates]
        if not nights:
            return []
        start = nights[0]["snapshot_date"]
        flips = _flips(connection, district_id, start)
        why = _departures(connection, district_id, start)
        listed = _listed(connection, district_id, start) if students else {}
    return [
        NightChanges(
            **row,
            **_of_published(flips.get(row["snapshot_date"], []), why.get(row["snapshot_date"], {})),
            listed=tuple(listed.get(row["snapshot_date"], [])) if students else None,
        )
        if row["state"] == "published"
        else NightChanges(**row)
        for row in nights
    ]


def _of_published(flips: list[StatusChange], why: dict[str, int]) -> dict[str, Any]:
    counts = {kind: sum(flip.students for flip in flips if flip.change == kind) for kind in CHANGES}
    return {"counts": counts, "flips": tuple(flips), "departures": why}


def _attempts(connection: sa.Connection, district_id: str, since: date | None) -> list[dict[str, Any]]:
    """For each night, the published attempt, and the last held and last failed attempts after it.

    A released night also keeps the held attempt that was released, and what came before it.
    """
    released = releases.c.held_snapshot_id == snapshots.c.snapshot_id
    query = (
        sa.select(
            snapshots.c.snapshot_date,
            sa.case((released, "held"), else_=snapshots.c.state).label("state"),
            snapshots.c.students,
            snapshots.c.carried_over,
            snapshots.c.held_reason.label("reason"),
            releases.c.released_by,
            releases.c.reason.label("released_because"),
            snapshots.c.run_id,
        )
        .outerjoin(
            releases,
            (releases.c.district_id == snapshots.c.district_id)
            & (released | (releases.c.published_snapshot_id == snapshots.c.snapshot_id)),
        )
        .where(
            snapshots.c.district_id == district_id,
            (snapshots.c.state != "superseded") | releases.c.held_snapshot_id.is_not(None) & released,
        )
        .order_by(snapshots.c.snapshot_date, snapshots.c.snapshot_id)
    )
    if since is not None:
        query = query.where(snapshots.c.snapshot_date >= since)
    found: dict[date, dict[str, dict[str, Any]]] = {}
    for row in connection.execute(query):
        night = found.setdefault(row.snapshot_date, {})
        if row.state == "published" and not row.released_by:
            night.clear()
        night.pop(row.state, None)  # keeps the later attempt in its own position
        night[row.state] = dict(row._mapping)
    return [attempt for night in found.values() for attempt in night.values()]


def _flips(connection: sa.Connection, district_id: str, start: date) -> dict[date, list[StatusChange]]:
    kind = (student_changes.c.change, student_changes.c.old_status, student_changes.c.new_status)
    query = (
        sa.select(student_changes.c.snapshot_date, *kind, sa.func.count())
        .where(student_changes.c.district_id == district_id, student_changes.c.snapshot_date >= start)
        .group_by(student_changes.c.snapshot_date, *kind)
        .order_by(sa.func.array_position(sa.cast(list(CHANGES), sa.ARRAY(sa.Text)), kind[0]), *kind)
    )
    return _by_night((night, StatusChange(*row)) for night, *row in connection.execute(query))


def _departures(connection: sa.Connection, district_id: str, start: date) -> dict[date, dict[str, int]]:
    query = (
        sa.select(departures.c.snapshot_date, departures.c.why, sa.func.count())
        .where(departures.c.district_id == district_id, departures.c.snapshot_date >= start)
        .group_by(departures.c.snapshot_date, departures.c.why)
        .order_by(sa.func.count().desc(), departures.c.why)
    )
    found = _by_night((night, (why, students)) for night, why, students in connection.execute(query))
    return {night: dict(counts) for night, counts in found.items()}


def _listed(connection: sa.Connection, district_id: str, start: date) -> dict[date, list[StudentChange]]:
    c = student_changes.c
    same = (
        (departures.c.district_id == c.district_id)
        & (departures.c.snapshot_date == c.snapshot_date)
        & (departures.c.student_id == c.student_id)
    )
    query = (
        sa.select(
            c.snapshot_date,
            c.student_id,
            c.student_number,
            c.change,
            c.old_status,
            c.new_status,
            c.changed_columns,
            c.previous_number,
            departures.c.why,
        )
        .outerjoin(departures, same)
        .where(c.district_id == district_id, c.snapshot_date >= start)
        .order_by(c.snapshot_date, c.student_number, c.student_id)
    )
    return _by_night((night, StudentChange(*row)) for night, *row in connection.execute(query))


def _by_night(pairs: Iterable[tuple[date, Any]]) -> dict[date, list[Any]]:
    found: dict[date, list[Any]] = {}
    for night, one in pairs:
        found.setdefault(night, []).append(one)
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
    with as_operator(engine, "looking up the student", one_moment=True) as connection:
        return {(student_id, text) for student_id, text in connection.execute(query)}


def students_as_of(
    engine: sa.Engine, district_id: str, students: Collection[int], night: date
) -> dict[int, PublishedStudent]:
    """What the warehouse knows about each of these students as of a night."""
    status, change, gone = STATUS.table, student_changes.c, departures.c
    rows = (
        sa.select(*(status.c[name] for name in STATUS.columns), status.c.valid_from)
        .where(status.c.district_id == district_id, status.c.student_id.in_(students))
        .where(_valid_on(night))
    )
    changes = (
        sa.select(
            change.student_id, change.snapshot_date, change.change, change.old_status, change.new_status
        )
        .ext(distinct_on(change.student_id))
        .where(change.district_id == district_id, change.student_id.in_(students))
        .where(change.snapshot_date <= night)
        .order_by(change.student_id, change.snapshot_date.desc())
    )
    left = (
        sa.select(gone.student_id, gone.snapshot_date, gone.last_status, gone.why)
        .ext(distinct_on(gone.student_id))
        .where(gone.district_id == district_id, gone.student_id.in_(students), gone.snapshot_date <= night)
        .order_by(gone.student_id, gone.snapshot_date.desc())
    )
    with as_operator(engine, "looking up what was published", one_moment=True) as connection:
        published, changed, departed = (
            {row.student_id: dict(row._mapping) for row in connection.execute(query)}
            for query in (rows, changes, left)
        )
    found = {}
    for student in students:
        row = published.get(student)
        found[student] = PublishedStudent(
            status={name: row[name] for name in STATUS.columns} if row else None,
            since=row["valid_from"] if row else None,
            last_change=_without_id(changed.get(student)),
            departure=None if row else _without_id(departed.get(student)),
        )
    return found


def _valid_on(night: date) -> sa.ColumnElement[bool]:
    status = STATUS.table
    return (status.c.valid_from <= night) & (status.c.valid_to.is_(None) | (status.c.valid_to > night))


def _without_id(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return row and {name: value for name, value in row.items() if name != "student_id"}

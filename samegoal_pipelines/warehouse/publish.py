"""Publishing a district's snapshot: all of it in one transaction, and of its rows only those that differ.

The order: lock the district; refuse what is older than what is published; undo an earlier publication of the
same night; compare hashes with the current rows, write down the changes, close the rows that are over and
open the new ones (`staging`); record the snapshot. A reader sees all or nothing of it; a run that dies leaves
nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

import pandas as pd
import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.warehouse import staging
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import (
    EmptySnapshot,
    OlderSnapshot,
    SnapshotInProgress,
    SupersededRun,
)
from samegoal_pipelines.warehouse.rows import Content, Snapshot, content_of
from samegoal_pipelines.warehouse.snapshots import (
    Attempt,
    find_attempt,
    last_attempts,
    last_published,
    record_failure,
)
from samegoal_pipelines.warehouse.tables import STATUS, current_snapshots, snapshots, student_changes
from samegoal_pipelines.warehouse.withholding import hide_from_kept

__all__ = [
    "Attempt",
    "Published",
    "Snapshot",
    "find_attempt",
    "last_attempts",
    "last_published",
    "publish",
    "record_failure",
]

LOCK_SECONDS = 60
"""How long a run waits for another one that publishes the same district."""


@dataclass(frozen=True)
class Published:
    """What a published snapshot holds, and how it differs from the night before."""

    students: int
    enrolled: int
    pre_enrolled: int
    graduated: int
    inactive: int
    added: int
    changed: int
    removed: int
    kept: int


def publish(
    engine: sa.Engine,
    *,
    district_id: str,
    snapshot_date: date,
    snapshot: Snapshot,
    run_id: str,
    started_at: datetime,
    restricted: pd.DataFrame | None = None,
    local_date: date | None = None,
) -> Published:
    """Make `snapshot` what SameGoal reads of this district, as of the night `snapshot_date`.

    The same night again replaces that night: what is left is as if only the last publication had been.

    Args:
        snapshot: frames `status`, `students` and `parents` with the columns of the views (without district_id
            and snapshot_date), and `kept`: ids of students who keep the rows that the night before left.
        started_at: when the run began; a run that began before the published one may not replace it.
        restricted: student_id and parent_id of every pair under restriction tonight: the contact data of
            such a parent goes from the rows that kept students keep, too.
        local_date: the district's date now. Published nights that have not come yet (a rehearsal of a day to
            come) are taken back in favour of this one.

    Raises:
        UnfitSnapshot: the frames do not fit the tables or each other.
        OlderSnapshot: a later night is published already.
        SupersededRun: a run that began later has published this night already.
        EmptySnapshot: nobody is in the snapshot, but somebody was in the one before.
        SnapshotInProgress: another run is publishing this district, and did not end in time.
        WarehouseError: Postgres failed; nothing was changed (unless the connection broke at the commit).
    """
    content = content_of(snapshot)
    with as_writer(engine, district_id, "publishing") as connection:
        cursor = connection.connection.cursor()
        _lock(cursor, district_id)
        last = _last(connection, district_id)
        to_come = last is not None and snapshot_date <= (local_date or date.max) < last.snapshot_date
        if not to_come:
            _refuse_what_is_late(last, snapshot_date, run_id, started_at)
        same_night = last is not None and last.snapshot_date == snapshot_date
        if last is not None and last.content_hash == content.hash and not to_come:
            published = (
                last.published if same_night else replace(last.published, added=0, changed=0, removed=0)
            )
        else:
            if not content.status.table.num_rows:
                _refuse_to_empty(connection, content, district_id)
            if same_night or to_come:
                staging.undo(cursor, district_id, snapshot_date)
            staging.write(cursor, content, district_id, snapshot_date)
            published = _count(connection, content, district_id, snapshot_date)
        if restricted is not None and len(content.kept):
            hidden = hide_from_kept(connection, restricted, content.kept, district_id, snapshot_date)
            published = replace(published, changed=published.changed + hidden)
        _record(connection, published, content, district_id, snapshot_date, run_id, started_at)
    return published


@dataclass(frozen=True)
class _Last:
    """The district's published snapshot."""

    snapshot_date: date
    content_hash: bytes
    run_id: str
    started_at: datetime
    published: Published


def _lock(cursor: Any, district_id: str) -> None:
    cursor.execute(f"set local lock_timeout = '{LOCK_SECONDS}s'")
    try:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"publish {district_id}",))
    except psycopg2.errors.LockNotAvailable:
        raise SnapshotInProgress(
            f"another run has been publishing this district for {LOCK_SECONDS} s; run again when it is done"
        ) from None


def _last(connection: sa.Connection, district_id: str) -> _Last | None:
    counts = [snapshots.c[name] for name in Published.__dataclass_fields__]
    query = (
        sa.select(
            current_snapshots.c.snapshot_date,
            current_snapshots.c.content_hash,
            snapshots.c.run_id,
            snapshots.c.started_at,
            *counts,
        )
        .join(snapshots, snapshots.c.snapshot_id == current_snapshots.c.snapshot_id)
        .where(current_snapshots.c.district_id == district_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    snapshot_date, content_hash, run_id, started_at, *numbers = row
    return _Last(snapshot_date, bytes(content_hash), run_id, started_at, Published(*numbers))


def _refuse_what_is_late(last: _Last | None, night: date, run_id: str, started_at: datetime) -> None:
    if last is None or night > last.snapshot_date:
        return
    if night < last.snapshot_date:
        raise OlderSnapshot(
            f"the night {night} is older than {last.snapshot_date}, which is published; run the current night"
        )
    if last.run_id != run_id and last.started_at > started_at:
        raise SupersededRun(f"run {last.run_id}, which began later, has published the night {night} already")


def _refuse_to_empty(connection: sa.Connection, content: Content, district_id: str) -> None:
    status = STATUS.table
    lost = connection.scalar(
        sa.select(sa.func.count()).where(
            status.c.district_id == district_id,
            status.c.valid_to.is_(None),
            status.c.student_id.not_in(content.kept.tolist()),
        )
    )
    if lost:
        raise EmptySnapshot(
            f"nobody is in the snapshot, but {lost} student(s) were in the last one, which stays; "
            "check in Qmlativ whether the Integration Access still sees the enrollments"
        )


def _count(connection: sa.Connection, content: Content, district_id: str, night: date) -> Published:
    status = STATUS.table
    having = _tally(
        connection, status.c.status, status.c.district_id == district_id, status.c.valid_to.is_(None)
    )
    changes = _tally(
        connection,
        student_changes.c.change,
        student_changes.c.district_id == district_id,
        student_changes.c.snapshot_date == night,
    )
    added, removed = changes.pop("added", 0), changes.pop("removed", 0)
    students = sum(having.values())
    return Published(
        students=students,
        enrolled=having.get("ENROLLED", 0),
        pre_enrolled=having.get("PRE-ENROLLED", 0),
        graduated=having.get("GRADUATED", 0),
        inactive=having.get("INACTIVE", 0),
        added=added,
        changed=sum(changes.values()),
        removed=removed,
        kept=students - content.status.table.num_rows,
    )


def _tally(
    connection: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*where).group_by(column)
    return {value: count for value, count in connection.execute(query)}


def _record(
    connection: sa.Connection,
    published: Published,
    content: Content,
    district_id: str,
    night: date,
    run_id: str,
    started_at: datetime,
) -> None:
    """The row of `snapshots`, and the mark that it is the current one."""
    this_night = (snapshots.c.district_id == district_id) & (snapshots.c.snapshot_date >= night)
    connection.execute(
        sa.update(snapshots)
        .where(this_night, snapshots.c.state == "published", snapshots.c.run_id != run_id)
        .values(state="superseded")
    )
    row = {
        **asdict(published),
        "snapshot_date": night,
        "state": "published",
        "held_reason": None,
        "started_at": started_at,
        "published_at": sa.func.now(),
    }
    statement = insert(snapshots).values(district_id=district_id, run_id=run_id, **row)
    statement = statement.on_conflict_do_update(index_elements=["run_id", "district_id"], set_=row)
    snapshot_id = connection.scalar(statement.returning(snapshots.c.snapshot_id))
    mark = {"snapshot_date": night, "snapshot_id": snapshot_id, "content_hash": content.hash}
    connection.execute(
        insert(current_snapshots)
        .values(district_id=district_id, **mark)
        .on_conflict_do_update(index_elements=["district_id"], set_=mark)
    )

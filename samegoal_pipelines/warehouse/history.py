"""Writing one night's snapshot within a transaction that somebody else began: what publishing, releasing and
replaying have in common.

Whoever writes locks the district first and asks what is published now; whether the night may be written is
the caller's to decide, by the refusals here. Nothing here commits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

import pandas as pd
import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from samegoal_pipelines.errors import SYNC, Kind
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import current_snapshots, releases, snapshots, student_changes
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.diff import Staged
from samegoal_pipelines.warehouse.engine import LOCK_SECONDS
from samegoal_pipelines.warehouse.errors import (
    DistrictErasedError,
    OlderSnapshotError,
    SnapshotInProgressError,
    SupersededRunError,
    WarehouseError,
)
from samegoal_pipelines.warehouse.gate_metrics import Shown, changes_between, shown
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.snapshots import erased_since
from samegoal_pipelines.warehouse.withholding import Hidden, hide_from_kept, hide_from_published

OTHER_CONTENT = b""
"""The content hash of published rows that were changed since: no snapshot has it."""

LOCK_ROW = (
    "insert into samegoal.locks (key) values (hashtextextended(%s, 0)) "
    "on conflict (key) do update set key = excluded.key where false"
)
"""Locks the row of a name until the transaction ends: also one that is there, though nothing is updated."""


@dataclass(frozen=True)
class Counts:
    """What a snapshot holds, and how it differs from what was published before.

    A snapshot that is published or held counts `added`, `changed` and `removed` against what was published
    before the attempt. For the first attempt of a night, that is the night before.
    """

    students: int
    enrolled: int
    pre_enrolled: int
    graduated: int
    inactive: int
    added: int
    changed: int
    removed: int
    kept: int
    lost: int = 0


@dataclass(frozen=True)
class Origin:
    """Where a snapshot comes from: the run, and what it knows of the rows besides the rows."""

    run_id: str
    started_at: datetime
    landed_run_id: str | None = None
    notes: tuple[str, ...] = ()
    enrollment_rows: int | None = None
    set_aside: int | None = None


@dataclass(frozen=True)
class Current:
    """The district's published snapshot."""

    snapshot_date: date
    run_id: str
    started_at: datetime
    snapshot_id: int
    content_hash: bytes
    counts: Counts
    lost_by_time: int | None


def lock(connection: sa.Connection, district_id: str) -> None:
    """Be the only one who writes this district, until the transaction ends, however it ends.

    What is locked is a row that none but writers can lock: a reader could take an advisory lock, and keep it.

    Raises:
        SnapshotInProgressError: somebody else was at it, and did not end in time.
    """
    cursor = connection.connection.cursor()
    for timeout in ("lock_timeout", "statement_timeout"):  # the third in a row would wait for two locks
        cursor.execute(f"set local {timeout} = '{LOCK_SECONDS}s'")
    try:
        cursor.execute(LOCK_ROW, (f"publish {district_id}",))
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
        raise SnapshotInProgressError(
            f"another run has been publishing this district for {LOCK_SECONDS} s"
        ) from None
    cursor.execute("set local statement_timeout to default")


def published_now(connection: sa.Connection, district_id: str) -> Current | None:
    """The snapshot that the current views show; None before the first."""
    counts = [snapshots.c[name] for name in Counts.__dataclass_fields__]
    query = (
        sa.select(
            current_snapshots.c.snapshot_date,
            snapshots.c.run_id,
            snapshots.c.started_at,
            snapshots.c.snapshot_id,
            current_snapshots.c.content_hash,
            snapshots.c.lost_by_time,
            *counts,
        )
        .join(snapshots, snapshots.c.snapshot_id == current_snapshots.c.snapshot_id)
        .where(current_snapshots.c.district_id == district_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    night, run_id, started_at, snapshot_id, content_hash, lost_by_time, *numbers = row
    counted = Counts(*(number or 0 for number in numbers))
    return Current(night, run_id, started_at, snapshot_id, bytes(content_hash), counted, lost_by_time)


def published_before(connection: sa.Connection, district_id: str, night: date) -> int | None:
    """The snapshot_id of the last published night before this one; None if there is none."""
    return connection.scalar(
        sa.select(snapshots.c.snapshot_id)
        .where(
            snapshots.c.district_id == district_id,
            snapshots.c.state == "published",
            snapshots.c.snapshot_date < night,
        )
        .order_by(snapshots.c.snapshot_date.desc())
        .limit(1)
    )


def was_released(connection: sa.Connection, now: Current, district_id: str) -> bool:
    """Whether a person has released the current content for its night, in this run of the night or before."""
    current = snapshots.alias()
    query = sa.exists().where(
        releases.c.district_id == district_id,
        releases.c.snapshot_date == now.snapshot_date,
        snapshots.c.snapshot_id == releases.c.published_snapshot_id,
        snapshots.c.content_hash == current.c.content_hash,
        current.c.snapshot_id == now.snapshot_id,
    )
    return bool(connection.scalar(sa.select(query)))


def refuse_what_is_late(now: Current | None, district_id: str, night: date, origin: Origin) -> None:
    """Never publish an older night over a newer one, or the rows of a run that was overtaken.

    Raises:
        OlderSnapshotError: a later night is published already.
        SupersededRunError: a run that began later has published this night already.
    """
    if now is None or night > now.snapshot_date:
        return
    if night < now.snapshot_date:
        raise OlderSnapshotError(
            f"the night {night} is older than {now.snapshot_date}, which is published and stays",
            district_id=district_id,
            next_step=f"run the current night: {SYNC}; if it is the current one, check this machine's "
            "clock and "
            f"the district's time zone. If the clock was ahead when {now.snapshot_date} was published, wait "
            "until that date is over, or start again with: samegoal-pipelines districts erase ID --yes",
        )
    if now.run_id != origin.run_id and now.started_at > origin.started_at:
        raise SupersededRunError(
            f"run {now.run_id}, which began later, has published the night {night} already"
        )


def refuse_the_erased(connection: sa.Connection, district_id: str, origin: Origin) -> None:
    """Let no run that began before the district was erased bring its rows back.

    Raises:
        DistrictErasedError: it was erased since.
    """
    if connection.scalar(sa.select(erased_since(district_id, origin.started_at))):
        raise DistrictErasedError(
            "the district was erased after this run had begun, and nothing of it was stored"
        )


def write_night(
    connection: sa.Connection,
    content: Content,
    staged: Staged,
    *,
    district_id: str,
    night: date,
    absent: pd.DataFrame | None,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    before: Shown | None = None,
) -> Counts:
    """Make the staged rows the current ones as of `night`, with changes and departures; count them.

    Args:
        before: what was published before this attempt, to count its changes against; None: the night before.
    """
    cursor = connection.connection.cursor()
    diff.write(cursor, staged, absent, district_id, night)
    counts = _count(connection, content, district_id, night)
    counts = hide(connection, counts, content, restricted, confidential, district_id, night)
    if before is None:
        return counts
    return replace(counts, **asdict(changes_between(before, shown(cursor, district_id))))


def hide(
    connection: sa.Connection,
    counts: Counts,
    content: Content,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    district_id: str,
    night: date,
) -> Counts:
    """Take what is withheld tonight from the rows that kept students keep."""
    if not len(content.kept):
        return counts
    hidden = hide_from_kept(connection, restricted, confidential, content.kept, district_id, night)
    return replace(counts, changed=counts.changed + hidden)


def hide_now(
    connection: sa.Connection,
    now: Current,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    district_id: str,
) -> Hidden:
    """Take what has come to be withheld from the published rows, although no new snapshot replaces them."""
    hidden = hide_from_published(connection, restricted, confidential, district_id, now.snapshot_date)
    note_hidden(connection, now.snapshot_id, hidden, district_id)
    return hidden


def note_hidden(connection: sa.Connection, snapshot_id: int, hidden: Hidden, district_id: str) -> None:
    """Count what was hidden as a change of the published snapshot, and have the next one compared in full."""
    if not hidden.rows:
        return
    connection.execute(
        sa.update(snapshots)
        .where(snapshots.c.district_id == district_id, snapshots.c.snapshot_id == snapshot_id)
        .values(
            changed=sa.func.coalesce(snapshots.c.changed, 0) + hidden.students,
            # `changed` stays where these students already count as added or changed; a reader must see this.
            notes=sa.func.array_append(
                snapshots.c.notes, f"contacts were hidden after publication in {hidden.rows:,} rows"
            ),
        )
    )
    connection.execute(
        sa.update(current_snapshots)
        .where(current_snapshots.c.district_id == district_id)
        .values(content_hash=OTHER_CONTENT)
    )


def _count(connection: sa.Connection, content: Content, district_id: str, night: date) -> Counts:
    """Who has which status is what the snapshot says, and of kept students what their rows say."""
    status = STATUS.table
    counted = content.status.table["status"].value_counts().to_pylist()
    having = Counter({each["values"]: each["counts"] for each in counted})
    if len(content.kept):
        kept = status.c.student_id == sa.any_(sa.literal(content.kept.tolist(), ARRAY(sa.BigInteger)))
        current = (status.c.district_id == district_id) & status.c.valid_to.is_(None)
        having.update(_tally(connection, status.c.status, current, kept))
    tonight = (student_changes.c.district_id == district_id) & (student_changes.c.snapshot_date == night)
    changes = _tally(connection, student_changes.c.change, tonight)
    was_active = student_changes.c.old_status.in_(["ENROLLED", "PRE-ENROLLED"])
    is_active = sa.func.coalesce(student_changes.c.new_status, "").in_(["ENROLLED", "PRE-ENROLLED"])
    lost = sa.select(sa.func.count()).where(tonight, was_active, ~is_active)
    added, removed = changes.pop("added", 0), changes.pop("removed", 0)
    students = having.total()
    return Counts(
        students=students,
        enrolled=having["ENROLLED"],
        pre_enrolled=having["PRE-ENROLLED"],
        graduated=having["GRADUATED"],
        inactive=having["INACTIVE"],
        added=added,
        changed=sum(changes.values()),
        removed=removed,
        kept=students - content.status.table.num_rows,
        lost=connection.scalar(lost) or 0,
    )


def _tally(
    connection: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*where).group_by(column)
    return {value: count for value, count in connection.execute(query)}


def record_published(
    connection: sa.Connection,
    counts: Counts,
    content: Content,
    origin: Origin,
    *,
    district_id: str,
    night: date,
    lost_by_time: int | None = None,
) -> int:
    """The row of `snapshots`, and the mark that it is the current one.

    What was published or held of this night before is superseded.

    Returns:
        The row's snapshot_id.
    """
    connection.execute(
        sa.update(snapshots)
        .where(
            snapshots.c.district_id == district_id,
            snapshots.c.snapshot_date >= night,
            snapshots.c.state.in_(["published", "held"]),
            snapshots.c.run_id != origin.run_id,
        )
        .values(state="superseded")
    )
    row = _row(counts, content, origin, night, lost_by_time) | {
        "state": "published",
        "held_reason": None,
        "compared_with": None,
        "published_at": sa.func.now(),
    }
    statement = insert(snapshots).values(district_id=district_id, run_id=origin.run_id, **row)
    statement = statement.on_conflict_do_update(index_elements=["run_id", "district_id"], set_=row)
    snapshot_id = connection.execute(statement.returning(snapshots.c.snapshot_id)).scalar_one()
    mark = {"snapshot_date": night, "snapshot_id": snapshot_id, "content_hash": content.hash}
    connection.execute(
        insert(current_snapshots)
        .values(district_id=district_id, **mark)
        .on_conflict_do_update(index_elements=["district_id"], set_=mark)
    )
    return int(snapshot_id)


def record_held(
    connection: sa.Connection,
    counts: Counts,
    content: Content,
    origin: Origin,
    *,
    district_id: str,
    night: date,
    lost_by_time: int | None,
    reason: str,
    compared_with: int,
) -> None:
    """The row of `snapshots` for what was held, with the counts that publishing would have given.

    Raises:
        WarehouseError: this very run has published the night, and read other rows since.
    """
    row = _row(counts, content, origin, night, lost_by_time) | {
        "state": "held",
        "held_reason": reason,
        "compared_with": compared_with,
        "published_at": None,
    }
    statement = insert(snapshots).values(district_id=district_id, run_id=origin.run_id, **row)
    statement = statement.on_conflict_do_update(
        index_elements=["run_id", "district_id"], set_=row, where=snapshots.c.state.in_(["failed", "held"])
    )
    if connection.scalar(statement.returning(snapshots.c.snapshot_id)) is None:
        raise WarehouseError(
            "this run has published the night already and has read very different rows since; what it "
            "published "
            "stays",
            kind=Kind.OUTDATED,
        )


def _row(
    counts: Counts, content: Content, origin: Origin, night: date, lost_by_time: int | None
) -> dict[str, object]:
    """What a row of `snapshots` says of any attempt that was counted."""
    return {
        **asdict(counts),
        "lost_by_time": lost_by_time,
        "snapshot_date": night,
        "started_at": origin.started_at,
        "landed_run_id": origin.landed_run_id,
        "notes": list(origin.notes),
        "enrollment_rows": origin.enrollment_rows,
        "set_aside": origin.set_aside,
        "content_hash": content.hash,
    }

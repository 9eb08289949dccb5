"""Erase a student's rows from every table in one transaction, and leave a marker without personal data.

The marker has keyed hashes of StudentID and student number, so that a later night recognizes the student and
drops the rows. Anyone who knows a StudentID and can read the key can test it, so only the pipeline reads the
table. Landed files are rewritten in `operations.erase_student`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import metadata, registrar_worklist, snapshots, student_erasures
from samegoal_pipelines.transforms.erasure import hash_of
from samegoal_pipelines.warehouse.engine import LOCK_ROW, LOCK_SECONDS, as_writer
from samegoal_pipelines.warehouse.erased_students import find_erased
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError
from samegoal_pipelines.warehouse.session import lock
from samegoal_pipelines.warehouse.snapshots import OTHER_CONTENT, find_current, mark_content, record_replayed

TABLES = tuple(
    table for table in metadata.sorted_tables if {"district_id", "student_id"} <= {*table.c.keys()}
)
"""Every table with rows about one student. Found by column, so that none added later is forgotten."""

_marker = student_erasures.c


def erased_on(engine: sa.Engine, district_id: str, number: str) -> datetime | None:
    """When a student with this number was erased. None if none was."""
    newest = sa.func.max(_marker.erased_at)
    with as_writer(engine, district_id, "looking up erased students") as connection:
        found = connection.scalar(_with_number(connection, district_id, number, newest))
    return found if isinstance(found, datetime) else None


def count_rows(engine: sa.Engine, district_id: str, student_ids: Collection[int]) -> dict[str, int]:
    """The number of these students' rows in each table, without empty ones."""
    with as_writer(engine, district_id, "counting the student's rows") as connection:
        counts = {
            table.name: connection.scalar(
                sa.select(sa.func.count()).select_from(table).where(*_of(table, district_id, student_ids))
            )
            or 0
            for table in TABLES
        }
    return {name: count for name, count in counts.items() if count}


def erase_rows(
    engine: sa.Engine, district_id: str, student_id: int, number: str, erased_by: str
) -> dict[str, int]:
    """Mark a student as erased and delete the rows. The erasure is unfinished until `finish` is called.

    Returns:
        Number of deleted rows by table.

    Raises:
        SnapshotInProgressError: another run is publishing the district and did not end in time.
    """
    with as_writer(engine, district_id, "erasing the student's rows") as connection:
        lock(connection, district_id)
        key = find_erased(connection, district_id).key or secrets.token_bytes(32)
        marker = {
            "number_hash": hash_of(key, "number", number.strip()),
            "erased_at": sa.func.clock_timestamp(),
            "erased_by": erased_by,
            "files_rewritten": None,
        }
        student = hash_of(key, "student", student_id)
        connection.execute(
            insert(student_erasures)
            .values(district_id=district_id, key=key, student_hash=student, **marker)
            .on_conflict_do_update(index_elements=["district_id", "student_hash"], set_=marker)
        )
        _forget_in_snapshots(connection, district_id, student_id)
        return _delete(connection, district_id, [student_id], TABLES)


def _forget_in_snapshots(connection: sa.Connection, district_id: str, student_id: int) -> None:
    """Uncount a student who is published now. Held snapshots can no longer be released as they were."""
    status = STATUS.table.c
    shown = sa.select(status.status).where(
        *_of(STATUS.table, district_id, [student_id]), status.valid_to.is_(None)
    )
    now, published = find_current(connection, district_id), connection.scalar(shown)
    if now and published:
        column = published.lower().replace("-", "_")
        counts = {name: snapshots.c[name] - 1 for name in ("students", column)}
        record_replayed(connection, now, counts)
        mark_content(connection, district_id, OTHER_CONTENT)
    connection.execute(
        sa.update(snapshots)
        .where(snapshots.c.district_id == district_id, snapshots.c.state == "held")
        .values(compared_with=None)
    )


@contextmanager
def one_at_a_time(engine: sa.Engine, district_id: str) -> Iterator[None]:
    """Hold a lock while a student's landed files are rewritten. Nights do not wait for it.

    Raises:
        SnapshotInProgressError: another command did not end in time.
    """
    with as_writer(engine, district_id, "erasing a student") as connection:
        cursor = connection.connection.cursor()
        cursor.execute(f"set local statement_timeout = '{LOCK_SECONDS}s'")
        try:
            cursor.execute(LOCK_ROW, (f"erase a student of {district_id}",))
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
            raise SnapshotInProgressError(
                f"another command has been erasing a student of this district for {LOCK_SECONDS} s"
            ) from None
        yield


def finish(engine: sa.Engine, district_id: str, files: int) -> None:
    """Record that the landed files hold none of the district's erased students any more."""
    with as_writer(engine, district_id, "recording the erasure") as connection:
        connection.execute(
            sa.update(student_erasures)
            .where(_marker.district_id == district_id, _marker.files_rewritten.is_(None))
            .values(files_rewritten=files)
        )


def lift(engine: sa.Engine, district_id: str, number: str) -> int:
    """Remove the markers of students with this number. Return how many."""
    with as_writer(engine, district_id, "lifting the erasure") as connection:
        hashes = [
            bytes(one)
            for one in connection.scalars(_with_number(connection, district_id, number, _marker.student_hash))
        ]
        connection.execute(
            sa.delete(student_erasures).where(
                _marker.district_id == district_id, _marker.student_hash.in_(hashes)
            )
        )
        return len(hashes)


def prune_history(engine: sa.Engine, district_id: str, before: date) -> int:
    """Delete the rows of students who were last published before this night. Return how many students.

    The worklist is about tonight and stays.
    """
    status = STATUS.table.c
    last = sa.func.max(sa.func.coalesce(status.valid_to, "infinity"))
    gone = sa.select(status.student_id).where(status.district_id == district_id)
    with as_writer(engine, district_id, "pruning the history") as connection:
        lock(connection, district_id)
        students = list(connection.scalars(gone.group_by(status.student_id).having(last <= before)))
        tables = [table for table in TABLES if table is not registrar_worklist]
        _delete(connection, district_id, students, tables)
    return len(students)


def _delete(
    connection: sa.Connection, district_id: str, students: Collection[int], tables: Collection[sa.Table]
) -> dict[str, int]:
    counts = {
        table.name: connection.execute(sa.delete(table).where(*_of(table, district_id, students))).rowcount
        for table in tables
    }
    return {name: count for name, count in counts.items() if count}


def _of(table: sa.Table, district_id: str, students: Collection[int]) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.district_id == district_id, table.c.student_id.in_(students)


def _with_number(
    connection: sa.Connection, district_id: str, number: str, what: sa.ColumnElement[Any]
) -> sa.Select[tuple[Any]]:
    """Select from the markers of students with this number."""
    key = find_erased(connection, district_id).key
    number_hash = hash_of(key, "number", number.strip())
    return sa.select(what).where(_marker.district_id == district_id, _marker.number_hash == number_hash)

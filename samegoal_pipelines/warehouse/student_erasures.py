"""Erase a student's rows from every table in one transaction, and leave a marker without personal data.

The marker has keyed hashes of StudentID and student number, so that a later night recognizes the student and
drops the rows. Anyone who can read the key can test a StudentID, so only the pipeline reads the table.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import registrar_worklist, snapshots, student_erasures
from samegoal_pipelines.transforms.erasure import ErasedStudents, hash_of
from samegoal_pipelines.warehouse.engine import as_writer, lock
from samegoal_pipelines.warehouse.erase import STUDENT_TABLES, delete_rows, whose
from samegoal_pipelines.warehouse.snapshots import (
    OTHER_CONTENT,
    find_current,
    forget_comparisons,
    mark_content,
    of_district,
    update_facts,
)

_marker = student_erasures.c


def erased_students(engine: sa.Engine, district_id: str) -> ErasedStudents:
    """The district's erased students, as hashes."""
    with as_writer(engine, district_id, "looking up erased students") as connection:
        return find_erased(connection, district_id)


def find_erased(connection: sa.Connection, district_id: str) -> ErasedStudents:
    """As `erased_students`, within a transaction."""
    query = sa.select(_marker.key, _marker.student_hash).where(_marker.district_id == district_id)
    rows = connection.execute(query).all()
    return ErasedStudents(rows[0][0], frozenset(student for _, student in rows)) if rows else ErasedStudents()


def erased_on(engine: sa.Engine, district_id: str, number: str) -> datetime | None:
    """When a student with this number was erased. None if none was."""
    with as_writer(engine, district_id, "looking up erased students") as connection:
        query = sa.select(sa.func.max(_marker.erased_at)).where(*_numbered(connection, district_id, number))
        found: datetime | None = connection.scalar(query)
    return found


def erase_rows(
    engine: sa.Engine, district_id: str, student_id: int, number: str, erased_by: str
) -> dict[str, int]:
    """Mark a student as erased, delete the rows, and return how many by table.

    The erasure is unfinished until `finish` is called.
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
        return delete_rows(connection, district_id, [student_id], STUDENT_TABLES)


def _forget_in_snapshots(connection: sa.Connection, district_id: str, student_id: int) -> None:
    """Uncount a student who is published now. Held snapshots can no longer be released as they were."""
    status = STATUS.table.c
    shown = sa.select(status.status).where(
        *whose(STATUS.table, district_id, [student_id]), status.valid_to.is_(None)
    )
    now, published = find_current(connection, district_id), connection.scalar(shown)
    if now and published:
        column = published.lower().replace("-", "_")
        update_facts(connection, now, {name: snapshots.c[name] - 1 for name in ("students", column)})
        mark_content(connection, district_id, OTHER_CONTENT)
    forget_comparisons(connection, of_district(district_id, "held"))


@contextmanager
def one_at_a_time(engine: sa.Engine, district_id: str) -> Iterator[None]:
    """Hold a lock while a student's landed files are rewritten. Nights do not wait for it."""
    with as_writer(engine, district_id, "erasing a student") as connection:
        lock(connection, district_id, "erasing a student of")
        yield


def finish(engine: sa.Engine, district_id: str, files: int) -> None:
    """Record that the landed files hold none of the district's erased students any more."""
    with as_writer(engine, district_id, "recording the erasure") as connection:
        unfinished = _marker.files_rewritten.is_(None)
        this = sa.update(student_erasures).where(*whose(student_erasures, district_id), unfinished)
        connection.execute(this.values(files_rewritten=files))


def lift(engine: sa.Engine, district_id: str, number: str) -> int:
    """Remove the markers of students with this number. Return how many."""
    with as_writer(engine, district_id, "lifting the erasure") as connection:
        markers = sa.delete(student_erasures).where(*_numbered(connection, district_id, number))
        return connection.execute(markers).rowcount


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
        tables = [table for table in STUDENT_TABLES if table is not registrar_worklist]
        delete_rows(connection, district_id, students, tables)
    return len(students)


def _numbered(connection: sa.Connection, district_id: str, number: str) -> list[sa.ColumnElement[bool]]:
    """The conditions for the markers of students with this number."""
    key = find_erased(connection, district_id).key
    number_hash = hash_of(key, "number", number.strip())
    return [*whose(student_erasures, district_id), _marker.number_hash == number_hash]

"""Erase rows: a district's from every table, or a student's, leaving a marker without personal data.

Tables are found by their columns `district_id` and `student_id`, so that none added later is forgotten. Files
and Dagster's partition are erased in `operations`.

A student's marker has keyed hashes of StudentID and student number, so that a later night recognizes the
student and drops the rows. Anyone who can read the key can test a StudentID, so only the pipeline reads it.
"""

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import (
    alerts_sent,
    erasures,
    metadata,
    registrar_worklist,
    snapshots,
    student_erasures,
)
from samegoal_pipelines.transforms.erasure import ErasedStudents, hash_of
from samegoal_pipelines.warehouse.engine import Role, as_writer, lock, take_role
from samegoal_pipelines.warehouse.snapshots import (
    OTHER_CONTENT,
    find_current,
    forget_comparisons,
    mark_content,
    of_district,
    update_facts,
)

TABLES = tuple(
    table for table in reversed(metadata.sorted_tables) if "district_id" in table.c and table is not erasures
)
"""Every table with a district's rows, referencing tables first. The record of erasures stays."""
_STUDENT_TABLES = tuple(table for table in TABLES if "student_id" in table.c)
_marker = student_erasures.c


def count_rows(
    engine: sa.Engine, district_id: str, students: Collection[int] | None = None
) -> dict[str, int]:
    """The number of the district's rows, or of these students, in each table, without empty ones."""
    with as_writer(engine, district_id, "counting the rows to erase") as connection:
        counts = {
            table.name: connection.scalar(
                sa.select(sa.func.count()).select_from(table).where(*_whose(table, district_id, students))
            )
            for table in (TABLES if students is None else _STUDENT_TABLES)
        }
    return {name: count for name, count in counts.items() if count}


def _whose(
    table: sa.Table, district_id: str, students: Collection[int] | None = None
) -> list[sa.ColumnElement[bool]]:
    of_students = [] if students is None else [table.c.student_id.in_(students)]
    return [table.c.district_id == district_id, *of_students]


def _delete(
    connection: sa.Connection,
    tables: Collection[sa.Table],
    district_id: str,
    students: Collection[int] | None = None,
) -> dict[str, int]:
    """Delete the rows of a district, or of some of its students. Return how many by table."""
    counts = {
        table.name: connection.execute(sa.delete(table).where(*_whose(table, district_id, students))).rowcount
        for table in tables
    }
    return {name: count for name, count in counts.items() if count}


# -- a district --


def erase_rows(engine: sa.Engine, district_id: str, erased_by: str) -> dict[str, int]:
    """Delete every row of the district. Record how many by table, when and by whom, and return the counts.

    The erasure is unfinished until `finish` is called, because files are still to be deleted. If an
    unfinished erasure exists and no row is left, nothing is written.
    """
    with as_writer(engine, district_id, "erasing the district's rows") as connection:
        lock(connection, district_id)
        counts = _delete(connection, TABLES, district_id)
        if counts or not connection.scalar(sa.select(sa.exists().where(*_unfinished(district_id)))):
            connection.execute(
                sa.insert(erasures).values(
                    district_id=district_id,
                    erased_at=sa.func.clock_timestamp(),  # the end, not the start
                    erased_by=erased_by,
                    rows_erased=counts,
                )
            )
        _forget_messages(connection, district_id)
    return counts


def _forget_messages(connection: sa.Connection, district_id: str) -> None:
    """Remove the district's lines from sent messages. Only the owner may change that table."""
    take_role(connection, Role.OWNER)
    line = sa.func.unnest(sa.func.string_to_array(alerts_sent.c.digest, "\n")).column_valued("line")
    of_others = sa.func.split_part(line, " ", 1) != district_id
    left = sa.select(sa.func.string_agg(line, "\n")).where(of_others).scalar_subquery()
    connection.execute(
        sa.update(alerts_sent)
        .where(sa.literal("\n").concat(alerts_sent.c.digest).contains(f"\n{district_id} "))
        .values(digest=sa.func.coalesce(left, ""))
    )


def finish(engine: sa.Engine, district_id: str, files_erased: int) -> None:
    """Record that the district's files are deleted, too: how many by this attempt."""
    with as_writer(engine, district_id, "recording the erasure") as connection:
        this = sa.update(erasures).where(*_unfinished(district_id))
        connection.execute(this.values(files_erased=files_erased))


def is_unfinished(engine: sa.Engine, district_id: str) -> bool:
    """Whether an erasure of the district stopped before its files were deleted."""
    with as_writer(engine, district_id, "looking up erasures") as connection:
        return bool(connection.scalar(sa.select(sa.exists().where(*_unfinished(district_id)))))


def _unfinished(district_id: str) -> list[sa.ColumnElement[bool]]:
    return [erasures.c.district_id == district_id, erasures.c.files_erased.is_(None)]


# -- a student --


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


def erase_student_rows(
    engine: sa.Engine, district_id: str, student_id: int, number: str, erased_by: str
) -> dict[str, int]:
    """Mark a student as erased, delete the rows, and return how many by table.

    The erasure is unfinished until `finish_student` is called.
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
        return _delete(connection, _STUDENT_TABLES, district_id, [student_id])


def _forget_in_snapshots(connection: sa.Connection, district_id: str, student_id: int) -> None:
    """Uncount a student who is published now. Held snapshots can no longer be released as they were."""
    status = STATUS.table.c
    shown = sa.select(status.status).where(
        *_whose(STATUS.table, district_id, [student_id]), status.valid_to.is_(None)
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


def finish_student(engine: sa.Engine, district_id: str, files: int) -> None:
    """Record that the landed files hold none of the district's erased students any more."""
    with as_writer(engine, district_id, "recording the erasure") as connection:
        this = sa.update(student_erasures).where(
            _marker.district_id == district_id, _marker.files_rewritten.is_(None)
        )
        connection.execute(this.values(files_rewritten=files))


def lift(engine: sa.Engine, district_id: str, number: str) -> int:
    """Remove the markers of students with this number. Return how many."""
    with as_writer(engine, district_id, "lifting the erasure") as connection:
        markers = sa.delete(student_erasures).where(*_numbered(connection, district_id, number))
        return connection.execute(markers).rowcount


def _numbered(connection: sa.Connection, district_id: str, number: str) -> list[sa.ColumnElement[bool]]:
    """The conditions for the markers of students with this number."""
    key = find_erased(connection, district_id).key
    return [_marker.district_id == district_id, _marker.number_hash == hash_of(key, "number", number.strip())]


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
        tables = [table for table in _STUDENT_TABLES if table is not registrar_worklist]
        _delete(connection, tables, district_id, students)
    return len(students)

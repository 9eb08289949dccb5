"""Look up which students of a district are erased. The markers are written in `student_erasures`."""

from __future__ import annotations

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import student_erasures
from samegoal_pipelines.transforms.erasure import ErasedStudents
from samegoal_pipelines.warehouse.engine import as_writer


def erased_students(engine: sa.Engine, district_id: str) -> ErasedStudents:
    """The district's erased students, as hashes."""
    with as_writer(engine, district_id, "looking up erased students") as connection:
        return find_erased(connection, district_id)


def find_erased(connection: sa.Connection, district_id: str) -> ErasedStudents:
    """As `erased_students`, within a transaction."""
    query = sa.select(student_erasures.c.key, student_erasures.c.student_hash).where(
        student_erasures.c.district_id == district_id
    )
    rows = [(bytes(key), bytes(student)) for key, student in connection.execute(query)]
    return ErasedStudents(rows[0][0], frozenset(student for _, student in rows)) if rows else ErasedStudents()

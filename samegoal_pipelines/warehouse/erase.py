"""Erase rows in one transaction: a district's from every table, and the same for some of its students.

Tables are found by their columns `district_id` and `student_id`, so that none added later is forgotten. The
erasure of a district is recorded here, and that of a student in `student_erasures`. Files and Dagster's
partition are erased in `operations`.
"""

from collections.abc import Collection

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import alerts_sent, erasures, metadata
from samegoal_pipelines.warehouse.engine import as_writer, lock, take_role
from samegoal_pipelines.warehouse.roles import Role

TABLES = tuple(
    table for table in reversed(metadata.sorted_tables) if "district_id" in table.c and table is not erasures
)
"""Every table with a district's rows, referencing tables first. The record of erasures stays."""
STUDENT_TABLES = tuple(table for table in TABLES if "student_id" in table.c)

_unfinished = erasures.c.files_erased.is_(None)


def count_rows(
    engine: sa.Engine, district_id: str, students: Collection[int] | None = None
) -> dict[str, int]:
    """The number of the district's rows, or of these students, in each table, without empty ones."""
    with as_writer(engine, district_id, "counting the rows to erase") as connection:
        counts = {
            table.name: connection.scalar(
                sa.select(sa.func.count()).select_from(table).where(*whose(table, district_id, students))
            )
            for table in (TABLES if students is None else STUDENT_TABLES)
        }
    return {name: count for name, count in counts.items() if count}


def whose(
    table: sa.Table, district_id: str, students: Collection[int] | None = None
) -> list[sa.ColumnElement[bool]]:
    """The conditions for the rows of a district, or of some of its students."""
    of_students = [] if students is None else [table.c.student_id.in_(students)]
    return [table.c.district_id == district_id, *of_students]


def delete_rows(
    connection: sa.Connection,
    district_id: str,
    students: Collection[int] | None,
    tables: Collection[sa.Table],
) -> dict[str, int]:
    """Delete the rows of a district, or of some of its students. Return how many by table."""
    counts = {
        table.name: connection.execute(sa.delete(table).where(*whose(table, district_id, students))).rowcount
        for table in tables
    }
    return {name: count for name, count in counts.items() if count}


def erase_rows(engine: sa.Engine, district_id: str, erased_by: str) -> dict[str, int]:
    """Delete every row of the district. Record how many by table, when and by whom, and return the counts.

    The erasure is unfinished until `finish` is called, because files are still to be deleted. If an
    unfinished erasure exists and no row is left, nothing is written.
    """
    with as_writer(engine, district_id, "erasing the district's rows") as connection:
        lock(connection, district_id)
        counts = delete_rows(connection, district_id, None, TABLES)
        if counts or not connection.scalar(_is_unfinished(district_id)):
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
        this = sa.update(erasures).where(erasures.c.district_id == district_id, _unfinished)
        connection.execute(this.values(files_erased=files_erased))


def is_unfinished(engine: sa.Engine, district_id: str) -> bool:
    """Whether an erasure of the district stopped before its files were deleted."""
    with as_writer(engine, district_id, "looking up erasures") as connection:
        return bool(connection.scalar(_is_unfinished(district_id)))


def _is_unfinished(district_id: str) -> sa.Select[tuple[bool]]:
    return sa.select(sa.exists().where(erasures.c.district_id == district_id, _unfinished))

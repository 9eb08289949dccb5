"""The history tables: what was published, and on which nights. One type-2 table per published table.

This module derives from the declarations: the SQLAlchemy tables, and the DDL of the current views,
`student_details`, and the functions that show a past night. Access is in warehouse/migrations/access.sql.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.tables import catalog
from samegoal_pipelines.tables.catalog import DISTRICT_ID, VIEWS
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.warehouse import SCHEMA, day, integer, postgres_type, sql_column, table


@dataclass(frozen=True)
class History:
    """One type-2 table, its declaration, and the names that SQL text needs."""

    table: sa.Table
    declared: Table
    name: str
    """The table's name with its schema."""
    key: tuple[str, ...]
    """What identifies a row within a district and night."""
    columns: tuple[str, ...]
    """All columns of a snapshot, including the key, in order."""
    loaded: tuple[str, ...]
    """The columns that a new row is loaded with."""


def _history(declared: Table) -> History:
    name = f"{declared.name}_history"
    made = table(
        name,
        f"{declared.description}; with the nights on which each row was valid",
        *map(sql_column, (DISTRICT_ID, *declared.columns)),
        sa.Column(
            catalog.SNAPSHOT_DATE.name,
            sa.Date,
            sa.Computed("valid_from", persisted=True),
            comment="The night that wrote this row: valid_from",
        ),
        day("valid_from", "First night with this row", nullable=False),
        day("valid_to", "First night without this row; null while current"),
        integer("row_hash", "Hash of the row's content", nullable=False),
        sa.CheckConstraint("valid_to > valid_from", name="valid_to"),
        sa.Index(
            f"{name}_current_key",
            DISTRICT_ID.name,
            *declared.key,
            unique=True,
            postgresql_where=sa.text("valid_to is null"),
            postgresql_include=["row_hash"],
        ),
        key=(DISTRICT_ID.name, *declared.key, "valid_from"),
    )
    columns = declared.names
    loaded = (DISTRICT_ID.name, *columns, "valid_from", "row_hash")
    return History(made, declared, made.fullname, declared.key, columns, loaded)


STATUS, STUDENTS, PARENTS = HISTORIES = tuple(map(_history, catalog.PUBLISHED.values()))

# -- views and functions --


def drop_views() -> Iterator[str]:
    """Statements that drop the views and functions before the tables change."""
    for view in VIEWS:
        yield f"drop view if exists {SCHEMA}.{view}"
        yield f"drop function if exists {SCHEMA}.{view}_as_of(date)"


def create_views() -> Iterator[str]:
    """Statements that create the current views and the functions of a past night, with comments.

    The views run with their owner's rights, because SameGoal may read them but not the history. Policies
    limit the owner to what the caller may see (access.sql).
    """
    for history in HISTORIES:
        view = VIEWS[history.declared.name]
        columns = _listed(history.columns, "history")
        types = (f"{column.name} {postgres_type(column.type)}" for column in map(sql_column, view.columns))
        yield f"""
            create view {SCHEMA}.{view.name} with (security_barrier = true) as
            select history.district_id, {columns}, published.snapshot_date
            from {history.name} as history
            join {SCHEMA}.current_snapshots as published using (district_id)
            where history.valid_to is null
        """  # noqa: S608
        yield f"""
            create function {SCHEMA}.{view.name}_as_of(night date) returns table ({", ".join(types)})
            language sql stable security invoker
            begin atomic
                select history.district_id, {columns}, published.snapshot_date
                from {history.name} as history
                join (
                    select snapshots.district_id, max(snapshots.snapshot_date) as snapshot_date
                    from {SCHEMA}.snapshots
                    where snapshots.state = 'published' and snapshots.snapshot_date <= night
                    group by snapshots.district_id
                ) as published on published.district_id = history.district_id
                where history.valid_from <= night and (history.valid_to is null or history.valid_to > night);
            end;
            comment on function {SCHEMA}.{view.name}_as_of(date)
                is 'The view {view.name} as it was after that night'
        """  # noqa: S608
    beside_status = _listed((column.name for column in catalog.BESIDE_STATUS), "student")
    facts = ", ".join(f"'{column.name}', parent.{column.name}" for column in catalog.PARENT_FACTS)
    yield f"""
        create view {SCHEMA}.{catalog.DETAILS.name} with (security_barrier = true) as
        select status.district_id, {_listed(STATUS.columns, "status")}, {beside_status},
            coalesce(
                (
                    select json_agg(
                        json_build_object({facts}) order by parent.rank nulls last, parent.parent_id
                    )
                    from {PARENTS.name} as parent
                    where parent.district_id = status.district_id
                        and parent.student_id = status.student_id
                        and parent.valid_to is null
                ),
                '[]'::json
            ) as parents,
            published.snapshot_date
        from {STATUS.name} as status
        join {STUDENTS.name} as student using (district_id, student_id)
        join {SCHEMA}.current_snapshots as published using (district_id)
        where status.valid_to is null and student.valid_to is null
    """  # noqa: S608
    for view in VIEWS.values():
        comment = _quoted(f"{view.description}; as of the last published snapshot")
        yield f"comment on view {SCHEMA}.{view.name} is {comment}"
        for column in view.columns:
            yield f"comment on column {SCHEMA}.{view.name}.{column.name} is {_quoted(column.description)}"


def _listed(names: Iterable[str], of: str) -> str:
    return ", ".join(f"{of}.{name}" for name in names)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""Compare a district's history before and after a replay, within the replay's transaction.

For each night, this compares what was published then with what is published now. It changes nothing and
returns counts, never a student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg2.sql import SQL, Composable, Composed, Identifier

from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS
from samegoal_pipelines.warehouse.bulk_copy import identifiers

_LEDGERS = ("student_changes", "departures")


@dataclass(frozen=True)
class Transition:
    """The number of students whose status as of a night changed."""

    old_status: str
    new_status: str
    students: int


@dataclass(frozen=True)
class Difference:
    """The number of students who differ as of one night.

    Attributes:
        added, removed: students who are now published as of this night and were not, or the reverse.
        status, demographics, parents: students published before and after with a difference in these rows.
        transitions: the changes of `status` itself, by old and new status.
        changes, departures: students with other rows of this night in these tables.
    """

    added: int = 0
    removed: int = 0
    status: int = 0
    demographics: int = 0
    parents: int = 0
    changes: int = 0
    departures: int = 0
    transitions: tuple[Transition, ...] = ()


def remember(cursor: Any, district_id: str, first: date) -> None:
    """Copy what is published as of `first` and every later night, until the transaction ends."""
    _copy(cursor, "before", district_id, first)


def compare(cursor: Any, district_id: str, nights: Sequence[date]) -> dict[date, Difference]:
    """How each of these nights differs from what `remember` copied, which began with the first of them."""
    _copy(cursor, "after", district_id, nights[0])
    cursor.execute(_DIFFERENCES)
    for history, part in ((STATUS, _OF_STATUS), (STUDENTS, "'demographics'"), (PARENTS, "'parents'")):
        cursor.execute(_fill(_DIFFERING, history.table.name))
        statement = _fill(
            _ADD_DIFFERENCES,
            history.table.name,
            part=SQL(part),
            statuses=SQL("old.status, new.status" if history is STATUS else "null, null"),
            key=identifiers(history.key),
            columns_of_old=identifiers(history.columns, "old"),
            columns_of_new=identifiers(history.columns, "new"),
        )
        cursor.execute(statement, {"nights": list(nights)})
    cursor.execute(_COUNT)
    counts = {night: dict(zip(_PARTS, numbers, strict=True)) for night, *numbers in cursor.fetchall()}
    for ledger, part in zip(_LEDGERS, ("changes", "departures"), strict=True):
        cursor.execute(_fill(_COUNT_LEDGER, ledger))
        for night, students in cursor.fetchall():
            counts.setdefault(night, {})[part] = students
    cursor.execute(_TRANSITIONS)
    transitions: dict[date, list[Transition]] = {}
    for night, *transition in cursor.fetchall():
        transitions.setdefault(night, []).append(Transition(*transition))
    return {
        night: Difference(**counts.get(night, {}), transitions=tuple(transitions.get(night, ())))
        for night in nights
    }


def _copy(cursor: Any, when: str, district_id: str, first: date) -> None:
    parameters = {"district": district_id, "first": first}
    for history in HISTORIES:
        name = history.table.name
        copied, columns = _temporary(when, name), identifiers(history.columns)
        cursor.execute(_fill(_COPY, name, copied=copied, columns=columns), parameters)
        cursor.execute(SQL("analyze {}").format(copied))
    for ledger in _LEDGERS:
        cursor.execute(_fill(_COPY_LEDGER, ledger, copied=_temporary(when, ledger)), parameters)


# -- the SQL --

_COPY = """
    create temporary table {copied} on commit drop as
    select {columns}, valid_from, valid_to from {table}
    where district_id = %(district)s and (valid_to is null or valid_to > %(first)s)
    """

_COPY_LEDGER = """
    create temporary table {copied} on commit drop as
    select * from {table} where district_id = %(district)s and snapshot_date >= %(first)s
    """

# Students with any different row, in content or time. They are usually few, and only they are compared by
# night.
_DIFFERING = """
    create temporary table {differing} on commit drop as
    select distinct student_id from (
        (table {before} except all table {after}) union all (table {after} except all table {before})
    ) as rows
    """

_DIFFERENCES = """
    create temporary table differences (
        night date, student_id bigint, part text, old_status text, new_status text
    ) on commit drop
    """

_OF_STATUS = """
    case when old.status is null then 'added' when new.status is null then 'removed' else 'status' end
    """

# Of a student who is added or removed, nothing else counts. `status` comes first, and says who that is.
_ADD_DIFFERENCES = """
    with nights as (
        select unnest(%(nights)s::date[]) as night
    ),
    old as (
        select night, history.* from nights join {before} as history
            on valid_from <= night and (valid_to is null or valid_to > night)
        where student_id in (select student_id from {differing})
    ),
    new as (
        select night, history.* from nights join {after} as history
            on valid_from <= night and (valid_to is null or valid_to > night)
        where student_id in (select student_id from {differing})
    )
    insert into pg_temp.differences
    select distinct night, student_id, {part}, {statuses}
    from old full join new using (night, {key})
    where ({columns_of_old}) is distinct from ({columns_of_new})
        and not exists (
            select from pg_temp.differences as student
            where student.night = coalesce(old.night, new.night)
                and student.student_id = coalesce(old.student_id, new.student_id)
                and student.part in ('added', 'removed')
        )
    """

_PARTS = ("added", "removed", "status", "demographics", "parents")

_COUNT = """
    select night, count(*) filter (where part = 'added'), count(*) filter (where part = 'removed'),
        count(*) filter (where part = 'status'), count(*) filter (where part = 'demographics'),
        count(*) filter (where part = 'parents')
    from pg_temp.differences group by night
    """

_COUNT_LEDGER = """
    select snapshot_date, count(distinct student_id) from (
        (table {before} except all table {after}) union all (table {after} except all table {before})
    ) as rows
    group by snapshot_date
    """

_TRANSITIONS = """
    select night, old_status, new_status, count(*) from pg_temp.differences
    where part = 'status' and old_status <> new_status
    group by night, old_status, new_status order by night, count(*) desc, old_status, new_status
    """


def _fill(statement: str, table: str, **parts: Composable) -> Composed:
    return SQL(statement).format(
        table=Identifier("samegoal", table),
        before=_temporary("before", table),
        after=_temporary("after", table),
        differing=_temporary("differing", table),
        **parts,
    )


def _temporary(when: str, name: str) -> Identifier:
    return Identifier("pg_temp", f"{when}_{name}")

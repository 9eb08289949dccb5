"""Count, within a replay's transaction, how a district's history differs from before, night by night."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS
from samegoal_pipelines.tables.sql import SCHEMA
from samegoal_pipelines.warehouse.diff import listed

_LEDGERS = {"student_changes": "changes", "departures": "departures"}


@dataclass(frozen=True)
class Transition:
    """The number of students whose status as of a night changed."""

    old_status: str
    new_status: str
    students: int


@dataclass(frozen=True)
class Difference:
    """The number of students who differ as of one night."""

    added: int = 0
    """Now published as of this night, and were not."""
    removed: int = 0
    status: int = 0
    """Published before and after, with a difference in the row."""
    demographics: int = 0
    parents: int = 0
    changes: int = 0
    """With other rows of this night in `student_changes`."""
    departures: int = 0
    transitions: tuple[Transition, ...] = ()
    """The changes of `status` itself."""


def remember(cursor: Any, district_id: str, first: date) -> None:
    """Copy what is published as of `first` and every later night, until the transaction ends."""
    _copy(cursor, "before", district_id, first)


def compare(cursor: Any, district_id: str, nights: Sequence[date]) -> dict[date, Difference]:
    """How each of these nights differs from what `remember` copied, which began with the first of them."""
    _copy(cursor, "after", district_id, nights[0])
    cursor.execute(_DIFFERENCES)
    for history, part in ((STATUS, _OF_STATUS), (STUDENTS, "'demographics'"), (PARENTS, "'parents'")):
        statement = _fill(
            _ADD_DIFFERENCES,
            history.table.name,
            part=part,
            statuses="old.status, new.status" if history is STATUS else "null, null",
            key=listed(history.key),
            columns=listed(history.columns),
        )
        cursor.execute(statement, {"nights": list(nights)})
    counts: defaultdict[date, Counter[str]] = defaultdict(Counter)
    transitions: defaultdict[date, list[Transition]] = defaultdict(list)
    cursor.execute(_COUNT)
    for night, part, old, new, students in cursor.fetchall():
        counts[night][part] += students
        if part == "status" and old != new:
            transitions[night].append(Transition(old, new, students))
    for ledger, part in _LEDGERS.items():
        cursor.execute(_fill(_COUNT_LEDGER, ledger))
        for night, students in cursor.fetchall():
            counts[night][part] = students
    return {night: Difference(**counts[night], transitions=tuple(transitions[night])) for night in nights}


def _copy(cursor: Any, when: str, district_id: str, first: date) -> None:
    parameters = {"district": district_id, "first": first}
    for history in HISTORIES:
        copied, columns = _temporary(when, history.table.name), listed(history.columns)
        cursor.execute(_fill(_COPY, history.table.name, copied=copied, columns=columns), parameters)
        cursor.execute(f"analyze {copied}")
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

_DIFFERENCES = """
    create temporary table differences (
        night date, student_id bigint, part text, old_status text, new_status text
    ) on commit drop
    """

_OF_STATUS = """
    case when old.status is null then 'added' when new.status is null then 'removed' else 'status' end
    """

# Rows that differ in content or time are few, and only they are compared by night. Nothing else counts
# of a student who is added or removed. `status` comes first, and says who that is.
_ADD_DIFFERENCES = """
    with nights as (
        select unnest(%(nights)s::date[]) as night
    ),
    old as (
        select night, {columns} from nights join (table {before} except all table {after}) as history
            on valid_from <= night and (valid_to is null or valid_to > night)
    ),
    new as (
        select night, {columns} from nights join (table {after} except all table {before}) as history
            on valid_from <= night and (valid_to is null or valid_to > night)
    )
    insert into pg_temp.differences
    select distinct night, student_id, {part}, {statuses}
    from (table old except table new) as old
    full join (table new except table old) as new using (night, {key})
    where not exists (
        select from pg_temp.differences as student
        where student.night = coalesce(old.night, new.night)
            and student.student_id = coalesce(old.student_id, new.student_id)
            and student.part in ('added', 'removed')
    )
    """

_COUNT = """
    select night, part, old_status, new_status, count(*) from pg_temp.differences
    group by night, part, old_status, new_status order by night, count(*) desc, old_status, new_status
    """

_COUNT_LEDGER = """
    select snapshot_date, count(distinct student_id) from (
        (table {before} except all table {after}) union all (table {after} except all table {before})
    ) as rows
    group by snapshot_date
    """


def _fill(statement: str, table: str, **parts: str) -> str:
    before, after = _temporary("before", table), _temporary("after", table)
    return statement.format(table=f"{SCHEMA}.{table}", before=before, after=after, **parts)


def _temporary(when: str, name: str) -> str:
    return f"pg_temp.{when}_{name}"

"""Compare a snapshot with a district's history, and write the difference, within one publishing transaction.

Every table is treated the same way (`History`). New rows and rows with another hash are loaded into one
temporary table, and the current rows that are gone or differ are copied into another. The rest compares these
two. Lookups use keys that the client knows, because Postgres has no statistics yet for a district that was
just loaded and would choose bad plans.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS, History
from samegoal_pipelines.warehouse.rows import Content, Hashes, Keys, Rows, match

_MANY = 1_000  # rows
_BUFFER = 1 << 20  # bytes
_BEFORE_VALUE, _AFTER_VALUE = 25, 2  # bytes of a binary COPY of one value


@dataclass(frozen=True)
class TableDifference:
    """The difference between a snapshot's rows and the current rows of one table."""

    rows: Rows
    wanted: pa.Array  # positions of rows that are new or may differ
    over: tuple[Keys, ...]  # keys of current rows that may differ, or that the snapshot does not have
    published: int  # current rows
    carried_over: int = 0  # of these, rows of students who are carried over


class Staged(NamedTuple):
    """What a snapshot would change, loaded into temporary tables but not written yet."""

    status: TableDifference
    students: TableDifference
    parents: TableDifference

    @property
    def first(self) -> bool:
        """Whether there is no current row at all."""
        return not any(difference.published for difference in self)


def undo(cursor: Any, district_id: str, night: date) -> None:
    """Undo what was published as of `night` and of any later night."""
    parameters = {"district": district_id, "night": night}
    for history in HISTORIES:
        cursor.execute(fill(_UNDO, history), parameters)
    for ledger in ("samegoal.student_changes", "samegoal.departures"):
        cursor.execute(_FORGET_CHANGES.format(ledger=ledger), parameters)


def stage(cursor: Any, content: Content, district_id: str, night: date) -> Staged:
    """Compare the snapshot with the current rows, and load what differs into temporary tables.

    The temporary tables last until the next call or the end of the transaction.
    """
    staged = Staged(*(_compare(cursor, rows, content.carried_over, district_id) for rows in content.all_rows))
    parameters: dict[str, object] = {"district": district_id}
    for difference in staged:
        history = difference.rows.history
        over = {key: values.tolist() for key, values in zip(history.key, difference.over, strict=True)}
        cursor.execute(fill(_LOAD, history))
        _copy_in(cursor, difference.rows, difference.wanted, district_id, night)
        cursor.execute(fill(_LOOK_UP, history), parameters | over)
        if staged.first:
            continue
        if max(len(difference.wanted), len(difference.over[0])) > _MANY:
            cursor.execute(fill(_MEASURE, history))
        cursor.execute(fill(_KEEP_EQUAL_ROWS, history))
    return staged


def write(cursor: Any, staged: Staged, absent: pd.DataFrame, district_id: str, night: date) -> None:
    """Make the staged rows current as of `night`. Record changes, and departures with `absent`'s reasons."""
    parameters: dict[str, object] = {"district": district_id, "night": night}
    for difference in staged:
        cursor.execute(fill(_WRITE, difference.rows.history), parameters)
    if staged.first:
        cursor.execute(_ALL_ADDED, parameters)
        return
    cursor.execute(_INSERT_CHANGES.format(changes=_changes()), parameters)
    known = absent[absent["student_id"].isin(staged.status.over[0].tolist())]
    reasons = {"students": known["student_id"].tolist(), "reasons": known["why"].tolist()}
    cursor.execute(_DEPARTURES, parameters | reasons)


def list_changes(cursor: Any, district_id: str) -> list[tuple[Any, ...]]:
    """The `student_changes` rows that `write` would add, without district and night."""
    cursor.execute(_changes(), {"district": district_id})
    return list(cursor.fetchall())


def _compare(cursor: Any, rows: Rows, carried_over: Keys, district_id: str) -> TableDifference:
    keys, hashes = current_keys(cursor, rows.history, district_id)
    place, same = match(rows, keys, hashes)
    carried_over_rows = np.isin(keys[0], carried_over)
    over = ~carried_over_rows
    over[place[same]] = False
    wanted, gone = pa.array(np.flatnonzero(~same)), tuple(key[over] for key in keys)
    return TableDifference(
        rows, wanted, gone, published=len(hashes), carried_over=int(carried_over_rows.sum())
    )


def _copy_in(cursor: Any, rows: Rows, chosen: pa.Array, district_id: str, night: date) -> None:
    """Load the rows at the chosen positions, valid from `night`, into their temporary table.

    Arrow writes null as nothing and an empty text as "", and COPY reads them the same way.
    """
    content, hashes = rows.table, pa.array(rows.hashes)
    if len(chosen) < len(hashes):
        content, hashes = content.take(chosen), hashes.take(chosen)
    district, first = (pa.repeat(one, len(hashes)) for one in (district_id, pa.scalar(night)))
    names = list(rows.history.loaded)
    loaded = pa.table([district, *content.columns, first, hashes], names=names)
    text = io.BytesIO()
    pyarrow.csv.write_csv(loaded, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    cursor.copy_expert(fill("copy {new} ({loaded}) from stdin (format csv)", rows.history), text, _BUFFER)


def current_keys(cursor: Any, history: History, district_id: str) -> tuple[tuple[Keys, ...], Hashes]:
    """The keys of a district's current rows, in order, and the rows' hashes.

    Postgres concatenates them, eight big-endian bytes each, because reading many rows is slow on the client.
    COPY sends the one value as bytes, not as hexadecimal text. A value holds forty million rows.
    """
    columns = (*history.key, "row_hash")
    packed = " || ".join(f"int8send({column})" for column in columns)
    answer = io.BytesIO()
    query = cursor.mogrify(fill(_PACKED, history, packed=packed), {"district": district_id})
    cursor.copy_expert(query, answer, _BUFFER)
    found = np.frombuffer(answer.getbuffer()[_BEFORE_VALUE:-_AFTER_VALUE], dtype=">i8")
    *keys, hashes = found.reshape(-1, len(columns)).T.astype(np.int64)
    return tuple(keys), hashes


def listed(names: Sequence[str], table: str = "") -> str:
    """Names of columns, of a table if one is named, with commas between them."""
    return ", ".join(f"{table}.{name}" if table else name for name in names)


# -- the SQL --

_PACKED = """
    copy (
        select string_agg({packed}, '' order by {key}) from {history}
        where district_id = %(district)s and valid_to is null
    ) to stdout (format binary)
    """

_UNDO = """
    delete from {history} where district_id = %(district)s and valid_from >= %(night)s;
    update {history} set valid_to = null where district_id = %(district)s and valid_to >= %(night)s
    """

_FORGET_CHANGES = "delete from {ledger} where district_id = %(district)s and snapshot_date >= %(night)s"

_ALL_ADDED = """
    insert into samegoal.student_changes
        (district_id, snapshot_date, student_id, student_number, change, new_status, changed_columns)
    select district_id, valid_from, student_id, student_number, 'added', status, '{}'
    from samegoal.student_status_history where district_id = %(district)s and valid_from = %(night)s
    order by student_id
    """

# COPY cannot write to a table under row-level security.
_LOAD = """
    drop table if exists {new}, {old};
    create temporary table {new} (like {history}) on commit drop
    """

_MEASURE = "analyze {new} ({key}), {old} ({key})"  # else Postgres assumes few rows

_LOOK_UP = """
    create temporary table {old} on commit drop as
    select found.* from unnest({arrays}) as over ({key})
    cross join lateral (
        select ctid as place, * from {history} as history
        where history.district_id = %(district)s and history.valid_to is null and {key_is_over}
        offset 0
    ) as found
    """

# Rows of equal content but another hash, for example after a change of the algorithm, only get the new hash.
_KEEP_EQUAL_ROWS = """
    with equal as (
        delete from {new} as new using {old} as old
        where {key_is_same} and ({columns_of_new}) is not distinct from ({columns_of_old})
        returning old.place, new.row_hash
    ),
    done as (
        delete from {old} where place in (select place from equal)
    )
    update {history} as history set row_hash = equal.row_hash
    from equal where history.ctid = equal.place
    """

_WRITE = """
    update {history} set valid_to = %(night)s where ctid = any (array(select place from {old}));
    insert into {history} ({loaded}) select {loaded} from {new}  -- they are in key order already
    """

_DEPARTURES = """
    insert into samegoal.departures (district_id, snapshot_date, student_id, student_number, last_status, why)
    select district_id, snapshot_date, student_id, student_number, old_status,
        coalesce(known.why, 'no rows in Qmlativ')
    from samegoal.student_changes
    left join unnest(%(students)s::bigint[], %(reasons)s::text[]) as known (student_id, why)
        using (student_id)
    where district_id = %(district)s and snapshot_date = %(night)s and change = 'removed'
    order by student_id
    """

_CHANGES = """
    with status_rows as (
        select coalesce(new.student_id, old.student_id) as student_id,
            case when new.student_id is null then old.student_number else new.student_number end
                as student_number,
            case
                when old.student_id is null then 'added'
                when new.student_id is null then 'removed'
                else 'status'
            end as change,
            case
                when new.student_id is not null and new.student_number is distinct from old.student_number
                then old.student_number
            end as previous_number,
            old.status as old_status, new.status as new_status, {status_columns} as names
        from {new_status} as new full join {old_status} as old using (student_id)
    ),
    student_rows as (
        select student_id, {students_columns} as names
        from {new_students} as new join {old_students} as old using (student_id)
    ),
    parent_rows as (
        select student_id, array_agg(distinct name order by name) as names
        from {new_parents} as new full join {old_parents} as old using (student_id, parent_id)
        cross join lateral unnest(
            case
                when new.row_hash is null or old.row_hash is null then array['parents'] else {parents_columns}
            end
        ) as name
        group by student_id
    ),
    others as materialized (  -- or its key would be an expression, which row-level security distrusts
        select student_id,
            case when student_rows.names is null then 'parents' else 'demographics' end as change,
            student_rows.names as student_names, parent_rows.names as parent_names
        from student_rows full join parent_rows using (student_id)
    ),
    touched as (
        select student_id, coalesce(status_rows.change, others.change) as change,
            coalesce(status_rows.student_number, current.student_number) as student_number,
            status_rows.previous_number,
            coalesce(status_rows.old_status, current.status) as old_status,
            coalesce(status_rows.new_status, current.status) as new_status,
            coalesce(status_rows.names, '{{}}') as status_names,
            coalesce(others.student_names, '{{}}') as student_names,
            coalesce(others.parent_names, '{{}}') as parent_names
        from status_rows full join others using (student_id)
        left join lateral (  -- only of a student whose status row stays
            select student_number, status from {status} as history
            where history.district_id = %(district)s and history.valid_to is null
                and history.student_id = others.student_id and status_rows.change is null
            offset 0
        ) as current on true
    )
    select student_id, student_number, change, old_status, new_status,
        case when change in ('added', 'removed') then '{{}}' else
            status_names
            || array(select name from unnest(student_names) as name where name <> all (status_names))
            || parent_names
        end as changed_columns,
        previous_number
    from touched
    """

_INSERT_CHANGES = """
    insert into samegoal.student_changes
        (district_id, snapshot_date, student_id, student_number,
        change, old_status, new_status, changed_columns, previous_number)
    select %(district)s, %(night)s, changes.* from ({changes}) as changes
    order by student_id
    """


def fill(statement: str, history: History, **parts: str) -> str:
    """Fill in a statement with the names of one table, its columns and its temporary tables.

    `new` has the rows to write, and `old` the current rows to close, with their places in the history table.
    """
    return statement.format(
        history=history.name,
        new=f"pg_temp.new_{history.table.name}",
        old=f"pg_temp.old_{history.table.name}",
        key=listed(history.key),
        arrays=", ".join(f"%({key})s::bigint[]" for key in history.key),
        key_is_over=_all_equal(history.key, "history", "over"),
        key_is_same=_all_equal(history.key, "new", "old"),
        columns_of_new=listed(history.columns, "new"),
        columns_of_old=listed(history.columns, "old"),
        loaded=listed(history.loaded),
        **parts,
    )


def _changes() -> str:
    """One `student_changes` row per student whose rows differ in any of the three tables."""
    parts = {"status": STATUS.name}
    for name, history in {"status": STATUS, "students": STUDENTS, "parents": PARENTS}.items():
        prefix = "parents." if history is PARENTS else ""
        differing = (
            f"case when new.{column} is distinct from old.{column} then '{prefix}{column}' end"
            for column in history.columns
            if column not in history.key
        )
        parts |= {f"new_{name}": fill("{new}", history), f"old_{name}": fill("{old}", history)}
        parts[f"{name}_columns"] = f"array_remove(array[{', '.join(differing)}], null)"
    return _CHANGES.format(**parts)


def _all_equal(columns: Iterable[str], left: str, right: str) -> str:
    return " and ".join(f"{left}.{column} = {right}.{column}" for column in columns)

"""Hide contacts in published rows: of carried-over students, and as soon as they are to be withheld.

For all other students, `transforms` withholds contacts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from samegoal_pipelines import phones
from samegoal_pipelines.errors import Kind
from samegoal_pipelines.tables.history import PARENTS, STUDENTS, History
from samegoal_pipelines.tables.people import PARENT_CONTACTS
from samegoal_pipelines.transforms.withholding import RESTRICTION_NOT_KNOWN
from samegoal_pipelines.warehouse.engine import as_writer, lock
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.rows import Keys
from samegoal_pipelines.warehouse.snapshots import find_current, record_hidden

PHONES: dict[History, tuple[str, ...]] = {
    STUDENTS: ("phone",),
    PARENTS: tuple(column for column in PARENT_CONTACTS if column.endswith("_phone")),
}
CONTACTS: dict[History, tuple[str, ...]] = {STUDENTS: ("phone",), PARENTS: PARENT_CONTACTS}
_PERSON = {STUDENTS: "student_id", PARENTS: "parent_id"}
NO_CONTACTS: dict[str, Any] = dict.fromkeys(PARENT_CONTACTS)
RESTRICTED = NO_CONTACTS | {"has_restricted_access": True}
"""The values in the row of a parent under restriction."""


def refuse_to_forget_restrictions(engine: sa.Engine, district_id: str) -> None:
    """Fail a night without HasActiveRestrictedAccess if any earlier snapshot had it.

    Publishing would show contact data of parents under a court's restriction. A district that shows these
    contacts need not call this.
    """
    parents = PARENTS.table.c
    published = sa.select(
        sa.exists().where(parents.district_id == district_id, parents.has_restricted_access.is_not(None))
    )
    with as_writer(engine, district_id, "looking up restrictions") as connection:
        if connection.scalar(published):
            raise WarehouseError(
                "the field HasActiveRestrictedAccess of Family/StudentGuardian is no longer granted, so "
                "nobody can tell which parents are under restriction",
                district_id=district_id,
                kind=Kind.GRANTS,
                next_step="grant it again in the Integration Access in Qmlativ, or have the contacts of "
                "every parent published: samegoal-pipelines districts set ID --restricted-contacts show",
            )


@dataclass(frozen=True)
class Hidden:
    """What was removed from published rows."""

    students: int = 0
    """Students who changed and had not changed yet that night."""
    parents: int = 0
    """Parents whose contacts were removed because of a restriction."""
    phones: int = 0
    """Numbers that were removed because they are confidential."""
    rows: int = 0
    """Changed rows, including those where only the flag changed."""

    def __add__(self, other: Hidden) -> Hidden:
        return Hidden(*map(sum, zip(astuple(self), astuple(other), strict=True)))


Says = Callable[[History, sa.RowMapping], dict[str, Any]]
"""The new values of a current row's columns."""


def hide_withheld(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    district_id: str,
    night: date,
    *,
    among: Keys | None = None,
) -> Hidden:
    """Remove what is withheld tonight from the current rows of these students and their parents, or of all.

    Args:
        restricted: student_id and parent_id of every pair under restriction.
        confidential: the confidential numbers (`tables.people.CONFIDENTIAL_PHONES`).
        night: the published night. The rows change as of this night, so that a rerun undoes it.
    """
    pairs: set[tuple[int, int]] = set()
    if restricted is not None:
        pairs = set(zip(restricted["student_id"].tolist(), restricted["parent_id"].tolist(), strict=True))
    numbers = {history: _numbers(confidential, person) for history, person in _PERSON.items()}
    people = {
        STUDENTS: numbers[STUDENTS].keys(),
        PARENTS: numbers[PARENTS].keys() | {parent_id for _, parent_id in pairs},
    }

    def says(history: History, row: sa.RowMapping) -> dict[str, Any]:
        if history is PARENTS and (row["student_id"], row["parent_id"]) in pairs:
            return RESTRICTED
        theirs = numbers[history][row[_PERSON[history]]]
        # blank what may contain a confidential number
        return {c: None for c in PHONES[history] if row[c] and phones.may_be_one_of(row[c], theirs)}

    where = {history: _any_of(history, _PERSON[history], ids) for history, ids in people.items()}
    if among is not None:
        for history in where:
            where[history] &= _any_of(history, "student_id", among.tolist())
    return _hide(connection, district_id, night, where, says)


def hidden_since(connection: sa.Connection, district_id: str) -> list[tuple[History, sa.RowMapping]]:
    """The current rows in which something was hidden after publication. They have no hash."""
    return [
        (history, row)
        for history in CONTACTS
        for row in _current(connection, history, district_id, history.table.c.row_hash == 0)
    ]


def hide_again(
    connection: sa.Connection, hidden: Sequence[tuple[History, sa.RowMapping]], district_id: str, night: date
) -> None:
    """Blank again what `hidden_since` found, after the rows were rewritten from landed data."""
    before = {(history, *(row[key] for key in history.key)): row for history, row in hidden}

    def says(history: History, row: sa.RowMapping) -> dict[str, Any]:
        was = before.get((history, *(row[key] for key in history.key)))
        if was is None:
            return {}
        if was.get("has_restricted_access"):
            return RESTRICTED
        return {column: None for column in CONTACTS[history] if was[column] is None}

    students = {row["student_id"] for _, row in hidden}
    where = {history: _any_of(history, "student_id", students) for history in CONTACTS}
    _hide(connection, district_id, night, where, says)


def hide_contacts(
    engine: sa.Engine,
    district_id: str,
    *,
    restricted: bool = False,
    confidential: Mapping[int, pd.DataFrame] | None = None,
) -> Hidden:
    """Blank contacts in the current rows, as of their night. Wait for a run that is publishing.

    Args:
        restricted: blank the contacts of parents who are published as restricted; of every parent if the
            snapshot does not say who is.
        confidential: snapshot_id → its confidential numbers, which are blanked. If those of the current
            snapshot are not among them, every phone is blanked. None: no phone.
    """
    hidden = Hidden()
    with as_writer(engine, district_id, "hiding published contacts") as connection:
        lock(connection, district_id)
        now = find_current(connection, district_id)
        if now is None:
            return hidden
        which = (connection, district_id, now.snapshot_date)
        if restricted and RESTRICTION_NOT_KNOWN in now.notes:
            hidden += _hide(*which, {PARENTS: sa.true()}, lambda *_: NO_CONTACTS)
        elif restricted:
            flagged = PARENTS.table.c.has_restricted_access.is_(True)
            hidden += _hide(*which, {PARENTS: flagged}, lambda *_: RESTRICTED)
        if confidential is not None and now.snapshot_id not in confidential:
            all_rows = dict.fromkeys(PHONES, sa.true())
            hidden += _hide(*which, all_rows, lambda history, _: dict.fromkeys(PHONES[history]))
        elif confidential is not None:
            numbers = confidential[now.snapshot_id]
            hidden += hide_withheld(connection, None, numbers, district_id, now.snapshot_date)
        record_hidden(connection, now, hidden.students, hidden.rows)
    return hidden


def _hide(
    connection: sa.Connection,
    district_id: str,
    night: date,
    where: Mapping[History, sa.ColumnElement[bool]],
    says: Says,
) -> Hidden:
    """Give these current rows the values that `says` returns, and record which students changed.

    This takes effect as of `night`, like any change: the row is closed and a blanked one opened, so that the
    night can be undone. A row of tonight is changed in place. The new row has no hash, so that the next
    readable night compares the row itself.
    """
    changed: defaultdict[int, dict[str, None]] = defaultdict(dict)
    restricted: set[int] = set()
    phones = rows = 0
    for history, condition in where.items():
        table, opened = history.table, []
        prefix = "parents." if history is PARENTS else ""
        for row in _current(connection, history, district_id, condition):
            wanted = says(history, row)
            new = {column: value for column, value in wanted.items() if row[column] != value}
            if not new:
                continue
            key = [table.c[name] == row[name] for name in ("district_id", *history.key)]
            this = sa.update(table).where(table.c.valid_to.is_(None), *key)
            if row["valid_from"] < night:
                connection.execute(this.values(valid_to=night))
                opened.append({**row, **new, "valid_from": night, "row_hash": 0})
            else:
                connection.execute(this.values(row_hash=0, **new))
            rows += 1
            emptied = [column for column, value in new.items() if value is None]
            if wanted is RESTRICTED or wanted is NO_CONTACTS:
                restricted.update([row["parent_id"]] if emptied else [])
            else:
                phones += len(emptied)
            changed[row["student_id"]] |= {prefix + name: None for name in history.columns if name in new}
        if opened:
            connection.execute(sa.insert(table), opened)
    students = 0
    for student_id, columns in changed.items():
        own = any(not name.startswith("parents.") for name in columns)
        values = {"district": district_id, "night": night, "student": student_id, "columns": list(columns)}
        change = {"change": "demographics" if own else "parents"}
        students += bool(connection.scalar(_NOTE, values | change))
    return Hidden(students, len(restricted), phones, rows)


# Beside other changes of the same night. True if it is the student's first.
_NOTE = sa.text(
    """
    insert into samegoal.student_changes as noted (
        district_id, snapshot_date, student_id, student_number, change, old_status, new_status,
        changed_columns
    )
    select district_id, :night, student_id, student_number, :change, status, status,
        cast(:columns as text[])
    from samegoal.student_status_history
    where district_id = :district and student_id = :student and valid_to is null
    on conflict (district_id, snapshot_date, student_id) do update set
        change = case
            when 'demographics' in (noted.change, excluded.change) then 'demographics' else 'parents'
        end,
        changed_columns = noted.changed_columns || array(
            select name from unnest(excluded.changed_columns) as name
            where name <> all (noted.changed_columns)
        )
    where noted.change in ('demographics', 'parents')
    returning xmax = 0
    """
)


def _numbers(confidential: pd.DataFrame | None, whose: str) -> defaultdict[int, set[str]]:
    """The digits of each person's confidential numbers."""
    numbers: defaultdict[int, set[str]] = defaultdict(set)
    if confidential is not None:
        theirs = confidential[confidential[whose].notna()]
        for person, digits in zip(theirs[whose].tolist(), theirs["digits"].tolist(), strict=True):
            numbers[person].add(digits)
    return numbers


def _any_of(history: History, column: str, ids: Iterable[int]) -> sa.ColumnElement[bool]:
    return history.table.c[column] == sa.any_(sa.literal(list(ids), ARRAY(sa.BigInteger)))


def _current(
    connection: sa.Connection, history: History, district_id: str, where: sa.ColumnElement[bool]
) -> Sequence[sa.RowMapping]:
    """The current rows that meet this condition, as they are loaded."""
    table = history.table.c
    query = sa.select(*(table[name] for name in history.loaded)).where(
        table.district_id == district_id, table.valid_to.is_(None), where
    )
    return connection.execute(query.order_by(*(table[key] for key in history.key))).mappings().all()

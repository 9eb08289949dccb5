"""Hide contacts in published rows: of carried-over students, and as soon as they are to be withheld.

For all other students, `transforms` withholds contacts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


Wanted = list[tuple[History, sa.RowMapping, dict[str, Any]]]
"""Current rows, and the values that some of their columns should have."""


def hide_withheld(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame,
    district_id: str,
    night: date,
    *,
    among: Keys | None = None,
) -> Hidden:
    """Remove what is withheld tonight from the current rows of these students and their parents, or of all.

    Args:
        restricted: student_id and parent_id of every pair under restriction. None: nobody newly is.
        confidential: the confidential numbers (`tables.people.CONFIDENTIAL_PHONES`).
        night: the published night. The rows change as of this night, so that a rerun undoes it.
    """
    pairs: set[tuple[int, int]] = set()
    if restricted is not None:
        pairs = set(zip(restricted["student_id"].tolist(), restricted["parent_id"].tolist(), strict=True))
    wanted: Wanted = []
    for history, person in ((STUDENTS, "student_id"), (PARENTS, "parent_id")):
        numbers = defaultdict[int, set[str]](set)  # the digits of each person's confidential numbers
        theirs = confidential.dropna(subset=[person])
        for one, digits in zip(theirs[person].tolist(), theirs["digits"].tolist(), strict=True):
            numbers[one].add(digits)
        flagged = {parent_id for _, parent_id in pairs} if history is PARENTS else set()
        where = _any_of(history, person, numbers.keys() | flagged)
        if among is not None:
            where &= _any_of(history, "student_id", among.tolist())
        for row in _current(connection, history, district_id, where):
            if history is PARENTS and (row["student_id"], row["parent_id"]) in pairs:
                wanted.append((history, row, RESTRICTED))
                continue
            # blank what may contain a confidential number
            own = numbers[row[person]]
            hits = [c for c in PHONES[history] if row[c] and phones.may_be_one_of(row[c], own)]
            wanted.append((history, row, dict.fromkeys(hits)))
    return _hide(connection, district_id, night, wanted)


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
    students = {row["student_id"] for _, row in hidden}
    wanted: Wanted = []
    for history, contacts in CONTACTS.items():
        for row in _current(connection, history, district_id, _any_of(history, "student_id", students)):
            if was := before.get((history, *(row[key] for key in history.key))):
                blank = dict.fromkeys(column for column in contacts if was[column] is None)
                wanted.append((history, row, RESTRICTED if was.get("has_restricted_access") else blank))
    _hide(connection, district_id, night, wanted)


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
        night = now.snapshot_date
        if restricted:
            known = RESTRICTION_NOT_KNOWN not in now.notes
            which = PARENTS.table.c.has_restricted_access.is_(True) if known else sa.true()
            parents = _current(connection, PARENTS, district_id, which)
            values = RESTRICTED if known else NO_CONTACTS
            hidden += _hide(connection, district_id, night, [(PARENTS, row, values) for row in parents])
        if confidential is not None and now.snapshot_id not in confidential:
            everything: Wanted = [
                (history, row, dict.fromkeys(columns))
                for history, columns in PHONES.items()
                for row in _current(connection, history, district_id, sa.true())
            ]
            hidden += _hide(connection, district_id, night, everything)
        elif confidential is not None:
            hidden += hide_withheld(connection, None, confidential[now.snapshot_id], district_id, night)
        record_hidden(connection, now, hidden.students, hidden.rows)
    return hidden


def _hide(connection: sa.Connection, district_id: str, night: date, wanted: Wanted) -> Hidden:
    """Give these current rows these values, and record which students changed.

    This takes effect as of `night`, like any change: the row is closed and a blanked one opened, so that the
    night can be undone. A row of tonight is changed in place. The new row has no hash, so that the next
    readable night compares the row itself.
    """
    changed: defaultdict[int, dict[str, None]] = defaultdict(dict)
    opened: defaultdict[History, list[dict[str, Any]]] = defaultdict(list)
    restricted: set[int] = set()
    phones = rows = 0
    for history, row, values in wanted:
        new = {column: value for column, value in values.items() if row[column] != value}
        if not new:
            continue
        key = [history.table.c[name] == row[name] for name in ("district_id", *history.key)]
        this = sa.update(history.table).where(history.table.c.valid_to.is_(None), *key)
        if row["valid_from"] < night:
            connection.execute(this.values(valid_to=night))
            opened[history].append({**row, **new, "valid_from": night, "row_hash": 0})
        else:
            connection.execute(this.values(row_hash=0, **new))
        rows += 1
        emptied = [column for column, value in new.items() if value is None]
        if values is RESTRICTED or values is NO_CONTACTS:
            restricted.update([row["parent_id"]] if emptied else [])
        else:
            phones += len(emptied)
        prefix = "parents." if history is PARENTS else ""
        changed[row["student_id"]] |= {prefix + name: None for name in history.columns if name in new}
    for history, blanked in opened.items():
        connection.execute(sa.insert(history.table), blanked)
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

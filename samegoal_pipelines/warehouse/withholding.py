"""Contacts that must stay hidden, and contacts to hide in the rows of carried-over students.

For all other students, `transforms` withholds contacts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from samegoal_pipelines import phones
from samegoal_pipelines.errors import SYNC, Kind
from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS, History
from samegoal_pipelines.tables.people import PARENT_CONTACTS
from samegoal_pipelines.tables.warehouse import districts, student_changes
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import SupersededRunError, WarehouseError
from samegoal_pipelines.warehouse.rows import Keys

PARENT_PHONES = tuple(column for column in PARENT_CONTACTS if column.endswith("_phone"))
NO_CONTACTS: dict[str, Any] = dict.fromkeys(PARENT_CONTACTS)
RESTRICTED = NO_CONTACTS | {"has_restricted_access": True}
"""The values in the row of a parent under restriction."""
_CONTACTS: dict[History, tuple[str, ...]] = {STUDENTS: ("phone",), PARENTS: PARENT_CONTACTS}
"""The contact columns of each table."""


class RestrictionsForgottenError(WarehouseError):
    """Parents are published as restricted, and tonight's data does not show who is."""

    kind = Kind.GRANTS
    next_step = (
        "grant it again in the Integration Access in Qmlativ, or have the contacts of every parent "
        "published: "
        "samegoal-pipelines districts set ID --restricted-contacts show"
    )


def refuse_to_forget_restrictions(engine: sa.Engine, district_id: str) -> None:
    """Fail a night without HasActiveRestrictedAccess if any earlier snapshot had it.

    Publishing would show contact data of parents under a court's restriction. A district that shows these
    contacts need not call this. If it once withheld them, a period of showing them does not matter.

    Raises:
        RestrictionsForgottenError: parents are, or were, published with the flag.
    """
    parents = PARENTS.table.c
    published = sa.select(
        sa.exists().where(parents.district_id == district_id, parents.has_restricted_access.is_not(None))
    )
    with as_writer(engine, district_id, "looking up restrictions") as connection:
        if connection.scalar(published):
            raise RestrictionsForgottenError(
                "the field HasActiveRestrictedAccess of Family/StudentGuardian is no longer granted, so "
                "nobody can tell which parents are under restriction",
                district_id=district_id,
            )


def refuse_what_is_withheld(
    connection: sa.Connection, district_id: str, shows: Withholding | None, what: str = "this snapshot"
) -> None:
    """Refuse a snapshot that shows contacts which the district now withholds.

    Call it within the publishing transaction, after the district is locked.

    Args:
        shows: the contacts that the snapshot shows. None: none that are withheld by default.

    Raises:
        SupersededRunError: the district now withholds some of them.
    """
    if shows is None:
        return
    columns = (districts.c.show_restricted_contacts, districts.c.show_confidential_phones)
    query = sa.select(*columns).where(districts.c.district_id == district_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return
    restricted, confidential = row
    if (shows.show_restricted_contacts and not restricted) or (
        shows.show_confidential_phones and not confidential
    ):
        raise SupersededRunError(
            f"{what} shows contacts that the district has been set to withhold since it was made; nothing of "
            "it was published",
            kind=Kind.OUTDATED,
            next_step=f"run the night again: {SYNC}",
        )


@dataclass(frozen=True)
class Hidden:
    """What was removed from published rows.

    Attributes:
        students: students who changed and had not changed yet that night.
        parents: parents whose contacts were removed because of a restriction.
        phones: numbers that were removed because they are confidential.
        rows: changed rows, including those where only the flag changed.
    """

    students: int = 0
    parents: int = 0
    phones: int = 0
    rows: int = 0

    def __add__(self, other: Hidden) -> Hidden:
        return Hidden(
            self.students + other.students,
            self.parents + other.parents,
            self.phones + other.phones,
            self.rows + other.rows,
        )


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
    of_students, of_parents = _numbers(confidential, "student_id"), _numbers(confidential, "parent_id")
    pairs: set[tuple[int, int]] = set()
    if restricted is not None:
        pairs = set(zip(restricted["student_id"].tolist(), restricted["parent_id"].tolist(), strict=True))
    parents_to_look_at = {parent_id for _, parent_id in pairs} | of_parents.keys()

    def mine(history: History, key: str, ids: Iterable[int]) -> list[sa.RowMapping]:
        table = history.table.c
        wanted = [_any_of(table[key], ids)]
        if among is not None:
            wanted.append(_any_of(table.student_id, among.tolist()))
        return _current(connection, history, district_id, *wanted)

    def parent(row: sa.RowMapping) -> dict[str, Any]:
        if (row["student_id"], row["parent_id"]) in pairs:
            return RESTRICTED
        return _without(row, PARENT_PHONES, of_parents[row["parent_id"]])

    students = (
        (row, _without(row, ("phone",), of_students[row["student_id"]]))
        for row in mine(STUDENTS, "student_id", of_students)
    )
    parents = ((row, parent(row)) for row in mine(PARENTS, "parent_id", parents_to_look_at))
    return _hide(connection, students, parents, district_id, night)


def hidden_since(connection: sa.Connection, district_id: str) -> list[tuple[History, sa.RowMapping]]:
    """The current rows in which something was hidden after publication. They have no hash."""
    return [
        (history, row)
        for history in _CONTACTS
        for row in _current(connection, history, district_id, history.table.c.row_hash == 0)
    ]


def hide_again(
    connection: sa.Connection,
    hidden: Sequence[tuple[History, sa.RowMapping]],
    district_id: str,
    night: date,
) -> Hidden:
    """Blank again what `hidden_since` found, after the rows were rewritten from landed data."""

    def of(wanted: History) -> Found:
        before = {tuple(row[key] for key in wanted.key): row for history, row in hidden if history is wanted}
        among = _any_of(wanted.table.c.student_id, {key[0] for key in before})
        for row in _current(connection, wanted, district_id, among):
            if (was := before.get(tuple(row[key] for key in wanted.key))) is None:
                continue
            if was.get("has_restricted_access"):
                yield row, RESTRICTED
            else:
                yield row, {column: None for column in _CONTACTS[wanted] if was[column] is None}

    return _hide(connection, of(STUDENTS), of(PARENTS), district_id, night)


def hide_parents(
    connection: sa.Connection, district_id: str, night: date, *, flagged: bool = False
) -> Hidden:
    """Blank the contacts of every parent, or only of parents published as restricted."""
    wanted = [_any_given(PARENTS, PARENT_CONTACTS)]
    if flagged:
        wanted.append(PARENTS.table.c.has_restricted_access.is_(True))
    found = _current(connection, PARENTS, district_id, *wanted)
    says = RESTRICTED if flagged else NO_CONTACTS
    return _hide(connection, iter(()), ((row, says) for row in found), district_id, night)


def hide_every_phone(connection: sa.Connection, district_id: str, night: date) -> Hidden:
    """Blank every phone, for a district whose confidential numbers cannot be identified."""

    def with_phone(history: History, columns: tuple[str, ...]) -> Found:
        for row in _current(connection, history, district_id, _any_given(history, columns)):
            yield row, dict.fromkeys(columns)

    students, parents = with_phone(STUDENTS, ("phone",)), with_phone(PARENTS, PARENT_PHONES)
    return _hide(connection, students, parents, district_id, night)


def _hide(
    connection: sa.Connection, students: Found, parents: Found, district_id: str, night: date
) -> Hidden:
    """Rewrite these current rows, and record which students changed.

    This takes effect as of `night`, like any change: the row is closed and a blanked one opened, so that the
    night can be undone. The new row has no hash, so that the next readable night compares the row itself.
    """
    changed: defaultdict[int, list[str]] = defaultdict(list)
    restricted: set[int] = set()
    phones = rows = 0
    for history, prefix, found in ((STUDENTS, "", students), (PARENTS, "parents.", parents)):
        for row, says in found:
            differing = {column: value for column, value in says.items() if row[column] != value}
            if not differing:
                continue
            _rewrite(connection, history, row, differing, district_id, night)
            rows += 1
            emptied = [column for column, value in differing.items() if value is None]
            if says is RESTRICTED or says is NO_CONTACTS:
                restricted.update([row["parent_id"]] if emptied else [])
            else:
                phones += len(emptied)
            new = [prefix + column for column in history.columns if column in differing]
            changed[row["student_id"]] += [name for name in new if name not in changed[row["student_id"]]]
    students_changed = sum(_note(connection, district_id, night, *change) for change in changed.items())
    return Hidden(students_changed, len(restricted), phones, rows)


Found = Iterator[tuple[sa.RowMapping, dict[str, Any]]]
"""Current rows and their new values."""


def _numbers(confidential: pd.DataFrame | None, whose: str) -> defaultdict[int, set[str]]:
    """The digits of each person's confidential numbers."""
    numbers: defaultdict[int, set[str]] = defaultdict(set)
    if confidential is not None:
        theirs = confidential[confidential[whose].notna()]
        for person, digits in zip(theirs[whose].tolist(), theirs["digits"].tolist(), strict=True):
            numbers[person].add(digits)
    return numbers


def _without(row: sa.RowMapping, columns: tuple[str, ...], numbers: set[str]) -> dict[str, Any]:
    """Blank the columns whose text may contain one of these numbers."""
    return {column: None for column in columns if row[column] and phones.may_be_one_of(row[column], numbers)}


def _any_of(column: sa.ColumnElement[int], ids: Iterable[int]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.literal(list(ids), ARRAY(sa.BigInteger)))


def _any_given(history: History, columns: tuple[str, ...]) -> sa.ColumnElement[bool]:
    return sa.or_(*(history.table.c[column].is_not(None) for column in columns))


def _current(
    connection: sa.Connection, history: History, district_id: str, *wanted: sa.ColumnElement[bool]
) -> list[sa.RowMapping]:
    """The current rows that meet these conditions: key, contacts, restriction and `valid_from`."""
    table = history.table.c
    names = (*history.key, *_CONTACTS[history], *(["has_restricted_access"] if history is PARENTS else []))
    query = sa.select(table.valid_from, *(table[name] for name in names)).where(
        table.district_id == district_id, table.valid_to.is_(None), *wanted
    )
    return list(connection.execute(query.order_by(*(table[key] for key in history.key))).mappings())


def _rewrite(
    connection: sa.Connection,
    history: History,
    row: sa.RowMapping,
    says: dict[str, Any],
    district_id: str,
    night: date,
) -> None:
    """Close the current row as of `night` and open a changed one. A row of tonight is changed in place."""
    table = history.table
    current = sa.update(table).where(
        table.c.district_id == district_id,
        table.c.valid_to.is_(None),
        *(table.c[key] == row[key] for key in history.key),
    )
    if row["valid_from"] >= night:
        connection.execute(current.values(row_hash=0, **says))
        return
    closed = (
        current.values(valid_to=night)
        .returning(*(table.c[column] for column in ("district_id", *history.columns)))
        .cte("closed")
    )
    values = [
        sa.cast(sa.literal(says[column]), table.c[column].type) if column in says else closed.c[column]
        for column in history.columns
    ]
    opened = sa.select(closed.c.district_id, *values, sa.literal(night), sa.literal(0))
    connection.execute(sa.insert(table).from_select(history.loaded, opened))


def _note(
    connection: sa.Connection, district_id: str, night: date, student_id: int, columns: list[str]
) -> bool:
    """Record the change beside those of the same night. Return whether it is the student's first."""
    statuses, noted = STATUS.table.c, student_changes.c
    this = (noted.district_id == district_id, noted.snapshot_date == night, noted.student_id == student_id)
    before = connection.scalar(sa.select(noted.changed_columns).where(*this))
    if before is not None:
        columns = before + [name for name in columns if name not in before]
    own = any(not name.startswith("parents.") for name in columns)
    change = "demographics" if own else "parents"
    if before is not None:
        update = sa.update(student_changes).where(*this, noted.change.in_(["demographics", "parents"]))
        connection.execute(update.values(change=change, changed_columns=columns))
        return False
    row = sa.select(
        statuses.district_id,
        sa.literal(night),
        statuses.student_id,
        statuses.student_number,
        sa.literal(change),
        statuses.status,
        statuses.status,
        sa.literal(columns, noted.changed_columns.type),
        sa.null(),
    ).where(
        statuses.district_id == district_id, statuses.student_id == student_id, statuses.valid_to.is_(None)
    )
    names = [column.name for column in student_changes.columns]
    connection.execute(insert(student_changes).from_select(names, row))
    return True

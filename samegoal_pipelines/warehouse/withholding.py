"""Contacts that must stay hidden, and contacts to hide in the rows of carried-over students.

For all other students, `transforms` withholds contacts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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


def hide_from_carried_over(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    carried_over: Keys,
    district_id: str,
    night: date,
) -> int:
    """Remove what is withheld tonight from the rows of carried-over students.

    Args:
        restricted: student_id and parent_id of every pair under restriction.
        confidential: the confidential numbers (`tables.people.CONFIDENTIAL_PHONES`).

    Returns:
        The number of changed students who had not changed yet tonight.
    """
    students = _students_to_hide(connection, confidential, carried_over, district_id)
    parents = _parents_to_hide(connection, restricted, confidential, carried_over, district_id)
    return _hide(connection, students, parents, district_id, night).students


def hide_from_published(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    district_id: str,
    night: date,
) -> Hidden:
    """Remove what is newly withheld from the current rows of all students.

    Args:
        restricted, confidential: as in `hide_from_carried_over`.
        night: the published night. The rows change as of this night, so that a rerun undoes it.
    """
    students = _students_to_hide(connection, confidential, None, district_id)
    parents = _parents_to_hide(connection, restricted, confidential, None, district_id)
    return _hide(connection, students, parents, district_id, night)


def hidden_since(connection: sa.Connection, district_id: str) -> list[tuple[History, sa.RowMapping]]:
    """The current rows in which something was hidden after publication. They have no hash."""
    return [
        (history, row)
        for history, columns in ((STUDENTS, ("phone",)), (PARENTS, tuple(RESTRICTED)))
        for row in _rows_where(connection, history, columns, district_id, history.table.c.row_hash == 0)
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
        keys = {key: sorted({one[place] for one in before}) for place, key in enumerate(wanted.key)}
        contacts = ("phone",) if wanted is STUDENTS else PARENT_CONTACTS
        columns = contacts if wanted is STUDENTS else tuple(RESTRICTED)
        for row in _current(connection, wanted, columns, district_id, **keys):
            if (was := before.get(tuple(row[key] for key in wanted.key))) is None:
                continue
            if was.get("has_restricted_access"):
                yield row, RESTRICTED
            else:
                yield row, {column: None for column in contacts if was[column] is None}

    return _hide(connection, of(STUDENTS), of(PARENTS), district_id, night)


def hide_parents(
    connection: sa.Connection, district_id: str, night: date, *, flagged: bool = False
) -> Hidden:
    """Blank the contacts of every parent, or only of parents published as restricted."""
    parents = PARENTS.table.c
    wanted = [sa.or_(*(parents[column].is_not(None) for column in PARENT_CONTACTS))]
    if flagged:
        wanted.append(parents.has_restricted_access.is_(True))
    found = _rows_where(connection, PARENTS, tuple(RESTRICTED), district_id, *wanted)
    says = RESTRICTED if flagged else NO_CONTACTS
    return _hide(connection, iter(()), ((row, says) for row in found), district_id, night)


def hide_every_phone(connection: sa.Connection, district_id: str, night: date) -> Hidden:
    """Blank every phone, for a district whose confidential numbers cannot be identified."""

    def with_phone(history: History, columns: tuple[str, ...]) -> Found:
        given = sa.or_(*(history.table.c[column].is_not(None) for column in columns))
        for row in _rows_where(connection, history, columns, district_id, given):
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


def _students_to_hide(
    connection: sa.Connection, confidential: pd.DataFrame | None, among: Keys | None, district_id: str
) -> Found:
    """Student rows to hide, among these students or all."""
    numbers = _numbers(confidential, "student_id")
    students = [one for one in (numbers if among is None else among.tolist()) if one in numbers]
    for row in _current(connection, STUDENTS, ("phone",), district_id, student_id=students):
        yield row, _without(row, ("phone",), numbers[row["student_id"]])


def _parents_to_hide(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    among: Keys | None,
    district_id: str,
) -> Found:
    """Parent rows to hide, of these students or of all."""
    numbers = _numbers(confidential, "parent_id")
    pairs = set()
    if restricted is not None:
        mine = restricted if among is None else restricted[restricted["student_id"].isin(among.tolist())]
        pairs = set(zip(mine["student_id"].tolist(), mine["parent_id"].tolist(), strict=True))
    keys = {"parent_id": sorted({parent_id for _, parent_id in pairs} | numbers.keys())}
    if among is not None:
        keys["student_id"] = among.tolist()
    for row in _current(connection, PARENTS, tuple(RESTRICTED), district_id, **keys):
        if (row["student_id"], row["parent_id"]) in pairs:
            yield row, RESTRICTED
        else:
            yield row, _without(row, PARENT_PHONES, numbers[row["parent_id"]])


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


def _current(
    connection: sa.Connection,
    history: History,
    columns: tuple[str, ...],
    district_id: str,
    **keys: list[int],
) -> list[sa.RowMapping]:
    """The current rows with these keys: key, these columns and `valid_from`."""
    if not all(keys.values()):
        return []
    table = history.table.c
    wanted = [table[key] == sa.any_(sa.literal(values, ARRAY(sa.BigInteger))) for key, values in keys.items()]
    return _rows_where(connection, history, columns, district_id, *wanted)


def _rows_where(
    connection: sa.Connection,
    history: History,
    columns: tuple[str, ...],
    district_id: str,
    *wanted: sa.ColumnElement[bool],
) -> list[sa.RowMapping]:
    """The current rows that meet this condition: key, these columns and `valid_from`."""
    table = history.table.c
    query = sa.select(table.valid_from, *(table[column] for column in (*history.key, *columns))).where(
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
    ).where(
        statuses.district_id == district_id, statuses.student_id == student_id, statuses.valid_to.is_(None)
    )
    names = [column.name for column in student_changes.columns]
    connection.execute(insert(student_changes).from_select(names, row))
    return True

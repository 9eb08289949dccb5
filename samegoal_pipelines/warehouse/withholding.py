"""What must stay hidden once it was hidden, and what must be hidden of students who keep their last rows.

How contacts are withheld of everybody else is the business of `transforms`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from samegoal_pipelines import phones
from samegoal_pipelines.tables.people import PARENT_CONTACTS
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.rows import Keys
from samegoal_pipelines.warehouse.tables import PARENTS, STATUS, STUDENTS, History, student_changes

PARENT_PHONES = tuple(column for column in PARENT_CONTACTS if column.endswith("_phone"))
RESTRICTED = {**dict.fromkeys(PARENT_CONTACTS), "has_restricted_access": True}
"""What the row of a parent under restriction says."""


class RestrictionsForgotten(WarehouseError):
    """Parents are published as restricted, and tonight nobody can tell who is."""


def refuse_to_forget_restrictions(engine: sa.Engine, district_id: str) -> None:
    """For a night without HasActiveRestrictedAccess: fail where any snapshot knew it.

    Publishing would show the contact data of parents under a court's restriction. A district that shows
    them anyway need not ask; one that has shown them for a while has not forgotten them for that.

    Raises:
        RestrictionsForgotten: parents are, or were, published with the flag.
    """
    parents = PARENTS.table.c
    published = sa.select(
        sa.exists().where(parents.district_id == district_id, parents.has_restricted_access.is_not(None))
    )
    with as_writer(engine, district_id, "looking up restrictions") as connection:
        if connection.scalar(published):
            raise RestrictionsForgotten(
                "the field HasActiveRestrictedAccess of Family/StudentGuardian is no longer granted, so "
                "nobody can tell which parents are under restriction: grant it again in the Integration "
                "Access in Qmlativ, or have the contacts of every parent published: samegoal-pipelines "
                f"districts set {district_id} --restricted-contacts show"
            )


def hide_from_kept(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    kept: Keys,
    district_id: str,
    night: date,
) -> int:
    """Take what is withheld tonight from the rows that kept students keep.

    As of this night, like any change: the row is closed and an emptied one opened, so that the night can be
    taken back. The hash is left out, so that the next readable night compares the row itself.

    Args:
        restricted: student_id and parent_id of every pair under restriction.
        confidential: the confidential numbers (`tables.people.CONFIDENTIAL_PHONES`).

    Returns:
        How many students that changed who had not changed yet tonight.
    """
    changed: defaultdict[int, list[str]] = defaultdict(list)
    for history, prefix, found in (
        (STUDENTS, "", _students_to_hide(connection, confidential, kept, district_id)),
        (PARENTS, "parents.", _parents_to_hide(connection, restricted, confidential, kept, district_id)),
    ):
        for row, says in found:
            differing = {column: value for column, value in says.items() if row[column] != value}
            if differing:
                _rewrite(connection, history, row, differing, district_id, night)
                new = [prefix + column for column in history.columns if column in differing]
                changed[row["student_id"]] += [name for name in new if name not in changed[row["student_id"]]]
    return sum(_note(connection, district_id, night, *change) for change in changed.items())


Found = Iterator[tuple[sa.RowMapping, dict[str, Any]]]
"""Current rows, and what they are to say."""


def _students_to_hide(
    connection: sa.Connection, confidential: pd.DataFrame | None, kept: Keys, district_id: str
) -> Found:
    numbers = _numbers(confidential, "student_id")
    students = [student_id for student_id in kept.tolist() if student_id in numbers]
    for row in _current(connection, STUDENTS, ("phone",), district_id, student_id=students):
        yield row, _without(row, ("phone",), numbers[row["student_id"]])


def _parents_to_hide(
    connection: sa.Connection,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    kept: Keys,
    district_id: str,
) -> Found:
    numbers = _numbers(confidential, "parent_id")
    pairs = set()
    if restricted is not None:
        mine = restricted[restricted["student_id"].isin(kept.tolist())]
        pairs = set(zip(mine["student_id"].tolist(), mine["parent_id"].tolist(), strict=True))
    parents = sorted({parent_id for _, parent_id in pairs} | numbers.keys())
    columns = tuple(RESTRICTED)
    for row in _current(
        connection, PARENTS, columns, district_id, student_id=kept.tolist(), parent_id=parents
    ):
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
    """Empty the columns whose text may name one of these numbers."""
    return {column: None for column in columns if row[column] and phones.may_be_one_of(row[column], numbers)}


def _current(
    connection: sa.Connection,
    history: History,
    columns: tuple[str, ...],
    district_id: str,
    **keys: list[int],
) -> list[sa.RowMapping]:
    """The current rows with these keys: their key, these columns, and since when they hold."""
    if not all(keys.values()):
        return []
    table = history.table.c
    wanted = [table[key] == sa.any_(sa.literal(values, ARRAY(sa.BigInteger))) for key, values in keys.items()]
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
    """Close the current row as of `night`, and open one that says otherwise; one of tonight is changed."""
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
    """Write the change down, beside what a run of the same night has; whether it is the student's first."""
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

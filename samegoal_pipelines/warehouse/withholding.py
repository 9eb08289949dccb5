"""What must stay hidden once it was hidden. How contacts are withheld is `transforms.parents`'s business."""

from __future__ import annotations

from datetime import date

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.schemas.demographics import PARENT_CONTACTS
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.rows import Keys
from samegoal_pipelines.warehouse.tables import PARENTS, STATUS, student_changes


class RestrictionsForgotten(WarehouseError):
    """Parents are published as restricted, and tonight nobody can tell who is."""


def refuse_to_forget_restrictions(engine: sa.Engine, district_id: str) -> None:
    """For a night without HasActiveRestrictedAccess: fail where the last snapshot knew it.

    Publishing would show the contact data of parents under a court's restriction.

    Raises:
        RestrictionsForgotten: the published parents carry the flag.
    """
    parents = PARENTS.table.c
    published = sa.select(
        sa.exists().where(
            parents.district_id == district_id,
            parents.valid_to.is_(None),
            parents.has_restricted_access.is_not(None),
        )
    )
    with as_writer(engine, district_id, "looking up restrictions") as connection:
        if connection.scalar(published):
            raise RestrictionsForgotten(
                "the field HasActiveRestrictedAccess of Family/StudentGuardian is no longer granted, so "
                "nobody can tell which parents are under restriction: grant it again in the Integration "
                "Access in Qmlativ"
            )


def hide_from_kept(
    connection: sa.Connection, restricted: pd.DataFrame, kept: Keys, district_id: str, night: date
) -> int:
    """Empty the contact columns of parents under restriction in the rows that kept students keep.

    As of this night, like any change: the row is closed and an emptied one opened, so that the night can be
    taken back. The hash is left out, so that the next readable night compares the row itself.

    Returns:
        How many students that changed.
    """
    pairs = restricted[restricted["student_id"].isin(kept.tolist())]
    changed = set()
    for student_id, parent_id in zip(pairs["student_id"], pairs["parent_id"], strict=True):
        if connection.execute(_empty(district_id, student_id, parent_id, night)).rowcount:
            changed.add(student_id)
    noted = [connection.execute(_note(district_id, student_id, night)).rowcount for student_id in changed]
    return sum(noted)


def _empty(district_id: str, student_id: int, parent_id: int, night: date) -> sa.Insert:
    """Close the pair's row, unless it is flagged already, and open one without contacts."""
    parents = PARENTS.table
    emptied = {column: sa.null() for column in PARENT_CONTACTS} | {"has_restricted_access": sa.true()}
    closed = (
        sa.update(parents)
        .where(
            parents.c.district_id == district_id,
            parents.c.student_id == student_id,
            parents.c.parent_id == parent_id,
            parents.c.valid_to.is_(None),
            parents.c.has_restricted_access.is_not(True),
        )
        .values(valid_to=night)
        .returning(*(parents.c[column] for column in ("district_id", *PARENTS.columns)))
        .cte("closed")
    )
    says = [emptied.get(column, closed.c[column]) for column in PARENTS.columns]
    opened = sa.select(closed.c.district_id, *says, sa.literal(night), sa.literal(0))
    return sa.insert(parents).from_select(PARENTS.loaded, opened)


def _note(district_id: str, student_id: int, night: date) -> sa.Insert:
    """Write the change down, unless a run of the same night has."""
    statuses = STATUS.table
    change = sa.select(
        statuses.c.district_id,
        sa.literal(night),
        statuses.c.student_id,
        statuses.c.student_number,
        sa.literal("parents"),
        statuses.c.status,
        statuses.c.status,
        sa.literal(["parents.has_restricted_access"], student_changes.c.changed_columns.type),
    ).where(
        statuses.c.district_id == district_id,
        statuses.c.student_id == student_id,
        statuses.c.valid_to.is_(None),
    )
    columns = [column.name for column in student_changes.columns]
    return insert(student_changes).from_select(columns, change).on_conflict_do_nothing()

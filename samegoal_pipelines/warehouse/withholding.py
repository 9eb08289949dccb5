"""What must stay hidden once it was hidden. How contacts are withheld is `transforms.parents`'s business."""

from __future__ import annotations

from datetime import date

import pandas as pd
import sqlalchemy as sa

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

    The row is changed in place and not closed: what is withheld now is withheld in the history's
    current row, too. Its hash is cleared, so that the next readable night compares the row itself.

    Returns:
        How many students that changed.
    """
    pairs = restricted[restricted["student_id"].isin(kept.tolist())]
    parents, statuses = PARENTS.table, STATUS.table
    emptied = dict.fromkeys(PARENT_CONTACTS)
    changed = {}
    for student_id, parent_id in zip(pairs["student_id"], pairs["parent_id"], strict=True):
        statement = (
            sa.update(parents)
            .where(
                parents.c.district_id == district_id,
                parents.c.student_id == student_id,
                parents.c.parent_id == parent_id,
                parents.c.valid_to.is_(None),
                parents.c.has_restricted_access.is_not(True),
            )
            .values(has_restricted_access=True, row_hash=0, **emptied)
            .returning(parents.c.student_number)
        )
        for number in connection.scalars(statement):
            changed[student_id] = number
    for student_id, number in changed.items():
        status = connection.scalar(
            sa.select(statuses.c.status).where(
                statuses.c.district_id == district_id,
                statuses.c.student_id == student_id,
                statuses.c.valid_to.is_(None),
            )
        )
        connection.execute(
            sa.insert(student_changes).values(
                district_id=district_id,
                snapshot_date=night,
                student_id=student_id,
                student_number=number,
                change="parents",
                old_status=status,
                new_status=status,
                changed_columns=["parents.has_restricted_access"],
            )
        )
    return len(changed)

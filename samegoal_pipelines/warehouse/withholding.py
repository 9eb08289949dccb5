"""What must stay hidden once it was hidden. How contacts are withheld is `transforms.parents`'s business."""

from __future__ import annotations

import sqlalchemy as sa

from samegoal_pipelines.warehouse.engine import transaction
from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.tables import PARENTS


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
    with transaction(engine, "looking up restrictions") as connection:
        if connection.scalar(published):
            raise RestrictionsForgotten(
                "the field HasActiveRestrictedAccess of Family/StudentGuardian is no longer granted, so "
                "nobody can tell which parents are under restriction: grant it again in the Integration "
                "Access in Qmlativ"
            )

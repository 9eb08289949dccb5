"""List the students whom a held snapshot would change if it were released, without names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.session import StudentChange


def students_of_hold(
    deployment: Deployment, district_id: str, night: date, run_id: str
) -> tuple[StudentChange, ...]:
    """The students who would be added, removed, or change their status or number, ordered by number."""
    held = SnapshotPayload.from_landed(
        deployment.landing.read(HELD_SNAPSHOT, district_id=district_id, night=night, run_id=run_id)
    )
    columns = ["student_id", "student_number", "status"]
    published = pd.DataFrame(_published(deployment.warehouse, district_id), columns=columns)
    published = published[~published["student_id"].isin(held.tables.carried_over)]
    both = published.merge(
        held.tables.status[columns],
        on="student_id",
        how="outer",
        suffixes=("_old", "_new"),
        validate="one_to_one",
    ).astype(object)
    both = both.where(both.notna(), None)
    why = held.why_absent()
    stays = both["status_old"].notna() & both["status_new"].notna()
    renumbered = stays & (both["student_number_old"] != both["student_number_new"])
    both = both.assign(renumbered=renumbered)[renumbered | (both["status_old"] != both["status_new"])]
    gained = both[both["renumbered"] | both["status_old"].isna()]
    holders = _holders(deployment.warehouse, district_id, gained["student_number_new"])
    found = [
        StudentChange(
            student_id=int(row.student_id),
            student_number=row.student_number_new or row.student_number_old,
            change=_kind(row.status_old, row.status_new),
            old_status=row.status_old,
            new_status=row.status_new,
            changed_columns=["student_number"] if row.renumbered else [],
            previous_number=row.student_number_old if row.renumbered else None,
            why=_of_others(row.student_id, holders.get(row.student_number_new, ()))
            if row.status_new
            else why.get(row.student_id, "no rows in Qmlativ"),
        )
        for row in both.itertuples()
    ]
    return tuple(sorted(found, key=lambda one: (one.student_number or "", one.student_id)))


def _kind(old: str | None, new: str | None) -> str:
    return "added" if old is None else "removed" if new is None else "status"


def _of_others(student_id: int, holders: Iterable[int]) -> str | None:
    others = ", ".join(str(one) for one in holders if one != student_id)
    return f"the student number is or was that of StudentID {others} too" if others else None


def _holders(engine: sa.Engine, district_id: str, numbers: Iterable[str | None]) -> dict[str, list[int]]:
    """The students who have or had each of these numbers, as published."""
    rows = STATUS.table.c
    query = (
        sa.select(rows.student_number, rows.student_id)
        .distinct()
        .where(rows.district_id == district_id, rows.student_number.in_([n for n in numbers if n]))
        .order_by(rows.student_number, rows.student_id)
    )
    found: dict[str, list[int]] = {}
    with as_operator(engine, "looking up the student numbers") as connection:
        for number, student_id in connection.execute(query):
            found.setdefault(number, []).append(student_id)
    return found


def _published(engine: sa.Engine, district_id: str) -> list[tuple[int, str, str]]:
    rows = STATUS.table.c
    query = sa.select(rows.student_id, rows.student_number, rows.status).where(
        rows.district_id == district_id, rows.valid_to.is_(None)
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return [tuple(row) for row in connection.execute(query)]

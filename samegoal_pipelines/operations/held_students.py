"""List the students whom a held snapshot would change if it were released, without names."""

from collections import defaultdict
from datetime import date

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.vocabulary import NO_ROWS
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.session import StudentChange

_COLUMNS = ["student_id", "student_number", "status"]


def students_of_hold(
    deployment: Deployment, district_id: str, night: date, run_id: str
) -> tuple[StudentChange, ...]:
    """The students who would be added, removed, or change their status or number, ordered by number."""
    held = SnapshotPayload.from_landed(
        deployment.landing.read(HELD_SNAPSHOT, district_id=district_id, night=night, run_id=run_id)
    )
    rows = STATUS.table.c
    here, current = rows.district_id == district_id, rows.valid_to.is_(None)
    with as_operator(deployment.warehouse, "looking up the published students") as connection:
        published = connection.execute(sa.select(*(rows[name] for name in _COLUMNS)).where(here, current))
        changed = _changed(pd.DataFrame(published.all(), columns=_COLUMNS), held)
        gained = changed[changed["renumbered"] | changed["status_old"].isna()]["student_number_new"]
        query = sa.select(rows.student_number, rows.student_id).distinct().order_by(rows.student_id)
        query = query.where(here, rows.student_number.in_([number for number in gained if number]))
        holders: dict[str, list[int]] = defaultdict(list)  # who have or had each number
        for number, student_id in connection.execute(query):
            holders[number].append(student_id)
    why, found = held.why_absent(), []
    for row in changed.itertuples():
        others = ", ".join(str(one) for one in holders[row.student_number_new] if one != row.student_id)
        of_others = f"the student number is or was that of StudentID {others} too" if others else None
        change = "status" if row.status_old and row.status_new else "added" if row.status_new else "removed"
        found.append(
            StudentChange(
                student_id=int(row.student_id),
                student_number=row.student_number_new or row.student_number_old,
                change=change,
                old_status=row.status_old,
                new_status=row.status_new,
                changed_columns=["student_number"] if row.renumbered else [],
                previous_number=row.student_number_old if row.renumbered else None,
                why=of_others if row.status_new else why.get(row.student_id, NO_ROWS),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.student_number or "", one.student_id)))


def _changed(published: pd.DataFrame, held: SnapshotPayload) -> pd.DataFrame:
    """The students whose status or number differs, with both (`_old`, `_new`), and `renumbered`."""
    both = published[~published["student_id"].isin(held.carried_over)].merge(
        held.status[_COLUMNS],
        on="student_id",
        how="outer",
        suffixes=("_old", "_new"),
        validate="one_to_one",
    )
    both = both.astype(object).where(both.notna(), None)
    stays = both["status_old"].notna() & both["status_new"].notna()
    renumbered = stays & (both["student_number_old"] != both["student_number_new"])
    return both.assign(renumbered=renumbered)[renumbered | (both["status_old"] != both["status_new"])]

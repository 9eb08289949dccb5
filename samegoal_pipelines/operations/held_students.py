"""List the students whom a held snapshot would change if it were released, without names."""

from collections import defaultdict
from datetime import date

import sqlalchemy as sa

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing.runs import HELD_SNAPSHOT
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.vocabulary import NO_ROWS
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.session import StudentChange

_COLUMNS = ["student_id", "student_number", "status"]
_NOWHERE = (None, None)
"""The number and status of a student who is not there."""


def students_of_hold(
    deployment: Deployment, district_id: str, night: date, run_id: str
) -> tuple[StudentChange, ...]:
    """The students who would be added, removed, or change their status or number, ordered by number."""
    held = SnapshotPayload.from_landed(
        deployment.landing.read(HELD_SNAPSHOT, district_id=district_id, night=night, run_id=run_id)
    )
    shown = held.status[_COLUMNS]
    numbers_and_statuses = shown.astype(object).where(shown.notna(), None).itertuples(index=False)
    after = {student: tuple(rest) for student, *rest in numbers_and_statuses}
    rows = STATUS.table.c
    here, current = rows.district_id == district_id, rows.valid_to.is_(None)
    with as_operator(deployment.warehouse, "looking up the published students") as connection:
        published = connection.execute(sa.select(*(rows[name] for name in _COLUMNS)).where(here, current))
        before = {student: tuple(rest) for student, *rest in published if student not in held.carried_over}
        changed = {
            student: (before.get(student, _NOWHERE), after.get(student, _NOWHERE))
            for student in before.keys() | after.keys()
            if before.get(student) != after.get(student)
        }
        gained = [number for (old_number, _), (number, _) in changed.values() if number != old_number]
        query = sa.select(rows.student_number, rows.student_id).distinct().order_by(rows.student_id)
        query = query.where(here, rows.student_number.in_([number for number in gained if number]))
        holders: dict[str | None, list[int]] = defaultdict(list)  # who have or had each number
        for number, student in connection.execute(query):
            holders[number].append(student)
    why, found = held.why_absent(), []
    for student, ((old_number, old_status), (number, status)) in changed.items():
        others = ", ".join(str(one) for one in holders[number] if one != student)
        of_others = f"the student number is or was that of StudentID {others} too" if others else None
        renumbered = old_status and status and number != old_number
        found.append(
            StudentChange(
                student_id=student,
                student_number=number or old_number,
                change="status" if old_status and status else "added" if status else "removed",
                old_status=old_status,
                new_status=status,
                changed_columns=["student_number"] if renumbered else [],
                previous_number=old_number if renumbered else None,
                why=of_others if status else why.get(student, NO_ROWS),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.student_number or "", one.student_id)))

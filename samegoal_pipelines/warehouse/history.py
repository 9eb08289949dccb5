"""Write and count one night's rows within a caller's transaction: for publishing, releasing and replaying."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.warehouse import student_changes
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.diff import Staged
from samegoal_pipelines.warehouse.gate_metrics import Shown, changes_between, shown
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.snapshots import Counts
from samegoal_pipelines.warehouse.withholding import hide_withheld


def write_night(
    connection: sa.Connection,
    content: Content,
    staged: Staged,
    district_id: str,
    night: date,
    *,
    before: Shown | None = None,
) -> Counts:
    """Make the staged rows current as of `night`, with changes and departures, and count them.

    Args:
        before: what was published before this attempt, to count changes against. None: the night before.
    """
    cursor = connection.connection.cursor()
    diff.write(cursor, staged, content.payload.absent, district_id, night)
    counts = hide(connection, _count(connection, content, district_id, night), content, district_id, night)
    if before is None:
        return counts
    return replace(counts, **changes_between(before, shown(cursor, district_id)))


def hide(
    connection: sa.Connection, counts: Counts, content: Content, district_id: str, night: date
) -> Counts:
    """Remove what is withheld tonight from the rows of carried-over students."""
    if not len(content.carried_over):
        return counts
    withheld = (content.payload.restricted, content.payload.confidential)
    hidden = hide_withheld(connection, *withheld, district_id, night, among=content.carried_over)
    return replace(counts, changed=counts.changed + hidden.students)


def facts_of(content: Content, counts: Counts, dropped_by_time: int | None) -> dict[str, Any]:
    """The facts about its rows in a snapshot's record."""
    payload = content.payload
    return {
        **asdict(counts),
        "dropped_by_time": dropped_by_time,
        "notes": list(payload.notes),
        "enrollment_rows": payload.enrollment_rows,
        "quarantined": payload.quarantined,
        "content_hash": content.hash,
    }


def _count(connection: sa.Connection, content: Content, district_id: str, night: date) -> Counts:
    """Count statuses from the snapshot's rows, and for carried-over students from their published rows."""
    status = STATUS.table
    counted = content.status.table["status"].value_counts().to_pylist()
    having = Counter({each["values"]: each["counts"] for each in counted})
    if len(content.carried_over):
        carried_over = status.c.student_id == sa.any_(
            sa.literal(content.carried_over.tolist(), ARRAY(sa.BigInteger))
        )
        current = (status.c.district_id == district_id) & status.c.valid_to.is_(None)
        having.update(_tally(connection, status.c.status, current, carried_over))
    tonight = (student_changes.c.district_id == district_id) & (student_changes.c.snapshot_date == night)
    changes = _tally(connection, student_changes.c.change, tonight)
    was_active = student_changes.c.old_status.in_(["ENROLLED", "PRE-ENROLLED"])
    is_active = sa.func.coalesce(student_changes.c.new_status, "").in_(["ENROLLED", "PRE-ENROLLED"])
    dropped = sa.select(sa.func.count()).where(tonight, was_active, ~is_active)
    added, removed = changes.pop("added", 0), changes.pop("removed", 0)
    students = having.total()
    return Counts(
        students=students,
        enrolled=having["ENROLLED"],
        pre_enrolled=having["PRE-ENROLLED"],
        graduated=having["GRADUATED"],
        inactive=having["INACTIVE"],
        added=added,
        changed=sum(changes.values()),
        removed=removed,
        carried_over=students - content.status.table.num_rows,
        dropped=connection.scalar(dropped) or 0,
    )


def _tally(
    connection: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*where).group_by(column)
    return {value: count for value, count in connection.execute(query)}

"""Measure for the gate how much a staged snapshot differs from a published one.

This queries the temporary tables that `diff` has filled, so the cost depends on the difference only.
"""

from typing import Any

import numpy as np
import pandas as pd

from samegoal_pipelines.tables.history import HISTORIES, PARENTS, STATUS, STUDENTS
from samegoal_pipelines.transforms.gate import Measured
from samegoal_pipelines.warehouse.diff import Staged, current_keys, fill
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.snapshots import Snapshot

_REACHED_BY = ("street", "home_phone", "cell_phone", "work_phone", "email")


def measure(cursor: Any, staged: Staged, content: Content, published: Snapshot) -> Measured:
    """How the staged snapshot differs from the published one."""

    def count(statement: str) -> int:
        cursor.execute(statement, {"district": published.district_id})
        return int(cursor.fetchone()[0])

    cursor.execute(fill(_DROPPED, STATUS))
    dropped = cursor.fetchall()
    of_status = {"old_status": fill("{old}", STATUS), "new_status": fill("{new}", STATUS)}
    reached = {f"reached_{table}": _reached(table) for table in ("old", "new", "history")}
    return Measured(
        {
            "students": content.status.table.num_rows,
            "carried_over": staged.status.carried_over,
            "enrollment_rows": content.payload.enrollment_rows,
            "quarantined": content.payload.quarantined,
            "published_students": published.students or 0,
            "published_active": published.active,
            "demographics_changed": sum(
                count(fill(_CHANGED, history, **of_status)) for history in (STUDENTS, PARENTS)
            ),
            "demographics_published": staged.students.published + staged.parents.published,
            "contacts_lost": count(fill(_CONTACTS_LOST, PARENTS, **of_status, **reached)),
            "added": count(fill(_ADDED, STATUS)),
            "reassigned": count(fill(_REASSIGNED, STATUS)),
        },
        dropped=np.array([student_id for student_id, _ in dropped], dtype=np.int64),
        graduated=np.array([graduated for _, graduated in dropped], dtype=bool),
    )


Shown = list[pd.DataFrame]
"""Keys and hashes of the current rows, by history table."""


def shown(cursor: Any, district_id: str) -> Shown:
    """What is published now."""
    found = (current_keys(cursor, history, district_id) for history in HISTORIES)
    return [pd.DataFrame(np.column_stack([*keys, hashes])) for keys, hashes in found]


def changes_between(before: Shown, after: Shown) -> dict[str, int]:
    """The number of students who are `added`, `changed` in any row, or `removed`."""
    had, have = set(before[0][0]), set(after[0][0])
    differing: set[int] = set()
    for old, new in zip(before, after, strict=True):
        differing.update(pd.concat([old, new]).drop_duplicates(keep=False)[0])
    changes = {"added": have - had, "changed": differing & had & have, "removed": had - have}
    return {change: len(students) for change, students in changes.items()}


# -- the SQL --

_DROPPED = """
    select old.student_id, coalesce(new.status = 'GRADUATED', false)
    from {old} as old left join {new} as new using (student_id)
    where old.status in ('ENROLLED', 'PRE-ENROLLED')
        and (new.student_id is null or new.status in ('INACTIVE', 'GRADUATED'))
    """

_ADDED = """
    select count(*) from {new} as new left join {old} as old using (student_id) where old.student_id is null
    """

# Numbers of a student tonight that another student had last. A number that both have tonight is shared, not
# reassigned. When sharing ends, the number is reassigned if the student who had it first loses it.
_REASSIGNED = """
    with gained as (
        select student_id, new.student_number from {new} as new left join {old} as old using (student_id)
        where new.student_number is not null and new.student_number is distinct from old.student_number
    ),
    lost as (
        select student_id, old.student_number from {old} as old left join {new} as new using (student_id)
        where new.student_number is distinct from old.student_number
    ),
    ever as materialized (
        select student_id, student_number, min(valid_from) as first_night,
            max(coalesce(valid_to, 'infinity')) as until
        from {history} where district_id = %(district)s and (
            student_number in (select student_number from gained union select student_number from lost)
        ) is true  -- keeps Postgres from a join, which it would loop over where it expects few rows
        group by student_id, student_number
    ),
    tonight as materialized (
        select * from gained
        union
        (select student_id, student_number from ever where until = 'infinity' except select * from lost)
    ),
    former as (
        select ever.* from ever left join tonight using (student_id, student_number)
        where tonight.student_id is null
    )
    select count(distinct tonight.student_number)
    from tonight
    join former using (student_number)
    left join ever on ever.student_number = tonight.student_number and ever.student_id = tonight.student_id
    where case
        when ever.until = 'infinity' then former.until = 'infinity' and former.first_night < ever.first_night
        else former.until > coalesce(ever.until, '-infinity')
    end
    """

# A replaced parent counts as a change. Rows of a student who is gone do not: the student counts as dropped.
_CHANGED = """
    select count(*) from {old} as old where not exists (
        select from {old_status} as status left join {new_status} as new using (student_id)
        where status.student_id = old.student_id and new.student_id is null
    )
    """

# A closing row may be the student's last reachable parent, so look at the other current rows as well.
_CONTACTS_LOST = """
    with had as materialized (
        select distinct student_id from {old} as old where {reached_old}
        except select student_id from {new} as new where {reached_new}
        except select old.student_id from {old_status} as old left join {new_status} as new using (student_id)
            where new.student_id is null
    )
    select count(*) from had where not exists (
        select from (
            select history.parent_id, {reached_history} as reached from {history} as history
            where history.district_id = %(district)s and history.valid_to is null
                and history.student_id = had.student_id
            offset 0
        ) as other
        where other.reached and not exists (
            select from {old} as old
            where old.student_id = had.student_id and old.parent_id = other.parent_id
        )
    )
    """


def _reached(table: str) -> str:
    """SQL: whether a parent row has a contact."""
    given = ", ".join(f"nullif({table}.{column}, '')" for column in _REACHED_BY)
    return f"num_nonnulls({given}) > 0"

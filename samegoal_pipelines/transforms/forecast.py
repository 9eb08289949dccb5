"""Which statuses will change on which day if nobody edits anything in Qmlativ.

Tonight's rows are classified for future days by the same functions. There is no other rule here.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from samegoal_pipelines.transforms.columns import EPOCH, MISSING, columns_of, days, ids
from samegoal_pipelines.transforms.enrollments import (
    FilteredEnrollments,
    filter_enrollments,
    rows_of_students,
)
from samegoal_pipelines.transforms.snapshot import statuses_of

UNCERTAIN_STATUS = "uncertain"


class Flip(NamedTuple):
    """A student whose status changes on a day. None: no row. `uncertain`: a row leaves it in doubt."""

    student_id: int
    day: date
    old_status: str | None
    new_status: str | None


def forecast_statuses(raw: Mapping[str, pd.DataFrame], today: date, horizon: int) -> list[Flip]:
    """The status changes on the `horizon` days after `today`, from `raw_enrollments` (object → frame).

    A status only changes on a first day, the day after a last day, or when a row leaves the import window. So
    only students with such a day are classified again, and only for that day.

    Returns:
        The changes, ordered by day and student.
    """
    students, turning = _turning_days(filter_enrollments(raw, today), (today - EPOCH).days, horizon)
    statuses = _statuses(raw, students, today)
    found = []
    for turn in np.unique(turning).tolist():
        day, concerned = EPOCH + timedelta(days=turn), np.unique(students[turning == turn])
        then = _statuses(raw, concerned, day)
        for student in concerned.tolist():
            old, new = statuses.get(student), then.get(student)
            if old != new:
                found.append(Flip(student, day, old, new))
                statuses[student] = new
    return found


def _turning_days(filtered: FilteredEnrollments, today: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Students and the days within the horizon on which their status may change."""
    students, turning = [], []
    for frame in (filtered.enrollments, filtered.excluded):
        columns = columns_of(frame[["student_id", "first_day", "last_day"]])
        owner = ids(columns["student_id"])
        first, last = (days(columns[name]).astype(np.int64) for name in ("first_day", "last_day"))
        # A row is past after its last day. A year and a day or two later (29 February) it leaves the window.
        for day in (first, last + 1, last + 366, last + 367):
            turns = (owner != MISSING) & (day > today) & (day <= today + horizon)
            students.append(owner[turns])
            turning.append(day[turns])
    return np.concatenate(students), np.concatenate(turning)


def _statuses(raw: Mapping[str, pd.DataFrame], students: np.ndarray, today: date) -> dict[int, str | None]:
    """The statuses of these students."""
    statuses, uncertain = statuses_of(rows_of_students(raw, students), today)
    known = dict(zip(statuses["student_id"].tolist(), statuses["status"].tolist(), strict=True))
    return known | dict.fromkeys(uncertain["student_id"].tolist(), UNCERTAIN_STATUS)

"""Which statuses will change on which day if nobody edits anything in Qmlativ.

Tonight's rows are classified for future days by the same functions. There is no other rule here.
"""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.transforms.columns import MISSING, NO_DAY, columns_of, days, frame_of, ids
from samegoal_pipelines.transforms.enrollments import EPOCH, FilteredEnrollments, filter_enrollments
from samegoal_pipelines.transforms.status import classify_students

UNCERTAIN_STATUS = "uncertain"

# A row is past after its last day. A year and a day or two later (29 February) it leaves the window.
_STEPS_AFTER_THE_LAST_DAY = (1, 366, 367)


def forecast_statuses(raw: Mapping[str, pd.DataFrame], today: date, horizon: int) -> pd.DataFrame:
    """The status changes on the `horizon` days after `today`, from `raw_enrollments` (object → frame).

    A status only changes on a first day, the day after a last day, or when a row leaves the import window. So
    only students with such a day are classified again, and only for that day.

    Returns:
        student_id (int64), day (date32), old_status, new_status (text; null: no row; `uncertain`: a row that
        cannot be relied on leaves it in doubt), ordered by day and student.
    """
    students, turning = _turning_days(filter_enrollments(raw, today), (today - EPOCH).days, horizon)
    statuses = _statuses(_of_students(raw, np.unique(students)), today)
    found: list[tuple[int, date, str | None, str | None]] = []
    for turn in np.unique(turning).tolist():
        day = EPOCH + timedelta(days=turn)
        concerned = np.unique(students[turning == turn])
        then = _statuses(_of_students(raw, concerned), day)
        for student in concerned.tolist():
            old, new = statuses.get(student), then.get(student)
            if old != new:
                found.append((student, day, old, new))
                statuses[student] = new
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    types = {
        "student_id": pa.int64(),
        "day": pa.date32(),
        "old_status": pa.string(),
        "new_status": pa.string(),
    }
    return frame_of(
        {name: pa.array(values, kind) for (name, kind), values in zip(types.items(), columns, strict=True)}
    )


def count_flips(flips: pd.DataFrame) -> pd.DataFrame:
    """Count the changes by day, old and new status: day, old_status, new_status, students."""
    return (
        flips.groupby(["day", "old_status", "new_status"], dropna=False, sort=True)
        .size()
        .rename("students")
        .reset_index()
    )


def _turning_days(filtered: FilteredEnrollments, today: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Students and the days within the horizon on which their status may change, each pair once."""
    students, turning = [], []
    for frame in (filtered.enrollments, filtered.excluded):
        columns = columns_of(frame[["student_id", "first_day", "last_day"]])
        owner, last = ids(columns["student_id"]), days(columns["last_day"]).astype(np.int64)
        first = days(columns["first_day"]).astype(np.int64)
        for day, known in [(first, first != NO_DAY)] + [
            (last + step, last != NO_DAY) for step in _STEPS_AFTER_THE_LAST_DAY
        ]:
            turns = known & (owner != MISSING) & (day > today) & (day <= today + horizon)
            students.append(owner[turns])
            turning.append(day[turns])
    return np.concatenate(students), np.concatenate(turning)


def _of_students(raw: Mapping[str, pd.DataFrame], students: np.ndarray) -> Mapping[str, pd.DataFrame]:
    """The same tables with only these students' enrollments, and the rows that contradict one of them."""
    entries = raw["EntryWithdrawal"]
    columns = columns_of(entries[["EntryWithdrawalID", "StudentID"]])
    keys, theirs = ids(columns["EntryWithdrawalID"]), np.isin(ids(columns["StudentID"]), students)
    wanted = theirs | np.isin(keys, keys[theirs])
    return {**raw, "EntryWithdrawal": entries.loc[wanted].reset_index(drop=True)}


def _statuses(raw: Mapping[str, pd.DataFrame], today: date) -> dict[int, str | None]:
    filtered = filter_enrollments(raw, today)
    found = classify_students(filtered.enrollments, filtered.excluded, today)
    doubtful = dict.fromkeys(found.uncertain["student_id"].tolist(), UNCERTAIN_STATUS)
    return (
        dict(zip(found.statuses["student_id"].tolist(), found.statuses["status"].tolist(), strict=True))
        | doubtful
    )

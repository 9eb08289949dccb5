"""Which status each student has, why, which enrollment decided it, who is uncertain, and a forecast.

Which enrollments count is decided in `enrollments`.
"""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.enrollments import STUDENT_STATUS, UNCERTAIN_STUDENTS
from samegoal_pipelines.tables.vocabulary import GRADUATED_CODE, STATUS_OF_REASON, UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    EPOCH,
    FOREVER,
    MISSING,
    NOWHERE,
    Columns,
    Frames,
    best_rows,
    columns_of,
    days,
    first_that_holds,
    flags,
    frame_from,
    frame_of,
    group_codes,
    ids,
    plain,
    take,
)
from samegoal_pipelines.transforms.enrollments import filter_enrollments, rows_of_students

# When an enrollment is, in increasing order of precedence.
PAST, UPCOMING, CURRENT = range(3)
UNCERTAIN_STATUS = "uncertain"


class StudentStatuses(NamedTuple):
    """One row per student with a status, and the students whose status is uncertain."""

    statuses: pd.DataFrame
    uncertain: pd.DataFrame


class Flip(NamedTuple):
    """A student whose status changes on a day. None: no row. `uncertain`: a row leaves it in doubt."""

    student_id: int
    day: date
    old_status: str | None
    new_status: str | None


def classify_students(enrollments: pd.DataFrame, excluded: pd.DataFrame, today: date) -> StudentStatuses:
    """Give every student of the counted enrollments a status on `today`, except the uncertain ones.

    Takes both frames of `filter_enrollments`. Statuses are ordered by student. A student with a quarantined
    row (other than never effective) is uncertain, unless a sound enrollment is current.
    """
    columns = columns_of(enrollments)
    codes, students = group_codes(ids(columns["student_id"]))
    order = deciding_order(columns, today)
    when = order["when"]

    deciding = best_rows(codes, len(students), [*order.values()])
    has_past = np.zeros(len(students), bool)
    has_past[codes[when == PAST]] = True

    known = np.flatnonzero(deciding != NOWHERE)
    if (students[known][1:] < students[known][:-1]).any():
        known = known[np.argsort(students[known], kind="stable")]
    rows = deciding[known]
    decided_by = when[rows]
    found = {name: plain(take(columns[name], rows)) for name in STUDENT_STATUS.names if name in columns}
    holds = {
        "current_enrollment": decided_by == CURRENT,
        "between_enrollments": (decided_by == UPCOMING) & has_past[known],
        "upcoming_enrollment_only": decided_by == UPCOMING,
        "graduated": flags(pc.equal(found["withdrawal_code"], GRADUATED_CODE)),
        "withdrawn": decided_by == PAST,
    }
    reason = first_that_holds(holds, STATUS_OF_REASON)
    found["status"] = take(pa.array(STATUS_OF_REASON.values()), reason)
    found["reason"] = take(pa.array(STATUS_OF_REASON), reason)
    statuses = frame_of({name: found[name] for name in STUDENT_STATUS.names})
    uncertain = _uncertain_students(excluded, students[known[decided_by == CURRENT]])
    if len(uncertain):
        statuses = statuses.loc[~statuses["student_id"].isin(uncertain["student_id"])].reset_index(drop=True)
    return StudentStatuses(statuses, uncertain)


def deciding_order(columns: Columns, today: date) -> dict[str, np.ndarray]:
    """The fields whose greatest enrollment decides: by the first one, then by the second, and so on.

    `when` is CURRENT, UPCOMING or PAST, in this order. Among past ones, the latest last day wins. Then, in
    all three, the default entity, the latest first day (earliest for upcoming ones) and the highest id win.
    """
    now = (today - EPOCH).days
    first_day, last_day = days(columns["first_day"]), days(columns["last_day"], null=FOREVER)
    upcoming = (first_day > now).view(np.int8)
    past = (last_day < now).view(np.int8)
    return {
        "when": CURRENT - upcoming - 2 * past,  # first and last day both belong to the enrollment
        "last_day": np.minimum(last_day, now),  # only past ones differ here
        "default_entity": flags(columns["is_default_entity"]).view(np.int8),
        "first_day": first_day * (1 - 2 * upcoming),
        "enrollment_id": ids(columns["enrollment_id"]),
    }


def _uncertain_students(excluded: pd.DataFrame, enrolled: np.ndarray) -> pd.DataFrame:
    """The students whom quarantined rows leave in doubt, with those rows' reasons."""
    rows = excluded.loc[excluded["reason"].isin(UNCERTAIN) & excluded["student_id"].notna()]
    if len(rows):
        rows = rows[~rows["student_id"].isin(enrolled)]
    reasons: dict[int, set[str]] = {}
    for student, reason in zip(rows["student_id"].tolist(), rows["reason"].tolist(), strict=True):
        reasons.setdefault(student, set()).add(reason)
    doubts = [
        {"student_id": student, "reasons": ",".join(sorted(reasons[student], key=UNCERTAIN.index))}
        for student in sorted(reasons)
    ]
    return frame_from(doubts, UNCERTAIN_STUDENTS.arrow_types)


# -- on other days --


def statuses_of(raw_enrollments: Frames, today: date) -> StudentStatuses:
    """The status of each student of landed enrollments on `today`, and who is uncertain."""
    filtered = filter_enrollments(raw_enrollments, today)
    return classify_students(filtered.enrollments, filtered.excluded, today)


def forecast_statuses(raw: Frames, today: date, horizon: int) -> list[Flip]:
    """The changes on the `horizon` days after `today` if nobody edits `raw_enrollments`, by day and student.

    A status only changes on a first day, the day after a last day, or when a row leaves the import window. So
    only students with such a day are classified again, and only for that day.
    """
    students, turning = _turning_days(raw, today, horizon)
    statuses = _statuses_among(students, raw, today)
    found = []
    for turn in np.unique(turning).tolist():
        day, concerned = EPOCH + timedelta(days=turn), np.unique(students[turning == turn])
        then = _statuses_among(concerned, raw, day)
        for student in concerned.tolist():
            old, new = statuses.get(student), then.get(student)
            if old != new:
                found.append(Flip(student, day, old, new))
                statuses[student] = new
    return found


def _turning_days(raw: Frames, today: date, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Students and the days within the horizon on which their status may change."""
    filtered, now = filter_enrollments(raw, today), (today - EPOCH).days
    names = ["student_id", "first_day", "last_day"]
    columns = columns_of(pd.concat([filtered.enrollments[names], filtered.excluded[names]]))
    first, last = (days(columns[name]).astype(np.int64) for name in ("first_day", "last_day"))
    # A row is past after its last day. A year and a day or two later (29 February) it leaves the window.
    turning = np.concatenate([first, last + 1, last + 366, last + 367])
    students = np.tile(ids(columns["student_id"]), 4)
    within = (students != MISSING) & (turning > now) & (turning <= now + horizon)
    return students[within], turning[within]


def _statuses_among(students: np.ndarray, raw: Frames, today: date) -> dict[int, str | None]:
    """The statuses of these students."""
    statuses, uncertain = statuses_of(rows_of_students(raw, students), today)
    known = dict(zip(statuses["student_id"].tolist(), statuses["status"].tolist(), strict=True))
    return known | dict.fromkeys(uncertain["student_id"].tolist(), UNCERTAIN_STATUS)

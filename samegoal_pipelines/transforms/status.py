"""Which status each student has, why, and which enrollment decided it.

Here: section 3 of the rules, and who is too uncertain to get a status. Not here: which enrollments
count (`enrollments`), nor anything about the student as a person.
"""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.schemas.vocabulary import GRADUATED_CODE, STATUS_OF_REASON, UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    NO_DAY,
    arrow,
    best_rows,
    days,
    flags,
    frame,
    group_codes,
    ids,
    take,
    take_text,
)
from samegoal_pipelines.transforms.enrollments import EPOCH

# Positions of the reasons in STATUS_OF_REASON.
CURRENT_ENROLLMENT, UPCOMING_ONLY, BETWEEN, GRADUATED, WITHDRAWN = range(5)

# When an enrollment lies, in the order in which it decides.
PAST, UPCOMING, CURRENT = range(3)


class StudentStatuses(NamedTuple):
    """One row per student with a status, and the students whose status is uncertain."""

    statuses: pd.DataFrame
    uncertain: pd.DataFrame


def classify_students(enrollments: pd.DataFrame, left_out: pd.DataFrame, today: date) -> StudentStatuses:
    """Give every student of the counted enrollments a status on `today`, except the uncertain ones.

    Takes both frames of `filter_enrollments`. Statuses are ordered by student. A student with a row set
    aside (other than as never effective) is uncertain, unless a sound enrollment is current, which nothing
    else can change.
    """
    codes, students = group_codes(ids(enrollments["student_id"]))
    first_day, last_day = days(enrollments["first_day"]), days(enrollments["last_day"])
    when = _when(first_day, last_day, (today - EPOCH).days)

    deciding = _deciding_rows(enrollments, codes, len(students), first_day, last_day, when)
    has_past = np.zeros(len(students), bool)
    has_past[codes[when == PAST]] = True

    known = np.flatnonzero(deciding >= 0)
    known = known[np.argsort(students[known], kind="stable")]
    rows = deciding[known]
    graduated = pc.equal(arrow(enrollments["withdrawal_code"]), GRADUATED_CODE).fill_null(False)
    reason = np.select(
        [when[rows] == CURRENT, when[rows] == UPCOMING, take(graduated, rows).to_numpy(zero_copy_only=False)],
        [CURRENT_ENROLLMENT, np.where(has_past[known], BETWEEN, UPCOMING_ONLY), GRADUATED],
        WITHDRAWN,
    )
    uncertain = _uncertain_students(left_out, students[known], reason == CURRENT_ENROLLMENT)
    if len(uncertain):
        certain = ~np.isin(students[known], ids(uncertain["student_id"]))
        rows, reason = rows[certain], reason[certain]
    return StudentStatuses(_status_rows(enrollments, rows, reason), uncertain)


def _when(first_day: np.ndarray, last_day: np.ndarray, today: int) -> np.ndarray:
    """Per enrollment PAST, UPCOMING or CURRENT; both its first and its last day belong to it."""
    when = np.full(len(first_day), CURRENT, np.int8)
    when[first_day > today] = UPCOMING
    when[(last_day < today) & (last_day != NO_DAY)] = PAST
    return when


def _deciding_rows(
    enrollments: pd.DataFrame,
    codes: np.ndarray,
    students: int,
    first_day: np.ndarray,
    last_day: np.ndarray,
    when: np.ndarray,
) -> np.ndarray:
    """Per student the row of the enrollment that decides: the greatest in the order of the rules.

    Current ones come before upcoming ones before past ones. Among past ones the latest last day is first;
    then in all three the default entity, the latest first day (of upcoming ones the earliest), the highest
    id.
    """
    past, upcoming = when == PAST, when == UPCOMING
    last_past_day = np.where(past, last_day, last_day[past].min() if past.any() else 0)
    return best_rows(
        codes,
        students,
        [
            when,
            last_past_day,
            flags(enrollments["is_default_entity"]).view(np.int8),
            np.where(upcoming, -first_day, first_day),
            ids(enrollments["enrollment_id"]),
        ],
    )


def _uncertain_students(left_out: pd.DataFrame, students: np.ndarray, enrolled: np.ndarray) -> pd.DataFrame:
    """The students that rows set aside leave in doubt, with those rows' reasons."""
    doubtful = left_out.loc[left_out["reason"].isin(UNCERTAIN) & left_out["student_id"].notna()]
    reasons: dict[int, set[str]] = {}
    for student, reason in zip(doubtful["student_id"].tolist(), doubtful["reason"].tolist(), strict=True):
        reasons.setdefault(student, set()).add(reason)
    if reasons:
        for student in np.intersect1d(list(reasons), students[enrolled]).tolist():
            del reasons[student]
    in_doubt = sorted(reasons)
    return frame(
        {
            "student_id": pa.array(in_doubt, pa.int64()),
            "reasons": pa.array(
                [",".join(sorted(reasons[s], key=UNCERTAIN.index)) for s in in_doubt], pa.string()
            ),
        }
    )


def _status_rows(enrollments: pd.DataFrame, rows: np.ndarray, reason: np.ndarray) -> pd.DataFrame:
    """The statuses: the deciding enrollments' columns next to status and reason."""
    reason = reason.astype(np.int8)
    carried = (
        "enrollment_id",
        "first_day",
        "last_day",
        "withdrawal_code",
        "school_year_id",
        "entity_id",
        "building",
        "building_reporting_id",
    )
    return frame(
        {
            "student_id": take(arrow(enrollments["student_id"]), rows),
            "status": take(pa.array(STATUS_OF_REASON.values()), reason),
            "reason": take(pa.array(STATUS_OF_REASON), reason),
            **{name: take_text(arrow(enrollments[name]), rows) for name in carried},
        }
    )

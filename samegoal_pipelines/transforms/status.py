"""Which status each student has, why, which enrollment decided it, and who is too uncertain to get a status.

Which enrollments count is decided in `enrollments`.
"""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.enrollments import STUDENT_STATUS
from samegoal_pipelines.tables.vocabulary import GRADUATED_CODE, STATUS_OF_REASON, UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    EPOCH,
    FOREVER,
    NOWHERE,
    Columns,
    best_rows,
    columns_of,
    days,
    first_that_holds,
    flags,
    frame_of,
    group_codes,
    ids,
    plain,
    take,
)

# When an enrollment is, in increasing order of precedence.
PAST, UPCOMING, CURRENT = range(3)


class StudentStatuses(NamedTuple):
    """One row per student with a status, and the students whose status is uncertain."""

    statuses: pd.DataFrame
    uncertain: pd.DataFrame


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
    reason = _reasons(decided_by, has_past[known], found["withdrawal_code"])
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


def _reasons(when: np.ndarray, has_past: np.ndarray, code: pa.Array) -> np.ndarray:
    """For each student, the position in STATUS_OF_REASON of the first reason that the enrollments give."""
    holds = {
        "current_enrollment": when == CURRENT,
        "between_enrollments": (when == UPCOMING) & has_past,
        "upcoming_enrollment_only": when == UPCOMING,
        "graduated": flags(pc.equal(code, GRADUATED_CODE)),
        "withdrawn": when == PAST,
    }
    return first_that_holds(holds, STATUS_OF_REASON)


def _uncertain_students(excluded: pd.DataFrame, enrolled: np.ndarray) -> pd.DataFrame:
    """The students whom quarantined rows leave in doubt, with those rows' reasons."""
    rows = excluded.loc[excluded["reason"].isin(UNCERTAIN) & excluded["student_id"].notna()]
    if len(rows):
        rows = rows[~rows["student_id"].isin(enrolled)]
    reasons: dict[int, set[str]] = {}
    for student, reason in zip(rows["student_id"].tolist(), rows["reason"].tolist(), strict=True):
        reasons.setdefault(student, set()).add(reason)
    students = sorted(reasons)
    in_words = [",".join(sorted(reasons[student], key=UNCERTAIN.index)) for student in students]
    return frame_of(
        {"student_id": pa.array(students, pa.int64()), "reasons": pa.array(in_words, pa.string())}
    )

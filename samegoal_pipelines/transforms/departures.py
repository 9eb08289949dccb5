"""Why a student with enrollments in Qmlativ has no row tonight.

The reasons are those of the table `departures`. Who was published before is known to the warehouse only, and
so is a student without any enrollment.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.vocabulary import (
    CECS_ONLY,
    ENTITY_NOT_INCLUDED,
    LEFT_WINDOW,
    NEVER_EFFECTIVE_ONLY,
    ROWS_UNREADABLE,
)
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NOWHERE,
    RowIndex,
    best_rows,
    columns_of,
    frame_of,
    group_codes,
    ids,
    take,
)

# The last matching reason in this table explains the absence: an enrollment that once counted says more than
# one that never did. A student without any of these reasons is uncertain or has a status.
_EXPLAINED_BY = {
    "never_effective": NEVER_EFFECTIVE_ONLY,
    "cecs": CECS_ONLY,
    "entity_not_included": ENTITY_NOT_INCLUDED,
    "never_closed": LEFT_WINDOW,
    "outside_window": LEFT_WINDOW,
}


def explain_absences(excluded: pd.DataFrame, statuses: pd.DataFrame, uncertain: pd.DataFrame) -> pd.DataFrame:
    """Explain every student who has enrollments and no status: student_id and `why`, ordered by student.

    Takes `excluded` of `filter_enrollments` and both frames of `classify_students`. An uncertain student is
    carried over, so `rows unreadable` only applies if nothing was published before.
    """
    in_doubt = ids(columns_of(uncertain)["student_id"])
    students, weights = _weightiest(columns_of(excluded))
    decided = np.concatenate([ids(columns_of(statuses)["student_id"]), in_doubt])
    undecided = (weights > 0) & (RowIndex(decided, "student_id").find(students) == NOWHERE)

    absent = np.concatenate([students[undecided], in_doubt])
    why = np.concatenate([weights[undecided], np.full(len(in_doubt), len(_EXPLAINED_BY) + 1)])
    order = np.argsort(absent, kind="stable")
    words = pa.array([None, *_EXPLAINED_BY.values(), ROWS_UNREADABLE], pa.string())
    return frame_of({"student_id": pa.array(absent[order], pa.int64()), "why": take(words, why[order])})


def _weightiest(excluded: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Each student of these rows, and the position (from 1) of the strongest reason, or 0."""
    student = ids(excluded["student_id"])
    reasons = excluded["reason"].dictionary.to_pylist()
    weight_of = {reason: weight for weight, reason in enumerate(_EXPLAINED_BY, start=1)}
    of_reason = np.asarray([weight_of.get(reason, 0) for reason in reasons], np.int64)
    rows = np.flatnonzero(student != MISSING)
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    weight = of_reason[excluded["reason"].indices.to_numpy()[rows]]
    codes, students = group_codes(student[rows])
    best = best_rows(codes, len(students), [weight])
    found = best != NOWHERE  # dense ids also have numbers for the ids in between
    return students[found], weight[best[found]]

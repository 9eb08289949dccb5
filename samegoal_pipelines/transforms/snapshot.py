"""What a district publishes for one night: statuses, students and parents that belong together.

Here: putting the three tables together, so that each speaks of the same students. Not here: how the
tables come about, nor how they are stored.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from samegoal_pipelines.transforms.columns import NOWHERE, RowIndex, columns_of, frame_of, ids, take
from samegoal_pipelines.transforms.students import StudentDemographics


class Snapshot(NamedTuple):
    """The three tables to publish, and the students of whom what was last published stays."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    kept: frozenset[int]


def assemble_snapshot(
    statuses: pd.DataFrame, uncertain: pd.DataFrame, students: StudentDemographics, parents: pd.DataFrame
) -> Snapshot:
    """Join the student number onto statuses and parents, and leave out students without a record."""
    kept = [*uncertain["student_id"], *students.without_record["student_id"]]
    return Snapshot(
        status=_with_student_number(statuses, students.students),
        students=students.students,
        parents=_with_student_number(parents, students.students),
        kept=frozenset(kept),
    )


def _with_student_number(rows: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """The rows of these students, with the student number after the student id."""
    columns, known = columns_of(rows), columns_of(students[["student_id", "student_number"]])
    at = RowIndex(ids(known["student_id"]), "student_id").find(ids(columns["student_id"]))
    kept = np.flatnonzero(at != NOWHERE)
    columns = {name: take(values, kept) for name, values in columns.items()}
    number = take(known["student_number"], at[kept])
    return frame_of({"student_id": columns.pop("student_id"), "student_number": number} | columns)

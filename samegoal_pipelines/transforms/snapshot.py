"""What a district publishes for one night: statuses, students and parents that belong together.

Here: putting the three tables together, so that each speaks of the same students; and the whole way of a
night at once, for nights that are computed again. Not here: how each table comes about, nor how they are
stored.
"""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from samegoal_pipelines.tables.vocabulary import UNCERTAIN
from samegoal_pipelines.transforms import parents as of_parents
from samegoal_pipelines.transforms import students as of_students
from samegoal_pipelines.transforms.columns import NOWHERE, RowIndex, columns_of, frame_of, ids, take
from samegoal_pipelines.transforms.departures import explain_absences
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments, filter_enrollments
from samegoal_pipelines.transforms.reads import reading_notes
from samegoal_pipelines.transforms.status import StudentStatuses, classify_students
from samegoal_pipelines.transforms.students import StudentDemographics
from samegoal_pipelines.transforms.withholding import Withholding, withholding_notes

Raw = Mapping[str, pd.DataFrame]


class Snapshot(NamedTuple):
    """The three tables to publish, and the students of whom what was last published stays."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    kept: frozenset[int]


class Computed(NamedTuple):
    """All that the raw rows of a night say, as it is published."""

    snapshot: Snapshot
    restricted: pd.DataFrame
    """student_id and parent_id of every pair whose contacts are withheld, whoever is published."""
    confidential: pd.DataFrame
    """The numbers that are withheld, whoever is published (`ConfidentialPhones`)."""
    absent: pd.DataFrame
    """student_id and why, of every student who has enrollments and no row."""
    enrollment_rows: int
    """Rows of EntryWithdrawal, exact repeats apart."""
    set_aside: int
    """Of these, rows that leave a student in doubt: all that were set aside, but for never effective ones."""
    notes: tuple[str, ...]
    """What a reader of the snapshot should know."""


def compute_night(
    raw_enrollments: Raw, raw_students: Raw, raw_parents: Raw, today: date, *, withholding: Withholding
) -> Computed:
    """What the landed rows of a night (each asset: Qmlativ object → frame) are published as.

    The assets take the same steps, one by one. Raises ValueError as `filter_enrollments` does.
    """
    filtered = filter_enrollments(raw_enrollments, today)
    classified = classify_students(filtered.enrollments, filtered.left_out, today)
    students = of_students.build_student_demographics(
        raw_students, classified.statuses, withholding=withholding
    )
    known = of_parents.restriction_is_known(raw_parents)
    parents = of_parents.build_parent_demographics(
        raw_parents, classified.statuses, restriction_known=known, withholding=withholding
    ).parents
    return Computed(
        snapshot=assemble_snapshot(classified.statuses, classified.uncertain, students, parents),
        restricted=of_parents.find_restricted_pairs(
            raw_parents, restriction_known=known, withholding=withholding
        ),
        confidential=all_confidential(
            of_students.find_confidential_phones(raw_students, withholding),
            of_parents.find_confidential_phones(raw_parents, withholding),
        ),
        absent=explain_absences(filtered.left_out, classified.statuses, classified.uncertain),
        enrollment_rows=len(filtered.enrollments) + len(filtered.left_out),
        set_aside=count_in_doubt(filtered),
        notes=(
            *withholding_notes(known, withholding),
            *reading_notes(
                raw["Reads"] for raw in (raw_enrollments, raw_students, raw_parents) if "Reads" in raw
            ),
        ),
    )


def statuses_of(raw_enrollments: Raw, today: date) -> StudentStatuses:
    """Which status each student of landed enrollments has as of `today`, and who is uncertain."""
    filtered = filter_enrollments(raw_enrollments, today)
    return classify_students(filtered.enrollments, filtered.left_out, today)


def count_in_doubt(filtered: FilteredEnrollments) -> int:
    """How many rows were set aside, but for those never effective, which leave nothing in doubt."""
    return int(filtered.left_out["reason"].isin(UNCERTAIN).sum())


def all_confidential(students: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """The numbers that are withheld of students and of parents, in one table (each `ConfidentialPhones`)."""
    return pd.concat([students, parents], ignore_index=True)


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

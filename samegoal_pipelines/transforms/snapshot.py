"""What a district publishes for one night: statuses, students and parents that belong together.

This module joins the three tables so that they have the same students, and computes a whole night at once for
replays. How each table is made is in the other modules; storing them is up to `warehouse`.
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
    """The three tables to publish, and the students who are carried over."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    kept: frozenset[int]


class Computed(NamedTuple):
    """Everything that is published for the raw rows of a night."""

    snapshot: Snapshot
    restricted: pd.DataFrame
    """student_id and parent_id of every pair whose contacts are withheld, published or not."""
    confidential: pd.DataFrame
    """The numbers that are withheld, published or not (`ConfidentialPhones`)."""
    absent: pd.DataFrame
    """student_id and why, for every student with enrollments and no row."""
    enrollment_rows: int
    """Rows of EntryWithdrawal without exact repeats."""
    set_aside: int
    """Of these, quarantined rows except never effective ones, which leave nothing in doubt."""
    notes: tuple[str, ...]
    """Notes for readers of the snapshot."""


def compute_night(
    raw_enrollments: Raw, raw_students: Raw, raw_parents: Raw, today: date, *, withholding: Withholding
) -> Computed:
    """Compute what is published for the landed rows of a night (each asset: Qmlativ object → frame).

    The assets run the same steps one by one. Raises ValueError as `filter_enrollments` does.
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
    """The status of each student of landed enrollments on `today`, and who is uncertain."""
    filtered = filter_enrollments(raw_enrollments, today)
    return classify_students(filtered.enrollments, filtered.left_out, today)


def count_in_doubt(filtered: FilteredEnrollments) -> int:
    """Count the quarantined rows, except never effective ones, which leave nothing in doubt."""
    return int(filtered.left_out["reason"].isin(UNCERTAIN).sum())


def all_confidential(students: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """The withheld numbers of students and parents in one table (each `ConfidentialPhones`)."""
    return pd.concat([students, parents], ignore_index=True)


def assemble_snapshot(
    statuses: pd.DataFrame, uncertain: pd.DataFrame, students: StudentDemographics, parents: pd.DataFrame
) -> Snapshot:
    """Join the student number onto statuses and parents, and drop students without a record."""
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

"""What a district publishes for one night: statuses, students and parents that belong together.

This module joins the three tables so that they have the same students, and computes a whole night at once for
replays. How each table is made is in the other modules; storing them is up to `warehouse`.
"""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa

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


class SnapshotTables(NamedTuple):
    """The three tables to publish, and the students who are carried over."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    carried_over: frozenset[int] = frozenset()


class SnapshotPayload(NamedTuple):
    """All that a night wants published, and what a reader of it should know."""

    tables: SnapshotTables
    restricted: pd.DataFrame | None = None
    """student_id and parent_id of every pair under restriction tonight."""
    confidential: pd.DataFrame | None = None
    """The confidential numbers (`tables.people.CONFIDENTIAL_PHONES`)."""
    absent: pd.DataFrame | None = None
    """student_id and `why` of every student whom the enrollments mention and who has no row."""
    enrollment_rows: int | None = None
    """Rows of EntryWithdrawal, exact repeats apart."""
    quarantined: int | None = None
    """Of these, the quarantined rows that leave a student in doubt."""
    notes: tuple[str, ...] = ()
    """What a reader of the snapshot should know."""
    shows: Withholding | None = None
    """Which contacts it shows that are withheld by default. None: none of them."""

    def published(self) -> dict[str, pd.DataFrame]:
        """The tables that SameGoal is to read."""
        tables = self.tables
        return {"status": tables.status, "students": tables.students, "parents": tables.parents}

    def to_land(self) -> dict[str, pd.DataFrame]:
        """What must be landed to publish exactly this later."""
        extras = {"restricted": self.restricted, "confidential": self.confidential, "absent": self.absent}
        return {
            **self.published(),
            "carried_over": frame_of({"student_id": pa.array(sorted(self.tables.carried_over), pa.int64())}),
            **{name: frame for name, frame in extras.items() if frame is not None},
        }

    def why_absent(self) -> dict[int, str]:
        """Student → why there is no row, as far as it is known."""
        if self.absent is None:
            return {}
        return dict(zip(self.absent["student_id"].tolist(), self.absent["why"].tolist(), strict=True))

    @classmethod
    def from_landed(cls, landed: Raw) -> Self:
        """What `to_land` made; its counts, notes and switches are with the held snapshot's record."""
        carried_over = frozenset(landed["carried_over"]["student_id"].tolist())
        tables = SnapshotTables(landed["status"], landed["students"], landed["parents"], carried_over)
        return cls(tables, landed.get("restricted"), landed.get("confidential"), landed.get("absent"))


def compute_night(
    raw_enrollments: Raw, raw_students: Raw, raw_parents: Raw, today: date, *, withholding: Withholding
) -> SnapshotPayload:
    """Compute what is published for the landed rows of a night (each asset: Qmlativ object → frame).

    The assets run the same steps one by one. Raises ValueError as `filter_enrollments` does.
    """
    filtered = filter_enrollments(raw_enrollments, today)
    classified = classify_students(filtered.enrollments, filtered.excluded, today)
    students = of_students.build_student_demographics(
        raw_students, classified.statuses, withholding=withholding
    )
    known = of_parents.restriction_is_known(raw_parents)
    parents = of_parents.build_parent_demographics(
        raw_parents, classified.statuses, restriction_known=known, withholding=withholding
    ).parents
    return SnapshotPayload(
        tables=assemble_snapshot(classified.statuses, classified.uncertain, students, parents),
        restricted=of_parents.find_restricted_pairs(
            raw_parents, restriction_known=known, withholding=withholding
        ),
        confidential=all_confidential(
            of_students.find_confidential_phones(raw_students, withholding),
            of_parents.find_confidential_phones(raw_parents, withholding),
        ),
        absent=explain_absences(filtered.excluded, classified.statuses, classified.uncertain),
        enrollment_rows=len(filtered.enrollments) + len(filtered.excluded),
        quarantined=count_in_doubt(filtered),
        notes=(
            *withholding_notes(known, withholding),
            *reading_notes(
                raw["Reads"] for raw in (raw_enrollments, raw_students, raw_parents) if "Reads" in raw
            ),
        ),
        shows=withholding,
    )


def statuses_of(raw_enrollments: Raw, today: date) -> StudentStatuses:
    """The status of each student of landed enrollments on `today`, and who is uncertain."""
    filtered = filter_enrollments(raw_enrollments, today)
    return classify_students(filtered.enrollments, filtered.excluded, today)


def count_in_doubt(filtered: FilteredEnrollments) -> int:
    """Count the quarantined rows, except never effective ones, which leave nothing in doubt."""
    return int(filtered.excluded["reason"].isin(UNCERTAIN).sum())


def all_confidential(students: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """The withheld numbers of students and parents in one table (each `ConfidentialPhones`)."""
    return pd.concat([students, parents], ignore_index=True)


def assemble_snapshot(
    statuses: pd.DataFrame, uncertain: pd.DataFrame, students: StudentDemographics, parents: pd.DataFrame
) -> SnapshotTables:
    """Join the student number onto statuses and parents, and drop students without a record."""
    carried_over = [*uncertain["student_id"], *students.without_record["student_id"]]
    return SnapshotTables(
        status=_with_student_number(statuses, students.students),
        students=students.students,
        parents=_with_student_number(parents, students.students),
        carried_over=frozenset(carried_over),
    )


def _with_student_number(rows: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """The rows of these students, with the student number after the student id."""
    columns, known = columns_of(rows), columns_of(students[["student_id", "student_number"]])
    at = RowIndex(ids(known["student_id"]), "student_id").find(ids(columns["student_id"]))
    there = np.flatnonzero(at != NOWHERE)
    columns = {name: take(values, there) for name, values in columns.items()}
    number = take(known["student_number"], at[there])
    return frame_of({"student_id": columns.pop("student_id"), "student_number": number} | columns)

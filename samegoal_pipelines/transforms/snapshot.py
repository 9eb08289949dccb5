"""What a district publishes for one night: statuses, students and parents that belong together.

How each table is made is in the other modules; storing them is up to `warehouse`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, Self

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.vocabulary import UNCERTAIN
from samegoal_pipelines.transforms.columns import frame_of
from samegoal_pipelines.transforms.demographics import (
    StudentDemographics,
    build_parent_demographics,
    build_student_demographics,
    find_confidential_phones,
    find_restricted_pairs,
    restriction_is_known,
)
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.explanation import explain_absences
from samegoal_pipelines.transforms.reads import reading_notes
from samegoal_pipelines.transforms.status import StudentStatuses, classify_students
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
    statuses = classified.statuses
    return assemble_snapshot(
        filtered.enrollments,
        filtered.excluded,
        classified,
        build_student_demographics(raw_students, statuses, withholding=withholding),
        build_parent_demographics(raw_parents, statuses, withholding=withholding).parents,
        restriction_known=restriction_is_known(raw_parents),
        restricted=find_restricted_pairs(raw_parents, withholding),
        confidential=[find_confidential_phones(raw, withholding) for raw in (raw_students, raw_parents)],
        withholding=withholding,
        reads=[raw["Reads"] for raw in (raw_enrollments, raw_students, raw_parents) if "Reads" in raw],
    )


def assemble_snapshot(
    enrollments: pd.DataFrame,
    excluded: pd.DataFrame,
    classified: StudentStatuses,
    students: StudentDemographics,
    parents: pd.DataFrame,
    *,
    restriction_known: bool,
    restricted: pd.DataFrame,
    confidential: Sequence[pd.DataFrame],
    withholding: Withholding,
    reads: Iterable[pd.DataFrame],
) -> SnapshotPayload:
    """What a night publishes, from what its assets made.

    Students without a record are carried over, like uncertain ones, and statuses and parents get the student
    number. `confidential` are the students' and the parents' numbers, `reads` the tables of reads.
    """
    statuses, uncertain = classified
    carried_over = [*uncertain["student_id"], *students.without_record["student_id"]]
    return SnapshotPayload(
        SnapshotTables(
            status=_with_student_number(statuses, students.students),
            students=students.students,
            parents=_with_student_number(parents, students.students),
            carried_over=frozenset(carried_over),
        ),
        restricted=restricted,
        confidential=pd.concat(confidential, ignore_index=True),
        absent=explain_absences(excluded, statuses, uncertain),
        enrollment_rows=len(enrollments) + len(excluded),
        quarantined=int(excluded["reason"].isin(UNCERTAIN).sum()),
        notes=(*withholding_notes(restriction_known, withholding), *reading_notes(reads)),
        shows=withholding,
    )


def statuses_of(raw_enrollments: Raw, today: date) -> StudentStatuses:
    """The status of each student of landed enrollments on `today`, and who is uncertain."""
    filtered = filter_enrollments(raw_enrollments, today)
    return classify_students(filtered.enrollments, filtered.excluded, today)


def _with_student_number(rows: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """The rows of these students, with the student number after the student id."""
    numbered = rows.merge(students[["student_id", "student_number"]], on="student_id", validate="many_to_one")
    return numbered[["student_id", "student_number", *rows.columns.drop("student_id")]]

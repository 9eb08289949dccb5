"""What a district publishes for one night: statuses, students and parents that belong together.

How each table is made is in the other modules; storing them is up to `warehouse`.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple, Self

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.enrollments import ABSENT_STUDENTS
from samegoal_pipelines.tables.people import CONFIDENTIAL_PHONES, RESTRICTED_PAIRS
from samegoal_pipelines.tables.vocabulary import UNCERTAIN
from samegoal_pipelines.transforms.columns import frame_from, frame_of
from samegoal_pipelines.transforms.demographics import parent_tables, student_tables
from samegoal_pipelines.transforms.enrollments import filter_enrollments
from samegoal_pipelines.transforms.explanation import explain_absences
from samegoal_pipelines.transforms.reads import reading_notes
from samegoal_pipelines.transforms.status import classify_students
from samegoal_pipelines.transforms.withholding import WITHHOLD, Withholding, withholding_notes

Raw = Mapping[str, pd.DataFrame]
Tables = dict[str, pd.DataFrame]
_LANDED = ("status", "students", "parents", "restricted", "confidential", "absent")


class SnapshotPayload(NamedTuple):
    """All that a night wants published, and what a reader of it should know."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    carried_over: frozenset[int] = frozenset()
    """Students who keep their last published rows."""
    restricted: pd.DataFrame = frame_from((), RESTRICTED_PAIRS.arrow_types)
    confidential: pd.DataFrame = frame_from((), CONFIDENTIAL_PHONES.arrow_types)
    absent: pd.DataFrame = frame_from((), ABSENT_STUDENTS.arrow_types)
    enrollment_rows: int = 0
    """Rows of EntryWithdrawal, exact repeats apart."""
    quarantined: int = 0
    """Of these, the quarantined rows that leave a student in doubt."""
    notes: tuple[str, ...] = ()
    """What a reader of the snapshot should know."""
    shows: Withholding = WITHHOLD
    """Which contacts it shows that are withheld by default."""

    def published(self) -> Tables:
        """The tables that SameGoal is to read."""
        return {"status": self.status, "students": self.students, "parents": self.parents}

    def to_land(self) -> Tables:
        """What must be landed to publish exactly this later."""
        carried_over = frame_of({"student_id": pa.array(sorted(self.carried_over), pa.int64())})
        return {name: getattr(self, name) for name in _LANDED} | {"carried_over": carried_over}

    @classmethod
    def from_landed(cls, landed: Raw) -> Self:
        """What `to_land` made; its counts, notes and switches are with the held snapshot's record."""
        tables: dict[str, Any] = {name: landed[name] for name in _LANDED}
        return cls(**tables, carried_over=frozenset(landed["carried_over"]["student_id"].tolist()))

    def why_absent(self) -> dict[int, str]:
        """Student → why there is no row, as far as it is known."""
        return dict(zip(self.absent["student_id"].tolist(), self.absent["why"].tolist(), strict=True))


def compute_night(
    raw_enrollments: Raw, raw_students: Raw, raw_parents: Raw, today: date, *, withholding: Withholding
) -> SnapshotPayload:
    """Compute what is published for the landed rows of a night (each asset: Qmlativ object → frame).

    The assets run the same steps one by one. Raises ValueError as `filter_enrollments` does.
    """
    filtered = filter_enrollments(raw_enrollments, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    parents, _ = parent_tables(raw_parents, statuses, withholding)
    return assemble_snapshot(
        {"enrollments": filtered.enrollments, "excluded": filtered.excluded},
        {"student_status": statuses, "uncertain": uncertain},
        student_tables(raw_students, statuses, withholding),
        parents,
        [raw["Reads"] for raw in (raw_enrollments, raw_students, raw_parents) if "Reads" in raw],
    )


def assemble_snapshot(
    filtered: Raw, classified: Raw, students: Raw, parents: Raw, reads: Iterable[pd.DataFrame]
) -> SnapshotPayload:
    """What a night publishes, from what its assets landed, and the tables of reads.

    Students without a record are carried over, like uncertain ones, and statuses and parents get the student
    number. It shows the contacts that the landed tables show: the district's switches may have changed since.
    """
    statuses, uncertain = classified["student_status"], classified["uncertain"]
    excluded, described = filtered["excluded"], students["student_demographics"]
    switches = pd.concat([students["withholding"], parents["withholding"]])
    withholding = Withholding(*(bool(switches[name].any()) for name in switches))
    restriction_known = bool(parents["restriction"]["is_known"].item())
    return SnapshotPayload(
        status=_with_student_number(statuses, described),
        students=described,
        parents=_with_student_number(parents["parent_demographics"], described),
        carried_over=frozenset([*uncertain["student_id"], *students["without_record"]["student_id"]]),
        restricted=parents["restricted"],
        confidential=pd.concat([students["confidential"], parents["confidential"]], ignore_index=True),
        absent=explain_absences(excluded, statuses, uncertain),
        enrollment_rows=len(filtered["enrollments"]) + len(excluded),
        quarantined=int(excluded["reason"].isin(UNCERTAIN).sum()),
        notes=(*withholding_notes(restriction_known, withholding), *reading_notes(reads)),
        shows=withholding,
    )


def _with_student_number(rows: pd.DataFrame, students: pd.DataFrame) -> pd.DataFrame:
    """The rows of these students, with the student number after the student id."""
    numbered = rows.merge(students[["student_id", "student_number"]], on="student_id", validate="many_to_one")
    return numbered[["student_id", "student_number", *rows.columns.drop("student_id")]]

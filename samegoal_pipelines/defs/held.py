"""What a night wants published, and the landed form that keeps it where the gate holds it.

A release publishes what was held to the letter, whatever Qmlativ says by then; so it is landed whole, beside
the night's other files. Not here: whether a night is held (`warehouse.gate`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from samegoal_pipelines.defs.io import Tables
from samegoal_pipelines.defs.night import Night
from samegoal_pipelines.errors import SYNC, Kind
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.transforms.columns import frame_of
from samegoal_pipelines.transforms.departures import explain_absences
from samegoal_pipelines.transforms.reads import reading_notes
from samegoal_pipelines.transforms.snapshot import Snapshot, all_confidential, assemble_snapshot
from samegoal_pipelines.transforms.students import StudentDemographics
from samegoal_pipelines.transforms.withholding import Withholding, withholding_notes

HELD_SNAPSHOT = "held_snapshot"
"""The name under which it is landed; no asset of Dagster's has it."""


class ToPublish(NamedTuple):
    """The rows of a night under the names that `publish` and `release` give them."""

    snapshot: Snapshot
    restricted: pd.DataFrame
    """student_id and parent_id of every pair under restriction."""
    confidential: pd.DataFrame
    """The numbers that are withheld (`ConfidentialPhones`)."""
    absent: pd.DataFrame
    """student_id and `why` of every student whom the enrollments mention and who has no row."""

    def published(self) -> Tables:
        """The tables that SameGoal is to read."""
        return {
            "status": self.snapshot.status,
            "students": self.snapshot.students,
            "parents": self.snapshot.parents,
        }

    def tables(self) -> Tables:
        """The same as tables to land."""
        return {
            **self.published(),
            "kept": frame_of({"student_id": pa.array(sorted(self.snapshot.kept), pa.int64())}),
            "restricted": self.restricted,
            "confidential": self.confidential,
            "absent": self.absent,
        }

    @classmethod
    def of_tables(cls, tables: Tables) -> ToPublish:
        """What was landed."""
        kept = frozenset(tables["kept"]["student_id"].tolist())
        snapshot = Snapshot(tables["status"], tables["students"], tables["parents"], kept)
        return cls(snapshot, tables["restricted"], tables["confidential"], tables["absent"])


def read_held(night: Night, snapshot_date: date, run_id: str) -> ToPublish:
    """What that run's night was held with.

    Raises:
        LandingError: it is not in the landing any more, or damaged; only a new run can tell.
    """
    try:
        return ToPublish.of_tables(night.read_landed(HELD_SNAPSHOT, snapshot_date, run_id))
    except LandingError:
        raise LandingError(
            f"what was held on {snapshot_date} is no longer in the landing, or is damaged",
            kind=Kind.LANDED_ROWS,
            next_step=f"run the night again: {SYNC}",
        ) from None


def to_publish(
    cecs_filtered_enrollments: Tables,
    student_status: Tables,
    student_demographics: Tables,
    parent_demographics: Tables,
) -> ToPublish:
    """Put together what a night's assets want published."""
    students = StudentDemographics(
        student_demographics["student_demographics"], student_demographics["without_record"]
    )
    statuses, uncertain = student_status["student_status"], student_status["uncertain"]
    return ToPublish(
        assemble_snapshot(statuses, uncertain, students, parent_demographics["parent_demographics"]),
        parent_demographics["restricted"],
        all_confidential(student_demographics["confidential"], parent_demographics["confidential"]),
        explain_absences(cecs_filtered_enrollments["left_out"], statuses, uncertain),
    )


def notes_of(
    parent_demographics: Tables, withholding: Withholding, reads: Iterable[pd.DataFrame]
) -> tuple[str, ...]:
    """What a reader of the snapshot should know about its contacts and about how its rows were read."""
    known = restriction_is_known(parent_demographics)
    return (*withholding_notes(known, withholding), *reading_notes(reads))


def restriction_is_known(parent_demographics: Tables) -> bool:
    """Whether the night tells which parents are under restriction."""
    (known,) = parent_demographics["restriction"]["is_known"]
    return bool(known)

"""Small snapshots for the warehouse's tests: a few literal students, made into frames and published."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.tables.enrollments import ABSENT_STUDENTS
from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.people import CONFIDENTIAL_PHONES, RESTRICTED_PAIRS
from samegoal_pipelines.tables.vocabulary import ACTIVE
from samegoal_pipelines.tables.warehouse import metadata, registrar_worklist
from samegoal_pipelines.transforms.columns import frame_from
from samegoal_pipelines.transforms.gate import Students, Verdict
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.publishing import find_held, publish_or_hold, release
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.session import session
from samegoal_pipelines.warehouse.snapshots import RunIdentity, Snapshot, record_failure

NIGHT = date(2026, 9, 1)
STARTED = datetime(2026, 9, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Tried(Snapshot):
    """What became of a night, and what the gate said of it, if it was asked."""

    verdict: Verdict = field(default_factory=Verdict, compare=False)


@dataclass(frozen=True)
class Gate:
    """The gate's limits, and what the landing would say (`warehouse.publishing.Landing`)."""

    limits: Limits
    staying: Callable[[Snapshot], Students | None] = lambda _: None
    emptied: Callable[[Snapshot], Mapping[str, int]] = lambda _: {}
    land_held: Callable[[SnapshotPayload], None] = lambda _: None


_runs = itertools.count(1)


def _run(
    district_id: str,
    night: int | date,
    run_id: str | None = None,
    started_at: datetime | None = None,
    landed_run_id: str | None = None,
) -> RunIdentity:
    """A run for a date, or so many days after the first night. By default, it begins after the last one."""
    number = next(_runs)
    if isinstance(night, int):
        night = NIGHT + timedelta(days=night)
    began = started_at or STARTED + timedelta(seconds=number)
    return RunIdentity(district_id, night, run_id or f"run-{number}", began, landed_run_id)


def release_night(
    engine: sa.Engine, held: Snapshot | int, what: SnapshotPayload, run_id: str | None = None, **further: Any
) -> Snapshot:
    """A release of what was held, or is held of so many days after the first night."""
    if isinstance(held, int):
        held = find_held(engine, "grand-bend", NIGHT + timedelta(days=held))
    run = _run(held.district_id, held.snapshot_date, run_id, landed_run_id=held.landed_run_id)
    read: dict[str, Any] = {"enrollment_rows": held.enrollment_rows, "quarantined": held.quarantined}
    content = content_of(what._replace(**read, notes=tuple(held.notes), **further))
    return release(engine, run, content, released_by="mvega", reason="the school has closed")


def fail_night(
    engine: sa.Engine, night: int, reason: str, *, district_id: str = "grand-bend", run_id: str
) -> None:
    """A run that failed, of so many days after the first night."""
    record_failure(engine, _run(district_id, night, run_id), PipelineError(reason))


def student(student_id: int, **facts: Any) -> dict[str, Any]:
    """One student's facts: columns of status and demographics, and `parents`: parent_id → columns."""
    return {"student_id": student_id, "student_number": f"{student_id:05}", "status": "ENROLLED", **facts}


def snapshot(*students: Mapping[str, Any], carried_over: frozenset[int] = frozenset()) -> SnapshotPayload:
    """The frames of these students."""
    parents = [
        {
            "student_id": one["student_id"],
            "student_number": one["student_number"],
            "parent_id": parent_id,
            "last_name": "Tran",
            **facts,
        }
        for one in students
        for parent_id, facts in one.get("parents", {}).items()
    ]
    decided = {"reason": "current_enrollment", "first_day": NIGHT}
    status = [{"enrollment_id": one["student_id"], **decided, **one} for one in students]
    written = (STATUS, status), (STUDENTS, students), (PARENTS, parents)
    frames = [frame_from(rows, history.declared.arrow_types) for history, rows in written]
    return SnapshotPayload(frames[0], frames[1], frames[2], carried_over)


def publish_night(engine: sa.Engine, night: int | date, what: SnapshotPayload, **further: Any) -> Tried:
    """Publish as of a date, or so many days after NIGHT. Each call is a run, begun after the last."""
    published = try_night(engine, night, what, **further)
    assert published.published, published.reason
    return published


def hold_night(engine: sa.Engine, night: int, what: SnapshotPayload, gate: Gate, **further: Any) -> Tried:
    """The same of a snapshot that the gate is to hold."""
    held = try_night(engine, night, what, gate=gate, **further)
    assert held.held
    return held


def try_night(
    engine: sa.Engine,
    night: int | date,
    what: SnapshotPayload,
    *,
    district_id: str = "grand-bend",
    run_id: str | None = None,
    started_at: datetime | None = None,
    landed_run_id: str | None = None,
    gate: Gate | None = None,
    **further: Any,
) -> Tried:
    """The same of a snapshot that may be held or not. Without a gate, nothing is held."""
    run = _run(district_id, night, run_id, started_at, landed_run_id)
    content = content_of(what._replace(**further))
    if gate is None:
        with session(engine, run) as s:
            s.stage(content, measured=False)
            return Tried(**vars(s.publish()))
    recorded, verdict = publish_or_hold(engine, run, content, gate.limits, gate)
    return Tried(**vars(recorded), verdict=verdict)


def gate_of(
    *,
    by_time: Mapping[int, str | None] | None = None,
    asked: list[Snapshot] | None = None,
    **limits: float,
) -> Gate:
    """A gate with the usual limits, but for these.

    Args:
        by_time: student → the status that the published night's rows give as of tonight; None: they are gone.
        asked: is told of what night that was asked.
    """

    def staying(published: Snapshot) -> Students | None:
        if asked is not None:
            asked.append(published)
        if by_time is None:
            return None
        return np.array([n for n, status in by_time.items() if status in (None, *ACTIVE)], dtype=np.int64)

    return Gate(Limits(**limits), staying)


def absences(why: Mapping[int, str]) -> pd.DataFrame:
    """What `publish` is told of students without a row: student → why."""
    return frame_of(ABSENT_STUDENTS.arrow_types, why.items())


def pairs(*pairs: tuple[int, int]) -> pd.DataFrame:
    """Student and parent of each pair under restriction."""
    return frame_of(RESTRICTED_PAIRS.arrow_types, pairs)


def phones(*numbers: tuple[int | None, int | None, str]) -> pd.DataFrame:
    """Confidential numbers: whose they are, a student or a parent, and the digits."""
    return frame_of(CONFIDENTIAL_PHONES.arrow_types, numbers)


def frame_of(types: Mapping[str, pa.DataType], found: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    return frame_from((dict(zip(types, row, strict=True)) for row in found), types)


def rows(engine: sa.Engine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, as plain tuples."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), parameters)]


def views(engine: sa.Engine, district_id: str = "grand-bend") -> dict[str, list[tuple[Any, ...]]]:
    """All that SameGoal can read of a district, in a fixed order."""
    return stored(engine, district_id, VIEWS)


VIEWS = ("student_status", "student_demographics", "parent_demographics", "student_details")
STORED = (*(f"{view}_history" for view in VIEWS[:3]), "student_changes", "departures")


def stored(
    engine: sa.Engine, district_id: str, sources: Sequence[str] = STORED
) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a district's students, without the district's name."""
    query = (
        "select (to_jsonb(t) - 'district_id')::text from samegoal.{} as t where district_id = :id order by 1"
    )
    return {table: rows(engine, query.format(table), id=district_id) for table in sources}


def every_byte(engine: sa.Engine, district_id: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, or of a district's, with its place on disk: a rewritten row differs."""
    tables = [table for table in metadata.sorted_tables if district_id is None or "district_id" in table.c]
    whose = "true" if district_id is None else "district_id = :id"
    query = "select ctid::text, xmin::text, t::text from {} as t where " + whose + " order by 1"
    return {table.name: rows(engine, query.format(table.fullname), id=district_id) for table in tables}


def attempts(engine: sa.Engine, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of every attempted snapshot, in the order of the attempts."""
    return rows(engine, f"select {', '.join(columns)} from samegoal.snapshots order by snapshot_id")


def read_worklist(engine: sa.Engine, district_id: str = "grand-bend") -> Sequence[sa.Row[Any]]:
    """The rows of the district's worklist in their order."""
    listed = registrar_worklist.c
    query = sa.select(registrar_worklist).where(listed.district_id == district_id).order_by(listed.line)
    with engine.connect() as connection:
        return connection.execute(query).all()


def wait_until_a_session_waits_for_a_lock(engine: sa.Engine) -> None:
    """Return once some session of this database waits for a lock of another one."""
    waiting = sa.text(
        "select count(*) from pg_stat_activity "
        "where datname = current_database() and wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 120
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < deadline, "no session waits for a lock"

"""Small snapshots for the warehouse's tests: a few literal students, made into the frames of `publish`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from samegoal_pipelines.errors import PipelineError
from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS, History
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.warehouse import metadata
from samegoal_pipelines.transforms.snapshot import SnapshotPayload, SnapshotTables
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse import snapshots
from samegoal_pipelines.warehouse.publishing import publish_or_hold
from samegoal_pipelines.warehouse.release import release as release_content
from samegoal_pipelines.warehouse.rows import content_of
from samegoal_pipelines.warehouse.session import Held, Published, session
from samegoal_pipelines.warehouse.snapshots import RunIdentity, Snapshot

NIGHT = date(2026, 9, 1)
STARTED = datetime(2026, 9, 1, 6, tzinfo=UTC)
TYPES = {sa.BigInteger: pa.int64(), sa.Text: pa.string(), sa.Date: pa.date32(), sa.Boolean: pa.bool_()}


FewStudents = SnapshotTables


@dataclass(frozen=True)
class Gate:
    """The gate's limits, and what the landing would say (`warehouse.publishing.Landing`)."""

    limits: Limits
    enrollment_rows: int = 0
    quarantined: int = 0
    status_by_time: Callable[[Snapshot], pd.DataFrame | None] = lambda _: None
    emptied: Callable[[Snapshot], Mapping[str, int]] = lambda _: {}
    on_hold: Callable[[], None] | None = None

    def statuses_by_time(self, published: Snapshot) -> pd.DataFrame | None:
        return self.status_by_time(published)

    def land_held(self) -> None:
        if self.on_hold is not None:
            self.on_hold()


def publish(
    engine: sa.Engine,
    *,
    district_id: str,
    snapshot_date: date,
    snapshot: FewStudents,
    run_id: str,
    started_at: datetime,
    landed_run_id: str | None = None,
    restricted: pd.DataFrame | None = None,
    confidential: pd.DataFrame | None = None,
    absent: pd.DataFrame | None = None,
    switches: Withholding | None = None,
    notes: Sequence[str] = (),
    gate: Gate | None = None,
    on_hold: Callable[[], None] | None = None,
) -> Published | Held:
    """One run's session, as the asset `published_snapshot` has it. Without a gate, nothing is held."""
    run = RunIdentity(district_id, snapshot_date, run_id, started_at, landed_run_id)
    payload = SnapshotPayload(
        snapshot,
        restricted,
        confidential,
        absent,
        gate.enrollment_rows if gate else None,
        gate.quarantined if gate else None,
        tuple(notes),
        switches,
    )
    content = content_of(payload)
    if gate is not None:
        return publish_or_hold(engine, run, content, gate.limits, replace(gate, on_hold=on_hold))
    with session(engine, run) as s:
        s.stage(content, measured=False)
        return s.publish()


def release(
    engine: sa.Engine,
    *,
    district_id: str,
    held: Snapshot,
    snapshot: FewStudents,
    restricted: pd.DataFrame | None = None,
    confidential: pd.DataFrame | None = None,
    absent: pd.DataFrame | None = None,
    switches: Withholding | None = None,
    run_id: str,
    started_at: datetime,
    released_by: str,
    reason: str,
) -> Published:
    """A release of what was held."""
    payload = SnapshotPayload(
        snapshot,
        restricted,
        confidential,
        absent,
        held.enrollment_rows,
        held.quarantined,
        tuple(held.notes),
        switches,
    )
    run = RunIdentity(district_id, held.snapshot_date, run_id, started_at, held.landed_run_id)
    content = content_of(payload)
    return release_content(engine, run, held, content, released_by=released_by, reason=reason)


def record_failure(
    engine: sa.Engine,
    *,
    district_id: str,
    snapshot_date: date,
    run_id: str,
    started_at: datetime,
    reason: str,
) -> None:
    """A run that failed."""
    run = RunIdentity(district_id, snapshot_date, run_id, started_at)
    snapshots.record_failure(engine, run, PipelineError(reason))


def student(student_id: int, **facts: Any) -> dict[str, Any]:
    """One student's facts: columns of status and demographics, and `parents`: parent_id → columns."""
    return {"student_id": student_id, "student_number": f"{student_id:05}", "status": "ENROLLED", **facts}


def snapshot(*students: Mapping[str, Any], carried_over: frozenset[int] = frozenset()) -> FewStudents:
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
    return FewStudents(
        frame(STATUS, status), frame(STUDENTS, students), frame(PARENTS, parents), carried_over
    )


def frame(history: History, rows: Any) -> pd.DataFrame:
    """The columns of a table, as Arrow-backed pandas; a fact that is not given is null."""
    columns = {
        name: pa.array([row.get(name) for row in rows], TYPES[type(history.table.c[name].type)])
        for name in history.columns
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def publish_night(
    engine: sa.Engine,
    night: int,
    what: FewStudents,
    *,
    district_id: str = "grand-bend",
    run_id: str | None = None,
    **further: Any,
) -> Published:
    """Publish as of so many days after the first night; each call is a run, begun after the last."""
    published = try_night(engine, night, what, district_id=district_id, run_id=run_id, **further)
    assert isinstance(published, Published), published.reason
    return published


def hold_night(engine: sa.Engine, night: int, what: FewStudents, gate: Gate, **further: Any) -> Held:
    """The same of a snapshot that the gate is to hold."""
    held = try_night(engine, night, what, gate=gate, **further)
    assert isinstance(held, Held)
    return held


def try_night(
    engine: sa.Engine,
    night: int,
    what: FewStudents,
    *,
    district_id: str = "grand-bend",
    run_id: str | None = None,
    **further: Any,
) -> Published | Held:
    """The same of a snapshot that may be held or not."""
    run_number, began = next_run()
    return publish(
        engine,
        district_id=district_id,
        snapshot_date=NIGHT + timedelta(days=night),
        snapshot=what,
        run_id=run_id or f"run-{run_number}",
        started_at=began,
        **further,
    )


def next_run() -> tuple[int, datetime]:
    """The number of a new run, and when it began: after the last one."""
    global _runs
    _runs += 1
    return _runs, STARTED + timedelta(seconds=_runs)


_runs = 0


def gate_of(
    *,
    enrollment_rows: int = 0,
    quarantined: int = 0,
    by_time: Mapping[int, str | None] | None = None,
    asked: list[Snapshot] | None = None,
    **limits: float,
) -> Gate:
    """A gate with the usual limits, but for these.

    Args:
        by_time: student → the status that the published night's rows give as of tonight; None: they are gone.
        asked: is told of what night that was asked.
    """

    def status_by_time(published: Snapshot) -> pd.DataFrame | None:
        if asked is not None:
            asked.append(published)
        if by_time is None:
            return None
        columns = {
            "student_id": pa.array(by_time.keys(), pa.int64()),
            "status": pa.array(by_time.values(), pa.string()),
        }
        return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)

    return Gate(Limits.of(limits), enrollment_rows, quarantined, status_by_time)


def absences(why: Mapping[int, str]) -> pd.DataFrame:
    """What `publish` is told of students without a row: student → why."""
    columns = {"student_id": pa.array(why.keys(), pa.int64()), "why": pa.array(why.values(), pa.string())}
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def pairs(*pairs: tuple[int, int]) -> pd.DataFrame:
    """Student and parent of each pair under restriction."""
    columns = {
        "student_id": pa.array([student_id for student_id, _ in pairs], pa.int64()),
        "parent_id": pa.array([parent_id for _, parent_id in pairs], pa.int64()),
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def phones(*numbers: tuple[int | None, int | None, str]) -> pd.DataFrame:
    """Confidential numbers: whose they are, a student or a parent, and the digits."""
    names, types = ("student_id", "parent_id", "digits"), (pa.int64(), pa.int64(), pa.string())
    columns = {
        name: pa.array([number[place] for number in numbers], kind)
        for place, (name, kind) in enumerate(zip(names, types, strict=True))
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def rows(engine: sa.Engine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, as plain tuples."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), parameters)]


def views(engine: sa.Engine, district_id: str = "grand-bend") -> dict[str, list[tuple[Any, ...]]]:
    """All that SameGoal can read of a district, in a fixed order."""
    return {
        view: rows(
            engine,
            f"select row_to_json(v)::text from samegoal.{view} as v where district_id = :district order by 1",
            district=district_id,
        )
        for view in ("student_status", "student_demographics", "parent_demographics", "student_details")
    }


def everything(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but `snapshots` as text, and where it lies: what a hold must not touch."""
    return {
        table.name: rows(
            engine, f"select ctid::text, row_to_json(t)::text from {table.fullname} as t order by 1, 2"
        )
        for table in metadata.sorted_tables
        if table.name != "snapshots"
    }


def attempts(engine: sa.Engine, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of every attempted snapshot, in the order of the attempts."""
    return rows(engine, f"select {', '.join(columns)} from samegoal.snapshots order by snapshot_id")


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

"""Small snapshots for the warehouse's tests: a few literal students, made into the frames of `publish`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS, History
from samegoal_pipelines.tables.warehouse import metadata
from samegoal_pipelines.warehouse.gate import Gate, Limits
from samegoal_pipelines.warehouse.publish import Held, Published, publish
from samegoal_pipelines.warehouse.snapshots import Attempt

NIGHT = date(2026, 9, 1)
STARTED = datetime(2026, 9, 1, 6, tzinfo=UTC)
TYPES = {sa.BigInteger: pa.int64(), sa.Text: pa.string(), sa.Date: pa.date32(), sa.Boolean: pa.bool_()}


@dataclass(frozen=True)
class FewStudents:
    """What `publish` takes."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    kept: frozenset[int] = frozenset()


def student(student_id: int, **facts: Any) -> dict[str, Any]:
    """One student's facts: columns of status and demographics, and `parents`: parent_id → columns."""
    return {"student_id": student_id, "student_number": f"{student_id:05}", "status": "ENROLLED", **facts}


def snapshot(*students: Mapping[str, Any], kept: frozenset[int] = frozenset()) -> FewStudents:
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
    return FewStudents(frame(STATUS, status), frame(STUDENTS, students), frame(PARENTS, parents), kept)


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
    set_aside: int = 0,
    by_time: Mapping[int, str | None] | None = None,
    asked: list[Attempt] | None = None,
    **limits: float,
) -> Gate:
    """A gate with the usual limits, but for these.

    Args:
        by_time: student → the status that the published night's rows give as of tonight; None: they are gone.
        asked: is told of what night that was asked.
    """

    def status_by_time(published: Attempt) -> pd.DataFrame | None:
        if asked is not None:
            asked.append(published)
        if by_time is None:
            return None
        columns = {
            "student_id": pa.array(by_time.keys(), pa.int64()),
            "status": pa.array(by_time.values(), pa.string()),
        }
        return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)

    return Gate(Limits.of(limits), enrollment_rows, set_aside, status_by_time)


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

"""The record of attempted snapshots: what became of each night. Writing a published one is `publish`'s."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.tables.warehouse import current_snapshots, districts, erasures, snapshots
from samegoal_pipelines.warehouse.engine import as_operator, as_writer

_REASON_LIMIT = 2_000  # characters


@dataclass(frozen=True)
class Attempt:
    """One row of `snapshots`; counts are None where nothing was counted."""

    district_id: str
    snapshot_date: date
    state: str
    students: int | None
    enrolled: int | None
    pre_enrolled: int | None
    graduated: int | None
    inactive: int | None
    added: int | None
    changed: int | None
    removed: int | None
    kept: int | None
    enrollment_rows: int | None
    set_aside: int | None
    lost: int | None
    lost_by_time: int | None
    notes: list[str]
    reason: str | None
    failure_kind: str | None
    next_step: str | None
    """`ID` stands for the district, `RUN` for the run."""
    run_id: str
    landed_run_id: str | None
    started_at: datetime
    published_at: datetime | None


_ATTEMPT = (
    snapshots.c.district_id,
    snapshots.c.snapshot_date,
    snapshots.c.state,
    snapshots.c.students,
    snapshots.c.enrolled,
    snapshots.c.pre_enrolled,
    snapshots.c.graduated,
    snapshots.c.inactive,
    snapshots.c.added,
    snapshots.c.changed,
    snapshots.c.removed,
    snapshots.c.kept,
    snapshots.c.enrollment_rows,
    snapshots.c.set_aside,
    snapshots.c.lost,
    snapshots.c.lost_by_time,
    snapshots.c.notes,
    snapshots.c.held_reason.label("reason"),
    snapshots.c.failure_kind,
    snapshots.c.next_step,
    snapshots.c.run_id,
    snapshots.c.landed_run_id,
    snapshots.c.started_at,
    snapshots.c.published_at,
)


def record_failure(
    engine: sa.Engine,
    *,
    district_id: str,
    snapshot_date: date,
    run_id: str,
    started_at: datetime,
    reason: str,
    kind: Kind = Kind.OTHER,
    next_step: str = "",
) -> None:
    """Write down that this run failed and why, unless it has published all the same."""
    row = {
        "snapshot_date": snapshot_date,
        "held_reason": reason[:_REASON_LIMIT],
        "failure_kind": kind.value,
        "next_step": next_step,
    }
    statement = insert(snapshots).values(
        district_id=district_id, run_id=run_id, started_at=started_at, state="failed", **row
    )
    statement = statement.on_conflict_do_update(
        index_elements=["run_id", "district_id"], set_=row, where=snapshots.c.state == "failed"
    )
    with as_writer(engine, district_id, "recording the failure") as connection:
        if not connection.scalar(sa.select(erased_since(district_id, started_at))):
            connection.execute(statement)


def erased_since(district_id: str, moment: datetime) -> sa.ColumnElement[bool]:
    """Whether the district was erased after this moment, or was erased and is not registered."""
    erasure = sa.exists().where(erasures.c.district_id == district_id)
    registration = sa.exists().where(districts.c.district_id == district_id)
    return erasure.where(erasures.c.erased_at > moment) | (erasure & ~registration)


def attempt_of(connection: sa.Connection, snapshot_id: int) -> Attempt:
    """One attempt that is known to be there, within a transaction that sees its district."""
    query = sa.select(*_ATTEMPT).where(snapshots.c.snapshot_id == snapshot_id)
    return Attempt(**connection.execute(query).one()._mapping)


def find_attempt(engine: sa.Engine, run_id: str) -> Attempt | None:
    """What became of one run; None if it has not come to anything yet."""
    query = sa.select(*_ATTEMPT).where(snapshots.c.run_id == run_id).order_by(snapshots.c.snapshot_id.desc())
    return next(iter(_attempts(engine, query.limit(1))), None)


def last_attempts(engine: sa.Engine, district_id: str | None = None, limit: int = 100) -> list[Attempt]:
    """The latest attempts of one district or of all, newest first."""
    query = sa.select(*_ATTEMPT).order_by(snapshots.c.snapshot_id.desc()).limit(limit)
    if district_id is not None:
        query = query.where(snapshots.c.district_id == district_id)
    return _attempts(engine, query)


def last_published(engine: sa.Engine, district_id: str) -> Attempt | None:
    """The snapshot of a district that the current views show."""
    query = (
        sa.select(*_ATTEMPT)
        .where(snapshots.c.district_id == district_id, snapshots.c.state == "published")
        .order_by(snapshots.c.snapshot_date.desc())
        .limit(1)
    )
    return next(iter(_attempts(engine, query)), None)


def current_nights(engine: sa.Engine) -> dict[str, date]:
    """District → the night that the current views show; without those that have never published."""
    query = sa.select(current_snapshots.c.district_id, current_snapshots.c.snapshot_date)
    with as_operator(engine, "looking up the published nights") as connection:
        return {district_id: night for district_id, night in connection.execute(query)}


def _attempts(engine: sa.Engine, query: sa.Select[Any]) -> list[Attempt]:
    with as_operator(engine, "looking up snapshots") as connection:
        return [Attempt(**row._mapping) for row in connection.execute(query)]

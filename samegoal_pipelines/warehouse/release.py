"""Releasing a held snapshot: a person has looked, and exactly what was held is published.

A release holds for one night and for what was published when the snapshot was held; whatever comes after is
decided by the gate anew.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import NothingHeldError, ReleaseTooLateError
from samegoal_pipelines.warehouse.gate_metrics import shown
from samegoal_pipelines.warehouse.history import (
    Current,
    Origin,
    lock,
    published_now,
    record_published,
    refuse_the_erased,
    refuse_what_is_late,
    write_night,
)
from samegoal_pipelines.warehouse.publish import Published
from samegoal_pipelines.warehouse.rows import Snapshot, content_of
from samegoal_pipelines.warehouse.withholding import Switches, refuse_what_is_withheld


@dataclass(frozen=True)
class HeldSnapshot:
    """One held attempt, as `snapshots` has it.

    Attributes:
        compared_with: the snapshot that was published then; None once that was replayed to other content.
        reason: why it was held.
    """

    snapshot_id: int
    snapshot_date: date
    run_id: str
    landed_run_id: str | None
    content_hash: bytes
    compared_with: int | None
    reason: str
    notes: list[str]
    enrollment_rows: int | None
    set_aside: int | None
    lost_by_time: int | None
    started_at: datetime


_HELD = (
    snapshots.c.snapshot_id,
    snapshots.c.snapshot_date,
    snapshots.c.run_id,
    snapshots.c.landed_run_id,
    snapshots.c.content_hash,
    snapshots.c.compared_with,
    snapshots.c.held_reason.label("reason"),
    snapshots.c.notes,
    snapshots.c.enrollment_rows,
    snapshots.c.set_aside,
    snapshots.c.lost_by_time,
    snapshots.c.started_at,
)


def find_held(engine: sa.Engine, district_id: str, night: date) -> HeldSnapshot:
    """The snapshot of this night that waits for a person: the newest one.

    Raises:
        NothingHeldError: none waits.
        ReleaseTooLateError: the last held one is of another night, or the district has moved on since.
    """
    with as_writer(engine, district_id, "looking up what is held") as connection:
        now = published_now(connection, district_id)
        held = _newest(connection, district_id)
        if held is None or (held.snapshot_date != night and _moved_on(held, now)):
            raise NothingHeldError(f"nothing is held for the night {night}")
        _refuse(held, now, night)
    return held


def release(
    engine: sa.Engine,
    *,
    district_id: str,
    held: HeldSnapshot,
    snapshot: Snapshot,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    absent: pd.DataFrame | None,
    switches: Switches | None = None,
    run_id: str,
    started_at: datetime,
    released_by: str,
    reason: str,
) -> Published:
    """Publish what was held, and write down who wanted it and why.

    Args:
        held: what `find_held` found.
        snapshot: what was landed when it was held; as `publish` takes it, like `restricted`,
            `confidential`, `absent` and `switches`.

    Raises:
        NothingHeldError: somebody else was faster: it was released, or published by a rerun.
        ReleaseTooLateError: the district has moved on since, or the landed rows are not what was held.
        SupersededRunError: the district has been set to withhold contacts that it shows.
        WarehouseError: as `publish` does.
    """
    content = content_of(snapshot)
    night = held.snapshot_date
    origin = Origin(
        run_id,
        started_at,
        held.landed_run_id,
        tuple(held.notes),
        held.enrollment_rows,
        held.set_aside,
    )
    with as_writer(engine, district_id, "releasing") as connection:
        lock(connection, district_id)
        refuse_the_erased(connection, district_id, origin)
        refuse_what_is_withheld(connection, district_id, switches, f"what was held on {night}")
        now = published_now(connection, district_id)
        newest = _newest(connection, district_id)
        if newest is None or newest.snapshot_id != held.snapshot_id:
            raise NothingHeldError(
                f"what was held for the night {night} is no longer held: "
                "it was released or run again in the meantime"
            )
        _refuse(newest, now, night)
        refuse_what_is_late(now, district_id, night, origin)
        if content.hash != newest.content_hash:
            raise ReleaseTooLateError(
                f"the rows that are landed for the night {night} are not those that were held"
            )
        cursor = connection.connection.cursor()
        before = None
        if now is not None and now.snapshot_date == night:
            before = shown(cursor, district_id)
            diff.undo(cursor, district_id, night)
        counts = write_night(
            connection,
            content,
            diff.stage(cursor, content, district_id, night),
            district_id=district_id,
            night=night,
            absent=absent,
            restricted=restricted,
            confidential=confidential,
            before=before,
        )
        published_snapshot_id = record_published(
            connection,
            counts,
            content,
            origin,
            district_id=district_id,
            night=night,
            lost_by_time=newest.lost_by_time,
        )
        connection.execute(
            sa.insert(releases).values(
                district_id=district_id,
                held_snapshot_id=newest.snapshot_id,
                published_snapshot_id=published_snapshot_id,
                snapshot_date=night,
                released_by=released_by,
                reason=reason,
            )
        )
    return Published(**asdict(counts), lost_by_time=newest.lost_by_time)


def _newest(connection: sa.Connection, district_id: str) -> HeldSnapshot | None:
    query = (
        sa.select(*_HELD)
        .where(snapshots.c.district_id == district_id, snapshots.c.state == "held")
        .order_by(snapshots.c.started_at.desc(), snapshots.c.snapshot_id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return HeldSnapshot(**{**row._mapping, "content_hash": bytes(row.content_hash)})


def _moved_on(held: HeldSnapshot, now: Current | None) -> bool:
    return now is None or now.snapshot_id != held.compared_with


def _refuse(held: HeldSnapshot, now: Current | None, night: date) -> None:
    if held.snapshot_date != night:
        raise ReleaseTooLateError(
            f"what is held is of {held.snapshot_date}, and a release does not outlive its night",
            next_step=f"name that night to publish it (--today {held.snapshot_date}), or run {night} without "
            "--release",
        )
    if _moved_on(held, now):
        raise ReleaseTooLateError(
            f"the district has moved on since its snapshot was held on {held.snapshot_date}: another one was "
            "published, or its nights were replayed",
            next_step="run it again without --release",
        )

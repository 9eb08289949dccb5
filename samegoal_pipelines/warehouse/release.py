"""Release a held snapshot: publish exactly what was held, after a person has looked.

A release is for one night, and only valid while the snapshot it was compared with is published.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import NothingHeldError, ReleaseTooLateError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import Published, session
from samegoal_pipelines.warehouse.snapshots import (
    RunIdentity,
    Snapshot,
    find_current,
    find_first,
    of_district,
)


def find_held(engine: sa.Engine, district_id: str, night: date) -> Snapshot:
    """The newest snapshot of this night that waits for a person.

    Raises:
        NothingHeldError: no snapshot is held.
        ReleaseTooLateError: the last held one is of another night, or another snapshot was published since.
    """
    with as_writer(engine, district_id, "looking up what is held") as connection:
        now = find_current(connection, district_id)
        held = _newest_held(connection, district_id)
        if held is None or (held.snapshot_date != night and _moved_on(held, now)):
            raise NothingHeldError(f"nothing is held for the night {night}")
        _refuse(held, now, night)
    return held


def release(
    engine: sa.Engine, run: RunIdentity, held: Snapshot, content: Content, *, released_by: str, reason: str
) -> Published:
    """Publish what `find_held` found, and record who released it and why.

    Args:
        run: the releasing run, for the held night.
        content: what was landed when it was held.

    Raises:
        NothingHeldError: it was released or rerun meanwhile.
        ReleaseTooLateError: another snapshot was published since, or the landed rows are not what was held.
        WarehouseError: as `session` does.
    """
    with session(engine, run, "releasing") as s:
        newest = _newest_held(s.connection, run.district_id)
        if newest is None or newest.snapshot_id != held.snapshot_id:
            raise NothingHeldError(
                f"what was held for the night {run.night} is no longer held: "
                "it was released or run again in the meantime"
            )
        _refuse(newest, s.now, run.night)
        if content.hash != newest.content_hash:
            raise ReleaseTooLateError(
                f"the rows that are landed for the night {run.night} are not those that were held"
            )
        s.stage(content, measured=False, what=f"what was held on {run.night}")
        published = s.publish(dropped_by_time=newest.dropped_by_time)
        s.connection.execute(
            sa.insert(releases).values(
                district_id=run.district_id,
                held_snapshot_id=newest.snapshot_id,
                published_snapshot_id=published.snapshot_id,
                snapshot_date=run.night,
                released_by=released_by,
                reason=reason,
            )
        )
    return published


def _newest_held(connection: sa.Connection, district_id: str) -> Snapshot | None:
    order = (snapshots.c.started_at.desc(), snapshots.c.snapshot_id.desc())
    return find_first(connection, of_district(district_id, "held"), order=order)


def _moved_on(held: Snapshot, now: Snapshot | None) -> bool:
    return now is None or now.snapshot_id != held.compared_with


def _refuse(held: Snapshot, now: Snapshot | None, night: date) -> None:
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

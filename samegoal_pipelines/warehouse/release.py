"""Release a held snapshot: publish exactly what was held, after a person has looked.

A release is for one night, and only valid while the snapshot it was compared with is published.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import session
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
        ReleaseRefusedError: no snapshot is held, or only one of another night, or another snapshot was
        published since.
    """
    with as_writer(engine, district_id, "looking up what is held") as connection:
        return _find(connection, find_current(connection, district_id), district_id, night)


def release(
    engine: sa.Engine, run: RunIdentity, content: Content, *, released_by: str, reason: str
) -> Snapshot:
    """Publish what is held of the run's night, and record who released it and why.

    Args:
        content: what was landed when it was held.

    Raises:
        ReleaseRefusedError: as `find_held` does, or the landed rows are not what is held.
    """
    with session(engine, run, "releasing") as s:
        held = _find(s.connection, s.now, run.district_id, run.night)
        if (content.hash, run.landed_run_id) != (held.content_hash, held.landed_run_id):
            raise ReleaseRefusedError(
                f"the rows that are landed for the night {run.night} are not those that were held"
            )
        s.stage(content, measured=False)
        published = s.publish(held.dropped_by_time)
        s.connection.execute(
            sa.insert(releases).values(
                district_id=run.district_id,
                held_snapshot_id=held.snapshot_id,
                published_snapshot_id=published.snapshot_id,
                snapshot_date=run.night,
                released_by=released_by,
                reason=reason,
            )
        )
    return published


def _find(connection: sa.Connection, now: Snapshot | None, district_id: str, night: date) -> Snapshot:
    order = (snapshots.c.started_at.desc(), snapshots.c.snapshot_id.desc())
    held = find_first(connection, of_district(district_id, "held"), order=order)
    moved_on = held and (now is None or now.snapshot_id != held.compared_with)
    if held is None or (held.snapshot_date != night and moved_on):
        raise ReleaseRefusedError(
            f"nothing is held for the night {night}",
            next_step="see what became of the night: samegoal-pipelines changes ID",
        )
    if held.snapshot_date != night:
        raise ReleaseRefusedError(
            f"what is held is of {held.snapshot_date}, and a release does not outlive its night",
            next_step=f"name that night to publish it (--today {held.snapshot_date}), or run {night} without "
            "--release",
        )
    if moved_on:
        raise ReleaseRefusedError(
            f"the district has moved on since its snapshot was held on {held.snapshot_date}: another one was "
            "published, or its nights were replayed",
            next_step="run it again without --release",
        )
    return held

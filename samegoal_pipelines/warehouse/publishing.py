"""Judge a night, publish or hold it, and release a held one, in the right order of locking and landing.

Slow work happens without the district's lock: what the gate needs is read before the session, and what is
held is landed between two sessions. A release is for one night, and only valid while the snapshot that it
was compared with is published.
"""

from collections.abc import Mapping
from datetime import date
from typing import Protocol

import sqlalchemy as sa

from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.warehouse import releases, snapshots
from samegoal_pipelines.transforms.gate import Students, Verdict, judge, time_matters
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError, SnapshotInProgressError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import Comparisons, StudentChange, session
from samegoal_pipelines.warehouse.snapshots import (
    Counts,
    RunIdentity,
    Snapshot,
    compared_with,
    find_current,
    find_first,
    of_district,
)


class Landing(Protocol):
    """What the gate needs from the landing, and where to land a held snapshot. Call it without a lock."""

    def emptied(self, published: Snapshot) -> Mapping[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""

    def staying(self, published: Snapshot) -> Students | None:
        """Who is still there tonight by the published night's rows (`judge`). Slow."""

    def land_held(self, payload: SnapshotPayload) -> None:
        """Land exactly what would be published, so that a release can publish it later."""


Emptied = Mapping[int, Mapping[str, int]]
"""`Landing.emptied` by the id of the published snapshot."""


def publish_or_hold(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, landing: Landing
) -> tuple[Snapshot, Verdict]:
    """Publish a night, or hold it if the gate says so. Return the record, and the gate's verdict."""
    emptied = _emptied(engine, run, content, landing)
    with session(engine, run) as s:
        comparisons = s.stage(content)
        verdict = _judge(limits, comparisons, emptied)
        slow = any(time_matters(limits, measured) for _, measured in comparisons)
        if not (verdict.reasons or slow):
            return s.publish(), verdict
    verdict = _judge(limits, comparisons, emptied, landing)
    if verdict.reasons:
        landing.land_held(content.payload)
    with session(engine, run) as s:
        again = s.stage(content)
        if [one.snapshot_id for one, _ in again] != [one.snapshot_id for one, _ in comparisons]:
            raise _overtaken()
        return s.hold(verdict) if verdict.reasons else s.publish(verdict.dropped_by_time), verdict


def preview(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, landing: Landing
) -> tuple[Counts, list[StudentChange], Verdict]:
    """What publishing this night would do. Nothing is published, landed or recorded."""
    emptied = _emptied(engine, run, content, landing)
    with session(engine, run, "comparing with what is published") as s:
        comparisons = s.stage(content, listed=True)
        counts = s.preview()
    return counts, s.changes, _judge(limits, comparisons, emptied, landing)


def _emptied(engine: sa.Engine, run: RunIdentity, content: Content, landing: Landing) -> Emptied:
    with as_writer(engine, run.district_id, "looking up the published night") as connection:
        published = compared_with(connection, find_current(connection, run.district_id), run.night)
    if published and published[0].content_hash == content.hash:  # nothing to compare
        return {}
    return {one.snapshot_id: landing.emptied(one) for one in published}


def _judge(
    limits: Limits, comparisons: Comparisons, emptied: Emptied, landing: Landing | None = None
) -> Verdict:
    """The gate's verdict. Without `landing`, time explains no drop."""
    verdict = Verdict()
    for published, measured in comparisons:
        if published.snapshot_id not in emptied:
            raise _overtaken()
        staying = landing.staying(published) if landing and time_matters(limits, measured) else None
        found = judge(limits, measured, emptied=emptied[published.snapshot_id], staying=staying)
        verdict = verdict.along_with(found, published.snapshot_date) if verdict.numbers else found
    return verdict


def _overtaken() -> SnapshotInProgressError:
    return SnapshotInProgressError(
        "another run has published this district since this one looked", next_step="run it again"
    )


# -- releases --


def find_held(engine: sa.Engine, district_id: str, night: date) -> Snapshot:
    """The newest snapshot of this night that waits for a person. Raises `ReleaseRefusedError`."""
    with as_writer(engine, district_id, "looking up what is held") as connection:
        return _find(connection, find_current(connection, district_id), district_id, night)


def release(
    engine: sa.Engine, run: RunIdentity, content: Content, *, released_by: str, reason: str
) -> Snapshot:
    """Publish what is held of the run's night, and record who released it and why.

    Raises:
        ReleaseRefusedError: as `find_held` does, or `content` is not what is held.
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

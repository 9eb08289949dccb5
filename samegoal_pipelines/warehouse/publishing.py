"""Judge a night, and publish or hold it: the order of reading, locking, landing and writing.

Slow work happens without the district's lock: what the gate needs is read before the session, and what is
held is landed between two sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Facts, Verdict, judge, time_matters
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import Diff, Held, Published, StudentChange, session
from samegoal_pipelines.warehouse.snapshots import Counts, RunIdentity, Snapshot, compared_with, find_current


class Landing(Protocol):
    """What the gate needs from the landing, and where to land a held snapshot. Call it without a lock."""

    def emptied(self, published: Snapshot) -> Mapping[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""

    def statuses_by_time(self, published: Snapshot) -> pd.DataFrame | None:
        """The statuses as of tonight from the published night's rows (`Facts.statuses_by_time`). Slow."""

    def land_held(self) -> None:
        """Land exactly what would be published, so that a release can publish it later."""


def publish_or_hold(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, landing: Landing
) -> Published | Held:
    """Publish a night, or hold it if the gate says so.

    Raises:
        WarehouseError: as `session` does.
    """
    facts = _gather(engine, run, content, landing)
    with session(engine, run) as s:
        diff = s.stage(content)
        verdict = _judge(limits, diff, facts)
        slow = any(time_matters(limits, one.measured) for one in diff.comparisons)
        if verdict is None or not (verdict.reasons or slow):
            return s.publish(verdict)
    verdict = _judge(limits, diff, facts, landing)
    held = verdict if verdict and verdict.reasons else None
    if held:
        landing.land_held()
    with session(engine, run) as s:
        if s.stage(content).snapshot_ids != diff.snapshot_ids:
            raise _overtaken()
        return s.hold(held) if held else s.publish(verdict)


def preview(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, landing: Landing
) -> tuple[Counts, list[StudentChange], Verdict | None]:
    """What publishing this night would do. Nothing is published, landed or recorded."""
    facts = _gather(engine, run, content, landing)
    with session(engine, run, "comparing with what is published") as s:
        changes = s.list_changes(content)
        diff = s.stage(content)
        counts = s.preview()
    return counts, changes, _judge(limits, diff, facts, landing)


def _gather(engine: sa.Engine, run: RunIdentity, content: Content, landing: Landing) -> dict[int, Facts]:
    """The gate's facts, by the published snapshot to compare with."""
    with as_writer(engine, run.district_id, "looking up the published night") as connection:
        published = compared_with(connection, find_current(connection, run.district_id), run.night)
    if published and published[0].content_hash == content.hash:  # nothing to compare
        return {}
    payload = content.payload
    return {
        one.snapshot_id: Facts(payload.enrollment_rows or 0, payload.quarantined or 0, landing.emptied(one))
        for one in published
    }


def _judge(
    limits: Limits, diff: Diff, facts: Mapping[int, Facts], landing: Landing | None = None
) -> Verdict | None:
    """The gate's verdict on a staged snapshot. None if there is nothing to compare with.

    Args:
        landing: asked for the effect of passing time, if the verdict depends on it.

    Raises:
        SnapshotInProgressError: it was compared with another snapshot than the facts are for.
    """
    if not facts.keys() >= set(diff.snapshot_ids):
        raise _overtaken()
    verdict = None
    for one in diff.comparisons:
        known = facts[one.published.snapshot_id]
        if landing is not None and time_matters(limits, one.measured):
            known = replace(known, statuses_by_time=landing.statuses_by_time(one.published))
        found = judge(limits, one.measured, known)
        verdict = verdict.along_with(found, one.published.snapshot_date) if verdict else found
    return verdict


def _overtaken() -> SnapshotInProgressError:
    return SnapshotInProgressError(
        "another run has published this district since this one looked", next_step="run it again"
    )

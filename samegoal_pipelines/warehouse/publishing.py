"""Judge a night, and publish or hold it: the order of reading, locking, landing and writing.

Slow work happens without the district's lock: what the gate needs is read before the session, and what is
held is landed between two sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Facts, Verdict, judge, time_matters
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import Comparison, StudentChange, session
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
) -> tuple[Snapshot, Verdict | None]:
    """Publish a night, or hold it if the gate says so. Return the record, and what the gate said if asked."""
    facts = _gather(engine, run, content, landing)
    with session(engine, run) as s:
        comparisons = s.stage(content)
        verdict = _judge(limits, comparisons, facts)
        slow = any(time_matters(limits, measured) for _, measured in comparisons)
        if verdict is None or not (verdict.reasons or slow):
            return s.publish(), verdict
    verdict = _judge(limits, comparisons, facts, landing)
    held = verdict if verdict and verdict.reasons else None
    if held:
        landing.land_held()
    with session(engine, run) as s:
        again = s.stage(content)
        if [one.snapshot_id for one, _ in again] != [one.snapshot_id for one, _ in comparisons]:
            raise _overtaken()
        return s.hold(held) if held else s.publish(verdict.dropped_by_time if verdict else None), verdict


def preview(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, landing: Landing
) -> tuple[Counts, list[StudentChange], Verdict | None]:
    """What publishing this night would do. Nothing is published, landed or recorded."""
    facts = _gather(engine, run, content, landing)
    with session(engine, run, "comparing with what is published") as s:
        comparisons = s.stage(content, listed=True)
        counts = s.preview()
    return counts, s.changes, _judge(limits, comparisons, facts, landing)


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
    limits: Limits,
    comparisons: Sequence[Comparison],
    facts: Mapping[int, Facts],
    landing: Landing | None = None,
) -> Verdict | None:
    """The gate's verdict on a staged snapshot. None if there is nothing to compare with.

    Args:
        landing: asked for the effect of passing time, if the verdict depends on it.
    """
    verdict = None
    for published, measured in comparisons:
        known = facts.get(published.snapshot_id)
        if known is None:
            raise _overtaken()
        if landing is not None and time_matters(limits, measured):
            known = replace(known, statuses_by_time=landing.statuses_by_time(published))
        found = judge(limits, measured, known)
        verdict = verdict.along_with(found, published.snapshot_date) if verdict else found
    return verdict


def _overtaken() -> SnapshotInProgressError:
    return SnapshotInProgressError(
        "another run has published this district since this one looked", next_step="run it again"
    )

"""Judge a night, and publish or hold it: the order of reading, locking, landing and writing.

Slow work happens without the district's lock: what the gate needs is read before the session, and what is
held is landed between two sessions. This module has no Dagster, limits or SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.gate import Facts, Verdict, judge, time_matters
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.session import (
    Diff,
    Held,
    Published,
    StudentChange,
    look_up_compared,
    session,
)
from samegoal_pipelines.warehouse.snapshots import Counts, RunIdentity, Snapshot


class Evidence(Protocol):
    """Facts about a published night from the landing, for the gate. Call it without a lock."""

    def emptied(self, published: Snapshot) -> Mapping[str, int]:
        """Objects without rows tonight, and their number of rows in the published night."""

    def statuses_by_time(self, published: Snapshot) -> pd.DataFrame | None:
        """The statuses as of tonight from the published night's rows (`Facts.statuses_by_time`). Slow."""


class Landing(Evidence, Protocol):
    """The same, and where to land a held snapshot."""

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
        verdict = judge_diff(limits, diff, facts)
        if verdict is None or not (verdict.reasons or _time_matters(limits, diff)):
            return s.publish(verdict)
    verdict = judge_diff(limits, diff, _with_time(limits, diff, facts, landing))
    if verdict is None:
        raise AssertionError("a compared snapshot has a verdict")
    if verdict.reasons:
        landing.land_held()
    with session(engine, run) as s:
        if s.stage(content).snapshot_ids != diff.snapshot_ids:
            raise _overtaken()
        return s.hold(verdict) if verdict.reasons else s.publish(verdict)


def preview(
    engine: sa.Engine, run: RunIdentity, content: Content, limits: Limits, evidence: Evidence
) -> tuple[Counts, list[StudentChange], Verdict | None]:
    """What publishing this night would do. Nothing is published, landed or recorded."""
    facts = _gather(engine, run, content, evidence)
    with session(engine, run, "comparing with what is published") as s:
        changes = s.list_changes(content)
        diff = s.stage(content)
        counts = s.preview()
    return counts, changes, judge_diff(limits, diff, _with_time(limits, diff, facts, evidence))


def judge_diff(limits: Limits, diff: Diff, facts: Mapping[int, Facts]) -> Verdict | None:
    """The gate's verdict on a staged snapshot. None if there is nothing to compare with.

    Raises:
        SnapshotInProgressError: it was compared with another snapshot than the facts are for.
    """
    if not diff.comparisons:
        return None
    if not facts.keys() >= set(diff.snapshot_ids):
        raise _overtaken()
    verdicts = [judge(limits, one.measured, facts[one.published.snapshot_id]) for one in diff.comparisons]
    verdict, *earlier = verdicts
    for other, comparison in zip(earlier, diff.comparisons[1:], strict=True):
        verdict = verdict.along_with(other, comparison.published.snapshot_date)
    return verdict


def _gather(engine: sa.Engine, run: RunIdentity, content: Content, evidence: Evidence) -> dict[int, Facts]:
    """The gate's facts, by the published snapshot to compare with."""
    published: Sequence[Snapshot] = look_up_compared(engine, run)
    if published and published[0].content_hash == content.hash:  # nothing to compare
        return {}
    payload = content.payload
    return {
        one.snapshot_id: Facts(payload.enrollment_rows or 0, payload.quarantined or 0, evidence.emptied(one))
        for one in published
    }


def _time_matters(limits: Limits, diff: Diff) -> bool:
    return any(time_matters(limits, one.measured) for one in diff.comparisons)


def _with_time(
    limits: Limits, diff: Diff, facts: Mapping[int, Facts], evidence: Evidence
) -> dict[int, Facts]:
    """The facts, with the effect of passing time if the verdict depends on it."""
    known = dict(facts)
    for one in diff.comparisons:
        key = one.published.snapshot_id
        if key in known and time_matters(limits, one.measured):
            known[key] = replace(known[key], statuses_by_time=evidence.statuses_by_time(one.published))
    return known


def _overtaken() -> SnapshotInProgressError:
    return SnapshotInProgressError(
        "another run has published this district since this one looked", next_step="run it again"
    )

"""Replay a district: rewrite its history from one night on, in one transaction, from landed rows.

Only published nights are replayed. The rows of `snapshots` stay, with new counts and a note naming the run.
There is no gate, because a person asks for the replay and can preview it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import snapshots
from samegoal_pipelines.warehouse import diff, replay_diff
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import ReleaseRefusedError, SnapshotInProgressError
from samegoal_pipelines.warehouse.replay_diff import Difference
from samegoal_pipelines.warehouse.rows import Contents
from samegoal_pipelines.warehouse.session import facts_of, session
from samegoal_pipelines.warehouse.snapshots import (
    OTHER_CONTENT,
    Counts,
    RunIdentity,
    Snapshot,
    find_all,
    find_current,
    forget_comparisons,
    mark_content,
    of_district,
    update_facts,
)
from samegoal_pipelines.warehouse.withholding import hidden_since, hide_again


@dataclass(frozen=True)
class ReplayedNight:
    """The result for one night."""

    night: date
    counts: Counts
    difference: Difference
    differs: bool
    """Whether anything about this night changed, including the numbers of students."""


@dataclass(frozen=True)
class Replayed:
    """The result of a replay. `written` is false for a dry run."""

    nights: tuple[ReplayedNight, ...]
    written: bool


def find_nights(engine: sa.Engine, district_id: str, first: date) -> tuple[list[Snapshot], list[Snapshot]]:
    """The published nights from `first` on, and those never published, both oldest first.

    Raises:
        ReleaseRefusedError: no night is published.
    """
    with as_writer(engine, district_id, "looking up nights") as connection:
        nights = _published(connection, district_id, first)
        if not nights:
            last = find_current(connection, district_id)
            raise ReleaseRefusedError(
                f"no night from {first} on is published; the last one is {last.snapshot_date}"
                if last
                else "nothing is published yet, so there is nothing to replay",
                next_step="",
            )
        where = of_district(district_id, "held", "failed") & (snapshots.c.snapshot_date >= first)
        others = find_all(connection, where, order=(snapshots.c.snapshot_date, snapshots.c.state))
    known = {night.snapshot_date for night in nights}
    unpublished = {one.snapshot_date: one for one in others}  # keeps the last attempt of each night
    return nights, [one for night, one in unpublished.items() if night not in known]


def replay(
    engine: sa.Engine, run: RunIdentity, nights: Sequence[Snapshot], contents: Contents, *, dry_run: bool
) -> Replayed:
    """Rewrite the nights that `find_nights` found, and return what differs. Write nothing if nothing does.

    All or nothing: any error leaves everything unchanged. No other run can publish the district meanwhile.

    Args:
        contents: the computed content of each night, in the same order.
        dry_run: change nothing.

    Raises:
        SnapshotInProgressError: another run has published this district after `find_nights`.
        WarehouseError: as `session` does.
    """
    first, last, district_id = nights[0], nights[-1], run.district_id
    with session(engine, run, "replaying") as s:
        connection, cursor = s.connection, s.cursor
        if _published(connection, district_id, first.snapshot_date) != list(nights):
            raise SnapshotInProgressError(
                "another run has published this district since the replay began", next_step="replay it again"
            )
        replay_diff.remember(cursor, district_id, first.snapshot_date)
        # Contacts that were hidden after publication stay hidden until the next night is published.
        was_hidden = s.now is not None and s.now.content_hash == OTHER_CONTENT
        hidden = hidden_since(connection, district_id) if was_hidden else []
        diff.undo(cursor, district_id, first.snapshot_date)
        rewritten = []
        for night, content in zip(nights, contents, strict=True):
            s.refuse_outdated(content)
            staged = diff.stage(cursor, content, district_id, night.snapshot_date)
            counts = s.write(content, staged, night.snapshot_date)
            diff.discard(cursor)
            rewritten.append((counts, facts_of(content, counts, night.dropped_by_time)))
        hide_again(connection, hidden, district_id, last.snapshot_date)
        differences = replay_diff.compare(cursor, district_id, [night.snapshot_date for night in nights])
        replayed = []
        for night, (counts, facts) in zip(nights, rewritten, strict=True):
            difference = differences[night.snapshot_date]
            differs = difference != Difference() or _held(counts) != _held(night.counts)
            replayed.append(ReplayedNight(night.snapshot_date, counts, difference, differs))
            if differs:
                if counts.dropped != night.counts.dropped:
                    facts["dropped_by_time"] = None
                notes = [*facts["notes"], f"replayed by run {run.run_id}"]
                update_facts(connection, night, facts | {"notes": notes})
        if dry_run or not any(night.differs for night in replayed):
            return Replayed(tuple(replayed), written=False)
        mark_content(connection, district_id, OTHER_CONTENT if hidden else rewritten[-1][1]["content_hash"])
        if replayed[-1].differs:
            compared = snapshots.c.compared_with == last.snapshot_id
            forget_comparisons(connection, of_district(district_id, "held") & compared)
        s.written = True
    return Replayed(tuple(replayed), written=True)


def _held(counts: Counts) -> dict[str, int]:
    """The counts without changes, which may have been counted against an earlier run of the night."""
    changes = ("added", "changed", "removed", "dropped")
    return {name: count for name, count in asdict(counts).items() if name not in changes}


def _published(connection: sa.Connection, district_id: str, first: date) -> list[Snapshot]:
    where = of_district(district_id, "published") & (snapshots.c.snapshot_date >= first)
    return find_all(connection, where, order=(snapshots.c.snapshot_date,))

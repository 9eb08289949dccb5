"""Replaying: a district's history from one night on, rewritten in one transaction from what was landed.

The nights are those that were published; each is computed again by the caller, in order and one at a time,
and written as publishing it would have. The rows of `snapshots` stay, with the new counts and a note of the
run that replayed them. Where nothing differs, nothing is written. There is no gate: a replay is asked for by
a person, who can see first what it would change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Protocol

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import current_snapshots, snapshots
from samegoal_pipelines.warehouse import diff, replay_diff
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import NothingToReplayError, SnapshotInProgressError
from samegoal_pipelines.warehouse.history import (
    OTHER_CONTENT,
    Counts,
    Origin,
    lock,
    refuse_the_erased,
    write_night,
)
from samegoal_pipelines.warehouse.replay_diff import Difference
from samegoal_pipelines.warehouse.rows import Snapshot, content_of
from samegoal_pipelines.warehouse.withholding import (
    Switches,
    hidden_since,
    hide_again,
    refuse_what_is_withheld,
)

_REPLAYED_BY = "replayed by run "


@dataclass(frozen=True)
class NightToReplay:
    """A published night, as `snapshots` has it."""

    night: date
    snapshot_id: int
    run_id: str
    landed_run_id: str
    started_at: datetime
    counts: Counts
    lost_by_time: int | None


@dataclass(frozen=True)
class LeftOut:
    """A night in the range of a replay that never was published: held or failed."""

    night: date
    state: str


class Recomputed(Protocol):
    """What the caller makes of a night's landed rows: what `publish` takes under the same names."""

    @property
    def snapshot(self) -> Snapshot:
        """The rows to publish, and who keeps the rows that the night before left."""

    @property
    def restricted(self) -> pd.DataFrame:
        """student_id and parent_id of every pair under restriction."""

    @property
    def confidential(self) -> pd.DataFrame:
        """The numbers that are withheld."""

    @property
    def absent(self) -> pd.DataFrame:
        """student_id and why, of students who have enrollments and no row."""

    @property
    def enrollment_rows(self) -> int:
        """Rows of enrollments that came."""

    @property
    def set_aside(self) -> int:
        """Of these, rows that leave a student in doubt."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the snapshot should know."""


@dataclass(frozen=True)
class ReplayedNight:
    """What became of one night.

    Attributes:
        counts: what it holds now.
        recounted: whether it holds other numbers of students than it did.
    """

    night: date
    counts: Counts
    recounted: bool
    difference: Difference

    @property
    def differs(self) -> bool:
        """Whether anything of this night is told otherwise than before."""
        return self.recounted or self.difference != Difference()


@dataclass(frozen=True)
class Replayed:
    """What became of a replay; `written` says whether it stays."""

    nights: tuple[ReplayedNight, ...]
    written: bool

    @property
    def differs(self) -> bool:
        """Whether any night does."""
        return any(night.differs for night in self.nights)


def find_nights(
    engine: sa.Engine, district_id: str, first: date
) -> tuple[list[NightToReplay], list[LeftOut]]:
    """The district's nights from `first` on: those that are published, and the others; oldest first.

    Raises:
        NothingToReplayError: none is published.
    """
    with as_writer(engine, district_id, "looking up nights") as connection:
        nights = _published(connection, district_id, first)
        if not nights:
            last = connection.scalar(
                sa.select(current_snapshots.c.snapshot_date).where(
                    current_snapshots.c.district_id == district_id
                )
            )
            raise NothingToReplayError(
                f"no night from {first} on is published; the last one is {last}"
                if last
                else "nothing is published yet, so there is nothing to replay"
            )
        known = {night.night for night in nights}
        others = connection.execute(
            sa.select(snapshots.c.snapshot_date, sa.func.max(snapshots.c.state))  # held, before failed
            .where(
                snapshots.c.district_id == district_id,
                snapshots.c.snapshot_date >= first,
                snapshots.c.state.in_(["held", "failed"]),
            )
            .group_by(snapshots.c.snapshot_date)
            .order_by(snapshots.c.snapshot_date)
        )
        return nights, [LeftOut(night, state) for night, state in others if night not in known]


def replay(
    engine: sa.Engine,
    *,
    district_id: str,
    nights: Sequence[NightToReplay],
    recompute: Callable[[NightToReplay], Recomputed],
    switches: Switches | None = None,
    run_id: str,
    started_at: datetime,
    dry_run: bool,
) -> Replayed:
    """Rewrite these nights as `recompute` tells them, and say what differs.

    All or nothing: whatever goes wrong, `recompute` included, leaves everything as it was. Nobody else
    publishes the district meanwhile.

    Args:
        nights: what `find_nights` found.
        recompute: called once for each night, in order, within the transaction.
        switches: as `publish` takes them, of every night that is computed.
        dry_run: take everything back in the end.

    Raises:
        SnapshotInProgressError: another run publishes this district, or did after the nights were looked up.
        DistrictErasedError: the district was erased after the run began.
        SupersededRunError: the district has been set to withhold contacts that the nights show.
        UnfitSnapshotError: what was computed does not fit the tables.
        WarehouseError: Postgres failed.
    """
    first, last = nights[0], nights[-1]
    with as_writer(engine, district_id, "replaying") as connection:
        lock(connection, district_id)
        refuse_the_erased(connection, district_id, Origin(run_id, started_at))
        refuse_what_is_withheld(connection, district_id, switches, "the replay")
        if _published(connection, district_id, first.night) != list(nights):
            raise SnapshotInProgressError(
                "another run has published this district since the replay began",
                next_step="replay it again",
            )
        savepoint = connection.begin_nested()
        cursor = connection.connection.cursor()
        replay_diff.remember(cursor, district_id, first.night)
        hidden = (
            hidden_since(connection, district_id) if _awaits_release(connection, district_id, last) else []
        )
        diff.undo(cursor, district_id, first.night)
        rewritten = [_rewrite(connection, district_id, night, recompute) for night in nights]
        hide_again(connection, hidden, district_id, last.night)
        differences = replay_diff.compare(cursor, district_id, [night.night for night in nights])
        replayed = tuple(
            ReplayedNight(
                night.night, new.counts, _held(new.counts) != _held(night.counts), differences[night.night]
            )
            for night, new in zip(nights, rewritten, strict=True)
        )
        written = not dry_run and any(night.differs for night in replayed)
        if not written:
            savepoint.rollback()
            return Replayed(replayed, written)
        for night, new, told in zip(nights, rewritten, replayed, strict=True):
            if told.differs:
                _record(connection, district_id, night, new, run_id)
        content_hash = OTHER_CONTENT if hidden else rewritten[-1].content_hash
        _mark(connection, district_id, last, content_hash, moved=replayed[-1].differs)
    return Replayed(replayed, written)


def _held(counts: Counts) -> tuple[int, ...]:
    """What a snapshot holds. Its changes may have been counted against an earlier run of its night."""
    return (
        counts.students,
        counts.enrolled,
        counts.pre_enrolled,
        counts.graduated,
        counts.inactive,
        counts.kept,
    )


def _awaits_release(connection: sa.Connection, district_id: str, last: NightToReplay) -> bool:
    """Whether a snapshot is held that was compared with the last published night."""
    held = sa.exists().where(
        snapshots.c.district_id == district_id,
        snapshots.c.state == "held",
        snapshots.c.compared_with == last.snapshot_id,
    )
    return bool(connection.scalar(sa.select(held)))


@dataclass(frozen=True)
class _Rewritten:
    """What the row of `snapshots` is to say of a night."""

    counts: Counts
    content_hash: bytes
    enrollment_rows: int
    set_aside: int
    notes: tuple[str, ...]


def _published(connection: sa.Connection, district_id: str, first: date) -> list[NightToReplay]:
    columns, counted = snapshots.c, list(Counts.__dataclass_fields__)
    query = (
        sa.select(
            columns.snapshot_date.label("night"),
            columns.snapshot_id,
            columns.run_id,
            sa.func.coalesce(columns.landed_run_id, columns.run_id).label("landed_run_id"),
            columns.started_at,
            columns.lost_by_time,
            *(sa.func.coalesce(columns[name], 0).label(name) for name in counted),
        )
        .where(
            columns.district_id == district_id, columns.state == "published", columns.snapshot_date >= first
        )
        .order_by(columns.snapshot_date)
    )
    nights = []
    for row in connection.execute(query):
        facts = dict(row._mapping)
        counts = Counts(**{name: facts.pop(name) for name in counted})
        nights.append(NightToReplay(counts=counts, **facts))
    return nights


def _rewrite(
    connection: sa.Connection,
    district_id: str,
    night: NightToReplay,
    recompute: Callable[[NightToReplay], Recomputed],
) -> _Rewritten:
    """Compute and write one night; its frames are gone when this returns."""
    computed = recompute(night)
    content = content_of(computed.snapshot)
    cursor = connection.connection.cursor()
    counts = write_night(
        connection,
        content,
        diff.stage(cursor, content, district_id, night.night),
        district_id=district_id,
        night=night.night,
        absent=computed.absent,
        restricted=computed.restricted,
        confidential=computed.confidential,
    )
    diff.discard(cursor)
    return _Rewritten(
        counts, content.hash, computed.enrollment_rows, computed.set_aside, tuple(computed.notes)
    )


def _record(
    connection: sa.Connection, district_id: str, night: NightToReplay, new: _Rewritten, run_id: str
) -> None:
    same_lost = new.counts.lost == night.counts.lost
    connection.execute(
        sa.update(snapshots)
        .where(snapshots.c.district_id == district_id, snapshots.c.snapshot_id == night.snapshot_id)
        .values(
            **asdict(new.counts),
            lost_by_time=night.lost_by_time if same_lost else None,
            enrollment_rows=new.enrollment_rows,
            set_aside=new.set_aside,
            notes=[*new.notes, f"{_REPLAYED_BY}{run_id}"],
            content_hash=new.content_hash,
        )
    )


def _mark(
    connection: sa.Connection, district_id: str, last: NightToReplay, content_hash: bytes, *, moved: bool
) -> None:
    """Which content the current views show; what was held beside another content is not to be released."""
    connection.execute(
        sa.update(current_snapshots)
        .where(current_snapshots.c.district_id == district_id)
        .values(content_hash=content_hash)
    )
    if moved:
        connection.execute(
            sa.update(snapshots)
            .where(snapshots.c.district_id == district_id, snapshots.c.compared_with == last.snapshot_id)
            .values(compared_with=None)
        )

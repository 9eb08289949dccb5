"""Publishing a district's snapshot: all of it in one transaction, and of its rows only those that differ.

The order: lock the district; refuse what is older than what is published; compare hashes with the current
rows and stage what differs; ask the gate; undo an earlier publication of the same night and ask it again,
compared with the night before; write down the changes, close the rows that are over and open the new ones
(`writing`, `staging`); record the snapshot. A reader sees all or nothing of it; a run that dies leaves
nothing. What the gate holds is written as well, to be counted, and taken back before anybody can see it.

Nothing is read from or written to the landing while the district is locked. Where the transaction needs
something from there, it raises `OutsideLockError`, rolls back, and starts over once that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.gate import Gate, Verdict, judge
from samegoal_pipelines.warehouse.gate_metrics import Shown, measure, shown
from samegoal_pipelines.warehouse.history import (
    Counts,
    Current,
    Origin,
    hide,
    hide_now,
    lock,
    published_before,
    published_now,
    record_held,
    record_published,
    refuse_the_erased,
    refuse_what_is_late,
    was_released,
    write_night,
)
from samegoal_pipelines.warehouse.rows import Content, Snapshot, content_of
from samegoal_pipelines.warehouse.snapshots import Attempt, attempt_of
from samegoal_pipelines.warehouse.withholding import Hidden, Switches, refuse_what_is_withheld


@dataclass(frozen=True)
class Published(Counts):
    """What a published snapshot holds, and how it differs from what was published before this attempt.

    Attributes:
        lost_by_time: of the lost, those whom passing time alone explains; None where it was not asked.
        verdict: what the gate found; None where it was not asked.
    """

    lost_by_time: int | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Held(Counts):
    """What a snapshot that the gate has held would have published."""

    lost_by_time: int | None = None
    verdict: Verdict = field(default_factory=Verdict)
    reason: str = ""


def publish(
    engine: sa.Engine,
    *,
    district_id: str,
    snapshot_date: date,
    snapshot: Snapshot,
    run_id: str,
    started_at: datetime,
    landed_run_id: str | None = None,
    restricted: pd.DataFrame | None = None,
    confidential: pd.DataFrame | None = None,
    absent: pd.DataFrame | None = None,
    switches: Switches | None = None,
    notes: Sequence[str] = (),
    gate: Gate | None = None,
    on_hold: Callable[[], None] | None = None,
) -> Published | Held:
    """Make `snapshot` what SameGoal reads of this district, as of the night `snapshot_date`; or hold it.

    The same night again replaces that night: what is left is as if only the last publication had been.

    Args:
        snapshot: frames `status`, `students` and `parents` with the columns of the views (without district_id
            and snapshot_date), and `kept`: ids of students who keep the rows that the night before left.
        started_at: when the run began; a run that began before the published one may not replace it.
        landed_run_id: the run whose landed rows the snapshot was made from.
        restricted: student_id and parent_id of every pair under restriction tonight: the contact data of
            such a parent goes from the rows that kept students keep, too.
        confidential: numbers that are confidential tonight (`tables.people.CONFIDENTIAL_PHONES`): they
            go from these rows as well.
        absent: student_id and why (`tables.DEPARTURES`) of students whom Qmlativ's enrollments mention and
            who have no row tonight; of a departed student who is not in it, Qmlativ has no rows.
        switches: which contacts the snapshot shows that are withheld by default; None: none of them.
        notes: what a reader of the snapshot should know.
        gate: what must be looked at by a person is held; without a gate, nothing is. The first snapshot of a
            district, and the same content again, pass without being looked at. A night that is run again is
            compared with its last run and with the night before, so that many small steps are not taken
            unseen; unless its last run was released, for then a person has looked.
        on_hold: stores what is held; called before the hold is recorded, while the district is not locked.

    Raises:
        UnfitSnapshotError: the frames do not fit the tables or each other.
        OlderSnapshotError: a later night is published already.
        SupersededRunError: a run that began later has published this night already, or the district has been
            set to withhold contacts that the snapshot shows.
        DistrictErasedError: the district was erased after the run began.
        SnapshotInProgressError: another run is publishing this district, and did not end in time.
        WarehouseError: Postgres failed; nothing was changed (unless the connection broke at the commit).
    """
    content = content_of(snapshot)
    origin = Origin(
        run_id,
        started_at,
        landed_run_id,
        tuple(notes),
        gate.enrollment_rows if gate else None,
        gate.set_aside if gate else None,
    )
    outside = _OutsideTheLock(gate, on_hold)
    while True:
        try:
            return _publish(
                engine,
                content,
                origin,
                outside,
                district_id=district_id,
                night=snapshot_date,
                restricted=restricted,
                confidential=confidential,
                absent=absent,
                switches=switches,
            )
        except OutsideLockError as needed:
            needed.do()


class OutsideLockError(Exception):
    """Something must be done before the transaction can go on, and not while the district is locked."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self.do = do


class _OutsideTheLock:
    """What the landing is needed for: the gate's questions, each asked once, and storing what is held.

    Attributes:
        gate: answers what is known already, and raises `OutsideLockError` otherwise.
    """

    def __init__(self, gate: Gate | None, on_hold: Callable[[], None] | None) -> None:
        self.gate = gate and replace(
            gate,
            status_by_time=lambda published: self._answer(gate.status_by_time, published),
            emptied=lambda published: self._answer(gate.emptied, published),
        )
        self._answers: dict[tuple[Callable[[Attempt], Any], str], Any] = {}
        self._on_hold = on_hold

    def _answer(self, question: Callable[[Attempt], Any], published: Attempt) -> Any:
        key = (question, published.run_id)
        if key not in self._answers:

            def ask() -> None:
                self._answers[key] = question(published)

            raise OutsideLockError(ask)
        return self._answers[key]

    def store_what_is_held(self) -> None:
        """Have it stored, unless it is already."""
        on_hold, self._on_hold = self._on_hold, None
        if on_hold is not None:
            raise OutsideLockError(on_hold)


def _publish(
    engine: sa.Engine,
    content: Content,
    origin: Origin,
    outside: _OutsideTheLock,
    *,
    district_id: str,
    night: date,
    restricted: pd.DataFrame | None,
    confidential: pd.DataFrame | None,
    absent: pd.DataFrame | None,
    switches: Switches | None,
) -> Published | Held:
    """One try of `publish`, in one transaction.

    Raises:
        OutsideLockError: nothing was changed; do what it says and try again.
    """
    with as_writer(engine, district_id, "publishing") as connection:
        lock(connection, district_id)
        refuse_the_erased(connection, district_id, origin)
        refuse_what_is_withheld(connection, district_id, switches)
        now = published_now(connection, district_id)
        refuse_what_is_late(now, district_id, night, origin)
        verdict: Verdict | None = None
        if now is not None and now.content_hash == content.hash:
            counts, lost_by_time = _unchanged(now, night)
            counts = hide(connection, counts, content, restricted, confidential, district_id, night)
        else:
            savepoint = connection.begin_nested()
            staged = _stage(connection, content, outside.gate, now, night, district_id)
            verdict, lost_by_time = staged.verdict, staged.lost_by_time
            counts = write_night(
                connection,
                content,
                staged.staged,
                district_id=district_id,
                night=night,
                absent=absent,
                restricted=restricted,
                confidential=confidential,
                before=staged.before,
            )
            if now is not None and verdict is not None and verdict.reasons:
                savepoint.rollback()
                outside.store_what_is_held()
                hidden = hide_now(connection, now, restricted, confidential, district_id)
                reason = "; ".join((*verdict.reasons, *_what_is_hidden(hidden)))
                record_held(
                    connection,
                    counts,
                    content,
                    origin,
                    district_id=district_id,
                    night=night,
                    lost_by_time=lost_by_time,
                    reason=reason,
                    compared_with=now.snapshot_id,
                )
                return Held(**asdict(counts), lost_by_time=lost_by_time, verdict=verdict, reason=reason)
            savepoint.commit()
        record_published(
            connection,
            counts,
            content,
            origin,
            district_id=district_id,
            night=night,
            lost_by_time=lost_by_time,
        )
    return Published(**asdict(counts), lost_by_time=lost_by_time, verdict=verdict)


def _unchanged(now: Current, night: date) -> tuple[Counts, int | None]:
    """The counts of content that is published already: of the same night, or of a new one."""
    if now.snapshot_date == night:
        return now.counts, now.lost_by_time
    return replace(now.counts, added=0, changed=0, removed=0, lost=0), None


@dataclass(frozen=True)
class _Staged:
    """A snapshot that is staged against the night before.

    Attributes:
        lost_by_time: how many students time has taken since the night before; None where it was not asked.
        before: what was published before this attempt, where that is not the night before.
    """

    staged: diff.Staged
    verdict: Verdict | None = None
    lost_by_time: int | None = None
    before: Shown | None = None


def _stage(
    connection: sa.Connection,
    content: Content,
    gate: Gate | None,
    now: Current | None,
    night: date,
    district_id: str,
) -> _Staged:
    """Stage the snapshot against the night before, having taken back what is published of this one."""
    cursor = connection.connection.cursor()
    if now is None:
        return _Staged(diff.stage(cursor, content, district_id, night))
    again = now.snapshot_date == night
    earlier = _unseen_since(connection, now, night, district_id) if again else None
    if gate is not None:  # asked before anything is staged: it may have to be asked outside the lock
        for snapshot_id in (now.snapshot_id, *([] if earlier is None else [earlier])):
            gate.emptied(attempt_of(connection, snapshot_id))
    staged = diff.stage(cursor, content, district_id, night)
    verdict = _judge(connection, gate, staged, content, now.snapshot_id)
    if not again:
        return _Staged(staged, verdict, _lost_by_time(verdict))
    before = shown(cursor, district_id)
    diff.discard(cursor)
    diff.undo(cursor, district_id, night)
    staged = diff.stage(cursor, content, district_id, night)
    lost_by_time = _lost_by_time(verdict)
    if verdict is not None and earlier is not None:
        since = _judge(connection, gate, staged, content, earlier)
        if since is not None:
            lost_by_time = _lost_by_time(since)
            verdict = verdict.along_with(since, attempt_of(connection, earlier).snapshot_date)
    return _Staged(staged, verdict, lost_by_time, before)


def _judge(
    connection: sa.Connection, gate: Gate | None, staged: diff.Staged, content: Content, snapshot_id: int
) -> Verdict | None:
    """What the gate, if there is one, says to what is staged against the rows of this published snapshot."""
    if gate is None:
        return None
    published = attempt_of(connection, snapshot_id)
    measured = measure(
        connection.connection.cursor(),
        staged,
        content,
        published.district_id,
        published=published.students or 0,
        published_active=(published.enrolled or 0) + (published.pre_enrolled or 0),
    )
    return judge(gate, measured, published)


def _unseen_since(connection: sa.Connection, now: Current, night: date, district_id: str) -> int | None:
    """The snapshot of the night before, with which a night that is run again is compared as well.

    None: there is none, or a person has looked at what the night has changed since, and released it.
    """
    if was_released(connection, now, district_id):
        return None
    return published_before(connection, district_id, night)


def _lost_by_time(verdict: Verdict | None) -> int | None:
    found = verdict.numbers.get("lost_by_time") if verdict else None
    return None if found is None else int(found)


def _what_is_hidden(hidden: Hidden) -> Iterator[str]:
    """What was removed at once from the published rows although the snapshot is held."""
    if hidden.parents:
        yield (
            f"the contacts of {hidden.parents:,} parent(s) newly under restriction were removed from what is "
            "published"
        )
    if hidden.phones:
        yield f"{hidden.phones:,} phone(s) newly confidential were removed from what is published"

"""Publishing a district's snapshot: all of it in one transaction, and of its rows only those that differ.

The order: lock the district; refuse what is older than what is published; compare hashes with the current
rows and stage what differs; ask the gate; undo an earlier publication of the same night and ask it again,
compared with the night before; write down the changes, close the rows that are over and open the new ones
(`writing`, `staging`); record the snapshot. A reader sees all or nothing of it; a run that dies leaves
nothing. What the gate holds is written as well, to be counted, and taken back before anybody can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.warehouse import staging
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.gate import Gate, Verdict, judge
from samegoal_pipelines.warehouse.measuring import count_still_shown, measure
from samegoal_pipelines.warehouse.rows import Content, Snapshot, content_of
from samegoal_pipelines.warehouse.snapshots import (
    attempt_of,
)
from samegoal_pipelines.warehouse.writing import (
    Counts,
    Current,
    Origin,
    hide,
    lock,
    not_to_be_taken_back,
    published_before,
    published_now,
    record_held,
    record_published,
    refuse_the_erased,
    refuse_what_is_late,
    was_released,
    write_night,
)


@dataclass(frozen=True)
class Published(Counts):
    """What a published snapshot holds, and how it differs from the night before.

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
    local_date: date | None = None,
    take_back: bool = False,
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
        local_date: the district's date now. Published nights that had not come yet when they were run (a
            rehearsal of a day to come) are taken back in favour of this one.
        take_back: so are all others after today, which a person has named as the date that it is: they were
            published while the clock was wrong.
        notes: what a reader of the snapshot should know.
        gate: what must be looked at by a person is held; without a gate, nothing is. The first snapshot of a
            district, and the same content again, pass without being looked at. A night that is run again is
            compared with its last run and with the night before, so that many small steps are not taken
            unseen; unless its last run was released, for then a person has looked.
        on_hold: called within the transaction before the hold is recorded, to store what is held.

    Raises:
        UnfitSnapshot: the frames do not fit the tables or each other.
        OlderSnapshot: a later night is published already.
        SupersededRun: a run that began later has published this night already.
        DistrictErased: the district was erased after the run began.
        SnapshotInProgress: another run is publishing this district, and did not end in time.
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
        local_date,
    )
    night = snapshot_date
    with as_writer(engine, district_id, "publishing") as connection:
        lock(connection, district_id)
        refuse_the_erased(connection, district_id, origin)
        now = published_now(connection, district_id)
        today = local_date or date.max
        to_come = now is not None and night <= today < now.snapshot_date
        last = not_to_be_taken_back(connection, district_id, today, take_back=take_back) if to_come else now
        refuse_what_is_late(last, night, origin)
        verdict: Verdict | None = None
        if now is not None and now.content_hash == content.hash and not to_come:
            counts, lost_by_time = _unchanged(now, night)
            counts = hide(connection, counts, content, restricted, confidential, district_id, night)
        else:
            savepoint = connection.begin_nested()
            staged, verdict, lost_by_time = _stage(connection, content, gate, now, night, district_id)
            counts = write_night(
                connection,
                content,
                staged,
                district_id=district_id,
                night=night,
                absent=absent,
                restricted=restricted,
                confidential=confidential,
            )
            if now is not None and verdict is not None and verdict.reasons:
                savepoint.rollback()
                reason = _reason(connection, verdict, restricted, district_id)
                if on_hold is not None:
                    on_hold()
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


def _stage(
    connection: sa.Connection,
    content: Content,
    gate: Gate | None,
    now: Current | None,
    night: date,
    district_id: str,
) -> tuple[staging.Staged, Verdict | None, int | None]:
    """Stage the snapshot against the night before, having taken back what is published of this one.

    Returns:
        What is staged; what the gate says; and how many students time has taken since the night before.
    """
    cursor = connection.connection.cursor()
    staged, verdict, earlier = None, None, None
    if gate is not None and now is not None:
        staged = staging.stage(cursor, content, district_id, night)
        verdict = _judge(connection, gate, staged, content, now.snapshot_id)
    lost_by_time = _lost_by_time(verdict)
    if now is not None and now.snapshot_date >= night:
        if staged is not None:
            earlier = _unseen_since(connection, now, night, district_id)
            staging.discard(cursor)
        staging.undo(cursor, district_id, night)
        staged = None
    staged = staged or staging.stage(cursor, content, district_id, night)
    if gate is not None and verdict is not None and earlier is not None:
        since = _judge(connection, gate, staged, content, earlier)
        lost_by_time = _lost_by_time(since)
        verdict = verdict.along_with(since, attempt_of(connection, earlier).snapshot_date)
    return staged, verdict, lost_by_time


def _judge(
    connection: sa.Connection, gate: Gate, staged: staging.Staged, content: Content, snapshot_id: int
) -> Verdict:
    """What the gate says to what is staged against the rows of this published snapshot."""
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
    if now.snapshot_date == night and was_released(connection, now, district_id):
        return None
    return published_before(connection, district_id, night)


def _lost_by_time(verdict: Verdict | None) -> int | None:
    found = verdict.numbers.get("lost_by_time") if verdict else None
    return None if found is None else int(found)


def _reason(
    connection: sa.Connection, verdict: Verdict, restricted: pd.DataFrame | None, district_id: str
) -> str:
    """Why a snapshot is held, in one line; how it is released is for those who tell people of it to say."""
    parts = [*verdict.reasons]
    cursor = connection.connection.cursor()
    if restricted is not None and (shown := count_still_shown(cursor, restricted, district_id)):
        parts.append(f"{shown:,} parent(s) newly under restriction are still shown because of this")
    return "; ".join(parts)

"""A publishing session: one transaction that locks the district until it commits.

    with session(engine, run) as s:
        diff = s.stage(content_of(payload))
        verdict = judge(limits, diff.comparisons[0].measured, facts)
        s.publish(verdict)          # or s.hold(verdict)

A session without `publish` or `hold` changes nothing, which makes it a dry run. Readers see all of a snapshot
or nothing, and a killed run leaves nothing behind.

A session never touches the landing, and does not know the gate's limits. The caller reads what the gate needs
before it opens the session, and lands held rows before it calls `hold`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, TypeVar

import psycopg2.errors
import sqlalchemy as sa

from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.vocabulary import NO_ROWS
from samegoal_pipelines.transforms.gate import Measured, Verdict
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import LOCK_ROW, LOCK_SECONDS, as_writer
from samegoal_pipelines.warehouse.erased_students import find_erased
from samegoal_pipelines.warehouse.errors import (
    DistrictErasedError,
    OlderSnapshotError,
    SnapshotInProgressError,
    StudentErasedError,
    SupersededRunError,
)
from samegoal_pipelines.warehouse.gate_metrics import Shown, measure, shown
from samegoal_pipelines.warehouse.history import facts_of, hide, hide_now, write_night
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.snapshots import (
    Counts,
    RunIdentity,
    Snapshot,
    compared_with,
    erased_since,
    find_current,
    record_held,
    record_published,
)
from samegoal_pipelines.warehouse.withholding import Hidden, refuse_what_is_withheld

T = TypeVar("T")


@dataclass(frozen=True)
class Published(Counts):
    """The counts of a published snapshot, and how it differs from what was published before this attempt.

    Attributes:
        dropped_by_time: dropped students explained by passing time alone. None if not computed.
        verdict: the gate's verdict. None if it was not asked.
        snapshot_id: the id of its record.
    """

    dropped_by_time: int | None = None
    verdict: Verdict | None = None
    snapshot_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Held(Counts):
    """The counts that a held snapshot would have published."""

    dropped_by_time: int | None = None
    verdict: Verdict = field(default_factory=Verdict)
    reason: str = ""
    next_step: str = ""
    """`ID` stands for the district."""


@dataclass(frozen=True)
class Comparison:
    """A published snapshot, and how the staged one differs from it."""

    published: Snapshot
    measured: Measured


@dataclass(frozen=True)
class Diff:
    """What a staged snapshot would change.

    Attributes:
        comparisons: with the current snapshot, and for a rerun night also with the night before. Empty for
            the first snapshot and for unchanged content.
        unchanged: whether the same content is already published.
    """

    comparisons: tuple[Comparison, ...] = ()
    unchanged: bool = False

    @property
    def snapshot_ids(self) -> tuple[int, ...]:
        """The snapshots it was compared with."""
        return tuple(one.published.snapshot_id for one in self.comparisons)


@dataclass(frozen=True)
class StudentChange:
    """One student's change, with column names but no values."""

    student_id: int
    student_number: str | None
    change: str
    old_status: str | None
    new_status: str | None
    changed_columns: list[str]
    previous_number: str | None = None
    """The number before, if it changed."""
    why: str | None = None
    """Why a removed student is gone. For a held night, also whose number the student would get."""


@contextmanager
def session(engine: sa.Engine, run: RunIdentity, step: str = "publishing") -> Iterator[Session]:
    """A transaction in which nothing else writes the district.

    Raises:
        OlderSnapshotError: a later night is published already.
        SupersededRunError: a run that began later has already published this night, or the district now
        withholds contacts that the snapshot shows.
        DistrictErasedError: the district was erased after the run began.
        SnapshotInProgressError: another run is publishing this district, and did not end in time.
        WarehouseError: Postgres failed; nothing was changed (unless the connection broke at the commit).
    """
    with as_writer(engine, run.district_id, step) as connection:
        lock(connection, run.district_id)
        refuse_the_erased(connection, run)
        opened = Session(connection, run)
        yield opened
        opened.end()


def look_up_compared(engine: sa.Engine, run: RunIdentity) -> list[Snapshot]:
    """The published snapshots that a session of this run would compare with right now."""
    with as_writer(engine, run.district_id, "looking up the published night") as connection:
        return compared_with(connection, find_current(connection, run.district_id), run.night)


@dataclass(frozen=True)
class _Staging:
    """What is staged. No savepoint means that the same content is already published and nothing is staged.

    Attributes:
        before: what was published before this attempt, if the night is rerun.
    """

    content: Content
    staged: diff.Staged | None = None
    before: Shown | None = None
    savepoint: sa.NestedTransaction | None = None


def _needed(value: T | None) -> T:
    if value is None:
        raise RuntimeError("stage a snapshot first")
    return value


class Session:
    """One attempt to publish, within the transaction that `session` opens.

    Attributes:
        now: the snapshot that the current views show; None before the first.
    """

    def __init__(self, connection: sa.Connection, run: RunIdentity) -> None:
        self.connection, self.run = connection, run
        self.now = find_current(connection, run.district_id)
        self._staging: _Staging | None = None
        self._written = False

    @property
    def cursor(self) -> Any:
        """The driver's cursor."""
        return self.connection.connection.cursor()

    def list_changes(self, content: Content) -> list[StudentChange]:
        """The changes to students compared with what is published now. Call it before `stage`."""
        staged = diff.stage(self.cursor, content, self.run.district_id, self.run.night)
        rows = diff.list_changes(self.cursor, staged, self.run.district_id)
        diff.discard(self.cursor)
        why = content.payload.why_absent()
        changes = [
            replace(one, why=why.get(one.student_id, NO_ROWS)) if one.change == "removed" else one
            for one in (StudentChange(*row) for row in rows)
        ]
        return sorted(changes, key=lambda one: (one.student_number or "", one.student_id))

    def stage(self, content: Content, *, measured: bool = True, what: str = "this snapshot") -> Diff:
        """Compare a snapshot with what is published, and prepare to write what differs.

        Args:
            measured: also count the differences for the gate.
            what: what messages call the snapshot.
        """
        run = self.run
        refuse_what_is_withheld(self.connection, run.district_id, content.payload.shows, what)
        self.refuse_erased_students(content)
        self._refuse_what_is_late()
        if self.now is not None and self.now.content_hash == content.hash:
            self._staging = _Staging(content)
            return Diff(unchanged=True)
        savepoint, before = self.connection.begin_nested(), None
        against = compared_with(self.connection, self.now, run.night) if measured else []
        staged = diff.stage(self.cursor, content, run.district_id, run.night)
        comparisons = [self._compare(staged, content, one) for one in against[:1]]
        if self.now is not None and self.now.snapshot_date == run.night:
            before = shown(self.cursor, run.district_id)
            diff.discard(self.cursor)
            diff.undo(self.cursor, run.district_id, run.night)
            staged = diff.stage(self.cursor, content, run.district_id, run.night)
            comparisons += [self._compare(staged, content, one) for one in against[1:]]
        self._staging = _Staging(content, staged, before, savepoint)
        return Diff(tuple(comparisons))

    def _compare(self, staged: diff.Staged, content: Content, published: Snapshot) -> Comparison:
        return Comparison(published, measure(self.cursor, staged, content, published))

    def publish(self, verdict: Verdict | None = None, *, dropped_by_time: int | None = None) -> Published:
        """Make the staged snapshot what SameGoal reads, and record it.

        Publishing the same night again replaces it, as if only the last publication had happened.
        """
        run, staging = self.run, _needed(self._staging)
        content = staging.content
        if verdict is not None:
            dropped_by_time = verdict.dropped_by_time
        if staging.savepoint is None:
            counts, dropped_by_time = _unchanged(_needed(self.now), run.night)
            counts = hide(self.connection, counts, content, run.district_id, run.night)
        else:
            counts = self._write(staging)
            staging.savepoint.commit()
        facts = facts_of(content, counts, dropped_by_time)
        snapshot_id = record_published(self.connection, run, facts)
        self._written = True
        return Published(
            **asdict(counts), dropped_by_time=dropped_by_time, verdict=verdict, snapshot_id=snapshot_id
        )

    def hold(self, verdict: Verdict) -> Held:
        """Leave what is published, and record why, with the counts that publishing would have produced.

        Newly withheld contacts are still removed from the published rows.
        """
        staging, now = _needed(self._staging), _needed(self.now)
        counts = self._write(staging)
        _needed(staging.savepoint).rollback()
        hidden = hide_now(self.connection, now, staging.content)
        reason = "; ".join((*verdict.reasons, *_what_is_hidden(hidden)))
        next_step = verdict.next_step(self.run.night)
        facts = facts_of(staging.content, counts, verdict.dropped_by_time)
        record_held(
            self.connection,
            self.run,
            facts,
            reason=reason,
            kind=verdict.kind,
            next_step=next_step,
            against=now,
        )
        self._written = True
        return Held(
            **asdict(counts),
            dropped_by_time=verdict.dropped_by_time,
            verdict=verdict,
            reason=reason,
            next_step=next_step,
        )

    def preview(self) -> Counts:
        """The counts that publishing would produce. Everything is rolled back with the session."""
        staging = _needed(self._staging)
        if staging.savepoint is None:
            return _unchanged(_needed(self.now), self.run.night)[0]
        return self._write(staging)

    def end(self) -> None:
        """Roll back what was staged, unless it was published or held."""
        if not self._written:
            _needed(self.connection.get_transaction()).rollback()

    def written(self) -> None:
        """Commit what was written by other means than `publish` and `hold`."""
        self._written = True

    def _write(self, staging: _Staging) -> Counts:
        district_id, night = self.run.district_id, self.run.night
        return write_night(
            self.connection,
            staging.content,
            _needed(staging.staged),
            district_id,
            night,
            before=staging.before,
        )

    def refuse_erased_students(self, content: Content) -> None:
        """Refuse rows that were read before their student was erased, so that nobody returns.

        Raises:
            StudentErasedError: the snapshot has a row of an erased student.
        """
        erased = find_erased(self.connection, self.run.district_id)
        if erased and erased.among(content.status.keys[0].tolist()):
            raise StudentErasedError("these rows were read before one of their students was erased")

    def _refuse_what_is_late(self) -> None:
        """Refuse to publish an older night over a newer one, or rows of an older run over those of a newer
        run.

        Raises:
            OlderSnapshotError: a later night is published already.
            SupersededRunError: a run that began later has already published this night.
        """
        now, run = self.now, self.run
        if now is None or run.night > now.snapshot_date:
            return
        if run.night < now.snapshot_date:
            raise OlderSnapshotError(
                f"the night {run.night} is older than {now.snapshot_date}, which is published and stays",
                district_id=run.district_id,
                next_step=f"run the current night: {SYNC}; if it is the current one, check this machine's "
                "clock and the district's time zone. If the clock was ahead when "
                f"{now.snapshot_date} was published, wait until that date is over, or start again with: "
                "samegoal-pipelines districts erase ID --yes",
            )
        if now.run_id != run.run_id and now.started_at > run.started_at:
            raise SupersededRunError(
                f"run {now.run_id}, which began later, has published the night {run.night} already"
            )


def lock(connection: sa.Connection, district_id: str) -> None:
    """Lock the district for writing until the transaction ends.

    This locks a row that only writers can lock. A reader could take and keep an advisory lock.

    Raises:
        SnapshotInProgressError: another run holds the lock and did not end in time.
    """
    cursor = connection.connection.cursor()
    for timeout in ("lock_timeout", "statement_timeout"):  # a third waiting run would wait for two locks
        cursor.execute(f"set local {timeout} = '{LOCK_SECONDS}s'")
    try:
        cursor.execute(LOCK_ROW, (f"publish {district_id}",))
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
        raise SnapshotInProgressError(
            f"another run has been publishing this district for {LOCK_SECONDS} s"
        ) from None
    cursor.execute("set local statement_timeout to default")


def refuse_the_erased(connection: sa.Connection, run: RunIdentity) -> None:
    """Refuse a run that began before the district was erased, so that erased rows do not return.

    Raises:
        DistrictErasedError: the district was erased since.
    """
    if connection.scalar(sa.select(erased_since(run.district_id, run.started_at))):
        raise DistrictErasedError(
            "the district was erased after this run had begun, and nothing of it was stored"
        )


def _unchanged(now: Snapshot, night: date) -> tuple[Counts, int | None]:
    """The counts of content that is already published, for the same night or a new one."""
    if now.snapshot_date == night:
        return now.counts, now.dropped_by_time
    return replace(now.counts, added=0, changed=0, removed=0, dropped=0), None


def _what_is_hidden(hidden: Hidden) -> Iterator[str]:
    """Notes on what was removed from the published rows although the snapshot is held."""
    if hidden.parents:
        parents = counted(hidden.parents, "newly restricted parent")
        yield f"removed from the published rows: the contacts of {parents}"
    if hidden.phones:
        yield f"removed from the published rows: {counted(hidden.phones, 'newly confidential phone')}"

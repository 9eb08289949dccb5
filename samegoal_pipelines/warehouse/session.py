"""A publishing session: one transaction that locks the district until it commits.

    with session(engine, run) as s:
        diff = s.stage(content_of(payload))
        verdict = judge(limits, diff.comparisons[0].measured, facts)
        s.publish(verdict)          # or s.hold(verdict)

A session without `publish` or `hold` changes nothing, which makes it a dry run. Readers see all of a snapshot
or nothing, and a killed run leaves nothing behind. A session never touches the landing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from samegoal_pipelines.errors import SYNC
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.vocabulary import NO_ROWS
from samegoal_pipelines.tables.warehouse import student_changes
from samegoal_pipelines.transforms.gate import Measured, Verdict
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import as_writer, lock
from samegoal_pipelines.warehouse.errors import (
    DistrictErasedError,
    OlderSnapshotError,
    StudentErasedError,
    SupersededRunError,
)
from samegoal_pipelines.warehouse.gate_metrics import Shown, changes_between, measure, shown
from samegoal_pipelines.warehouse.rows import Content
from samegoal_pipelines.warehouse.snapshots import (
    Counts,
    RunIdentity,
    Snapshot,
    compared_with,
    find_current,
    record_held,
    record_hidden,
    record_published,
    was_erased,
)
from samegoal_pipelines.warehouse.student_erasures import find_erased
from samegoal_pipelines.warehouse.withholding import hide_withheld, refuse_what_is_withheld

T = TypeVar("T")


@dataclass(frozen=True)
class Published(Counts):
    """The counts of a published snapshot."""

    dropped_by_time: int | None = None
    """Dropped students explained by passing time alone. None if not computed."""
    verdict: Verdict | None = None
    """None if the gate was not asked."""
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
    """What a staged snapshot would change: compared with the current one, for a rerun also the night before.

    Empty for the first snapshot and for unchanged content.
    """

    comparisons: tuple[Comparison, ...] = ()

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
        if was_erased(connection, run):
            raise DistrictErasedError(
                "the district was erased after this run had begun, and nothing of it was stored"
            )
        opened = Session(connection, run)
        yield opened
        if not opened.written:
            _needed(connection.get_transaction()).rollback()


@dataclass(frozen=True)
class _Staging:
    """What is staged. Without a savepoint, the same content is published already and nothing is staged."""

    content: Content
    staged: diff.Staged | None = None
    before: Shown | None = None
    """What was published before this attempt, if the night is rerun."""
    savepoint: sa.NestedTransaction | None = None


def _needed(value: T | None) -> T:
    if value is None:
        raise RuntimeError("stage a snapshot first")
    return value


class Session:
    """One attempt to publish, within the transaction that `session` opens.

    Attributes:
        now: the snapshot that the current views show; None before the first.
        written: whether the transaction is to be committed.
    """

    def __init__(self, connection: sa.Connection, run: RunIdentity) -> None:
        self.connection, self.run = connection, run
        self.now = find_current(connection, run.district_id)
        self.written = False
        self._staging: _Staging | None = None

    @property
    def cursor(self) -> Any:
        """The driver's cursor."""
        return self.connection.connection.cursor()

    def list_changes(self, content: Content) -> list[StudentChange]:
        """The changes to students compared with what is published now. Call it before `stage`."""
        staged = diff.stage(self.cursor, content, self.run.district_id, self.run.night)
        changes = [
            StudentChange(*row) for row in diff.list_changes(self.cursor, staged, self.run.district_id)
        ]
        diff.discard(self.cursor)
        why = content.payload.why_absent()
        return sorted(
            (
                replace(one, why=why.get(one.student_id, NO_ROWS)) if one.change == "removed" else one
                for one in changes
            ),
            key=lambda one: (one.student_number or "", one.student_id),
        )

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
            return Diff()
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
            now = _needed(self.now)
            dropped_by_time = now.dropped_by_time if now.snapshot_date == run.night else None
            counts = self._hide(self.preview(), content, run.night)
        else:
            counts = self.preview()
            staging.savepoint.commit()
        facts = facts_of(content, counts, dropped_by_time)
        snapshot_id = record_published(self.connection, run, facts)
        self.written = True
        return Published(
            **asdict(counts), dropped_by_time=dropped_by_time, verdict=verdict, snapshot_id=snapshot_id
        )

    def hold(self, verdict: Verdict) -> Held:
        """Leave what is published, and record why, with the counts that publishing would have produced.

        Newly withheld contacts are still removed from the published rows.
        """
        staging, now = _needed(self._staging), _needed(self.now)
        content, payload = staging.content, staging.content.payload
        counts = self.preview()
        _needed(staging.savepoint).rollback()
        withheld = payload.restricted, payload.confidential
        hidden = hide_withheld(self.connection, *withheld, now.district_id, now.snapshot_date)
        record_hidden(self.connection, now, hidden.students, hidden.rows)
        reasons = list(verdict.reasons)
        if hidden.parents:
            parents = counted(hidden.parents, "newly restricted parent")
            reasons.append(f"removed from the published rows: the contacts of {parents}")
        if hidden.phones:
            numbers = counted(hidden.phones, "newly confidential phone")
            reasons.append(f"removed from the published rows: {numbers}")
        why = {"held_reason": "; ".join(reasons), "next_step": verdict.next_step(self.run.night)}
        facts = facts_of(content, counts, verdict.dropped_by_time) | why | {"kind": verdict.kind}
        record_held(self.connection, self.run, facts, now)
        self.written = True
        return Held(
            **asdict(counts),
            dropped_by_time=verdict.dropped_by_time,
            verdict=verdict,
            reason=why["held_reason"],
            next_step=why["next_step"],
        )

    def preview(self) -> Counts:
        """The counts that publishing produces. What this writes is rolled back with the session."""
        staging = _needed(self._staging)
        if staging.staged is None:
            now = _needed(self.now)
            if now.snapshot_date == self.run.night:
                return now.counts
            return replace(now.counts, added=0, changed=0, removed=0, dropped=0)
        counts = self.write(staging.content, staging.staged, self.run.night)
        if staging.before is None:
            return counts
        return replace(counts, **changes_between(staging.before, shown(self.cursor, self.run.district_id)))

    def write(self, content: Content, staged: diff.Staged, night: date) -> Counts:
        """Make the staged rows current as of `night`. Count them, and the changes since the night before."""
        diff.write(self.cursor, staged, content.payload.absent, self.run.district_id, night)
        return self._hide(_count(self.connection, content, self.run.district_id, night), content, night)

    def _hide(self, counts: Counts, content: Content, night: date) -> Counts:
        """Remove what is withheld tonight from the rows of carried-over students."""
        if not len(content.carried_over):
            return counts
        withheld = content.payload.restricted, content.payload.confidential
        among = content.carried_over
        hidden = hide_withheld(self.connection, *withheld, self.run.district_id, night, among=among)
        return replace(counts, changed=counts.changed + hidden.students)

    def refuse_erased_students(self, content: Content) -> None:
        """Refuse rows that were read before their student was erased, so that nobody returns.

        Raises:
            StudentErasedError: the snapshot has a row of an erased student.
        """
        erased = find_erased(self.connection, self.run.district_id)
        if erased and erased.among(content.status.keys[0].tolist()):
            raise StudentErasedError("these rows were read before one of their students was erased")

    def _refuse_what_is_late(self) -> None:
        """Refuse an older night than the published one, or rows of an older run than those of this night."""
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


def facts_of(content: Content, counts: Counts, dropped_by_time: int | None) -> dict[str, Any]:
    """The facts about its rows in a snapshot's record."""
    payload = content.payload
    return {
        **asdict(counts),
        "dropped_by_time": dropped_by_time,
        "notes": list(payload.notes),
        "enrollment_rows": payload.enrollment_rows,
        "quarantined": payload.quarantined,
        "content_hash": content.hash,
    }


def _count(connection: sa.Connection, content: Content, district_id: str, night: date) -> Counts:
    """Count statuses from the snapshot's rows, and for carried-over students from their published rows."""
    status = STATUS.table
    counted = content.status.table["status"].value_counts().to_pylist()
    having = Counter({each["values"]: each["counts"] for each in counted})
    if len(content.carried_over):
        carried_over = status.c.student_id == sa.any_(
            sa.literal(content.carried_over.tolist(), ARRAY(sa.BigInteger))
        )
        current = (status.c.district_id == district_id) & status.c.valid_to.is_(None)
        having.update(_tally(connection, status.c.status, current, carried_over))
    tonight = (student_changes.c.district_id == district_id) & (student_changes.c.snapshot_date == night)
    changes = _tally(connection, student_changes.c.change, tonight)
    was_active = student_changes.c.old_status.in_(["ENROLLED", "PRE-ENROLLED"])
    is_active = sa.func.coalesce(student_changes.c.new_status, "").in_(["ENROLLED", "PRE-ENROLLED"])
    dropped = sa.select(sa.func.count()).where(tonight, was_active, ~is_active)
    added, removed = changes.pop("added", 0), changes.pop("removed", 0)
    students = having.total()
    return Counts(
        students=students,
        enrolled=having["ENROLLED"],
        pre_enrolled=having["PRE-ENROLLED"],
        graduated=having["GRADUATED"],
        inactive=having["INACTIVE"],
        added=added,
        changed=sum(changes.values()),
        removed=removed,
        carried_over=students - content.status.table.num_rows,
        dropped=connection.scalar(dropped) or 0,
    )


def _tally(
    connection: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]
) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*where).group_by(column)
    return {value: count for value, count in connection.execute(query)}

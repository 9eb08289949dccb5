"""A publishing session: one transaction that locks the district until it commits.

    with session(engine, run) as s:
        ((published, measured),) = s.stage(content_of(payload))
        verdict = judge(limits, measured)
        s.publish()          # or s.hold(verdict)

A session without `publish` or `hold` changes nothing, which makes it a dry run. Readers see all of a snapshot
or nothing, and a killed run leaves nothing behind. A session never touches the landing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from samegoal_pipelines.errors import SYNC, Kind
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.vocabulary import ACTIVE, NO_ROWS, STATUSES
from samegoal_pipelines.tables.warehouse import districts, student_changes
from samegoal_pipelines.transforms.gate import Measured, Verdict
from samegoal_pipelines.warehouse import diff
from samegoal_pipelines.warehouse.engine import as_writer, lock
from samegoal_pipelines.warehouse.erase import find_erased
from samegoal_pipelines.warehouse.errors import LateRunError
from samegoal_pipelines.warehouse.gate_metrics import Shown, changes_between, measure, shown
from samegoal_pipelines.warehouse.rows import Content, Keys
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
from samegoal_pipelines.warehouse.withholding import Hidden, hide_withheld

Comparisons = list[tuple[Snapshot, Measured]]
"""Published snapshots, and how the staged one differs from each."""


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
        LateRunError: something that the run did not see has changed: see `refuse_outdated` and `stage`.
        SnapshotInProgressError: another run is publishing this district, and did not end in time.
        WarehouseError: Postgres failed; nothing was changed (unless the connection broke at the commit).
    """
    with as_writer(engine, run.district_id, step) as connection:
        lock(connection, run.district_id)
        if was_erased(connection, run):
            raise LateRunError(
                "the district was erased after this run had begun, and nothing of it was stored",
                kind=Kind.ERASED,
                next_step="register the district again if it is wanted after all",
            )
        opened = Session(connection, run)
        yield opened
        if not opened.written:
            connection.rollback()


class Session:
    """One attempt to publish, within the transaction that `session` opens."""

    content: Content
    """What is staged."""
    _same: Snapshot | None
    """The published snapshot if it has the same content. Then nothing is staged."""
    _staged: diff.Staged
    _savepoint: sa.NestedTransaction
    _before: Shown | None
    """What was published before this attempt, if the night is rerun."""

    def __init__(self, connection: sa.Connection, run: RunIdentity) -> None:
        self.connection, self.run = connection, run
        self.now = find_current(connection, run.district_id)  # what the current views show
        self.written = False  # whether the transaction is to be committed
        self.changes: list[StudentChange] = []  # what publishing changes, if `stage` was asked to list it

    @property
    def cursor(self) -> Any:
        """The driver's cursor."""
        return self.connection.connection.cursor()

    def stage(self, content: Content, *, measured: bool = True, listed: bool = False) -> Comparisons:
        """Compare a snapshot with what is published, and prepare to write what differs.

        Args:
            measured: also count the differences for the gate.
            listed: also list the changes to students.

        Returns:
            The snapshot compared with the current one, for a rerun also with the night before. Empty for the
            first snapshot, for unchanged content, and if not `measured`.
        """
        run, now = self.run, self.now
        self.refuse_outdated(content)
        self._refuse_what_is_late()
        self.content, self._before = content, None
        self._same = now if now and now.content_hash == content.hash else None
        if self._same:
            return []
        self._savepoint = self.connection.begin_nested()
        against = compared_with(self.connection, now, run.night) if measured else []
        self._staged = diff.stage(self.cursor, content, run.district_id, run.night)
        if listed:
            self.changes = self._list_changes()
        comparisons = [(one, measure(self.cursor, self._staged, content, one)) for one in against[:1]]
        if now is not None and now.snapshot_date == run.night:
            self._before = shown(self.cursor, run.district_id)
            diff.undo(self.cursor, run.district_id, run.night)
            self._staged = diff.stage(self.cursor, content, run.district_id, run.night)
            comparisons += [(one, measure(self.cursor, self._staged, content, one)) for one in against[1:]]
        return comparisons

    def _list_changes(self) -> list[StudentChange]:
        why = self.content.payload.why_absent()
        changes = (StudentChange(*row) for row in diff.list_changes(self.cursor, self.run.district_id))
        explained = (
            replace(one, why=why.get(one.student_id, NO_ROWS)) if one.change == "removed" else one
            for one in changes
        )
        return sorted(explained, key=lambda one: (one.student_number or "", one.student_id))

    def publish(self, dropped_by_time: int | None = None) -> Snapshot:
        """Make the staged snapshot what SameGoal reads, and record it.

        Publishing the same night again replaces it, as if only the last publication had happened.
        `dropped_by_time` counts the dropped students whom time alone explains, if that was computed.
        """
        counts = self.preview()
        if self._same is None:
            self._savepoint.commit()
        elif self._same.snapshot_date == self.run.night:
            dropped_by_time = self._same.dropped_by_time
        facts = facts_of(self.content, counts, dropped_by_time)
        recorded = record_published(self.connection, self.run, facts)
        self.written = True
        return recorded

    def hold(self, verdict: Verdict) -> Snapshot:
        """Leave what is published, and record why, with the counts that publishing would have produced.

        Newly withheld contacts are still removed from the published rows.
        """
        now = self.now
        if now is None:
            raise RuntimeError("the first snapshot of a district is never held")
        counts = self.preview()
        self._savepoint.rollback()
        hidden = self._hide_withheld(self.content, now.snapshot_date)
        record_hidden(self.connection, now, hidden.students, hidden.rows)
        reasons = list(verdict.reasons)
        if hidden.parents:
            parents = counted(hidden.parents, "newly restricted parent")
            reasons.append(f"removed from the published rows: the contacts of {parents}")
        if hidden.phones:
            numbers = counted(hidden.phones, "newly confidential phone")
            reasons.append(f"removed from the published rows: {numbers}")
        facts = facts_of(self.content, counts, verdict.dropped_by_time) | {
            "held_reason": "; ".join(reasons),
            "kind": verdict.kind,
            "next_step": verdict.next_step(self.run.night),
        }
        recorded = record_held(self.connection, self.run, facts, now)
        self.written = True
        return recorded

    def preview(self) -> Counts:
        """The counts that publishing produces. What this writes is rolled back with the session."""
        if self._same:
            again = self._same.snapshot_date == self.run.night
            counts = self._same.counts if again else self._same.counts.unchanged
            return self._hide(counts, self.content, self.run.night)
        counts = self.write(self.content, self._staged, self.run.night)
        if self._before is None:
            return counts
        return replace(counts, **changes_between(self._before, shown(self.cursor, self.run.district_id)))

    def write(self, content: Content, staged: diff.Staged, night: date) -> Counts:
        """Make the staged rows current as of `night`. Count them, and the changes since the night before."""
        diff.write(self.cursor, staged, content.payload.absent, self.run.district_id, night)
        return self._hide(_count(self.connection, content, self.run.district_id, night), content, night)

    def _hide(self, counts: Counts, content: Content, night: date) -> Counts:
        """Remove what is withheld tonight from the rows of carried-over students."""
        if not len(content.carried_over):
            return counts
        hidden = self._hide_withheld(content, night, content.carried_over)
        return replace(counts, changed=counts.changed + hidden.students)

    def _hide_withheld(self, content: Content, night: date, among: Keys | None = None) -> Hidden:
        withheld = content.payload.restricted, content.payload.confidential
        return hide_withheld(self.connection, *withheld, self.run.district_id, night, among=among)

    def refuse_outdated(self, content: Content) -> None:
        """Refuse contacts that the district now withholds, and rows of a student who has been erased."""
        switches = [districts.c[name] for name, shows in asdict(content.payload.shows).items() if shows]
        here = districts.c.district_id == self.run.district_id
        if switches and self.connection.scalar(sa.select(~sa.and_(*switches)).where(here)):
            raise LateRunError(
                "this snapshot shows contacts that the district has been set to withhold since it was made; "
                "nothing of it was published",
                kind=Kind.OUTDATED,
                next_step=f"run the night again: {SYNC}",
            )
        erased = find_erased(self.connection, self.run.district_id)
        if erased and erased.among(content.status.keys[0].tolist()):
            raise LateRunError(
                "these rows were read before one of their students was erased",
                kind=Kind.OUTDATED,
                next_step=f"if erase-student was interrupted, give it again; then read Qmlativ again: {SYNC}",
            )

    def _refuse_what_is_late(self) -> None:
        """Refuse an older night than the published one, or rows of an older run than those of this night."""
        now, run = self.now, self.run
        if now is None or run.night > now.snapshot_date:
            return
        if run.night < now.snapshot_date:
            raise LateRunError(
                f"the night {run.night} is older than {now.snapshot_date}, which is published and stays",
                kind=Kind.OLDER_NIGHT,
                district_id=run.district_id,
                next_step=f"run the current night: {SYNC}; if it is the current one, check this machine's "
                "clock and the district's time zone. If the clock was ahead when "
                f"{now.snapshot_date} was published, wait until that date is over, or start again with: "
                "samegoal-pipelines districts erase ID --yes",
            )
        if now.run_id != run.run_id and now.started_at > run.started_at:
            raise LateRunError(
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
    status, changed = STATUS.table.c, student_changes.c
    values = content.status.table["status"].value_counts().to_pylist()
    having = Counter({value["values"]: value["counts"] for value in values})
    if len(content.carried_over):
        carried_over = sa.literal(content.carried_over.tolist(), ARRAY(sa.BigInteger))
        current = (
            sa.select(status.status, sa.func.count())
            .where(status.district_id == district_id, status.valid_to.is_(None))
            .where(status.student_id == sa.any_(carried_over))
            .group_by(status.status)
        )
        having.update({value: count for value, count in connection.execute(current)})
    is_active = sa.func.coalesce(changed.new_status, "").in_(ACTIVE)
    dropped = sa.func.count().filter(changed.old_status.in_(ACTIVE), ~is_active)
    tonight = (
        sa.select(changed.change, sa.func.count(), dropped)
        .where(changed.district_id == district_id, changed.snapshot_date == night)
        .group_by(changed.change)
    )
    changes: Counter[str] = Counter()
    for change, students, gone in connection.execute(tonight):
        changes[change if change in ("added", "removed") else "changed"] += students
        changes["dropped"] += gone
    return Counts(
        students=having.total(),
        **{status.lower().replace("-", "_"): having[status] for status in STATUSES},
        **{name: changes[name] for name in ("added", "changed", "removed", "dropped")},
        carried_over=having.total() - content.status.table.num_rows,
    )

"""The table `snapshots`: one record per attempted snapshot. The rows are in the history tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from samegoal_pipelines.errors import Kind, PipelineError, fill_in
from samegoal_pipelines.printable import counted
from samegoal_pipelines.tables.warehouse import current_snapshots, districts, erasures, releases, snapshots
from samegoal_pipelines.warehouse.engine import as_operator, as_writer
from samegoal_pipelines.warehouse.errors import WarehouseError

OTHER_CONTENT = b""
"""The content hash of published rows that were changed since. No snapshot has this hash."""
_REASON_LIMIT = 2_000  # characters
OPEN_THE_RUN = "open the run RUN in the Dagster UI"


@dataclass(frozen=True)
class RunIdentity:
    """The run, and the district and night that it writes."""

    district_id: str
    night: date
    run_id: str
    started_at: datetime
    """A run that began before the published one may not replace it."""
    landed_run_id: str | None = None
    """The run whose landed rows the snapshot was made from."""


@dataclass(frozen=True)
class Counts:
    """The counts of a snapshot. Changes are counted against what was published before the attempt."""

    students: int
    enrolled: int
    pre_enrolled: int
    graduated: int
    inactive: int
    added: int
    changed: int
    removed: int
    carried_over: int
    dropped: int = 0

    @property
    def unchanged(self) -> Counts:
        """The same students without any change."""
        return replace(self, added=0, changed=0, removed=0, dropped=0)


@dataclass(frozen=True)
class Snapshot:
    """One row of `snapshots`: an attempt to publish a night. Counts are None if nothing was counted."""

    snapshot_id: int
    district_id: str
    snapshot_date: date
    state: str
    students: int | None
    enrolled: int | None
    pre_enrolled: int | None
    graduated: int | None
    inactive: int | None
    added: int | None
    changed: int | None
    removed: int | None
    carried_over: int | None
    enrollment_rows: int | None
    quarantined: int | None
    dropped: int | None
    dropped_by_time: int | None
    notes: list[str]
    reason: str | None
    """Why it was held or failed."""
    kind: str | None
    """What made it fail, or which limits of the gate held it."""
    next_step: str | None
    """`ID` stands for the district, `RUN` for the run."""
    run_id: str
    landed_run_id: str | None
    started_at: datetime
    published_at: datetime | None
    compared_with: int | None
    """For a held snapshot, the snapshot published at that time. None if that one was replayed."""
    content_hash: bytes | None
    """Hash of what was to be published. For the current snapshot, hash of what the views show."""

    @property
    def counts(self) -> Counts:
        """The counts, 0 if nothing was counted."""
        return Counts(**{count.name: getattr(self, count.name) or 0 for count in fields(Counts)})

    @property
    def landed_by(self) -> str:
        """The run that landed the raw rows."""
        return self.landed_run_id or self.run_id

    @property
    def active(self) -> int:
        """ENROLLED and PRE-ENROLLED students."""
        return (self.enrolled or 0) + (self.pre_enrolled or 0)

    @property
    def published(self) -> bool:
        """Whether it is what SameGoal reads now, or was until a later night."""
        return self.state == "published"

    @property
    def held(self) -> bool:
        """Whether it waits for a person."""
        return self.state == "held"

    @property
    def failed(self) -> bool:
        """Whether the run came to nothing."""
        return self.state == "failed"

    @property
    def advice(self) -> str | None:
        """What to do, if it failed or is held. `ID` stands for the district, `RUN` for the run."""
        return (self.next_step or OPEN_THE_RUN) if self.failed or self.held else None

    @property
    def to_do(self) -> str | None:
        """What to do, with the district and the run."""
        return self.advice and fill_in(self.advice, self.district_id, self.run_id)

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        internal = ("snapshot_id", "compared_with", "content_hash")
        facts = {name: value for name, value in asdict(self).items() if name not in internal}
        return facts | {"next_step": self.to_do}


_FIELDS = [field.name for field in fields(Snapshot)]


def labeled_columns(columns: sa.ColumnCollection[str, Any], prefix: str) -> list[sa.Label[Any]]:
    """The columns of `snapshots` or of a query on it that make a record, to select beside others."""
    return [columns["held_reason" if n == "reason" else n].label(f"{prefix}{n}") for n in _FIELDS]


def labeled_snapshot(row: sa.RowMapping, prefix: str) -> Snapshot | None:
    """The record in a row that `labeled_columns` selected; None where an outer join found none."""
    found = {name: row[f"{prefix}{name}"] for name in _FIELDS}
    return None if found["snapshot_id"] is None else Snapshot(**found)


_COLUMNS = {column.name: column for column in labeled_columns(snapshots.c, "")}
_NEWEST = (snapshots.c.snapshot_date.desc(), snapshots.c.snapshot_id.desc())


# -- reading, within a transaction --


def find_all(
    connection: sa.Connection,
    *where: sa.ColumnElement[bool],
    order: Sequence[Any] = _NEWEST,
    limit: int | None = None,
) -> list[Snapshot]:
    """The snapshots that meet this condition, by default with the newest night first."""
    query = sa.select(*_COLUMNS.values()).where(*where).order_by(*order).limit(limit)
    return _snapshots(connection.execute(query))


def _snapshots(rows: sa.Result[Any]) -> list[Snapshot]:
    return [Snapshot(**row) for row in rows.mappings()]


def find_first(
    connection: sa.Connection, *where: sa.ColumnElement[bool], order: Sequence[Any] = _NEWEST
) -> Snapshot | None:
    """The first of the snapshots that meet this condition."""
    return next(iter(find_all(connection, *where, order=order, limit=1)), None)


def of_district(district_id: str, *states: str) -> sa.ColumnElement[bool]:
    """The condition for a district's snapshots in these states."""
    return (snapshots.c.district_id == district_id) & snapshots.c.state.in_(states)


def find_current(connection: sa.Connection, district_id: str) -> Snapshot | None:
    """The snapshot that the current views show; None before the first."""
    columns = _COLUMNS | {"content_hash": current_snapshots.c.content_hash}
    this = snapshots.c.snapshot_id == current_snapshots.c.snapshot_id
    query = sa.select(*columns.values()).where(this, current_snapshots.c.district_id == district_id)
    return next(iter(_snapshots(connection.execute(query))), None)


def compared_with(connection: sa.Connection, current: Snapshot | None, night: date) -> list[Snapshot]:
    """The published snapshots with which the gate compares a new one of this night.

    That is the current one. A rerun night is also compared with the night before, so that many small changes
    do not add up unnoticed. The exception is a released night, which a person has already checked.
    """
    if current is None:
        return []
    if current.snapshot_date != night or _was_released(connection, current):
        return [current]
    before = of_district(current.district_id, "published") & (snapshots.c.snapshot_date < night)
    return [current, *find_all(connection, before, limit=1)]


def _was_released(connection: sa.Connection, current: Snapshot) -> bool:
    """Whether a person has released the current content of its night."""
    this = snapshots.alias()
    query = sa.exists().where(
        releases.c.district_id == current.district_id,
        releases.c.snapshot_date == current.snapshot_date,
        snapshots.c.snapshot_id == releases.c.published_snapshot_id,
        snapshots.c.content_hash == this.c.content_hash,
        this.c.snapshot_id == current.snapshot_id,
    )
    return bool(connection.scalar(sa.select(query)))


def was_erased(connection: sa.Connection, run: RunIdentity) -> bool:
    """Whether the district was erased after this run began, or is erased and not registered again."""
    erasure = sa.exists().where(erasures.c.district_id == run.district_id)
    registration = sa.exists().where(districts.c.district_id == run.district_id)
    since = erasure.where(erasures.c.erased_at > run.started_at)
    return bool(connection.scalar(sa.select(since | (erasure & ~registration))))


# -- reading, in a transaction of its own --


def find_attempt(engine: sa.Engine, run_id: str) -> Snapshot | None:
    """The result of one run. None if it has no result yet."""
    return _first(engine, snapshots.c.run_id == run_id)


def last_attempts(engine: sa.Engine, district_id: str, limit: int = 100) -> list[Snapshot]:
    """The latest attempts of a district, newest first."""
    with as_operator(engine, "looking up snapshots") as connection:
        order = (snapshots.c.snapshot_id.desc(),)
        return find_all(connection, snapshots.c.district_id == district_id, order=order, limit=limit)


def last_published(engine: sa.Engine, district_id: str, on: date | None = None) -> Snapshot | None:
    """A district's last published snapshot, optionally up to a date."""
    by_then = snapshots.c.snapshot_date <= (on or date.max)
    return _first(engine, of_district(district_id, "published"), by_then)


def first_published_night(engine: sa.Engine, district_id: str) -> date | None:
    """The district's first published night."""
    first = _first(engine, of_district(district_id, "published"), order=(snapshots.c.snapshot_date,))
    return first.snapshot_date if first else None


def unpublished_since(engine: sa.Engine, snapshot: Snapshot, up_to: date) -> Snapshot | None:
    """The last held or failed attempt after this snapshot, for a night up to a date."""
    place = snapshots.c.snapshot_date, snapshots.c.snapshot_id
    later = sa.tuple_(*place) > (snapshot.snapshot_date, snapshot.snapshot_id)
    where = of_district(snapshot.district_id, "held", "failed"), later, place[0] <= up_to
    return _first(engine, *where, order=(snapshots.c.snapshot_id.desc(),))


def _first(
    engine: sa.Engine, *where: sa.ColumnElement[bool], order: Sequence[Any] = _NEWEST
) -> Snapshot | None:
    with as_operator(engine, "looking up snapshots") as connection:
        return find_first(connection, *where, order=order)


# -- recording --


def record_failure(engine: sa.Engine, run: RunIdentity, error: PipelineError) -> None:
    """Record that this run failed, why and what to do, unless it published before it failed."""
    row = {
        "state": "failed",
        "held_reason": error.reason[:_REASON_LIMIT],
        "kind": error.kind.value,
        "next_step": error.next_step_of_night,
    }
    with as_writer(engine, run.district_id, "recording the failure") as connection:
        if not was_erased(connection, run):
            _record(connection, run, row, over=("failed",))


def record_published(connection: sa.Connection, run: RunIdentity, facts: dict[str, Any]) -> Snapshot:
    """Record and mark the current snapshot. Published or held ones from this night on are superseded."""
    connection.execute(
        sa.update(snapshots)
        .where(
            of_district(run.district_id, "published", "held"),
            snapshots.c.snapshot_date >= run.night,
            snapshots.c.run_id != run.run_id,
        )
        .values(state="superseded")
    )
    nothing_wrong = dict.fromkeys(("held_reason", "kind", "next_step", "compared_with"))
    published = nothing_wrong | {"state": "published", "published_at": sa.func.now()}
    (recorded,) = _record(connection, run, facts | published)
    this = ("snapshot_date", "snapshot_id", "content_hash")
    mark = {name: getattr(recorded, name) for name in this}
    connection.execute(
        insert(current_snapshots)
        .values(district_id=run.district_id, **mark)
        .on_conflict_do_update(index_elements=["district_id"], set_=mark)
    )
    return recorded


def record_held(
    connection: sa.Connection, run: RunIdentity, facts: dict[str, Any], against: Snapshot
) -> Snapshot:
    """Record the held snapshot, unless this run has already published the night and has read other rows."""
    held = {"state": "held", "compared_with": against.snapshot_id, "published_at": None}
    recorded = _record(connection, run, facts | held, over=("failed", "held"))
    if not recorded:
        raise WarehouseError(
            "this run has published the night already and has read very different rows since; what it "
            "published stays",
            kind=Kind.OUTDATED,
        )
    return recorded[0]


def record_hidden(connection: sa.Connection, snapshot: Snapshot, students: int, rows: int) -> None:
    """Count hidden contacts, if any, as a change of the published snapshot. Compare the next one in full."""
    if rows:
        # `changed` stays the same if these students already count, so the note must mention them.
        note = f"contacts were hidden after publication in {counted(rows, 'row')}"
        changed = sa.func.coalesce(snapshots.c.changed, 0) + students
        notes = sa.func.array_append(snapshots.c.notes, note)
        update_facts(connection, snapshot, {"changed": changed, "notes": notes})
        mark_content(connection, snapshot.district_id, OTHER_CONTENT)


def update_facts(connection: sa.Connection, snapshot: Snapshot, facts: dict[str, Any]) -> None:
    """Replace these facts in the record of a published night."""
    this = snapshots.c.snapshot_id == snapshot.snapshot_id
    connection.execute(sa.update(snapshots).where(this).values(**facts))


def forget_comparisons(connection: sa.Connection, held: sa.ColumnElement[bool]) -> None:
    """Make these held snapshots unreleasable: what they were compared with has changed."""
    connection.execute(sa.update(snapshots).where(held).values(compared_with=None))


def mark_content(connection: sa.Connection, district_id: str, content_hash: bytes) -> None:
    """Record which content the current views show."""
    whose = current_snapshots.c.district_id == district_id
    connection.execute(sa.update(current_snapshots).where(whose).values(content_hash=content_hash))


def _record(
    connection: sa.Connection, run: RunIdentity, row: dict[str, Any], *, over: tuple[str, ...] = ()
) -> list[Snapshot]:
    """Write and return the row of this run. Return nothing if its state is not one of `over`: it stays."""
    times = {"snapshot_date": run.night, "started_at": run.started_at, "landed_run_id": run.landed_run_id}
    row = row | times
    statement = insert(snapshots).values(district_id=run.district_id, run_id=run.run_id, **row)
    statement = statement.on_conflict_do_update(
        index_elements=["run_id", "district_id"],
        set_=row,
        where=snapshots.c.state.in_(over) if over else None,
    )
    return _snapshots(connection.execute(statement.returning(*_COLUMNS.values())))

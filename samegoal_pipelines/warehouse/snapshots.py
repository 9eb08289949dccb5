"""The table `snapshots`: one record per attempted snapshot. Only this module reads and writes it by itself.

Reporting joins the table with others. A snapshot's rows are in `history`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
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
    """The run, and the district and night that it writes.

    Attributes:
        started_at: when the run began; a run that began before the published one may not replace it.
        landed_run_id: the run whose landed rows the snapshot was made from.
    """

    district_id: str
    night: date
    run_id: str
    started_at: datetime
    landed_run_id: str | None = None


@dataclass(frozen=True)
class Counts:
    """The counts of a snapshot, and how it differs from what was published before.

    `added`, `changed` and `removed` are counted against what was published before the attempt. For the first
    attempt of a night, that is the night before.
    """

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


_COUNTED = tuple(field.name for field in fields(Counts))


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
        return Counts(**{name: getattr(self, name) or 0 for name in _COUNTED})

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
    def became(self) -> str:
        """What became of it."""
        return self.state

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


def labeled_columns(columns: sa.ColumnCollection[str, Any], prefix: str) -> list[sa.Label[Any]]:
    """The columns of `snapshots` or of a query on it that make a record, to select beside others."""
    names = [field.name for field in fields(Snapshot)]
    return [columns["held_reason" if n == "reason" else n].label(f"{prefix}{n}") for n in names]


def labeled_snapshot(row: sa.RowMapping, prefix: str = "") -> Snapshot | None:
    """The record in a row that `labeled_columns` selected; None where an outer join found none."""
    if row[f"{prefix}snapshot_id"] is None:
        return None
    facts = {field.name: row[f"{prefix}{field.name}"] for field in fields(Snapshot)}
    if facts["content_hash"] is not None:  # the driver gives a view of its buffer
        facts["content_hash"] = bytes(facts["content_hash"])
    return Snapshot(**facts)


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
    found = (labeled_snapshot(row) for row in connection.execute(query).mappings())
    return [one for one in found if one is not None]


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
    query = (
        sa.select(*columns.values())
        .join(current_snapshots, snapshots.c.snapshot_id == current_snapshots.c.snapshot_id)
        .where(current_snapshots.c.district_id == district_id)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else labeled_snapshot(row)


def find_held_newest(connection: sa.Connection, district_id: str) -> Snapshot | None:
    """The latest snapshot that is still held."""
    order = (snapshots.c.started_at.desc(), snapshots.c.snapshot_id.desc())
    return find_first(connection, of_district(district_id, "held"), order=order)


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


def erased_since(district_id: str, moment: datetime) -> sa.ColumnElement[bool]:
    """Whether the district was erased after this moment, or is erased and not registered again."""
    erasure = sa.exists().where(erasures.c.district_id == district_id)
    registration = sa.exists().where(districts.c.district_id == district_id)
    return erasure.where(erasures.c.erased_at > moment) | (erasure & ~registration)


# -- reading, in a transaction of its own --


def find_attempt(engine: sa.Engine, run_id: str) -> Snapshot | None:
    """The result of one run. None if it has no result yet."""
    return next(iter(_look_up(engine, snapshots.c.run_id == run_id, limit=1)), None)


def last_attempts(engine: sa.Engine, district_id: str | None = None, limit: int = 100) -> list[Snapshot]:
    """The latest attempts of one district or of all, newest first."""
    whose = sa.true() if district_id is None else snapshots.c.district_id == district_id
    return _look_up(engine, whose, limit=limit)


def last_published(engine: sa.Engine, district_id: str, on: date | None = None) -> Snapshot | None:
    """A district's last published snapshot, optionally up to a date."""
    published = of_district(district_id, "published")
    if on is not None:
        published &= snapshots.c.snapshot_date <= on
    return next(iter(_look_up(engine, published, order=_NEWEST, limit=1)), None)


def first_published_night(engine: sa.Engine, district_id: str) -> date | None:
    """The district's first published night."""
    order = (snapshots.c.snapshot_date,)
    first = _look_up(engine, of_district(district_id, "published"), order=order, limit=1)
    return first[0].snapshot_date if first else None


def unpublished_since(engine: sa.Engine, snapshot: Snapshot, up_to: date | None = None) -> Snapshot | None:
    """The last held or failed attempt after this snapshot, for a night up to a date."""
    later = sa.tuple_(snapshots.c.snapshot_date, snapshots.c.snapshot_id) > sa.tuple_(
        sa.literal(snapshot.snapshot_date), sa.literal(snapshot.snapshot_id)
    )
    where = of_district(snapshot.district_id, "held", "failed") & later
    if up_to is not None:
        where &= snapshots.c.snapshot_date <= up_to
    return next(iter(_look_up(engine, where, limit=1)), None)


def _look_up(
    engine: sa.Engine,
    where: sa.ColumnElement[bool],
    order: Sequence[Any] = (snapshots.c.snapshot_id.desc(),),
    limit: int | None = None,
) -> list[Snapshot]:
    with as_operator(engine, "looking up snapshots") as connection:
        return find_all(connection, where, order=order, limit=limit)


# -- recording --


def record_failure(engine: sa.Engine, run: RunIdentity, error: PipelineError) -> None:
    """Record that this run failed, why and what to do, unless it published before it failed."""
    row = {
        "snapshot_date": run.night,
        "started_at": run.started_at,
        "state": "failed",
        "held_reason": error.reason[:_REASON_LIMIT],
        "kind": error.kind.value,
        "next_step": error.next_step_of_night,
    }
    with as_writer(engine, run.district_id, "recording the failure") as connection:
        if not connection.scalar(sa.select(erased_since(run.district_id, run.started_at))):
            _record(connection, run, row, over=("failed",))


def record_published(connection: sa.Connection, run: RunIdentity, facts: dict[str, Any]) -> int:
    """Record the published snapshot and mark it as the current one. Return its snapshot_id.

    Earlier published or held snapshots of this night are superseded.
    """
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
    snapshot_id = _record(connection, run, _counted(run, facts) | published)
    mark = {"snapshot_date": run.night, "snapshot_id": snapshot_id, "content_hash": facts["content_hash"]}
    connection.execute(
        insert(current_snapshots)
        .values(district_id=run.district_id, **mark)
        .on_conflict_do_update(index_elements=["district_id"], set_=mark)
    )
    return int(snapshot_id or 0)


def record_held(
    connection: sa.Connection,
    run: RunIdentity,
    facts: dict[str, Any],
    *,
    reason: str,
    kind: str,
    next_step: str,
    against: Snapshot,
) -> None:
    """Record the held snapshot, with the counts that publishing would have produced.

    Raises:
        WarehouseError: this run has already published the night, and has read other rows since.
    """
    row = _counted(run, facts) | {
        "state": "held",
        "held_reason": reason,
        "kind": kind,
        "next_step": next_step,
        "compared_with": against.snapshot_id,
        "published_at": None,
    }
    if _record(connection, run, row, over=("failed", "held")) is None:
        raise WarehouseError(
            "this run has published the night already and has read very different rows since; what it "
            "published stays",
            kind=Kind.OUTDATED,
        )


def record_hidden(connection: sa.Connection, snapshot: Snapshot, students: int, rows: int) -> None:
    """Count hidden contacts as a change of the published snapshot. Compare the next one in full."""
    # `changed` stays the same if these students already count, so the note must mention them.
    note = f"contacts were hidden after publication in {counted(rows, 'row')}"
    changed = sa.func.coalesce(snapshots.c.changed, 0) + students
    notes = sa.func.array_append(snapshots.c.notes, note)
    record_replayed(connection, snapshot, {"changed": changed, "notes": notes})
    mark_content(connection, snapshot.district_id, OTHER_CONTENT)


def record_replayed(connection: sa.Connection, snapshot: Snapshot, facts: dict[str, Any]) -> None:
    """Replace these facts in the record of a published night."""
    this = snapshots.c.snapshot_id == snapshot.snapshot_id
    whose = snapshots.c.district_id == snapshot.district_id
    connection.execute(sa.update(snapshots).where(whose, this).values(**facts))


def forget_comparisons(connection: sa.Connection, published: Snapshot) -> None:
    """Make held snapshots unreleasable that were compared with another content."""
    against = snapshots.c.compared_with == published.snapshot_id
    whose = snapshots.c.district_id == published.district_id
    connection.execute(sa.update(snapshots).where(whose, against).values(compared_with=None))


def mark_content(connection: sa.Connection, district_id: str, content_hash: bytes) -> None:
    """Record which content the current views show."""
    connection.execute(
        sa.update(current_snapshots)
        .where(current_snapshots.c.district_id == district_id)
        .values(content_hash=content_hash)
    )


def _counted(run: RunIdentity, facts: dict[str, Any]) -> dict[str, Any]:
    """The row of an attempt that was counted."""
    whose = {"snapshot_date": run.night, "started_at": run.started_at, "landed_run_id": run.landed_run_id}
    return facts | whose


def _record(
    connection: sa.Connection, run: RunIdentity, row: dict[str, Any], *, over: tuple[str, ...] = ()
) -> int | None:
    """Write the row of this run. None if its row is in a state that is not one of `over`: it stays."""
    statement = insert(snapshots).values(district_id=run.district_id, run_id=run.run_id, **row)
    replaceable = snapshots.c.state.in_(over) if over else None
    statement = statement.on_conflict_do_update(
        index_elements=["run_id", "district_id"], set_=row, where=replaceable
    )
    snapshot_id: int | None = connection.scalar(statement.returning(snapshots.c.snapshot_id))
    return snapshot_id

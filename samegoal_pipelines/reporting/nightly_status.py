"""A district's state on a night: one query and one class, which every report, message and command shows.

`read_board` reads one night, and `read_newest` the newest night of each district, because a night begins in
Guam hours before it begins in Chicago. `now` is always an aware instant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.districts.pauses import Pause
from samegoal_pipelines.districts.registry import DISTRICT_COLUMNS, RECORD_EXPIRY, District, unknown_district
from samegoal_pipelines.errors import SYNC, fill_in
from samegoal_pipelines.printable import counted, in_days
from samegoal_pipelines.tables.warehouse import districts, pauses, releases, snapshots
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.snapshots import Snapshot, labeled_columns, labeled_snapshot

NIGHT_BEGINS = time(1, 0)
"""A district's night begins at this local time. Before, Qmlativ's day may not be over."""
DEADLINE = time(6, 0)
"""Every active district's snapshot is due at this local time."""

TROUBLE = ("failed", "late", "held")
"""The states that need attention, most urgent first."""
AWAITING_SECRET = "awaiting secret"  # noqa: S105  # pragma: allowlist secret - a state
NOT_DUE = (AWAITING_SECRET, "paused", "disabled")
"""The states in which no snapshot is expected."""
STATES = ("published", "held", "failed", "late", "pending", *NOT_DUE)

COUNTS = ("students", "enrolled", "added", "changed", "removed", "carried_over")
"""The columns of a table of districts."""


@dataclass(frozen=True)
class DistrictNight(District):
    """A district on one night: what SameGoal reads, and the night's result.

    Attributes:
        current: the snapshot that SameGoal reads after the night.
        tonight: the night's result. A published night stays published if a later run of it fails.
        open_attempt: the last attempt of any night, if it failed or is held and nothing was published since.
        state: published, held, failed, late (no result by the deadline), pending (not due yet), disabled,
            awaiting secret or paused. A night that is held after it was published counts as held. Failures
            of a paused or disabled district do not count.
        schedule: how the schedule treats the district.
        reason: why it is in this state.
        kind: the kind of its failure, or the gate's limits that held it.
        advice: what to do, in this district or a similar one. `ID` stands for the district, `RUN` for the
            run. None: nothing.
        notes: notes for readers of the snapshot, and who released it, why, and why it was held.
    """

    registered_on: date
    night: date
    deadline: datetime
    pause: Pause | None
    current: Snapshot | None
    tonight: Snapshot | None
    open_attempt: Snapshot | None
    state: str
    schedule: str
    reason: str | None
    kind: str | None
    advice: str | None
    notes: tuple[str, ...]

    @property
    def district_id(self) -> str:
        """Its id, under the name that tables and scripts use."""
        return self.id

    @property
    def in_trouble(self) -> bool:
        """Whether it needs attention."""
        return self.state in TROUBLE

    @property
    def pause_to_come(self) -> Pause | None:
        """Its current or coming pause."""
        return self.pause if self.pause is not None and self.pause.paused_to >= self.night else None

    @property
    def next_step(self) -> str | None:
        """What to do."""
        run_id = None if self.tonight is None else self.tonight.run_id
        return self.advice and fill_in(self.advice, self.id, run_id)

    @property
    def remarks(self) -> str:
        """Remarks about a district that needs no attention."""
        untold = self.confirmation_problem and (
            f"the contact was not told that setup is complete: {self.confirmation_problem}; to do: "
            f"samegoal-pipelines districts confirm {self.id}"
        )
        return "; ".join(filter(None, [self.reason, untold, *self.notes]))

    @property
    def nights_in_trouble(self) -> int:
        """The number of nights up to this one without a snapshot, except paused ones. 0 if all is well."""
        if not self.in_trouble:
            return 0
        before = self.last_published or self.registered_on - timedelta(days=1)
        paused = 0
        if self.pause is not None:
            first = max(self.pause.paused_from, before + timedelta(days=1))
            paused = max(0, (min(self.pause.paused_to, self.night) - first).days + 1)
        return max(1, (self.night - before).days - paused)

    @property
    def since(self) -> str:
        """Since when it needs attention."""
        nights = counted(self.nights_in_trouble, "night")
        if self.last_published is None:
            return f"never published, {nights} so far"
        if self.last_published >= self.night:
            return "since a rerun of the night"
        return f"for {nights}, last published {self.last_published}"

    @property
    def last_published(self) -> date | None:
        """The night that SameGoal reads. None if never published."""
        return None if self.current is None else self.current.snapshot_date

    @property
    def counts(self) -> dict[str, int | None]:
        """`COUNTS`: the students that SameGoal reads, and the night's changes, held ones included."""
        changes = self.tonight if self.state in ("published", "held") else None
        return {
            name: getattr(self.current if name in ("students", "enrolled") else changes, name, None)
            for name in COUNTS
        }

    @property
    def days_to_expiry(self) -> int | None:
        """Days until the Integration Access expires. None if unknown."""
        return None if self.expires is None else (self.expires - self.night).days

    @property
    def expiry_warning(self) -> int | None:
        """The smallest reached limit of `EXPIRY_WARNINGS`. 0 if expired."""
        return self.expiry_warning_on(self.night)

    @property
    def expiry(self) -> str:
        """When the Integration Access expires, if that is known."""
        days, when = self.days_to_expiry or 0, self.expiry_text
        record = fill_in(RECORD_EXPIRY, self.id)
        if days < 0:
            return f"expired on {when}; once it is renewed, {record}"
        return f"expires on {when}, {in_days(days)}" + (f"; {record}" if self.expiration == "assumed" else "")

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        names = (
            *("district_id", "name", "night", "state", "timezone", "deadline", "last_published", "reason"),
            *("kind", "next_step", "nights_in_trouble", "notes", "expires", "expiration", "days_to_expiry"),
            *("expiry_warning", "confirmation_problem"),
        )
        return {
            **{name: getattr(self, name) for name in names},
            **self.counts,
            **{name: getattr(self.current, name, None) for name in ("pre_enrolled", "graduated", "inactive")},
            "landed_run_id": self.current and self.current.landed_by,
            **{name: getattr(self.tonight, name, None) for name in ("run_id", "started_at", "published_at")},
        }


@dataclass(frozen=True)
class Board:
    """One night in all districts. Those that need attention come first, by urgency and age."""

    night: date
    looked_at: datetime
    districts: tuple[DistrictNight, ...]

    @classmethod
    def in_order(cls, night: date, looked_at: datetime, found: Iterable[DistrictNight]) -> Board:
        """The board of these districts, sorted."""

        def urgency(one: DistrictNight) -> tuple[int, int, str]:
            return (*TROUBLE, *STATES).index(one.state), -one.nights_in_trouble, one.id

        return cls(night, looked_at, tuple(sorted(found, key=urgency)))

    @property
    def totals(self) -> dict[str, int]:
        """The number of districts in each state, including 0."""
        found = Counter(one.state for one in self.districts)
        return {state: found[state] for state in STATES}

    @property
    def trouble(self) -> tuple[DistrictNight, ...]:
        """The districts that need attention."""
        return tuple(one for one in self.districts if one.in_trouble)

    @property
    def rest(self) -> tuple[DistrictNight, ...]:
        """All others."""
        return tuple(one for one in self.districts if not one.in_trouble)

    @property
    def due(self) -> int:
        """The number of districts with a snapshot due."""
        return sum(one.state not in NOT_DUE for one in self.districts)

    @property
    def over(self) -> bool:
        """Whether the night is over: something was attempted or missed, and no result is pending.

        A failure is pending until the deadline, because a retry may still publish the snapshot.
        """
        due = [one for one in self.districts if one.state not in NOT_DUE]
        return any(one.state != "pending" for one in due) and all(
            one.state in ("published", "held") or one.deadline <= self.looked_at for one in due
        )

    @property
    def title(self) -> str:
        """The title of reports and messages."""
        return f"SameGoal night {self.night}"

    @property
    def summary(self) -> str:
        """One line: `2 failed, 1 held, 1 late of 300`, or that all is well."""
        totals, due = self.totals, self.due
        if self.trouble:
            return f"{in_words(totals)} of {due:,}"
        if totals["pending"]:
            return f"{totals['published']:,} of {due:,} published, {totals['pending']:,} not due yet"
        return f"{due:,} of {due:,} published" if due else "no district is due"

    @property
    def fingerprint(self) -> str:
        """A short text that changes when the night's result changes in any district."""
        facts = [
            (one.id, one.state, one.tonight and one.tonight.run_id, one.reason)
            for one in sorted(self.districts, key=lambda one: one.id)
        ]
        return sha256(repr(facts).encode()).hexdigest()[:16]

    @property
    def expiring(self) -> tuple[DistrictNight, ...]:
        """The active districts whose Integration Access expires soon or has expired, soonest first."""
        soon = [one for one in self.districts if one.expiry_warning is not None and one.state != "disabled"]
        return tuple(sorted(soon, key=lambda one: (one.days_to_expiry or 0, one.id)))


def in_words(totals: Mapping[str, int]) -> str:
    """`2 failed, 1 held, 1 late`."""
    return ", ".join(f"{totals[s]:,} {s}" for s in ("failed", "held", "late") if totals.get(s))


@cache
def moment_of(night: date, local: time, timezone: str) -> datetime:
    """The moment of this local time in a time zone, in UTC."""
    return datetime.combine(night, local, ZoneInfo(timezone)).astimezone(UTC)


def night_since(begins: time, timezone: str, now: datetime) -> date:
    """The newest night for which this local time has passed in a time zone."""
    local = now.astimezone(ZoneInfo(timezone))
    return local.date() - timedelta(days=local.time() < begins)


def newest_night(engine: sa.Engine, now: datetime) -> date:
    """The newest night that has begun for any district that the schedule runs."""
    scheduled = districts.c.active & districts.c.secret_set_at.is_not(None)
    with as_operator(engine, "looking up the time zones") as connection:
        zones = connection.scalars(sa.select(districts.c.timezone).where(scheduled).distinct())
        return max((night_since(NIGHT_BEGINS, zone, now) for zone in zones), default=now.date())


def read_board(engine: sa.Engine, night: date, now: datetime) -> Board:
    """The result of this night in all districts.

    A district that was registered after the night and has no attempt of it is excluded.
    """
    return Board.in_order(night, now, _read(engine, night, now))


def read_judged(engine: sa.Engine, now: datetime) -> list[Board]:
    """The districts of each deadline, on the newest night whose deadline has passed for them."""
    groups: dict[tuple[date, datetime], list[DistrictNight]] = {}
    for one in _read(engine, DEADLINE, now):
        groups.setdefault((one.night, one.deadline), []).append(one)
    return [Board.in_order(night, now, found) for (night, _), found in sorted(groups.items())]


def read_newest(engine: sa.Engine, now: datetime) -> Board:
    """Every district on its newest night that has begun.

    Before 01:00, a district that `sync` already ran or that was just registered shows the coming night.
    A district whose night before needs attention shows that one until the new night has a result or is due.
    The board's night is the one of most districts, and another night is named in the reason.
    """
    judged = {one.id: one for one in _read(engine, DEADLINE, now)}
    found = []
    for one in _read(engine, time(0), now):
        before = judged.get(one.id, one)
        has_begun = one.tonight or night_since(NIGHT_BEGINS, one.timezone, now) == one.night
        shown = one if has_begun else before
        found.append(before if shown.state == "pending" and before.in_trouble else shown)
    nights = Counter(one.night for one in found if one.state != "disabled")
    night = max(nights, key=lambda night: (nights[night], night), default=now.date())
    for n, one in enumerate(found):
        if one.night != night:
            found[n] = replace(one, reason=f"night {one.night}" + (f": {one.reason}" if one.reason else ""))
    return Board.in_order(night, now, found)


def read_districts(engine: sa.Engine, now: datetime) -> list[DistrictNight]:
    """Every district by id, on its own date, with its last attempt of any night."""
    return sorted(_read(engine, time(0), now, newest=True), key=lambda one: one.id)


def read_district(
    engine: sa.Engine, now: datetime, district_id: str, night: date | None = None
) -> DistrictNight:
    """One district on this night, or else as in `read_districts`. Raises `UnknownDistrictError`."""
    found = _read(engine, night or time(0), now, district_id, newest=night is None)
    if not found:
        raise unknown_district(district_id)
    return found[0]


def _read(
    engine: sa.Engine, nights: date | time, now: datetime, district_id: str = "", *, newest: bool = False
) -> list[DistrictNight]:
    """Each district on its night, in no order: on one for all, or on the newest since a local time.

    `newest`: look at attempts of any night, and at every district.
    """
    with as_operator(engine, "looking up the night of all districts") as connection:
        night: sa.ColumnElement[Any] = sa.literal(nights) if isinstance(nights, date) else sa.null()
        if isinstance(nights, time):
            zones = connection.scalars(sa.select(districts.c.timezone).distinct())
            if by_zone := {zone: night_since(nights, zone, now) for zone in zones}:
                night = sa.case(by_zone, value=districts.c.timezone)
        query = _query(sa.cast(night, sa.Date), newest=newest)
        if district_id:
            query = query.where(districts.c.district_id == district_id)
        found = [_district_night(row, now) for row in connection.execute(query).mappings()]
    return [one for one in found if newest or district_id or one.tonight or one.registered_on <= one.night]


def _query(night: sa.ColumnElement[date], *, newest: bool) -> sa.Select[Any]:
    """The one query."""
    here = districts.c.district_id

    def last(name: str, *where: sa.ColumnElement[bool]) -> Any:
        up_to = sa.true() if newest else snapshots.c.snapshot_date <= night
        return (
            sa.select(snapshots)
            .where(snapshots.c.district_id == here, up_to, *where)
            .order_by(snapshots.c.snapshot_date.desc(), snapshots.c.snapshot_id.desc())
            .limit(1)
            .lateral(name)
        )

    current = last("current", snapshots.c.state == "published")
    attempt = last("attempt", snapshots.c.state != "superseded")
    held = snapshots.alias("held")
    later = sa.select(sa.func.max(snapshots.c.snapshot_date)).where(
        snapshots.c.district_id == here, snapshots.c.state == "published", snapshots.c.snapshot_date > night
    )
    released = sa.func.format(
        "released by %s: %s (held because: %s)", releases.c.released_by, releases.c.reason, held.c.held_reason
    )
    return (
        sa.select(
            *DISTRICT_COLUMNS,
            districts.c.registered_at,
            sa.func.greatest(districts.c.registered_at, districts.c.due_since).label("due_since"),
            night.label("night"),
            *(column.label(f"pause_{column.name}") for column in pauses.c),
            *labeled_columns(current.c, "current_"),
            *labeled_columns(attempt.c, "attempt_"),
            sa.case((releases.c.released_by.is_not(None), released)).label("released"),
            later.scalar_subquery().label("later_night"),
        )
        .outerjoin(pauses, pauses.c.district_id == here)
        .outerjoin(current, sa.true())
        .outerjoin(attempt, sa.true())
        .outerjoin(releases, releases.c.published_snapshot_id == current.c.snapshot_id)
        .outerjoin(held, held.c.snapshot_id == releases.c.held_snapshot_id)
    )


def _district_night(row: sa.RowMapping, now: datetime) -> DistrictNight:
    timezone, night = row["timezone"], row["night"]
    columns = {column.name: row[f"pause_{column.name}"] for column in pauses.c}
    pause = Pause(**columns) if columns["district_id"] is not None else None
    current, attempt = labeled_snapshot(row, "current_"), labeled_snapshot(row, "attempt_")
    tonight = attempt if attempt and attempt.snapshot_date == night else None
    failed_later = None
    if tonight and tonight.failed and current and current.snapshot_date == night:
        tonight, failed_later = current, tonight
    deadline = moment_of(night, DEADLINE, timezone)

    reason = kind = advice = None
    schedule = "active"
    if not row["active"]:
        schedule = "disabled"
    elif row["secret_set_at"] is None:
        schedule = AWAITING_SECRET
        reason = fill_in(SecretAwaitedError.next_step, row["id"])
    elif pause is not None and pause.covers(night):
        schedule = f"paused until {pause.paused_to}"
        reason = schedule + (f": {pause.reason}" if pause.reason else "")
    if tonight is not None and tonight.published:
        state, reason = "published", None
        if failed_later is not None:
            reason = f"published; a later run failed: {failed_later.reason}; to do: {failed_later.to_do}"
    elif schedule != "active":
        state = schedule.partition(" until ")[0]
    elif tonight is not None:
        state, reason, kind, advice = tonight.state, tonight.reason, tonight.kind, tonight.advice
    elif deadline <= now and row["due_since"] <= moment_of(night, NIGHT_BEGINS, timezone):
        state = "late"
        reason = f"no snapshot by {DEADLINE:%H:%M}: the run has not started or is still in progress"
        advice = (
            "check in the Dagster UI that the daemon is running, nightly_by_district is on and runs are not "
            f"stuck in the queue; or: {SYNC}"
        )
    else:
        state = "pending"
    if advice and row["later_night"] is not None:
        advice = f"nothing: the night {row['later_night']} has been published since"
    released = [row["released"]] if row["released"] and tonight and tonight.published else []
    return DistrictNight(
        **{column.name: row[column.name] for column in DISTRICT_COLUMNS},
        registered_on=row["registered_at"].astimezone(ZoneInfo(timezone)).date(),
        night=night,
        deadline=deadline,
        pause=pause,
        current=current,
        tonight=tonight,
        open_attempt=attempt if attempt and attempt.advice else None,
        state=state,
        schedule=schedule,
        reason=reason,
        kind=kind,
        advice=advice,
        notes=(*released, *(tonight.notes if tonight else ())),
    )

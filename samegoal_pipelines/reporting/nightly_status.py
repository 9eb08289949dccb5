"""A district's state on a night: one query and one class, which every report, message and command shows.

`read_board` reads one night, and `read_newest` the newest night of each district, because a night begins in
Guam hours before it begins in Chicago. `now` is always an aware instant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property, partial
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from samegoal_pipelines.districts.errors import SecretAwaitedError
from samegoal_pipelines.districts.expiry import RECORD, expiry_warning, expiry_words
from samegoal_pipelines.districts.pauses import Pause
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

WHEN_LATE = (
    "check in the Dagster UI that the daemon is running, nightly_by_district is on and runs are not stuck "
    f"in the queue; or: {SYNC}"
)
COUNTS = ("students", "enrolled", "added", "changed", "removed", "carried_over")
"""The columns of a table of districts."""


@dataclass(frozen=True)
class DistrictNight:
    """A district on one night: what SameGoal reads, and the night's result.

    Attributes:
        due_since: when it was registered, enabled or resumed. A night that had begun by then is not late.
        current: the snapshot that SameGoal reads after the night.
        attempt: the last attempt, of this night or an earlier one, not replaced by a rerun or release.
        released: who released `current`, why, and why it was held, if it was held.
        later_night: the newest night that was published after this one.
        gate_limits: the limits of the gate that differ from the usual ones.
        apart: whether it is shown among districts with another night.
    """

    district_id: str
    name: str
    timezone: str
    active: bool
    registered_at: datetime
    due_since: datetime
    secret_set_at: datetime | None
    expires: date | None
    expiration: str
    confirmation_problem: str | None
    night: date
    looked_at: datetime
    pause: Pause | None
    current: Snapshot | None
    attempt: Snapshot | None
    released: str | None
    later_night: date | None
    gate_limits: Mapping[str, float]
    apart: bool = False

    @property
    def tonight(self) -> Snapshot | None:
        """The night's result. A published night stays published if a later run of it fails."""
        tonight = self.attempt if self.attempt and self.attempt.snapshot_date == self.night else None
        return self.current if self._failed_later else tonight

    @property
    def _failed_later(self) -> Snapshot | None:
        """The run that failed after the night was published."""
        attempt = self.attempt if self.last_published == self.night else None
        return attempt if attempt and attempt.failed and attempt.snapshot_date == self.night else None

    @cached_property
    def state(self) -> str:
        """published, held, failed, late (no result by the deadline), pending (not due yet), or as `schedule`.

        A night that is held after it was published counts as held. Failures of a paused or disabled district
        do not count.
        """
        tonight = self.tonight
        if tonight is not None and tonight.state == "published":
            return "published"
        if self._not_due is not None:
            return self._not_due
        if tonight is not None:
            return tonight.state
        due = self.due_since <= _moment(self.night, NIGHT_BEGINS, self.timezone)
        return "late" if due and self.deadline <= self.looked_at else "pending"

    @property
    def schedule(self) -> str:
        """How the schedule treats the district."""
        until = f" until {self.pause.paused_to}" if self._not_due == "paused" and self.pause else ""
        return (self._not_due or "active") + until

    @property
    def _not_due(self) -> str | None:
        """Why no snapshot of the night is expected: disabled, awaiting secret or paused."""
        if not self.active:
            return "disabled"
        if self.secret_set_at is None:
            return AWAITING_SECRET
        return "paused" if self.pause is not None and self.pause.covers(self.night) else None

    @property
    def pause_to_come(self) -> Pause | None:
        """Its current or coming pause."""
        return self.pause if self.pause is not None and self.pause.paused_to >= self.night else None

    @property
    def open_attempt(self) -> Snapshot | None:
        """The last attempt of any night, if it failed or is held and nothing was published since."""
        return self.attempt if self.attempt is not None and self.attempt.advice else None

    @property
    def in_trouble(self) -> bool:
        """Whether it needs attention."""
        return self.state in TROUBLE

    @property
    def deadline(self) -> datetime:
        """When the snapshot is due."""
        return deadline_of(self.night, self.timezone)

    @property
    def reason(self) -> str | None:
        """Why it is in this state."""
        tonight, later, reason = self.tonight, self._failed_later, None
        if self.state == "late":
            reason = f"no snapshot by {DEADLINE:%H:%M}: the run has not started or is still in progress"
        elif self.state == AWAITING_SECRET:
            reason = fill_in(SecretAwaitedError.next_step, self.district_id)
        elif self.state == "paused" and self.pause is not None:
            reason = self.schedule + (f": {self.pause.reason}" if self.pause.reason else "")
        elif self.state == "published" and later is not None:
            reason = f"published; a later run failed: {later.reason}; to do: {later.to_do}"
        elif self.in_trouble and tonight is not None:
            reason = tonight.reason
        if self.apart:
            return f"night {self.night}" + (f": {reason}" if reason else "")
        return reason

    @property
    def kind(self) -> str | None:
        """The kind of its failure, or the gate's limits that held it."""
        return self.tonight.kind if self.tonight is not None and self.in_trouble else None

    @property
    def advice(self) -> str | None:
        """What to do, in this district or a similar one. `ID` stands for the district, `RUN` for the run."""
        if not self.in_trouble:
            return None
        if self.later_night is not None:
            return f"nothing: the night {self.later_night} has been published since"
        return self.tonight.advice if self.tonight is not None else WHEN_LATE

    @property
    def next_step(self) -> str | None:
        """What to do."""
        run_id = None if self.tonight is None else self.tonight.run_id
        return self.advice and fill_in(self.advice, self.district_id, run_id)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of the snapshot."""
        if self.tonight is None:
            return ()
        return (*([self.released] if self.released and self.tonight.published else []), *self.tonight.notes)

    @property
    def remarks(self) -> str:
        """Remarks about a district that needs no attention."""
        untold = self.confirmation_problem and (
            f"the contact was not told that setup is complete: {self.confirmation_problem}; to do: "
            f"samegoal-pipelines districts confirm {self.district_id}"
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
    def registered_on(self) -> date:
        """The district's date when it was registered."""
        return self.registered_at.astimezone(ZoneInfo(self.timezone)).date()

    @property
    def last_published(self) -> date | None:
        """The night that SameGoal reads. None if never published."""
        return None if self.current is None else self.current.snapshot_date

    @property
    def counts(self) -> dict[str, int | None]:
        """`COUNTS`: the students that SameGoal reads, and the night's changes, held ones included."""
        counted = self.tonight if self.state in ("published", "held") else None
        whose = [self.current] * 2 + [counted] * 4
        return {name: getattr(one, name, None) for name, one in zip(COUNTS, whose, strict=True)}

    @property
    def days_to_expiry(self) -> int | None:
        """Days until the Integration Access expires. None if unknown."""
        return None if self.expires is None else (self.expires - self.night).days

    @property
    def expiry_warning(self) -> int | None:
        """The smallest reached limit of `EXPIRY_WARNINGS`. 0 if expired."""
        return expiry_warning(self.days_to_expiry)

    @property
    def expiry(self) -> str:
        """When the Integration Access expires."""
        days, when = self.days_to_expiry, expiry_words(self.expires, self.expiration)
        if days is None:
            return f"expires: {when}"
        record = fill_in(RECORD, self.district_id)
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
        tonight, current = self.tonight, self.current
        return {
            **{name: getattr(self, name) for name in names},
            **self.counts,
            **{name: getattr(current, name, None) for name in ("pre_enrolled", "graduated", "inactive")},
            "landed_run_id": current and current.landed_by,
            **{name: getattr(tonight, name, None) for name in ("run_id", "started_at", "published_at")},
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
        return cls(night, looked_at, tuple(sorted(found, key=_urgency)))

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
    def active(self) -> bool:
        """Whether any of its districts is active."""
        return any(one.active for one in self.districts)

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
            (one.district_id, one.state, one.tonight and one.tonight.run_id, one.reason)
            for one in sorted(self.districts, key=lambda one: one.district_id)
        ]
        return sha256(repr(facts).encode()).hexdigest()[:16]

    @property
    def expiring(self) -> tuple[DistrictNight, ...]:
        """The active districts whose Integration Access expires soon or has expired, soonest first."""
        soon = [one for one in self.districts if one.expiry_warning is not None and one.state != "disabled"]
        return tuple(sorted(soon, key=lambda one: (one.days_to_expiry or 0, one.district_id)))


def in_words(totals: Mapping[str, int]) -> str:
    """`2 failed, 1 held, 1 late`."""
    return ", ".join(f"{totals[s]:,} {s}" for s in ("failed", "held", "late") if totals.get(s))


def _urgency(one: DistrictNight) -> tuple[int, int, str]:
    rank = TROUBLE.index(one.state) if one.in_trouble else len(TROUBLE) + STATES.index(one.state)
    return rank, -one.nights_in_trouble, one.district_id


def deadline_of(night: date, timezone: str) -> datetime:
    """When the snapshots of this night are due in this time zone, in UTC."""
    return _moment(night, DEADLINE, timezone)


@cache
def _moment(night: date, local: time, timezone: str) -> datetime:
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


def read_board(
    engine: sa.Engine, night: date, now: datetime, district_ids: Collection[str] | None = None
) -> Board:
    """The result of this night in all districts, or in these.

    A district that was registered after the night and has no attempt of it is excluded.
    """
    return Board.in_order(night, now, _read(engine, night, now, district_ids))


def read_judged(engine: sa.Engine, now: datetime) -> list[DistrictNight]:
    """Every district on the newest night whose deadline has passed there, in no order."""
    return _read(engine, partial(night_since, DEADLINE, now=now), now)


def read_newest(engine: sa.Engine, now: datetime) -> Board:
    """Every district on its newest night that has begun.

    Before 01:00, a district that `sync` already ran or that was just registered shows the coming night.
    A district whose night before needs attention shows that one until the new night has a result or is due.
    The board's night is the one of most districts.
    """
    begun = {one.district_id: one for one in _read(engine, partial(night_since, NIGHT_BEGINS, now=now), now)}
    trouble = {one.district_id: one for one in read_judged(engine, now) if one.in_trouble}
    found = []
    for one in _read(engine, partial(night_since, time(0), now=now), now):
        shown = one if one.tonight else begun.get(one.district_id, one)
        found.append(trouble.get(one.district_id, shown) if shown.state == "pending" else shown)
    nights = Counter(one.night for one in found if one.state != "disabled")
    night = max(nights, key=lambda night: (nights[night], night), default=now.date())
    return Board.in_order(night, now, [replace(one, apart=one.night != night) for one in found])


def read_districts(
    engine: sa.Engine, now: datetime, district_ids: Collection[str] | None = None
) -> dict[str, DistrictNight]:
    """Every district, or these, on its own date, with its last attempt of any night."""
    today = partial(night_since, time(0), now=now)
    return {one.district_id: one for one in _read(engine, today, now, district_ids, newest=True)}


def _read(
    engine: sa.Engine,
    nights: date | Callable[[str], date],
    now: datetime,
    district_ids: Collection[str] | None = None,
    *,
    newest: bool = False,
) -> list[DistrictNight]:
    """The one query: each district on its night, in no order.

    Args:
        nights: one night for all, or time zone → night.
        newest: look at attempts of any night, and at every district.
    """
    with as_operator(engine, "looking up the night of all districts") as connection:
        night: sa.ColumnElement[Any] = sa.literal(nights) if isinstance(nights, date) else sa.null()
        if not isinstance(nights, date):
            zones = connection.scalars(sa.select(districts.c.timezone).distinct())
            if by_zone := {zone: nights(zone) for zone in zones}:
                night = sa.case(by_zone, value=districts.c.timezone)
        rows = connection.execute(_query(night, district_ids, newest=newest)).mappings()
        found = [_district_night(row, now) for row in rows]
    return [one for one in found if newest or one.tonight or one.registered_on <= one.night]


_OWN = (
    *("district_id", "name", "timezone", "active", "registered_at", "secret_set_at", "expires", "expiration"),
    *("confirmation_problem", "gate_limits"),
)
"""What a night shows of the registry."""


def _query(
    night: sa.ColumnElement[Any], district_ids: Collection[str] | None, *, newest: bool
) -> sa.Select[Any]:
    here = districts.c.district_id
    night = sa.cast(night, sa.Date)

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
            *(districts.c[name] for name in _OWN),
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
        .where(sa.true() if district_ids is None else here.in_(district_ids))
    )


def _district_night(row: sa.RowMapping, now: datetime) -> DistrictNight:
    pause = {column.name: row[f"pause_{column.name}"] for column in pauses.c}
    return DistrictNight(
        **{name: row[name] for name in (*_OWN, "due_since", "night")},
        looked_at=now,
        pause=Pause(**pause) if pause["district_id"] is not None else None,
        current=labeled_snapshot(row, "current_"),
        attempt=labeled_snapshot(row, "attempt_"),
        released=row["released"],
        later_night=row["later_night"],
    )

"""What became of a night in every district, as plain data.

`read_board` is about one night, `read_newest` about the newest night of each district: a night begins in
Guam while people in Chicago still discuss the one before, so no single night is the newest of all. Every
form of the report is rendered from these classes (`page`, `messages`, the terminal). `now` is an argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from samegoal_pipelines.districts.expiry import expiry_warning
from samegoal_pipelines.errors import SYNC, Kind, fill_in
from samegoal_pipelines.tables.warehouse import districts, pauses, releases, snapshots
from samegoal_pipelines.warehouse.engine import as_operator

NIGHT_BEGINS = time(1, 0)
"""From this local time on, a district's night is that of its date; before, Qmlativ's day may not be over."""
DEADLINE = time(6, 0)
"""By this local time, every active district's snapshot of the night must be there."""

TROUBLE = ("failed", "late", "held")
"""The states that somebody must do something about, the most urgent first."""
STATES = ("published", "held", "failed", "late", "pending", "paused", "disabled")

OPEN_THE_RUN = "open the run RUN in the Dagster UI"
WHEN_LATE = (
    "check in the Dagster UI that the daemon is running, nightly_by_district is on and runs are not stuck "
    "in the "
    f"queue; or: {SYNC}"
)


def when_held(night: date) -> str:
    """What to do about a night that the gate holds."""
    return (
        "look at the numbers in the Dagster UI, and at the students with: samegoal-pipelines changes ID "
        "--students; correct Qmlativ and run the night again, or, if the change is meant, publish what is "
        "held: "
        f"{SYNC} --release --today {night} --why REASON"
    )


def advice_about(state: str, night: date, stored: str | None) -> str | None:
    """What to do about a night in this state; `ID` stands for the district, `RUN` for the run.

    Args:
        stored: the next step that was recorded with a failure.
    """
    advice = {"late": WHEN_LATE, "held": when_held(night), "failed": stored or OPEN_THE_RUN}
    return advice.get(state)


_COUNTED = ("students", "enrolled", "pre_enrolled", "graduated", "inactive")
_CHANGES = ("added", "changed", "removed", "carried_over")


@dataclass(frozen=True)
class DistrictNight:
    """What became of one night in one district."""

    district_id: str
    name: str
    night: date
    state: str
    """published, held, failed; late: nothing has come of the night by the deadline; pending: it is not due
    yet; paused; disabled."""
    timezone: str
    deadline: datetime
    """When the snapshot was, or is, to be there."""
    last_published: date | None
    """The night that SameGoal reads; None: never published."""
    landed_run_id: str | None
    """The run that landed the rows from which it was made."""
    students: int | None
    """Students that SameGoal reads, of these by status."""
    enrolled: int | None
    pre_enrolled: int | None
    graduated: int | None
    inactive: int | None
    added: int | None
    """What the night changed, or would change if what is held were published; None: nothing was counted."""
    changed: int | None
    removed: int | None
    carried_over: int | None
    reason: str | None
    kind: Kind | None
    """What kind of trouble a failure is."""
    advice: str | None
    """What to do, with `ID` for the district and `RUN` for the run."""
    nights_in_trouble: int
    """Nights up to this one without a snapshot, pauses apart; 0: there is no trouble."""
    notes: tuple[str, ...]
    run_id: str | None
    started_at: datetime | None
    published_at: datetime | None
    expires: date | None
    days_to_expiry: int | None
    expiry_warning: int | None
    """The tightest limit of `EXPIRY_WARNINGS` that is passed; 0: expired."""

    @property
    def in_trouble(self) -> bool:
        """Whether somebody must do something."""
        return self.state in TROUBLE

    @property
    def next_step(self) -> str | None:
        """What to do."""
        return self.advice and fill_in(self.advice, self.district_id, self.run_id)

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        facts = asdict(self)
        del facts["advice"]
        return facts | {"next_step": self.next_step}


@dataclass(frozen=True)
class Board:
    """One night in all districts: trouble first, the most urgent and oldest at the top."""

    night: date
    looked_at: datetime
    districts: tuple[DistrictNight, ...]

    @classmethod
    def in_order(cls, night: date, looked_at: datetime, found: Iterable[DistrictNight]) -> Board:
        """The board of these districts, in whatever order they come."""
        return cls(night, looked_at, tuple(sorted(found, key=_urgency)))

    @property
    def totals(self) -> dict[str, int]:
        """How many districts are in which state; every state is there."""
        found = Counter(one.state for one in self.districts)
        return {state: found[state] for state in STATES}

    @property
    def trouble(self) -> tuple[DistrictNight, ...]:
        """The districts that somebody must do something about."""
        return tuple(one for one in self.districts if one.in_trouble)

    @property
    def rest(self) -> tuple[DistrictNight, ...]:
        """All others."""
        return tuple(one for one in self.districts if not one.in_trouble)

    @property
    def due(self) -> int:
        """How many districts are to have a snapshot of this night."""
        return sum(one.state not in ("paused", "disabled") for one in self.districts)

    @property
    def over(self) -> bool:
        """Whether the night is over: something was attempted or missed, and nothing is waited for any more.

        A failure is waited for until the deadline: a run that is tried again may still bring the snapshot.
        """
        due = [one for one in self.districts if one.state not in ("paused", "disabled")]
        return any(one.state != "pending" for one in due) and all(
            one.state in ("published", "held") or one.deadline <= self.looked_at for one in due
        )

    @property
    def fingerprint(self) -> str:
        """What the night came to in each district, as a short text that differs when any of it does."""
        facts = [(one.district_id, one.state, one.run_id, one.reason) for one in self.districts]
        return sha256(repr(sorted(facts, key=lambda one: one[0])).encode()).hexdigest()[:16]

    @property
    def expiring(self) -> tuple[DistrictNight, ...]:
        """The active districts whose Integration Access expires soon or has expired, the soonest first."""
        soon = [d for d in self.districts if d.expiry_warning is not None and d.state != "disabled"]
        return tuple(sorted(soon, key=lambda one: (one.days_to_expiry or 0, one.district_id)))

    def of(self, district_ids: Collection[str]) -> Board:
        """The same night, in these districts only."""
        return Board(
            self.night, self.looked_at, tuple(d for d in self.districts if d.district_id in district_ids)
        )


def deadline_of(night: date, timezone: str) -> datetime:
    """When the snapshots of this night are to be there, in this time zone; in UTC."""
    return _moment(night, DEADLINE, timezone)


@cache
def _moment(night: date, local: time, timezone: str) -> datetime:
    return datetime.combine(night, local, ZoneInfo(timezone)).astimezone(UTC)


def night_now(timezones: Iterable[str], now: datetime) -> date:
    """The newest night that has begun somewhere."""
    return max((_night_since(NIGHT_BEGINS, zone, now) for zone in timezones), default=now.date())


def night_judged(timezone: str, now: datetime) -> date:
    """The newest night whose deadline has passed in this time zone."""
    return _night_since(DEADLINE, timezone, now)


def _night_since(begins: time, timezone: str, now: datetime) -> date:
    local = now.astimezone(ZoneInfo(timezone))
    return local.date() - timedelta(days=local.time() < begins)


def active_timezones(engine: sa.Engine) -> set[str]:
    """The time zones of the active districts."""
    with as_operator(engine, "looking up the time zones") as connection:
        return set(connection.scalars(sa.select(districts.c.timezone).where(districts.c.active).distinct()))


def read_board(
    engine: sa.Engine, night: date, now: datetime, district_ids: Collection[str] | None = None
) -> Board:
    """What became of this night, in all districts or in these.

    A district that was registered after the night, and has no attempt of it, is left out.

    Args:
        now: an aware instant; what is late depends on it.
    """
    attempts: dict[str, list[sa.RowMapping]] = {}
    with as_operator(engine, "looking up the night of all districts") as connection:
        registered = connection.execute(_registered(night, district_ids)).mappings().all()
        for row in connection.execute(_attempts_of(night, district_ids)).mappings():
            attempts.setdefault(row["district_id"], []).append(row)
    found = [
        _district_night(row, attempts.get(row["district_id"], []), night, now)
        for row in registered
        if row["district_id"] in attempts
        or row["registered_at"].astimezone(ZoneInfo(row["timezone"])).date() <= night
    ]
    return Board.in_order(night, now, found)


def _urgency(one: DistrictNight) -> tuple[int, int, str]:
    rank = TROUBLE.index(one.state) if one.in_trouble else len(TROUBLE) + STATES.index(one.state)
    return rank, -one.nights_in_trouble, one.district_id


def _attempts_of(night: date, district_ids: Collection[str] | None) -> sa.Select[Any]:
    """What was attempted that night, in order, without what a rerun or a release has replaced.

    An attempt that published what was held says who released it and why it was held.
    """
    held = snapshots.alias("held")
    return (
        sa.select(
            snapshots,
            releases.c.released_by,
            releases.c.reason.label("released_because"),
            held.c.held_reason.label("was_held_because"),
        )
        .outerjoin(releases, releases.c.published_snapshot_id == snapshots.c.snapshot_id)
        .outerjoin(held, held.c.snapshot_id == releases.c.held_snapshot_id)
        .where(snapshots.c.snapshot_date == night, snapshots.c.state != "superseded")
        .where(_in(snapshots.c.district_id, district_ids))
        .order_by(snapshots.c.snapshot_id)
    )


def _registered(night: date, district_ids: Collection[str] | None) -> sa.Select[Any]:
    """Every district with its pause, the snapshot that was current after that night, and what came since."""
    of_district = (snapshots.c.district_id == districts.c.district_id, snapshots.c.state == "published")
    later = sa.select(sa.func.max(snapshots.c.snapshot_date)).where(
        *of_district, snapshots.c.snapshot_date > night
    )
    landed_run_id = sa.func.coalesce(snapshots.c.landed_run_id, snapshots.c.run_id).label("landed_run_id")
    last = (
        sa.select(snapshots.c.snapshot_date, landed_run_id, *(snapshots.c[name] for name in _COUNTED))
        .where(*of_district, snapshots.c.snapshot_date <= night)
        .order_by(snapshots.c.snapshot_date.desc())
        .limit(1)
        .lateral("last")
    )
    return (
        sa.select(
            districts.c.district_id,
            districts.c.name,
            districts.c.timezone,
            districts.c.active,
            districts.c.expires,
            districts.c.registered_at,
            sa.func.greatest(districts.c.registered_at, districts.c.due_since).label("due_since"),
            pauses.c.paused_from,
            pauses.c.paused_to,
            pauses.c.reason.label("pause_reason"),
            later.scalar_subquery().label("later_night"),
            last,
        )
        .outerjoin(pauses, pauses.c.district_id == districts.c.district_id)
        .outerjoin(last, sa.true())
        .where(_in(districts.c.district_id, district_ids))
    )


def _in(column: sa.Column[str], district_ids: Collection[str] | None) -> sa.ColumnElement[bool]:
    return sa.true() if district_ids is None else column.in_(district_ids)


def _district_night(
    row: sa.RowMapping, attempts: list[sa.RowMapping], night: date, now: datetime
) -> DistrictNight:
    district_id, timezone = row["district_id"], row["timezone"]
    deadline = deadline_of(night, timezone)
    # A district that came, or came back, in the night is not late: the next night is the first that is due.
    overdue = row["due_since"] <= _moment(night, NIGHT_BEGINS, timezone) and deadline <= now
    state, decisive = _state(row, attempts, night, overdue=overdue)
    counted = decisive if decisive is not None and decisive["state"] in ("published", "held") else None
    days_left = None if row["expires"] is None else (row["expires"] - night).days
    return DistrictNight(
        district_id=district_id,
        name=row["name"],
        night=night,
        state=state,
        timezone=timezone,
        deadline=deadline,
        last_published=row["snapshot_date"],
        landed_run_id=row["landed_run_id"],
        **{name: row[name] for name in _COUNTED},
        **{name: counted[name] if counted is not None else None for name in _CHANGES},
        reason=_reason(state, row, attempts, decisive),
        kind=decisive["failure_kind"] if state == "failed" and decisive is not None else None,
        advice=_advice(state, row, night, decisive),
        nights_in_trouble=_nights_without(row, night) if state in TROUBLE else 0,
        notes=_notes(decisive) if decisive is not None else (),
        run_id=decisive["run_id"] if decisive is not None else None,
        started_at=decisive["started_at"] if decisive is not None else None,
        published_at=decisive["published_at"] if decisive is not None else None,
        expires=row["expires"],
        days_to_expiry=days_left,
        expiry_warning=expiry_warning(days_left),
    )


def _state(
    row: sa.RowMapping, attempts: list[sa.RowMapping], night: date, *, overdue: bool
) -> tuple[str, sa.RowMapping | None]:
    """The district's state, and the attempt that it rests on.

    A night that is published stays so, though a later run of it may have failed; one that is held after it
    was published waits for a person. Whoever has paused or disabled a district has dealt with its failures.
    """
    last = attempts[-1] if attempts else None
    published = next((one for one in reversed(attempts) if one["state"] == "published"), None)
    if last is not None and last["state"] == "failed" and published is not None:
        last = published
    if last is not None and last["state"] == "published":
        return "published", last
    if not row["active"]:
        return "disabled", last
    if row["paused_from"] is not None and row["paused_from"] <= night <= row["paused_to"]:
        return "paused", last
    if last is not None:
        return last["state"], last
    return ("late" if overdue else "pending"), None


def _reason(
    state: str, row: sa.RowMapping, attempts: list[sa.RowMapping], decisive: sa.RowMapping | None
) -> str | None:
    if state == "late":
        return f"no snapshot by {DEADLINE:%H:%M}: the run has not started or is still going"
    if state == "paused":
        return f"paused until {row['paused_to']}" + (
            f": {row['pause_reason']}" if row["pause_reason"] else ""
        )
    if state == "published" and decisive is not None and attempts[-1]["state"] == "failed":
        failed = attempts[-1]
        to_do = fill_in(failed["next_step"] or OPEN_THE_RUN, row["district_id"], failed["run_id"])
        return f"published; a later run failed: {failed['held_reason']}; to do: {to_do}"
    if state in ("failed", "held") and decisive is not None:
        reason: str | None = decisive["held_reason"]
        return reason
    return None


def _notes(attempt: sa.RowMapping) -> tuple[str, ...]:
    if attempt["released_by"] is None:
        return tuple(attempt["notes"])
    released = f"released by {attempt['released_by']}: {attempt['released_because']}"
    return (f"{released} (held because: {attempt['was_held_because']})", *attempt["notes"])


def _advice(state: str, row: sa.RowMapping, night: date, decisive: sa.RowMapping | None) -> str | None:
    later = row["later_night"]
    if later is not None and state in TROUBLE:
        return f"nothing: the night {later} has been published since"
    return advice_about(state, night, decisive["next_step"] if decisive is not None else None)


def _nights_without(row: sa.RowMapping, night: date) -> int:
    """Nights since the last one that was published, or since the registration; at least 1."""
    registered = row["registered_at"].astimezone(ZoneInfo(row["timezone"])).date()
    before: date = row["snapshot_date"] or registered - timedelta(days=1)
    paused = 0
    if row["paused_from"] is not None:
        first, last = max(row["paused_from"], before + timedelta(days=1)), min(row["paused_to"], night)
        paused = max(0, (last - first).days + 1)
    return max(1, (night - before).days - paused)


def read_newest(engine: sa.Engine, now: datetime) -> Board:
    """Every district on the newest night that has begun there.

    As long as that one is not due, a district whose night before is in trouble shows that: a new night makes
    no trouble go away until something has come of it. The board's night is the one of most districts; what is
    said of a district on another one begins with its night.

    Args:
        now: an aware instant.
    """
    with as_operator(engine, "looking up the time zones") as connection:
        zones = set(connection.scalars(sa.select(districts.c.timezone).distinct()))
    begun = {zone: night_now([zone], now) for zone in zones}
    judged = {zone: night_judged(zone, now) for zone in zones}
    boards = {
        night: {one.district_id: one for one in read_board(engine, night, now).districts}
        for night in {*begun.values(), *judged.values()}
    }
    found = [
        _telling(one, boards[judged[one.timezone]].get(one.district_id))
        for night, board in boards.items()
        for one in board.values()
        if begun[one.timezone] == night
    ]
    counted = Counter(one.night for one in found if one.state != "disabled")
    night = max(counted, key=lambda night: (counted[night], night), default=night_now(zones, now))
    return Board.in_order(night, now, [one if one.night == night else _named(one) for one in found])


def _telling(newest: DistrictNight, before: DistrictNight | None) -> DistrictNight:
    """The one of both nights, which may be the same, that somebody must know of."""
    return before if before is not None and before.in_trouble and newest.state == "pending" else newest


def _named(one: DistrictNight) -> DistrictNight:
    return replace(one, reason=f"night {one.night}" + (f": {one.reason}" if one.reason else ""))

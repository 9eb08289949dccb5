"""Forecast the next days if nobody edits Qmlativ: status changes, and nights that the gate will hold.

The forecast uses the landed rows of each district's published night.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa

from samegoal_pipelines.errors import SYNC, PipelineError
from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.vocabulary import ACTIVE
from samegoal_pipelines.transforms.gate import Measured, judge
from samegoal_pipelines.transforms.status import UNCERTAIN_STATUS, Flip, forecast_statuses
from samegoal_pipelines.warehouse.changes import valid_on
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.snapshots import Snapshot

DAYS = 14


@dataclass(frozen=True)
class HoldAhead:
    """A district's first coming night that will be held. All later nights are held, too, until a person acts.

    Attributes:
        students: of the `of` students published as ENROLLED or PRE-ENROLLED by then, those who become
            INACTIVE or leave the import window because time passes.
        limit: the night is held above this percentage.
    """

    district_id: str
    name: str
    night: date
    students: int
    of: int
    limit: float
    reason: str
    next_step: str


@dataclass(frozen=True)
class FlipCount:
    """The number of students who change from one status to another on a day. None: not in the snapshot."""

    day: date
    old_status: str | None
    new_status: str | None
    students: int

    @property
    def change(self) -> str:
        """The old and the new status."""
        return f"{self.old_status or 'not in the snapshot'} → {self.new_status or 'not in the snapshot'}"


@dataclass(frozen=True)
class Ahead:
    """The forecast of the `days` days after a night, in all districts with landed rows."""

    days: int
    holds: tuple[HoldAhead, ...]
    """The soonest first, without districts that are held already."""
    flips: tuple[FlipCount, ...]
    districts: int
    excluded: tuple[str, ...]
    """Districts whose landed rows are gone or cannot be read."""

    @property
    def looked_at(self) -> str:
        """The number of districts in the forecast, and the districts that are excluded."""
        if not (self.districts or self.excluded):
            return "No district is published yet"
        gone = f"; not at {some(self.excluded, 20)}: their landed rows are gone or cannot be read"
        return f"Looked at {counted(self.districts, 'district')}" + (gone if self.excluded else "")


def look_ahead(engine: sa.Engine, landing: Landing, board: Board) -> Ahead:
    """Forecast the `DAYS` days after the board's night, for every published district that is not disabled."""
    counts: Counter[tuple[date, str | None, str | None]] = Counter()
    holds: list[HoldAhead] = []
    looked_at, excluded = 0, []
    unreachable = False  # then it is down for all of them, and waiting for each would take hours
    for one in sorted(board.districts, key=lambda one: one.id):
        if one.current is None or one.state == "disabled":
            continue
        last = one.night + timedelta(days=DAYS)
        try:
            if unreachable:
                raise LandingError("the landing cannot be reached", transient=True)
            # From the published night on: what has flipped since then is for the next night.
            flips, limits = _flips(landing, one.current, last), one.limits
        except (LandingError, OSError, KeyError, ValueError) as error:
            unreachable = isinstance(error, LandingError) and error.transient
            excluded.append(one.id)
            continue
        looked_at += 1
        counts.update(flip[1:] for flip in flips if flip.day > board.night)
        if any(flip.new_status in (None, "INACTIVE") for flip in flips):  # else nobody is dropped
            # A night that failed or is late brings nothing more unless somebody acts.
            first = one.night + timedelta(days=one.state not in ("pending", "held"))
            hold = first_hold(one, limits, _published(engine, one.current, flips), flips, first, last)
            if hold is not None and (one.state, one.night) != ("held", hold.night):  # that one is listed
                holds.append(hold)
    holds.sort(key=lambda hold: (hold.night, hold.district_id))
    return Ahead(DAYS, tuple(holds), _in_order(counts), looked_at, tuple(excluded))


@dataclass(frozen=True)
class Forecast:
    """One district's forecast of the `days` days after its date, or after the published night if later."""

    district_id: str
    night: date
    """The published night whose rows are used."""
    until: date
    days: int
    flips: tuple[FlipCount, ...]
    overdue: int
    """Changes up to today, which the next snapshot will publish."""
    held_from: HoldAhead | None
    students: tuple[dict[str, Any], ...]
    """The changes one by one: a `Flip` with the student number."""


def forecast_district(engine: sa.Engine, landing: Landing, one: DistrictNight, days: int) -> Forecast:
    """Forecast one district, from `read_district`."""
    if one.current is None:
        raise PipelineError("no night is published yet", district_id=one.id, next_step=f"next: {SYNC}")
    night = one.current.snapshot_date
    today = max(night, one.night)
    until = today + timedelta(days=days)
    try:
        flips = _flips(landing, one.current, until)
    except LandingError:
        detail = f"the landed rows of {night} are gone or damaged"
        raise PipelineError(detail, district_id=one.id, next_step=f"land new ones: {SYNC}") from None
    published = _published(engine, one.current, flips)
    first = max(today, night + timedelta(days=1))
    to_come = [flip for flip in flips if flip.day > today]
    numbers = {student: row["student_number"] for student, row in published.items()}
    return Forecast(
        district_id=one.id,
        night=night,
        until=until,
        days=days,
        flips=_in_order(Counter(flip[1:] for flip in to_come)),
        overdue=len(flips) - len(to_come),
        held_from=first_hold(one, one.limits, published, flips, first, until),
        students=tuple(flip._asdict() | {"student_number": numbers.get(flip.student_id)} for flip in to_come),
    )


def _in_order(counts: Counter[tuple[date, str | None, str | None]]) -> tuple[FlipCount, ...]:
    """The number of students by day, old and new status."""
    changes = sorted(counts, key=lambda change: [*map(str, change)])
    return tuple(FlipCount(*change, counts[change]) for change in changes)


def _flips(landing: Landing, published: Snapshot, until: date) -> list[Flip]:
    """`forecast_statuses` of a published snapshot's landed rows."""
    district_id, night = published.district_id, published.snapshot_date
    raw = landing.read("raw_enrollments", district_id=district_id, night=night, run_id=published.landed_by)
    return forecast_statuses(raw, night, (until - night).days)


def _published(engine: sa.Engine, current: Snapshot, flips: Iterable[Flip]) -> dict[int, sa.RowMapping]:
    """Number and status of these students, as published."""
    c = STATUS.table.c
    students = sorted({flip.student_id for flip in flips})
    query = sa.select(c.student_id, c.student_number, c.status).where(
        c.district_id == current.district_id,
        c.student_id == sa.any_(sa.literal(students, sa.ARRAY(sa.BigInteger))),
        valid_on(current.snapshot_date),
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return {row["student_id"]: row for row in connection.execute(query).mappings()}


def first_hold(
    one: DistrictNight,
    limits: Limits,
    published: Mapping[int, Mapping[Any, Any]],
    flips: Sequence[Flip],
    first: date,
    last: date,
) -> HoldAhead | None:
    """The first night from `first` to `last` that the gate will hold if only time passes.

    `published` has the `status` of the students whom the flips concern. Flips between two nights, such as
    during a pause, count for the later one.
    """
    statuses: dict[int, str | None] = {student: row["status"] for student, row in published.items()}
    students, active = (one.current.students or 0, one.current.active) if one.current else (0, 0)
    oldest = {flip.student_id: flip.old_status for flip in reversed(flips)}
    # Without a published status, but with one by the rows, a student has no record in Qmlativ.
    known = {s for s, old in oldest.items() if s in statuses or old in (None, UNCERTAIN_STATUS)}

    def published_on(flip: Flip) -> date:
        night = max(flip.day, first)
        return one.pause.paused_to + timedelta(days=1) if one.pause and one.pause.covers(night) else night

    for night, at_once in groupby((flip for flip in flips if flip.student_id in known), published_on):
        if night > last:
            break
        numbers = {"published_students": students, "published_active": active}
        dropped: dict[int, bool] = {}
        for student, new in {flip.student_id: flip.new_status for flip in at_once}.items():
            if new == UNCERTAIN_STATUS:  # carried over as last published
                continue
            old = statuses.get(student)
            statuses[student] = new
            students += (new is not None) - (old is not None)
            active += (new in ACTIVE) - (old in ACTIVE)
            if old in ACTIVE and new not in ACTIVE:
                dropped[student] = new == "GRADUATED"
        numbers["students"] = students
        measured = Measured(numbers, np.array([*dropped], np.int64), np.array([*dropped.values()], bool))
        verdict = judge(limits, measured, staying=np.array([], np.int64))
        if verdict.reasons:
            done = f"; if the district is done: samegoal-pipelines districts disable {one.id}"
            return HoldAhead(
                district_id=one.id,
                name=one.name,
                night=night,
                students=verdict.numbers["expired_by_time"],
                of=verdict.numbers["published_active"],
                limit=limits["expired"],
                reason="; ".join(verdict.reasons),
                next_step="have next year's enrollments entered in Qmlativ before; if the students really "
                f"leave, publish it that day: samegoal-pipelines sync {one.id} --release --why REASON"
                + ("" if students else done),
            )
    return None

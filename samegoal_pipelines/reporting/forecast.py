"""What the next days bring if nobody edits Qmlativ: status changes, and nights that the gate will hold.

Everything comes from the rows landed for each district's published night. A district whose files are gone is
named and excluded. Students are counted, never listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import Pause
from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS, count_flips, forecast_statuses
from samegoal_pipelines.transforms.gate import Measured, Verdict, judge_passing_time, part_of
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.snapshots import Snapshot

_ACTIVE = ("ENROLLED", "PRE-ENROLLED")
_DROPPED = (None, "INACTIVE", "GRADUATED")

Statuses = dict[int, str | None]
"""Student → status; None: no row."""


@dataclass(frozen=True)
class HoldAhead:
    """The first night to come that will be held, and every one after it until somebody acts.

    Attributes:
        students: of the `of` students published as ENROLLED or PRE-ENROLLED by then, those whom time makes
            INACTIVE or takes out of the import window.
        limit: the percentage of them above which it is held.
    """

    night: date
    students: int
    of: int
    limit: float
    reason: str
    next_step: str


@dataclass(frozen=True)
class LastPublished:
    """What is published before the first night to come: how many students, of these ENROLLED or PRE-ENROLLED,
    and the statuses of those whom the flips concern.
    """

    students: int
    active: int
    statuses: Mapping[int, str]

    @classmethod
    def of(cls, engine: sa.Engine, published: Snapshot, flips: pd.DataFrame) -> LastPublished:
        """What a published snapshot says of the students whom these flips concern."""
        statuses = published_statuses(engine, published.district_id, flips, published.snapshot_date)
        return cls(published.students or 0, published.active, statuses)


def first_hold(
    district_id: str, flips: pd.DataFrame, last: LastPublished, limits: Limits, nights: Iterable[date]
) -> HoldAhead | None:
    """The first of these nights that the gate will hold, if nothing but time passes.

    Args:
        flips: as `forecast_statuses` gives them, from the last published night on.
        nights: the nights that will be run, in order. What flips between two of them is for the later one.
    """
    by_day = _by_day(flips, last.statuses)
    days = sorted(by_day, reverse=True)
    statuses: Statuses = dict(last.statuses)
    others, others_active = last.students - len(statuses), last.active - _count_active(statuses)
    for night in nights:
        changed: Statuses = {}
        while days and days[-1] <= night:
            changed |= by_day[days.pop()]
        # Who is uncertain is carried over: what was last published stays.
        changed = {student: status for student, status in changed.items() if status != UNCERTAIN_STATUS}
        tonight = statuses | changed
        measured = _measured(
            students=others + _count(tonight),
            published=others + _count(statuses),
            active=others_active + _count_active(statuses),
            dropped={
                one: new for one, new in changed.items() if statuses.get(one) in _ACTIVE and new in _DROPPED
            },
        )
        verdict = judge_passing_time(limits, measured)
        if verdict.reasons:
            return _hold(district_id, night, limits, verdict)
        statuses = tonight
    return None


def nights_to_come(first: date, last: date, pause: Pause | None) -> Iterator[date]:
    """The nights that will be run by themselves, from the first to the last."""
    for step in range((last - first).days + 1):
        night = first + timedelta(days=step)
        if pause is None or not pause.covers(night):
            yield night


def can_hold(flips: pd.DataFrame) -> bool:
    """Whether these flips make anybody INACTIVE or take a row away: without that, they hold no night."""
    return bool((flips["new_status"].isna() | flips["new_status"].eq("INACTIVE")).any())


def published_statuses(
    engine: sa.Engine, district_id: str, flips: pd.DataFrame, night: date
) -> dict[int, str]:
    """The statuses that were published as of a night, of the students whom the flips concern."""
    rows = STATUS.table.c
    students = flips["student_id"].unique().tolist()
    query = sa.select(rows.student_id, rows.status).where(
        rows.district_id == district_id,
        rows.student_id == sa.any_(sa.literal(students, sa.ARRAY(sa.BigInteger))),
        rows.valid_from <= night,
        rows.valid_to.is_(None) | (rows.valid_to > night),
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return {student: status for student, status in connection.execute(query)}


def _by_day(flips: pd.DataFrame, published: Mapping[int, str]) -> dict[date, Statuses]:
    """The new statuses of each day.

    Who has a status by the rows and none that is published has no record in Qmlativ: none will be published.
    """
    found: dict[date, Statuses] = {}
    counts: dict[int, bool] = {}
    names = ("day", "student_id", "old_status", "new_status")
    columns = [flips[name].astype(object).tolist() for name in names]
    for day, student, old, new in zip(*columns, strict=True):
        has_status = isinstance(old, str) and old != UNCERTAIN_STATUS
        if counts.setdefault(student, student in published or not has_status):
            found.setdefault(day, {})[student] = new if isinstance(new, str) else None
    return found


def _count(statuses: Statuses) -> int:
    return sum(status is not None for status in statuses.values())


def _count_active(statuses: Statuses) -> int:
    return sum(status in _ACTIVE for status in statuses.values())


def _measured(*, students: int, published: int, active: int, dropped: Statuses) -> Measured:
    return Measured(
        students=students,
        carried_over=0,
        published=published,
        published_active=active,
        dropped=np.array(list(dropped), dtype=np.int64),
        graduated=np.array([status == "GRADUATED" for status in dropped.values()], dtype=bool),
        demographics_changed=0,
        demographics_published=0,
        contacts_lost=0,
    )


def _hold(district_id: str, night: date, limits: Limits, verdict: Verdict) -> HoldAhead:
    students, of = int(verdict.numbers["expired_by_time"]), int(verdict.numbers["published_active"])
    if verdict.numbers["students"]:
        reason = (
            part_of(students, of, "ENROLLED and PRE-ENROLLED students", limits["expired"])
            + " become INACTIVE or leave the import window because time passes; "
            + f"the limit is {limits['expired']:g}%"
        )
        next_step = "have next year's enrollments entered in Qmlativ before"
    else:
        reason = "the last student leaves the import window, and nobody would be in the snapshot any more"
        next_step = (
            "have enrollments entered in Qmlativ before, or, if the district is done: "
            f"samegoal-pipelines districts disable {district_id}"
        )
    release = f"samegoal-pipelines sync {district_id} --release --why REASON"
    next_step += f"; if it is right as it is, publish it that day: {release}"
    return HoldAhead(night, students, of, limits["expired"], reason, next_step)


DAYS = 14


@dataclass(frozen=True)
class Flip:
    """How many students go from one status to another on a day; None: not in the snapshot."""

    day: date
    old_status: str | None
    new_status: str | None
    students: int

    @property
    def change(self) -> str:
        """What they go from and to."""
        return f"{self.old_status or 'not in the snapshot'} → {self.new_status or 'not in the snapshot'}"


@dataclass(frozen=True)
class DistrictHold(HoldAhead):
    """The first night to come of a district that will be held."""

    district_id: str
    name: str


@dataclass(frozen=True)
class Ahead:
    """What the `days` days after a night bring, in all districts that could be looked at."""

    days: int
    holds: tuple[DistrictHold, ...]
    """The districts that will be held, the soonest first; who is held already is not among them."""
    flips: tuple[Flip, ...]
    districts: int
    excluded: tuple[str, ...]
    """Districts whose landed rows are gone or cannot be read."""

    @property
    def looked_at(self) -> str:
        """How many districts this is about, and which ones it is not about."""
        if not (self.districts or self.excluded):
            return "No district is published yet"
        found = f"Looked at {counted(self.districts, 'district')}"
        if not self.excluded:
            return found
        return f"{found}; not at {some(self.excluded, 20)}: their landed rows are gone or cannot be read"


def look_ahead(engine: sa.Engine, landing: Landing, board: Board, days: int = DAYS) -> Ahead:
    """The days after the board's night, of every district that is published and not disabled."""
    limits = _gate_limits(engine)
    found: Counter[tuple[date, str | None, str | None]] = Counter()
    holds: list[DistrictHold] = []
    looked_at, excluded = 0, []
    unreachable = False  # then it is for all of them: to wait for each would take hours
    for one in sorted(board.districts, key=lambda one: one.district_id):
        if one.current is None or one.state == "disabled":
            continue
        if unreachable:
            excluded.append(one.district_id)
            continue
        try:
            flips = _flips_of(landing, one, one.current, days)
            of_district = Limits.of(limits.get(one.district_id, {}))
        except (LandingError, OSError, KeyError, ValueError) as error:
            unreachable = isinstance(error, LandingError) and error.transient
            excluded.append(one.district_id)
            continue
        looked_at += 1
        found.update(_counted(flips.loc[flips["day"] > board.night]))
        hold = _hold_of(engine, one, one.current, flips, of_district, days)
        if hold is not None:
            holds.append(hold)
    holds.sort(key=lambda hold: (hold.night, hold.district_id))
    return Ahead(days, tuple(holds), tuple(_in_order(found)), looked_at, tuple(excluded))


def _gate_limits(engine: sa.Engine) -> dict[str, dict[str, float]]:
    with as_operator(engine, "looking up the gate's limits") as connection:
        query = sa.select(districts.c.district_id, districts.c.gate_limits)
        return {district_id: limits for district_id, limits in connection.execute(query)}


def _flips_of(landing: Landing, one: DistrictNight, current: Snapshot, days: int) -> pd.DataFrame:
    """From the published night on: where that is not the board's, what flipped since is for the next one."""
    published = current.snapshot_date
    raw = landing.read(
        "raw_enrollments", district_id=one.district_id, night=published, run_id=current.landed_by
    )
    return forecast_statuses(raw, published, (one.night - published).days + days)


def _hold_of(
    engine: sa.Engine, one: DistrictNight, current: Snapshot, flips: pd.DataFrame, limits: Limits, days: int
) -> DistrictHold | None:
    if not can_hold(flips):
        return None
    last = LastPublished.of(engine, current, flips)
    # A night that failed or is late brings nothing more unless somebody acts; one that is held is told above.
    still_to_come = one.state in ("pending", "held")
    first = one.night if still_to_come else one.night + timedelta(days=1)
    nights = nights_to_come(first, one.night + timedelta(days=days), one.pause)
    hold = first_hold(one.district_id, flips, last, limits, nights)
    if hold is None or (one.state == "held" and hold.night == one.night):  # held already, and told above
        return None
    return DistrictHold(**vars(hold), district_id=one.district_id, name=one.name)


def _counted(flips: pd.DataFrame) -> dict[tuple[date, str | None, str | None], int]:
    counted = count_flips(flips)
    names = ("day", "old_status", "new_status", "students")
    columns = [counted[name].astype(object).tolist() for name in names]
    return {
        (day, _status(old), _status(new)): students for day, old, new, students in zip(*columns, strict=True)
    }


def _in_order(found: Counter[tuple[date, str | None, str | None]]) -> Iterable[Flip]:
    for (day, old, new), students in sorted(found.items(), key=lambda item: [str(part) for part in item[0]]):
        yield Flip(day, old, new, students)


def _status(value: object) -> str | None:
    return value if isinstance(value, str) else None

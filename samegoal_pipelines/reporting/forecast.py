"""Forecast the next days if nobody edits Qmlativ: status changes, and nights that the gate will hold.

The forecast uses the landed rows of each district's published night. A district whose files are gone is named
and excluded. Students are counted, never listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import Pause
from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.printable import counted, some
from samegoal_pipelines.reporting.nightly_status import Board, DistrictNight
from samegoal_pipelines.tables.history import STATUS
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.transforms.forecast import UNCERTAIN_STATUS, forecast_statuses
from samegoal_pipelines.transforms.gate import Measured, Verdict, judge_passing_time, part_of
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.snapshots import Snapshot

DAYS = 14
_ACTIVE = ("ENROLLED", "PRE-ENROLLED")
_DROPPED = (None, "INACTIVE", "GRADUATED")

Statuses = dict[int, str | None]
"""Student → status; None: no row."""


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
class Flip:
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
    """The forecast of the `days` days after a night, in all districts with landed rows.

    Attributes:
        holds: the districts that will be held, the soonest first, without those that are held already.
        excluded: districts whose landed rows are gone or cannot be read.
    """

    days: int
    holds: tuple[HoldAhead, ...]
    flips: tuple[Flip, ...]
    districts: int
    excluded: tuple[str, ...]

    @property
    def looked_at(self) -> str:
        """The number of districts in the forecast, and the districts that are excluded."""
        if not (self.districts or self.excluded):
            return "No district is published yet"
        found = f"Looked at {counted(self.districts, 'district')}"
        if not self.excluded:
            return found
        return f"{found}; not at {some(self.excluded, 20)}: their landed rows are gone or cannot be read"


def look_ahead(engine: sa.Engine, landing: Landing, board: Board, days: int = DAYS) -> Ahead:
    """Forecast the days after the board's night, for every published district that is not disabled."""
    found: Counter[tuple[date, str | None, str | None]] = Counter()
    holds: list[HoldAhead] = []
    looked_at, excluded = 0, []
    unreachable = False  # then it is down for all of them, and waiting for each would take hours
    for one in sorted(board.districts, key=lambda one: one.district_id):
        if one.current is None or one.state == "disabled":
            continue
        try:
            if unreachable:
                raise LandingError("the landing cannot be reached", transient=True)
            # From the published night on: what has flipped since then is for the next night.
            flips = flips_of(landing, one.current, one.night + timedelta(days=days))
            limits = Limits.of(one.gate_limits)
        except (LandingError, OSError, KeyError, ValueError) as error:
            unreachable = isinstance(error, LandingError) and error.transient
            excluded.append(one.district_id)
            continue
        looked_at += 1
        found.update(_rows(flips.loc[flips["day"] > board.night], "day", "old_status", "new_status"))
        hold = _hold_of(engine, one, one.current, flips, limits, days)
        if hold is not None:
            holds.append(hold)
    flipped = sorted(found.items(), key=lambda item: [str(part) for part in item[0]])
    return Ahead(
        days,
        tuple(sorted(holds, key=lambda hold: (hold.night, hold.district_id))),
        tuple(Flip(*change, students) for change, students in flipped),
        looked_at,
        tuple(excluded),
    )


def flips_of(landing: Landing, published: Snapshot, until: date) -> pd.DataFrame:
    """`forecast_statuses` of a published snapshot's landed rows."""
    district_id, night = published.district_id, published.snapshot_date
    raw = landing.read("raw_enrollments", district_id=district_id, night=night, run_id=published.landed_by)
    return forecast_statuses(raw, night, (until - night).days)


def _hold_of(
    engine: sa.Engine, one: DistrictNight, current: Snapshot, flips: pd.DataFrame, limits: Limits, days: int
) -> HoldAhead | None:
    if not (flips["new_status"].isna() | flips["new_status"].eq("INACTIVE")).any():
        return None  # nobody is dropped, which would take a query to find out
    # A night that failed or is late brings nothing more unless somebody acts; one that is held is listed.
    still_to_come = one.state in ("pending", "held")
    first = one.night if still_to_come else one.night + timedelta(days=1)
    nights = nights_to_come(first, one.night + timedelta(days=days), one.pause)
    statuses = _published_statuses(engine, current, flips)
    hold = first_hold(one.name, current, statuses, flips, limits, nights)
    return None if hold is not None and one.state == "held" and hold.night == one.night else hold


def _published_statuses(engine: sa.Engine, current: Snapshot, flips: pd.DataFrame) -> dict[int, str]:
    rows = STATUS.table.c
    students = flips["student_id"].unique().tolist()
    query = sa.select(rows.student_id, rows.status).where(
        rows.district_id == current.district_id,
        rows.student_id == sa.any_(sa.literal(students, sa.ARRAY(sa.BigInteger))),
        rows.valid_from <= current.snapshot_date,
        rows.valid_to.is_(None) | (rows.valid_to > current.snapshot_date),
    )
    with as_operator(engine, "looking up the published statuses") as connection:
        return {student: status for student, status in connection.execute(query)}


def nights_to_come(first: date, last: date, pause: Pause | None) -> Iterator[date]:
    """The nights that the schedule will run, from the first to the last."""
    for step in range((last - first).days + 1):
        night = first + timedelta(days=step)
        if pause is None or not pause.covers(night):
            yield night


def first_hold(
    name: str,
    published: Snapshot,
    published_statuses: Mapping[int, str],
    flips: pd.DataFrame,
    limits: Limits,
    nights: Iterable[date],
) -> HoldAhead | None:
    """The first of these nights that the gate will hold if only time passes.

    Args:
        name: the district's.
        published_statuses: of the students whom the flips concern.
        flips: as `forecast_statuses` gives them, from the published night on.
        nights: the nights that will run, in order. Flips between two nights count for the later one.
    """
    by_day = _by_day(flips, published_statuses)
    days = sorted(by_day, reverse=True)
    statuses: Statuses = dict(published_statuses)
    others = (published.students or 0) - _count(statuses)
    others_active = published.active - _count_active(statuses)
    for night in nights:
        changed: Statuses = {}
        while days and days[-1] <= night:
            changed |= by_day[days.pop()]
        # Uncertain students are carried over as last published.
        changed = {student: status for student, status in changed.items() if status != UNCERTAIN_STATUS}
        tonight = statuses | changed
        dropped = {s: new for s, new in changed.items() if statuses.get(s) in _ACTIVE and new in _DROPPED}
        measured = Measured(
            {
                "students": others + _count(tonight),
                "published_students": others + _count(statuses),
                "published_active": others_active + _count_active(statuses),
            },
            dropped=np.array(list(dropped), dtype=np.int64),
            graduated=np.array([status == "GRADUATED" for status in dropped.values()], dtype=bool),
        )
        verdict = judge_passing_time(limits, measured)
        if verdict.reasons:
            reason, next_step = _in_words(published.district_id, limits, verdict)
            numbers = verdict.numbers["expired_by_time"], verdict.numbers["published_active"]
            return HoldAhead(
                published.district_id, name, night, *numbers, limits["expired"], reason, next_step
            )
        statuses = tonight
    return None


def _by_day(flips: pd.DataFrame, published: Mapping[int, str]) -> dict[date, Statuses]:
    """The new statuses of each day."""
    found: dict[date, Statuses] = {}
    counts: dict[int, bool] = {}
    for day, student, old, new in _rows(flips, "day", "student_id", "old_status", "new_status"):
        # Without a published status, but with one by the rows, a student has no record in Qmlativ.
        if counts.setdefault(student, student in published or old in (None, UNCERTAIN_STATUS)):
            found.setdefault(day, {})[student] = new
    return found


def _rows(flips: pd.DataFrame, *names: str) -> Iterator[Any]:
    """Tuples of these columns, with None where there is no value."""
    columns = (flips[name].astype(object) for name in names)
    return zip(*(column.where(column.notna(), None) for column in columns), strict=True)


def _count(statuses: Statuses) -> int:
    return sum(status is not None for status in statuses.values())


def _count_active(statuses: Statuses) -> int:
    return sum(status in _ACTIVE for status in statuses.values())


def _in_words(district_id: str, limits: Limits, verdict: Verdict) -> tuple[str, str]:
    """Why a night will be held, and what to do before."""
    numbers, release = verdict.numbers, f"samegoal-pipelines sync {district_id} --release --why REASON"
    if not numbers["students"]:
        reason = "the last student leaves the import window, and the snapshot would have no students"
        next_step = (
            "have enrollments entered in Qmlativ before, or, if the district is done: "
            f"samegoal-pipelines districts disable {district_id}"
        )
    else:
        whom, limit = "ENROLLED and PRE-ENROLLED students", limits["expired"]
        part = part_of(numbers["expired_by_time"], numbers["published_active"], whom, limit)
        reason = (
            f"{part} become INACTIVE or leave the import window because time passes; the limit is {limit:g}%"
        )
        next_step = "have next year's enrollments entered in Qmlativ before"
    return reason, f"{next_step}; if it is right, publish it that day: {release}"

"""What the next days bring if nobody edits anything in Qmlativ: the statuses that flip, counted over all
districts; and the districts of which a night will be held for it.

From the rows that were landed for each district's published night; a district whose files are gone is named
and left out. Students are counted, never told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import Pause, all_pauses
from samegoal_pipelines.landing import Landing, LandingError
from samegoal_pipelines.reporting.board import Board, DistrictNight
from samegoal_pipelines.reporting.outlook import (
    HoldAhead,
    LastPublished,
    can_hold,
    first_hold,
    nights_to_come,
    published_statuses,
)
from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.transforms.forecast import count_flips, forecast_statuses
from samegoal_pipelines.warehouse.engine import as_operator
from samegoal_pipelines.warehouse.gate import Limits

DAYS = 14


@dataclass(frozen=True)
class Flip:
    """How many students go from one status to another on a day; None: not in the snapshot."""

    day: date
    old_status: str | None
    new_status: str | None
    students: int


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
    left_out: tuple[str, ...]
    """Districts whose landed rows are gone or cannot be read."""


def look_ahead(engine: sa.Engine, landing: Landing, board: Board, days: int = DAYS) -> Ahead:
    """The days after the board's night, of every district that is published and not disabled."""
    limits, pauses = _gate_limits(engine), all_pauses(engine)
    found: Counter[tuple[date, str | None, str | None]] = Counter()
    holds: list[DistrictHold] = []
    looked_at, left_out = 0, []
    unreachable = False  # then it is for all of them: to wait for each would take hours
    for one in sorted(board.districts, key=lambda one: one.district_id):
        if one.last_published is None or one.state == "disabled":
            continue
        if unreachable:
            left_out.append(one.district_id)
            continue
        try:
            flips = _flips_of(landing, one, one.last_published, days)
            of_district = Limits.of(limits.get(one.district_id, {}))
        except (LandingError, OSError, KeyError, ValueError) as error:
            unreachable = isinstance(error, LandingError) and error.transient
            left_out.append(one.district_id)
            continue
        looked_at += 1
        found.update(_counted(flips.loc[flips["day"] > board.night]))
        hold = _hold_of(engine, one, flips, of_district, pauses.get(one.district_id), days)
        if hold is not None:
            holds.append(hold)
    holds.sort(key=lambda hold: (hold.night, hold.district_id))
    return Ahead(days, tuple(holds), tuple(_in_order(found)), looked_at, tuple(left_out))


def _gate_limits(engine: sa.Engine) -> dict[str, dict[str, float]]:
    with as_operator(engine, "looking up the gate's limits") as connection:
        query = sa.select(districts.c.district_id, districts.c.gate_limits)
        return {district_id: limits for district_id, limits in connection.execute(query)}


def _flips_of(landing: Landing, one: DistrictNight, published: date, days: int) -> pd.DataFrame:
    """From the published night on: where that is not the board's, what flipped since is for the next one."""
    raw = landing.read(
        "raw_enrollments", district_id=one.district_id, night=published, run_id=one.landed_run_id
    )
    return forecast_statuses(raw, published, (one.night - published).days + days)


def _hold_of(
    engine: sa.Engine, one: DistrictNight, flips: pd.DataFrame, limits: Limits, pause: Pause | None, days: int
) -> DistrictHold | None:
    if one.last_published is None or not can_hold(flips):
        return None
    last = LastPublished(
        students=one.students or 0,
        active=(one.enrolled or 0) + (one.pre_enrolled or 0),
        statuses=published_statuses(engine, one.district_id, flips, one.last_published),
    )
    # A night that failed or is late brings nothing more unless somebody acts; one that is held is told above.
    still_to_come = one.state in ("pending", "held")
    first = one.night if still_to_come else one.night + timedelta(days=1)
    nights = nights_to_come(first, one.night + timedelta(days=days), pause)
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

"""A district's state: what SameGoal reads, the last attempt, and its pause.

`now` is an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from samegoal_pipelines.districts.pauses import Pause, all_pauses
from samegoal_pipelines.districts.registry import District
from samegoal_pipelines.warehouse.snapshots import Snapshot, current_nights, last_attempts, last_published


@dataclass(frozen=True)
class Standing:
    """One district's current state."""

    district: District
    local_date: date
    pause: Pause | None
    """A current or future pause."""
    published: Snapshot | None
    """The snapshot that SameGoal reads."""
    in_the_way: Snapshot | None
    """The last attempt, if it failed or is held and nothing was published since."""

    @property
    def state(self) -> str:
        """For people: `active`, `disabled`, or until when it is paused."""
        return state_of(self.district, self.pause, self.local_date)


def standing_of(engine: sa.Engine, district: District, now: datetime) -> Standing:
    """One district's state at an aware instant."""
    local_date = district.local_date(now)
    pause = all_pauses(engine).get(district.id)
    last = next(iter(last_attempts(engine, district.id, limit=1)), None)
    return Standing(
        district=district,
        local_date=local_date,
        pause=pause if pause and pause.paused_to >= local_date else None,
        published=last_published(engine, district.id),
        in_the_way=last if last and last.state in ("failed", "held") else None,
    )


@dataclass(frozen=True)
class Standings:
    """The states of all districts, one line each."""

    nights: Mapping[str, date]
    pauses: Mapping[str, Pause]
    now: datetime

    def night(self, district: District) -> date | None:
        """The night that SameGoal reads."""
        return self.nights.get(district.id)

    def state(self, district: District) -> str:
        """As `Standing.state`."""
        return state_of(district, self.pauses.get(district.id), district.local_date(self.now))


def all_standings(engine: sa.Engine, now: datetime) -> Standings:
    """The states of all districts, with two queries in total."""
    return Standings(current_nights(engine), all_pauses(engine), now)


def state_of(district: District, pause: Pause | None, local_date: date) -> str:
    """How the schedule treats a district, for people."""
    if not district.active:
        return "disabled"
    if pause and pause.covers(local_date):
        return f"paused until {pause.paused_to}"
    return "active"

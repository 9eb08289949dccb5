"""A night's report: everything on its page, and the trend of the last nights.

In a trend, a district that was not published on a night counts with what SameGoal read that night. Otherwise
a failed district would look like students who left.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from samegoal_pipelines.landing import Landing
from samegoal_pipelines.reporting.forecast import Ahead, look_ahead
from samegoal_pipelines.reporting.nightly_status import Board, read_board, read_newest
from samegoal_pipelines.warehouse.engine import as_operator

NIGHTS = 60


@dataclass(frozen=True)
class TrendNight:
    """All districts together, as SameGoal read them after one night."""

    night: date
    districts: int
    """The number of districts published that night."""
    enrolled: int
    pre_enrolled: int
    graduated: int
    inactive: int
    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Report:
    """One night's board, the last nights, and the forecast of the next days (None: not computed)."""

    board: Board
    trends: tuple[TrendNight, ...]
    ahead: Ahead | None

    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "night": self.board.night,
            "made_at": self.board.looked_at,
            "totals": self.board.totals,
            "districts": [one.facts() for one in self.board.districts],
            "expiring": [one.district_id for one in self.board.expiring],
            "trends": [asdict(one) for one in self.trends],
            "ahead": None if self.ahead is None else asdict(self.ahead),
        }


def make_report(
    engine: sa.Engine,
    now: datetime,
    night: date | None = None,
    *,
    landing: Landing | None = None,
    trends: bool = True,
) -> Report:
    """The report of a night, by default of every district's newest one (`read_newest`).

    With `landing`, it has the forecast, which takes a fraction of a second per district. The trends take a
    second per thousand districts.
    """
    board = read_newest(engine, now) if night is None else read_board(engine, night, now)
    ahead = None if landing is None else look_ahead(engine, landing, board)
    return Report(board, tuple(read_trends(engine, board.night)) if trends else (), ahead)


# The nights are found one by one from the index: distinct would read every snapshot that there is.
_TRENDS = sa.text(
    """
    with recursive nights(night, number) as (
        select max(snapshot_date), 1 from samegoal.snapshots
        where snapshot_date <= :night and state = 'published'
        union all
        select (
            select max(snapshot_date) from samegoal.snapshots
            where snapshot_date < night and state = 'published'
        ), number + 1
        from nights where night is not null and number < :nights
    )
    select
        night,
        count(*) filter (where tonight), sum(enrolled), sum(pre_enrolled), sum(graduated), sum(inactive),
        sum(added) filter (where tonight), sum(changed) filter (where tonight),
        sum(removed) filter (where tonight)
    from nights cross join samegoal.districts cross join lateral (
        select snapshot_date = night as tonight, snapshots.* from samegoal.snapshots
        where snapshots.district_id = districts.district_id and state = 'published' and snapshot_date <= night
        order by snapshot_date desc limit 1
    ) as published
    group by night order by night
    """
)


def read_trends(engine: sa.Engine, night: date, nights: int = NIGHTS) -> list[TrendNight]:
    """The last `nights` nights on which anything was published, up to this one, oldest first."""
    with as_operator(engine, "looking up the last nights") as connection:
        found = connection.execute(_TRENDS, {"night": night, "nights": nights})
        return [TrendNight(when, *map(int, counts)) for when, *counts in found]

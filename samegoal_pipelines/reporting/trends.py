"""Trends of published snapshots: students by status over all districts, and the changes, night by night.

A district that was not published on a night counts with what SameGoal read that night. Otherwise a failed
district would look like students who left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

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

    @property
    def students(self) -> int:
        """Students of any status."""
        return self.enrolled + self.pre_enrolled + self.graduated + self.inactive


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

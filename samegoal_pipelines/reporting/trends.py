"""How the published snapshots went: students by status over all districts, and what changed, night by night.

A district that was not published on a night counts with what SameGoal read of it that night: otherwise a
district that fails would look like students who left.
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
    """How many were published that night."""
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


# The last nights are found one by one from the index: distinct would read every snapshot that there is.
_TRENDS = sa.text(
    """
    with recursive nights(night) as (
        select max(snapshot_date) from samegoal.snapshots
        where snapshot_date <= :night and state = 'published'
        union all
        select (
            select max(snapshot_date) from samegoal.snapshots
            where snapshot_date < nights.night and state = 'published'
        ) from nights where nights.night is not null
    ),
    wanted as (select min(night) as first_night from (select night from nights limit :nights) as last_nights),
    counts as (
        select
            district_id, snapshot_date, 1 as published, enrolled, pre_enrolled, graduated, inactive,
            added, changed, removed
        from samegoal.snapshots
        where state = 'published' and snapshot_date <= :night
            and snapshot_date >= (select first_night from wanted)
        union all
        select
            districts.district_id, wanted.first_night - 1, 0, before.enrolled, before.pre_enrolled,
            before.graduated, before.inactive, 0, 0, 0
        from wanted cross join samegoal.districts cross join lateral (
            select enrolled, pre_enrolled, graduated, inactive from samegoal.snapshots
            where snapshots.district_id = districts.district_id and state = 'published'
                and snapshot_date < wanted.first_night
            order by snapshot_date desc limit 1
        ) as before
    ),
    steps as (
        select
            snapshot_date, published, added, changed, removed,
            enrolled - coalesce(lag(enrolled) over earlier, 0) as enrolled,
            pre_enrolled - coalesce(lag(pre_enrolled) over earlier, 0) as pre_enrolled,
            graduated - coalesce(lag(graduated) over earlier, 0) as graduated,
            inactive - coalesce(lag(inactive) over earlier, 0) as inactive
        from counts
        window earlier as (partition by district_id order by snapshot_date)
    ),
    summed as (
        select
            snapshot_date as night,
            sum(published) as districts,
            sum(sum(enrolled)) over so_far as enrolled,
            sum(sum(pre_enrolled)) over so_far as pre_enrolled,
            sum(sum(graduated)) over so_far as graduated,
            sum(sum(inactive)) over so_far as inactive,
            sum(added) as added, sum(changed) as changed, sum(removed) as removed
        from steps
        group by snapshot_date
        window so_far as (order by snapshot_date)
    )
    select * from summed where night >= (select first_night from wanted) order by night
    """
)


def read_trends(engine: sa.Engine, night: date, nights: int = NIGHTS) -> list[TrendNight]:
    """The last `nights` nights on which anything was published, up to this one, oldest first."""
    with as_operator(engine, "looking up the last nights") as connection:
        found = connection.execute(_TRENDS, {"night": night, "nights": nights})
        return [TrendNight(when, *map(int, counts)) for when, *counts in found]

"""Pauses: the schedule skips a district for a while, such as over the summer.

A district has one pause, from one night to another, both inclusive, by its own calendar. `sync` still runs a
paused district.
"""

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from samegoal_pipelines.districts.errors import DistrictError
from samegoal_pipelines.districts.registry import changing, get_district, update_district
from samegoal_pipelines.printable import on_one_line
from samegoal_pipelines.tables.warehouse import pauses
from samegoal_pipelines.warehouse.engine import as_operator


@dataclass(frozen=True)
class Pause:
    """One district's pause."""

    district_id: str
    paused_from: date
    paused_to: date
    reason: str | None
    set_by: str
    set_at: datetime

    def covers(self, night: date) -> bool:
        """Whether the schedule skips this night."""
        return self.paused_from <= night <= self.paused_to


def pause(
    engine: sa.Engine,
    district_id: str,
    paused_from: date,
    paused_to: date,
    *,
    set_by: str,
    reason: str | None = None,
) -> None:
    """Pause a district from one night to another. Replaces its old pause.

    Raises:
        DistrictError: the pause would end before it starts, or another pause is in progress that this
            one would end immediately.
    """
    with changing(engine, district_id, "pausing the district") as connection:
        if paused_to < paused_from:
            raise DistrictError(
                f"the pause would end on {paused_to}, before it begins on {paused_from}",
                next_step="give --from the earlier date",
            )
        before, today = _end(connection, district_id)
        if before is not None and before.covers(today) and not paused_from <= today <= paused_to:
            raise DistrictError(
                f"is paused until {before.paused_to}, and has one pause at a time",
                next_step="set the next one after that, or end this one first: samegoal-pipelines resume ID",
            )
        connection.execute(
            sa.insert(pauses).values(
                district_id=district_id,
                paused_from=paused_from,
                paused_to=paused_to,
                reason=on_one_line(reason) or None,
                set_by=set_by,
            )
        )


def resume(engine: sa.Engine, district_id: str) -> Pause | None:
    """End a district's pause, started or not, and return it. None if there is none.

    After a pause in progress, tonight's snapshot is not due if the night has begun.
    """
    with changing(engine, district_id, "resuming the district") as connection:
        ended, today = _end(connection, district_id)
        if ended is not None and ended.covers(today):
            update_district(connection, district_id, {"due_since": sa.func.now()})
    return ended


def _end(connection: sa.Connection, district_id: str) -> tuple[Pause | None, date]:
    """The district's pause, which is deleted, and the district's date."""
    now = connection.execute(sa.select(sa.func.now())).scalar_one()
    today = get_district(connection, district_id).local_date(now)
    this = sa.delete(pauses).where(pauses.c.district_id == district_id).returning(*pauses.c)
    row = connection.execute(this).one_or_none()
    return None if row is None else Pause(**row._mapping), today


def all_pauses(engine: sa.Engine) -> dict[str, Pause]:
    """Every district's pause, including past and future ones, by district."""
    with as_operator(engine, "looking up the pauses") as connection:
        return {row.district_id: Pause(**row._mapping) for row in connection.execute(sa.select(*pauses.c))}

"""Forecast a district's statuses from the landed rows of the published night."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.errors import SYNC, PipelineError
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.forecast import (
    FlipCount,
    HoldAhead,
    first_hold,
    flips_of,
    in_order,
    published_rows,
)
from samegoal_pipelines.reporting.nightly_status import read_districts


class NothingToForecastError(PipelineError):
    """There is no published night, or its landed rows are gone."""


@dataclass(frozen=True)
class Forecast:
    """The status changes of the coming days if nobody edits anything in Qmlativ."""

    district_id: str
    night: date
    """The published night whose rows are used."""
    until: date
    days: int
    flips: tuple[FlipCount, ...]
    overdue: int
    """Changes between that night and today. The next snapshot will publish them."""
    held_from: HoldAhead | None
    """The first coming night that the gate will hold because of these changes."""
    students: tuple[dict[str, Any], ...]
    """The changes one by one: a `Flip` with the student number."""


def forecast_district(deployment: Deployment, district_id: str, days: int) -> Forecast:
    """Forecast the next `days` days, after the district's date or the published night if that is later.

    Raises:
        NothingToForecastError: nothing is published, or its landed rows are gone.
    """
    district, now = deployment.registry.get(district_id), datetime.now(UTC)
    one = read_districts(deployment.warehouse, now, [district_id])[district_id]
    if one.current is None:
        raise NothingToForecastError(
            "no night is published yet", district_id=district_id, next_step=f"next: {SYNC}"
        )
    night = one.current.snapshot_date
    today = max(night, district.local_date(now))
    until = today + timedelta(days=days)
    try:
        flips = flips_of(deployment.landing, one.current, until)
    except LandingError:
        raise NothingToForecastError(
            f"the landed rows of {night} are gone or damaged",
            district_id=district_id,
            next_step=f"land new ones: {SYNC}",
        ) from None
    rows = published_rows(deployment.warehouse, one.current, flips)
    numbers = {row["student_id"]: row["student_number"] for row in rows}
    statuses = {row["student_id"]: row["status"] for row in rows}
    to_come = [flip for flip in flips if flip.day > today]
    return Forecast(
        district_id=district_id,
        night=night,
        until=until,
        days=days,
        flips=in_order(Counter(flip[1:] for flip in to_come)),
        overdue=len(flips) - len(to_come),
        held_from=first_hold(
            one, district.limits, statuses, flips, max(today, night + timedelta(days=1)), until
        ),
        students=tuple(
            {**flip._asdict(), "student_number": numbers.get(flip.student_id)} for flip in to_come
        ),
    )

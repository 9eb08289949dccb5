"""What a district's published rows will turn into by themselves: landed rows and the forecast, put together.

Beside `runs`, because it asks several rooms at once. No rule lives here: `transforms.forecast` and the
gate have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.districts.pauses import all_pauses
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.reporting.outlook import HoldAhead, LastPublished, first_hold, nights_to_come
from samegoal_pipelines.transforms.forecast import forecast_statuses
from samegoal_pipelines.warehouse.changes import students_as_of
from samegoal_pipelines.warehouse.snapshots import last_published


class NothingToForecastError(Exception):
    """No published night, or its landed rows are gone; says what to do."""


@dataclass(frozen=True)
class Forecast:
    """The flips of status on the days to come, if nobody edits anything in Qmlativ."""

    district_id: str
    night: date
    """The published night, as whose rows stand."""
    today: date
    """After which the days to come begin: the district's date, or the night where that lies ahead."""
    days: int
    flips: pd.DataFrame
    """student_id, day, old_status, new_status, as `forecast_statuses` gives them, and student_number."""
    overdue: int
    """Flips since the night, up to today, which no snapshot has published yet: the next one does."""
    hold: HoldAhead | None
    """The first of the nights to come that the gate will hold because of all these flips."""

    @property
    def until(self) -> date:
        """The last day that is looked at."""
        return self.today + timedelta(days=self.days)


def forecast_district(
    deployment: Deployment, district_id: str, days: int, today: date | None = None
) -> Forecast:
    """Forecast the `days` days to come, from the rows of the night that is published now.

    Args:
        today: the district's local date; default: now.

    Raises:
        UnknownDistrictError: no such district.
        NothingToForecastError: nothing is published, or its landed rows are not there any more.
    """
    district = deployment.registry.get(district_id)
    attempt = last_published(deployment.warehouse, district_id)
    if attempt is None:
        raise NothingToForecastError(
            f"{district_id}: no night is published yet; next: samegoal-pipelines sync {district_id}"
        )
    night = attempt.snapshot_date
    try:
        raw = deployment.landing.read(
            "raw_enrollments",
            district_id=district_id,
            night=night,
            run_id=attempt.landed_run_id or attempt.run_id,
        )
    except LandingError:
        raise NothingToForecastError(
            f"{district_id}: the landed rows of {night} are gone or damaged; "
            f"land new ones: samegoal-pipelines sync {district_id}"
        ) from None
    today = max(night, today or district.local_date(datetime.now(UTC)))
    flips = forecast_statuses(raw, night, (today - night).days + days)
    students = flips["student_id"].unique().tolist()
    known = students_as_of(deployment.warehouse, district_id, students, night)
    published = {student: found.status for student, found in known.items() if found.status}
    flips = flips.assign(
        student_number=[published.get(student, {}).get("student_number") for student in flips["student_id"]]
    )
    last = LastPublished(
        students=attempt.students or 0,
        active=(attempt.enrolled or 0) + (attempt.pre_enrolled or 0),
        statuses={student: status["status"] for student, status in published.items()},
    )
    nights = nights_to_come(
        max(today, night + timedelta(days=1)),
        today + timedelta(days=days),
        all_pauses(deployment.warehouse).get(district_id),
    )
    hold = first_hold(district_id, flips, last, district.limits, nights)
    to_come = flips["day"] > today
    return Forecast(district_id, night, today, days, flips[to_come], int((~to_come).sum()), hold)

"""What a district's published rows will turn into by themselves: landed rows and the forecast, put together.

Beside `runs`, because it asks several rooms at once. No rule lives here: `transforms.forecast` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from samegoal_pipelines.deployment import Deployment
from samegoal_pipelines.landing import LandingError
from samegoal_pipelines.transforms.forecast import forecast_statuses
from samegoal_pipelines.warehouse.changes import published_night, students_as_of


class NothingToForecast(Exception):
    """No published night, or its landed rows are gone; says what to do."""


@dataclass(frozen=True)
class Forecast:
    """The flips of status on the days after a published night, if nobody edits anything in Qmlativ."""

    district_id: str
    night: date
    days: int
    flips: pd.DataFrame
    """student_id, day, old_status, new_status, as `forecast_statuses` gives them, and student_number."""


def forecast_district(deployment: Deployment, district_id: str, days: int) -> Forecast:
    """Forecast the `days` days after the night that is published now.

    Raises:
        UnknownDistrict: no such district.
        NothingToForecast: nothing is published, or its landed rows are not there any more.
    """
    deployment.registry.get(district_id)
    night = published_night(deployment.warehouse, district_id)
    if night is None:
        raise NothingToForecast(
            f"{district_id}: no night is published yet; next: samegoal-pipelines sync {district_id}"
        )
    try:
        raw = deployment.landing.read(
            "raw_enrollments",
            district_id=district_id,
            night=night.snapshot_date,
            run_id=night.landed_run_id,
        )
    except LandingError:
        raise NothingToForecast(
            f"{district_id}: the landed rows of {night.snapshot_date} are gone or damaged; "
            f"land new ones: samegoal-pipelines sync {district_id}"
        ) from None
    flips = forecast_statuses(raw, night.snapshot_date, days)
    students = flips["student_id"].unique().tolist()
    known = students_as_of(deployment.warehouse, district_id, students, night.snapshot_date)
    numbers = {student: found.status["student_number"] for student, found in known.items() if found.status}
    flips = flips.assign(student_number=[numbers.get(student) for student in flips["student_id"]])
    return Forecast(district_id, night.snapshot_date, days, flips)

"""Synthetic districts (first, plain version: enough to talk to; the realistic one replaces it)."""

import datetime as dt

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.school_years import first_of_year, school_year_of

NAMES = ("Grand Bend", "Cedar Hollow", "Dry Fork")


def district_of(number: int, students: int, *, seed: int, today: dt.date, night: int) -> SandboxDistrict:
    """The district of this number."""
    del night
    town = NAMES[number % len(NAMES)] + (f" {number // len(NAMES) + 1}" if number >= len(NAMES) else "")
    year = school_year_of(today)
    enrollments = [
        {
            "StudentID": 100 + student,
            "StartDate": first_of_year(start) + dt.timedelta(days=42),
            "EndDate": first_of_year(start) + dt.timedelta(days=330) if start < year else None,
        }
        for student in range(students)
        for start in (year - 1, year)
    ]
    return SandboxDistrict.from_rows(
        {"Enrollment/EntryWithdrawal": enrollments},
        today=today,
        id=town.lower().replace(" ", "-"),
        name=f"{town} ISD",
        code=f"{255901 + number}",
        client_key=f"key-{number}-{seed}",
    )

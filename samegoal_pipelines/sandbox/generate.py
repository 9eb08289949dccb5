"""Puts synthetic districts together: town and campuses here, people and enrollments in other modules."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.district import (
    FIELDS,
    SandboxDistrict,
    common_rows,
    school_year_of,
    table_of,
)
from samegoal_pipelines.sandbox.enrollments import Campus, enrollment_rows
from samegoal_pipelines.sandbox.nights import ENROLLMENTS, pass_night
from samegoal_pipelines.sandbox.people import Tables, Town

_LEVELS = (("Elementary School", 0.46 / 620), ("Middle School", 0.23 / 820), ("High School", 0.31 / 1900))
"""Levels, and campuses per student of the district."""
_EVERYWHERE = ("Career and Technical Center", "Alternative Learning Center")


@dataclass
class Sandbox:
    """Districts that one server serves."""

    districts: list[SandboxDistrict] = field(default_factory=list)

    @classmethod
    def generate(
        cls,
        districts: int = 3,
        students: int | Sequence[int] = 500,
        seed: int = 1,
        today: dt.date | None = None,
        night: int = 0,
        school_year: int | None = None,
    ) -> Sandbox:
        """Synthetic districts. The same arguments give the same bytes on any machine.

        Args:
            students: of each district, or one number for all; further districts repeat these sizes.
            today: the date of the world; by default today in UTC.
            night: how many nights have passed; each changes about one student in 200.
            school_year: the SchoolYearID whose students these are, by default that of ``today``.
                Name it to get the same students before and after 1 July.
        """
        today = today or dt.datetime.now(dt.UTC).date()
        year = school_year or school_year_of(today)
        sizes = [students] if isinstance(students, int) else students
        return cls(
            [
                _generated(number, sizes[number % len(sizes)], seed, today, night, year)
                for number in range(districts)
            ]
        )


def _generated(
    number: int, students: int, seed: int, today: dt.date, nights: int, year: int
) -> SandboxDistrict:
    """The district of this number with the students of a school year, after so many nights."""
    town = town_name(number)
    slug = town.lower().replace(" ", "-")
    code = f"{number % 254 + 1:03d}{901 + number // 254:03d}"
    campuses = campuses_of(number, students)
    rows: Tables = common_rows(f"{town} ISD", code, today, [campus[:3] for campus in campuses])
    rows |= _surroundings(number, town)

    def stream(part: str) -> Random:
        """Random numbers of its own for each part, so that a change in one part moves no other."""
        return Random(f"{seed}/{number}/{part}")

    def made_up(what: str, length: int) -> str:
        return hashlib.sha256(f"{seed}/{slug}/{what}".encode()).hexdigest()[:length]

    pupils = Town(stream("people"), rows, year, school_year_of(today) - year, slug).add_people(students)
    rows[ENROLLMENTS] = enrollment_rows(stream("enrollments"), pupils, campuses, year, today)
    for night in range(1, nights + 1 if students else 0):
        pass_night(stream(f"night {night}"), rows, night, today - dt.timedelta(days=nights - night))
    return SandboxDistrict(
        id=slug,
        name=f"{town} ISD",
        code=code,
        base_path=f"/{town.replace(' ', '')}TXStuAPI",
        client_key=made_up("key", 24),
        client_secret=made_up("secret", 48),
        timezone="America/Denver" if number % 10 == 9 else "America/Chicago",
        today=today,
        tables={name: table_of(name, rows[name]) for name in FIELDS},
    )


def town_name(number: int) -> str:
    """A name for each district."""
    turn, place = divmod(number, len(w.TOWN_FIRST))
    lap, shift = divmod(turn, len(w.TOWN_SECOND))
    town = f"{w.TOWN_FIRST[place]} {w.TOWN_SECOND[(place + shift) % len(w.TOWN_SECOND)]}"
    return f"{town} {lap + 1}" if lap else town


def campuses_of(number: int, students: int) -> list[Campus]:
    """The campuses of a district. The last two serve all of it."""
    levels = [
        level for level, (_, share) in enumerate(_LEVELS) for _ in range(max(1, round(students * share)))
    ]
    count = len(w.SCHOOL_PEOPLE)
    named: list[tuple[str, int | None]] = [
        (
            f"{w.SCHOOL_PEOPLE[(number * 7 + place) % count]} {_LEVELS[level][0]}"
            + (f" {1 + place // count}" if len(levels) > count else ""),
            level,
        )
        for place, level in enumerate(levels)
    ]
    named += [(name, None) for name in _EVERYWHERE]
    return [  # the SchoolID is not the EntityID: a mix-up shows
        Campus(entity, entity * 10 + 7000, name, level) for entity, (name, level) in enumerate(named, start=2)
    ]


def _surroundings(number: int, town: str) -> dict[str, list[dict[str, Any]]]:
    """The town and its surroundings: as many ZIP codes and counties as addresses refer to."""
    cities = [town, town, town, f"{town} Station", f"North {town}", "Encantada", "Peñascal"]
    first_zip = 75001 + (number * 97) % 4800
    return {
        "Demographics/Zip": [
            {"ZipID": 300 + place, "City": city, "ZipCode": str(first_zip + place), "StateID": 1}
            for place, city in enumerate(cities)
        ],
        "Demographics/County": [
            {"CountyID": 10 + place, "Name": f"{w.COUNTIES[(number + place) % len(w.COUNTIES)]} County"}
            for place in range(2)
        ],
    }

"""Puts synthetic districts together, and lets nights pass. People and enrollments are in other modules.

From night to night a few students leave, enroll, change grade, move or get another phone. Each night has a
random stream of its own and changes the tables of the night before. So night 5 contains all that night 4 did,
and an id never changes its meaning.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from samegoal_pipelines.sandbox import people as p
from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.district import (
    FIELDS,
    Rows,
    SandboxDistrict,
    common_rows,
    grade_code,
    school_year_of,
    table_of,
    withdrawal_code_id,
)
from samegoal_pipelines.sandbox.enrollments import (
    LEAVER_CODES,
    Campus,
    enrollment_rows,
    first_day,
    last_day,
)

_LEVELS = (("Elementary School", 0.46 / 620), ("Middle School", 0.23 / 820), ("High School", 0.31 / 1900))
"""Levels, and campuses per student of the district."""
_ENROLLMENTS = "Enrollment/EntryWithdrawal"
_EVERYWHERE = ("Career and Technical Center", "Alternative Learning Center")
_CHANGED_PER_NIGHT = 0.005
"""Share of students that a night changes."""
_NEW_IDS = 50_000_000
"""Rows that a night adds have ids of their own: night × 10,000 and up."""


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
        made = [_generated(n, sizes[n % len(sizes)], seed, today, night, year) for n in range(districts)]
        return cls(made)


def _generated(
    number: int, students: int, seed: int, today: dt.date, nights: int, year: int
) -> SandboxDistrict:
    """The district of this number with the students of a school year, after so many nights."""
    town = town_name(number)
    slug = town.lower().replace(" ", "-")
    code = f"{number % 254 + 1:03d}{901 + number // 254:03d}"
    campuses = campuses_of(number, students)
    rows: p.Tables = common_rows(f"{town} ISD", code, today, [campus[:3] for campus in campuses])
    rows |= _surroundings(number, town)

    def stream(part: str) -> Random:
        """Random numbers of its own for each part, so that a change in one part moves no other."""
        return Random(f"{seed}/{number}/{part}")

    def made_up(what: str, length: int) -> str:
        return hashlib.sha256(f"{seed}/{slug}/{what}".encode()).hexdigest()[:length]

    pupils = p.Town(stream("people"), rows, year, school_year_of(today) - year, slug).add_people(students)
    rows[_ENROLLMENTS] = enrollment_rows(stream("enrollments"), pupils, campuses, year, today)
    for night in range(1, nights + 1 if students else 0):
        _pass_night(stream(f"night {night}"), rows, night, today - dt.timedelta(days=nights - night))
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
    named: list[tuple[str, int | None]] = []
    for place, level in enumerate(levels):
        name = f"{w.SCHOOL_PEOPLE[(number * 7 + place) % count]} {_LEVELS[level][0]}"
        named.append((f"{name} {1 + place // count}" if len(levels) > count else name, level))
    named += [(name, None) for name in _EVERYWHERE]
    # The SchoolID is not the EntityID: a mix-up shows.
    return [Campus(entity, entity * 10 + 7000, *each) for entity, each in enumerate(named, start=2)]


def _surroundings(number: int, town: str) -> p.Tables:
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


def _pass_night(rng: Random, tables: p.Tables, night: int, day: dt.date) -> None:
    """Change the tables by the night that ends on this day."""
    changed, new = len(tables[p.STUDENTS]) * _CHANGED_PER_NIGHT, _NEW_IDS + night * 10_000

    def some(share: float, rows: Rows) -> Rows:
        return rng.sample(rows, min(len(rows), max(1, round(changed * share))))

    year = school_year_of(day)
    for row in some(0.15, [row for row in tables[_ENROLLMENTS] if _attended(row, year, day)]):
        row |= {"EndDate": day, "WithdrawalDate": day + dt.timedelta(days=1)}
        row["WithdrawalCodeID"] = withdrawal_code_id(year, rng.choice(LEAVER_CODES))
    at_home = {row["StudentID"] for row in tables[_ENROLLMENTS] if row["IsDefaultEntity"]}
    with_home = [row for row in tables[p.STUDENTS] if row["StudentID"] in at_home]
    _enroll(rng, tables, some(0.15, with_home), day, new)
    for student in some(0.1, [row for row in tables[p.STUDENTS] if 1 <= row["GradeNumeric"] <= 11]):
        grade = student["GradeNumeric"] + rng.choice((-1, 1))
        student |= {"GradeNumeric": grade, "Grade": grade_code(grade)}
    left = some(0.3, tables[p.ADDRESSES])  # everyone there moves together
    moved = {address["AddressID"]: new + number for number, address in enumerate(left)}
    tables[p.ADDRESSES] += [{"AddressID": key, **p.address_fields(rng)} for key in moved.values()]
    for link in tables[p.LINKS]:
        link["AddressID"] = moved.get(link["AddressID"], link["AddressID"])
    for phone in some(0.3, tables[p.PHONES]):
        phone |= p.phone_number(rng)


def _attended(row: dict[str, Any], year: int, day: dt.date) -> bool:
    """Whether a student is enrolled at home by this row, with no end known."""
    at_home = row["IsDefaultEntity"] and row["SchoolYearID"] == year and row["StartDate"] <= day
    return at_home and row["EndDate"] is row["WithdrawalDate"] is None


def _enroll(rng: Random, tables: p.Tables, siblings: Rows, day: dt.date, new: int) -> None:
    """A brother or sister of each of these enrolls: the same guardians and home, another name."""
    by_student = {sibling["StudentID"]: new + number for number, sibling in enumerate(siblings)}
    by_name = {sibling["NameID"]: new + number for number, sibling in enumerate(siblings)}

    def copy(name: str, rows: Rows, column: str, new_ids: dict[int, int]) -> Rows:
        """Copy the rows of each old id for its new one."""
        old = [row for row in rows if row[column] in new_ids]
        copies = [
            {**row, next(iter(row)): new + 5_000 + number, column: new_ids[row[column]]}
            for number, row in enumerate(old)
        ]
        tables[name] += copies
        return copies

    for student in copy(p.STUDENTS, tables[p.STUDENTS], "StudentID", by_student):
        key, grade = student["StudentID"], min(12, max(0, student["GradeNumeric"]))
        student |= {"NameID": key, "GradeNumeric": grade, "Grade": grade_code(grade)}
        student |= {"StudentNumber": f"{key:09d}", "CalculatedStudentStateID": f"2{key:09d}"}
    for name in copy(p.NAMES, tables[p.NAMES], "NameID", by_name):
        female = rng.random() < 0.5
        first = p.first_name(rng, female=female)
        name |= {"FirstName": first, "FirstNameLegal": first, "NameSuffixID": None, **p.gender(female=female)}
    year = school_year_of(day)
    year += day > last_day(year)
    latest = {row["StudentID"]: row for row in tables[_ENROLLMENTS] if row["IsDefaultEntity"]}
    for row in copy(_ENROLLMENTS, list(latest.values()), "StudentID", by_student):
        row |= {"SchoolYearID": year, "StartDate": max(day, first_day(year))}
        row |= dict.fromkeys(("EndDate", "WithdrawalDate", "WithdrawalCodeID"))
    copy(p.GUARDIANS, tables[p.GUARDIANS], "StudentID", by_student)
    copy(p.LINKS, tables[p.LINKS], "NameID", by_name)

"""Puts a synthetic district together: its town and campuses here, the rest in other modules."""

import datetime as dt
import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.sandbox import people
from samegoal_pipelines.sandbox import words as w
from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.draw import stream
from samegoal_pipelines.sandbox.enrollments import enrollment_rows
from samegoal_pipelines.sandbox.nights import pass_nights
from samegoal_pipelines.sandbox.objects import SCHEMAS, common_rows, school_year_of, table_of

_LEVELS = (("Elementary School", 0.46 / 620), ("Middle School", 0.23 / 820), ("High School", 0.31 / 1900))
"""Levels, and campuses per student of the district."""
_EVERYWHERE = ("Career and Technical Center", "Alternative Learning Center")
_GRADES_OF_STUDENTS = np.arange(-2, 16)
"""Grades in the school year of the students: -2 comes next year, 13 and more have graduated."""
_GRADE_SHARES = np.array([0.008, 0.035, *[0.0667] * 13, 0.058, 0.018, 0.0139])


def generated_district(
    number: int, students: int, seed: int, today: dt.date, night: int, year: int
) -> SandboxDistrict:
    """The district of this number with the students of a school year, after so many nights."""
    town = town_name(number)
    slug = town.lower().replace(" ", "-")
    code = f"{number % 254 + 1:03d}{901 + number // 254:03d}"

    def made_up(what: str, length: int) -> str:
        return hashlib.sha256(f"{seed}/{slug}/{what}".encode()).hexdigest()[:length]

    campuses = campuses_of(number, students)
    literal = common_rows(
        f"{town} ISD", code, today, zip(campuses["entity"], campuses["school"], campuses["name"], strict=True)
    )
    literal |= _surroundings(number, town)
    frames = _frames(number, students, seed, today, year, campuses, slug)
    pass_nights(frames, seed, number, today, night)
    tables = {name: table_of(name, rows) for name, rows in literal.items()}
    for name, frame in frames.items():
        complete = frame.reindex(columns=SCHEMAS[name].names)  # a field that it lacks is null
        tables[name] = pa.Table.from_pandas(complete, SCHEMAS[name], preserve_index=False)
    return SandboxDistrict(
        id=slug,
        name=f"{town} ISD",
        code=code,
        base_path=f"/{town.replace(' ', '')}TXStuAPI",
        client_key=made_up("key", 24),
        client_secret=made_up("secret", 48),
        timezone="America/Denver" if number % 10 == 9 else "America/Chicago",
        today=today,
        tables={name: tables[name] for name in SCHEMAS},
    )


def town_name(number: int) -> str:
    """A name for each district."""
    turn, place = divmod(number, len(w.TOWN_FIRST))
    lap, shift = divmod(turn, len(w.TOWN_SECOND))
    town = f"{w.TOWN_FIRST[place]} {w.TOWN_SECOND[(place + shift) % len(w.TOWN_SECOND)]}"
    return f"{town} {lap + 1}" if lap else town


def campuses_of(number: int, students: int) -> pd.DataFrame:
    """The campuses of a district: one entity and one school each. The last two serve the whole district."""
    levels = np.repeat(range(len(_LEVELS)), [max(1, round(students * each)) for _, each in _LEVELS])
    count = len(w.SCHOOL_PEOPLE)
    names = [
        f"{w.SCHOOL_PEOPLE[(number * 7 + place) % count]} {_LEVELS[level][0]}"
        + (f" {1 + place // count}" if len(levels) > count else "")
        for place, level in enumerate(levels)
    ]
    entity = np.arange(2, len(levels) + 4)
    return pd.DataFrame(
        {
            "entity": entity,
            "school": entity * 10 + 7000,  # not the EntityID: a mix-up shows
            "name": [*names, *_EVERYWHERE],
            "level": [*levels, -1, -1],
        }
    )


def _frames(
    number: int, students: int, seed: int, today: dt.date, year: int, campuses: pd.DataFrame, slug: str
) -> dict[str, pd.DataFrame]:
    """The tables about people."""
    rng = stream(seed, number, "people")
    grade = rng.choice(_GRADES_OF_STUDENTS, students, p=_GRADE_SHARES / _GRADE_SHARES.sum())
    persons = people.persons_of(rng, grade)
    pupils = persons[persons["role"] == "student"].astype({"student_id": int, "grade": int})
    names = people.name_rows(stream(seed, number, "names"), persons, year)
    records = people.student_rows(stream(seed, number, "students"), pupils, school_year_of(today) - year)
    enrollments = enrollment_rows(stream(seed, number, "enrollments"), pupils, campuses, year, today)
    rng = stream(seed, number, "contacts")
    addresses, links = people.addresses_and_links(rng, persons)
    return {
        "Demographics/Name": names,
        "Student/Student": records,
        "Enrollment/EntryWithdrawal": enrollments,
        "Family/StudentGuardian": people.guardianships(rng, persons),
        "Demographics/Address": addresses,
        "Demographics/NameAddress": links,
        "Demographics/NamePhone": people.phones(rng, persons),
        "Demographics/NameEmail": people.emails(rng, names, persons["role"].to_numpy(), slug),
    }


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

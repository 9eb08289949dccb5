"""Puts a synthetic district together, from its number, size and seed; how each part is made is not here."""

import datetime as dt
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.careers import Careers, careers_of, day_number
from samegoal_pipelines.sandbox.contacts import contact_tables
from samegoal_pipelines.sandbox.district import GRADES, SandboxDistrict
from samegoal_pipelines.sandbox.draw import chance, generator, joined, nullable, where, words
from samegoal_pipelines.sandbox.enrollments import enrollment_table
from samegoal_pipelines.sandbox.evolve import evolve
from samegoal_pipelines.sandbox.families import ASIAN, HISPANIC, Families, families_of
from samegoal_pipelines.sandbox.objects import OBJECTS
from samegoal_pipelines.sandbox.people import People, people_of
from samegoal_pipelines.sandbox.places import campus_rows, campuses_of, town_rows
from samegoal_pipelines.sandbox.rows import table_of
from samegoal_pipelines.sandbox.school_years import (
    NUMERIC_YEAR_OF_ID_0,
    lookups,
    school_year_of,
    school_years,
    withdrawal_codes,
)
from samegoal_pipelines.sandbox.words import TOWN_FIRST, TOWN_SECOND

FIRST_STUDENT_ID = 20_001


def district_of(
    number: int, students: int, *, seed: int, today: dt.date, night: int, anchor: int
) -> SandboxDistrict:
    """The district of this number, with the students of a school year, as it stands on the given night."""
    town = town_name(number)
    name, slug = f"{town} ISD", town.lower().replace(" ", "-")
    code = f"{number % 254 + 1:03d}{901 + number // 254:03d}"
    return SandboxDistrict(
        id=slug,
        name=name,
        code=code,
        base_path=f"/{town.replace(' ', '')}TXStuAPI",
        client_key=_made_up(seed, slug, "key")[:24],
        client_secret=_made_up(seed, slug, "secret")[:48],
        timezone="America/Denver" if number % 10 == 9 else "America/Chicago",
        today=today,
        tables=tables_of(number, students, anchor, seed=seed, today=today, night=night, town=town, code=code),
    )


def tables_of(
    number: int, students: int, anchor: int, *, seed: int, today: dt.date, night: int, town: str, code: str
) -> dict[str, pa.Table]:
    """All tables of a district."""
    years = school_years(today)
    year_ids = [year["SchoolYearID"] for year in years]
    campuses = campuses_of(number, students)
    families = families_of(seed, number, students)
    careers = careers_of(seed, number, students, anchor)
    people = people_of(seed, number, families, careers.grade, anchor)
    student_id = FIRST_STUDENT_ID + np.arange(students)
    literal = {
        **lookups(),
        **campus_rows(campuses, f"{town} ISD", code, year_ids),
        **town_rows(number, town),
        "District/SchoolYear": years,
        "Enrollment/WithdrawalCode": withdrawal_codes(year_ids),
    }
    slug = town.lower().replace(" ", "-")
    tables = {
        **{name: table_of(OBJECTS[name], rows) for name, rows in literal.items()},
        **contact_tables(seed, number, families, people, student_id, careers.grade, slug),
        "Demographics/Name": people.table,
        "Student/Student": _students(
            seed, number, families, people, careers, student_id, school_year_of(today)
        ),
        "Enrollment/EntryWithdrawal": enrollment_table(
            seed, number, careers, families, campuses, student_id, day_number(today)
        ),
    }
    tables = {
        name: tables[name].select(list(OBJECTS[name].types)).cast(OBJECTS[name].schema) for name in OBJECTS
    }
    return evolve(tables, seed, number, today, night)


def town_name(number: int) -> str:
    """A name for each district; the pairs of words run out after 900."""
    first, second = TOWN_FIRST, TOWN_SECOND
    turn, place = divmod(number, len(first))
    lap = number // (len(first) * len(second))
    town = f"{first[place]} {second[(place + turn) % len(second)]}"
    return f"{town} {lap + 1}" if lap else town


def _made_up(seed: int, slug: str, what: str) -> str:
    """A key or secret that nobody else has, the same for the same seed."""
    return hashlib.sha256(f"{seed}/{slug}/{what}".encode()).hexdigest()


def _students(
    seed: int,
    number: int,
    families: Families,
    people: People,
    careers: Careers,
    student_id: np.ndarray,
    year: int,
) -> pa.Table:
    """Rows of Student/Student, with the grade of this year."""
    rng = generator(seed, number, "students")
    count = len(student_id)
    local = pa.array(3_000 + rng.permutation(count * 3)[:count]).cast(pa.string())
    state = pa.array(100_000_000 + rng.permutation(count * 7)[:count] * 97).cast(pa.string())
    grade = careers.grade + year - careers.anchor
    in_school = (grade >= -1) & (grade <= 12)
    origin = families.origin[families.of_child]
    elsewhere = np.select([origin == HISPANIC, origin == ASIAN], [2, 3 + rng.integers(0, 4, count)], 1)
    language = np.where(chance(rng, count, np.where(origin == HISPANIC, 0.42, 0.5)), elsewhere, 1)
    unsaid = chance(rng, count, 0.04)
    return pa.table(
        {
            "StudentID": pa.array(student_id),
            "NameID": pa.array(people.student_ids()),
            "StudentNumber": pc.utf8_lpad(local, 6, "0"),
            "Grade": words(GRADES, np.clip(grade, -2, 12) + 2, ~in_school),
            "GradeNumeric": pa.array(grade),
            "GradYear": pa.array(year + NUMERIC_YEAR_OF_ID_0 + 12 - grade),
            "CalculatedStudentStateID": where(chance(rng, count, 0.005), None, joined("1", state)),
            "LanguageIDPrimary": nullable(language, unsaid),
            "LanguageIDNative": nullable(language, ~unsaid & chance(rng, count, 0.6)),
        }
    )

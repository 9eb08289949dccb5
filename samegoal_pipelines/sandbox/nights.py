"""What happens from night to night: a few students leave, enroll, change grade, move or get another phone.

Each night has a random stream of its own and changes the tables of the night before. So night 5 contains all
that night 4 did, and an id never changes its meaning.
"""

import datetime as dt
from collections.abc import Sequence
from random import Random
from typing import Any

from samegoal_pipelines.sandbox.district import grade_code, school_year_of, withdrawal_code_id
from samegoal_pipelines.sandbox.enrollments import LEAVER_CODES, first_day, last_day
from samegoal_pipelines.sandbox.people import (
    ADDRESSES,
    GUARDIANS,
    LINKS,
    NAMES,
    PHONES,
    STUDENTS,
    Tables,
    address_fields,
    first_name,
    gender,
    phone_number,
)

ENROLLMENTS = "Enrollment/EntryWithdrawal"
_CHANGED_PER_NIGHT = 0.005
"""Share of students that a night changes."""
_NEW_IDS = 50_000_000
"""Rows that a night adds have ids of their own: night × 10,000 and up."""

Rows = list[dict[str, Any]]


def pass_night(rng: Random, tables: Tables, night: int, day: dt.date) -> None:
    """Change the tables by the night that ends on this day."""
    changed, new = len(tables[STUDENTS]) * _CHANGED_PER_NIGHT, _NEW_IDS + night * 10_000

    def some(share: float, rows: Rows) -> Rows:
        return rng.sample(rows, min(len(rows), max(1, round(changed * share))))

    year = school_year_of(day)
    for row in some(0.15, [row for row in tables[ENROLLMENTS] if _attended(row, year, day)]):
        row |= {"EndDate": day, "WithdrawalDate": day + dt.timedelta(days=1)}
        row["WithdrawalCodeID"] = withdrawal_code_id(year, rng.choice(LEAVER_CODES))
    at_home = {row["StudentID"] for row in tables[ENROLLMENTS] if row["IsDefaultEntity"]}
    with_home = [row for row in tables[STUDENTS] if row["StudentID"] in at_home]
    _enroll(rng, tables, some(0.15, with_home), day, new)
    for student in some(0.1, [row for row in tables[STUDENTS] if 1 <= row["GradeNumeric"] <= 11]):
        grade = student["GradeNumeric"] + rng.choice((-1, 1))
        student |= {"GradeNumeric": grade, "Grade": grade_code(grade)}
    left = some(0.3, tables[ADDRESSES])  # everyone there moves together
    moved = {address["AddressID"]: new + number for number, address in enumerate(left)}
    tables[ADDRESSES] += [{"AddressID": key, **address_fields(rng)} for key in moved.values()]
    for link in tables[LINKS]:
        link["AddressID"] = moved.get(link["AddressID"], link["AddressID"])
    for phone in some(0.3, tables[PHONES]):
        phone |= phone_number(rng)


def _attended(row: dict[str, Any], year: int, day: dt.date) -> bool:
    """Whether a student is enrolled at home by this row, with no end known."""
    at_home = row["IsDefaultEntity"] and row["SchoolYearID"] == year and row["StartDate"] <= day
    return at_home and row["EndDate"] is row["WithdrawalDate"] is None


def _enroll(rng: Random, tables: Tables, siblings: Sequence[dict[str, Any]], day: dt.date, new: int) -> None:
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

    for student in copy(STUDENTS, tables[STUDENTS], "StudentID", by_student):
        key, grade = student["StudentID"], min(12, max(0, student["GradeNumeric"]))
        student |= {"NameID": key, "GradeNumeric": grade, "Grade": grade_code(grade)}
        student |= {"StudentNumber": f"{key:09d}", "CalculatedStudentStateID": f"2{key:09d}"}
    for name in copy(NAMES, tables[NAMES], "NameID", by_name):
        female = rng.random() < 0.5
        first = first_name(rng, female=female)
        name |= {"FirstName": first, "FirstNameLegal": first, "NameSuffixID": None, **gender(female=female)}
    year = school_year_of(day)
    year += day > last_day(year)
    latest = {row["StudentID"]: row for row in tables[ENROLLMENTS] if row["IsDefaultEntity"]}
    for row in copy(ENROLLMENTS, list(latest.values()), "StudentID", by_student):
        row |= {"SchoolYearID": year, "StartDate": max(day, first_day(year))}
        row |= dict.fromkeys(("EndDate", "WithdrawalDate", "WithdrawalCodeID"))
    copy(GUARDIANS, tables[GUARDIANS], "StudentID", by_student)
    copy(LINKS, tables[LINKS], "NameID", by_name)

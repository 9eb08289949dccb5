"""Districts of literal rows, as tests write them.

A test gives the rows that matter, and the rest is filled in: school years around ``today``, a district entity
and two campuses, withdrawal codes of every year, lookups, and for every student of an enrollment a record and
a name. An enrollment gets an id, the year of its first day, a campus and flags. It may say
``WithdrawalCode="CECS"``, the code itself, in place of the id. Nothing is random.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.lookups import common_rows, school_year_of
from samegoal_pipelines.sandbox.objects import SCHEMAS
from samegoal_pipelines.sandbox.rows import Row, table_of

CAMPUSES = ((101, 1101, "Prairie Elementary School"), (102, 1001, "Prairie High School"))
"""EntityID, SchoolID and name."""


def literal_district(
    given: Mapping[str, Sequence[Row]],
    *,
    today: dt.date,
    id: str = "grand-bend",
    name: str = "Grand Bend ISD",
    code: str = "255901",
    **settings: Any,
) -> SandboxDistrict:
    """A district with these rows, completed."""
    if unknown := given.keys() - SCHEMAS.keys():
        raise KeyError(f"no such object: {', '.join(sorted(unknown))}")
    rows: dict[str, list[dict[str, Any]]] = {each: [] for each in SCHEMAS}
    rows |= common_rows(name, code, today, CAMPUSES)
    rows["Demographics/Zip"] = [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "78834", "StateID": 1}]
    rows["Demographics/County"] = [{"CountyID": 1, "Name": "Willow"}]
    rows |= {key: [dict(row) for row in value] for key, value in given.items()}
    enrollments = rows["Enrollment/EntryWithdrawal"]
    _complete_enrollments(enrollments, rows["Enrollment/WithdrawalCode"], today)
    if "Student/Student" not in given:
        ids = {row.get("StudentID") for row in enrollments}
        rows["Student/Student"] = [_student(each) for each in sorted(i for i in ids if isinstance(i, int))]
    if "Demographics/Name" not in given:
        ids = {row.get("NameID") for row in rows["Student/Student"]}
        rows["Demographics/Name"] = [_name(each) for each in sorted(i for i in ids if isinstance(i, int))]
    slug = re.sub(r"[^A-Za-z0-9]", "", name)
    defaults = {
        "base_path": f"/{slug}StuAPI",
        "client_key": f"key-{id}",
        "client_secret": f"made-up-{id}",
        "tables": {each: table_of(each, rows[each]) for each in SCHEMAS},
    }
    return SandboxDistrict(id=id, name=name, code=code, today=today, **(defaults | settings))


def _complete_enrollments(
    enrollments: list[dict[str, Any]], codes: list[dict[str, Any]], today: dt.date
) -> None:
    known = {(row.get("SchoolYearID"), row.get("Code")): row.get("WithdrawalCodeID") for row in codes}
    for number, row in enumerate(enrollments, start=1):
        defaults = {
            "EntryWithdrawalID": number,
            "SchoolYearID": _year_of(row.get("StartDate"), today),
            "EntityID": CAMPUSES[0][0],
            "SchoolID": CAMPUSES[0][1],
            "IsDefaultEntity": True,
            "IsCrossEntityCourseEnrollment": False,
            "IsNoShow": False,
        }
        for field, value in defaults.items():
            row.setdefault(field, value)
        if (code := row.pop("WithdrawalCode", None)) is not None:
            key = row["SchoolYearID"], code
            if key not in known:
                known[key] = 900_000 + len(codes)
                codes.append({"WithdrawalCodeID": known[key], "Code": code, "SchoolYearID": key[0]})
            row["WithdrawalCodeID"] = known[key]


def _year_of(start: Any, today: dt.date) -> int:
    try:
        return school_year_of(dt.date.fromisoformat(str(start)[:10]))
    except ValueError:
        return school_year_of(today)


def _student(student: int) -> dict[str, Any]:
    return {
        "StudentID": student,
        "NameID": 1_000_000 + student,
        "StudentNumber": f"{student:06d}",
        "Grade": "05",
        "GradeNumeric": 5,
        "CalculatedStudentStateID": f"9{student:09d}",
        "LanguageIDPrimary": 1,
    }


def _name(name: int) -> dict[str, Any]:
    return {
        "NameID": name,
        "FirstName": "Sam",
        "LastName": f"Student{name}",
        "BirthDate": "2015-05-01",
        "Gender": "Female",
        "GenderCode": "F",
        "Race": "White",
        "IsStudentName": True,
        "IsGuardianName": False,
    }

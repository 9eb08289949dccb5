"""Districts of literal rows, as tests write them.

A test gives the rows that matter; the rest is filled in: school years around ``today``, a district entity
and two campuses, withdrawal codes of every year, lookups, and for every student of an enrollment a record
and a name. Filled in per enrollment, where not given: its id, year (of its first day), campus and flags. As
a convenience an enrollment may say ``WithdrawalCode="CECS"``, the code itself, in place of an id. No
randomness here.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samegoal_pipelines.sandbox.objects import OBJECTS
from samegoal_pipelines.sandbox.rows import Row, table_of
from samegoal_pipelines.sandbox.school_years import (
    lookups,
    school_year_of,
    school_years,
    withdrawal_codes,
)

if TYPE_CHECKING:
    from samegoal_pipelines.sandbox.district import SandboxDistrict

CAMPUSES = ((101, 1101, "Prairie Elementary School"), (102, 1001, "Prairie High School"))
"""EntityID, SchoolID and name of the campuses of a literal district."""


def district_of(
    kind: type["SandboxDistrict"],
    given: Mapping[str, Sequence[Row]],
    *,
    today: dt.date,
    id: str = "grand-bend",
    name: str = "Grand Bend ISD",
    code: str = "255901",
    **settings: Any,
) -> "SandboxDistrict":
    """A district with these rows, completed."""
    rows: dict[str, list[dict[str, Any]]] = {
        key: [dict(row) for row in value] for key, value in given.items()
    }
    unknown = rows.keys() - OBJECTS.keys()
    if unknown:
        raise KeyError(f"no such object: {', '.join(sorted(unknown))}")
    defaults = _surroundings(name, code, today)
    for object_name in OBJECTS:
        rows.setdefault(object_name, defaults.get(object_name, []))
    _complete_enrollments(rows, today)
    if "Student/Student" not in given:
        ids = {row.get("StudentID") for row in rows["Enrollment/EntryWithdrawal"]}
        rows["Student/Student"] = [
            _student(student) for student in sorted(i for i in ids if isinstance(i, int))
        ]
    if "Demographics/Name" not in given:
        rows["Demographics/Name"] = [
            _name(row["NameID"]) for row in rows["Student/Student"] if row.get("NameID")
        ]
    slug = re.sub(r"[^A-Za-z0-9]", "", name)
    return kind(
        id=id,
        name=name,
        code=code,
        today=today,
        base_path=settings.pop("base_path", f"/{slug}StuAPI"),
        client_key=settings.pop("client_key", f"key-{id}"),
        client_secret=settings.pop("client_secret", f"made-up-{id}"),
        tables={object_name: table_of(OBJECTS[object_name], rows[object_name]) for object_name in OBJECTS},
        **settings,
    )


def _surroundings(name: str, code: str, today: dt.date) -> dict[str, list[dict[str, Any]]]:
    years = school_years(today)
    year_ids = [year["SchoolYearID"] for year in years]
    entities = [(1, "000", name), *((entity, str(school), label) for entity, school, label in CAMPUSES)]
    return {
        **lookups(),
        "District/SchoolYear": years,
        "District/Entity": [
            {
                "EntityID": entity,
                "Code": entity_code,
                "Name": label,
                "DistrictID": 1,
                "IsDistrictWide": entity == 1,
                "SchoolYearIDCurrent": school_year_of(today),
            }
            for entity, entity_code, label in entities
        ],
        "Enrollment/WithdrawalCode": withdrawal_codes(year_ids),
        "Enrollment/School": [
            {
                "SchoolID": school,
                "Code": str(school),
                "Name": label,
                "StateAssignedID": f"{code}{entity}",
                "SchoolYearID": year,
            }
            for year in year_ids
            for entity, school, label in CAMPUSES
        ],
        "Demographics/Zip": [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "78834", "StateID": 1}],
        "Demographics/County": [{"CountyID": 1, "Name": "Willow"}],
    }


def _complete_enrollments(rows: dict[str, list[dict[str, Any]]], today: dt.date) -> None:
    codes = rows["Enrollment/WithdrawalCode"]
    known = {(row.get("SchoolYearID"), row.get("Code")): row.get("WithdrawalCodeID") for row in codes}
    for number, row in enumerate(rows["Enrollment/EntryWithdrawal"], start=1):
        row.setdefault("EntryWithdrawalID", number)
        row.setdefault("SchoolYearID", _year_of(row.get("StartDate"), today))
        row.setdefault("EntityID", CAMPUSES[0][0])
        row.setdefault("SchoolID", CAMPUSES[0][1])
        row.setdefault("IsDefaultEntity", True)
        row.setdefault("IsCrossEntityCourseEnrollment", False)
        row.setdefault("IsNoShow", False)
        code = row.pop("WithdrawalCode", None)
        if code is not None:
            year = row["SchoolYearID"]
            if (year, code) not in known:
                known[year, code] = 900_000 + len(codes)
                codes.append({"WithdrawalCodeID": known[year, code], "Code": code, "SchoolYearID": year})
            row["WithdrawalCodeID"] = known[year, code]


def _year_of(start: Any, today: dt.date) -> int:
    if isinstance(start, dt.date):
        return school_year_of(start)
    try:
        return school_year_of(dt.date.fromisoformat(str(start)[:10]))
    except ValueError:
        return school_year_of(today)


def _student(student: int) -> dict[str, Any]:
    number = f"{student:06d}"
    return {
        "StudentID": student,
        "NameID": 1_000_000 + student,
        "StudentNumber": number,
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

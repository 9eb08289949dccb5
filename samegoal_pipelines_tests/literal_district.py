"""Districts of literal rows: a test names the rows that matter, the rest is filled in."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from samegoal_pipelines.sandbox import SandboxDistrict
from samegoal_pipelines.sandbox.district import FIELDS, Row, common_rows, school_year_of, table_of
from samegoal_pipelines.tables.catalog import OBJECTS

# Fields that a district may decline to grant, marked ★ in the contract
OPTIONAL_FIELDS = {
    f"{wanted.path}.{column.name}"
    for wanted in OBJECTS.values()
    for column in wanted.fields
    if column.optional
}
# EntityID, SchoolID and name
CAMPUSES = ((101, 1101, "Prairie Elementary School"), (102, 1001, "Prairie High School"))


def literal_district(
    given: Mapping[str, Sequence[Row]],
    *,
    today: dt.date,
    id: str = "grand-bend",
    name: str = "Grand Bend ISD",
    code: str = "255901",
    **settings: Any,
) -> SandboxDistrict:
    """A district with these rows of these objects.

    The rest is filled in: school years around `today`, a district entity and two campuses, withdrawal codes
    of every year, lookups, and for every student of an enrollment a record and a name. An enrollment gets an
    id, the year of its first day, a campus and flags. It may say `WithdrawalCode="CECS"`, the code itself, in
    place of the id.
    """
    if unknown := given.keys() - FIELDS.keys():
        raise KeyError(f"no such object: {', '.join(sorted(unknown))}")
    rows: dict[str, list[dict[str, Any]]] = {
        **{each: [] for each in FIELDS},
        **common_rows(name, code, today, CAMPUSES),
        "Demographics/Zip": [{"ZipID": 1, "City": "Grand Bend", "ZipCode": "78834", "StateID": 1}],
        "Demographics/County": [{"CountyID": 1, "Name": "Willow"}],
        **{key: [dict(row) for row in value] for key, value in given.items()},
    }
    enrollments = rows["Enrollment/EntryWithdrawal"]
    _complete_enrollments(enrollments, rows["Enrollment/WithdrawalCode"], today)
    if "Student/Student" not in given:
        rows["Student/Student"] = [
            {
                "StudentID": student,
                "NameID": 1_000_000 + student,
                "StudentNumber": f"{student:06d}",
                "Grade": "05",
                "GradeNumeric": 5,
                "CalculatedStudentStateID": f"9{student:09d}",
                "LanguageIDPrimary": 1,
            }
            for student in _ids(enrollments, "StudentID")
        ]
    if "Demographics/Name" not in given:
        rows["Demographics/Name"] = [
            {
                "NameID": name_id,
                "FirstName": "Sam",
                "LastName": f"Student{name_id}",
                "BirthDate": "2015-05-01",
                "Gender": "Female",
                "GenderCode": "F",
                "Race": "White",
                "IsStudentName": True,
                "IsGuardianName": False,
            }
            for name_id in _ids(rows["Student/Student"], "NameID")
        ]
    usual = {
        "base_path": f"/{re.sub(r'[^A-Za-z0-9]', '', name)}StuAPI",
        "client_key": f"key-{id}",
        "client_secret": f"made-up-{id}",
        "tables": {each: table_of(each, rows[each]) for each in FIELDS},
    }
    return SandboxDistrict(id=id, name=name, code=code, today=today, **(usual | settings))


def _complete_enrollments(
    enrollments: list[dict[str, Any]], codes: list[dict[str, Any]], today: dt.date
) -> None:
    known = {(row.get("SchoolYearID"), row.get("Code")): row.get("WithdrawalCodeID") for row in codes}
    for number, row in enumerate(enrollments, start=1):
        try:
            year = school_year_of(dt.date.fromisoformat(str(row.get("StartDate"))[:10]))
        except ValueError:
            year = school_year_of(today)
        defaults = {
            "EntryWithdrawalID": number,
            "SchoolYearID": year,
            "EntityID": CAMPUSES[0][0],
            "SchoolID": CAMPUSES[0][1],
            "IsDefaultEntity": True,
            "IsCrossEntityCourseEnrollment": False,
        }
        row |= defaults | row
        if (code := row.pop("WithdrawalCode", None)) is not None:
            key = row["SchoolYearID"], code
            if key not in known:
                known[key] = 900_000 + len(codes)
                codes.append({"WithdrawalCodeID": known[key], "Code": code, "SchoolYearID": key[0]})
            row["WithdrawalCodeID"] = known[key]


def _ids(rows: Sequence[Row], key: str) -> list[int]:
    return sorted({row[key] for row in rows if isinstance(row.get(key), int)})

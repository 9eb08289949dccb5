"""Literal rows, as tests write them, in and out of Arrow tables.

A value of the declared type goes into its typed cell. Any other JSON value, such as ``"31 February"`` as a
StartDate, leaves the cell null and is kept in a hidden column, from which it is served as it is.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from samegoal_pipelines.sandbox.objects import SCHEMAS, common_rows, school_year_of

ODD_VALUES = "_odd_values"  # the hidden column: a JSON object of field → value, or null
# EntityID, SchoolID and name
CAMPUSES = ((101, 1101, "Prairie Elementary School"), (102, 1001, "Prairie High School"))
_PYTHON_TYPES = {pa.bool_(): bool, pa.int64(): int, pa.date32(): dt.date, pa.string(): str}

Row = Mapping[str, Any]


def table_of(name: str, rows: Sequence[Row]) -> pa.Table:
    """A table of literal rows. A field that a row leaves out is null."""
    schema = SCHEMAS[name]
    if unknown := {field for row in rows for field in row} - set(schema.names):
        raise KeyError(f"{name} has no field {', '.join(sorted(unknown))}")
    cells = [{field.name: _typed(row.get(field.name), field.type) for field in schema} for row in rows]
    odd = [
        {field: value for field, value in row.items() if value is not None and typed[field] is None}
        for row, typed in zip(rows, cells, strict=True)
    ]
    table = pa.Table.from_pylist(cells, schema=schema)
    if not any(odd):
        return table
    return table.append_column(ODD_VALUES, pa.array([json.dumps(each) if each else None for each in odd]))


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as a test would write them."""
    return [row | json.loads(row.pop(ODD_VALUES, None) or "{}") for row in table.to_pylist()]


def _typed(value: Any, type_: pa.DataType) -> Any:
    """The value for a typed cell, or None if it has another type."""
    try:
        if pa.types.is_date(type_) and isinstance(value, str):
            day = dt.date.fromisoformat(value.removesuffix("T00:00:00"))
            return day if value[:10] == day.isoformat() else None  # only what is served in the same form
        return pa.scalar(value, type_).as_py() if type(value) is _PYTHON_TYPES[type_] else None
    except (OverflowError, ValueError):  # 2**70; a lone surrogate, which JSON can hold and Arrow cannot
        return None


def literal_tables(
    given: Mapping[str, Sequence[Row]], name: str, code: str, today: dt.date
) -> dict[str, pa.Table]:
    """The tables of a district, of which a test gives the rows that matter.

    The rest is filled in: school years around ``today``, a district entity and two campuses, withdrawal codes
    of every year, lookups, and for every student of an enrollment a record and a name. An enrollment gets an
    id, the year of its first day, a campus and flags. It may say ``WithdrawalCode="CECS"``, the code itself,
    in place of the id.
    """
    if unknown := given.keys() - SCHEMAS.keys():
        raise KeyError(f"no such object: {', '.join(sorted(unknown))}")
    rows: dict[str, list[dict[str, Any]]] = {
        **{each: [] for each in SCHEMAS},
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
    return {each: table_of(each, rows[each]) for each in SCHEMAS}


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

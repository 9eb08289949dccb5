"""The sandbox's objects: their fields, the rows that every district has, and rows in and out of Arrow tables.

The catalog declares the fields that the pipeline reads. Fields that only a server needs are declared here.
School years run from 1 July to 30 June. As in Qmlativ, a withdrawal code has another id each year.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.sandbox.draw import Array, only
from samegoal_pipelines.tables.catalog import OBJECTS

_FIELDS: dict[str, dict[str, pa.DataType]] = {}
for _wanted in OBJECTS.values():
    _types = {column.name: column.arrow_type for column in _wanted.fields}
    _FIELDS.setdefault(_wanted.path, {}).update(_types)
_FIELDS["Enrollment/WithdrawalCode"] |= {"SchoolYearID": pa.int64()}  # the year whose listing shows the code
_FIELDS["Student/Student"] |= {"GradeNumeric": pa.int64()}  # the grade of another year is computed from it
_FIELDS["Demographics/Name"] |= {"IsStudentName": pa.bool_(), "IsGuardianName": pa.bool_()}  # to select by

SCHEMAS = {path: pa.schema(list(fields.items())) for path, fields in _FIELDS.items()}
"""Module/Object → its fields; the first is the primary key."""

YEARS_BACK = 3
WITHDRAWAL_CODES = ("01", "03", "16", "24", "33", "60", "66", "78", "81", "82", "83", "90", "98", "CECS")
"""01: graduated. 33: moved to another campus of the district. CECS: the end of a cross-entity course."""
ODD_VALUES = "_odd_values"  # the hidden column: a JSON object of field → value, or null
_PYTHON_TYPES = {pa.bool_(): bool, pa.int64(): int, pa.date32(): dt.date, pa.string(): str}
Row = Mapping[str, Any]
_CODE_LISTS = {
    "Demographics/NameSuffix": "JR Jr|SR Sr|II II|III III|IV IV",
    "Demographics/PhoneType": "H Home|C Cell|W Work|F Fax",
    "Demographics/Language": "98 English|01 Spanish|02 Vietnamese|08 Arabic|06 Mandarin Chinese|25 Tagalog",
    "Demographics/Relationship": "M Mother|F Father|SM Stepmother|SF Stepfather|GM Grandmother|"
    "GF Grandfather|A Aunt|U Uncle|GU Legal guardian",
    "SkySys/State": "TX Texas|OK Oklahoma|LA Louisiana|NM New Mexico",
}
"""Object → code and description; the first has the id 1."""


def school_year_of(day: dt.date) -> int:
    """The SchoolYearID of a day: 27 for 2026-2027."""
    return day.year + (day.month >= 7) - 2000


def grade_codes(numeric: Array) -> Array:
    """The code of each GradeNumeric, where -1 is PK and 0 KG; None for those who are not in school."""
    codes = np.array(["PK", "KG", *(f"{grade:02d}" for grade in range(1, 13))], object)
    return only((numeric >= -1) & (numeric <= 12), codes[np.clip(numeric, -1, 12) + 1])


def withdrawal_code_id(year: Any, code: Any) -> Any:
    """The id of a code in a school year, or of each code in a Series; null for no code."""
    numbers = {each: number for number, each in enumerate(WITHDRAWAL_CODES, start=1)}
    return year * 100 + (code.map(numbers) if isinstance(code, pd.Series) else numbers[code])


def ids_of(name: str) -> dict[str, int]:
    """Description → id of a code list."""
    descriptions = (entry.split(" ", 1)[1] for entry in _CODE_LISTS[name].split("|"))
    return {description: number for number, description in enumerate(descriptions, start=1)}


def common_rows(
    district_name: str, district_code: str, today: dt.date, campuses: Iterable[tuple[int, int, str]]
) -> dict[str, list[dict[str, Any]]]:
    """The rows of these objects. ``campuses`` are EntityID, SchoolID and name."""
    current, campuses = school_year_of(today), list(campuses)
    years = range(current - YEARS_BACK, current + 2)
    entities = [(1, district_name), *((entity, name) for entity, _, name in campuses)]
    rows: dict[str, list[dict[str, Any]]] = {
        "District/SchoolYear": [
            {
                "SchoolYearID": year,
                "NumericYear": 2000 + year,
                "Description": f"{1999 + year}-{2000 + year}",
                "IsCurrentYearForProvidedEntity": year == current,
                "IsUpcomingYearForProvidedEntity": year == current + 1,
            }
            for year in years
        ],
        "District/Entity": [{"EntityID": entity, "Name": name} for entity, name in entities],
        "Enrollment/WithdrawalCode": [
            {"WithdrawalCodeID": withdrawal_code_id(year, code), "Code": code, "SchoolYearID": year}
            for year in years
            for code in WITHDRAWAL_CODES
        ],
        "Enrollment/School": [
            {
                "SchoolID": school,
                "Name": name,
                "StateAssignedID": f"{district_code}{entity:03d}",
                "SchoolYearID": year,
            }
            for year in years
            for entity, school, name in campuses
        ],
    }
    for name, entries in _CODE_LISTS.items():
        key, *fields = SCHEMAS[name].names  # not every list has both a code and a description
        for number, entry in enumerate(entries.split("|"), start=1):
            code, _, description = entry.partition(" ")
            cells = {"Code": code, "Description": description}
            rows.setdefault(name, []).append({key: number, **{field: cells[field] for field in fields}})
    return rows


def table_of(name: str, rows: Sequence[Row]) -> pa.Table:
    """A table of these rows. A field that a row leaves out is null.

    A value of the declared type goes into its typed cell. Any other JSON value, such as ``"31 February"`` as
    a StartDate, leaves the cell null and is kept in a hidden column, from which it is served as it is.
    """
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


def _typed(value: Any, type_: pa.DataType) -> Any:
    """The value for a typed cell, or None if it has another type."""
    try:
        if pa.types.is_date(type_) and isinstance(value, str):
            day = dt.date.fromisoformat(value.removesuffix("T00:00:00"))
            return day if value[:10] == day.isoformat() else None  # only what is served in the same form
        return pa.scalar(value, type_).as_py() if type(value) is _PYTHON_TYPES[type_] else None
    except (OverflowError, ValueError):  # 2**70; a lone surrogate, which JSON can hold and Arrow cannot
        return None

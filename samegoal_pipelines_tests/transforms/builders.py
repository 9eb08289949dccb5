"""Tiny raw frames from plain rows: what is not said is null, and types are those that the models declare.

`classify` applies the rules to them as the assets do.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

import pandas as pd

from samegoal_pipelines.sandbox.district import WITHDRAWAL_CODES
from samegoal_pipelines.tables.catalog import RAW_TABLES
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.transforms.columns import frame_from
from samegoal_pipelines.transforms.enrollments import FilteredEnrollments, filter_enrollments
from samegoal_pipelines.transforms.explanation import explain_absences
from samegoal_pipelines.transforms.status import classify_students

Row = Mapping[str, Any]
RawRows = Mapping[str, Iterable[Row]]


def table(declared: Table, rows: Iterable[Row]) -> pd.DataFrame:
    """A frame of the declared columns and types."""
    rows = list(rows)
    columns = declared.arrow_types
    strange = {name for row in rows for name in row} - set(columns)
    assert not strange, f"{declared.name} has no {strange}"
    return frame_from(rows, columns)


def raw(asset: str, rows: RawRows) -> dict[str, pd.DataFrame]:
    """A raw asset: a frame for each of its objects, empty where no rows are given."""
    strange = set(rows) - set(RAW_TABLES[asset])
    assert not strange, f"{asset} has no {strange}"
    return {name: table(declared, rows.get(name, ())) for name, declared in RAW_TABLES[asset].items()}


class Classified(NamedTuple):
    """What the rules make of a district's enrollments."""

    filtered: FilteredEnrollments
    statuses: pd.DataFrame
    uncertain: pd.DataFrame
    absent: pd.DataFrame


def classify(raw_enrollments: dict[str, pd.DataFrame], today: date) -> Classified:
    """The frames of the assets from the filter to the statuses, and why the others have none."""
    filtered = filter_enrollments(raw_enrollments, today)
    statuses, uncertain = classify_students(filtered.enrollments, filtered.excluded, today)
    absent = explain_absences(filtered.excluded, statuses, uncertain)
    return Classified(filtered, statuses, uncertain, absent)


def day(text: str | date | None) -> date | None:
    return date.fromisoformat(text) if isinstance(text, str) else text


def year_of(when: date) -> int:
    """The school year of a day, named by the calendar year in which it ends; a year runs from 1 July."""
    return when.year + (when.month >= 7)


def school_years(today: date, years: Iterable[int] = range(2020, 2034)) -> list[dict[str, Any]]:
    """School years whose id is their number; the one of today is current and the next one upcoming."""
    current = year_of(today)
    return [
        {
            "SchoolYearID": year,
            "NumericYear": year,
            "Description": f"{year - 1}-{year}",
            "IsCurrentYearForProvidedEntity": year == current,
            "IsUpcomingYearForProvidedEntity": year == current + 1,
        }
        for year in years
    ]


def code_id(code: str | None, year: int) -> int | None:
    """The id of a withdrawal code: the same code has another one each year."""
    return (
        None if code is None else sum(ord(letter) * 131**n for n, letter in enumerate(code)) * 10_000 + year
    )


def entry(
    enrollment: int,
    first: str | date | None,
    last: str | date | None = None,
    code: str | None = None,
    *,
    student: int | None = 1,
    default: bool | None = True,
    year: int | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A row of EntryWithdrawal, in the school year of its first day; `code` is the code itself."""
    year = year or year_of(day(first) or date(2026, 9, 1))
    return {
        "EntryWithdrawalID": enrollment,
        "StudentID": student,
        "SchoolYearID": year,
        "EntityID": 5,
        "SchoolID": 5,
        "StartDate": day(first),
        "EndDate": day(last),
        "WithdrawalCodeID": code_id(code, year),
        "IsDefaultEntity": default,
    } | fields


def read_entries(text: str) -> list[dict[str, Any]]:
    """Entries written as `id|first day|last day|withdrawal code|default entity`, with a `;` between them.

    The default entity is True when left out.
    """
    rows = []
    for each in text.split(";"):
        number, first, last, code, *default = each.split("|")
        rows.append(entry(int(number), first, last or None, code or None, default=default != ["False"]))
    return rows


def enrollments(
    entries: Iterable[Row],
    today: date,
    *,
    codes: Iterable[str] = (*WITHDRAWAL_CODES, "1", "01 ", " cecs ", "Cecs"),
    **objects: Iterable[Row],
) -> dict[str, pd.DataFrame]:
    """`raw_enrollments` with these entries; years, codes and a school are there unless given."""
    years = school_years(today)
    numbers = [year["SchoolYearID"] for year in years]
    defaults: dict[str, Iterable[Row]] = {
        "SchoolYear": years,
        "Entity": [{"EntityID": 1, "Name": "District"}],
        "WithdrawalCode": [
            {"WithdrawalCodeID": code_id(code, year), "Code": code} for code in codes for year in numbers
        ],
        "School": [
            {"SchoolID": 5, "SchoolYearID": year, "Name": "Main", "StateAssignedID": "255901001"}
            for year in numbers
        ],
    }
    return raw("raw_enrollments", defaults | {"EntryWithdrawal": entries} | objects)


def reads(qmlativ_object: str, fields: Iterable[str]) -> pd.DataFrame:
    """The table of reads of a raw asset, as far as it says which fields of one object were asked for."""
    return table(READS, [{"Object": qmlativ_object, "Fields": json.dumps(list(fields))}])

"""The objects that the sandbox serves, a district with its rows and grants, and the edits that tests make.

The catalog declares the fields that the pipeline reads. Fields that only a server needs are declared here.
School years run from 1 July to 30 June. As in Qmlativ, a withdrawal code has another id each year.
"""

import datetime as dt
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.exceptions import HTTPException

from samegoal_pipelines.tables.catalog import OBJECTS

FIELDS: dict[str, dict[str, str]] = {}
"""Module/Object → field → declared type; the first field is the primary key."""
for _wanted in OBJECTS.values():
    FIELDS.setdefault(_wanted.path, {}).update({column.name: column.type for column in _wanted.fields})
FIELDS["Enrollment/WithdrawalCode"] |= {"SchoolYearID": "integer"}  # the year whose listing shows the code
FIELDS["Student/Student"] |= {"GradeNumeric": "integer"}  # the grade of another year is computed from it
FIELDS["Demographics/Name"] |= {"IsStudentName": "flag", "IsGuardianName": "flag"}  # to select by

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]
ENTITY_ID = 1
"""The entity of every district as a whole."""
YEARS_BACK = 3
WITHDRAWAL_CODES = ("01", "03", "16", "24", "33", "60", "66", "78", "81", "82", "83", "90", "98", "CECS")
"""01: graduated. 33: moved to another campus of the district. CECS: the end of a cross-entity course."""
_GRADES = ("PK", "KG", *(f"{grade:02d}" for grade in range(1, 13)))
_CODE_LISTS = {
    "Demographics/NameSuffix": "JR Jr|SR Sr|II II|III III|IV IV",
    "Demographics/PhoneType": "H Home|C Cell|W Work|F Fax",
    "Demographics/Language": "98 English|01 Spanish|02 Vietnamese|08 Arabic|06 Mandarin Chinese|25 Tagalog",
    "Demographics/Relationship": "M Mother|F Father|SM Stepmother|SF Stepfather|GM Grandmother|"
    "GF Grandfather|A Aunt|U Uncle|GU Legal guardian",
    "SkySys/State": "TX Texas|OK Oklahoma|LA Louisiana|NM New Mexico",
}
"""Object → code and description; the first has the id 1."""


@dataclass
class SandboxDistrict:
    """A synthetic district. Everything may be changed while it is being served.

    ``tables`` maps "Module/Object" to rows, each with all fields. Edits replace the list of rows, never a row
    in place. Values of any type are served as they are.
    """

    id: str
    name: str
    code: str
    base_path: str
    client_key: str
    client_secret: str = field(repr=False)
    today: dt.date
    tables: dict[str, Rows] = field(default_factory=dict, repr=False)
    timezone: str = "America/Chicago"
    expires: dt.date | None = None  # from this day on the Integration Access's credentials are refused
    denied_fields: set[str] = field(default_factory=set)  # "Module/Object.Field", or a whole "Module/Object"
    denied_entities: set[int] = field(default_factory=set)
    client_auth: Literal["form", "basic"] = "form"  # the token endpoint refuses the other way
    latency: float = 0.0  # seconds that each page takes at least
    # Kinds of search conditions, such as "LongSearchCondition": answered with 400, or matching every row.
    refused_conditions: set[str] = field(default_factory=set)
    ignored_conditions: set[str] = field(default_factory=set)

    def rows(self, name: str) -> Rows:
        """A copy of the rows of an object, as they are served."""
        return [dict(row) for row in self.tables[name]]

    def replace_rows(self, name: str, rows: Sequence[Row]) -> None:
        """Replace all rows of an object. Fields left out are null."""
        self.tables[name] = table_of(name, rows)

    def add_row(self, name: str, **fields: Any) -> None:
        """Add a row, even one whose key exists already. Fields left out are null."""
        self.replace_rows(name, [*self.tables[name], fields])

    def edit(self, name: str, key: int, **fields: Any) -> None:
        """Change fields of the rows with this primary key."""
        primary = next(iter(FIELDS[name]))
        if not any(row[primary] == key for row in self.tables[name]):
            raise KeyError(f"{name} has no {primary} {key}")
        self.replace_rows(name, [row | fields if row[primary] == key else row for row in self.tables[name]])

    def remove_row(self, name: str, key: int) -> None:
        """Remove the rows with this primary key."""
        primary = next(iter(FIELDS[name]))
        self.tables[name] = [row for row in self.tables[name] if row[primary] != key]

    def grant_entities(self, *entities: int) -> None:
        """Grant only these entities."""
        self.denied_entities = {row["EntityID"] for row in self.tables["District/Entity"]} - {*entities}

    def granted_fields(self, entity: int, name: str) -> list[str]:
        """The fields of an object that this Integration Access may read through an entity."""
        known = {row["EntityID"] for row in self.tables["District/Entity"]}
        if entity not in known - self.denied_entities:
            raise HTTPException(403, f"Entity {entity} is not available to this integration")
        if name not in FIELDS or name in self.denied_fields:
            raise HTTPException(403, f"Object {name} is not available to this integration")
        return [column for column in FIELDS[name] if f"{name}.{column}" not in self.denied_fields]

    def current_year_id(self) -> int | None:
        """The SchoolYearID that listings have if they name none."""
        return self._current_year().get("SchoolYearID")

    def _current_year(self) -> dict[str, Any]:
        """Id, number and description of the current school year; empty if no year is current."""
        for year in self.tables["District/SchoolYear"]:
            if year["IsCurrentYearForProvidedEntity"]:
                return {name: year[name] for name in ("SchoolYearID", "NumericYear", "Description")}
        return {}

    def system_metadata(self) -> dict[str, Any]:
        """The answer of GetSystemMetadata."""
        common = {"EntityID": ENTITY_ID, "Name": self.name}
        year = self._current_year() or None
        district = {"DistrictID": 1, "Code": self.code, **common, "SchoolYearCurrent": year}
        return {"System": {"Code": "000", **common, "Districts": [district]}}


def table_of(name: str, rows: Iterable[Row]) -> Rows:
    """These rows with all fields, and dates as Qmlativ serves them."""
    fields = FIELDS[name]
    table: Rows = [{**dict.fromkeys(fields), **row} for row in rows]
    if unknown := set().union(*table) - fields.keys():
        raise KeyError(f"{name} has no field {', '.join(sorted(unknown))}")
    for column in (column for column, kind in fields.items() if kind == "date"):
        for row in table:
            row[column] = _midnight(row[column])
    return table


def _midnight(value: Any) -> Any:
    """A date or its ISO text as an ISO date-time; anything else, such as "31 February", as it is."""
    text = value.isoformat() if isinstance(value, dt.date) else value
    is_day = isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text)
    return sys.intern(f"{text}T00:00:00") if is_day else text  # large districts repeat few days


def school_year_of(day: dt.date) -> int:
    """The SchoolYearID of a day: 27 for 2026-2027."""
    return day.year + (day.month >= 7) - 2000


def grade_code(numeric: int) -> str | None:
    """The code of a GradeNumeric, where -1 is PK and 0 KG; None for those who are not in school."""
    return _GRADES[numeric + 1] if -1 <= numeric <= 12 else None


def withdrawal_code_id(year: int, code: str | None) -> int | None:
    """The id of a code in a school year."""
    return None if code is None else year * 100 + WITHDRAWAL_CODES.index(code) + 1


def ids_of(name: str) -> dict[str, int]:
    """Description → id of a code list."""
    descriptions = (entry.split(" ", 1)[1] for entry in _CODE_LISTS[name].split("|"))
    return {description: number for number, description in enumerate(descriptions, start=1)}


def common_rows(
    district_name: str, district_code: str, today: dt.date, campuses: Sequence[tuple[int, int, str]]
) -> dict[str, Rows]:
    """The rows that every district has. ``campuses`` are EntityID, SchoolID and name."""
    current = school_year_of(today)
    years = range(current - YEARS_BACK, current + 2)
    entities = [(ENTITY_ID, district_name), *((entity, name) for entity, _, name in campuses)]
    rows: dict[str, Rows] = {
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
        key, *fields = FIELDS[name]  # not every list has both a code and a description
        for number, entry in enumerate(entries.split("|"), start=1):
            code, _, description = entry.partition(" ")
            cells = {"Code": code, "Description": description}
            rows.setdefault(name, []).append({key: number, **{field: cells[field] for field in fields}})
    return rows

"""The districts of a sandbox: their tables, grants and behavior, and the edits that tests make."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
from starlette.exceptions import HTTPException

from samegoal_pipelines.sandbox.objects import ODD_VALUES, SCHEMAS, Row, school_year_of, table_of

ENTITY_ID = 1
"""The entity of every district as a whole."""


@dataclass
class SandboxDistrict:
    """A synthetic district. Everything may be changed while it is being served.

    ``tables`` maps "Module/Object" to a pyarrow Table. Put a new table in its place, or use ``edit``,
    ``add_row``, ``remove_row`` and ``replace_rows``, which take values of any type.
    """

    id: str
    name: str
    code: str
    base_path: str
    client_key: str
    client_secret: str = field(repr=False)
    today: dt.date
    tables: dict[str, pa.Table] = field(default_factory=dict, repr=False)
    timezone: str = "America/Chicago"
    expires: dt.date | None = None  # from this day on the Integration Access's credentials are refused
    denied_fields: set[str] = field(default_factory=set)  # "Module/Object.Field", or a whole "Module/Object"
    denied_entities: set[int] = field(default_factory=set)
    client_auth: Literal["form", "basic"] = "form"  # the token endpoint refuses the other way
    latency: float = 0.0  # seconds that each page takes at least
    # Kinds of search conditions, such as "LongSearchCondition": answered with 400, or matching every row.
    refused_conditions: set[str] = field(default_factory=set)
    ignored_conditions: set[str] = field(default_factory=set)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of an object, with odd values as they will be served."""
        rows = self.tables[name].to_pylist()
        return [row | json.loads(row.pop(ODD_VALUES, None) or "{}") for row in rows]

    def replace_rows(self, name: str, rows: Sequence[Row]) -> None:
        """Replace all rows of an object."""
        self.tables[name] = table_of(name, rows)

    def add_row(self, name: str, **fields: Any) -> None:
        """Add a row, even one whose key exists already. Fields left out are null."""
        self.replace_rows(name, [*self.rows(name), fields])

    def edit(self, name: str, key: int, **fields: Any) -> None:
        """Change fields of the rows with this primary key."""
        rows, primary = self.rows(name), SCHEMAS[name].names[0]
        if not any(row[primary] == key for row in rows):
            raise KeyError(f"{name} has no {primary} {key}")
        self.replace_rows(name, [row | fields if row[primary] == key else row for row in rows])

    def remove_row(self, name: str, key: int) -> None:
        """Remove the rows with this primary key."""
        primary = SCHEMAS[name].names[0]
        self.replace_rows(name, [row for row in self.rows(name) if row[primary] != key])

    def grant_entities(self, *entities: int) -> None:
        """Grant only these entities."""
        self.denied_entities = {*self.tables["District/Entity"]["EntityID"].to_pylist()} - {*entities}

    def granted_fields(self, entity: int, name: str) -> list[str]:
        """The fields of an object that this Integration Access may read through an entity."""
        known = self.tables["District/Entity"]["EntityID"].to_pylist()
        if entity not in known or entity in self.denied_entities:
            raise HTTPException(403, f"Entity {entity} is not available to this integration")
        if name not in SCHEMAS or name in self.denied_fields:
            raise HTTPException(403, f"Object {name} is not available to this integration")
        return [column for column in SCHEMAS[name].names if f"{name}.{column}" not in self.denied_fields]

    def current_year_id(self) -> int | None:
        """The SchoolYearID that listings have if they name none."""
        return (self._current_year() or {}).get("SchoolYearID")

    def system_metadata(self) -> dict[str, Any]:
        """The answer of GetSystemMetadata."""
        common = {"EntityID": ENTITY_ID, "Name": self.name}
        year = self._current_year()
        district = {"DistrictID": 1, "Code": self.code, **common, "SchoolYearCurrent": year}
        return {"System": {"Code": "000", **common, "Districts": [district]}}

    def _current_year(self) -> dict[str, Any] | None:
        years = self.tables["District/SchoolYear"]
        current = years.filter(years["IsCurrentYearForProvidedEntity"])
        found = current.select(["SchoolYearID", "NumericYear", "Description"]).to_pylist()
        return found[0] if found else None


@dataclass
class Sandbox:
    """Districts that one server serves."""

    districts: list[SandboxDistrict] = field(default_factory=list)

    @classmethod
    def generate(
        cls,
        districts: int = 3,
        students: int | Sequence[int] = 500,
        seed: int = 1,
        today: dt.date | None = None,
        night: int = 0,
        school_year: int | None = None,
    ) -> Sandbox:
        """Synthetic districts. The same arguments give the same bytes on any machine.

        Args:
            students: of each district, or one number for all; further districts repeat these sizes.
            today: the date of the world; by default today in UTC.
            night: how many nights have passed; each changes about one student in 200.
            school_year: the SchoolYearID whose students these are, by default that of ``today``.
                Name it to get the same students before and after 1 July.
        """
        from samegoal_pipelines.sandbox.generate import generated_district  # it imports this module

        today = today or dt.datetime.now(dt.UTC).date()
        year = school_year or school_year_of(today)
        sizes = [students] if isinstance(students, int) else students
        return cls(
            [
                generated_district(number, sizes[number % len(sizes)], seed, today, night, year)
                for number in range(districts)
            ]
        )

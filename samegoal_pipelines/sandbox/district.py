"""One district of the sandbox: its tables, what it grants, how it behaves; and the edits that tests make.

What a listing shows is decided here (year, entity, computed grade, condition, order). No HTTP and no
generator.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox import rows as literal
from samegoal_pipelines.sandbox import search
from samegoal_pipelines.sandbox.objects import OBJECTS, RAW

PagingEnd = Literal["null", "empty", "absent", "same", "beyond"]
GRADES = ("EE", "PK", "KG", *(f"{grade:02d}" for grade in range(1, 13)))
"""Grade codes; GradeNumeric is the position less two, so that KG is 0."""


@dataclass(frozen=True)
class Listing:
    """What a listing asks for, pages aside. ``key`` tells two of them apart."""

    object: str
    entity: int
    year: int | None
    fields: tuple[str, ...]
    condition: Any = None
    sort: Any = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """Hashable, alike for listings that show the same."""
        return self.object, self.entity, self.year, self.fields, repr(self.condition), repr(self.sort)


class Refused(Exception):
    """The district answers 403 with this message."""


@dataclass
class SandboxDistrict:
    """A synthetic district. Everything may be changed while it is being served.

    ``tables`` maps "Module/Object" to a pyarrow Table with the fields of ``OBJECTS``; put a new table in its
    place, or use ``edit``, ``add_row``, ``remove_row`` and ``replace_rows``, which take values of any type.
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
    entity_id: int = 1
    district_id: int = 1
    expires: dt.date | None = None
    """The day on which the Integration Access expires: from then on its credentials are refused."""
    denied_fields: set[str] = field(default_factory=set)
    """Fields that are not granted, as "Module/Object.Field"; a whole object as "Module/Object"."""
    denied_entities: set[int] = field(default_factory=set)
    client_auth: Literal["form", "basic"] = "form"
    """How the token endpoint takes the credentials; it refuses the other way."""
    token_lifetime: float = 3600.0
    """Seconds after which a token is refused, and its ``expires_in``."""
    token_expired_status: int = 401
    latency: float = 0.0
    """Seconds that each page takes at least."""
    gzip: bool = True
    """Whether answers are compressed for a client that accepts it."""
    refused_conditions: set[str] = field(default_factory=set)
    """Kinds of search conditions that are answered with 400, such as "LongSearchCondition"."""
    ignored_conditions: set[str] = field(default_factory=set)
    """Kinds of search conditions that change nothing: the rows come as without them."""
    page_size_limit: int = 10_000
    paging_end: PagingEnd = "null"
    """How the last page says so; "beyond" points to an empty page after it."""

    @classmethod
    def from_rows(
        cls, rows: Mapping[str, Sequence[literal.Row]] | None = None, *, today: dt.date, **settings: Any
    ) -> "SandboxDistrict":
        """A district of literal rows; see ``samegoal_pipelines.sandbox.literal``."""
        from samegoal_pipelines.sandbox.literal import district_of

        return district_of(cls, rows or {}, today=today, **settings)

    # What tests change.

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of an object, with odd values as they will be served."""
        return literal.rows_of(self.tables[name])

    def replace_rows(self, name: str, rows: Sequence[literal.Row]) -> None:
        """These rows instead of those that were there."""
        self.tables[name] = literal.table_of(OBJECTS[name], rows)

    def add_row(self, name: str, **fields: Any) -> None:
        """One more row, also one with a key that is there already; fields left out are null."""
        added = literal.table_of(OBJECTS[name], [fields])
        self.tables[name] = literal.appended(self.tables[name], added)

    def edit(self, name: str, key: int, **fields: Any) -> None:
        """Change fields of the row with this primary key."""
        self.tables[name] = literal.changed(OBJECTS[name], self.tables[name], key, fields)

    def remove_row(self, name: str, key: int) -> None:
        """The row with this primary key goes."""
        self.tables[name] = literal.without(OBJECTS[name], self.tables[name], key)

    def deny_optional_fields(self) -> None:
        """Grant only what other vendors were granted: no field marked ★ in the contract."""
        self.denied_fields |= {f"{name}.{field}" for name in OBJECTS for field in OBJECTS[name].optional}

    # What the API shows.

    def system_metadata(self) -> dict[str, Any]:
        """The answer of GetSystemMetadata."""
        year = self._current_year()
        district = {
            "DistrictID": self.district_id,
            "EntityID": self.entity_id,
            "Code": self.code,
            "Name": self.name,
            "SchoolYearCurrent": year
            and {name: year[name] for name in ("SchoolYearID", "NumericYear", "Description")},
        }
        return {
            "System": {"EntityID": self.entity_id, "Code": "000", "Name": self.name, "Districts": [district]}
        }

    def granted_fields(self, name: str) -> list[str]:
        """The fields of an object that this Integration Access may read."""
        if name not in OBJECTS or name in self.denied_fields:
            raise Refused(f"Object {name} is not available to this integration")
        return [column for column in OBJECTS[name].types if f"{name}.{column}" not in self.denied_fields]

    def check_entity(self, entity: int) -> None:
        """Refuse an entity that is not there or not granted."""
        known = entity in self.tables["District/Entity"]["EntityID"].to_pylist()
        if not known or entity in self.denied_entities:
            raise Refused(f"Entity {entity} is not available to this integration")

    def check_fields(self, name: str, fields: Sequence[str]) -> None:
        """Refuse a listing that names a field that is not there or not granted."""
        granted = set(self.granted_fields(name))
        for column in fields:
            if column not in granted:
                raise Refused(f"Field {column} of {name} is not available to this integration")

    def current_year_id(self) -> int | None:
        """The SchoolYearID that stands for a missing one."""
        year = self._current_year()
        return year["SchoolYearID"] if year else None

    def rows_shown(self, listing: Listing) -> pa.Table:
        """The rows that a listing shows, all pages of them, with the fields asked for and the hidden one."""
        name, table = listing.object, self.tables[listing.object]
        if OBJECTS[name].year_bound:
            table = table.filter(pc.equal(table["SchoolYearID"], pa.scalar(listing.year, pa.int64())))
        if (
            listing.entity != self.entity_id
            and "EntityID" in OBJECTS[name].types
            and name != "District/Entity"
        ):
            table = table.filter(pc.equal(table["EntityID"], listing.entity))
        if name == "Student/Student":
            table = self._graded(table, listing.year)
        table = search.ordered(search.matching(table, listing.condition), listing.sort)
        hidden = [RAW] if RAW in table.column_names else []
        return table.select([*listing.fields, *hidden]).combine_chunks()

    def _graded(self, table: pa.Table, year: int | None) -> pa.Table:
        """Grade as Qmlativ computes it for the year asked for; it is stored for the current one."""
        current = self.current_year_id()
        if year is None or current is None or year == current:
            return table
        numeric = pc.add(table["GradeNumeric"].combine_chunks(), year - current)
        numeric = pc.if_else(
            pc.and_(pc.greater_equal(numeric, -2), pc.less_equal(numeric, 12)), numeric, None
        )
        computed = pa.array(GRADES, pa.string()).take(pc.add(numeric, 2))
        # A district of literal rows may say Grade and no GradeNumeric: then it stays what it is.
        stored = table["Grade"].combine_chunks()
        grade = pc.if_else(table["GradeNumeric"].combine_chunks().is_valid(), computed, stored)
        columns = table.column_names
        table = table.set_column(columns.index("Grade"), "Grade", grade)
        return table.set_column(columns.index("GradeNumeric"), "GradeNumeric", numeric)

    def _current_year(self) -> dict[str, Any] | None:
        years = self.tables["District/SchoolYear"]
        flagged = years.filter(years["IsCurrentYearForProvidedEntity"]).to_pylist()
        return flagged[0] if flagged else None

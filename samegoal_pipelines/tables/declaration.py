"""The parts of a declaration: columns with their sources, tables, and Qmlativ's objects. Plain data only."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pyarrow as pa

Type = Literal["integer", "text", "code", "date", "flag", "number"]
"""`code` is a text with few distinct values in millions of rows, stored as a dictionary."""
_ARROW_TYPES: dict[Type, pa.DataType] = {
    "integer": pa.int64(),
    "text": pa.string(),
    "code": pa.dictionary(pa.int32(), pa.string()),
    "date": pa.date32(),
    "flag": pa.bool_(),
    "number": pa.float64(),
}


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field of a Qmlativ object: `text("city", "City of that address")`.

    `origin` names its sources, as `lineage` reads them. Without one, it does not come from Qmlativ, or the
    table has no lineage. A `required` column is never null. A district may decline to grant an `optional`
    field, which is null then. `values` are the only ones that the warehouse takes.
    """

    name: str
    description: str
    origin: str = ""
    required: bool = False
    optional: bool = False
    type: Type = "text"
    values: tuple[str, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type, by declaration and never by inference."""
        return _ARROW_TYPES[self.type]


text = Column
code = partial(Column, type="code")
integer = partial(Column, type="integer")
number = partial(Column, type="number")
day = partial(Column, type="date")
flag = partial(Column, type="flag")


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, its columns in order, and its key, if it has one.

    Rows may share a key that `key_repeats`, because the rules handle repeats. `without_checks` names checks,
    registered for tables of this name, that do not apply to this one.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    key_repeats: bool = False
    without_checks: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def arrow_types(self) -> dict[str, pa.DataType]:
        """Column → Arrow type, in order."""
        return {column.name: column.arrow_type for column in self.columns}


def table(name: str, description: str, *columns: Column, key: tuple[str, ...] = ()) -> Table:
    """Make a table of these columns."""
    return Table(name, description, columns, key)


UNREADABLE = text(
    "Unreadable",
    "JSON object of the fields with a wrong type and their values as received; null for a sound row",
)
YEAR_ASKED = integer("SchoolYearIDAsked", "The school year for which the row was requested")


@dataclass(frozen=True)
class QmlativObject:
    """A Qmlativ object as we request it, always ordered by its primary `key`.

    `only` names a flag that must be true (a SearchCondition). A `year_bound` object is read once per school
    year. If its rows depend on the year, `year_column` distinguishes rows with the same key. `keep_repeats`
    leaves repeated rows to the transform, which has a rule for them.
    """

    path: str
    description: str
    fields: tuple[Column, ...]
    year_bound: bool = False
    year_column: str | None = None
    only: str | None = None
    keep_repeats: bool = False

    @property
    def key(self) -> str:
        """The primary key: the first field."""
        return self.fields[0].name

    @property
    def name(self) -> str:
        """The name without its module, which is also the name of the raw frame: `EntryWithdrawal`."""
        return self.path.rpartition("/")[2]

    @property
    def label(self) -> str:
        """The unique name for people: `Demographics/Name (IsStudentName)`."""
        return f"{self.path} ({self.only})" if self.only else self.path

    def listing(self, school_year_id: int | None, *, in_part: bool = False) -> str:
        """Name of this object as read for one school year or none. `in_part`: only the rows of a search."""
        if school_year_id is None:
            return self.label
        return f"{self.label}?SchoolYearID={school_year_id}{' (in part)' if in_part else ''}"

    @property
    def table(self) -> Table:
        """The table of its rows. A key may repeat if several years are read."""
        asked = (YEAR_ASKED,) if self.year_column == YEAR_ASKED.name else ()
        return Table(
            self.name,
            self.description,
            (*self.fields, *asked, UNREADABLE),
            key=(self.key, self.year_column) if self.year_column else (self.key,),
            key_repeats=self.year_bound and not asked,
        )


def qmlativ_object(path: str, description: str, *fields: Column, **settings: Any) -> QmlativObject:
    """Make an object with its key, named as all keys are, and these fields."""
    name = path.rpartition("/")[2]
    key = integer(f"{name}ID", f"Key of {name}")
    return QmlativObject(path, description, (key, *fields), **settings)

"""What a declaration is made of: columns with their sources, tables, and Qmlativ's objects.

Here: plain data. Not here: any table, and nothing that imports pandas, pandera or SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

Type = Literal["integer", "text", "code", "date", "flag", "number"]
"""`code` is a text with few distinct values in millions of rows, stored as a dictionary."""

Need = str | tuple[str, ...]


class Origin(NamedTuple):
    """The sources of a column.

    A source is written `asset.column`; the columns of a raw asset are `Object.Field`, those of
    `published_snapshot` `view.column`. Only what a value is made of or chosen by counts as a source; the
    sources of a table's key tell which rows there are.

    `needs` are groups of sources. The column is empty unless each group has one source that is there; the
    first of a group goes before the others. The last group is the value itself, the groups before lead to it.
    `also` shape the value or choose it among several.
    """

    needs: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()
    worked_out: bool = False
    """Whether the rules make the value out of all its sources, rather than take it from one."""

    @property
    def value(self) -> tuple[str, ...]:
        """The sources of the value itself: it is the first that is there, or worked out of them all."""
        return self.sources if self.worked_out else self.needs[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(source for group in (*self.needs, self.also) for source in group))


def origin(
    asset: str, *needs: Need, of: str = "", also: Iterable[str] = (), worked_out: bool = False
) -> Origin:
    """An origin in one asset. A source in `student_status`, which says who is there, is written in full.

    A source without a dot is a field `of` this Qmlativ object, or a column where there is none.
    """

    def at(source: str) -> str:
        if source.startswith("student_status."):
            return source
        return f"{asset}.{of}.{source}" if of and "." not in source else f"{asset}.{source}"

    groups = ((need,) if isinstance(need, str) else need for need in needs)
    return Origin(tuple(tuple(map(at, group)) for group in groups), tuple(map(at, also)), worked_out)


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field of a Qmlativ object: `text("city", "City of that address")`."""

    name: str
    description: str
    origin: Origin | None = None
    """Where its values come from; None: from nowhere in Qmlativ, or the table has no lineage."""
    required: bool = False
    """Whether it is never null. Else a null means: none, or not known."""
    optional: bool = False
    """Of a Qmlativ field: a district may decline to grant it, and it is null then."""
    type: Type = "text"


text = Column
code = partial(Column, type="code")
integer = partial(Column, type="integer")
number = partial(Column, type="number")
day = partial(Column, type="date")
flag = partial(Column, type="flag")


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, its columns in order, and its key."""

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    """The columns that identify a row; no two rows have the same. Empty: nothing does."""
    key_repeats: bool = False
    """Whether rows may share a key all the same, because the rules deal with repeats."""
    without_checks: frozenset[str] = frozenset()
    """Names of checks that are registered for tables of this name and do not hold for this one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    def plus(self, column: Column, *, after: str) -> Table:
        """The table with one more column."""
        at = self.names.index(after) + 1
        return replace(self, columns=(*self.columns[:at], column, *self.columns[at:]))


def table(name: str, description: str, *columns: Column, key: tuple[str, ...] = ()) -> Table:
    """A table of these columns."""
    return Table(name, description, columns, key)


UNREADABLE = text(
    "Unreadable",
    "JSON object, field to value as it came, of the fields with a wrong type; null for a sound row",
)
YEAR_ASKED = integer("SchoolYearIDAsked", "The school year for which the row was asked")


@dataclass(frozen=True)
class QmlativObject:
    """An object of Qmlativ's as it is asked for, always ordered by its primary `key`.

    `only` names a flag that must be true (a SearchCondition). A `year_bound` object is read once per school
    year; where its rows depend on the year, `year_column` tells rows of one key apart. With `keep_repeats`,
    rows that come twice are left to the transform, which has a rule for them.
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
        """Name without its module, by which raw frames are known: `EntryWithdrawal`."""
        return self.path.rpartition("/")[2]

    @property
    def label(self) -> str:
        """Name for people, and unique: `Demographics/Name (IsStudentName)`."""
        return f"{self.path} ({self.only})" if self.only else self.path

    def listing(self, school_year_id: int | None, *, in_part: bool = False) -> str:
        """Name of this object as read for one school year, or for none; `in_part`: only rows searched for."""
        if school_year_id is None:
            return self.label
        return f"{self.label}?SchoolYearID={school_year_id}{' (in part)' if in_part else ''}"

    @property
    def table(self) -> Table:
        """The table that its rows land in. The same key may come again where several years are asked for."""
        asked = (YEAR_ASKED,) if self.year_column == YEAR_ASKED.name else ()
        return Table(
            self.name,
            self.description,
            (*self.fields, *asked, UNREADABLE),
            key=(self.key, self.year_column) if self.year_column else (self.key,),
            key_repeats=self.year_bound and not asked,
        )


def qmlativ_object(path: str, description: str, *fields: Column, **settings: Any) -> QmlativObject:
    """An object with these fields."""
    return QmlativObject(path, description, fields, **settings)

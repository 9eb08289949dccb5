"""The parts of a declaration: columns with their sources, tables, and Qmlativ's objects. Plain data only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

Type = Literal["integer", "text", "code", "date", "flag", "number"]
"""`code` is a text with few distinct values in millions of rows, stored as a dictionary."""

Need = str | tuple[str, ...]


class Origin(NamedTuple):
    """The sources of a column: what its value is made of or chosen by.

    A source is written `asset.column`; the columns of a raw asset are `Object.Field`, those of
    `published_snapshot` `view.column`.

    `needs` are groups of sources. The column is empty unless each group has an available source, and earlier
    sources of a group take precedence. The last group is the value itself, and the groups before lead to it.
    `also` are sources that shape the value or choose it among several. If it is `worked_out`, the rules
    compute the value from all its sources, instead of taking it from one.
    """

    needs: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()
    worked_out: bool = False

    @property
    def value(self) -> tuple[str, ...]:
        """The sources of the value itself: the first available one, or all of them if it is computed."""
        return self.sources if self.worked_out else self.needs[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, without repeats."""
        return tuple(dict.fromkeys(source for group in (*self.needs, self.also) for source in group))


def origin(
    asset: str, *needs: Need, of: str = "", also: Iterable[str] = (), worked_out: bool = False
) -> Origin:
    """An origin in one asset. A source without a dot is a field `of` this Qmlativ object, or a column.

    A source in `student_status`, which decides who is published, is written in full.
    """

    def at(source: str) -> str:
        if source.startswith("student_status."):
            return source
        return f"{asset}.{of}.{source}" if of and "." not in source else f"{asset}.{source}"

    groups = ((need,) if isinstance(need, str) else need for need in needs)
    return Origin(tuple(tuple(map(at, group)) for group in groups), tuple(map(at, also)), worked_out)


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field of a Qmlativ object: `text("city", "City of that address")`.

    Without an `origin`, it does not come from Qmlativ, or the table has no lineage. A `required` column is
    never null. A district may decline to grant an `optional` field, which is null then.
    """

    name: str
    description: str
    origin: Origin | None = None
    required: bool = False
    optional: bool = False
    type: Type = "text"


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

    def plus(self, column: Column, *, after: str) -> Table:
        """The table with one more column."""
        at = self.names.index(after) + 1
        return replace(self, columns=(*self.columns[:at], column, *self.columns[at:]))


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
    """Make an object with these fields."""
    return QmlativObject(path, description, fields, **settings)

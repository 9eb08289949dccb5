"""The building blocks of the warehouse's SQLAlchemy tables: their metadata, and kinds of columns.

The tables are in `history` and `warehouse`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP

from samegoal_pipelines.tables.catalog import DISTRICT_ID
from samegoal_pipelines.tables.declaration import Column, Type

SCHEMA = "samegoal"

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    },
)


_TYPES: dict[Type, type[sa.types.TypeEngine[Any]]] = {
    "integer": sa.BigInteger,
    "text": sa.Text,
    "code": sa.Text,
    "date": sa.Date,
    "flag": sa.Boolean,
    "number": sa.Double,
}


def sql_type(column: Column) -> sa.types.TypeEngine[Any]:
    """The Postgres type of a declared column."""
    return _TYPES[column.type]()


def sql_column(column: Column) -> sa.Column[Any]:
    """The SQLAlchemy column of a declared column."""
    return sa.Column(column.name, sql_type(column), nullable=not column.required, comment=column.description)


def text(name: str, comment: str, nullable: bool = True) -> sa.Column[str]:
    """Text."""
    return sa.Column(name, sa.Text, nullable=nullable, comment=comment)


def words(name: str, comment: str, default: str | None = None) -> sa.Column[object]:
    """A list of texts, possibly empty."""
    return sa.Column(name, ARRAY(sa.Text), nullable=False, server_default=default, comment=comment)


def integer(name: str, comment: str, nullable: bool = True) -> sa.Column[int]:
    """A whole number of any size."""
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def count(name: str, comment: str, nullable: bool = True) -> sa.Column[int]:
    """A count."""
    return sa.Column(name, sa.Integer, nullable=nullable, comment=comment)


def order(name: str, comment: str) -> sa.Column[int]:
    """A number that Postgres increments with every row."""
    return sa.Column(name, sa.BigInteger, sa.Identity(always=True), nullable=False, comment=comment)


def switch(name: str, comment: str, default: sa.ColumnElement[bool]) -> sa.Column[bool]:
    """A switch, `default` unless set."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=default, comment=comment)


def day(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    """A date."""
    return sa.Column(name, sa.Date, nullable=nullable, comment=comment)


def moment(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    """An instant."""
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable, comment=comment)


def now(name: str, comment: str) -> sa.Column[object]:
    """The instant when the row was written."""
    kind = TIMESTAMP(timezone=True)
    return sa.Column(name, kind, nullable=False, server_default=sa.func.now(), comment=comment)


def encoded(name: str, comment: str, nullable: bool = True) -> sa.Column[bytes]:
    """Bytes, such as a hash."""
    return sa.Column(name, BYTEA, nullable=nullable, comment=comment)


def json(name: str, comment: str, default: str | None = None) -> sa.Column[object]:
    """A JSON object."""
    return sa.Column(name, JSONB, nullable=False, server_default=default, comment=comment)


def district() -> sa.Column[str]:
    """The row's district, the first column of every table with a district's data."""
    return sql_column(DISTRICT_ID)


def one_of(column: str, values: tuple[str, ...], *, may_grow: bool = False) -> sa.CheckConstraint:
    """A check that a column holds one of these.

    Args:
        may_grow: readers must expect further values, so the data contract does not promise the list.
    """
    listed = ", ".join(repr(value) for value in values)
    promised = {} if may_grow else {"column": column, "values": values}
    return sa.CheckConstraint(f"{column} in ({listed})", name=column, info=promised)

"""The building blocks of the warehouse's SQLAlchemy tables: their metadata, and kinds of columns."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
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


def postgres_type(kind: sa.types.TypeEngine[Any]) -> str:
    """The type as Postgres writes it."""
    return kind.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]


def sql_column(column: Column) -> sa.Column[Any]:
    """The SQLAlchemy column of a declared column."""
    kind = _TYPES[column.type]
    return _column(kind, column.name, column.description, not column.required, values=column.values)


def _column(
    kind: Any,
    name: str,
    comment: str,
    nullable: bool = True,
    default: Any = None,
    values: tuple[str, ...] = (),
) -> sa.Column[Any]:
    info = {"values": values}
    return sa.Column(name, kind, nullable=nullable, server_default=default, comment=comment, info=info)


text = partial(_column, sa.Text)
words = partial(_column, ARRAY(sa.Text), nullable=False)
integer = partial(_column, sa.BigInteger)
count = partial(_column, sa.Integer)
switch = partial(_column, sa.Boolean, nullable=False)
day = partial(_column, sa.Date)
moment = partial(_column, TIMESTAMP(timezone=True))
now = partial(moment, nullable=False, default=sa.func.now())
encoded = partial(_column, BYTEA)
json = partial(_column, JSONB, nullable=False)
district = partial(sql_column, DISTRICT_ID)


def order(name: str, comment: str) -> sa.Column[int]:
    """A number that Postgres increments with every row."""
    return sa.Column(name, sa.BigInteger, sa.Identity(always=True), nullable=False, comment=comment)


def one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    """A check that a column holds one of these."""
    return sa.CheckConstraint(f"{column} in ({', '.join(map(repr, values))})", name=column)


def table(
    name: str, comment: str, *parts: sa.schema.SchemaItem, key: Iterable[str] = ("district_id",)
) -> sa.Table:
    """A table of the warehouse with its primary key, and checks of the columns that name their values."""
    columns = [part for part in parts if isinstance(part, sa.Column)]
    checks = [one_of(column.name, values) for column in columns if (values := column.info.get("values"))]
    return sa.Table(name, metadata, *parts, *checks, sa.PrimaryKeyConstraint(*key), comment=comment)

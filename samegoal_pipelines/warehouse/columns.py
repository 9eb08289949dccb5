"""What the tables of the warehouse are made of: the metadata that gathers them, and the kinds of columns.

No table is here (`tables`, `histories`).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

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


def text(name: str, comment: str, nullable: bool = True) -> sa.Column[str]:
    """Text as it came."""
    return sa.Column(name, sa.Text, nullable=nullable, comment=comment)


def integer(name: str, comment: str, nullable: bool = True) -> sa.Column[int]:
    """A whole number of any size."""
    return sa.Column(name, sa.BigInteger, nullable=nullable, comment=comment)


def flag(name: str, comment: str) -> sa.Column[bool]:
    """True, false, or null: not known."""
    return sa.Column(name, sa.Boolean, comment=comment)


def day(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    """A date."""
    return sa.Column(name, sa.Date, nullable=nullable, comment=comment)


def moment(name: str, comment: str, nullable: bool = True) -> sa.Column[object]:
    """An instant."""
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable, comment=comment)


def now(name: str, comment: str) -> sa.Column[object]:
    """The instant at which the row was written."""
    return sa.Column(
        name, TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now(), comment=comment
    )


def district() -> sa.Column[str]:
    """Whose row it is; the first column of every table with a district's data."""
    return text("district_id", "The district, as registered", nullable=False)


def one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    """A check that a column holds one of these."""
    return sa.CheckConstraint(f"{column} in ({', '.join(repr(value) for value in values)})", name=column)

"""The database's URL for each use: Dagster's storage, psql, and tools that act as a role."""

from __future__ import annotations

from pathlib import Path

from samegoal_pipelines.postgres.url import DEFAULT_PORT, DatabaseURL
from samegoal_pipelines.warehouse.roles import Role

DATABASE = "samegoal"
DAGSTER_SCHEMA = "dagster"
_READERS = (Role.OPERATOR, Role.READER)


def socket_url(socket_dir: Path, database: str = DATABASE, user: str = "postgres") -> str:
    """The URL of a server on a unix socket; the port is named so that a stray PGPORT changes nothing."""
    return DatabaseURL(((str(socket_dir), DEFAULT_PORT),), user, database=database).libpq


def plain_url(url: str) -> str:
    """`url` for psql and other tools on libpq.

    Raises:
        WarehouseError: it is not a URL of Postgres that all of our libraries understand.
    """
    return DatabaseURL.parse(url).libpq


def role_url(url: str, role: Role, *, as_login: bool) -> str:
    """`url` for a tool that is to act as `role`.

    Args:
        as_login: log in as the role itself (the embedded server lets it); else the URL's own user takes the
            role on, which it must be a member of.
    """
    parts = DatabaseURL.parse(url)
    # A reader's transaction sees one night, also where it runs several statements.
    if role in _READERS:
        parts = parts.with_settings(default_transaction_isolation="repeatable read")
    return (parts.with_login(role.value) if as_login else parts.with_settings(role=role.value)).libpq


def dagster_storage_url(url: str) -> str:
    """The SQLAlchemy URL of Dagster's storage: the same database, with `DAGSTER_SCHEMA` as its search path.

    The schema must exist; `samegoal_pipelines.warehouse.server` has the function that sees to it.
    """
    return DatabaseURL.parse(url).with_settings(search_path=DAGSTER_SCHEMA).sqlalchemy

"""The forms of one database URL: for psql, for SQLAlchemy, for Dagster's storage. Nothing here connects."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from samegoal_pipelines.warehouse.errors import WarehouseError
from samegoal_pipelines.warehouse.roles import Role

DATABASE = "samegoal"
DAGSTER_SCHEMA = "dagster"
PORT = 5432
_READERS = (Role.OPERATOR, Role.READER)


def socket_url(socket_dir: Path, database: str = DATABASE, user: str = "postgres") -> str:
    """The URL of a server on a unix socket; the port is named so that a stray PGPORT changes nothing."""
    return f"postgresql://{user}@/{database}?host={quote(str(socket_dir), safe='/')}&port={PORT}"


def plain_url(url: str) -> str:
    """`url` as psql understands it, whatever driver it names (``postgres://``, ``postgresql+psycopg2://``)."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise WarehouseError(
            "the database URL is not one of Postgres; "
            "write SAMEGOAL_DATABASE_URL as postgresql://USER[:PASSWORD]@HOST/DATABASE"
        )
    return f"postgresql://{rest}"


def sqlalchemy_url(url: str) -> str:
    """`url` with its driver named: SQLAlchemy 2.1 takes a bare ``postgresql://`` for psycopg 3."""
    return "postgresql+psycopg2" + plain_url(url).removeprefix("postgresql")


def role_url(url: str, role: Role, *, as_login: bool) -> str:
    """`url` for a tool that is to act as `role`.

    Args:
        as_login: log in as the role itself (the embedded server lets it); else the URL's own user takes the
            role on, which it must be a member of.
    """
    parts = urlsplit(plain_url(url))
    # A reader's transaction sees one night, also where it runs several statements.
    settings = {"default_transaction_isolation": r"repeatable\ read"} if role in _READERS else {}
    if as_login:
        parts = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}")
    else:
        settings["role"] = role.value
    query = parse_qsl(parts.query)
    options = [value for name, value in query if name == "options"]
    options += [f"-c{name}={value}" for name, value in settings.items()]
    query = [(name, value) for name, value in query if name != "options"]
    if options:
        query.append(("options", " ".join(options)))
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))


def dagster_storage_url(url: str) -> str:
    """The SQLAlchemy URL of Dagster's storage: the same database, with `DAGSTER_SCHEMA` as its search path.

    The schema must exist; `samegoal_pipelines.warehouse.server` has the function that sees to it.
    """
    parts = urlsplit(sqlalchemy_url(url))
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "options"]
    query.append(("options", f"-csearch_path={DAGSTER_SCHEMA}"))
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe="/")))

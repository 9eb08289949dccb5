"""Connections to the warehouse: roles, the engine, transactions, locks, and automatic migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.databases import check_session
from samegoal_pipelines.postgres.errors import WarehouseError, from_database
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.tables.history import create_views, drop_views
from samegoal_pipelines.tables.warehouse import SCHEMA
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_POSTGRES = 15  # security_invoker views and unique keys over nulls
LOCK_SECONDS = 60
"""How long to wait for a lock, for example while another run publishes the same district."""
_versions = sa.table("alembic_version", sa.column("version_num", sa.Text), schema=SCHEMA)
_TAKE_ROLE = sa.text(
    "select set_config('role', :role, true), set_config('samegoal.district_id', :district_id, true)"
)
_NO_RIGHT = "42501"
_INSTALLING = 0x5A3E60A1  # the key of an advisory lock
LOCK_ROW = (
    "insert into samegoal.locks (key) values (hashtextextended(%s, 0)) "
    "on conflict (key) do update set key = excluded.key where false"
)
"""Lock the row of a name until the transaction ends, even if the row exists and nothing is updated.

A reader cannot take this lock, while any login could take an advisory lock.
"""


class Role(StrEnum):
    """A Postgres role. A transaction assumes one, so the login's other rights do not matter."""

    OWNER = "samegoal_owner"
    """Owns the tables and migrates them; reads and writes rows like the writer."""
    WRITER = "samegoal_writer"
    """Reads and writes the one district that its transaction names: the pipeline."""
    OPERATOR = "samegoal_operator"
    """Reads every district, and writes none: data engineers, the schedule."""
    READER = "samegoal_reader"
    """Reads the one district that its transaction names: SameGoal."""


def connect(url: str) -> sa.Engine:
    """Create the warehouse's engine. It connects on first use.

    Sessions run in UTC, so that no timestamp depends on the machine. Lock waits have a limit, because an idle
    session that holds a lock would otherwise stop a night silently.

    Raises:
        WarehouseError: the URL cannot be used. The first transaction also raises it if the database is not
        UTF-8, or if a connection pooler drops our settings.
    """
    lock_timeout = str(LOCK_SECONDS * 1000)
    engine = sa.create_engine(
        DatabaseURL.parse(url).with_settings(lock_timeout=lock_timeout).sqlalchemy,
        connect_args={"application_name": "samegoal-pipelines"},
        pool_pre_ping=True,
        hide_parameters=True,  # SQLAlchemy would quote rows in its messages
    )

    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("set time zone 'UTC'")
        check_session(connection, "connecting to the warehouse", "lock_timeout", lock_timeout)
        connection.commit()

    sa.event.listen(engine, "connect", prepare)
    return engine


@contextmanager
def as_writer(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """One transaction that can only see and write this district."""
    with transaction(engine, step) as connection:
        take_role(connection, Role.WRITER, district_id)
        yield connection


@contextmanager
def as_operator(engine: sa.Engine, step: str) -> Iterator[sa.Connection]:
    """One transaction that can see every district, as of one moment, and write none."""
    engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with transaction(engine, step) as connection:
        take_role(connection, Role.OPERATOR)
        yield connection


def take_role(connection: sa.Connection, role: Role, district_id: str = "") -> None:
    """Act as `role`, limited to `district_id` if given, until the transaction ends."""
    connection.execute(_TAKE_ROLE, {"role": role.value, "district_id": district_id})


@contextmanager
def transaction(engine: sa.Engine, step: str) -> Iterator[sa.Connection]:
    """One transaction as the login itself, committed at the end and rolled back on any error.

    Use `as_writer` or `as_operator` for a district's rows.

    Raises:
        WarehouseError: replaces the error of Postgres or its driver, which may quote a row.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, psycopg2.Error) as error:
        raise from_database(error, step) from None


def lock(connection: sa.Connection, district_id: str, what: str = "publishing") -> None:
    """Lock the district for writing until the transaction ends. Raises `SnapshotInProgressError`."""
    cursor = connection.connection.cursor()
    for timeout in ("lock_timeout", "statement_timeout"):  # a third waiting run would wait for two locks
        cursor.execute(f"set local {timeout} = '{LOCK_SECONDS}s'")
    try:
        cursor.execute(LOCK_ROW, (f"{what} {district_id}",))
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
        raise SnapshotInProgressError(
            f"another run has been {what} this district for {LOCK_SECONDS} s"
        ) from None
    cursor.execute("set local statement_timeout to default")


def let_roles_log_in(engine: sa.Engine) -> None:
    """Let everyone who can reach the embedded server log in as each role, with that role's limits.

    On other servers, the migrations create the roles without login.
    """
    try:
        with engine.begin() as connection:
            roles = connection.execute(sa.text("select rolname, rolcanlogin from pg_roles"))
            known: dict[str, bool] = {name: may_log_in for name, may_log_in in roles}
            for role in Role:
                if not known.get(role):
                    verb = "alter" if role in known else "create"
                    connection.execute(sa.text(f"{verb} role {role} login"))
    except (sa.exc.ProgrammingError, sa.exc.IntegrityError, sa.exc.InternalError):
        pass  # another command does the same right now


def role_url(url: str, role: Role, *, as_login: bool) -> str:
    """`url` for a tool that acts as `role`.

    With `as_login`, the tool logs in as the role itself, which the embedded server allows. Otherwise the
    URL's user assumes the role, and must be a member of it.
    """
    parts = DatabaseURL.parse(url)
    # A reader's transaction sees one night, even if it runs several statements.
    if role in (Role.OPERATOR, Role.READER):
        parts = parts.with_settings(default_transaction_isolation="repeatable read")
    if as_login:
        return parts.with_parts(user=role.value, password=None).libpq
    return parts.with_settings(role=role.value).libpq


def migrate(engine: sa.Engine) -> None:
    """Migrate the schema to this program's version. Takes one query if it is current.

    Concurrent migrations wait for each other. A failed step changes nothing.

    Raises:
        WarehouseError: the database is newer than this program, Postgres is too old, or a right is missing.
    """
    known = revisions()
    with transaction(engine, "looking up the warehouse's version") as connection:
        if _version(connection) == known[-1]:
            return
    with transaction(engine, "migrating the warehouse") as connection:
        release = int(connection.scalar(sa.text("show server_version_num")) or 0) // 10_000
        if release < OLDEST_POSTGRES:
            raise WarehouseError(
                f"Postgres {release} is too old",
                kind=Kind.DATABASE_SETTING,
                next_step=f"use version {OLDEST_POSTGRES} or newer in SAMEGOAL_DATABASE_URL",
            )
        version = _version(connection)
        try:
            if version is None:  # there is no table with locks yet
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_INSTALLING)))
                version = _version(connection)  # another program may have created the tables meanwhile
            if version is not None:
                connection.exec_driver_sql(LOCK_ROW, ("migrate",))
                version = _version(connection)  # another program may have migrated while this one waited
                take_role(connection, Role.OWNER)
            if version is not None and version not in known:
                raise WarehouseError(
                    f"the warehouse's tables have version {version}, which this program does not know",
                    kind=Kind.DATABASE_SETTING,
                    next_step="update the program",
                )
            if version != known[-1]:
                _upgrade(connection, version)
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != _NO_RIGHT:
                raise
            raise WarehouseError(
                f"the login in SAMEGOAL_DATABASE_URL may not create the schema {SCHEMA}, or may neither "
                f"create nor assume the roles {', '.join(Role)}",
                step="migrating the warehouse",
                kind=Kind.DATABASE_SETTING,
                next_step="let an administrator create the roles, grant them to the login, and let it create "
                "schemas in the database; then run again",
            ) from None


def revisions() -> list[str]:
    """The revisions that this program knows, oldest first, from the migrations' file names."""
    return sorted(path.stem.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _version(connection: sa.Connection) -> str | None:
    """The version of the tables, read in the writer's role. None if there are no tables."""
    if not sa.inspect(connection).has_table(_versions.name, SCHEMA):
        return None
    take_role(connection, Role.WRITER)  # a login can be a member of a role without inheriting its rights
    return connection.scalar(sa.select(_versions.c.version_num))


def _upgrade(connection: sa.Connection, version: str | None) -> None:
    """Run the steps since `version`, then recreate views, functions and grants from their single source.

    The first step creates today's tables in a new database, so the later steps count as done.
    """
    from alembic import command  # every run pays for this module's imports
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    _run(connection, *drop_views())
    if version is None:
        _run(connection, f"create schema if not exists {SCHEMA}")
        command.upgrade(config, revisions()[0])
        command.stamp(config, "head")
    else:
        command.upgrade(config, "head")
    _run(connection, *create_views(), (MIGRATIONS / "access.sql").read_text())


def _run(connection: sa.Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

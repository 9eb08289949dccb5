"""Which database a deployment uses, and the schema in it for Dagster's storage. Knows no table."""

from __future__ import annotations

from pathlib import Path

import psycopg2

from samegoal_pipelines.postgres.errors import from_database
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.postgres.session import check_encoding, check_setting
from samegoal_pipelines.postgres.url import DatabaseURL

DAGSTER_SCHEMA = "dagster"


def database_url(home: Path, configured: str | None) -> str:
    """The URL of the database, for psql.

    With `configured` (``SAMEGOAL_DATABASE_URL``) that one; else the embedded Postgres below `home`, which is
    started if necessary and in use by this process until it ends.
    """
    return DatabaseURL.parse(configured).libpq if configured else EmbeddedPostgres(home).acquire()


def dagster_storage_url(url: str) -> str:
    """The SQLAlchemy URL of Dagster's storage: the same database, with `DAGSTER_SCHEMA` as search path."""
    return DatabaseURL.parse(url).with_settings(search_path=DAGSTER_SCHEMA).sqlalchemy


def prepare_dagster_storage(url: str) -> str:
    """Make the schema for Dagster's storage if it is missing; returns the SQLAlchemy URL of the storage.

    Raises:
        WarehouseError: the database cannot be reached or used, or its login may not make the schema.
    """
    step = "preparing Dagster's storage"
    storage = dagster_storage_url(url)
    try:
        connection = psycopg2.connect(DatabaseURL.parse(storage).libpq, connect_timeout=30)
        try:
            with connection, connection.cursor() as cursor:
                check_encoding(connection, step)
                check_setting(connection, step, "search_path", DAGSTER_SCHEMA)
                cursor.execute("select to_regnamespace(%s)", (DAGSTER_SCHEMA,))
                if cursor.fetchone() == (None,):  # one process makes it, others wait
                    cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (DAGSTER_SCHEMA,))
                    cursor.execute(f"create schema if not exists {DAGSTER_SCHEMA}")
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise from_database(error, step) from None
    return storage

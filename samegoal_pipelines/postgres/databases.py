"""The database of a deployment, and its schema for Dagster's storage."""

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

    This is `configured` (``SAMEGOAL_DATABASE_URL``), or else the embedded Postgres below `home`, which is
    started if necessary and used by this process until it ends.
    """
    return DatabaseURL.parse(configured).libpq if configured else EmbeddedPostgres(home).acquire()


def dagster_storage_url(url: str, schema: str = DAGSTER_SCHEMA) -> str:
    """The SQLAlchemy URL of Dagster's storage: the same database, with its own schema as search path."""
    return DatabaseURL.parse(url).with_settings(search_path=schema).sqlalchemy


def prepare_dagster_storage(url: str, schema: str = DAGSTER_SCHEMA) -> str:
    """Create the schema for Dagster's storage, or for Celery's, if it is missing. Return its SQLAlchemy URL.

    Raises:
        WarehouseError: the database cannot be reached or used, or its login may not create the schema.
    """
    step = f"preparing the schema {schema}"
    storage = dagster_storage_url(url, schema)
    try:
        connection = psycopg2.connect(DatabaseURL.parse(storage).libpq, connect_timeout=30)
        try:
            with connection, connection.cursor() as cursor:
                check_encoding(connection, step)
                check_setting(connection, step, "search_path", schema)
                cursor.execute("select to_regnamespace(%s)", (schema,))
                if cursor.fetchone() == (None,):  # one process creates it, others wait
                    cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (schema,))
                    cursor.execute(f"create schema if not exists {schema}")
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise from_database(error, step) from None
    return storage

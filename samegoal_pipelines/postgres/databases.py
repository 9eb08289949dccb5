"""The schema for Dagster's storage, and the check of every new session."""

from contextlib import closing
from typing import Any

import psycopg2

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.errors import POOLER_NEXT_STEP, POOLER_REFUSES, WarehouseError, from_database
from samegoal_pipelines.postgres.url import DatabaseURL


def prepare_dagster_storage(url: str, schema: str = "dagster") -> str:
    """Create the schema for Dagster's storage, or for Celery's, if it is missing.

    Returns:
        The SQLAlchemy URL of the storage: the same database, with this schema as search path.

    Raises:
        WarehouseError: the database cannot be reached or used, or its login may not create the schema.
    """
    step, storage = f"preparing the schema {schema}", DatabaseURL.parse(url).with_settings(search_path=schema)
    try:
        with closing(psycopg2.connect(storage.libpq, connect_timeout=30)) as connection:
            with connection, connection.cursor() as cursor:
                check_session(connection, step, "search_path", schema)
                cursor.execute("select to_regnamespace(%s)", (schema,))
                if cursor.fetchone() == (None,):  # one process creates it, others wait
                    cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", (schema,))
                    cursor.execute(f"create schema if not exists {schema}")
    except psycopg2.Error as error:
        raise from_database(error, step) from None
    return storage.sqlalchemy


def check_session(connection: Any, step: str, name: str, expected: str) -> None:
    """Refuse a database that cannot store every name, and a session without a setting of the URL's `options`.

    Args:
        connection: psycopg2's.
        expected: the value of the setting `name`, in Postgres' own unit.

    Raises:
        WarehouseError: the database's encoding is not UTF-8, or something between us and Postgres dropped the
            startup parameter `options`.
    """
    encoding = connection.info.parameter_status("server_encoding")  # known since the login
    if encoding != "UTF8":
        raise WarehouseError(
            f"the database stores text as {encoding}, which cannot hold every name",
            step=step,
            kind=Kind.DATABASE_SETTING,
            next_step="create another one with: createdb --encoding=UTF8 --template=template0 NAME, "
            "and name it in SAMEGOAL_DATABASE_URL",
        )
    with connection.cursor() as cursor:
        cursor.execute("select setting from pg_settings where name = %s", (name,))
        if cursor.fetchone() != (expected,):
            raise WarehouseError(
                POOLER_REFUSES, step=step, kind=Kind.DATABASE_SETTING, next_step=POOLER_NEXT_STEP
            )

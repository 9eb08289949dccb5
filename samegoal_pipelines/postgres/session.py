"""Checks of a session: the database's encoding is UTF-8, and the settings of the URL are in force."""

from __future__ import annotations

from typing import Any

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.errors import POOLER_NEXT_STEP, POOLER_REFUSES, WarehouseError


def check_encoding(connection: Any, step: str) -> None:
    """Refuse a database that cannot store every name. Postgres reports the encoding at login, so this costs
    no query.

    Args:
        connection: psycopg2's.

    Raises:
        WarehouseError: the database's encoding is not UTF-8.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise WarehouseError(
            f"the database stores text as {encoding}, which cannot hold every name",
            step=step,
            kind=Kind.DATABASE_SETTING,
            next_step="create another one with: createdb --encoding=UTF8 --template=template0 NAME, "
            "and name it in SAMEGOAL_DATABASE_URL",
        )


def check_setting(connection: Any, step: str, name: str, expected: str) -> None:
    """Refuse a session in which a setting of the URL's `options` is not in force.

    Args:
        connection: psycopg2's.
        expected: the value in Postgres' own unit.

    Raises:
        WarehouseError: something between us and Postgres dropped the startup parameter `options`.
    """
    with connection.cursor() as cursor:
        cursor.execute("select setting from pg_settings where name = %s", (name,))
        if cursor.fetchone() != (expected,):
            raise WarehouseError(
                POOLER_REFUSES, step=step, kind=Kind.DATABASE_SETTING, next_step=POOLER_NEXT_STEP
            )

"""Further databases on the tests' server, and what they answer."""

from contextlib import closing
from typing import Any

import psycopg2

from samegoal_pipelines.postgres.url import DatabaseURL


def with_database(url: str, database: str) -> str:
    """`url` pointing at another database of the same server."""
    return DatabaseURL.parse(url).with_parts(dbname=database).libpq


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, as libpq connects with this URL. What it writes is committed."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else []

"""Further databases on the tests' server."""

from dataclasses import replace

from samegoal_pipelines.postgres.url import DatabaseURL


def with_database(url: str, database: str) -> str:
    """`url` pointing at another database of the same server."""
    return replace(DatabaseURL.parse(url), database=database).libpq

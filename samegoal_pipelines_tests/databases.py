"""Further databases on the tests' server."""

from samegoal_pipelines.postgres.url import DatabaseURL


def with_database(url: str, database: str) -> str:
    """`url` pointing at another database of the same server."""
    return DatabaseURL.parse(url).with_parts(dbname=database).libpq

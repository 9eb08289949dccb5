"""Further databases on the server at hand."""

from samegoal_pipelines.postgres.url import DatabaseURL


def with_database(url: str, database: str) -> str:
    """`url` pointing at another database of the same server."""
    return DatabaseURL.parse(url).with_database(database).libpq

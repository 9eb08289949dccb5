"""Further databases on the server at hand."""

from urllib.parse import quote, urlsplit, urlunsplit

from samegoal_pipelines.warehouse.urls import plain_url


def with_database(url: str, database: str) -> str:
    """`url` pointing at another database of the same server."""
    return urlunsplit(urlsplit(plain_url(url))._replace(path=f"/{quote(database, safe='')}"))

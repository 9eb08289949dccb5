"""The Qmlativ Custom API client: authenticates, pages, and yields columns typed by declaration.

Imports no other room but `tables`, which declares the objects and fields. It keeps no data, writes no file,
logs nothing, and knows no Dagster. The names below are its interface; they are loaded when first used, so
naming an error imports no Arrow.

errors      what can go wrong, by meaning        connection  address, credentials, limits
addresses   which addresses a source may have
transport   one HTTP exchange, done safely       auth        the token, shared by all threads
paging      which page comes next                decode      a page's bytes into columns
merging     do the pages make one set of rows?   gaps        was a row lost between two pages?
listing     one object and year, whole           client      one district: identity, grants, objects
workers     threads that ask, and threads that decode
reading     everything a night needs, at once, split by asset
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.client import Identity, ObjectRead, QmlativClient
    from samegoal_pipelines.qmlativ.connection import Connection, Patience, Secret
    from samegoal_pipelines.qmlativ.errors import QmlativError
    from samegoal_pipelines.qmlativ.reading import DistrictRead, read_district

_HOME = {
    "Connection": "connection",
    "DistrictRead": "reading",
    "Identity": "client",
    "ObjectRead": "client",
    "Patience": "connection",
    "QmlativClient": "client",
    "QmlativError": "errors",
    "Secret": "connection",  # pragma: allowlist secret
    "read_district": "reading",
}

__all__ = [
    "Connection",
    "DistrictRead",
    "Identity",
    "ObjectRead",
    "Patience",
    "QmlativClient",
    "QmlativError",
    "Secret",
    "read_district",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

"""What a request to the sandbox asks for: parsed path, query and body. Nothing is answered here."""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

_PATH = re.compile(
    r"(?P<base>(?:/[^/]+)+?)/(?:(?P<token>oauth/token)|Custom/(?:(?P<metadata>GetSystemMetadata)"
    r"|(?P<entity>\d{1,9})/(?P<object>\w+/\w+)(?:/(?P<page>\d{1,9})/(?P<size>\d{1,9}))?))/?"
)


class BadRequest(ValueError):
    """The server answers 400 with this message."""


@dataclass(frozen=True)
class Asked:
    """One request. ``kind`` is "token", "metadata", "describe", "list" or "unknown"."""

    method: str
    path: str
    base: str
    kind: str
    entity: int | None = None
    object: str | None = None
    page: int | None = None
    size: int | None = None
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def fields(self) -> list[str]:
        """The searchFields, in the order of their index."""
        found = [(re.fullmatch(r"searchFields\[(\d*)\]", name), value) for name, value in self.query]
        return [value for _, value in sorted((int(match[1] or 0), value) for match, value in found if match)]

    @property
    def school_year_id(self) -> int | None:
        """The SchoolYearID of the query, if there is one."""
        value = dict(self.query).get("SchoolYearID")
        if value is None:
            return None
        if not re.fullmatch(r"\d{1,9}", value):
            raise BadRequest("SchoolYearID must be a number")
        return int(value)

    def search(self) -> tuple[Any, list[dict[str, Any]]]:
        """SearchCondition and SearchSort of the body of a POST."""
        if self.method != "POST" or not self.body:
            return None, []
        try:
            body = json.loads(self.body)
        except ValueError:
            raise BadRequest("The body is not JSON") from None
        sort = (body.get("SearchSort") or []) if isinstance(body, dict) else None
        if not isinstance(sort, list):
            raise BadRequest("The body must be an object of SearchCondition and SearchSort")
        return body.get("SearchCondition"), sort

    def basic_credentials(self) -> tuple[str, str] | None:
        """Key and secret of an Authorization header of the kind Basic."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return None
        return unquote_plus(key), unquote_plus(secret)

    def form(self) -> dict[str, str]:
        """The form of a token request."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


def parse(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Asked:
    """Read a request; a path outside the API has kind "unknown"."""
    match = _PATH.fullmatch(path)
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    if not match:
        return Asked(method, path, "", "unknown", query=pairs, headers=headers, body=body)
    kind = "list"
    if match["token"] or match["metadata"]:
        kind = "token" if match["token"] else "metadata"
    elif match["page"] is None:
        kind = "describe"
    entity, page, size = (int(match[name]) if match[name] else None for name in ("entity", "page", "size"))
    return Asked(method, path, match["base"], kind, entity, match["object"], page, size, pairs, headers, body)

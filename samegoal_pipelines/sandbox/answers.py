"""What the Custom API answers, as bytes: tokens, metadata, object descriptions and pages.

Where the contract leaves it open: objects under another district's base URL are refused with 403
(GetSystemMetadata answers for the district of the credentials, under any base URL); a page size over the
limit is cut to it, and Next goes on with the smaller one; through a school's entity, objects that have an
EntityID show that entity's rows. No sockets here, and no faults.
"""

import secrets
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa

from samegoal_pipelines.sandbox import search
from samegoal_pipelines.sandbox.district import Listing, Refused, SandboxDistrict
from samegoal_pipelines.sandbox.encode import encode_objects
from samegoal_pipelines.sandbox.objects import OBJECTS
from samegoal_pipelines.sandbox.requests import Asked, BadRequest
from samegoal_pipelines.sandbox.sandbox import Sandbox

CACHE_BYTES = 400_000_000
VIEWS_REMEMBERED = 400
JSON = "application/json; charset=utf-8"


@dataclass
class Answer:
    """Status, body and headers of an answer."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})
    _gzipped: bytes = field(default=b"", repr=False)

    def gzipped(self) -> bytes:
        """The body compressed, quickly rather than well; once, for a page is kept and sent again."""
        if not self._gzipped:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            self._gzipped = packer.compress(self.body) + packer.flush()
        return self._gzipped


def json_answer(status: int, content: Any) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, orjson.dumps(content))


def message(status: int, text: str) -> Answer:
    """An error as Qmlativ words it."""
    return json_answer(status, {"Message": text})


class CustomApi:
    """The answers of one sandbox; tokens and encoded pages are remembered. Thread-safe."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        self._tokens: dict[str, tuple[SandboxDistrict, float]] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._views: dict[Any, tuple[tuple[pa.Table, pa.Table], pa.Table]] = {}
        self._pages: dict[Any, tuple[pa.Table, Answer]] = {}
        self._page_bytes = 0

    def answer(self, asked: Asked) -> Answer:
        """The answer to a request that meets no fault."""
        makers: dict[str, tuple[str, Callable[[Asked], Answer]]] = {
            "token": ("POST", self._token),
            "metadata": ("GET", self._with_token(self._metadata)),
            "describe": ("GET", self._with_token(self._describe)),
            "list": ("GET POST", self._with_token(self._list)),
        }
        if asked.kind not in makers:
            return message(404, "No HTTP resource was found that matches the request URI")
        methods, make = makers[asked.kind]
        if asked.method not in methods.split():
            return message(405, f"The requested resource does not support http method {asked.method}")
        try:
            return make(asked)
        except Refused as refused:
            return message(403, str(refused))
        except (BadRequest, search.BadSearch) as bad:
            return message(400, str(bad))

    def expire_tokens(self) -> None:
        """Every token given out so far runs out now."""
        with self._lock:
            self._tokens = {token: (district, 0.0) for token, (district, _) in self._tokens.items()}

    def forget_tokens(self) -> None:
        """No token given out so far is known any more."""
        with self._lock:
            self._tokens.clear()

    def _token(self, asked: Asked) -> Answer:
        form = asked.form()
        if form.get("grant_type") != "client_credentials":
            return json_answer(400, {"error": "unsupported_grant_type"})
        basic = asked.basic_credentials()
        key, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        district = self.sandbox.by_client_key(key)
        wrong = (
            district is None
            or secret != district.client_secret
            or district.client_auth != ("basic" if basic else "form")
        )
        if district is None or wrong or (district.expires and district.expires <= district.today):
            description = "The client credentials are unknown or have expired"
            return json_answer(
                self.sandbox.invalid_client_status,
                {"error": "invalid_client", "error_description": description},
            )
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._tokens[token] = (district, time.monotonic() + district.token_lifetime)
        lifetime = district.token_lifetime
        return json_answer(
            200,
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": int(lifetime) if lifetime == int(lifetime) else lifetime,
            },
        )

    def _with_token(self, make: Callable[[Asked, SandboxDistrict], Answer]) -> Callable[[Asked], Answer]:
        def checked(asked: Asked) -> Answer:
            scheme, _, token = asked.headers.get("authorization", "").partition(" ")
            with self._lock:
                district, until = self._tokens.get(token, (None, 0.0))
            if scheme.lower() != "bearer":
                return message(401, "Authorization has been denied for this request.")
            if district is None:
                return Answer(401, b"", {"www-authenticate": 'Bearer error="invalid_token"'})
            if time.monotonic() >= until:
                return message(district.token_expired_status, "Token has expired")
            return make(asked, district)

        return checked

    def _metadata(self, asked: Asked, district: SandboxDistrict) -> Answer:
        del asked  # answers for the credentials, whatever the base URL
        return json_answer(200, district.system_metadata())

    def _describe(self, asked: Asked, district: SandboxDistrict) -> Answer:
        name = self._checked_object(asked, district)
        types = OBJECTS[name].types
        fields = {column: {"Type": str(types[column])} for column in district.granted_fields(name)}
        return json_answer(200, {**fields, "Relationships": {}, "ValidationRules": []})

    def _checked_object(self, asked: Asked, district: SandboxDistrict) -> str:
        """Whether these credentials may read this object of this entity here; its name."""
        if asked.base != district.base_path:
            raise Refused("These credentials belong to another district")
        district.check_entity(asked.entity or 0)
        district.granted_fields(asked.object or "")
        return asked.object or ""

    def _list(self, asked: Asked, district: SandboxDistrict) -> Answer:
        name = self._checked_object(asked, district)
        condition, sort = asked.search()
        refused = district.refused_conditions.intersection(search.condition_kinds(condition or {}))
        if refused:
            raise BadRequest(f"Unknown condition {min(refused)}")
        if condition and district.ignored_conditions:
            condition = search.without_kinds(condition, district.ignored_conditions)
        fields = tuple(asked.fields) or (OBJECTS[name].key,)
        named = [*fields, *search.condition_fields(condition or {}), *search.sort_fields(sort)]
        district.check_fields(name, named)
        page, size = asked.page or 0, min(asked.size or 0, district.page_size_limit)
        if page < 1 or size < 1:
            raise BadRequest("page and pageSize start at 1")
        year = district.current_year_id() if asked.school_year_id is None else asked.school_year_id
        listing = Listing(name, asked.entity or 0, year, fields, condition, sort)
        view = self._view(district, listing)
        key = (district.id, *listing.key, page, size, district.paging_end)
        known, answer = self._pages.get(key, (None, None))
        if answer is None or known is not view:
            answer = _page(view, listing, page, size, district)
            self._remember(key, view, answer)
        return answer

    def _view(self, district: SandboxDistrict, listing: Listing) -> pa.Table:
        """All rows of a listing, filtered and ordered; made anew when the district's tables have changed."""
        source = (district.tables[listing.object], district.tables["District/SchoolYear"])
        key = (district.id, *listing.key)
        with self._making:  # pages of one listing are asked for at once: order its rows once
            known, view = self._views.get(key, ((None, None), None))
            if view is None or known[0] is not source[0] or known[1] is not source[1]:
                view = district.rows_shown(listing)
                if len(self._views) > VIEWS_REMEMBERED:
                    self._views.clear()
                self._views[key] = (source, view)
        return view

    def _remember(self, key: Any, view: pa.Table, answer: Answer) -> None:
        with self._lock:
            if self._page_bytes > CACHE_BYTES:
                self._pages.clear()
                self._page_bytes = 0
            self._pages[key] = (view, answer)
            self._page_bytes += len(answer.body)


def _page(view: pa.Table, listing: Listing, page: int, size: int, district: SandboxDistrict) -> Answer:
    objects = encode_objects(view.slice((page - 1) * size, size), listing.fields)
    paging = orjson.dumps(_paging(listing, page, size, view.num_rows, district))
    return Answer(200, b"".join((b'{"Objects":[', objects, b'],"Paging":', paging, b"}")))


def _paging(listing: Listing, page: int, size: int, total: int, district: SandboxDistrict) -> dict[str, Any]:
    def path(number: int) -> str:
        return f"/Custom/{listing.entity}/{listing.object}/{number}/{size}"

    if page * size < total or (district.paging_end == "beyond" and (page - 1) * size < total):
        return {"Next": path(page + 1)}
    ends: dict[str, dict[str, Any]] = {"empty": {"Next": ""}, "absent": {}, "same": {"Next": path(page)}}
    return ends.get(district.paging_end, {"Next": None})

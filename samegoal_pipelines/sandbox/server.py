"""The HTTP server: routes, tokens, answers, latency and faults. ``serve`` runs it in a thread.

Two answers that the contract leaves open: objects under another district's base URL are refused with 403, and
GetSystemMetadata answers for the district of the credentials under any base URL.
"""

import asyncio
import base64
import gzip
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from samegoal_pipelines.sandbox.district import Rows, SandboxDistrict
from samegoal_pipelines.sandbox.faults import Call, Fault, Faults
from samegoal_pipelines.sandbox.generate import Sandbox
from samegoal_pipelines.sandbox.listings import Listing

HOST = "127.0.0.1"
MAX_PAGE_SIZE = 10_000  # a larger page size is cut to this one, and Next goes on with it
KEPT = 400  # listings
Answer = Callable[[Call], Response]


@dataclass
class Traffic:
    """The requests to a server so far, for tests. A request is logged when its answer is ready."""

    log: deque[Call] = field(default_factory=lambda: deque(maxlen=50_000))
    peak_concurrency: int = 0  # the most requests, apart from tokens, that were being answered at once
    in_progress: int = 0

    def requests(self, **wanted: Any) -> list[Call]:
        """The requests with these attributes, such as ``kind="list", object="Student/Student"``."""
        return [call for call in list(self.log) if wanted.items() <= vars(call).items()]

    @property
    def token_calls(self) -> int:
        """How many tokens were asked for."""
        return len(self.requests(kind="token"))

    def clear(self) -> None:
        """Forget everything so far."""
        self.log.clear()
        self.peak_concurrency = 0


class SandboxServer:
    """The web application, and its address while it is served."""

    def __init__(self, sandbox: Sandbox, faults: Faults | None = None) -> None:
        self.sandbox = sandbox
        self.faults = Faults() if faults is None else faults
        self.traffic = Traffic()
        self.tokens: dict[str, SandboxDistrict | None] = {}  # every one that was issued; None: it has expired
        self.url = ""
        # Key of a listing → its table, the rows shown and the pages made of them
        self._shown: dict[Any, tuple[Rows, Rows, dict[Any, bytes]]] = {}
        self._lock = threading.Lock()
        described = "/Custom/{entity:int}/{module}/{name}"
        self.app = Starlette(
            routes=[
                self._route("token", "/oauth/token", self._token, "POST"),
                self._route("metadata", "/Custom/GetSystemMetadata", self._metadata, "GET"),
                self._route("describe", described, self._describe, "GET"),
                self._route("list", described + "/{page:int}/{size:int}", self._list, "GET", "POST"),
            ]
        )

    def base_url(self, district: SandboxDistrict) -> str:
        """The API base URL of a district."""
        return self.url + district.base_path

    def _route(self, kind: str, path: str, answer: Answer, *methods: str) -> Route:
        return Route("/{base:path}" + path, partial(self._respond, kind, answer), methods=methods)

    def _token(self, call: Call) -> Response:
        form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        given = ("form", form.get("client_id"), form.get("client_secret"))
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":  # RFC 6749, section 2.3.1
            key, _, secret = base64.b64decode(encoded).decode().partition(":")
            given = ("basic", unquote_plus(key), unquote_plus(secret))
        for district in self.sandbox.districts:
            expired = district.expires is not None and district.expires <= district.today
            if given == (district.client_auth, district.client_key, district.client_secret) and not expired:
                token = secrets.token_urlsafe(32)
                self.tokens[token] = district
                return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 3600})
        refusal = "The client credentials are unknown or have expired"
        return JSONResponse({"error": "invalid_client", "error_description": refusal}, 401)

    def _metadata(self, call: Call) -> Response:
        return JSONResponse(self._signed_in(call).system_metadata())

    def _describe(self, call: Call) -> Response:
        _, granted = self._granted(call)
        fields: dict[str, object] = {name: {} for name in granted}
        return JSONResponse(fields | {"Relationships": {}, "ValidationRules": []})

    def _list(self, call: Call) -> Response:
        listing = Listing(call, *self._granted(call))
        with self._lock:  # pages of one listing are asked for at once, and its rows are ordered only once
            if (key := listing.key) not in self._shown:
                rows = listing.rows()
                if len(self._shown) >= KEPT:
                    self._shown.clear()
                self._shown[key] = listing.table, rows, {}  # while a table is kept, no other one gets its id
            _, rows, pages = self._shown[key]
        size, packed = min(call.size, MAX_PAGE_SIZE), "gzip" in call.headers.get("accept-encoding", "")
        if (wanted := (call.page, size, listing.fields, packed)) not in pages:
            page = listing.page(rows, size)
            pages[wanted] = gzip.compress(page, 1, mtime=0) if packed else page
        headers = {"content-encoding": "gzip"} if packed else {}
        return Response(pages[wanted], headers=headers, media_type="application/json")

    def _signed_in(self, call: Call) -> SandboxDistrict:
        """The district of the token."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401, "Authorization has been denied for this request.")
        if token not in self.tokens:
            raise HTTPException(401, "")
        if (district := self.tokens[token]) is None:
            raise HTTPException(401, "Token has expired")
        return district

    def _granted(self, call: Call) -> tuple[SandboxDistrict, list[str]]:
        """The district of the token, and the fields of this object that it may read here."""
        district = self._signed_in(call)
        if call.district != district.id:
            raise HTTPException(403, "These credentials belong to another district")
        return district, district.granted_fields(call.entity, call.object)

    async def _respond(self, kind: str, answer: Answer, request: Request) -> Response:
        """The answer, with latency and faults."""
        started = time.monotonic()
        asked = dict(request.path_params)
        base = f"/{asked.pop('base')}"
        district = next((each for each in self.sandbox.districts if each.base_path == base), None)
        if "name" in asked:
            asked["object"] = f"{asked.pop('module')}/{asked.pop('name')}"
        call = Call(
            kind,
            district.id if district else None,
            request.method,
            request.url.path,
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
            **asked,
        )
        traffic, counts = self.traffic, kind != "token"
        traffic.in_progress += counts
        traffic.peak_concurrency = max(traffic.peak_concurrency, traffic.in_progress)
        try:
            faults = [fault for fault in list(self.faults) if fault.matches(call)]
            for fault in faults:
                if fault.run and district:
                    fault.run(district)
                if fault.expire_tokens:
                    self.tokens.update(dict.fromkeys(self.tokens))
                await asyncio.sleep(fault.hang)
            if any(fault.drop for fault in faults):
                request.receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's
                return Response()
            response = await run_in_threadpool(_answer, call, answer, faults)
            if district and kind == "list":
                await asyncio.sleep(started + district.latency - time.monotonic())
            call.status = response.status_code
            return response
        finally:
            traffic.in_progress -= counts
            traffic.log.append(call)


def _answer(call: Call, answer: Answer, faults: list[Fault]) -> Response:
    """The answer of the API or of a fault."""
    for fault in faults:
        if fault.status is not None or fault.body is not None:
            return Response(fault.body, fault.status or 200, fault.headers, "text/plain")
    changing = [fault for fault in faults if fault.set or fault.remove_fields]
    if changing:
        call.headers.pop("accept-encoding", None)  # an answer that is changed is not compressed
    try:
        response = answer(call)
    except HTTPException as error:  # an error as Qmlativ words it
        response = Response(None, error.status_code)
        if error.detail:
            response = JSONResponse({"Message": error.detail}, error.status_code)
    for fault in changing:
        if response.status_code == 200:
            response = Response(fault.changed(bytes(response.body)), media_type="application/json")
    for fault in faults:
        if fault.cut is not None:
            sent = bytes(response.body)[: int(len(response.body) * fault.cut)]
            response = Response(sent, response.status_code, response.headers)
    return response


@contextmanager
def serve(
    sandbox: Sandbox, port: int = 0, faults: Faults | None = None, host: str = HOST
) -> Iterator[SandboxServer]:
    """Serve a sandbox from a thread while the block lasts. Port 0 takes a free one.

    Raises OSError at once if the port is taken.
    """
    served = SandboxServer(sandbox, faults)
    config = uvicorn.Config(
        served.app,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    with socket.create_server((host, port)) as listening:
        name = socket.gethostname() if host == "0.0.0.0" else host  # noqa: S104  # nosec B104 - if asked for
        served.url = f"http://{name}:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([listening],), name="sandbox", daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise OSError("the sandbox server did not start")
                time.sleep(0.002)
            yield served
        finally:
            server.should_exit = server.force_exit = True  # do not wait for answers that hang on request
            thread.join(timeout=10)

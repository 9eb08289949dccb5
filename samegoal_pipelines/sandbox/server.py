"""The HTTP server: routes, answers, latency and faults. ``serve`` runs it in a thread.

Where the contract leaves it open: objects under another district's base URL are refused with 403, and
GetSystemMetadata answers for the district of the credentials, under any base URL.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from samegoal_pipelines.sandbox.district import Sandbox, SandboxDistrict
from samegoal_pipelines.sandbox.faults import Fault, Faults
from samegoal_pipelines.sandbox.listings import Listing, Listings
from samegoal_pipelines.sandbox.objects import SCHEMAS
from samegoal_pipelines.sandbox.search import Search
from samegoal_pipelines.sandbox.tokens import Tokens
from samegoal_pipelines.sandbox.traffic import Call, Traffic

HOST = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # nosec B104
"""Only where a person asks for it."""
Answer = Callable[[Call], Response]
MAINTENANCE_PAGE = "<!DOCTYPE html><html><title>Maintenance</title><body>Back at 5 a.m.</body></html>"


class SandboxServer:
    """The web application, and its address while it is served."""

    def __init__(self, sandbox: Sandbox, faults: Faults | None = None) -> None:
        self.sandbox = sandbox
        self.faults = faults or Faults()
        self.traffic = Traffic()
        self.tokens = Tokens(sandbox)
        self.url = ""
        self._listings = Listings()
        custom = "/{base:path}/Custom"
        described = f"{custom}/{{entity:int}}/{{module}}/{{name}}"
        self.app = Starlette(
            routes=[
                self._route("token", "/{base:path}/oauth/token", self._token, "POST"),
                self._route("metadata", f"{custom}/GetSystemMetadata", self._metadata, "GET"),
                self._route("describe", described, self._describe, "GET"),
                self._route("list", f"{described}/{{page:int}}/{{size:int}}", self._list, "GET", "POST"),
            ],
            exception_handlers={HTTPException: lambda _, error: _refusal(cast(HTTPException, error))},
        )

    def base_url(self, district: SandboxDistrict) -> str:
        """The API base URL of a district."""
        return self.url + district.base_path

    def _token(self, call: Call) -> Response:
        return self.tokens.issue(call.authorization, call.body)

    def _metadata(self, call: Call) -> Response:
        return JSONResponse(self.tokens.district(call.authorization).system_metadata())

    def _describe(self, call: Call) -> Response:
        district = self._district_asked(call)
        fields: dict[str, object] = {name: {} for name in district.granted_fields(call.object)}
        return JSONResponse(fields | {"Relationships": {}, "ValidationRules": []})

    def _list(self, call: Call) -> Response:
        district, name, search = self._district_asked(call), call.object, Search(call.body)
        if refused := district.refused_conditions & search.kinds:
            raise HTTPException(400, f"Unknown condition {min(refused)}")
        fields = tuple(call.fields) or (SCHEMAS[name].names[0],)
        district.check_fields(name, [*fields, *search.fields])
        size = min(call.size, district.page_size_limit)
        if call.page < 1 or size < 1:
            raise HTTPException(400, "page and pageSize start at 1")
        year = call.school_year_id
        if year is not None and not re.fullmatch(r"\d{1,9}", year):
            raise HTTPException(400, "SchoolYearID must be a number")
        year_id = district.current_year_id() if year is None else int(year)
        listing = Listing(
            name, call.entity, year_id, fields, call.body, frozenset(district.ignored_conditions)
        )
        compress = district.gzip and "gzip" in call.headers.get("accept-encoding", "")
        page = self._listings.page(district, listing, call.page, size, compress=compress)
        headers = {"content-encoding": "gzip"} if compress else None
        return Response(page, headers=headers, media_type="application/json")

    def _district_asked(self, call: Call) -> SandboxDistrict:
        """The district of the token, if it may read this object of this entity here."""
        district = self.tokens.district(call.authorization)
        if call.base != district.base_path:
            raise HTTPException(403, "These credentials belong to another district")
        district.check_entity(call.entity)
        district.granted_fields(call.object)
        return district

    def _route(self, kind: str, path: str, answer: Answer, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            base = f"/{request.path_params['base']}"
            district = next((each for each in self.sandbox.districts if each.base_path == base), None)
            call = await Call.read(kind, request, district.id if district else None)
            with self.traffic.recording(call):
                return await self._respond(call, request, answer, district)

        return Route(path, endpoint, methods=list(methods))

    async def _respond(
        self, call: Call, request: Request, answer: Answer, district: SandboxDistrict | None
    ) -> Response:
        """The answer, with latency and faults."""
        started = time.monotonic()
        faults = self.faults.matching(call)
        for fault in faults:
            if fault.run and district:
                fault.run(district)
            if fault.expire_tokens:
                self.tokens.expire()
            if fault.forget_tokens:
                self.tokens.issued.clear()
            await _wait_until(time.monotonic() + fault.hang)
        if any(fault.drop for fault in faults):
            request.receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's connection
            return Response()
        if any(fault.changes_json or fault.body is not None for fault in faults):
            call.headers.pop("accept-encoding", None)  # an answer that is changed is not compressed
        response = await _answer(call, answer, faults)
        if district and call.kind == "list":
            await _wait_until(started + district.latency)
        call.status = response.status_code
        return _slow_or_cut(response, faults)


async def _answer(call: Call, answer: Answer, faults: list[Fault]) -> Response:
    """The answer of the API or of a fault."""
    for fault in faults:
        if fault.html:
            return HTMLResponse(MAINTENANCE_PAGE)
        if fault.status is not None:
            return PlainTextResponse(fault.body or b"", fault.status, fault.headers)
    try:
        response = await run_in_threadpool(answer, call)
    except HTTPException as error:
        response = _refusal(error)
    for fault in faults:
        body = response.body
        if fault.changes_json and response.status_code == 200:
            body = fault.changed_json(bytes(body), call)
        if fault.body is not None:
            body = response.render(fault.body)
        headers = MutableHeaders(raw=[each for each in response.raw_headers if each[0] != b"content-length"])
        headers.update(fault.headers)
        response = Response(body, response.status_code, headers)
    return response


def _refusal(error: HTTPException) -> Response:
    """An error as Qmlativ words it."""
    if not error.detail:
        return Response(b"", error.status_code, error.headers)
    return JSONResponse({"Message": error.detail}, error.status_code, error.headers)


def _slow_or_cut(response: Response, faults: list[Fault]) -> Response:
    """The same answer, in slow pieces or with a part missing if a fault says so."""
    drip = next((fault for fault in faults if fault.drip), None)
    cut = min((fault.cut for fault in faults if fault.cut is not None), default=None)
    if drip is None and cut is None:
        return response
    body = bytes(response.body)
    sent = body if cut is None else body[: int(len(body) * cut)]
    step, pause = (drip.drip_bytes, drip.drip) if drip else (len(body), 0.0)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), max(1, step)):
            yield sent[start : start + step]
            await asyncio.sleep(pause)

    return StreamingResponse(pieces(), response.status_code, dict(response.headers))


async def _wait_until(moment: float) -> None:
    """Wait until this monotonic time. uvloop counts whole milliseconds and may wake a little early."""
    while (left := moment - time.monotonic()) > 0:
        await asyncio.sleep(left)


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
        server_header=False,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    with socket.create_server((host, port)) as listening:
        name = socket.gethostname() if host == EVERY_ADDRESS else host
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

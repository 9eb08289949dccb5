"""Serves a sandbox over a real socket: ASGI, latency, compression, faults, and a log of what was asked.

``serve`` runs uvicorn in a thread for as long as a ``with`` block lasts. What is answered is decided in
``answers``; what goes wrong on request, in ``faults``.
"""

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from samegoal_pipelines.sandbox.answers import Answer, CustomApi
from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.faults import MAINTENANCE_PAGE, Fault, Faults
from samegoal_pipelines.sandbox.requests import Asked, parse
from samegoal_pipelines.sandbox.sandbox import Sandbox

HOST = "127.0.0.1"
_LOG_LENGTH = 50_000


@dataclass(frozen=True)
class Logged:
    """A request that was served: what was asked, of which district (by base path), how it went."""

    asked: Asked
    district: str | None
    status: int
    """0 where the connection was dropped."""
    bytes: int
    started: float
    seconds: float

    @property
    def kind(self) -> str:
        """What kind of request it was: "token", "metadata", "describe", "list" or "unknown"."""
        return self.asked.kind


@dataclass
class Traffic:
    """What was asked of a server so far."""

    log: deque[Logged] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH))
    in_flight: int = 0
    peak_concurrency: int = 0
    """The most requests (tokens aside) that were under way at once, over all districts."""
    peak_by_district: Counter[str] = field(default_factory=Counter)
    _in_flight_by_district: Counter[str] = field(default_factory=Counter)

    def requests(self, **wanted: Any) -> list[Logged]:
        """The requests with these attributes: kind, object, page, entity, method, path; district, status."""
        own = {"district", "status"}
        return [
            entry
            for entry in list(self.log)
            if all(
                getattr(entry if name in own else entry.asked, name) == value
                for name, value in wanted.items()
            )
        ]

    @property
    def token_calls(self) -> int:
        """How many tokens were asked for."""
        return len(self.requests(kind="token"))

    @property
    def by_path(self) -> Counter[str]:
        """Requests per path (without query)."""
        return Counter(entry.asked.path for entry in list(self.log))

    def clear(self) -> None:
        """Forget everything so far."""
        self.log.clear()
        self.peak_concurrency = 0
        self.peak_by_district.clear()

    def begin(self, district: str) -> None:
        """A request has come in."""
        self.in_flight += 1
        self._in_flight_by_district[district] += 1
        self.peak_concurrency = max(self.peak_concurrency, self.in_flight)
        here = self._in_flight_by_district[district]
        self.peak_by_district[district] = max(self.peak_by_district[district], here)

    def end(self, district: str) -> None:
        """It has been answered."""
        self.in_flight -= 1
        self._in_flight_by_district[district] -= 1


class SandboxServer:
    """The ASGI application, and its address while it is served."""

    def __init__(self, sandbox: Sandbox, faults: Faults | None = None):
        self.sandbox = sandbox
        self.faults = faults or Faults()
        self.traffic = Traffic()
        self.api = CustomApi(sandbox)
        self.url = ""

    def base_url(self, district: SandboxDistrict) -> str:
        """The API base URL of a district."""
        return self.url + district.base_path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive)
        asked = parse(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, body)
        district = self.sandbox.by_base_path(asked.base)
        name = district.id if district else ""
        started, sent = time.monotonic(), (0, 0)
        if asked.kind != "token":
            self.traffic.begin(name)
        try:
            sent = await self._serve(asked, district, receive, send)
        finally:
            if asked.kind != "token":
                self.traffic.end(name)
            took = time.monotonic() - started
            self.traffic.log.append(Logged(asked, name or None, *sent, started, took))

    async def _serve(
        self, asked: Asked, district: SandboxDistrict | None, receive: Any, send: Any
    ) -> tuple[int, int]:
        """Answer, faults included; the status and the number of bytes sent."""
        started = time.monotonic()
        faults = self.faults.striking(district.id if district else None, asked.kind, asked.object, asked.page)
        for fault in faults:
            if fault.run and district:
                fault.run(district)
            if fault.expire_tokens:
                self.api.expire_tokens()
            if fault.forget_tokens:
                self.api.forget_tokens()
            await _until(time.monotonic() + fault.hang)
        if any(fault.drop for fault in faults):
            _transport(receive).abort()
            return 0, 0
        answer = await self._answer(asked, faults)
        if district and asked.kind == "list":
            await _until(started + district.latency)
        return await self._send(answer, faults, asked, district, send)

    async def _answer(self, asked: Asked, faults: list[Fault]) -> Answer:
        for fault in faults:
            if fault.html:
                return Answer(200, MAINTENANCE_PAGE.encode(), {"content-type": "text/html; charset=utf-8"})
            if fault.status is not None:
                return Answer(fault.status, _as_bytes(fault.body or b""), _plain(fault.headers))
        answer = await asyncio.to_thread(self.api.answer, asked)
        for fault in faults:
            if fault.changes_json and answer.status == 200:
                names = {name: getattr(asked, name) for name in ("base", "entity", "object", "page", "size")}
                changed = fault.changed_json(json.loads(answer.body), names)
                answer = Answer(answer.status, json.dumps(changed).encode(), answer.headers)
            if fault.body is not None:
                answer = Answer(answer.status, _as_bytes(fault.body), answer.headers)
            if fault.headers:
                answer = Answer(answer.status, answer.body, answer.headers | _lower(fault.headers))
        return answer

    async def _send(
        self, answer: Answer, faults: list[Fault], asked: Asked, district: SandboxDistrict | None, send: Any
    ) -> tuple[int, int]:
        body, headers = answer.body, dict(answer.headers)
        accepts = "gzip" in asked.headers.get("accept-encoding", "")
        if accepts and district and district.gzip and len(body) > 1000 and "content-encoding" not in headers:
            body = await asyncio.to_thread(answer.gzipped)
            headers["content-encoding"] = "gzip"
        headers.setdefault("content-length", str(len(body)))
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        cut = min((fault.cut for fault in faults if fault.cut is not None), default=None)
        drip = next((fault for fault in faults if fault.drip), None)
        if cut is not None:
            body = body[: int(len(body) * cut)]
        step = drip.drip_bytes if drip else max(1, len(body))
        for start in range(0, len(body), step):
            last = start + step >= len(body) and cut is None
            await send(
                {"type": "http.response.body", "body": body[start : start + step], "more_body": not last}
            )
            if drip:
                await asyncio.sleep(drip.drip)
        if not body and cut is None:
            await send({"type": "http.response.body", "body": b""})
        return answer.status, len(body)  # after a cut, uvicorn notices the missing rest and closes


async def _until(moment: float) -> None:
    """Wait until this monotonic time: uvloop counts whole milliseconds, and wakes a little early."""
    while (left := moment - time.monotonic()) > 0:
        await asyncio.sleep(left)


@contextmanager
def serve(sandbox: Sandbox, port: int = 0, faults: Faults | None = None) -> Iterator[SandboxServer]:
    """Serve a sandbox on 127.0.0.1 from a thread while the block lasts; port 0 takes a free one.

    Raises OSError at once if the port is taken.
    """
    app = SandboxServer(sandbox, faults)
    config = uvicorn.Config(
        app,
        host=HOST,
        port=port,
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
    )
    socket = _bound(port)
    server = uvicorn.Server(config)
    app.url = f"http://{HOST}:{socket.getsockname()[1]}"
    thread = threading.Thread(target=server.run, args=([socket],), name="sandbox", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise OSError("the sandbox server did not start")
            time.sleep(0.002)
        yield app
    finally:
        server.should_exit = server.force_exit = True  # nobody waits for an answer that hangs on request
        thread.join(timeout=10)
        socket.close()


def _bound(port: int) -> Any:
    """A listening socket; unlike uvicorn's own, it does not end the process when the port is taken."""
    import socket

    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


async def _body(receive: Any) -> bytes:
    pieces = []
    while True:
        received = await receive()
        pieces.append(received.get("body", b""))
        if not received.get("more_body"):
            return b"".join(pieces)


def _transport(receive: Any) -> Any:
    """The connection of a request: uvicorn's receive is a method of the cycle that holds the transport."""
    return receive.__self__.transport


def _as_bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _plain(headers: dict[str, str]) -> dict[str, str]:
    return {"content-type": "text/plain; charset=utf-8"} | _lower(headers)

"""A tiny HTTP server for answers that no sandbox gives: each test says, per request, what comes back.

Token and metadata are answered by themselves; a description grants every field that the catalogue knows.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.connection import Connection, RetryPolicy
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.qmlativ.listing import Reading
from samegoal_pipelines.sandbox import SandboxDistrict, SandboxServer
from samegoal_pipelines.tables.catalog import OBJECTS
from samegoal_pipelines.tables.declaration import QmlativObject
from samegoal_pipelines.tables.people import COUNTY

SECRET = "a-secret-that-must-not-show"
IMPATIENT = RetryPolicy(connect=60, read=60, total=120, attempts=3, backoff=0.01, longest_wait=0.3)
"""Waits little between attempts; for an answer as long as a busy machine may take."""
_PAGE = re.compile(r"/Tenant/Custom/\d+/\w+/\w+/(\d+)/\d+")


@dataclass
class Reply:
    """An HTTP answer, or whatever `write` sends in its place."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    write: Callable[[socket.socket], None] | None = None

    def send(self, sock: socket.socket) -> bool:
        """Whether the connection can be used for another request."""
        if self.write:
            self.write(sock)
            return False
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Message
    body: bytes

    @property
    def page(self) -> int | None:
        """The number of a page."""
        match = _PAGE.fullmatch(self.path)
        return int(match[1]) if match else None


Answers = Callable[[Request], Reply | None]


class ScriptedQmlativ:
    """Listens on loopback. `answers` is asked first; where it returns None, the usual comes."""

    def __init__(self, answers: Answers) -> None:
        requests: list[Request] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target = urlsplit(self.path)
                asked = Request(self.command, target.path, parse_qs(target.query), self.headers, body)
                requests.append(asked)
                reply = answers(asked) or _usual(asked)
                self.close_connection |= not reply.send(self.connection)

            do_GET = do_POST = answer

        self.requests = requests
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}/Tenant"

    def connection(self, **settings: Any) -> Connection:
        settings = {"allow_local": True, "retry_policy": IMPATIENT, "page_size": 3, **settings}
        return Connection(settings.pop("base_url", self.base_url), "key", SecretStr(SECRET), **settings)

    def asked(self, ending: str) -> list[Request]:
        return [request for request in self.requests if request.path.endswith(ending)]

    @property
    def pages(self) -> list[int]:
        return [request.page for request in self.requests if request.page is not None]


@contextlib.contextmanager
def serving(answers: Answers) -> Iterator[ScriptedQmlativ]:
    """A server that answers like this, for as long as the block lasts."""
    made = ScriptedQmlativ(answers)
    threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


def read(
    answers: Answers, wanted: QmlativObject = COUNTY, how: Mapping[str, Any] | None = None, **settings: Any
) -> tuple[Reading, ScriptedQmlativ]:
    """An object from a server that answers like this, and the server."""
    with serving(answers) as server, QmlativClient(server.connection(**settings)) as client:
        return client.read(wanted, **how or {}), server


def failure(
    answers: Answers,
    kind: type[QmlativError] = QmlativError,
    call: Callable[[QmlativClient], Any] = lambda client: client.read(COUNTY),
    **settings: Any,
) -> tuple[str, ScriptedQmlativ, QmlativError]:
    """What a person reads when a call fails; and that it holds no secret, host or body."""
    with serving(answers) as server, QmlativClient(server.connection(**settings)) as client:
        with pytest.raises(kind) as failed:
            call(client)
    said = str(failed.value)
    for hidden in (SECRET, "token-1", "127.0.0.1", str(server.port), "secret body", "\n"):
        assert hidden not in said
    return said, server, failed.value


def connection_to(server: SandboxServer, district: SandboxDistrict, **settings: Any) -> Connection:
    """A connection to a district of a sandbox."""
    settings = {"allow_local": True, "retry_policy": IMPATIENT, **settings}
    secret = SecretStr(district.client_secret)
    return Connection(server.base_url(district), district.client_key, secret, **settings)


def pages_of(replies: dict[int, Reply] | Callable[[int], Reply]) -> Answers:
    """Answers for the pages of whatever object is read, by number."""
    find = replies if callable(replies) else lambda page: replies.get(page, counties([], None))

    def answers(request: Request) -> Reply | None:
        return None if request.page is None else find(request.page)

    return answers


def counties(ids: list[int], following: Any, **more: Any) -> Reply:
    """A page of Demographics/County with these ids."""
    rows = [{"CountyID": number, "Name": f"County {number}"} for number in ids]
    return Reply(body={"Objects": rows, "Paging": {"Next": following}, **more})


def county_path(page: int, size: int = 3) -> str:
    return f"/Custom/1/Demographics/County/{page}/{size}"


def _usual(request: Request) -> Reply:
    if request.path.endswith("/oauth/token"):
        return Reply(body={"access_token": "token-1", "token_type": "bearer", "expires_in": 3600})
    if request.path.endswith("/GetSystemMetadata"):
        district = {"DistrictID": 1, "EntityID": 1, "Code": "255901", "Name": "Grand Bend ISD"}
        return Reply(body={"System": {"EntityID": 1, "Districts": [district]}})
    path = "/".join(request.path.split("/")[-2:])
    names = {f.name for o in OBJECTS.values() if o.path == path for f in o.fields}
    flags = {o.only for o in OBJECTS.values() if o.path == path and o.only}
    return Reply(body={name: {} for name in [*names, *flags, "Relationships", "ValidationRules"]})

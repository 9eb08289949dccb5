"""Enrollments from memory: a server in a process of its own whose pages are bytes made beforehand.

As much of the Custom API's contract as a client needs to read one object: token, metadata, description, and
pages with `Paging.Next`, by POST and by GET. It computes nothing while it serves, so that what is measured is
the client. Answers are not compressed.
"""

import json
import multiprocessing
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from typing import Any

OBJECT = "Enrollment/EntryWithdrawal"
PAGE_SIZE = 10_000
CLIENT_KEY = CLIENT_SECRET = "bench"  # pragma: allowlist secret
TOKEN = {"access_token": "bench", "token_type": "bearer", "expires_in": 3600}
_METADATA = {
    "System": {
        "EntityID": 1,
        "Districts": [{"DistrictID": 1, "EntityID": 1, "Code": "000001", "Name": "Bench ISD"}],
    }
}
_PAGE = re.compile(rf"/Custom/1/{OBJECT}/(\d+)/{PAGE_SIZE}")


@contextmanager
def serving(rows: int, *latencies: float) -> Iterator[list[str]]:
    """Base URLs of servers of the same `rows`, one for each latency (seconds per page)."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, rows, latencies), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join(10)


def _serve(pipe: Connection, rows: int, latencies: tuple[float, ...]) -> None:
    pages = _pages(rows)
    urls = []
    for latency in latencies:
        server = _Server(pages, latency)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls.append(f"http://127.0.0.1:{server.server_address[1]}")
    pipe.send(urls)
    try:
        pipe.recv()  # never comes: the other end closes
    except EOFError:
        return


def _pages(rows: int) -> list[bytes]:
    """The whole answers, in order; a row has about 440 bytes."""
    count = -(-rows // PAGE_SIZE)
    made = []
    for page in range(1, count + 1):
        numbers = range((page - 1) * PAGE_SIZE, min(page * PAGE_SIZE, rows))
        following = f"/Custom/1/{OBJECT}/{page + 1}/{PAGE_SIZE}" if page < count else None
        objects = ",".join(json.dumps(_row(number), separators=(",", ":")) for number in numbers)
        made.append(f'{{"Objects":[{objects}],"Paging":{json.dumps({"Next": following})}}}'.encode())
    return made


def _row(number: int) -> dict[str, Any]:
    """Every field of the object that other connectors read, and three that a real server may add."""
    left = number % 3 == 0
    return {
        "EntryWithdrawalID": 1_000_000 + number,
        "StudentID": 500_000 + number // 3,
        "EntityID": 100 + number % 60,
        "SchoolID": 200 + number % 60,
        "SchoolYearID": 27,
        "CalendarID": 4_000 + number % 60,
        "CalendarDayIDStart": 90_000,
        "StartDate": f"2026-08-{1 + number % 28:02d}T00:00:00",
        "EndDate": f"2026-10-{1 + number % 28:02d}T00:00:00" if left else None,
        "WithdrawalDate": f"2026-10-{2 + number % 28:02d}T00:00:00" if left else None,
        "WithdrawalCodeID": 300 + number % 40 if left else None,
        "EntryCodeID": 700 + number % 9,
        "StudentTypeID": 11,
        "IsDefaultEntity": True,
        "IsCrossEntityCourseEnrollment": number % 50 == 0,
        "IsNoShow": False,
        "CreatedTime": "2026-07-01T08:15:30.123",
        "ModifiedTime": "2026-09-14T16:45:10.457",
    }


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, pages: list[bytes], latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages, self.latency = pages, latency
        self.description = json.dumps({name: {} for name in (*_row(0), "Relationships", "ValidationRules")})


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path == "/oauth/token":
            body = json.dumps(TOKEN).encode()
        elif path == "/Custom/GetSystemMetadata":
            body = json.dumps(_METADATA).encode()
        elif page := _PAGE.fullmatch(path):
            body = self.server.pages[int(page[1]) - 1]
            time.sleep(self.server.latency)
        else:
            body = self.server.description.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode())
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        """Nothing."""

"""HTTP gone wrong: every failure ends within its bounds, in one line that says what to do."""

import contextlib
import datetime as dt
import gzip
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from urllib3.util import retry

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.client import QmlativClient
from samegoal_pipelines.qmlativ.errors import (
    MalformedAnswerError,
    RateLimitedError,
    ReadCancelledError,
    RequestRefusedError,
    SourceUnavailableError,
)
from samegoal_pipelines.qmlativ.transport import MAX_BODY
from samegoal_pipelines.tables.people import COUNTY, STUDENT
from samegoal_pipelines_tests.qmlativ.scripted import (
    IMPATIENT,
    Reply,
    counties,
    failure,
    pages_of,
    read,
    serving,
)

GOOD = counties([1, 2], None)
LATER = "; gave up after 3 attempts; try again later"
MAINTENANCE = (
    "expected JSON, got text/html: maintenance page?; gave up after 3 attempts; "
    "run again later, and check the API Base URL if it stays so"
)
PAGE_1 = "Demographics/County, page 1: "


def read_county(answers):
    reading, server = read(answers)
    return reading.table["CountyID"].to_pylist(), server, reading.account


def within(**limits):
    """A read with these limits for its pages; what is asked for before them has all the time it needs."""

    def call(client):
        client.granted(COUNTY)
        client._transport._policy = replace(IMPATIENT, **limits)
        client.read(COUNTY)

    return call


def first_then_good(reply):
    """A reply for page 1, and then a good page."""
    waiting = [reply]
    return pages_of(lambda _: waiting.pop() if waiting else GOOD)


def sending(content):
    return Reply(write=lambda sock: sock.sendall(content))


def dripping(sock, head, drop):
    """The head, and then a drop at a time until the other side goes: only its deadline ends this."""
    sock.sendall(head)
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(drop)
            time.sleep(0.05)


def hanging(sock):
    """Say nothing until the other side goes."""
    with contextlib.suppress(OSError):
        sock.settimeout(120)
        sock.recv(1)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


CUT_SHORT = sending(
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    b'{"Objects": [{"CountyID": 1'
)


WEB_PAGE = Reply(200, b"<html>secret body</html>", {"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize(
    "trouble",
    [
        *(Reply(status) for status in (408, 425, 429, 500, 502, 504, 507, 520, 522, 524, 599)),
        *(WEB_PAGE, Reply(503, b"<html>secret body</html>"), Reply(write=reset), CUT_SHORT),
        *(Reply(body=b'{"Objects": [{"CountyID": 1' + end) for end in (b"", b"}")),
        *(sending(content) for content in (b"", b"rubbish\r\n\r\n")),
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"),
        Reply(body=gzip.compress(b'{"Objects": []}' * 9)[:-20], headers={"Content-Encoding": "gzip"}),
        Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_passing_trouble_is_tried_again_and_forgotten(trouble):
    ids, server, account = read_county(first_then_good(trouble))
    assert ids == [1, 2]
    assert server.pages == [1, 1]
    assert account["Retries"] == 1


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(503, b"secret body"), f"Qmlativ is unavailable (HTTP 503){LATER}"),
        (Reply(429), f"Qmlativ asks for fewer calls (HTTP 429){LATER}"),
        *((reply, f"the answer was cut short{LATER}") for reply in (CUT_SHORT, sending(b""))),
        *((page, MAINTENANCE) for page in (WEB_PAGE, Reply(200, b"\n <!DOCTYPE html>secret body"))),
        (
            Reply(200, b"secret body", {"Content-Type": "application/pdf"}),
            "expected JSON, got another content type; gave up after 3 attempts; run again later",
        ),
    ],
)
def test_a_lasting_trouble_ends_after_a_few_attempts(reply, says):
    said, server, error = failure(pages_of(lambda _: reply), SourceUnavailableError)
    assert said.startswith(PAGE_1 + says)
    assert server.pages == [1, 1, 1]
    assert error.transient
    assert isinstance(error, RateLimitedError) == (reply.status == 429)


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        *(("7", (7, 7.5)), ("Mon, 12 Oct 2026 09:00:07 GMT", (7, 7.5)), ("59", (59, 59.5))),
        *((late, (60, 60)) for late in ("60", "999999", "Tue, 13 Oct 2026 09:00:00 GMT")),
        *((over, (0, 0.5)) for over in ("0", "Mon, 12 Oct 2026 08:00:00 GMT")),
        *((odd, (0.5, 1)) for odd in ("9" * 5_000, "\u00b2", "soon", "-3", None, "Wed, 99 Foo 2026")),
        ("Mon, 12 Oct 99999 08:00:00 GMT", (0.5, 1)),
    ],
)
def test_retry_after_is_kept_to_within_the_longest_wait(retry_after, waits, monkeypatch):
    """And a little more, so that not everybody comes back at the same moment."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    policy = replace(IMPATIENT, backoff=0.5, longest_wait=60)
    nine_o_clock = dt.datetime(2026, 10, 12, 9, tzinfo=dt.UTC).timestamp()
    monkeypatch.setattr(retry, "time", SimpleNamespace(time=lambda: nine_o_clock))
    with (
        serving(first_then_good(Reply(429, headers=headers))) as server,
        QmlativClient(server.connection(retry_policy=policy)) as client,
    ):
        waited = []
        monkeypatch.setattr(client._transport._cancelled, "wait", lambda timeout: waited.append(timeout))
        client.read(COUNTY)
    (seconds,) = waited
    shortest, longest = waits
    assert shortest <= seconds <= longest


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("path", ["/oauth/token", "/County/1/3"])
def test_a_redirect_is_not_followed_and_says_so(stranger, status, path):
    reply = Reply(status, headers={"Location": f"http://{stranger}/secret"})
    answers = lambda request: reply if request.path.endswith(path) else None  # noqa: E731
    said, server, error = failure(answers, RequestRefusedError)
    assert said.endswith(
        f": Qmlativ answers with a redirect (HTTP {status}), which is not followed; check the "
        "API Base URL; to correct it: samegoal-pipelines districts set ID --base-url …"
    )
    assert len(server.asked(path)) == 1
    assert not error.transient


@pytest.mark.parametrize("path", ["/oauth/token", "/GetSystemMetadata"])
def test_a_web_page_with_status_403_is_a_firewall_and_no_matter_of_grants_or_secrets(path):
    page = Reply(403, b"<html>Request Rejected. secret body</html>", {"Content-Type": "text/html"})
    answers = lambda request: page if request.path.endswith(path) else None  # noqa: E731
    said, server, error = failure(answers, RequestRefusedError)
    assert "a firewall in front of Qmlativ refuses the request (HTTP 403 with a web page); ask the" in said
    assert "to let this machine's address through the firewall" in error.next_step_of_night
    assert error.kind is Kind.FIREWALL
    assert not re.search("secret|grant|Client Key|credentials", said.lower())
    assert len(server.asked(path)) == 1
    assert not error.transient


@pytest.mark.parametrize(
    ("status", "says"),
    [
        *((status, f"Qmlativ refuses the request (HTTP {status})") for status in (204, 400, 410, 501, 505)),
        (404, "not found (HTTP 404); check the API Base URL"),
    ],
)
def test_a_lasting_refusal_is_not_tried_again(status, says):
    said, server, _ = failure(pages_of(lambda _: Reply(status, b"" if status == 204 else b"secret body")))
    assert said.startswith(PAGE_1 + says)
    assert server.pages == [1]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n"


@pytest.mark.parametrize(
    ("write", "limits", "says"),
    [
        (partial(dripping, head=HEAD + b"\r\n", drop=b" "), {"total": 0.4}, "no whole answer within 0.4 s"),
        (partial(dripping, head=HEAD + b"X: ", drop=b"y"), {"total": 0.4}, "no whole answer within 0.4 s"),
        (hanging, {"read": 0.2}, "Qmlativ did not answer in time"),
    ],
    ids=["dripping body", "dripping headers", "hanging"],
)
def test_an_answer_that_drips_or_never_comes_ends_at_a_deadline(write, limits, says):
    answers = pages_of(lambda _: Reply(write=write))
    assert failure(answers, call=within(attempts=1, **limits))[0] == f"{PAGE_1}{says}; try again later"


def test_a_server_that_is_not_there_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/Tenant"  # taken, and nobody listens
        said, *_ = failure(lambda _: None, base_url=url)
    assert said == (
        "token: the connection was refused; gave up after 3 attempts; check the API Base URL; to correct it: "
        "samegoal-pipelines districts set ID --base-url …"
    )


@pytest.mark.parametrize("answer", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_name_that_does_not_exist_says_so(answer, monkeypatch):
    def resolve(host, *_, **__):
        assert host == "qmlativ.invalid"
        raise socket.gaierror(answer, "")  # whatever the resolver of this machine says of it, and when

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    said, *_ = failure(lambda _: None, base_url="http://qmlativ.invalid/Tenant")
    assert said.startswith(
        "token: the host's name cannot be found; gave up after 3 attempts; check the API Base"
    )


def test_endless_chunks_end_at_the_cap_whatever_length_is_announced():
    """http.client reads chunks where both are there."""
    chunk = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
    sent = []

    def write(sock):
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            while len(sent) < 512:
                sock.sendall(chunk)
                sent.append(1)

    said, *_ = failure(pages_of(lambda _: Reply(write=write)), MalformedAnswerError)
    assert "larger than 32 MB" in said
    assert len(sent) < 128  # the cap, and what sockets buffer


@pytest.mark.parametrize("packed", [True, False])
def test_answers_in_chunks_are_read(packed):
    """IIS sends JSON without Content-Length and compression."""
    body = b'{"Objects": [{"CountyID": 7, "Name": "x"}], "Paging": {}}'
    body = gzip.compress(body[:9]) + gzip.compress(body[9:]) if packed else body
    encoding = b"Content-Encoding: gzip\r\n" if packed else b""
    head = b"HTTP/1.1 200 OK\r\n" + encoding + b"Transfer-Encoding: chunked\r\n\r\n"
    pieces = [b"%x\r\n%s\r\n" % (len(body[at : at + 9]), body[at : at + 9]) for at in range(0, len(body), 9)]
    ids, server, _ = read_county(pages_of(lambda _: sending(head + b"".join(pieces) + b"0\r\n\r\n")))
    assert ids == [7]
    assert server.requests[-1].headers["accept-encoding"] == "gzip"


def test_a_gzip_bomb_with_a_small_part_at_the_end_is_refused():
    """The last bytes of an answer state only the size of its last part."""
    bomb = gzip.compress(b'{"Objects": [' + b" " * MAX_BODY, 1) + gzip.compress(b"]}")
    reply = Reply(body=bomb, headers={"Content-Encoding": "gzip"})
    said, *_ = failure(pages_of(lambda _: reply), MalformedAnswerError)
    assert "the answer is larger than 32 MB, more than any page has" in said


def test_a_connection_closed_between_two_pages_is_replaced():
    """A server may close an idle connection: the next request on it fails at once, and is sent again."""
    close = {"Connection": "close"}
    first = counties([1, 2, 3], "/Custom/1/Demographics/County/2/3")
    answers = pages_of({1: replace(first, headers=close), 2: counties([4], None)})
    assert read_county(answers)[0] == [1, 2, 3, 4]


def test_the_environments_proxy_is_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert read_county(pages_of({1: GOOD}))[0] == [1, 2]


def test_closing_the_client_ends_a_read_under_way():
    asked = threading.Event()

    def hang(sock):
        asked.set()
        hanging(sock)

    with serving(pages_of(lambda _: Reply(write=hang))) as server, ThreadPoolExecutor(1) as threads:
        client = QmlativClient(server.connection())
        reading = threads.submit(client.read, COUNTY)
        assert asked.wait(60)
        client.close()
        with pytest.raises(ReadCancelledError):
            reading.result(IMPATIENT.read / 2)
    with pytest.raises(ReadCancelledError, match="given up, because something else failed"):
        client.describe(STUDENT)


def test_a_read_that_is_cancelled_when_it_is_about_to_ask_waits_for_no_answer(monkeypatch):
    """Of what is under way, that request is none yet; a moment later it would be."""
    with (
        serving(pages_of(lambda _: Reply(write=hanging))) as server,
        ThreadPoolExecutor(1) as threads,
        QmlativClient(server.connection()) as client,
    ):
        client.granted(COUNTY)
        cancelled = client._transport._cancelled
        is_cancelled = cancelled.is_set

        def is_not_yet():
            monkeypatch.undo()
            assert not is_cancelled()
            client.cancel()
            return False

        monkeypatch.setattr(cancelled, "is_set", is_not_yet)
        with pytest.raises(ReadCancelledError):
            threads.submit(client.read, COUNTY).result(IMPATIENT.read / 2)

"""One safe HTTP exchange: deadlines, retries, size, addresses and certificates.

The result is a complete answer or a typed error. No redirect is followed. The environment's proxies and netrc
are ignored. REQUESTS_CA_BUNDLE is respected, for a private certificate authority.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, NameResolutionError, ProtocolError
from urllib3.util import Retry

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.connection import Connection, is_public
from samegoal_pipelines.qmlativ.decode import is_cut
from samegoal_pipelines.qmlativ.errors import (
    ASK_FOR_ACCESS,
    CHECK_ADDRESS,
    MalformedAnswerError,
    QmlativError,
    RateLimitedError,
    ReadCancelledError,
    RequestRefusedError,
    SourceUnavailableError,
    UnsafeUrlError,
)

MAX_BODY = 32 * 2**20  # decoded bytes; a page of 10,000 rows has about 5 MB
_MAX_ERROR_BODY = 64 * 2**10
_CHUNK = 2**20
_PASSING = frozenset({408, 425, 429})  # and 5xx, among them Cloudflare's 520 to 526
_LASTING = frozenset({501, 505})
_CUT_SHORT = "the answer was cut short"
_WRONG_ADDRESS: dict[str, Any] = {"kind": Kind.ADDRESS, "next_step": CHECK_ADDRESS}
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "samegoal-pipelines",
}


@dataclass(frozen=True)
class Answer:
    """A complete answer with a status that a retry does not change. The body of a 200 looks like JSON."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = ""
    retries: int = 0

    @property
    def is_html(self) -> bool:
        """Whether it is a web page, whatever it calls itself."""
        return self.content_type.startswith("text/html") or self.body[:64].lstrip().startswith(b"<")

    @property
    def says_expired(self) -> bool:
        """Whether it refuses a token that has expired."""
        return self.status in (401, 403) and b"token has expired" in self.body.lower()


class Transport:
    """Sends requests for one client; safe to use from many threads."""

    def __init__(self, connection: Connection) -> None:
        self._policy = connection.retry_policy
        self._allow_local = connection.allow_local
        self._adapter = _Adapter(pool_maxsize=connection.connections)
        self._verify: bool | str = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[_Exchange] = set()

    def exchange(
        self, where: str, method: str, url: str, headers: Mapping[str, str], **content: Any
    ) -> Answer:
        """Send a request, and retry within the `RetryPolicy` while Qmlativ is unavailable.

        `content` is what `requests.Request` encodes as the body.
        """
        request = requests.Request(method, url, {**_HEADERS, **headers}, **content).prepare()
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(SourceUnavailableError),
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._cancelled),
            reraise=True,
        )
        try:
            answer = attempts(self._once, where, request)
        except SourceUnavailableError as error:
            tried = attempts.statistics["attempt_number"]
            error.detail += f"; gave up after {tried} attempts" if tried > 1 else ""
            raise error from None
        return replace(answer, retries=attempts.statistics["attempt_number"] - 1)

    def cancel(self) -> None:
        """Fail all current and later requests at once."""
        self._cancelled.set()
        with self._lock:
            for exchange in self._under_way:
                exchange.cut()

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds to wait before a retry: a doubling pause, or what Retry-After asks for, with jitter."""
        step, longest = self._policy.backoff, self._policy.longest_wait
        error = state.outcome.exception() if state.outcome else None
        asked_for: float | None = getattr(error, "retry_after", None)
        if asked_for is None:
            return tenacity.wait_exponential_jitter(multiplier=step, max=longest, jitter=step)(state)
        return min(asked_for + tenacity.wait_random(0, step)(state), longest)

    def _once(self, where: str, request: requests.PreparedRequest) -> Answer:
        if self._cancelled.is_set():
            raise ReadCancelledError(where)
        exchange = _Exchange(self._allow_local)
        timer = threading.Timer(self._policy.total, exchange.cut, kwargs={"expired": True})
        timer.daemon = True
        with self._lock:
            self._under_way.add(exchange)
            if self._cancelled.is_set():  # meanwhile, so nothing else will cut this one
                exchange.cut()
        timer.start()
        _this_thread.exchange = exchange
        try:
            response = self._adapter.send(
                request,
                stream=True,
                timeout=(self._policy.connect, self._policy.read),
                verify=self._verify,
                proxies={},
            )
            with contextlib.closing(response):
                content_type = response.headers.get("Content-Type", "").strip().lower()
                answer = Answer(response.status_code, _body(response, where), content_type)
            if exchange.is_cut:  # an answer that ended early may look complete
                raise OSError
        except (requests.RequestException, HTTPError, zlib.error, OSError, ValueError) as error:
            raise self._meaning(error, exchange, where) from None
        finally:
            timer.cancel()
            with self._lock:
                self._under_way.discard(exchange)
        _refuse_unusable(answer, response.headers.get("Retry-After"), where)
        return answer

    def _meaning(self, error: Exception, exchange: _Exchange, where: str) -> QmlativError:
        """The error for a failed exchange. It quotes nothing of it."""
        if self._cancelled.is_set():
            return ReadCancelledError(where)
        if exchange.expired:
            return SourceUnavailableError(f"no whole answer within {self._policy.total:g} s", where)
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return QmlativError(
                "the server's certificate is not valid for this host, expired or of an unknown authority",
                where,
                kind=Kind.CERTIFICATE,
                next_step="check the API Base URL, or ask the operator of the district's Qmlativ server to "
                "renew its certificate; certificates are always checked",
            )
        return next(
            SourceUnavailableError(detail, where, **overrides)
            for detail, overrides, kinds in _MEANINGS
            if any(isinstance(cause, kinds) for cause in causes)
        )


_MEANINGS: tuple[tuple[str, dict[str, Any], tuple[type[BaseException], ...]], ...] = (
    ("the host's name cannot be found", _WRONG_ADDRESS, (NameResolutionError,)),
    ("the connection was refused", _WRONG_ADDRESS, (ConnectionRefusedError,)),
    ("Qmlativ did not answer in time", {}, (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)),
    (_CUT_SHORT, {}, (ProtocolError, DecodeError, zlib.error)),
    ("the connection failed", {}, (Exception,)),
)


def _body(response: requests.Response, where: str) -> bytes:
    """The decoded body, or the beginning of an error's body. The received bytes count, not the headers."""
    if response.status_code != 200:
        return response.raw.read(_MAX_ERROR_BODY, decode_content=True) or b""
    packed = response.headers.get("Content-Encoding", "").strip().lower() == "gzip"
    chunks, size = [], 0
    while chunk := response.raw.read(_CHUNK, decode_content=not packed):
        size += len(chunk)
        if size > MAX_BODY:
            raise _too_large(where)
        chunks.append(chunk)
    body = b"".join(chunks)
    return _unpacked(body, where) if packed else body


def _unpacked(packed: bytes, where: str) -> bytes:
    """Unpack a gzip answer. Its last bytes state its size, so that a bomb is refused before it is stored."""
    announced = int.from_bytes(packed[-4:], "little")
    fits = announced <= MAX_BODY
    kept, size = [], 0
    while packed:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = member.decompress(packed, max(announced + 1, _CHUNK) if fits else _CHUNK)
            if not piece and not member.eof:
                raise DecodeError
            packed = member.unconsumed_tail
            size += len(piece)
            if size > MAX_BODY:
                raise _too_large(where)
            if fits:
                kept.append(piece)
        packed = member.unused_data
    if not fits:  # it ends earlier, so these were not the last bytes
        raise DecodeError
    return b"".join(kept)


def _too_large(where: str) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"the answer is larger than {MAX_BODY // 2**20} MB, more than any page has", where
    )


def _refuse_unusable(answer: Answer, retry_after: str | None, where: str) -> None:
    """Raise the error for a status that no caller handles, or for a 200 that is no whole JSON document."""
    status, kind = answer.status, answer.content_type
    if status in _PASSING or (status >= 500 and status not in _LASTING):
        error = SourceUnavailableError(f"Qmlativ is unavailable (HTTP {status})", where)
        if status == 429:
            error = RateLimitedError("Qmlativ asks for fewer calls (HTTP 429)", where)
        with contextlib.suppress(InvalidHeader, ValueError, OverflowError):
            error.retry_after = Retry().parse_retry_after(retry_after or "")
        raise error
    if status == 403 and answer.is_html and not answer.says_expired:
        detail = "a firewall in front of Qmlativ refuses the request (HTTP 403 with a web page)"
        raise RequestRefusedError(detail, where, kind=Kind.FIREWALL, next_step=ASK_FOR_ACCESS)
    if 300 <= status < 400:
        detail = f"Qmlativ answers with a redirect (HTTP {status}), which is not followed"
        raise RequestRefusedError(detail, where, **_WRONG_ADDRESS)
    if status != 200:
        return
    accepted = not kind or "json" in kind or kind.startswith(("text/plain", "application/octet-stream"))
    if answer.is_html or not accepted:
        got = "text/html: maintenance page?" if answer.is_html else "another content type"
        next_step = "run again later, and check the API Base URL if it stays so"
        raise SourceUnavailableError(f"expected JSON, got {got}", where, next_step=next_step)
    if not answer.body[-64:].rstrip().endswith((b"}", b"]")) or is_cut(answer.body):
        raise SourceUnavailableError(_CUT_SHORT, where)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it wraps. requests and urllib3 hide causes in `args` and `reason`."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


class _Exchange:
    """A running request. Another thread can cut its socket, which ends even a very slow read."""

    def __init__(self, allow_local: bool) -> None:
        self.allow_local = allow_local
        self.expired = False
        self.is_cut = False
        self.socket: socket.socket | None = None

    def cut(self, expired: bool = False) -> None:
        self.expired, self.is_cut = self.expired or expired, True
        if self.socket is not None:
            # The plain socket's method, because SSLSocket.shutdown is not thread-safe.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


_this_thread = threading.local()  # its `exchange` is the running one


class _Guarded(HTTPConnection):
    """A connection that checks its peer before anything is sent, and shows its socket to the exchange."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        try:
            if not (_this_thread.exchange.allow_local or is_public(sock.getpeername()[0])):
                raise UnsafeUrlError(
                    "the host of the API Base URL leads to a loopback, private or reserved address; not read"
                )
        except BaseException:
            sock.close()
            raise
        return sock

    def getresponse(self) -> Any:
        exchange = _this_thread.exchange
        exchange.socket = self.sock
        if exchange.is_cut:
            exchange.cut()
        return super().getresponse()


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _GuardedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


class _Adapter(HTTPAdapter):
    """requests' adapter over guarded connections, without retries."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTLSPool}

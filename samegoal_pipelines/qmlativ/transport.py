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
from collections.abc import Iterator
from typing import Any, NamedTuple

import requests
import tenacity
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, InvalidHeader, NameResolutionError, ProtocolError
from urllib3.util import Retry

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.addresses import check_peer
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.decode import is_cut
from samegoal_pipelines.qmlativ.errors import (
    CHECK_ADDRESS,
    CertificateRefusedError,
    MalformedAnswerError,
    QmlativError,
    RateLimitedError,
    ReadCancelledError,
    RequestRefusedError,
    SourceUnavailableError,
    UnexpectedContentError,
)

MAX_BODY = 32 * 2**20  # decoded bytes; a page of 10,000 rows has about 5 MB
_MAX_ERROR_BODY = 64 * 2**10
_CHUNK = 2**20
_PASSING = frozenset({408, 425, 429})
_LASTING = frozenset({501, 505})
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "samegoal-pipelines",
}


class Answer(NamedTuple):
    """A complete answer with a status that a retry does not change. The body of a 200 looks like JSON.

    `challenge` is the WWW-Authenticate header.
    """

    status: int
    body: bytes
    retries: int = 0
    is_html: bool = False
    challenge: str = ""

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


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

    def exchange(self, request: requests.Request, where: str) -> Answer:
        """Send the request, and retry within the `RetryPolicy` while Qmlativ is unavailable."""
        request.headers = {**_HEADERS, **request.headers}
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((SourceUnavailableError, UnexpectedContentError)),
            stop=tenacity.stop_after_attempt(self._policy.attempts),
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._cancelled),
            reraise=True,
        )
        try:
            answer = attempts(self._once, request.prepare(), where)
        except (SourceUnavailableError, UnexpectedContentError) as error:
            tried = attempts.statistics["attempt_number"]
            tries = f"; gave up after {tried} attempts" if tried > 1 else ""
            error.detail += tries
            error.object = where
            raise error from None
        return answer._replace(retries=attempts.statistics["attempt_number"] - 1)

    def cancel(self) -> None:
        """Fail all current and later requests at once."""
        self._cancelled.set()
        with self._lock:
            for exchange in self._under_way:
                exchange.cut()

    def close(self) -> None:
        """Cancel all requests and close all connections."""
        self.cancel()
        self._adapter.close()

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds to wait before a retry: a doubling pause, or what Retry-After asks for, with jitter."""
        step, longest = self._policy.backoff, self._policy.longest_wait
        error = state.outcome.exception() if state.outcome else None
        asked_for: float | None = getattr(error, "retry_after", None)
        if asked_for is None:
            return tenacity.wait_exponential_jitter(multiplier=step, max=longest, jitter=step)(state)
        return min(asked_for + tenacity.wait_random(0, step)(state), longest)

    def _once(self, prepared: requests.PreparedRequest, where: str) -> Answer:
        if self._cancelled.is_set():
            raise ReadCancelledError(where)
        with self._watched() as exchange:
            try:
                response = self._adapter.send(
                    prepared,
                    stream=True,
                    timeout=(self._policy.connect, self._policy.read),
                    verify=self._verify,
                    proxies={},
                )
                with contextlib.closing(response):
                    body = self._body(response, where)
                    answer = Answer(
                        response.status_code,
                        body,
                        is_html=_is_html(body, response.headers.get("Content-Type", "")),
                        challenge=response.headers.get("WWW-Authenticate", ""),
                    )
                if exchange.is_cut:  # an answer that ended early may look complete
                    raise self._meaning(OSError(), exchange, where)
            except QmlativError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                raise self._meaning(error, exchange, where) from None
        if _is_passing(answer.status):
            raise _unavailable(answer.status, response.headers.get("Retry-After"))
        if 300 <= answer.status < 400:
            raise RequestRefusedError(
                f"Qmlativ answers with a redirect (HTTP {answer.status}), which is not followed",
                where,
                kind=Kind.ADDRESS,
                next_step=CHECK_ADDRESS,
            )
        if answer.status == 200:
            _check_json(answer, response.headers.get("Content-Type", ""), where)
        return answer

    def _body(self, response: requests.Response, where: str) -> bytes:
        """The decoded body, or the beginning of an error's body.

        The received bytes are counted, regardless of the headers.
        """
        raw, headers = response.raw, response.headers
        if response.status_code != 200:
            return raw.read(_MAX_ERROR_BODY, decode_content=True) or b""
        announced = headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > MAX_BODY:
            raise _too_large(where)
        packed = headers.get("Content-Encoding", "").strip().lower() == "gzip"
        chunks, size = [], 0
        while chunk := raw.read(_CHUNK, decode_content=not packed):
            size += len(chunk)
            if size > MAX_BODY:
                raise _too_large(where)
            chunks.append(chunk)
        body = b"".join(chunks)
        return _unpacked(body, where) if packed else body

    @contextlib.contextmanager
    def _watched(self) -> Iterator[_Exchange]:
        """The current thread's exchange, which ends at the total deadline or when the client is cancelled."""
        exchange = _Exchange(self._allow_local)
        timer = threading.Timer(self._policy.total, exchange.expire)
        timer.daemon = True
        with self._lock:
            self._under_way.add(exchange)
            if self._cancelled.is_set():  # meanwhile, so nothing else will cut this one
                exchange.cut()
        timer.start()
        _this_thread.exchange = exchange
        try:
            yield exchange
        finally:
            _this_thread.exchange = None
            timer.cancel()
            with self._lock:
                self._under_way.discard(exchange)

    def _meaning(self, error: Exception, exchange: _Exchange, where: str) -> QmlativError:
        """The error for a failed exchange. It quotes nothing of it."""
        if self._cancelled.is_set():
            return ReadCancelledError(where)
        if exchange.expired:
            return SourceUnavailableError(f"no whole answer within {self._policy.total:g} s", where)
        causes = list(_causes(error))

        def caused_by(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        if caused_by(ssl.SSLCertVerificationError):
            return CertificateRefusedError(
                "the server's certificate is not valid for this host, expired or of an unknown authority",
                where,
            )
        if caused_by(NameResolutionError):
            return SourceUnavailableError(
                "the host's name cannot be found", where, kind=Kind.ADDRESS, next_step=CHECK_ADDRESS
            )
        if caused_by(ConnectionRefusedError):
            return SourceUnavailableError(
                "the connection was refused", where, kind=Kind.ADDRESS, next_step=CHECK_ADDRESS
            )
        if caused_by(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
            return SourceUnavailableError("Qmlativ did not answer in time", where)
        if caused_by(ProtocolError, DecodeError):
            return SourceUnavailableError("the answer was cut short", where)
        return SourceUnavailableError("the connection failed", where)


def _unavailable(status: int, retry_after: str | None) -> SourceUnavailableError:
    if status == 429:
        error: SourceUnavailableError = RateLimitedError("Qmlativ asks for fewer calls (HTTP 429)")
    else:
        error = SourceUnavailableError(f"Qmlativ is unavailable (HTTP {status})")
    error.retry_after = _seconds(retry_after)
    return error


def _is_passing(status: int) -> bool:
    """Whether the same request may succeed later. Cloudflare's 520 to 526 are transient, too."""
    return status in _PASSING or (status >= 500 and status not in _LASTING)


def _seconds(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; `None` if missing or malformed."""
    try:
        return Retry().parse_retry_after(retry_after or "")
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _is_html(body: bytes, content_type: str) -> bool:
    return _kind(content_type).startswith("text/html") or body[:64].lstrip().startswith(b"<")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check_json(answer: Answer, content_type: str, where: str) -> None:
    """Check that a 200 looks like a complete JSON document: its start and end, and closed brackets."""
    kind = _kind(content_type)
    if answer.is_html:
        raise UnexpectedContentError("expected JSON, got text/html: maintenance page?", where)
    if kind and "json" not in kind and kind not in ("text/plain", "application/octet-stream"):
        raise UnexpectedContentError("expected JSON, got another content type", where)
    if not answer.body[-64:].rstrip().endswith((b"}", b"]")) or is_cut(answer.body):
        raise SourceUnavailableError("the answer was cut short", where)


def _unpacked(packed: bytes, where: str) -> bytes:
    """Unpack a gzip answer. Its last bytes state its size, so that a bomb is refused before it is stored."""
    announced = int.from_bytes(packed[-4:], "little")
    kept, size = [], 0
    for piece in _pieces(packed, max(announced + 1, _CHUNK) if announced <= MAX_BODY else _CHUNK):
        size += len(piece)
        if size > MAX_BODY:
            raise _too_large(where)
        if announced <= MAX_BODY:
            kept.append(piece)
    if announced > MAX_BODY:  # it ends earlier, so these were not the last bytes
        raise DecodeError
    return b"".join(kept)


def _pieces(packed: bytes, size: int) -> Iterator[bytes]:
    """The content of a gzip file, in pieces of at most `size` bytes."""
    while packed:
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            try:
                piece = unpacker.decompress(packed, size)
            except zlib.error:
                raise DecodeError from None
            if not piece and not unpacker.eof:
                raise DecodeError
            yield piece
            packed = unpacker.unconsumed_tail
        packed = unpacker.unused_data


def _too_large(where: str) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"the answer is larger than {MAX_BODY // 2**20} MB, more than any page has", where
    )


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
        self.expired = False
        self._allow_local = allow_local
        self.is_cut = False
        self._socket: socket.socket | None = None

    def admit(self, sock: socket.socket) -> None:
        """Check the address that the socket is connected to, before anything is sent."""
        if not self._allow_local:
            check_peer(sock.getpeername()[0])

    def watch(self, sock: socket.socket) -> None:
        self._socket = sock
        if self.is_cut:
            self.cut()

    def expire(self) -> None:
        self.expired = True
        self.cut()

    def cut(self) -> None:
        self.is_cut = True
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # uses the plain socket, because SSLSocket.shutdown is not thread-safe
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _ThisThread(threading.local):
    exchange: _Exchange | None = None


_this_thread = _ThisThread()


class _Guarded(HTTPConnection):
    """A connection that shows its socket to its thread's exchange."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        try:
            if _this_thread.exchange:
                _this_thread.exchange.admit(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def getresponse(self) -> Any:
        if _this_thread.exchange:
            _this_thread.exchange.watch(self.sock)
        return super().getresponse()


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class _GuardedPool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _GuardedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


class _Adapter(HTTPAdapter):
    """requests' adapter over guarded connections, without retries."""

    def __init__(self, pool_maxsize: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=pool_maxsize, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTLSPool}

"""OAuth 2.0 client credentials: one token at a time, shared by all threads of a client.

Knows when to fetch a token and what a refused one means. It sends through the function it is given; sockets,
deadlines and retries live in `transport`, and which answer says "expired" is the client's to tell.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests
from requests.auth import AuthBase

from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.errors import InvalidCredentials, MalformedAnswer
from samegoal_pipelines.qmlativ.transport import Answer

_WHERE = "token"
REMEDY = (
    "check the Client Key, the Client Secret and the expiration date of the Integration Access in Qmlativ"
)


@dataclass(frozen=True)
class Token(AuthBase):
    """An access token that signs a request. `good_until` is on the monotonic clock."""

    value: str = field(repr=False)
    good_until: float

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Bearer {self.value}"
        return request


class ClientCredentials:
    """Hands out the current token and fetches a new one when it runs out, once for all threads that wait."""

    def __init__(self, connection: Connection, exchange: Callable[[requests.Request, str], Answer]) -> None:
        self._connection = connection
        self._exchange = exchange
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._unproven = 0  # tokens fetched since Qmlativ last accepted one
        self.calls = 0

    def token(self) -> Token:
        """The current token, or a new one if there is none or it runs out within the margin."""
        with self._lock:
            if self._token is None or time.monotonic() >= self._token.good_until:
                self._token = self._fetch()
            return self._token

    def renewed(self, refused: Token) -> Token:
        """A token other than the `refused` one: another thread may have fetched it already.

        Qmlativ refusing two fresh tokens in a row will refuse the third: then `InvalidCredentials`.
        """
        with self._lock:
            if self._token is None or self._token is refused:
                if self._unproven >= 2:
                    raise InvalidCredentials(f"Qmlativ refuses a token it has just issued: {REMEDY}", _WHERE)
                self._token = self._fetch()
            return self._token

    def accepted(self, token: Token) -> None:
        """Qmlativ let this token in."""
        if self._unproven and token is self._token:
            with self._lock:
                self._unproven = 0

    def _fetch(self) -> Token:
        asked = time.monotonic()
        self.calls += 1
        answer = self._exchange(
            requests.Request(
                "POST",
                self._connection.token_address,
                headers={"Suppress-Development-Permissions": "true"},
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._connection.client_key,
                    "client_secret": self._connection.secret,
                },
            ),
            _WHERE,
        )
        if answer.status in (400, 401, 403):
            raise InvalidCredentials(
                f"Qmlativ does not accept the credentials (HTTP {answer.status}): {REMEDY}", _WHERE
            )
        if answer.status != 200:
            raise MalformedAnswer(
                f"HTTP {answer.status} where a token was expected: check the API Base URL and Token URL",
                _WHERE,
            )
        token = _token_in(answer.body, asked)
        self._unproven += 1
        return token


def _token_in(body: bytes, asked: float) -> Token:
    try:
        answer = json.loads(body)
        value = answer["access_token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise MalformedAnswer("the answer holds no usable access_token: check the Token URL", _WHERE)
    return Token(value, asked + _lifetime(answer.get("expires_in")))


def _lifetime(expires_in: object) -> float:
    """Seconds for which a token may be used, with a margin; until it is refused if Qmlativ does not say."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.inf
    if isinstance(expires_in, bool) or not 0 < seconds < math.inf:
        return math.inf
    return seconds - min(60.0, seconds / 10)

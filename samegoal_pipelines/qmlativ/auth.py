"""OAuth 2.0 client credentials: one token at a time, shared by all threads of a client.

A token is used until Qmlativ refuses it, whatever lifetime it came with. The client recognizes that.
"""

import base64
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote_plus

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.errors import (
    CHECK_TOKEN_URL,
    InvalidCredentialsError,
    MalformedAnswerError,
    RequestRefusedError,
    SourceUnavailableError,
)
from samegoal_pipelines.qmlativ.transport import Answer

_WHERE = "token"
_REFUSED = (400, 401, 403)
ClientAuth = Literal["form", "basic"]


@dataclass(eq=False)
class Token:
    """An access token."""

    value: str = field(repr=False)
    accepted: bool = False
    """Whether Qmlativ has accepted it. If so, a refusal means that it expired or was forgotten."""


class ClientCredentials:
    """Returns the current token, and fetches a new one when it is refused, once for all waiting threads."""

    def __init__(self, connection: Connection, exchange: Callable[..., Answer]) -> None:
        self._connection = connection
        self._exchange = exchange
        self._lock = threading.Lock()
        self._token: Token | None = None
        self.method: ClientAuth = "form"
        """How the credentials are sent: in the form, or by HTTP Basic if only that was accepted."""

    def token(self, refused: Token | None = None) -> Token:
        """The current token, other than the `refused` one, which another thread may have replaced already."""
        with self._lock:
            if self._token is None or self._token is refused:
                self._token = self._fetch()
            return self._token

    def _fetch(self) -> Token:
        answer = self._ask(self.method)
        if answer.status in _REFUSED and self.method == "form":
            answer = self._ask_with_basic() or answer
        if answer.status in _REFUSED:
            raise InvalidCredentialsError(
                f"Qmlativ does not accept the credentials (HTTP {answer.status})", _WHERE
            )
        if answer.status != 200:
            raise _no_token(f"HTTP {answer.status} where a token was expected")
        try:
            value = json.loads(answer.body)["access_token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            value = None
        if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
            raise _no_token("the answer holds no usable access_token")
        return Token(value)

    def _ask_with_basic(self) -> Answer | None:
        """The answer to HTTP Basic, which is used from then on. None if that fails as well."""
        with suppress(MalformedAnswerError, RequestRefusedError, SourceUnavailableError):
            answer = self._ask("basic")
            if answer.status == 200:
                self.method = "basic"
                return answer
        return None

    def _ask(self, method: ClientAuth) -> Answer:
        headers = {"Suppress-Development-Permissions": "true"}
        form = {"grant_type": "client_credentials"}
        key, secret = self._connection.client_key, self._connection.client_secret.get_secret_value()
        if method == "basic":  # RFC 6749, section 2.3.1: form-encode each part before joining them
            pair = f"{quote_plus(key)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": key, "client_secret": secret}
        url = self._connection.token_url or f"{self._connection.base_url}/oauth/token"
        return self._exchange(_WHERE, "POST", url, headers, data=form)


def _no_token(detail: str) -> MalformedAnswerError:
    return MalformedAnswerError(detail, _WHERE, kind=Kind.ADDRESS, next_step=CHECK_TOKEN_URL)

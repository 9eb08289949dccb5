"""A client for one district: its token and threads, who it is, what it grants, and one object at a time.

Between calls it only keeps the token, descriptions and the identity. Which objects, school years and people a
night needs is decided in `reading`.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import PriorityQueue
from typing import Any, Literal
from urllib.parse import quote_plus

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.decode import parse_json
from samegoal_pipelines.qmlativ.errors import (
    CHECK_ADDRESS,
    CHECK_TOKEN_URL,
    GRANT_ENTITY,
    AccessRefusedError,
    InvalidCredentialsError,
    MalformedAnswerError,
    QmlativError,
    ReadCancelledError,
    RequestRefusedError,
    SourceUnavailableError,
)
from samegoal_pipelines.qmlativ.listing import Progress, Reading, read_listing
from samegoal_pipelines.qmlativ.paging import Listing, PageRef, SearchCondition
from samegoal_pipelines.qmlativ.transport import Answer, Transport
from samegoal_pipelines.tables.catalog import OBJECTS
from samegoal_pipelines.tables.declaration import Column, QmlativObject
from samegoal_pipelines.tables.enrollments import ENTITY

_METADATA = "GetSystemMetadata"
_OAUTH = "token"
_BAD_CREDENTIALS = (400, 401, 403)
_KNOWN_FIELDS = {field.name for wanted in OBJECTS.values() for field in wanted.fields}
_REFUSED_FIELD = re.compile(rb"Field (\w{1,100}) of ")
_REFUSED_ENTITY = re.compile(rb"Entity \d+ is not available")


@dataclass(frozen=True)
class Identity:
    """The district of the credentials, from GetSystemMetadata."""

    district_id: int
    entity_id: int
    code: str
    name: str


@dataclass(eq=False)
class Token:
    """An OAuth access token. It is used until Qmlativ refuses it, whatever lifetime it came with."""

    value: str = field(repr=False)
    accepted: bool = False
    """Whether Qmlativ has accepted it. If so, a refusal means that it expired or was forgotten."""


class QmlativClient:
    """Reads one district. It is thread-safe, and all requests share the limit `connection.connections`.

    Leaving the context ends all requests. Every method raises a `QmlativError` that names object and page.

    Attributes:
        client_auth: how the token endpoint accepts the credentials, as far as known: in the form, or by HTTP
            Basic if only that was accepted.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.client_auth: Literal["form", "basic"] = "form"
        self.workers = Workers(connection.connections)
        self._transport = Transport(connection)
        self._token: Token | None = None
        self._token_lock = threading.Lock()
        self._lock = threading.Lock()
        self._asked: dict[str, Future[Answer]] = {}

    def __enter__(self) -> QmlativClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all requests and close all connections. The client cannot be used afterwards."""
        self.cancel()
        self.workers.close()
        self._transport.close()

    def cancel(self) -> None:
        """End all requests without waiting for them. Their callers get `ReadCancelledError`."""
        self._transport.cancel()

    def identity(self) -> Identity:
        """The district of these credentials, requested once."""
        return _identity_in(self._ask_once(_METADATA, f"/Custom/{_METADATA}"), self.connection.entity_id)

    @property
    def entity_id(self) -> int:
        """The entity to read as: the connection's, or the district's own."""
        return self.connection.entity_id or self.identity().entity_id

    def describe(self, wanted: QmlativObject) -> frozenset[str]:
        """Names of the readable fields of an object, requested once per path."""
        where = f"{wanted.path}, description"
        description = self._ask_once(where, f"/Custom/{self.entity_id}/{wanted.path}")
        if not isinstance(description, dict):
            raise MalformedAnswerError("the answer describes no object", where)
        return frozenset(description)

    def granted(self, wanted: QmlativObject) -> tuple[Column, ...]:
        """The fields of an object to request, without optional ones that are not granted.

        Raises `AccessRefusedError`, which names object and field, if a required one is not granted.
        """
        described = self.describe(wanted)
        needed = [field.name for field in wanted.fields if not field.optional]
        for name in [*needed, wanted.only or wanted.key]:
            if name not in described:
                raise AccessRefusedError(f"the field {name} is not granted", wanted.path)
        return tuple(field for field in wanted.fields if field.name in described)

    def read(
        self,
        wanted: QmlativObject,
        *,
        school_year_id: int | None = None,
        only_rows: SearchCondition | None = None,
        expected_rows: int | None = None,
        progress: Progress | None = None,
    ) -> Reading:
        """All of one object, ordered by its key, or the rows of the search `only_rows`.

        The table has the columns of `QmlativObject.table`: null if not granted, and in `Unreadable`, per row,
        a JSON object of the values with a wrong type. `progress` is called with the rows of each page.
        `expected_rows` is last time's count, if known. It saves time and never changes the result.

        Raises `AccessRefusedError` if a required field is not granted or in no row.
        """
        listing = Listing(self, wanted, school_year_id, only_rows)
        return read_listing(listing, expected_rows or 0, progress)

    def has_rows(self, wanted: QmlativObject, *, school_year_id: int | None = None) -> bool:
        """Whether an object has any row, by one call for one row with the fields that `read` requests."""
        listing, page = Listing(self, wanted, school_year_id), PageRef(1, size=1)
        where = listing.where(page.number)
        answer = self.workers.submit(lambda: listing.ask(where, page, listing.fields)).result()
        return bool(listing.decode(answer.body, where).table.num_rows)

    def grants(self, entities: Collection[int]) -> dict[int, bool]:
        """Entity → whether the Integration Access may read as it. Qmlativ has no list of them."""
        asked = {
            entity: self._call(f"entity {entity}", f"/Custom/{entity}/{ENTITY.path}")
            for entity in sorted({*entities} - {self.entity_id})
        }
        granted = dict.fromkeys(entities, True)
        for entity, answer in asked.items():
            try:
                answer.result()
            except (AccessRefusedError, RequestRefusedError):
                granted[entity] = False
        return granted

    def _ask_once(self, where: str, path: str) -> Any:
        """The JSON document at a path, from the first answer."""
        with self._lock:
            if path not in self._asked:
                self._asked[path] = self._call(where, path)
        return parse_json(self._asked[path].result().body, where)

    def _call(self, where: str, path: str) -> Future[Answer]:
        """Send a GET on one of the client's connections."""
        return self.workers.submit(lambda: self.ask(where, "GET", path))

    def ask(self, where: str, method: str, path: str, **content: Any) -> Answer:
        """Send one signed call, and repeat it with a new token if the token expired or was forgotten."""

        def send() -> Answer:
            signed = {"Authorization": f"Bearer {token.value}"}
            return self._transport.exchange(where, method, self.connection.base_url + path, signed, **content)

        token = self._current_token()
        answer = send()
        # A fresh token may be one that the token server gave out before, and run out at once.
        if answer.says_expired or (token.accepted and answer.status == 401):
            token = self._current_token(refused=token)
            answer = send()
        if answer.status not in (401, 403):
            token.accepted = True
        if answer.status != 200:
            raise _refusal(answer, where, self.connection.entity_id)
        return answer

    def _current_token(self, refused: Token | None = None) -> Token:
        """The token of all threads, other than the `refused` one, which another thread may have replaced."""
        with self._token_lock:
            if self._token is None or self._token is refused:
                self._token = self._fetch_token()
            return self._token

    def _fetch_token(self) -> Token:
        answer = self._ask_for_token(self.client_auth)
        if answer.status in _BAD_CREDENTIALS and self.client_auth == "form":
            with suppress(MalformedAnswerError, RequestRefusedError, SourceUnavailableError):
                basic = self._ask_for_token("basic")
                if basic.status == 200:  # used from now on
                    answer, self.client_auth = basic, "basic"
        if answer.status in _BAD_CREDENTIALS:
            detail = f"Qmlativ does not accept the credentials (HTTP {answer.status})"
            raise InvalidCredentialsError(detail, _OAUTH)
        detail = f"HTTP {answer.status} where a token was expected"
        if answer.status == 200:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                value = json.loads(answer.body)["access_token"]
                if isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value):
                    return Token(value)
            detail = "the answer holds no usable access_token"
        raise MalformedAnswerError(detail, _OAUTH, kind=Kind.ADDRESS, next_step=CHECK_TOKEN_URL)

    def _ask_for_token(self, client_auth: Literal["form", "basic"]) -> Answer:
        """OAuth 2.0 client credentials."""
        headers = {"Suppress-Development-Permissions": "true"}
        form = {"grant_type": "client_credentials"}
        key, secret = self.connection.client_key, self.connection.client_secret.get_secret_value()
        if client_auth == "basic":  # RFC 6749, section 2.3.1: form-encode each part before joining them
            pair = f"{quote_plus(key)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": key, "client_secret": secret}
        url = self.connection.token_url or f"{self.connection.base_url}/oauth/token"
        return self._transport.exchange(_OAUTH, "POST", url, headers, data=form)


def _refusal(answer: Answer, where: str, entity_id: int | None) -> QmlativError:
    """The error for a status other than 200. It does not quote the answer."""
    if answer.status == 401 or answer.says_expired:
        return InvalidCredentialsError(f"Qmlativ refuses the token (HTTP {answer.status})", where)
    if answer.status == 403:
        if _REFUSED_ENTITY.search(answer.body):
            name = "the district's entity" if entity_id is None else f"entity {entity_id}"
            return AccessRefusedError(f"{name} is not granted", where, next_step=GRANT_ENTITY)
        field = _REFUSED_FIELD.search(answer.body)
        if field and (name := field[1].decode()) in _KNOWN_FIELDS:
            return AccessRefusedError(f"the field {name} is not granted", where)
        return AccessRefusedError("not available to this Integration Access (HTTP 403)", where)
    if answer.status == 404:
        return RequestRefusedError("not found (HTTP 404)", where, kind=Kind.ADDRESS, next_step=CHECK_ADDRESS)
    return RequestRefusedError(f"Qmlativ refuses the request (HTTP {answer.status})", where)


def _identity_in(metadata: Any, entity_id: int | None) -> Identity:
    """The district in GetSystemMetadata's answer. If there are several, the one of the entity to read as."""
    with suppress(KeyError, TypeError, IndexError, AttributeError):
        system = metadata["System"]
        districts = [
            Identity(each["DistrictID"], each["EntityID"], str(each["Code"]), str(each.get("Name") or ""))
            for each in system["Districts"]
        ]
        wanted = (entity_id, system.get("EntityID"), districts[0].entity_id)
        found = next(each for entity in wanted for each in districts if each.entity_id == entity)
        if all(type(number) is int for each in districts for number in (each.district_id, each.entity_id)):
            return found
    raise MalformedAnswerError("the answer names no district", _METADATA, kind=Kind.IDENTITY)


class Workers:
    """The threads of a client: one per allowed concurrent request, and others that decode answers.

    Answers are decoded in separate threads, so that no connection waits for a core. Tasks wait for a
    connection by priority, not in order of arrival, because the longest listing decides how long a night
    takes. After `close`, `submit` raises `ReadCancelledError`.
    """

    def __init__(self, connections: int) -> None:
        cores = min(connections, os.cpu_count() or 1)
        self._askers = ThreadPoolExecutor(connections, thread_name_prefix="qmlativ")
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoding")
        self._room = threading.BoundedSemaphore(2 * cores)  # limits the answers in memory
        self._arrivals = itertools.count()
        self._waiting: PriorityQueue[tuple[int, int, Callable[[], None]]] = PriorityQueue()

    def submit(
        self, ask: Callable[[], Any], decode: Callable[[Any], Any] | None = None, *, priority: int = 0
    ) -> Future[Any]:
        """Run `ask` on a connection, lowest `priority` first, and then `decode` on its result."""
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                answer = ask()
                if decode is None:
                    future.set_result(answer)
                else:
                    self._room.acquire()
                    self._decoders.submit(self._decode, future, decode, answer)
            except BaseException as error:
                future.set_exception(error)

        self._waiting.put((priority, next(self._arrivals), run))
        try:
            self._askers.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return future

    def close(self) -> None:
        """Wait until all tasks are done. Cancel the requests first, so that the tasks end at once."""
        self._askers.shutdown(wait=True)
        self._decoders.shutdown(wait=True)

    def _run_next(self) -> None:
        """Run the first task by priority, not the one that was submitted for this thread."""
        *_, run = self._waiting.get()
        run()

    def _decode(self, future: Future[Any], decode: Callable[[Any], Any], answer: Any) -> None:
        try:
            future.set_result(decode(answer))
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._room.release()

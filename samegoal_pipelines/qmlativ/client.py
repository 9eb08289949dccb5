"""A client for one district: who it is, what it grants, and one object at a time.

Between calls it only keeps descriptions and the identity. Which objects, school years and people a night
needs is decided in `reading`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.auth import ClientAuth, ClientCredentials
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.decode import parse_json
from samegoal_pipelines.qmlativ.errors import (
    CHECK_ADDRESS,
    GRANT_ENTITY,
    AccessRefusedError,
    InvalidCredentialsError,
    MalformedAnswerError,
    QmlativError,
    RequestRefusedError,
)
from samegoal_pipelines.qmlativ.listing import ListingReader, Progress, Reading, SearchCondition
from samegoal_pipelines.qmlativ.transport import Answer, Transport
from samegoal_pipelines.qmlativ.workers import Workers
from samegoal_pipelines.tables.catalog import OBJECTS
from samegoal_pipelines.tables.declaration import Column, QmlativObject
from samegoal_pipelines.tables.enrollments import ENTITY

_METADATA = "GetSystemMetadata"
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


class QmlativClient:
    """Reads one district. It is thread-safe, and all requests share the limit `connection.connections`.

    Leaving the context ends all requests. Every method raises a `QmlativError` that names object and page.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._transport = Transport(connection)
        self._credentials = ClientCredentials(connection, self._transport.exchange)
        self.workers = Workers(connection.connections)
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

    @property
    def client_auth(self) -> ClientAuth:
        """How the token endpoint accepts the credentials, as far as known."""
        return self._credentials.method

    def identity(self) -> Identity:
        """The district of these credentials, requested once."""
        metadata = self._ask_once(_METADATA, f"/Custom/{_METADATA}")
        return _identity_in(metadata, self.connection.entity_id)

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

        The table has all declared fields in their order and types, null if not granted, and `Unreadable`: per
        row, a JSON object of the values with a wrong type. `progress` is called with the rows of each page.
        `expected_rows` is last time's count, if known. It saves time and never changes the result.

        Raises `AccessRefusedError` if a required field is not granted or in no row.
        """
        return ListingReader(self, wanted, school_year_id, only_rows).read(expected_rows, progress)

    def has_rows(self, wanted: QmlativObject, *, school_year_id: int | None = None) -> bool:
        """Whether an object has any row, by one call for one row with the fields that `read` requests."""
        return ListingReader(self, wanted, school_year_id).has_rows()

    def grants(self, entities: Iterable[int]) -> dict[int, bool]:
        """Entity → whether the Integration Access may read as it. Qmlativ has no list of them."""
        wanted = set(entities)
        answers = {
            entity: self._call(f"entity {entity}", f"/Custom/{entity}/{ENTITY.path}")
            for entity in sorted(wanted - {self.entity_id})
        }
        return {entity: entity not in answers or _is_allowed(answers[entity]) for entity in wanted}

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

        token = self._credentials.token()
        answer = send()
        # A fresh token may be one that the token server gave out before, and run out at once.
        if answer.says_expired or (token.accepted and answer.status == 401):
            token = self._credentials.token(refused=token)
            answer = send()
        if answer.status not in (401, 403):
            token.accepted = True
        if answer.status != 200:
            raise _refusal(answer, where, self.connection.entity_id)
        return answer


def _is_allowed(coming: Future[Answer]) -> bool:
    try:
        coming.result()
    except (AccessRefusedError, RequestRefusedError):
        return False
    return True


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
    try:
        system = metadata["System"]
        districts = [_district_in(each) for each in system["Districts"]]
        wanted = (entity_id, system.get("EntityID"), districts[0].entity_id)
        return next(each for entity in wanted for each in districts if each.entity_id == entity)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise MalformedAnswerError("the answer names no district", _METADATA, kind=Kind.IDENTITY) from None


def _district_in(district: dict[str, Any]) -> Identity:
    if not all(type(district[name]) is int for name in ("DistrictID", "EntityID")):
        raise TypeError
    return Identity(
        district_id=district["DistrictID"],
        entity_id=district["EntityID"],
        code=str(district["Code"]),
        name=str(district.get("Name") or ""),
    )

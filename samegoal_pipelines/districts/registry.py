"""The registry: the districts, where their Qmlativ is, and whether they run. Nothing here calls Qmlativ."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pydantic import SecretStr

from samegoal_pipelines.districts import registration
from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import (
    DecryptionError,
    DistrictError,
    LostKeyError,
    SecretAwaitedError,
    UnknownDistrictError,
)
from samegoal_pipelines.errors import Kind
from samegoal_pipelines.printable import shown
from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.errors import QmlativError
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.warehouse import district_credentials, districts, erasures
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.engine import Role, as_operator, as_writer, take_role

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.client import Identity


EXPIRY_WARNINGS = (7, 30, 60)
"""Warn this many days before the Integration Access expires, with increasing urgency."""
RECORD_EXPIRY = (
    "record the expiration that Qmlativ shows: samegoal-pipelines districts set ID --expires DATE (or "
    "never, if the district deleted it)"
)


@dataclass(frozen=True)
class District:
    """A registered district, without its credentials. `tables.warehouse` describes the columns."""

    id: str
    name: str
    base_url: str
    token_url: str | None
    entity_id: int | None
    entities: str
    timezone: str
    access_name: str | None
    contact: str | None
    expires: date | None
    expiration: str
    secret_set_at: datetime | None
    secret_set_by: str | None
    confirmed_at: datetime | None
    confirmation_problem: str | None
    active: bool
    source_host: str
    qmlativ_district_id: int | None
    qmlativ_entity_id: int | None
    qmlativ_code: str | None
    qmlativ_name: str | None
    gate_limits: dict[str, float]
    """Limits of the gate that differ from the defaults. `limits` are the ones in force."""
    show_restricted_contacts: bool
    show_confidential_phones: bool

    @property
    def awaits_secret(self) -> bool:
        """Whether no Client Secret was set yet. The schedule skips such a district."""
        return self.secret_set_at is None

    def local_date(self, now: datetime) -> date:
        """The district's own date at an aware instant."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

    @property
    def expiry_text(self) -> str:
        """What is known of the expiration: `2027-08-01`, `2027-08-01 (assumed)`, `never` or `unknown`."""
        if self.expires is None:
            return self.expiration
        return f"{self.expires} (assumed)" if self.expiration == "assumed" else str(self.expires)

    def expiry_warning_on(self, day: date) -> int | None:
        """The smallest reached limit of `EXPIRY_WARNINGS`, 0 if expired, None if there is none."""
        if self.expires is None:
            return None
        days = (self.expires - day).days
        return 0 if days < 0 else next((limit for limit in EXPIRY_WARNINGS if days <= limit), None)

    @property
    def limits(self) -> Limits:
        """The gate's limits for this district."""
        return Limits(**self.gate_limits)

    @property
    def withholding(self) -> Withholding:
        """Which contacts this district shows or withholds."""
        return Withholding(self.show_restricted_contacts, self.show_confidential_phones)

    def public_facts(self) -> dict[str, Any]:
        """Everything about the district except secrets. `gate_limits` are the ones in force."""
        facts = {each.name: getattr(self, each.name) for each in fields(District)}
        facts["gate_limits"] = dict(self.limits)
        del facts["qmlativ_district_id"], facts["qmlativ_entity_id"]
        return facts


DISTRICT_COLUMNS = (
    districts.c.district_id.label("id"),
    *(districts.c[each.name] for each in fields(District) if each.name != "id"),
)
_DISTRICT = sa.select(*DISTRICT_COLUMNS)


class Registry:
    """The districts of one deployment.

    Args:
        operator: who sets secrets, for the record.
        allow_local: allow plain HTTP, loopback and private addresses, for the demo and tests.
    """

    def __init__(
        self,
        engine: sa.Engine,
        cipher: SecretCipher,
        operator: str | None = None,
        *,
        allow_local: bool = False,
    ) -> None:
        self._engine = engine
        self._cipher = cipher
        self._operator = operator
        self._allow_local = allow_local

    # -- reading --

    def get(self, district_id: str) -> District:
        """The district with this id. Raises `UnknownDistrictError`."""
        with as_operator(self._engine, "looking up the district") as connection:
            return get_district(connection, district_id)

    def list(self) -> builtins.list[District]:
        """All districts, by id."""
        with as_operator(self._engine, "listing the districts") as connection:
            rows = connection.execute(_DISTRICT.order_by(districts.c.district_id))
            return [District(**row._mapping) for row in rows]

    def list_active(self) -> builtins.list[District]:
        """The districts that the schedule runs, by id."""
        return [one for one in self.list() if one.active and not one.awaits_secret]

    def connection(self, district: District, **limits: Any) -> Connection:
        """The connection to its Qmlativ, with these `limits`. Raises as `credentials`, or `QmlativError`."""
        client_key, client_secret = self.credentials(district.id)
        return Connection(
            base_url=district.base_url,
            client_key=client_key,
            client_secret=client_secret,
            token_url=district.token_url,
            entity_id=district.entity_id,
            allow_local=self._allow_local,
            **limits,
        )

    def credentials(self, district_id: str) -> tuple[str, SecretStr]:
        """The Client Key and the decrypted Client Secret.

        Raises:
            SecretAwaitedError: no secret was set yet.
            DecryptionError: none of the keys decrypts the secret, or they cannot be used.
        """
        stored = self._stored_credentials(district_id)
        if stored.encrypted_secret is None:
            raise SecretAwaitedError(district_id=district_id)
        try:
            secret = self._cipher.decrypt(stored.encrypted_secret, district_id)
        except DecryptionError:
            if self._stored_credentials(district_id) == stored:
                raise
            return self.credentials(district_id)  # the key was rotated meanwhile
        return stored.client_key, SecretStr(secret)

    def client_key(self, district_id: str) -> str:
        """The Client Key, also if no secret was set yet or its key is lost."""
        return str(self._stored_credentials(district_id).client_key)

    def _stored_credentials(self, district_id: str) -> sa.Row[Any, Any]:
        columns = district_credentials.c.client_key, district_credentials.c.encrypted_secret
        query = sa.select(*columns).where(district_credentials.c.district_id == district_id)
        with as_writer(self._engine, district_id, "looking up the credentials") as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise unknown_district(district_id)
        return row

    # -- changing --

    def add(
        self,
        *,
        id: str,
        name: str,
        base_url: str,
        client_key: str,
        client_secret: str | None = None,
        **facts: Any,
    ) -> District:
        """Register a district, or raise `DistrictError`.

        Args:
            client_secret: without one, the district awaits its secret.
            facts: what else `set` takes except limits. None: the default. The time zone is
                `registration.DEFAULT_TIMEZONE`, and the expiration is assumed to be in one year.
        """
        given = {fact: value for fact, value in facts.items() if value is not None}
        given = {"timezone": registration.DEFAULT_TIMEZONE, **given, "name": name, "base_url": base_url}
        with changing(self._engine, registration.checked_id(id), "registering the district") as connection:
            values = registration.as_stored(given, allow_local=self._allow_local)
            if "expires" not in values:  # assume one year, by the district's calendar
                local = sa.func.timezone(values["timezone"], sa.func.now())
                values["expires"] = sa.cast(local + sa.text("interval '1 year'"), sa.Date)
                values["expiration"] = "assumed"
            if connection.scalar(sa.select(sa.exists().where(districts.c.district_id == id))):
                raise DistrictError(
                    "already registered", next_step="change it: samegoal-pipelines districts set ID"
                )
            unfinished = (erasures.c.district_id == id) & erasures.c.files_erased.is_(None)
            if connection.scalar(sa.select(sa.exists().where(unfinished))):
                raise DistrictError(  # or the new district would get the old one's files
                    "an earlier district with this id is not completely erased",
                    next_step="finish it first: samegoal-pipelines districts erase ID --yes",
                )
            _refuse_second_of_source(connection, id, values["base_url"], values.get("entity_id"))
            credentials = self._encrypted(client_key, client_secret)
            if client_secret is not None:
                values |= self._secret_is_set()
            connection.execute(sa.insert(districts).values(district_id=id, **values))
            connection.execute(sa.insert(district_credentials).values(district_id=id, **credentials))
            return get_district(connection, id)

    def set(self, district_id: str, **changes: Any) -> District:
        """Change a district's registration, or raise `DistrictError`. None clears a value.

        The remembered identity stays: a district may move, but it cannot become another one. Of gate_limits,
        only the named ones change, and None restores the default.
        """
        with changing(self._engine, district_id, "changing the district") as connection:
            values = registration.as_stored(changes, allow_local=self._allow_local)
            before = get_district(connection, district_id)
            if "gate_limits" in values:
                values["gate_limits"] = registration.merged_limits(before.gate_limits, values["gate_limits"])
            after = replace(before, **values)
            _refuse_second_of_source(connection, district_id, after.base_url, after.entity_id)
            if after.entity_id != before.entity_id and before.qmlativ_code is not None:
                values["qmlativ_entity_id"] = after.entity_id
            if after.contact != before.contact:
                values["confirmation_problem"] = None
            if after.timezone != before.timezone or (after.active and not before.active):
                values["due_since"] = sa.func.now()
            update_district(connection, district_id, values)
            return get_district(connection, district_id)

    def rotate_secret(self, district_id: str, *, client_secret: str, client_key: str | None = None) -> None:
        """Set or replace the Client Secret, and the Client Key if one is given."""
        own = district_credentials.c.district_id == district_id
        with changing(self._engine, district_id, "replacing the secret") as connection:
            changes = self._secret_is_set()
            if get_district(connection, district_id).awaits_secret:  # a night that has begun is not late
                changes["due_since"] = sa.func.now()
            credentials = self._encrypted(client_key, client_secret)
            connection.execute(sa.update(district_credentials).where(own).values(**credentials))
            update_district(connection, district_id, changes)

    def _encrypted(self, client_key: str | None, client_secret: str | None) -> dict[str, str | bytes]:
        """The columns of these credentials. None leaves one out."""
        values: dict[str, str | bytes] = {}
        if client_key is not None:
            values["client_key"] = registration.checked_credential("Client Key", client_key)
        if client_secret is not None:
            secret = registration.checked_credential("Client Secret", client_secret)
            values["encrypted_secret"] = self._cipher.encrypt(secret)
        return values

    def _secret_is_set(self) -> dict[str, Any]:
        return {"secret_set_at": sa.func.now(), "secret_set_by": self._operator}

    def recognize(self, district: District, answered: Identity) -> None:
        """Remember the Qmlativ district of this registration at the first contact, and refuse another one.

        Raises:
            QmlativError: another district than the remembered one answered.
            DistrictError: the district that answered is registered under another id.
        """
        _refuse_another(district, answered)
        if district.qmlativ_entity_id is not None:
            return
        with changing(self._engine, district.id, "remembering the district's identity") as connection:
            known = get_district(connection, district.id)
            _refuse_another(known, answered)
            values = {
                "qmlativ_district_id": answered.district_id,
                "qmlativ_code": answered.code,
                "qmlativ_entity_id": known.qmlativ_entity_id or district.entity_id or answered.entity_id,
            }
            same = [districts.c[name] == value for name, value in values.items()]
            same.append(districts.c.source_host == district.source_host)
            other = _find_among_all(connection, district.id, *same)
            if other is not None:
                raise DistrictError(
                    f"Qmlativ says that this is district {answered.code}, which is registered as {other}",
                    kind=Kind.IDENTITY,
                    next_step="check the base URL and the credentials",
                )
            values["qmlativ_name"] = known.qmlativ_name or answered.name
            update_district(connection, district.id, values)

    def rotate_key(self) -> tuple[int, builtins.list[str]]:
        """Encrypt every secret again with the first key. With a key file, that is a new key.

        It can stop at any time without losing a secret. A new key is in the key file before anything is
        encrypted with it, and the old keys are removed only after the secrets are committed without them. A
        secret that cannot be decrypted does not stop the others.

        Returns:
            The number of secrets that are now encrypted with the first key, and a line about each district
            whose secret no key decrypts.

        Raises:
            DecryptionError: the keys themselves cannot be used. The old keys stay.
            WarehouseError: Postgres failed; every secret can still be decrypted, and running again is safe.
        """
        cipher, old, reencrypted, lost = self._cipher, [], 0, []
        cipher.fernet()  # raises if the keys cannot be used
        with changing(self._engine, "", "encrypting the secrets again") as connection:
            if cipher.keys_in_file:
                old = cipher.put_new_key_first()
            take_role(connection, Role.OPERATOR)
            query = sa.select(districts.c.district_id).order_by(districts.c.district_id)
            for district_id in connection.scalars(query).all():
                take_role(connection, Role.WRITER, district_id)
                own = district_credentials.c.district_id == district_id
                encrypted = connection.scalar(sa.select(district_credentials.c.encrypted_secret).where(own))
                if encrypted is None:
                    continue
                try:
                    again = cipher.encrypt(cipher.decrypt(encrypted, district_id))
                except LostKeyError as error:
                    lost.append(str(error))
                    continue
                connection.execute(sa.update(district_credentials).where(own).values(encrypted_secret=again))
                reencrypted += 1
        if old:
            # A rotation that ran meanwhile keeps its own new key.
            with changing(self._engine, "", "dropping the old keys"):
                cipher.drop(old)
        return reencrypted, lost


@contextmanager
def changing(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """A transaction as this district's writer, with no other change of the registry in progress.

    What was read is still true when it is written, and no secret can be encrypted with a key that is being
    removed. A `DistrictError` gets the district's id.
    """
    try:
        with as_writer(engine, district_id, step) as connection:
            connection.execute(sa.text(f"lock table {districts.fullname} in share row exclusive mode"))
            yield connection
    except DistrictError as error:
        error.district_id = error.district_id or district_id
        raise


def _refuse_another(district: District, answered: Identity) -> None:
    remembered = district.qmlativ_district_id, district.qmlativ_code
    if district.qmlativ_code is not None and remembered != (answered.district_id, answered.code):
        theirs = "".join(filter(str.isprintable, f"{answered.name} ({answered.code})"))[:80]
        raise QmlativError(
            f"these credentials belong to another district, {theirs}, not to the one registered with code "
            f"{district.qmlativ_code}; no student was read",
            kind=Kind.IDENTITY,
            next_step="check API Base URL, Client Key and Client Secret",
        )


def _refuse_second_of_source(
    connection: sa.Connection, district_id: str, base_url: str, entity_id: int | None
) -> None:
    same_entity = districts.c.entity_id.is_not_distinct_from(entity_id)
    other = _find_among_all(connection, district_id, districts.c.base_url == base_url, same_entity)
    if other is not None:
        raise DistrictError(
            f"this base URL and entity are registered as {other}",
            next_step="give another --entity-id, or use that registration",
        )


def _find_among_all(
    connection: sa.Connection, district_id: str, *which: sa.ColumnElement[bool]
) -> str | None:
    """Another district that matches. A writer would only see its own."""
    take_role(connection, Role.OPERATOR)
    query = sa.select(districts.c.district_id).where(districts.c.district_id != district_id, *which)
    other = connection.scalar(query)
    take_role(connection, Role.WRITER, district_id)
    return other


def get_district(connection: sa.Connection, district_id: str) -> District:
    """As `Registry.get`, within a transaction."""
    row = connection.execute(_DISTRICT.where(districts.c.district_id == district_id)).one_or_none()
    if row is None:
        raise unknown_district(district_id)
    return District(**row._mapping)


def unknown_district(district_id: str) -> UnknownDistrictError:
    """The error for an id that no district has."""
    return UnknownDistrictError("no such district is registered", district_id=shown(district_id))


def update_district(connection: sa.Connection, district_id: str, values: dict[str, Any]) -> None:
    """Write these columns of the district's row."""
    connection.execute(sa.update(districts).where(districts.c.district_id == district_id).values(**values))

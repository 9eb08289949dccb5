"""The registry: the districts, where their Qmlativ is, and whether they run. Nothing here calls Qmlativ."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo, available_timezones

import sqlalchemy as sa
from pydantic import SecretStr

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import (
    DecryptionError,
    DuplicateDistrictError,
    InvalidDistrictError,
    SecretAwaitedError,
)
from samegoal_pipelines.districts.expiry import as_stored, in_one_year
from samegoal_pipelines.districts.names import checked_contact, checked_id, checked_name, shown, unknown
from samegoal_pipelines.errors import Kind
from samegoal_pipelines.qmlativ.connection import FOR_A_SANDBOX, Connection, checked_url
from samegoal_pipelines.qmlativ.errors import QmlativError, WrongDistrictError
from samegoal_pipelines.tables.limits import Limits
from samegoal_pipelines.tables.warehouse import district_credentials, districts, erasures
from samegoal_pipelines.transforms.entities import normalized
from samegoal_pipelines.transforms.withholding import Withholding
from samegoal_pipelines.warehouse.engine import as_operator, as_writer, take_role
from samegoal_pipelines.warehouse.roles import Role

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.client import Identity

DEFAULT_TIMEZONE = "America/Chicago"
LONGEST_CREDENTIAL = 1_000  # characters; Qmlativ's have about 50, so a longer text is another file
_NO_PLACES = {"localtime", "Factory"}  # time zones of this machine, and of an unconfigured one
_CHANGEABLE = {"name", "access_name", "contact", "base_url", "token_url", "entity_id", "entities", "timezone"}
_CHANGEABLE |= {"expires", "gate_limits", "show_restricted_contacts", "show_confidential_phones"}


@dataclass(frozen=True)
class District:
    """A registered district, without its credentials."""

    id: str
    name: str
    base_url: str
    token_url: str | None
    entity_id: int | None
    entities: str
    """Whose enrollments count: all, granted, or EntityIDs such as 2,15."""
    timezone: str
    access_name: str | None
    """Name of the Integration Access in Qmlativ."""
    contact: str | None
    """The e-mail address that is notified when setup is complete."""
    expires: date | None
    expiration: str
    """given, assumed, never or unknown; see the column of this name."""
    secret_set_at: datetime | None
    secret_set_by: str | None
    confirmed_at: datetime | None
    """When the contact was last notified."""
    confirmation_problem: str | None
    active: bool
    source_host: str
    qmlativ_district_id: int | None
    """Identifies the district in Qmlativ, like the next three. They are stored at the first contact."""
    qmlativ_entity_id: int | None
    qmlativ_code: str | None
    qmlativ_name: str | None
    gate_limits: dict[str, float] = field(default_factory=dict)
    """Limits of the gate that differ from the defaults. `limits` are the ones in force."""
    show_restricted_contacts: bool = False
    show_confidential_phones: bool = False

    @property
    def awaits_secret(self) -> bool:
        """Whether no Client Secret was set yet. The schedule skips such a district."""
        return self.secret_set_at is None

    def local_date(self, now: datetime) -> date:
        """The district's own date at an aware instant."""
        return now.astimezone(ZoneInfo(self.timezone)).date()

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
        facts = asdict(self) | {"gate_limits": self.limits.values}
        del facts["qmlativ_district_id"], facts["qmlativ_entity_id"]
        return facts


@dataclass(frozen=True)
class Rotation:
    """The result of encrypting every secret again."""

    reencrypted: int
    """Secrets that are now encrypted with the first key."""
    lost: tuple[str, ...]
    """A line about each district whose secret no key decrypts."""
    new_key: bool
    """Whether a new key replaced the old ones. False if the environment sets the keys."""


class Registry:
    """The districts of one deployment."""

    def __init__(self, engine: sa.Engine, cipher: SecretCipher, operator: str | None = None) -> None:
        self._engine = engine
        self._cipher = cipher
        self._operator = operator

    # -- reading --

    def get(self, district_id: str) -> District:
        """The district with this id. Raises `UnknownDistrictError`."""
        with as_operator(self._engine, "looking up the district") as connection:
            return get_district(connection, district_id)

    def list(self) -> builtins.list[District]:
        """All districts, by id."""
        with as_operator(self._engine, "listing the districts") as connection:
            rows = connection.execute(sa.select(districts).order_by(districts.c.district_id))
            return [_district(row._mapping) for row in rows]

    def list_active(self) -> builtins.list[District]:
        """The districts that the schedule runs, by id."""
        return [one for one in self.list() if one.active and not one.awaits_secret]

    def connection(self, district: District, *, allow_local: bool = False, **limits: Any) -> Connection:
        """The connection to the district's Qmlativ, with the decrypted secret and these `limits`.

        Raises:
            SecretAwaitedError: no secret was set yet.
            DecryptionError: none of the keys decrypts the secret.
            QmlativError: address or credentials cannot be used.
        """
        client_key, encrypted = self._credentials(district.id)
        if encrypted is None:
            raise SecretAwaitedError(district_id=district.id)
        try:
            client_secret = self._cipher.decrypt(encrypted, district.id)
        except DecryptionError:
            client_key, again = self._credentials(district.id)
            if again is None or again == encrypted:
                raise
            client_secret = self._cipher.decrypt(again, district.id)  # the key was rotated meanwhile
        return Connection(
            base_url=district.base_url,
            client_key=client_key,
            client_secret=SecretStr(client_secret),
            token_url=district.token_url,
            entity_id=district.entity_id,
            allow_local=allow_local,
            **limits,
        )

    def client_key(self, district_id: str) -> str:
        """The Client Key, also if no secret was set yet or its key is lost."""
        return self._credentials(district_id)[0]

    def _credentials(self, district_id: str) -> tuple[str, bytes | None]:
        query = sa.select(district_credentials.c.client_key, district_credentials.c.encrypted_secret)
        with as_writer(self._engine, district_id, "looking up the credentials") as connection:
            found = connection.execute(query.where(district_credentials.c.district_id == district_id))
            row = found.one_or_none()
        if row is None:
            raise unknown(district_id)
        return row.client_key, None if row.encrypted_secret is None else bytes(row.encrypted_secret)

    # -- changing --

    def add(
        self,
        *,
        id: str,
        client_key: str,
        client_secret: str | None = None,
        allow_local: bool = False,
        **facts: Any,
    ) -> District:
        """Register a district.

        Args:
            client_secret: without one, the district awaits its secret.
            facts: name and base_url, and what else `set` takes except limits. None: the default. The time
                zone is `DEFAULT_TIMEZONE`, and the expiration is assumed to be in one year.

        Raises:
            InvalidDistrictError: a value is invalid.
            DuplicateDistrictError: the id, or the address with this entity, is already registered.
        """
        given = {name: value for name, value in facts.items() if value is not None}
        given = {"name": "", "base_url": "", "timezone": DEFAULT_TIMEZONE} | given
        values = _checked(checked_id(id), given, allow_local)
        if "expires" not in values:
            values |= in_one_year(values["timezone"])
        _check_credentials(id, client_key, client_secret)
        with changing(self._engine, id, "registering the district") as connection:
            if connection.scalar(sa.select(sa.exists().where(districts.c.district_id == id))):
                raise DuplicateDistrictError(
                    "already registered",
                    district_id=id,
                    next_step="change it: samegoal-pipelines districts set ID",
                )
            unfinished = (erasures.c.district_id == id) & erasures.c.files_erased.is_(None)
            if connection.scalar(sa.select(sa.exists().where(unfinished))):
                raise InvalidDistrictError(  # or the new district would get the old one's files
                    "an earlier district with this id is not completely erased",
                    district_id=id,
                    next_step="finish it first: samegoal-pipelines districts erase ID --yes",
                )
            _refuse_second_of_source(connection, id, values["base_url"], values.get("entity_id"))
            connection.execute(sa.insert(districts).values(district_id=id, **values))
            self._store_credentials(connection, id, client_key, client_secret)
            return get_district(connection, id)

    def set(self, district_id: str, *, allow_local: bool = False, **changes: Any) -> District:
        """Change a district's registration. None clears a value.

        The remembered identity stays: a district may move, but it cannot become another one. Of gate_limits,
        only the named ones change, and None restores the default.

        Raises:
            InvalidDistrictError, DuplicateDistrictError, UnknownDistrictError: nothing was changed.
        """
        values = _checked(district_id, changes, allow_local)
        with changing(self._engine, district_id, "changing the district") as connection:
            before = get_district(connection, district_id)
            if "gate_limits" in values:
                values["gate_limits"] = _merged(district_id, before.gate_limits, values["gate_limits"])
            _refuse_second_of_source(
                connection,
                district_id,
                values.get("base_url", before.base_url),
                values.get("entity_id", before.entity_id),
            )
            if "entity_id" in values and before.qmlativ_code is not None:
                values["qmlativ_entity_id"] = values["entity_id"]
            if values.get("contact", before.contact) != before.contact:
                values["confirmation_problem"] = None
            if values.get("timezone", before.timezone) != before.timezone:
                values["due_since"] = sa.func.now()
            if values:
                update_district(connection, district_id, values)
            return get_district(connection, district_id)

    def set_active(self, district_id: str, active: bool) -> District:
        """Enable or disable a district in the schedule."""
        with changing(self._engine, district_id, "changing the district") as connection:
            if get_district(connection, district_id).active != active:
                since = {"due_since": sa.func.now()} if active else {}
                update_district(connection, district_id, {"active": active, **since})
            return get_district(connection, district_id)

    def rotate_secret(self, district_id: str, *, client_secret: str, client_key: str | None = None) -> None:
        """Set or replace the Client Secret, and the Client Key if one is given."""
        with changing(self._engine, district_id, "replacing the secret") as connection:
            before = get_district(connection, district_id)
            stored = district_credentials.c.district_id == district_id
            key = client_key or connection.scalar(sa.select(district_credentials.c.client_key).where(stored))
            _check_credentials(district_id, key or "", client_secret)
            connection.execute(sa.delete(district_credentials).where(stored))
            self._store_credentials(connection, district_id, key or "", client_secret)
            if before.awaits_secret:  # a night that has begun is not late
                update_district(connection, district_id, {"due_since": sa.func.now()})

    def _store_credentials(
        self, connection: sa.Connection, district_id: str, client_key: str, client_secret: str | None
    ) -> None:
        """Encrypt the secret with the first key, and record who set it."""
        encrypted = self._cipher.encrypt(client_secret.strip()) if client_secret is not None else None
        connection.execute(
            sa.insert(district_credentials).values(
                district_id=district_id, client_key=client_key.strip(), encrypted_secret=encrypted
            )
        )
        if encrypted is not None:
            set_by = {"secret_set_at": sa.func.now(), "secret_set_by": self._operator}
            update_district(connection, district_id, set_by)

    def recognize(self, district: District, answered: Identity) -> None:
        """Remember the Qmlativ district of this registration at the first contact, and refuse another one.

        Raises:
            WrongDistrictError: another district than the remembered one answered.
            DuplicateDistrictError: the district that answered is registered under another id.
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
                raise DuplicateDistrictError(
                    f"Qmlativ says that this is district {answered.code}, which is registered as {other}",
                    district_id=district.id,
                    kind=Kind.IDENTITY,
                    next_step="check the base URL and the credentials",
                )
            values["qmlativ_name"] = known.qmlativ_name or answered.name
            update_district(connection, district.id, values)

    def rotate_key(self) -> Rotation:
        """Encrypt every secret again with the first key. With a key file, that is a new key.

        It can stop at any time without losing a secret. A new key is in the key file before anything is
        encrypted with it, and the old keys are removed only after the secrets are committed without them. A
        secret that cannot be decrypted does not stop the others.

        Raises:
            DecryptionError: the keys themselves cannot be used.
            WarehouseError: Postgres failed; every secret can still be decrypted, and running again is safe.
        """
        from cryptography.fernet import InvalidToken

        cipher, old, reencrypted, lost = self._cipher, [], 0, []
        fernet = cipher.fernet()
        with changing(self._engine, "", "encrypting the secrets again") as connection:
            if cipher.keys_in_file:
                old = cipher.put_new_key_first()
                fernet = cipher.fernet()
            take_role(connection, Role.OPERATOR)
            query = sa.select(districts.c.district_id).order_by(districts.c.district_id)
            for district_id in connection.scalars(query).all():
                take_role(connection, Role.WRITER, district_id)
                own = district_credentials.c.district_id == district_id
                encrypted = connection.scalar(sa.select(district_credentials.c.encrypted_secret).where(own))
                if encrypted is None or fernet is None:
                    continue
                try:
                    again = fernet.rotate(bytes(encrypted))
                except InvalidToken:
                    lost.append(str(cipher.lost(district_id)))
                    continue
                connection.execute(sa.update(district_credentials).where(own).values(encrypted_secret=again))
                reencrypted += 1
        if old:
            # A rotation that ran meanwhile keeps its own new key.
            with changing(self._engine, "", "dropping the old keys"):
                cipher.drop(old)
        return Rotation(reencrypted, tuple(lost), cipher.keys_in_file)


@contextmanager
def changing(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """A transaction as this district's writer, with no other change of the registry in progress.

    What was read is still true when it is written, and no secret can be encrypted with a key that is being
    removed.
    """
    with as_writer(engine, district_id, step) as connection:
        connection.execute(sa.text(f"lock table {districts.fullname} in share row exclusive mode"))
        yield connection


def _refuse_another(district: District, answered: Identity) -> None:
    remembered = district.qmlativ_district_id, district.qmlativ_code
    if district.qmlativ_code is not None and remembered != (answered.district_id, answered.code):
        theirs = "".join(filter(str.isprintable, f"{answered.name} ({answered.code})"))[:80]
        raise WrongDistrictError(
            f"these credentials belong to another district, {theirs}, not to the one registered with code "
            f"{district.qmlativ_code}; no student was read"
        )


def _check_credentials(district_id: str, client_key: str, client_secret: str | None) -> None:
    for what, source, given in (
        ("Client Key", "the Integration Access in Qmlativ", client_key),
        ("Client Secret", "the message of SameGoal's technical team", client_secret),
    ):
        text = "any" if given is None else given.strip()
        if not text:
            fault = "is blank"
        elif not (text.isascii() and text.isprintable()):
            fault = "contains a line break or a character that cannot occur in one"
        elif len(text) > LONGEST_CREDENTIAL:
            fault = f"is longer than {LONGEST_CREDENTIAL:,} characters"
        else:
            continue
        raise InvalidDistrictError(
            f"the {what} {fault}",
            district_id=district_id,
            next_step=f"copy it alone, and as plain text, from {source}",
        )


def _checked(district_id: str, given: dict[str, Any], allow_local: bool) -> dict[str, Any]:
    """The given values, validated and in the form in which they are stored."""
    try:
        return _validated(given, allow_local)
    except InvalidDistrictError as error:
        error.district_id = district_id
        raise


def _validated(given: dict[str, Any], allow_local: bool) -> dict[str, Any]:
    if unknown := given.keys() - _CHANGEABLE:
        raise InvalidDistrictError(f"cannot change {', '.join(sorted(unknown))}")
    values = dict(given)
    if "name" in values:
        values["name"] = checked_name(values["name"] or "")
    if name := values.get("access_name"):
        values["access_name"] = checked_name(name, "name of the Integration Access")
    if contact := values.get("contact"):
        values["contact"] = checked_contact(contact)
    values |= {name: None for name in ("access_name", "contact", "token_url") if values.get(name) == ""}
    if "expires" in values:
        values |= as_stored(values["expires"])
    if "timezone" in values and values["timezone"] not in available_timezones() - _NO_PLACES:
        raise InvalidDistrictError(
            f"{shown(values['timezone'])} is no IANA time zone",
            next_step=f"use one such as {DEFAULT_TIMEZONE}",
        )
    entity_id = values.get("entity_id")
    if entity_id is not None and not 0 < entity_id < 2**63:
        raise InvalidDistrictError(f"{entity_id} is no EntityID of Qmlativ")
    if "entities" in values:
        try:
            values["entities"] = normalized(values["entities"])
        except ValueError:
            raise InvalidDistrictError(
                "the entities cannot be read",
                next_step="give all, granted, or EntityIDs separated by commas, such as 2,15",
            ) from None
    if "base_url" in values:
        values["base_url"] = _normal_url(values["base_url"] or "", "API Base URL", allow_local)
        values["source_host"] = urlsplit(values["base_url"]).hostname
    if values.get("token_url"):
        values["token_url"] = _normal_url(values["token_url"], "Token URL", allow_local)
    return values


def _merged(
    district_id: str, before: Mapping[str, float], changes: Mapping[str, float | None]
) -> dict[str, float]:
    """The limits that differ from the defaults, after these changes."""
    try:
        Limits(**{name: 0 if value is None else value for name, value in changes.items()})
    except ValueError as error:
        raise InvalidDistrictError(str(error), district_id=district_id) from None
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def _normal_url(url: str, what: str, allow_local: bool) -> str:
    try:
        parts = urlsplit(checked_url(url, what, allow_local=allow_local))
    except QmlativError as error:
        to_do = "give another URL" + ("" if allow_local else f"; {FOR_A_SANDBOX}")
        raise InvalidDistrictError(error.reason, next_step=to_do) from None
    if parts.path.lower().endswith("/custom"):
        raise InvalidDistrictError(f"the {what} must end before /Custom")
    standard = {"https": ":443", "http": ":80"}[parts.scheme]
    return urlunsplit(parts._replace(netloc=parts.netloc.lower().removesuffix(standard)))


def _refuse_second_of_source(
    connection: sa.Connection, district_id: str, base_url: str, entity_id: int | None
) -> None:
    other = _find_among_all(
        connection,
        district_id,
        districts.c.base_url == base_url,
        districts.c.entity_id.is_not_distinct_from(entity_id),
    )
    if other is not None:
        raise DuplicateDistrictError(
            f"this base URL and entity are registered as {other}",
            district_id=district_id,
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
    row = connection.execute(sa.select(districts).where(districts.c.district_id == district_id)).one_or_none()
    if row is None:
        raise unknown(district_id)
    return _district(row._mapping)


def update_district(connection: sa.Connection, district_id: str, values: dict[str, Any]) -> None:
    """Write these columns of the district's row."""
    connection.execute(sa.update(districts).where(districts.c.district_id == district_id).values(**values))


def _district(row: sa.RowMapping) -> District:
    named = {each.name: row[each.name] for each in fields(District) if each.name != "id"}
    return District(id=row["district_id"], **named)

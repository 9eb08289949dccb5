"""The registry: which districts there are, where their Qmlativ is, and their sealed credentials.

A district's own identity in Qmlativ is remembered at the first contact and checked ever after, so that
credentials that get mixed up cannot publish one district's students as another's.
"""

from __future__ import annotations

import re
from builtins import list as List  # `Registry.list` hides the name
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa

from samegoal_pipelines.districts.errors import DistrictError, LostKey, UnknownDistrict
from samegoal_pipelines.districts.sealing import Sealer
from samegoal_pipelines.qmlativ import Connection, Identity, QmlativError
from samegoal_pipelines.qmlativ.addresses import checked_url
from samegoal_pipelines.warehouse.engine import transaction
from samegoal_pipelines.warehouse.tables import district_credentials, districts

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Pin:
    """Who a district is in Qmlativ, remembered at the first contact."""

    district_id: int
    code: str
    entity_id: int
    name: str


@dataclass(frozen=True)
class District:
    """A registered district; its secret stays sealed and is not here."""

    id: str
    name: str
    base_url: str
    source_host: str
    client_key: str = field(repr=False)
    timezone: str
    token_url: str | None = None
    entity_id: int | None = None
    expires: date | None = None
    active: bool = True
    registered_at: datetime | None = None
    pin: Pin | None = None

    def public_facts(self) -> dict[str, Any]:
        """Everything that may be shown, by name."""
        facts = asdict(self)
        pin = facts.pop("pin") or {}
        return facts | {
            "qmlativ_district": f"{pin['name']} ({pin['code']})" if pin else None,
            "qmlativ_entity_id": pin.get("entity_id"),
        }


class Registry:
    """Reads and writes the districts of one warehouse."""

    def __init__(self, engine: sa.Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def add(
        self,
        *,
        id: str,
        name: str,
        base_url: str,
        client_key: str,
        client_secret: str,
        timezone: str = "America/Chicago",
        token_url: str | None = None,
        entity_id: int | None = None,
        expires: date | None = None,
        allow_local: bool = False,
    ) -> District:
        """Register a district.

        Raises:
            DistrictError: the id, the time zone or an address cannot be used, or the id is taken.
        """
        if not ID_PATTERN.fullmatch(id):
            raise DistrictError(
                "a district id has 1 to 40 lower-case letters, digits and hyphens, and begins with no hyphen"
            )
        if not client_key.strip() or not client_secret.strip():
            raise DistrictError(f"{id}: the Client Key or the Client Secret is empty")
        row = {
            "name": name,
            "timezone": _checked_timezone(id, timezone),
            "entity_id": entity_id,
            "expires": expires,
            **_checked_addresses(id, base_url, token_url, allow_local),
        }
        with transaction(self._engine, f"{id}: registering") as connection:
            self._refuse_source_of_another(connection, id, row["base_url"], entity_id)
            found = connection.execute(
                sa.select(districts.c.district_id).where(districts.c.district_id == id)
            )
            if found.first():
                raise DistrictError(
                    f"{id}: is registered already; see: samegoal-pipelines districts show {id}"
                )
            connection.execute(districts.insert().values(district_id=id, **row))
            connection.execute(
                district_credentials.insert().values(
                    district_id=id,
                    client_key=client_key.strip(),
                    sealed_secret=self._sealer.seal(client_secret),
                    sealed_at=sa.func.now(),
                )
            )
        return self.get(id)

    def set(self, id: str, *, base_url: str, allow_local: bool = False) -> District:
        """Point a district at another address of its Qmlativ; its remembered identity is still checked."""
        district = self.get(id)
        addresses = _checked_addresses(id, base_url, district.token_url, allow_local)
        with transaction(self._engine, f"{id}: changing its registration") as connection:
            self._refuse_source_of_another(connection, id, addresses["base_url"], district.entity_id)
            connection.execute(districts.update().where(districts.c.district_id == id).values(**addresses))
        return self.get(id)

    def get(self, id: str) -> District:
        """One district.

        Raises:
            UnknownDistrict: there is none with this id.
        """
        found = self._select(districts.c.district_id == id)
        if not found:
            raise UnknownDistrict(
                f"{id}: is not registered; see `samegoal-pipelines districts list`, or register it with "
                "`samegoal-pipelines districts add`"
            )
        return found[0]

    def list(self) -> List[District]:
        """All districts, by id."""
        return self._select(sa.true())

    def list_active(self) -> List[District]:
        """The districts that the schedule runs, by id."""
        return self._select(districts.c.active)

    def set_active(self, id: str, active: bool) -> None:
        """Take a district into the schedule, or out of it."""
        self.get(id)
        with transaction(self._engine, f"{id}: changing its registration") as connection:
            connection.execute(districts.update().where(districts.c.district_id == id).values(active=active))

    def connection(self, district: District, *, allow_local: bool = False) -> Connection:
        """What the Qmlativ client needs to talk to this district, its secret unsealed.

        Raises:
            DistrictError: the secret cannot be unsealed, or the address may not be used.
        """
        query = sa.select(district_credentials.c.sealed_secret).where(
            district_credentials.c.district_id == district.id
        )
        with transaction(self._engine, f"{district.id}: reading its credentials") as connection:
            sealed = connection.scalar(query)
        if sealed is None:
            raise UnknownDistrict(f"{district.id}: has no credentials; register it again")
        try:
            return Connection(
                base_url=district.base_url,
                client_key=district.client_key,
                client_secret=self._sealer.unseal(bytes(sealed)),
                token_url=district.token_url,
                entity_id=district.entity_id,
                allow_local=allow_local,
            )
        except LostKey as error:
            raise LostKey(f"{district.id}: {error}") from None
        except QmlativError as error:
            raise DistrictError(f"{district.id}: {error}") from None

    def recognise(self, district: District, identity: Identity) -> Pin:
        """Remember who the district is in Qmlativ, or recall it: what `read_district` is to expect.

        Raises:
            DistrictError: another registered district has this identity.
        """
        if district.pin:
            return district.pin
        pin = Pin(identity.district_id, identity.code, identity.entity_id, identity.name)
        with transaction(self._engine, f"{district.id}: remembering its identity") as connection:
            other = connection.scalar(
                sa.select(districts.c.district_id).where(
                    districts.c.district_id != district.id,
                    districts.c.source_host == district.source_host,
                    districts.c.qmlativ_district_id == pin.district_id,
                    districts.c.qmlativ_code == pin.code,
                    districts.c.qmlativ_entity_id == pin.entity_id,
                )
            )
            if other:
                raise DistrictError(
                    f"{district.id}: these credentials belong to another district, "
                    f"which is registered as {other}: check API Base URL, Client Key and Client Secret; no student was read"
                )
            connection.execute(
                districts.update()
                .where(districts.c.district_id == district.id)
                .values(
                    qmlativ_district_id=pin.district_id,
                    qmlativ_code=pin.code,
                    qmlativ_entity_id=pin.entity_id,
                    qmlativ_name=pin.name,
                )
            )
        return pin

    def _select(self, condition: sa.ColumnElement[bool]) -> List[District]:
        query = (
            sa.select(districts, district_credentials.c.client_key)
            .join(district_credentials, isouter=True)
            .where(condition)
            .order_by(districts.c.district_id)
        )
        with transaction(self._engine, "looking up districts") as connection:
            return [_district(row) for row in connection.execute(query).mappings()]

    def _refuse_source_of_another(
        self, connection: sa.Connection, id: str, base_url: str, entity_id: int | None
    ) -> None:
        """Two districts that read the same rows would publish each other's students."""
        other = connection.scalar(
            sa.select(districts.c.district_id).where(
                districts.c.district_id != id,
                sa.func.lower(districts.c.base_url) == base_url.lower(),
                sa.or_(
                    districts.c.entity_id.is_not_distinct_from(entity_id),
                    districts.c.entity_id.is_(None),
                    sa.literal(entity_id is None),
                ),
            )
        )
        if other:
            raise DistrictError(
                f"{id}: {other} reads the same API Base URL; "
                "give each of them an --entity-id of its own, or correct the URL"
            )


def _district(row: Any) -> District:
    pin = None
    if row["qmlativ_district_id"] is not None:
        pin = Pin(
            row["qmlativ_district_id"], row["qmlativ_code"], row["qmlativ_entity_id"], row["qmlativ_name"]
        )
    return District(
        id=row["district_id"],
        client_key=row["client_key"] or "",
        pin=pin,
        **{
            name: row[name]
            for name in (
                "name",
                "base_url",
                "source_host",
                "timezone",
                "token_url",
                "entity_id",
                "expires",
                "active",
                "registered_at",
            )
        },
    )


def _checked_timezone(id: str, timezone: str) -> str:
    try:
        return ZoneInfo(timezone).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DistrictError(
            f"{id}: there is no such time zone; name one like America/Chicago (IANA's list)"
        ) from None


def _checked_addresses(id: str, base_url: str, token_url: str | None, allow_local: bool) -> dict[str, Any]:
    try:
        base = checked_url(base_url, allow_local=allow_local)
        token = checked_url(token_url, "Token URL", allow_local=allow_local) if token_url else None
    except QmlativError as error:
        raise DistrictError(f"{id}: {error}") from None
    return {"base_url": base, "token_url": token, "source_host": urlsplit(base).hostname}

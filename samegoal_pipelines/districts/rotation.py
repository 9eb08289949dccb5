"""Sealing every district's secret anew with the first key, so that the keys behind it can go.

Stopped at any moment, every secret still opens: a new key is in the key file before anything is sealed with
it, and the old ones go only after every secret was seen to open without them. Keys of the environment are
their owner's to change.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.districts.changing import changing
from samegoal_pipelines.districts.errors import DecryptionError
from samegoal_pipelines.districts.sealing import Sealer
from samegoal_pipelines.tables.warehouse import district_credentials, districts
from samegoal_pipelines.warehouse.engine import as_operator, take_role
from samegoal_pipelines.warehouse.roles import Role

_NO_DISTRICT = ""
_SECRET = sa.select(district_credentials.c.sealed_secret)


@dataclass(frozen=True)
class Rotation:
    """What came of it."""

    resealed: int
    """Secrets that are sealed with the first key now."""
    lost: tuple[str, ...]
    """A line about each district whose secret no key opens: it was not sealed with any of them."""
    new_key: bool
    """Whether the key is a new one, and the old ones are gone; false where the environment names the keys."""


def rotate_key(engine: sa.Engine, sealer: Sealer) -> Rotation:
    """Seal every secret anew with the first key; where keys lie in the key file, with a new one.

    Each district in a transaction of its own. One whose secret cannot be opened stops no other.

    Raises:
        DecryptionError: the keys themselves cannot be used.
        WarehouseError: Postgres failed; every secret still opens, and the command can be run again.
    """
    sealer.check()
    if sealer.keys_in_file:
        with changing(engine, _NO_DISTRICT, "putting a new key first"):
            sealer.put_new_key_first()
    rotation = _reseal_all(engine, sealer)
    while sealer.keys_in_file and not _drop_old_keys(engine, sealer):
        rotation = _reseal_all(engine, sealer)  # another rotation has come in between
    return rotation


def _reseal_all(engine: sa.Engine, sealer: Sealer) -> Rotation:
    resealed, lost = 0, []
    for district_id in _registered(engine):
        try:
            with changing(engine, district_id, "sealing the secret anew") as connection:
                resealed += _reseal(connection, sealer, district_id)
        except DecryptionError as error:
            lost.append(str(error))
    return Rotation(resealed, tuple(lost), sealer.keys_in_file)


def _registered(engine: sa.Engine) -> list[str]:
    with as_operator(engine, "listing the districts") as connection:
        return list(connection.scalars(sa.select(districts.c.district_id).order_by(districts.c.district_id)))


def _reseal(connection: sa.Connection, sealer: Sealer, district_id: str) -> bool:
    """Whether there was a secret to seal."""
    own = district_credentials.c.district_id == district_id
    sealed = connection.scalar(_SECRET.where(own))
    if sealed is None:
        return False
    if not sealer.is_sealed_with_first_key(bytes(sealed)):
        resealed = sealer.reseal(bytes(sealed), district_id)
        connection.execute(sa.update(district_credentials).where(own).values(sealed_secret=resealed))
    return True


def _drop_old_keys(engine: sa.Engine, sealer: Sealer) -> bool:
    """Drop them unless a secret still needs one; no other change of the registry can be under way."""
    with changing(engine, _NO_DISTRICT, "dropping the old keys") as connection:
        take_role(connection, Role.OPERATOR)
        for district_id in connection.scalars(sa.select(districts.c.district_id)).all():
            take_role(connection, Role.WRITER, district_id)
            sealed = connection.scalar(_SECRET.where(district_credentials.c.district_id == district_id))
            if sealed is not None and sealer.needs_an_old_key(bytes(sealed)):
                return False
        sealer.drop_old_keys()
        return True

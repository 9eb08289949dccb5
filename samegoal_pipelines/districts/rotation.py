"""Encrypt every district's secret again with the first key, so that the keys behind it can go.

Every secret can be decrypted whenever this is stopped: a new key is in the key file before anything is
encrypted with it, and the old keys go only after every secret was decrypted without them. Keys from the
environment are changed there.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.districts.changing import changing
from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import DecryptionError
from samegoal_pipelines.tables.warehouse import district_credentials, districts
from samegoal_pipelines.warehouse.engine import as_operator, take_role
from samegoal_pipelines.warehouse.roles import Role

_NO_DISTRICT = ""
_SECRET = sa.select(district_credentials.c.sealed_secret)


@dataclass(frozen=True)
class Rotation:
    """What came of it."""

    reencrypted: int
    """Secrets that are encrypted with the first key now."""
    lost: tuple[str, ...]
    """A line about each district whose secret no key decrypts."""
    new_key: bool
    """Whether the key is a new one, and the old ones are gone; false where the environment names the keys."""


def rotate_key(engine: sa.Engine, cipher: SecretCipher) -> Rotation:
    """Encrypt every secret again with the first key; with keys in the key file, that is a new one.

    Each district has its own transaction. A secret that cannot be decrypted stops no other.

    Raises:
        DecryptionError: the keys themselves cannot be used.
        WarehouseError: Postgres failed; every secret can still be decrypted, and running again is safe.
    """
    cipher.check()
    if cipher.keys_in_file:
        with changing(engine, _NO_DISTRICT, "putting a new key first"):
            cipher.put_new_key_first()
    rotation = _reencrypt_all(engine, cipher)
    while cipher.keys_in_file and not _drop_old_keys(engine, cipher):
        rotation = _reencrypt_all(engine, cipher)  # another rotation has come in between
    return rotation


def _reencrypt_all(engine: sa.Engine, cipher: SecretCipher) -> Rotation:
    reencrypted, lost = 0, []
    for district_id in _registered(engine):
        try:
            with changing(engine, district_id, "encrypting the secret again") as connection:
                reencrypted += _reencrypt(connection, cipher, district_id)
        except DecryptionError as error:
            lost.append(str(error))
    return Rotation(reencrypted, tuple(lost), cipher.keys_in_file)


def _registered(engine: sa.Engine) -> list[str]:
    with as_operator(engine, "listing the districts") as connection:
        return list(connection.scalars(sa.select(districts.c.district_id).order_by(districts.c.district_id)))


def _reencrypt(connection: sa.Connection, cipher: SecretCipher, district_id: str) -> bool:
    """Whether there was a secret to encrypt."""
    own = district_credentials.c.district_id == district_id
    sealed = connection.scalar(_SECRET.where(own))
    if sealed is None:
        return False
    if not cipher.uses_first_key(bytes(sealed)):
        reencrypted = cipher.reencrypt(bytes(sealed), district_id)
        connection.execute(sa.update(district_credentials).where(own).values(sealed_secret=reencrypted))
    return True


def _drop_old_keys(engine: sa.Engine, cipher: SecretCipher) -> bool:
    """Drop them unless a secret still needs one; no other change of the registry can be under way."""
    with changing(engine, _NO_DISTRICT, "dropping the old keys") as connection:
        take_role(connection, Role.OPERATOR)
        for district_id in connection.scalars(sa.select(districts.c.district_id)).all():
            take_role(connection, Role.WRITER, district_id)
            sealed = connection.scalar(_SECRET.where(district_credentials.c.district_id == district_id))
            if sealed is not None and cipher.needs_an_old_key(bytes(sealed)):
                return False
        cipher.drop_old_keys()
        return True

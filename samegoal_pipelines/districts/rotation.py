"""Encrypt every district's secret again with the first key, so that the other keys can be removed.

It can stop at any time without losing a secret. A new key is in the key file before anything is encrypted
with it, and the old keys are removed only after every secret was decrypted without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.errors import DecryptionError
from samegoal_pipelines.tables.warehouse import district_credentials, districts
from samegoal_pipelines.warehouse.engine import as_operator, as_writer, take_role
from samegoal_pipelines.warehouse.roles import Role

_NO_DISTRICT = ""
_SECRET = sa.select(district_credentials.c.encrypted_secret)


@dataclass(frozen=True)
class Rotation:
    """The result of a rotation."""

    reencrypted: int
    """Secrets that are now encrypted with the first key."""
    lost: tuple[str, ...]
    """A line about each district whose secret no key decrypts."""
    new_key: bool
    """Whether a new key replaced the old ones. False if the environment sets the keys."""


@contextmanager
def changing(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """A transaction as this district's writer, with no other change of the registry in progress.

    What was read is still true when it is written, and no secret can be encrypted with a key that is being
    removed.
    """
    with as_writer(engine, district_id, step) as connection:
        connection.execute(sa.text(f"lock table {districts.fullname} in share row exclusive mode"))
        yield connection


def rotate_key(engine: sa.Engine, cipher: SecretCipher) -> Rotation:
    """Encrypt every secret again with the first key. With a key file, that is a new key.

    Each district has its own transaction. A secret that cannot be decrypted does not stop the others.

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
        rotation = _reencrypt_all(engine, cipher)  # another rotation ran meanwhile
    return rotation


def _reencrypt_all(engine: sa.Engine, cipher: SecretCipher) -> Rotation:
    reencrypted, lost = 0, []
    with as_operator(engine, "listing the districts") as connection:
        query = sa.select(districts.c.district_id).order_by(districts.c.district_id)
        registered = connection.scalars(query).all()
    for district_id in registered:
        own = district_credentials.c.district_id == district_id
        try:
            with changing(engine, district_id, "encrypting the secret again") as connection:
                encrypted = connection.scalar(_SECRET.where(own))
                if encrypted is not None:
                    again = cipher.reencrypt(bytes(encrypted), district_id)
                    change = sa.update(district_credentials).where(own).values(encrypted_secret=again)
                    connection.execute(change)
                    reencrypted += 1
        except DecryptionError as error:
            lost.append(str(error))
    return Rotation(reencrypted, tuple(lost), cipher.keys_in_file)


def _drop_old_keys(engine: sa.Engine, cipher: SecretCipher) -> bool:
    """Remove the old keys unless a secret still needs one. The registry is locked meanwhile."""
    with changing(engine, _NO_DISTRICT, "dropping the old keys") as connection:
        take_role(connection, Role.OPERATOR)
        for district_id in connection.scalars(sa.select(districts.c.district_id)).all():
            take_role(connection, Role.WRITER, district_id)
            encrypted = connection.scalar(_SECRET.where(district_credentials.c.district_id == district_id))
            if encrypted is not None and cipher.needs_an_old_key(bytes(encrypted)):
                return False
        cipher.drop_old_keys()
        return True

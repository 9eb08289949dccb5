"""Encrypt every district's secret again with the first key, so that the other keys can be removed.

It can stop at any time without losing a secret. A new key is in the key file before anything is encrypted
with it, and the old keys are removed only after the secrets are committed without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.tables.warehouse import district_credentials, districts
from samegoal_pipelines.warehouse.engine import as_writer, take_role
from samegoal_pipelines.warehouse.roles import Role

_NO_DISTRICT = ""


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

    A secret that cannot be decrypted does not stop the others.

    Raises:
        DecryptionError: the keys themselves cannot be used.
        WarehouseError: Postgres failed; every secret can still be decrypted, and running again is safe.
    """
    from cryptography.fernet import InvalidToken

    fernet, old, reencrypted, lost = cipher.fernet(), [], 0, []
    with changing(engine, _NO_DISTRICT, "encrypting the secrets again") as connection:
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
        with changing(engine, _NO_DISTRICT, "dropping the old keys"):
            cipher.drop(old)
    return Rotation(reencrypted, tuple(lost), cipher.keys_in_file)

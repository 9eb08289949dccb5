"""Client secrets at rest: sealed with Fernet keys that lie outside the database.

Several keys may be given: the first seals, all of them unseal, so that keys can be rotated. Nothing
here knows what a district is.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from samegoal_pipelines.districts.errors import DistrictError, LostKey

KEY_FILE = "secret.key"


class Sealer:
    """Seals and unseals texts with one or several keys."""

    def __init__(self, keys: MultiFernet) -> None:
        self._keys = keys

    @classmethod
    def load(cls, home: Path, configured: str | None) -> Sealer:
        """The keys of `SAMEGOAL_SECRET_KEY`, comma-separated, or one in a file under `home`, made on first use.

        Raises:
            DistrictError: a key is not a Fernet key, or the file can be read by others.
        """
        return cls(_parse(configured or _kept_key(home / KEY_FILE)))

    def seal(self, text: str) -> bytes:
        """Seal with the first key."""
        return self._keys.encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Undo `seal`.

        Raises:
            LostKey: none of the keys fits.
        """
        try:
            return self._keys.decrypt(sealed).decode()
        except InvalidToken:
            raise LostKey(
                "the client secret was sealed with a key that is not in SAMEGOAL_SECRET_KEY: "
                "add that key again, or register the secret anew"
            ) from None


def _parse(keys: str) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
    except ValueError:
        raise DistrictError(
            "SAMEGOAL_SECRET_KEY holds something that is no key; make one with: python -c "
            "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
        ) from None


def _kept_key(file: Path) -> str:
    """The key kept in `file`, made if there is none; two commands at once agree on one."""
    try:
        if file.stat().st_mode & 0o077:
            raise DistrictError(f"{file} can be read by other accounts: chmod 600 it, and consider a new key")
        return file.read_text()
    except FileNotFoundError:
        pass
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(Fernet.generate_key())
    try:
        os.link(fresh, file)  # fails where another command was faster: its key counts
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return file.read_text()

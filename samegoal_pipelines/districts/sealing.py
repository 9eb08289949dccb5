"""Client secrets at rest: sealed with the deployment's keys (Fernet: AES with HMAC), opened only to be sent.

The first key seals, all of them open: put a new key in front, give the secrets again, then drop the old one.
Without configured keys, one is made on first use and kept in a file that only its owner can read.
"""

from __future__ import annotations

import os
import secrets
import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from samegoal_pipelines.districts.errors import SealBroken

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_FILE = "secret.key"
_MAKE_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class Sealer:
    """Seals and opens secrets. Nothing is read or made before the first one."""

    def __init__(self, home: Path, configured: str | None = None) -> None:
        self._file = home / KEY_FILE
        self._configured = configured

    @classmethod
    def load(cls, home: Path, configured: str | None) -> Sealer:
        """The sealer of a deployment.

        Args:
            configured: comma-separated keys (``SAMEGOAL_SECRET_KEY``); without them, a key file in `home`.
        """
        return cls(home, configured)

    def seal(self, secret: str) -> bytes:
        """The secret as it may be stored."""
        if self._configured is None:
            self._make_key_file()
        return self._box.encrypt(secret.encode())

    def open(self, sealed: bytes, district_id: str) -> str:
        """The secret itself.

        Raises:
            SealBroken: it was sealed with a key that is not at hand.
        """
        from cryptography.fernet import InvalidToken

        where = "SAMEGOAL_SECRET_KEY" if self._configured is not None else str(self._file)
        try:
            if self._configured is None and not self._file.exists():
                raise InvalidToken
            return self._box.decrypt(sealed).decode()
        except InvalidToken:
            raise SealBroken(
                f"{district_id}: the Client Secret was sealed with a key that is not in {where}; "
                "bring that key back, or give the secret again: "
                f"samegoal-pipelines districts rotate-secret {district_id}"
            ) from None

    @cached_property
    def _box(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        text = self._configured if self._configured is not None else self._read_key_file()
        keys = [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]
        try:
            return MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            where = "SAMEGOAL_SECRET_KEY" if self._configured is not None else str(self._file)
            raise SealBroken(f"{where} holds something that is no key; make one with: {_MAKE_KEY}") from None

    def _read_key_file(self) -> str:
        mode = stat.S_IMODE(self._file.stat().st_mode)
        if mode & 0o077:
            raise SealBroken(
                f"{self._file} can be read by others (mode {mode:04o}); run: chmod 600 {self._file}"
            )
        return self._file.read_text()

    def _make_key_file(self) -> None:
        """Make the key file, unless there is one: whole or not at all, and never a second one."""
        if self._file.exists():
            return
        from cryptography.fernet import Fernet

        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._file.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, self._file)
        except FileExistsError:
            pass  # another command was faster: its key counts
        finally:
            partial.unlink()

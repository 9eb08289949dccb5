"""Client secrets at rest: encrypted with our keys (Fernet: AES with HMAC), decrypted only to send them.

The first key encrypts and every key decrypts. To change the key, put a new one in front, encrypt the secrets
again (`rotation`), then remove the old one. Without configured keys, the first use creates a key in a file
that only its owner can read. The file is read each time, so that a long-lived process notices a change.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from samegoal_pipelines.districts.errors import DecryptionError
from samegoal_pipelines.errors import Kind

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from pydantic import SecretStr

KEY_FILE = "secret.key"
_MAKE_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


def fingerprint(secret: SecretStr) -> str:
    """The first 12 digits of the secret's SHA-256: tells whether two secrets are the same."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:12]


def _new_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


class SecretCipher:
    """Encrypts and decrypts secrets. It reads and creates nothing before the first use.

    Args:
        configured: comma-separated keys (``SAMEGOAL_SECRET_KEY``); without them, a key file in `home`.
    """

    def __init__(self, home: Path, configured: str | None) -> None:
        self._file = home / KEY_FILE
        self._configured = configured

    def encrypt(self, secret: str) -> bytes:
        """The secret as it is stored. Makes the key file if there is none."""
        if self.keys_in_file:
            self._make_key_file()
        return self._fernet().encrypt(secret.encode())

    def decrypt(self, encrypted: bytes, district_id: str) -> str:
        """The secret itself. Raises `DecryptionError` if none of the keys decrypts it."""
        return self._decrypting(district_id, lambda fernet: fernet.decrypt(encrypted)).decode()

    def reencrypt(self, encrypted: bytes, district_id: str) -> bytes:
        """The same secret, encrypted with the first key. Raises `DecryptionError` as `decrypt` does."""
        return self._decrypting(district_id, lambda fernet: fernet.rotate(encrypted))

    def needs_an_old_key(self, encrypted: bytes) -> bool:
        """Whether only an older key decrypts the secret."""
        from cryptography.fernet import Fernet, InvalidToken

        self.check()
        for fernet, needs in ((Fernet(self._keys()[0]), False), (self._fernet(), True)):
            with suppress(InvalidToken):
                fernet.decrypt(encrypted)
                return needs
        return False

    def check(self) -> None:
        """Raise `DecryptionError` if there are keys, and they cannot be used."""
        if not self.keys_in_file or self._has_key_file():
            self._fernet()

    @property
    def keys_in_file(self) -> bool:
        """Whether the keys are in our key file. Otherwise the environment sets them."""
        return self._configured is None

    def put_new_key_first(self) -> None:
        """Create a new key that encrypts from now on. The old keys still decrypt."""
        self._write_key_file([_new_key(), *(self._keys() if self._has_key_file() else [])])

    def drop_old_keys(self) -> None:
        """Keep the first key only."""
        self._write_key_file(self._keys()[:1])

    def _decrypting(self, district_id: str, use: Callable[[MultiFernet], bytes]) -> bytes:
        from cryptography.fernet import InvalidToken

        try:
            if self.keys_in_file and not self._has_key_file():
                raise InvalidToken
            return use(self._fernet())
        except InvalidToken:
            raise DecryptionError(
                f"the Client Secret was encrypted with a key that is not in {self._where}",
                district_id=district_id,
                next_step="restore that key, or enter the secret again: "
                "samegoal-pipelines districts rotate-secret ID",
            ) from None

    @property
    def _where(self) -> str:
        return str(self._file) if self.keys_in_file else "SAMEGOAL_SECRET_KEY"

    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            return MultiFernet([Fernet(key) for key in self._keys()])
        except ValueError:
            raise DecryptionError(
                f"{self._where} contains an invalid key", next_step=f"make one with: {_MAKE_KEY}"
            ) from None

    def _keys(self) -> list[str]:
        text = self._read_key_file() if self._configured is None else self._configured
        return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]

    def _has_key_file(self) -> bool:
        with self._plainly_failing():
            return self._file.exists()

    def _read_key_file(self) -> str:
        with self._plainly_failing():
            mode, text = stat.S_IMODE(self._file.stat().st_mode), self._file.read_text()
        if mode & 0o077:
            raise DecryptionError(
                f"{self._file} can be read by others (mode {mode:04o})",
                next_step=f"run: chmod 600 {self._file}",
            )
        return text

    @contextmanager
    def _plainly_failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DecryptionError(
                f"{self._file} cannot be read ({error.strerror})",
                kind=Kind.KEY_FILE,
                next_step="run daemon and commands as the account that owns the file, or give it to this "
                "account with chown",
            ) from None

    def _make_key_file(self) -> None:
        """Create the key file atomically, unless there is one."""
        if self._has_key_file():
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._written_aside([_new_key()])
        try:
            os.link(partial, self._file)
        except FileExistsError:
            pass  # another command was faster, so its key counts
        finally:
            partial.unlink()

    def _write_key_file(self, keys: Sequence[str]) -> None:
        """Replace all keys atomically. Hold the lock of `rotation.changing`: another change may undo it."""
        target = self._file.resolve()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_by_a_kill in target.parent.glob(f"{KEY_FILE}.*"):
            left_by_a_kill.unlink()
        partial = self._written_aside(keys)
        if target.exists() and (owner := target.stat()).st_uid != os.geteuid():
            os.chown(partial, owner.st_uid, owner.st_gid)  # keep the owner if root runs this
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # on disk before anything is encrypted with the key
        finally:
            os.close(folder)

    def _written_aside(self, keys: Sequence[str]) -> Path:
        partial = self._file.resolve().with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        return partial

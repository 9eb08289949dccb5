"""Client secrets at rest: encrypted with our keys (Fernet: AES with HMAC), decrypted only to send them.

The first key encrypts and every key decrypts. To change the key, put a new one in front, encrypt the secrets
again (`Registry.rotate_key`), then remove the old one. Without configured keys, the first use creates a key
in a file that only its owner can read. The file is read each time, so that a long-lived process notices a
change.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from samegoal_pipelines.districts.errors import DecryptionError, LostKeyError
from samegoal_pipelines.errors import Kind

KEY_FILE = "secret.key"
CONFIGURED = "SAMEGOAL_SECRET_KEY or SAMEGOAL_SECRET_KEY_FILE"
_MAKE_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


def fingerprint(secret: SecretStr) -> str:
    """The first 12 digits of the secret's SHA-256: tells whether two secrets are the same."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:12]


class SecretCipher:
    """Encrypts and decrypts secrets. It reads and creates nothing before the first use.

    Args:
        configured: comma-separated keys (of `CONFIGURED`); without them, a key file in `home`.
    """

    def __init__(self, home: Path, configured: str | None) -> None:
        self._file = home / KEY_FILE
        self._configured = configured
        self.keys_in_file = configured is None
        """Whether the keys are in our key file. Otherwise the environment sets them."""
        self._where = str(self._file) if self.keys_in_file else CONFIGURED

    def encrypt(self, secret: str) -> bytes:
        """The secret as it is stored. Makes the key file if there is none.

        Hold the lock of `registry.changing`, as in everything that writes the key file: two commands must
        not make two keys, or undo each other's change.
        """
        while (fernet := self.fernet()) is None:
            self.put_new_key_first()
        return fernet.encrypt(secret.encode())

    def decrypt(self, encrypted: bytes, district_id: str) -> str:
        """The secret itself.

        Raises:
            LostKeyError: none of the keys decrypts it.
            DecryptionError: the keys cannot be used, or there is no key file, at least at this moment.
        """
        if (fernet := self.fernet()) is not None:
            with suppress(InvalidToken):
                return fernet.decrypt(encrypted).decode()
        raise (DecryptionError if fernet is None else LostKeyError)(
            f"the Client Secret was encrypted with a key that is not in {self._where}",
            district_id=district_id,
            next_step="restore that key, or enter the secret again: "
            "samegoal-pipelines districts rotate-secret ID",
        )

    def fernet(self) -> MultiFernet | None:
        """The cipher: it encrypts with the first key and decrypts with any. None if there is no key file.

        Raises:
            DecryptionError: the keys cannot be used.
        """
        try:
            keys = self._keys()
            return None if keys is None else MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise DecryptionError(
                f"{self._where} contains an invalid key", next_step=f"make one with: {_MAKE_KEY}"
            ) from None

    def put_new_key_first(self) -> list[str]:
        """Create a new key that encrypts from now on. The old keys still decrypt, and are returned."""
        old = self._keys() or []
        self._write([Fernet.generate_key().decode(), *old])
        return old

    def drop(self, old: Collection[str]) -> None:
        """Remove these keys from the key file."""
        if keys := self._keys():  # never make an empty file
            self._write([key for key in keys if key not in old])

    def _keys(self) -> list[str] | None:
        text = self._configured
        if text is None:
            try:
                mode, text = stat.S_IMODE(self._file.stat().st_mode), self._file.read_text()
            except OSError as error:
                if isinstance(error, FileNotFoundError) and not self._file.exists():
                    return None
                raise DecryptionError(
                    f"{self._file} cannot be read ({error.strerror})",
                    kind=Kind.KEY_FILE,
                    next_step="run daemon and commands as the account that owns the file, or give it to this "
                    "account with chown",
                ) from None
            if mode & 0o077:
                raise DecryptionError(
                    f"{self._file} can be read by others (mode {mode:04o})",
                    next_step=f"run: chmod 600 {self._file}",
                )
        return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]

    def _write(self, keys: Sequence[str]) -> None:
        """Replace the key file atomically."""
        target = self._file.resolve()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_by_a_kill in target.parent.glob(f"{KEY_FILE}.*"):
            left_by_a_kill.unlink()
        with NamedTemporaryFile("w", dir=target.parent, prefix=f"{KEY_FILE}.", delete=False) as file:  # 0600
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        partial = Path(file.name)
        if target.exists() and (owner := target.stat()).st_uid != os.geteuid():
            os.chown(partial, owner.st_uid, owner.st_gid)  # keep the owner if root runs this
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)  # on disk before anything is encrypted with the key
        os.close(folder)

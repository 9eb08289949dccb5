"""Client secrets at rest: sealed with the deployment's keys (Fernet: AES with HMAC), opened only to be sent.

The first key seals, all of them open: put a new key in front, seal the secrets anew (`rotation`), then drop
the old one. Without configured keys, one is made on first use and kept in a file that only its owner can
read. The file is read each time: a process that lives long notices that its keys were changed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from samegoal_pipelines.districts.errors import DecryptionError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_FILE = "secret.key"
_MAKE_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class Sealer:
    """Seals and opens secrets. Nothing is read or made before the first one.

    Args:
        configured: comma-separated keys (``SAMEGOAL_SECRET_KEY``); without them, a key file in `home`.
    """

    def __init__(self, home: Path, configured: str | None) -> None:
        self._file = home / KEY_FILE
        self._configured = configured

    def seal(self, secret: str) -> bytes:
        """The secret as it may be stored."""
        if self.keys_in_file:
            self._make_key_file()
        return self._box().encrypt(secret.encode())

    def open(self, sealed: bytes, district_id: str) -> str:
        """The secret itself.

        Raises:
            DecryptionError: it was sealed with a key that is not at hand.
        """
        return self._opening(district_id, lambda box: box.decrypt(sealed)).decode()

    def reseal(self, sealed: bytes, district_id: str) -> bytes:
        """The same secret, sealed with the first key.

        Raises:
            DecryptionError: it was sealed with a key that is not at hand.
        """
        return self._opening(district_id, lambda box: box.rotate(sealed))

    def is_sealed_with_first_key(self, sealed: bytes) -> bool:
        """Whether the secret opens without any other key."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            Fernet(self._keys()[0]).decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def needs_an_old_key(self, sealed: bytes) -> bool:
        """Whether the secret opens, and not with the first key alone."""
        self.check()  # keys that cannot be used are no answer
        with suppress(DecryptionError):
            self.open(sealed, "")
            return not self.is_sealed_with_first_key(sealed)
        return False

    def check(self) -> None:
        """Look at the keys, if there are any yet.

        Raises:
            DecryptionError: they cannot be used.
        """
        if not self.keys_in_file or self._has_key_file():
            self._box()

    # -- the key file --

    @property
    def keys_in_file(self) -> bool:
        """Whether the keys are ours to change; otherwise, the environment names them."""
        return self._configured is None

    def put_new_key_first(self) -> None:
        """Make a new key, which seals from now on; what was sealed before still opens."""
        from cryptography.fernet import Fernet

        self._write_key_file(
            [Fernet.generate_key().decode(), *(self._keys() if self._has_key_file() else [])]
        )

    def drop_old_keys(self) -> None:
        """Keep the first key only."""
        self._write_key_file(self._keys()[:1])

    # -- within --

    def _opening(self, district_id: str, use: Callable[[MultiFernet], bytes]) -> bytes:
        from cryptography.fernet import InvalidToken

        try:
            if self.keys_in_file and not self._has_key_file():
                raise InvalidToken
            return use(self._box())
        except InvalidToken:
            raise DecryptionError(
                f"{district_id}: the Client Secret was sealed with a key that is not in {self._where}; "
                "bring that key back, or give the secret again: "
                f"samegoal-pipelines districts rotate-secret {district_id}"
            ) from None

    @property
    def _where(self) -> str:
        return str(self._file) if self.keys_in_file else "SAMEGOAL_SECRET_KEY"

    def _box(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            return MultiFernet([Fernet(key) for key in self._keys()])
        except ValueError:
            raise DecryptionError(
                f"{self._where} contains an invalid key; make one with: {_MAKE_KEY}"
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
                f"{self._file} can be read by others (mode {mode:04o}); run: chmod 600 {self._file}"
            )
        return text

    @contextmanager
    def _plainly_failing(self) -> Iterator[None]:
        """Of every district the same line: its secret is not at fault."""
        try:
            yield
        except OSError as error:
            raise DecryptionError(
                f"{self._file} cannot be read ({error.strerror}); it must belong to the account that runs "
                "this: run this as that account, or give it the file with chown"
            ) from None

    def _make_key_file(self) -> None:
        """Make the key file, unless there is one: whole or not at all, and never a second one."""
        if self._has_key_file():
            return
        from cryptography.fernet import Fernet

        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._written_aside([Fernet.generate_key().decode()])
        try:
            os.link(partial, self._file)
        except FileExistsError:
            pass  # another command was faster: its key counts
        finally:
            partial.unlink()

    def _write_key_file(self, keys: Sequence[str]) -> None:
        """Replace the keys, all at once. Under the lock of `changing`: one that is slower would undo it."""
        target = self._file.resolve()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_by_a_kill in target.parent.glob(f"{KEY_FILE}.*"):
            left_by_a_kill.unlink()
        partial = self._written_aside(keys)
        if target.exists() and (owner := target.stat()).st_uid != os.geteuid():
            os.chown(partial, owner.st_uid, owner.st_gid)  # root is no reason to lock the pipeline out
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # on the disk before anything is sealed with it
        finally:
            os.close(folder)

    def _written_aside(self, keys: Sequence[str]) -> Path:
        """A file with these keys beside the key file."""
        partial = self._file.resolve().with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        return partial

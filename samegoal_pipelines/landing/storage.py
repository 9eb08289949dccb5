"""The storage below a landing, whatever its kind: where it is, what its failures are, and folders.

What fsspec leaves to each kind of storage is settled here, once: S3's own library raises errors that are no
`OSError`, and makes a missing bucket where it is asked for a folder.
"""

from __future__ import annotations

import errno
from typing import Any

import fsspec

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EREMOTEIO,  # what s3fs makes of S3's internal errors
    errno.ETIMEDOUT,
}


class LandingError(Exception):
    """A landed file is missing, damaged or cannot be written; says which asset and night, and what to do.

    Attributes:
        transient: whether trying again may help: the storage could not be reached, or was busy.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class Storage:
    """One root on any storage that fsspec knows.

    Args:
        root: a path or any fsspec URL (`s3://bucket/prefix`).

    Attributes:
        files: fsspec's file system.
        base: the root as `files` spells it.
        failures: what `files` raises where it cannot read or write.

    Raises:
        LandingError: the root names no kind of storage that can be used.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        try:
            files, self.base = fsspec.url_to_fs(self.root)
        except (ImportError, ValueError):
            raise LandingError(
                "SAMEGOAL_LANDING_URL cannot be used: no package for its kind of storage is installed "
                "(for s3:// install samegoal-pipelines[s3]), or it is misspelt"
            ) from None
        self.files: Any = files
        self.failures: tuple[type[Exception], ...] = (OSError,)
        self._unreachable: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)
        self._has_folders = "s3" not in files.protocol
        if not self._has_folders:
            from botocore import exceptions as s3

            self.failures += (s3.BotoCoreError, s3.ClientError)
            self._unreachable += (s3.ConnectionError, s3.HTTPClientError)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where the storage has any; never a bucket."""
        if self._has_folders:
            self.files.makedirs(path, exist_ok=True)

    def error(self, what: str, because_of: Exception, remedy: str) -> LandingError:
        """What to raise for one of `failures`: the storage's own words without the path, and what to do."""
        reason = getattr(because_of, "strerror", None) or type(because_of).__name__
        return LandingError(
            f"{what} (storage at {self.root}: {reason}); {remedy}",
            transient=isinstance(because_of, self._unreachable)
            or getattr(because_of, "errno", None) in _PASSING,
        )

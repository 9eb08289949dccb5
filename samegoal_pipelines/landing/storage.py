"""The storage of a landing, of any kind: its location, its errors and its folders.

This module hides the differences that fsspec leaves: S3's library raises errors that are no `OSError`, and
creates a missing bucket when it should create a folder.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import fsspec

from samegoal_pipelines.errors import Kind, PipelineError

_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EREMOTEIO,  # how s3fs maps S3's internal errors
    errno.ETIMEDOUT,
}
_NO_CREDENTIALS = (
    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
)
_PLAIN_WORDS = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _NO_CREDENTIALS,
    "NotImplementedError": "this kind of storage is only for reading",
}
"""Texts for errors whose names do not say what to do."""


class LandingError(PipelineError):
    """A landed file is missing, damaged or cannot be written; says which asset and night."""

    kind = Kind.LANDING


class Storage:
    """One root on any storage that fsspec supports.

    Args:
        root: a path or any fsspec URL (`s3://bucket/prefix`).

    Attributes:
        root: the root for people, without a user, a password or a trailing slash.
        files: fsspec's file system.
        base: the root as `files` spells it.
        failures: the exceptions that `files` raises if it cannot read or write.

    Raises:
        LandingError: the storage is not supported, or cannot be reached.
    """

    def __init__(self, root: str) -> None:
        self.root = _without_login(root.rstrip("/"))
        self.failures: tuple[type[Exception], ...] = (OSError, NotImplementedError)
        self._unreachable: tuple[type[Exception], ...] = (ConnectionError, TimeoutError)
        try:
            files, self.base = fsspec.url_to_fs(root.rstrip("/"))
        except (ImportError, ValueError):
            raise LandingError(
                "SAMEGOAL_LANDING_URL cannot be used: no package for its kind of storage is installed "
                "(for s3:// install samegoal-pipelines[s3]), or it is misspelt",
                next_step="correct it",
            ) from None
        except OSError as error:  # some kinds connect immediately
            raise self.error("the landing cannot be used", error, "check SAMEGOAL_LANDING_URL") from None
        self.files: Any = files
        self._has_folders = "s3" not in files.protocol
        if not self._has_folders:
            from botocore import exceptions as s3

            self.failures += (s3.BotoCoreError, s3.ClientError)
            self._unreachable += (s3.ConnectionError, s3.HTTPClientError)

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents if the storage has folders, but never a bucket.

        A root on this machine is closed to other accounts, because it holds children's records.
        """
        if self._has_folders:
            if "file" in self.files.protocol:
                Path(self.base).mkdir(mode=0o700, parents=True, exist_ok=True)
            self.files.makedirs(path, exist_ok=True)

    def error(self, what: str, because_of: Exception, next_step: str) -> LandingError:
        """The error for one of `failures`: the storage's message without the path, and what to do."""
        name = type(because_of).__name__
        reason = _PLAIN_WORDS.get(name) or getattr(because_of, "strerror", None) or name
        return LandingError(
            f"{what} (storage at {self.root}: {reason})",
            next_step=next_step,
            transient=isinstance(because_of, self._unreachable)
            or getattr(because_of, "errno", None) in _PASSING,
        )


def _without_login(url: str) -> str:
    """The URL without user and password, for error messages."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"

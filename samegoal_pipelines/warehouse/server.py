"""The embedded Postgres: started by the command that needs it, shared, and stopped by the last that used it.

Everything about the server's life is here and nothing about what it stores. Below ``<home>/postgres`` lie the
data folder, the server's log, the mark ``keep`` and two lock files, which are all the bookkeeping there is:

- ``users.lock``: every process that uses the server holds it shared for as long as it lives. The kernel gives
  it up however a process ends, so nobody has to be counted.
- ``transition.lock``: held exclusively by whoever starts, stops, or finds out whether anyone is left.

Who may connect: there is no TCP port; the socket lies in a folder of mode 0700 that belongs to the account
that runs the server, and Postgres asks the kernel who is calling (``peer``); it lets in root and the person
whose data it is.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from samegoal_pipelines.postgres.errors import PostgresNotStartedError, from_database
from samegoal_pipelines.postgres.session import check_encoding, check_setting
from samegoal_pipelines.warehouse import place, urls
from samegoal_pipelines.warehouse.place import Account
from samegoal_pipelines.warehouse.roles import let_roles_log_in
from samegoal_pipelines.warehouse.urls import DAGSTER_SCHEMA, DATABASE, plain_url, socket_url

START_SECONDS = 60.0
_LOG_LIMIT = 5_000_000  # bytes; a longer log is begun anew at the next start

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # Dagster opens connections without a pool
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "wal_level": "minimal",  # nobody replicates from here
    "max_wal_senders": "0",
    "fsync": "on",  # these are children's records
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # Error messages and statements quote rows; they reach the client, which says what they mean, and no file.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


def database_url(home: Path, configured: str | None) -> str:
    """The URL of the database, as psql understands it.

    With `configured` (``SAMEGOAL_DATABASE_URL``) that one; else that of the embedded Postgres below `home`,
    which is started where necessary and in use by this process until it ends.
    """
    return plain_url(configured) if configured else EmbeddedPostgres(home).acquire()


def prepare_dagster_storage(url: str) -> str:
    """The SQLAlchemy URL of Dagster's storage: a schema of its own in the same database, made where missing.

    Raises:
        WarehouseError: the database cannot be reached or used, or lets nobody make the schema.
    """
    import psycopg2

    step = "preparing Dagster's storage"
    storage = urls.dagster_storage_url(url)
    try:
        connection = psycopg2.connect(plain_url(storage), connect_timeout=30)
        try:
            with connection, connection.cursor() as cursor:
                check_encoding(connection, step)
                check_setting(connection, step, "search_path", DAGSTER_SCHEMA)
                cursor.execute("select to_regnamespace(%s)", (DAGSTER_SCHEMA,))
                if cursor.fetchone() == (None,):
                    cursor.execute(
                        "select pg_advisory_xact_lock(hashtext(%s))", (DAGSTER_SCHEMA,)
                    )  # one makes it
                    cursor.execute(f"create schema if not exists {DAGSTER_SCHEMA}")
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise from_database(error, step) from None
    return storage


@dataclass(frozen=True)
class ServerStatus:
    """What ``postgres status`` shows."""

    running: bool
    kept: bool  # stays up until ``postgres stop``
    in_use: bool  # by this or other commands
    data: Path
    log: Path
    url: str
    account: str | None
    note: str | None

    def __str__(self) -> str:
        """For people, one thing per line."""
        state = "up" if self.running else "not running"
        state += ", until `postgres stop`" if self.kept else ""
        state += ", in use" if self.in_use else ""
        facts = {
            "server": state,
            "url": self.url,
            "data": self.data,
            "log": self.log,
            "runs as": self.account,
        }
        facts["note"] = self.note
        return "\n".join(f"{name:8} {fact}" for name, fact in facts.items() if fact is not None)


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
        """The URL of the database; valid while the server is up."""
        return socket_url(place.socket_folder(self.data))

    # -- using it --

    def acquire(self) -> str:
        """Have the server up until this process ends or has called `release` as often; returns its URL."""
        with _guard:
            use = _uses.get(self.folder)
            if use is None:
                with self._transition():
                    lock = _open_lock(self.folder / "users.lock")
                    try:
                        fcntl.flock(lock, fcntl.LOCK_SH)
                        self._ensure_running()
                    except BaseException:
                        os.close(lock)
                        raise
                use = _uses[self.folder] = _Use(self, lock)
            use.count += 1
            return self.url

    def release(self) -> None:
        """Undo one `acquire`; the last user's last release stops a server that nobody asked to keep."""
        with _guard:
            use = _uses.get(self.folder)
            if use is None:
                return
            use.count -= 1
            if use.count <= 0:
                self._leave()

    def __enter__(self) -> EmbeddedPostgres:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _leave(self) -> None:
        use = _uses.pop(self.folder)
        with self._transition():
            os.close(use.lock)
            if not self._keep.exists() and self._unused():
                self._stop()

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
        """Whether the server is up, who uses it, and where things lie; starts nothing."""
        if not self.folder.exists():
            return ServerStatus(False, False, False, self.data, self.log, self.url, None, None)
        with self._transition():
            note = None
            if self._link.is_symlink():
                note = (
                    f"the account that runs Postgres cannot reach {self.folder}: its data lies in {self.data}"
                )
            return ServerStatus(
                running=self._listening(),
                kept=self._keep.exists(),
                in_use=not self._unused(),
                data=self.data,
                log=self.log,
                url=self.url,
                account=_owner_name(self.data),
                note=note,
            )

    # -- under the transition lock --

    @contextlib.contextmanager
    def _transition(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PostgresNotStartedError(
                f"{self.folder} cannot be made: {error.strerror}; choose another SAMEGOAL_HOME"
            ) from None
        lock = _open_lock(self.folder / "transition.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _unused(self) -> bool:
        lock = _open_lock(self.folder / "users.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(lock)

    def _ensure_running(self) -> None:
        _forget_libpq_environment()
        for _ in range(3):  # a server that is just shutting down is waited for, and started again
            if not self._listening() and not self._processes():
                account = place.server_account(self.data)
                programs = place.programs(account)
                if not (self.data / "PG_VERSION").exists():
                    self._initialise(programs, account)
                elif account is not None and self.data.stat().st_uid != account.uid:
                    place.hand_over(self.data, account)
                self._configure(account)
                self._launch(programs, account)
            if self._ready():
                return
        raise PostgresNotStartedError(f"the embedded Postgres starts and goes down again; see {self.log}")

    def _initialise(self, programs: Path, account: Account | None) -> None:
        place.current_account_name()
        data = place.make_data_folder(self._link, account)
        if data.exists() and any(data.iterdir()):
            raise PostgresNotStartedError(f"{data} is neither empty nor a Postgres data folder; move it away")
        partial = data.with_name("data.partial")  # so that a data folder is whole or not there
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if account is not None:
            os.chown(partial, account.uid, account.gid)
        options = "-U postgres --auth=peer --encoding=UTF8"
        options += (
            " --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"  # the same on every machine
        )
        done = place.run([programs / "initdb", *options.split(), "-D", partial], account)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise PostgresNotStartedError(f"initdb could not make {data}: {_last_complaint(done.stdout)}")
        self._write(partial / "postgresql.conf", "include 'samegoal.conf'\n", account)
        partial.rename(data)

    def _configure(self, account: Account | None) -> None:
        """Write our settings at every start, so that a newer program's reach an older data folder."""
        socket_folder = place.socket_folder(self.data)
        if socket_folder != self.data:
            place.make_socket_folder(socket_folder, account)
        settings = {
            **self._settings,
            "unix_socket_directories": f"'{'.' if socket_folder == self.data else socket_folder}'",
        }
        names = {"root", place.current_account_name()}
        if account is not None and account.uid >= place.FIRST_PERSON_UID and account.name != "nobody":
            names.add(account.name)  # root starts the server on a person's data
        files = {
            "samegoal.conf": "".join(f"{name} = {value}\n" for name, value in settings.items()),
            "pg_hba.conf": "local all all peer map=samegoal\n",
            "pg_ident.conf": "".join(f'samegoal "{name}" all\n' for name in sorted(names)),
        }
        for name, text in files.items():
            self._write(self.data / name, text, account)

    def _write(self, path: Path, text: str, account: Account | None) -> None:
        """Write `path` as the account itself: root follows nobody's links."""
        done = place.run(["/bin/sh", "-c", 'cat > "$1"', "sh", path], account, text=text)
        if done.returncode != 0:
            raise PostgresNotStartedError(f"{path} could not be written: {_last_complaint(done.stdout)}")

    def _launch(self, programs: Path, account: Account | None) -> None:
        self._drop_stale_notes()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            flags |= os.O_TRUNC
        log = os.open(self.log, flags, 0o600)
        try:
            before = os.fstat(log).st_size
            options = f"start -w -t {START_SECONDS:.0f} -D"
            done = place.run([programs / "pg_ctl", *options.split(), self.data], account, output=log)
        finally:
            os.close(log)
        if done.returncode != 0:
            with self.log.open(errors="replace") as lines:
                lines.seek(before)
                complaint = _last_complaint(lines.read())
            raise PostgresNotStartedError(f"the embedded Postgres did not start: {complaint}; see {self.log}")

    def _stop(self) -> None:
        account = place.server_account(self.data)
        pg_ctl = place.programs(account) / "pg_ctl"
        done = place.run([pg_ctl, "stop", "-w", "-t", "60", "-D", self.data], account)
        if done.returncode != 0 and self._listening():
            raise PostgresNotStartedError(
                f"the embedded Postgres did not stop: {_last_complaint(done.stdout)}; see {self.log}"
            )

    # -- looking --

    def _listening(self) -> bool:
        path = place.socket_folder(self.data) / ".s.PGSQL.5432"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(START_SECONDS)
            try:
                probe.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                return False
            except PermissionError:
                raise PostgresNotStartedError(
                    f"the Postgres in {self.data} belongs to the account {_owner_name(self.data)}; "
                    "run as that account, or use a SAMEGOAL_HOME of your own"
                ) from None
        return True

    def _processes(self) -> bool:
        """Whether any process of a server on this data folder is alive: each of them works inside it."""
        data = self.data
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink() == data:
                    return True
        return False

    def _drop_stale_notes(self) -> None:
        """Remove Postgres' lock files where their process id belongs to somebody else by now.

        That happens after a power failure, and where nobody buries a killed server's process: Postgres would
        take whoever has the number for a running server. A number that nobody has is left to Postgres.
        """
        for note in (self.data / "postmaster.pid", place.socket_folder(self.data) / ".s.PGSQL.5432.lock"):
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
                with contextlib.suppress(PermissionError):
                    os.kill(int(note.read_text().splitlines()[0]), 0)
                note.unlink()

    def _ready(self) -> bool:
        """Wait until the database answers (the server may still be recovering); False if it is gone."""
        import psycopg2

        deadline = time.monotonic() + START_SECONDS
        folder = place.socket_folder(self.data)
        while True:
            try:
                connection = psycopg2.connect(socket_url(folder), connect_timeout=10)
                let_roles_log_in(connection)
                return True
            except psycopg2.OperationalError:
                pass  # not ready yet, or the database has yet to be made
            try:
                connection = psycopg2.connect(socket_url(folder, "postgres"), connect_timeout=10)
            except psycopg2.OperationalError as error:
                if not self._listening() and not self._processes():
                    return False
                if time.monotonic() > deadline:
                    complaint = _last_complaint(str(error))
                    raise PostgresNotStartedError(
                        f"the embedded Postgres does not answer: {complaint}; see {self.log}"
                    ) from None
                time.sleep(0.05)
                continue
            try:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("select from pg_database where datname = %s", (DATABASE,))
                    if cursor.fetchone() is None:
                        cursor.execute(f'create database "{DATABASE}"')
            finally:
                connection.close()


@dataclass
class _Use:
    server: EmbeddedPostgres
    lock: int
    count: int = 0


_uses: dict[Path, _Use] = {}  # of this process, by folder
_guard = threading.RLock()


@atexit.register
def release_all() -> None:
    """Give up every server that this process uses; a command that ends without Python's exit must call it."""
    with _guard:
        for use in list(_uses.values()):
            with contextlib.suppress(
                Exception
            ):  # an exit must not end in a traceback; the next command stops it
                use.server._leave()


def _forget_in_child() -> None:
    """A forked child has no part in its parent's use; closing its copies leaves the parent's locks alone."""
    global _guard
    _guard = threading.RLock()
    for use in _uses.values():
        os.close(use.lock)
    _uses.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _forget_libpq_environment() -> None:
    """Drop PGHOSTADDR, PGSERVICE, PGOPTIONS and the like: they are about another server than ours."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise PostgresNotStartedError(
            f"{path} belongs to another account ({_owner_name(path)}); "
            "run as that account, or use a SAMEGOAL_HOME of your own"
        ) from None


def _owner_name(path: Path) -> str | None:
    try:
        return path.owner()
    except (OSError, KeyError):
        return None


def _last_complaint(text: str) -> str:
    """The line of a Postgres program's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for mark in ("FATAL:", "PANIC:", "error:", "could not", ""):
        for line in reversed(lines):
            if mark in line:
                return line.partition(mark)[2].strip() if mark.endswith(":") else line
    return "no message"

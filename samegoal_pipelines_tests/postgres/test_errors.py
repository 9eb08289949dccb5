"""Why a connection failed. Only a server that does not answer is worth another try."""

import re
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest

from samegoal_pipelines.errors import Kind
from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.postgres.errors import WarehouseError, WarehouseUnavailableError, from_database
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.warehouse import engine

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
REFUSALS = [
    ("28P01", 'password authentication failed for user "sam"', "refused the login; check the user and pass"),
    ("3D000", 'database "warehouse" does not exist', "the database does not exist; create it with: createdb"),
    ("28000", 'role "sam" does not exist', "does not let this user log in; create the user"),
    ("28000", 'role "sam" is not permitted to log in', "does not let this user log in"),
    ("42501", 'permission denied for database "warehouse"', "may not connect to this database; grant it"),
    ("53300", "sorry, too many clients already", "no connection left; raise max_connections"),
    ("53300", 'too many connections for role "sam"', "no connection left"),
    ("28000", 'no pg_hba.conf entry for host "::1", user "sam"', "pg_hba.conf of Postgres allows .*; add"),
    ("08P01", "unsupported startup parameter: options", "a connection pooler .* name Postgres itself"),
    ("08P01", "unsupported startup parameter in options: search_path", "a connection pooler"),
    ("28P01", "Passwort-Authentifizierung für »sam« fehlgeschlagen", "not in English; see the server's log"),
    ("28P01", "база данных не существует", "not in English"),
]


@contextmanager
def refusing_server(state: str, message: str, severity: str = "FATAL") -> Iterator[str]:
    """Serve on this machine; refuse each login with this SQLSTATE and message. Yields the URL."""
    fields = (("S", severity), ("V", "FATAL"), ("C", state), ("M", message))
    body = b"".join(f"{kind}{text}\0".encode() for kind, text in fields) + b"\0"

    class Refusing(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(8):
                length, code = struct.unpack("!II", head)
                self.rfile.read(length - 8)
                if code not in (SSL_REQUEST, GSS_REQUEST):
                    self.wfile.write(b"E" + struct.pack("!I", len(body) + 4) + body)
                    return
                self.wfile.write(b"N")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"postgresql://sam:hidden@127.0.0.1:{server.server_address[1]}/warehouse"
        server.shutdown()


def refusal(url: str) -> WarehouseError:
    """The error with which a connection to `url` is refused. It quotes no user and no password."""
    with pytest.raises(WarehouseError, match="preparing the schema dagster: ") as caught:
        prepare_dagster_storage(url)
    assert "sam" not in str(caught.value).lower().replace("samegoal", "")
    return caught.value


@pytest.mark.parametrize(("state", "message", "said"), REFUSALS)
def test_a_refused_connection_says_what_to_correct_and_is_not_tried_again(
    state: str, message: str, said: str
) -> None:
    with refusing_server(state, message, "ВАЖНО" if "данных" in message else "FATAL") as url:
        error = refusal(url)
        with pytest.raises(WarehouseError, match=said):
            engine.migrate(engine.connect(url))
    assert re.search(said, str(error))
    assert (error.kind, error.transient) == (Kind.DATABASE_SETTING, False)


@pytest.mark.parametrize(
    ("state", "said", "transient"),
    [
        ("53100", "the disk of the Postgres server is full; free space", False),
        ("53200", "ran out of memory; run again", True),
        ("53300", "no connection left; raise max_connections", False),
        ("53400", "a limit in Postgres's configuration", False),
        ("53000", "ran out of a resource", True),
    ],
)
def test_only_a_shortage_that_passes_is_worth_another_try(
    database_url: str, state: str, said: str, transient: bool
) -> None:
    raised = f"do $$ begin raise exception 'x' using errcode = '{state}'; end $$"
    with pytest.raises(WarehouseError) as caught:
        with engine.as_writer(engine.connect(database_url), "grand-bend", "publishing") as connection:
            connection.exec_driver_sql(raised)
    assert said in str(caught.value).replace(f" (SQLSTATE {state})", "")
    assert caught.value.transient is transient


@pytest.mark.parametrize("parameter", ["sslmode=require", "sslmode=verify-full&sslrootcert=/nowhere.pem"])
def test_a_server_without_encryption_is_told_apart(parameter: str) -> None:
    with refusing_server("28000", "not reached") as url:
        error = refusal(f"{url}?{parameter}")
    assert "do not agree on encryption; check sslmode" in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"user": "nobody-here"}, "let this user log in"),
        ({"dbname": "not-there"}, "the database does not exist"),
        ({"host": "no-such-host.invalid"}, "SAMEGOAL_DATABASE_URL does not exist"),
    ],
)
def test_the_real_refusals_are_understood(
    postgres: EmbeddedPostgres, parts: dict[str, str], said: str
) -> None:
    error = refusal(DatabaseURL.parse(postgres.url).with_parts(**parts).libpq)
    assert said in str(error)
    assert not error.transient


def test_a_server_that_is_silent_not_ready_or_lost_in_the_middle_is_worth_another_try() -> None:
    errors = []
    for state in ("starting up", "shutting down"):
        with refusing_server("57P03", f"the database system is {state}") as url:
            errors.append(refusal(url))
    errors += [refusal(silent) for silent in (url, "postgresql://sam@/warehouse?host=/nowhere")]
    for text in ("server closed the connection unexpectedly", "SSL SYSCALL error: EOF detected"):
        errors.append(from_database(psycopg2.OperationalError(text), "publishing"))
    for error in errors:
        assert isinstance(error, WarehouseUnavailableError)
        assert "no connection to Postgres; check that the server is up" in str(error)


def test_with_several_servers_the_one_that_refuses_counts_more_than_the_one_that_is_down() -> None:
    with refusing_server("28P01", 'password authentication failed for user "sam"') as url:
        port = DatabaseURL.parse(url).parts["port"]
        error = refusal(f"postgresql://sam@127.0.0.1:1,127.0.0.1:{port}/warehouse")
    assert "refused the login" in str(error)


def test_a_standby_is_told_apart(database_url: str) -> None:
    url = DatabaseURL.parse(database_url).with_settings(default_transaction_read_only="on").libpq
    with pytest.raises(
        WarehouseError, match=r"read-only.* name the primary.* target_session_attrs"
    ) as caught:
        with engine.as_writer(engine.connect(url), "grand-bend", "publishing") as connection:
            connection.exec_driver_sql("create table samegoal.anything (id int)")
    assert not caught.value.transient


def test_a_pooler_that_ignores_our_settings_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer with `ignore_startup_parameters = options`: Dagster's tables would land in another schema."""
    ignoring = psycopg2.connect
    url = DatabaseURL.parse(database_url)

    def connect(dsn: str = "", **arguments: object) -> object:
        arguments.pop("options", None)
        return ignoring(dsn.partition("&options=")[0], **arguments)

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(WarehouseError, match="a connection pooler"):
        prepare_dagster_storage(url.libpq)
    with pytest.raises(WarehouseError, match="a connection pooler"):
        engine.migrate(engine.connect(url.libpq))

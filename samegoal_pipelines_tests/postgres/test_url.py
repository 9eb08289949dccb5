"""One database URL means the same to psql, SQLAlchemy and Dagster, or is refused by name."""

import io
import subprocess

import psycopg2
import pytest
import sqlalchemy as sa
from dagster_postgres.storage import DagsterPostgresStorage

from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.postgres.errors import WarehouseError
from samegoal_pipelines.postgres.server import EmbeddedPostgres, installed_programs
from samegoal_pipelines.postgres.url import DatabaseURL
from samegoal_pipelines.warehouse import engine
from samegoal_pipelines.warehouse.engine import role_url
from samegoal_pipelines_tests.conftest import _admin
from samegoal_pipelines_tests.databases import with_database

LOGIN = {"user": "sam", "dbname": "db"}
PARTS: dict[str, dict[str, str]] = {
    "postgresql:///db?host=/var/run/postgresql": {"host": "/var/run/postgresql", "dbname": "db"},
    "postgresql://%2Fvar%2Frun%2Fpostgresql/db": {"host": "/var/run/postgresql", "dbname": "db"},
    "postgres://sam:p%40ss@h1:54,h2:55/db": LOGIN | {"host": "h1,h2", "port": "54,55", "password": "p@ss"},
    "postgresql://h1,h2/db?target_session_attrs=read-write&port=77": {
        **{"host": "h1,h2", "port": "77,77", "dbname": "db", "target_session_attrs": "read-write"}
    },
    "postgresql://h1,h2:77/db": {"host": "h1,h2", "port": ",77", "dbname": "db"},
    "postgresql+psycopg2://sam:a#b%25c%2F%3A@h/db": LOGIN | {"host": "h", "password": "a#b%c/:"},
    "postgresql+psycopg://sam@[::1]:77/db?options=-cfoo%3Dbar": LOGIN
    | {"host": "::1", "port": "77", "options": "-cfoo=bar"},
    "postgresql:///db": {"dbname": "db"},
    "postgresql://h/d%20%C3%A9%2F%25b": {"host": "h", "dbname": "d é/%b"},
    "postgresql://": {},
}


@pytest.mark.parametrize("url", PARTS)
def test_a_url_is_read_as_libpq_reads_it_and_every_form_connects_with_the_same_parts(url: str) -> None:
    parsed = DatabaseURL.parse(url)
    assert parsed.parts == PARTS[url]
    expected = {**parsed.parts, "client_encoding": "utf8"}
    assert psycopg2.extensions.parse_dsn(parsed.libpq) == expected

    url_of_sqlalchemy = sa.make_url(parsed.sqlalchemy)
    _, arguments = url_of_sqlalchemy.get_dialect()().create_connect_args(url_of_sqlalchemy)
    assert {name: str(value) for name, value in arguments.items()} == expected


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("mysql://db/warehouse", "not a Postgres URL"),
        ("warehouse", "not a Postgres URL"),
        ("sqlite:///warehouse.db", "not a Postgres URL"),
        ("postgresql://sam:hidden%zz@h/db", "% without a %-code"),
        ("postgresql://sam:hid@den@h/db", "an @ in its user or password"),
        ("postgresql://sam:hid/den@h/db", "port .* is not a number"),
        ("postgresql://h1:5432,h2:5433,h3/db?port=1,2", "different numbers of hosts and ports"),
        ("postgresql://h/db?hidden=1", "a parameter after the [?] that libpq does not know"),
        ("postgresql://[::1/db", "cannot be read"),
    ],
)
def test_a_url_that_cannot_work_is_refused_by_what_is_wrong_with_it(url: str, named: str) -> None:
    with pytest.raises(WarehouseError, match=rf"the .*database URL.*{named}|{named}") as caught:
        DatabaseURL.parse(url)
    assert "SAMEGOAL_DATABASE_URL" in str(caught.value)
    assert "hid" not in str(caught.value)
    assert "den" not in str(caught.value)


def test_settings_are_added_to_those_of_the_url_and_no_representation_shows_the_password() -> None:
    url = DatabaseURL.parse("postgresql://sam:hidden@h/db?options=-cfoo%3Dbar")
    assert "hidden" not in repr(url)
    assert url.with_settings(search_path="a b").libpq.endswith(
        "options=-cfoo%3Dbar%20-csearch_path%3Da%5C%20b"
    )


@pytest.fixture
def awkward_url(database_url: str) -> str:
    """The socket as a list of hosts of which the first is not there, and a password full of syntax."""
    parts = DatabaseURL.parse(database_url).parts
    login = "postgres:%23%25%40%3A%2F%3F%26%C3%A9"
    return (
        f"postgresql+psycopg2://{login}@/{parts['dbname']}?host=/nowhere,{parts['host']}&port=5432,5432"
        "&options=-cstatement_timeout%3D4321"
    )


def test_psql_sqlalchemy_and_dagster_reach_the_same_database(awkward_url: str) -> None:
    question = "select current_database(), current_setting('statement_timeout')"
    expected = (DatabaseURL.parse(awkward_url).parts["dbname"], "4321ms")

    with engine.connect(awkward_url).connect() as connection:
        assert connection.execute(sa.text(question)).one() == expected
        assert connection.connection.driver_connection.info.password == "#%@:/?&é"  # type: ignore[union-attr]

    psql = subprocess.run(
        [installed_programs() / "psql", DatabaseURL.parse(awkward_url).libpq, "-XAtc", question],
        capture_output=True,
        text=True,
        check=True,
    )
    assert tuple(psql.stdout.strip().split("|")) == expected

    prepare_dagster_storage(awkward_url)
    storage = DagsterPostgresStorage(prepare_dagster_storage(awkward_url))  # as every later start does
    with storage.run_storage.connect() as connection:
        assert connection.execute(sa.text(question)).one() == expected
        assert connection.scalar(sa.text("show search_path")) == "dagster"


def test_every_session_sends_utf8_whatever_the_environment_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    reader = role_url(database_url, engine.Role.READER, as_login=False)
    for url in (database_url, reader, DatabaseURL.parse(prepare_dagster_storage(database_url)).libpq):
        with psycopg2.connect(url) as connection:
            assert connection.encoding == "UTF8"
    with engine.connect(database_url).connect() as connection:
        assert connection.scalar(sa.text("show client_encoding")) == "UTF8"
        raw = connection.connection.driver_connection
        with raw.cursor() as cursor:  # type: ignore[union-attr]
            cursor.execute("create temp table names (name text)")
            cursor.copy_expert("copy names from stdin", io.BytesIO("Nguyễn Núñez\n".encode()))
            cursor.execute("select octet_length(name), name from names")
            assert cursor.fetchone() == (16, "Nguyễn Núñez")


def test_a_database_that_is_not_utf8_is_refused_with_the_command_to_use(postgres: EmbeddedPostgres) -> None:
    latin1 = "encoding 'LATIN1' template template0 locale_provider libc locale 'C'"
    _admin(postgres, f"create database only_latin1 {latin1}")
    url = with_database(postgres.url, "only_latin1")
    try:
        for prepare in (prepare_dagster_storage, lambda url: engine.migrate(engine.connect(url))):
            with pytest.raises(
                WarehouseError, match=r"stores text as LATIN1.* createdb --encoding=UTF8 --template=template0"
            ):
                prepare(url)
    finally:
        _admin(postgres, "drop database only_latin1 with (force)")


@pytest.mark.parametrize(
    ("place", "hosts"),
    [
        *((local, []) for local in ("/samegoal", "sam@localhost/samegoal", "sam@127.0.0.1:5433/samegoal")),
        *((local, []) for local in ("/samegoal?host=/var/run/postgresql", "sam@[::1]/samegoal")),
        ("sam@db.example/samegoal", ["db.example"]),
        ("sam@db.example/samegoal?sslmode=require", ["db.example"]),
        ("sam@localhost,10.1.1.1/samegoal", ["10.1.1.1"]),
        ("sam@db.example/samegoal?sslmode=verify-full", []),
    ],
)
def test_a_remote_server_whose_certificate_is_not_checked_is_named(place, hosts):
    assert DatabaseURL.parse(f"postgresql://{place}").unverified_hosts == hosts

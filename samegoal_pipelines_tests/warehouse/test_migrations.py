"""The schema makes itself, on any database, however many ask for it at once."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.tables.catalog import VIEWS
from samegoal_pipelines.tables.warehouse import districts, metadata
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines.warehouse.errors import WarehouseError, WarehouseUnavailableError
from samegoal_pipelines.warehouse.snapshots import last_attempts
from samegoal_pipelines_tests.conftest import _admin
from samegoal_pipelines_tests.databases import with_database
from samegoal_pipelines_tests.warehouse.factories import publish_night, rows, snapshot, student
from samegoal_pipelines_tests.warehouse.role_fixtures import fill, login


def test_districts_hold_no_secret():
    assert not {"client_key", "client_secret", "encrypted_secret"} & set(districts.columns.keys())


def test_the_migrations_make_exactly_the_tables_that_the_program_expects(warehouse):
    """With their comments, which psql shows."""
    with warehouse.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == "samegoal",
                "version_table_schema": "samegoal",
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata) == []


TYPES = {"integer": "bigint", "text": "text", "code": "text", "date": "date", "flag": "boolean"}
"""What a declared type is called in Postgres' catalog."""
_COLUMNS = """
    select attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum)
    from pg_attribute where attrelid = cast(:relation as regclass) and attnum > 0 and not attisdropped
    order by attnum
"""


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_each_declared_column_as_declared(warehouse, view):
    comment = sa.inspect(warehouse).get_table_comment(view, "samegoal")["text"]
    assert comment == f"{VIEWS[view].description}; as of the last published snapshot"
    declared = VIEWS[view].columns
    types = {column.name: TYPES[column.type] for column in declared} | {"parents": "json"}
    assert rows(warehouse, _COLUMNS, relation=f"samegoal.{view}") == [
        (column.name, types[column.name], column.description) for column in declared
    ]


def test_several_programs_may_migrate_an_empty_database_at_once(empty_database_url):
    def migrate(_: int) -> list[tuple]:
        engine = warehouse_engine.connect(empty_database_url)
        warehouse_engine.migrate(engine)
        found = rows(engine, "select count(*) from samegoal.student_details")
        engine.dispose()
        return found

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(migrate, range(4))) == [[(0,)]] * 4


def test_a_migration_waits_for_another_program_and_for_no_reader(database_url, monkeypatch):
    """Whoever may log in can take and keep an advisory lock. Only a writer can lock the row."""
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    writer, program = (warehouse_engine.connect(database_url) for _ in range(2))
    reader, known = login(writer, Role.READER), warehouse_engine.revisions()[-1]
    with writer.begin() as connection:
        connection.execute(sa.text("update samegoal.alembic_version set version_num = '9999'"))
    with reader.connect() as reading:
        reading.execute(sa.text("select pg_advisory_lock(hashtextextended('migrate', 0))"))
        with pytest.raises(WarehouseError, match=r"version 9999, which .* not know; update the program"):
            warehouse_engine.migrate(program)
    with writer.begin() as connection:
        connection.exec_driver_sql(warehouse_engine.LOCK_ROW, ("migrate",))
        with pytest.raises(WarehouseUnavailableError, match="migrating the warehouse: Postgres gave up wait"):
            warehouse_engine.migrate(program)
        connection.execute(sa.text(f"update samegoal.alembic_version set version_num = '{known}'"))
    for engine in (reader, writer, program):
        engine.dispose()


def test_the_readers_limits_and_its_missing_right_to_temporary_tables_are_in_the_catalog(empty_database_url):
    warehouse = warehouse_engine.connect(empty_database_url)  # a copy of a database has not its rights
    warehouse_engine.migrate(warehouse)
    ((settings,),) = rows(warehouse, "select rolconfig from pg_roles where rolname = 'samegoal_reader'")
    timeouts = {"statement_timeout=60s", "idle_in_transaction_session_timeout=60s"}
    limits = {"temp_file_limit=1GB", "default_transaction_isolation=repeatable read"}
    assert timeouts | limits <= set(settings)
    fills_the_disk = "select rolname from pg_roles where rolname like 'samegoal%'"
    fills_the_disk += " and has_database_privilege(rolname, current_database(), 'TEMPORARY')"
    assert rows(warehouse, fills_the_disk) == [("samegoal_writer",)]
    warehouse.dispose()


def test_sessions_run_in_utc_and_say_who_they_are(warehouse):
    assert rows(warehouse, "show timezone") == [("UTC",)]
    assert rows(warehouse, "show application_name") == [("samegoal-pipelines",)]


# -- on a server that is not ours: by logins that are no superusers, and over rows that are there --


ROLES_MADE = [f"create role {role}" for role in Role]
TO_THE_LOGIN = "grant samegoal_owner, samegoal_writer, samegoal_operator to pipeline"
GRANTED = [*ROLES_MADE, TO_THE_LOGIN]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this module's own: roles belong to all databases of a server."""
    home = Path(tempfile.mkdtemp(prefix="samegoal-home-"))
    with EmbeddedPostgres(home, {"fsync": "off"}) as server:
        yield server
    shutil.rmtree(home, ignore_errors=True)


Customer = Callable[..., sa.Engine]


@pytest.fixture
def customer(server: EmbeddedPostgres) -> Iterator[Customer]:
    """A customer's database `warehouse`, whose login `pipeline` has what the administrator gave it."""

    def administrate(*statements: str) -> None:
        for statement in statements:
            _admin(server, statement)

    def prepare(login: str, *given: str) -> sa.Engine:
        made = "create database warehouse", "grant create on database warehouse to pipeline"
        administrate(f"create role pipeline {login}", *given, *made)
        url = with_database(server.url, "warehouse").replace("//postgres@", "//pipeline@")
        return warehouse_engine.connect(url)

    forget = (
        "drop database if exists warehouse with (force)",
        *(f"drop role if exists {role}" for role in ("pipeline", *Role)),
    )
    administrate(*forget)  # the embedded server has made them, to let people log in
    yield prepare
    administrate(*forget)


LOGINS = {
    "may make roles": ["login createrole"],
    "may make roles and inherits nothing": ["login createrole noinherit"],
    "finds the roles made": ["login", *GRANTED],
    "finds the roles made and inherits nothing": ["login noinherit", *GRANTED],
    "may take the roles on": ["login", *ROLES_MADE, f"{TO_THE_LOGIN} with inherit false, set true"],
    "may make roles but found them made": ["login createrole", *GRANTED],
}


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login_that_is_no_superuser_migrates_and_publishes(customer, kind):
    warehouse = customer(*LOGINS[kind])
    warehouse_engine.migrate(warehouse)
    warehouse_engine.migrate(warehouse)  # looked up as whoever the login is by now
    for district in ("grand-bend", "riverside"):
        publish_night(warehouse, 0, snapshot(student(1), student(2)), district_id=district)
        assert publish_night(warehouse, 1, snapshot(student(1)), district_id=district).removed == 1
        assert len(last_attempts(warehouse, district)) == 2
    assert seen_by(warehouse, Role.OPERATOR) == [("grand-bend", 1), ("riverside", 1)]
    if len(LOGINS[kind]) == 1:  # whoever makes the roles may take on the reader as well
        assert seen_by(warehouse, Role.READER) == []


def seen_by(warehouse: sa.Engine, role: Role) -> list[tuple]:
    """What the role's URL shows of all districts."""
    url = role_url(warehouse.url.render_as_string(hide_password=False), role, as_login=False)
    engine = sa.create_engine(warehouse_engine.connect(url).url, poolclass=sa.NullPool)
    return sorted(rows(engine, "select district_id, student_id from samegoal.student_status"))


LATER_STEP = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9998", "{warehouse_engine.revisions()[-1]}", None, None


def upgrade() -> None:
    added = sa.Column("added_later", sa.Text, comment="Added later")
    op.add_column("student_demographics_history", added, schema="samegoal")
    op.create_table("later", sa.Column("district_id", sa.Text), schema="samegoal")
"""


@pytest.fixture
def later_version(tmp_path: Path) -> Path:
    """The migrations of a version after this one."""
    folder = tmp_path / "100% migrations"
    shutil.copytree(warehouse_engine.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9998_later.py").write_text(LATER_STEP)
    return folder


def test_a_new_database_has_the_declared_tables_and_skips_the_later_steps(
    customer, monkeypatch, later_version
):
    warehouse = customer("login createrole")
    monkeypatch.setattr(warehouse_engine, "MIGRATIONS", later_version)
    warehouse_engine.migrate(warehouse)
    assert rows(warehouse, "select to_regclass('samegoal.later')") == [(None,)]
    assert publish_night(warehouse, 0, snapshot(student(1))).students == 1


@pytest.mark.parametrize("given", [[], ROLES_MADE, [*ROLES_MADE, "grant samegoal_writer to pipeline"]])
def test_a_login_without_the_roles_is_told_what_an_administrator_has_to_do(customer, given):
    warehouse = customer("login", *given)
    with pytest.raises(WarehouseError) as caught:
        warehouse_engine.migrate(warehouse)
    assert str(caught.value) == (
        "migrating the warehouse: the login in SAMEGOAL_DATABASE_URL may not create the schema samegoal, or "
        "may neither create nor assume the roles samegoal_owner, samegoal_writer, samegoal_operator, "
        "samegoal_reader; let an administrator create the roles, grant them to the login, and let it create "
        "schemas in the database; then run again"
    )
    assert rows(warehouse, "select to_regnamespace('samegoal')") == [(None,)]


def test_publishing_needs_no_right_that_everybody_has_by_default(customer):
    """Careful administrators take `temporary` and `public` from everybody."""
    warehouse = customer("login createrole")
    owner = "alter database warehouse owner to pipeline; revoke all on database warehouse from public"
    administrator = warehouse.url.set(username="postgres")
    with sa.create_engine(administrator).begin() as connection:
        for statement in (*owner.split("; "), "revoke all on schema public from public"):
            connection.execute(sa.text(statement))
    warehouse_engine.migrate(warehouse)
    assert publish_night(warehouse, 0, snapshot(student(1))).students == 1


@pytest.mark.parametrize(
    ("kind", "meanwhile"),
    [
        ("may make roles", False),
        ("finds the roles made and inherits nothing", False),
        ("finds the roles made and inherits nothing", True),
    ],
)
def test_rows_outlive_a_migration_and_what_it_makes_is_the_owners_and_guarded(
    customer, monkeypatch, later_version, tmp_path, kind, meanwhile
):
    """Also if an older program created the tables while this one waited to create them."""
    warehouse = customer(*LOGINS[kind])
    warehouse_engine.migrate(warehouse)
    fill(warehouse, tmp_path)
    before = rows_by_table(warehouse)
    monkeypatch.setattr(warehouse_engine, "MIGRATIONS", later_version)
    if meanwhile:
        look, missing = warehouse_engine._version, [None, None]  # as seen before the wait
        monkeypatch.setattr(warehouse_engine, "_version", lambda c: missing.pop() if missing else look(c))
    warehouse_engine.migrate(warehouse)
    made = "select relowner::regrole::text, relforcerowsecurity from pg_class where relname = 'later'"
    assert rows(warehouse, made) == [("samegoal_owner", True)]
    after = rows_by_table(warehouse)
    assert all(row.pop("added_later") is None for row in after["student_demographics_history"])
    assert len(after.pop("locks")) == len(before.pop("locks")) + 1  # the one that the migration has taken
    assert after == before
    assert sum(map(bool, before.values())) > 12
    with warehouse_engine.as_writer(warehouse, "grand-bend", "looking") as connection:
        as_of = "select count(*) from samegoal.student_status_as_of('2026-09-01')"
        assert connection.scalar(sa.text(as_of)) == 2
    published = publish_night(warehouse, 2, snapshot(student(101)), started_at=datetime.now(UTC))
    assert (published.added, published.removed) == (0, 0)


def rows_by_table(warehouse: sa.Engine) -> dict[str, list[dict]]:
    """The rows of the district in every declared table."""
    with warehouse_engine.as_writer(warehouse, "grand-bend", "looking") as connection:
        return {
            table.name: list(connection.scalars(sa.text(f"select to_jsonb(t) from {table.fullname} t")))
            for table in metadata.sorted_tables
        }

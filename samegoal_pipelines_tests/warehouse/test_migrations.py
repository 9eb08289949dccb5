"""The schema makes itself, on any database, however many ask for it at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from samegoal_pipelines.tables.catalog import VIEW_COLUMNS
from samegoal_pipelines.tables.warehouse import metadata
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.errors import WarehouseError, WarehouseUnavailableError
from samegoal_pipelines.warehouse.roles import Role
from samegoal_pipelines_tests.warehouse.role_fixtures import login

_INTERFACE = {
    "student_status": """
        district_id student_id student_number status reason enrollment_id first_day last_day
        withdrawal_code school_year_id entity_id building building_reporting_id snapshot_date
    """,
    "student_demographics": """
        district_id student_id student_number student_reporting_id first_name middle_name
        last_name suffix legal_first_name legal_middle_name legal_last_name birth_date gender
        grade race is_hispanic is_white is_black is_asian is_native_american is_pacific_islander
        home_language street city state zip county phone email building building_reporting_id
        snapshot_date
    """,
    "parent_demographics": """
        district_id student_id student_number parent_id relationship rank first_name middle_name
        last_name suffix is_custodial is_emergency_contact has_restricted_access home_language
        street city state zip home_phone cell_phone work_phone email snapshot_date
    """,
    "snapshots": """
        district_id snapshot_date state students enrolled pre_enrolled graduated inactive added
        changed removed held_reason run_id started_at published_at
    """,
    "student_changes": """
        district_id snapshot_date student_id student_number change old_status new_status
        changed_columns previous_number
    """,
}
INTERFACE = {name: columns.split() for name, columns in _INTERFACE.items()}
"""Which columns the outside relies on."""


def columns(engine: sa.Engine, table: str) -> list[str]:
    return [column["name"] for column in sa.inspect(engine).get_columns(table, schema="samegoal")]


@pytest.mark.parametrize("view", ["student_status", "student_demographics", "parent_demographics"])
def test_views_have_exactly_the_columns_that_the_outside_relies_on(warehouse, view):
    expected = INTERFACE[view]
    assert columns(warehouse, view) == expected
    history = columns(warehouse, f"{view}_history")
    assert history == [*expected, "valid_from", "valid_to", "row_hash"]


@pytest.mark.parametrize("table", ["snapshots", "student_changes"])
def test_tables_begin_with_the_columns_that_the_outside_relies_on(warehouse, table):
    expected = INTERFACE[table]
    assert columns(warehouse, table)[: len(expected)] == expected


def test_student_details_has_every_column_of_status_and_demographics_once(warehouse):
    expected = {*INTERFACE["student_status"], *INTERFACE["student_demographics"], "parents"}
    assert sorted(columns(warehouse, "student_details")) == sorted(expected)


def test_every_table_view_and_column_explains_itself(warehouse):
    """Shown by psql."""
    inspector = sa.inspect(warehouse)
    names = [*inspector.get_table_names("samegoal"), *inspector.get_view_names("samegoal")]
    for name in set(names) - {"alembic_version"}:
        assert inspector.get_table_comment(name, "samegoal")["text"], name
        for column in inspector.get_columns(name, "samegoal"):
            assert column["comment"], f"{name}.{column['name']}"


def test_districts_hold_no_secret(warehouse):
    assert not {"client_key", "client_secret", "encrypted_secret"} & set(columns(warehouse, "districts"))


def test_the_migrations_make_exactly_the_tables_that_the_program_expects(warehouse):
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
    select attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)
    from pg_attribute where attrelid = cast(:relation as regclass) and attnum > 0 and not attisdropped
    order by attnum
"""


def catalog(engine: sa.Engine, relation: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(_COLUMNS), {"relation": relation})]


@pytest.mark.parametrize("view", VIEW_COLUMNS)
def test_a_view_has_each_declared_column_as_declared(warehouse, view):
    declared = VIEW_COLUMNS[view]
    types = {column.name: TYPES[column.type] for column in declared} | {"parents": "json"}
    assert [(name, kind, comment) for name, kind, _, comment in catalog(warehouse, f"samegoal.{view}")] == [
        (column.name, types[column.name], column.description) for column in declared
    ]


def test_several_programs_may_migrate_an_empty_database_at_once(empty_database_url):
    def migrate(_: int) -> list[str]:
        engine = warehouse_engine.connect(empty_database_url)
        warehouse_engine.migrate(engine)
        found = columns(engine, "snapshots")
        engine.dispose()
        return found

    with ThreadPoolExecutor(4) as threads:
        assert all(found[0] == "district_id" for found in threads.map(migrate, range(4)))


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
        with pytest.raises(
            WarehouseUnavailableError, match="migrating the warehouse: Postgres gave up waiting"
        ):
            warehouse_engine.migrate(program)
        connection.execute(sa.text(f"update samegoal.alembic_version set version_num = '{known}'"))
    for engine in (reader, writer, program):
        engine.dispose()


def test_the_readers_limits_and_its_missing_right_to_temporary_tables_are_in_the_catalog(empty_database_url):
    warehouse = warehouse_engine.connect(empty_database_url)  # a copy of a database has not its rights
    warehouse_engine.migrate(warehouse)
    with warehouse.connect() as connection:
        settings = connection.scalar(
            sa.text("select rolconfig from pg_roles where rolname = 'samegoal_reader'")
        )
        may_fill_the_disk = {
            role: connection.scalar(
                sa.text("select has_database_privilege(:role, current_database(), 'TEMPORARY')"),
                {"role": role},
            )
            for role in ("samegoal_reader", "samegoal_operator", "samegoal_writer")
        }
    assert {
        "statement_timeout=60s",
        "idle_in_transaction_session_timeout=60s",
        "temp_file_limit=1GB",
        "default_transaction_isolation=repeatable read",
    } <= set(settings)
    assert may_fill_the_disk == {
        "samegoal_reader": False,
        "samegoal_operator": False,
        "samegoal_writer": True,
    }
    warehouse.dispose()


def test_sessions_run_in_utc_and_say_who_they_are(warehouse):
    with warehouse.connect() as connection:
        assert connection.scalar(sa.text("show timezone")) == "UTC"
        assert connection.scalar(sa.text("show application_name")) == "samegoal-pipelines"


def test_a_database_that_cannot_be_reached_is_said_in_plain_words():
    engine = warehouse_engine.connect("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(WarehouseUnavailableError, match="no connection to Postgres"):
        warehouse_engine.migrate(engine)

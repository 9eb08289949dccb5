"""Two districts side by side, and whoever acts as one of the roles: for the tests of isolation.

What there is to guard is asked of Postgres' catalogue, so that a table made next year is in these tests.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from samegoal_pipelines.districts.cipher import SecretCipher
from samegoal_pipelines.districts.registry import Registry
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, role_url
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    VIEWS,
    fail_night,
    publish_night,
    rows,
    snapshot,
    student,
)

OURS, THEIRS = "grand-bend", "riverside"
WITHOUT_DISTRICTS = {"alembic_version", "alerts_sent", "locks"}
PIPELINE_ONLY = {"district_credentials", "student_erasures"}
FOR_READERS = {*VIEWS, "student_changes", "departures", "snapshots"}
NO_RIGHT = "42501"

Act = Callable[..., AbstractContextManager[sa.Connection]]


@pytest.fixture(scope="module")
def two_districts(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A warehouse with two districts, each of which has rows in every table; tests change none of them."""
    engine = warehouse_engine.connect(module_database_url)
    fill(engine, tmp_path_factory.mktemp("home"))
    yield engine
    engine.dispose()


def fill(warehouse: sa.Engine, home: Path) -> None:
    registry = Registry(warehouse, SecretCipher(home, None))
    for number, district in enumerate((OURS, THEIRS), start=1):
        registry.add(
            id=district,
            name=district,
            base_url=f"https://{district}.example.org/api",
            client_key="key",
            client_secret=f"secret of {district}",
        )
        ana, ben = (
            student(100 * number + n, last_name=f"of {district}", parents={n: {"email": f"{district}@x"}})
            for n in (1, 2)
        )
        publish_night(warehouse, 0, snapshot(ana, ben), district_id=district)
        publish_night(warehouse, 1, snapshot({**ana, "grade": "04"}), district_id=district)
        fail_night(warehouse, 2, "maintenance", district_id=district, run_id=f"failed in {district}")
        with warehouse_engine.as_writer(warehouse, district, "writing the ledgers") as connection:
            for statement in _LEDGERS:
                connection.execute(
                    sa.text(statement), {"district": district, "night": NIGHT, "number": number}
                )


_LEDGERS = (
    "insert into samegoal.departures (district_id, snapshot_date, student_id, last_status, why)"
    " values (:district, :night, 9, 'ENROLLED', 'CECS only')",
    "insert into samegoal.releases (district_id, held_snapshot_id, published_snapshot_id, snapshot_date,"
    " released_by, reason) values (:district, :number, :number, :night, 'Pat', 'as planned')",
    "insert into samegoal.pauses (district_id, paused_from, paused_to, set_by)"
    " values (:district, :night, :night, 'Pat')",
    "insert into samegoal.registrar_worklist (district_id, snapshot_date, student_id, problem, detail, fix,"
    " line) values (:district, :night, 9, 'tie', 'from 2026-08-12', 'Entry/Withdrawal', 1)",
    "insert into samegoal.erasures (district_id, erased_by, rows_erased) values (:district, 'Pat', '{}')",
    "insert into samegoal.student_erasures (district_id, key, student_hash, number_hash, erased_by)"
    " values (:district, '1', '2', '3', 'Pat')",
    "insert into samegoal.disclosures (district_id, disclosed_by, what) values (:district, 'Pat', 'export')",
)


@pytest.fixture(params=["logged in as the role", "having taken the role on"])
def act(request: pytest.FixtureRequest, two_districts: sa.Engine) -> Act:
    """Act as a role in one transaction that is rolled back; the district that it names is up to the test."""

    @contextmanager
    def acting(
        role: Role, named: str | None = None, warehouse: sa.Engine = two_districts
    ) -> Iterator[sa.Connection]:
        by_login = "logged in" in request.param
        engine = login(warehouse, role) if by_login else warehouse
        with engine.connect() as connection:
            if not by_login:
                connection.execute(sa.text(f"set local role {role}"))
            if named is not None:
                name_district(connection, named)
            yield connection
        if by_login:
            engine.dispose()

    return acting


def login(engine: sa.Engine, role: Role, **options: Any) -> sa.Engine:
    """An engine that logs in as the role itself, and keeps its one session."""
    url = engine.url.render_as_string(hide_password=False)
    return sa.create_engine(
        warehouse_engine.connect(role_url(url, role, as_login=True)).url,
        pool_size=1,
        max_overflow=0,
        **options,
    )


def name_district(connection: sa.Connection, named: str) -> None:
    connection.execute(sa.text("select set_config('samegoal.district_id', :named, true)"), {"named": named})


def relations(engine: sa.Engine, kinds: str = "rvmfp", where: str = "true") -> list[str]:
    """Tables and views of the schema."""
    query = "select relname from pg_class where relnamespace = 'samegoal'::regnamespace"
    query += f" and relkind::text = any (:kinds) and ({where}) order by 1"
    return [name for (name,) in rows(engine, query, kinds=list(kinds))]


def guarded(engine: sa.Engine, kinds: str = "r") -> list[str]:
    """Those that have rows of districts."""
    names = rows(
        engine, "select table_name from information_schema.columns where column_name = 'district_id'"
    )
    return [name for name in relations(engine, kinds) if (name,) in names]


def sources(engine: sa.Engine) -> dict[str, str]:
    """Whatever rows can be read from, as it stands in a from clause; the functions as of the last night."""
    functions = rows(
        engine,
        "select proname, pg_get_function_identity_arguments(oid) from pg_proc"
        " where pronamespace = 'samegoal'::regnamespace and proretset",
    )
    assert {arguments for _, arguments in functions} == {"night date"}, "teach this test to call the others"
    return {name: f"samegoal.{name}" for name in relations(engine)} | {
        name: f"samegoal.{name}('{NIGHT + timedelta(days=1)}')" for name, _ in functions
    }


def districts_in(connection: sa.Connection, source: str) -> set[str] | None:
    """Whose rows a source shows; None where it may not be read at all."""
    query = f"select to_jsonb(r) ->> 'district_id' from {source} as r"
    return None if is_refused(connection, query) else {*connection.scalars(sa.text(query))}


def is_refused(connection: sa.Connection, statement: str, **parameters: Any) -> bool:
    """Whether Postgres says that a right is missing, or that a row breaks the rule of districts."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(sa.text(statement), parameters)
    except DBAPIError as error:
        savepoint.rollback()
        if getattr(error.orig, "pgcode", None) != NO_RIGHT:
            raise
        return True
    savepoint.rollback()
    return False


def as_json(engine: sa.Engine, table: str, district: str) -> str:
    """Any row of the district."""
    query = f"select to_jsonb(t) from samegoal.{table} t where district_id = :district limit 1"
    return json.dumps(rows(engine, query, district=district)[0][0])


def insertion(engine: sa.Engine, table: str) -> str:
    """Insert a row that is given as JSON, with a new identity where the table gives one."""
    names = rows(
        engine,
        "select attname from pg_attribute where attrelid = cast(:table as regclass) and attnum > 0"
        " and not attisdropped and attgenerated = '' and attidentity = ''",
        table=f"samegoal.{table}",
    )
    columns = ", ".join(name for (name,) in names)
    return (
        f"insert into samegoal.{table} ({columns})"
        f" select {columns} from jsonb_populate_record(null::samegoal.{table}, cast(:row as jsonb))"
    )


def count(connection: sa.Connection, statement: str) -> int:
    """How many rows a statement touches."""
    return connection.execute(sa.text(statement)).rowcount

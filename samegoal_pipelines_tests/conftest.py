"""Fixtures for all tests: a real Postgres in a temporary folder, and a fresh warehouse for each test.

The server is one for the whole run, also of several pytest-xdist workers, and stops with the last of them.
"""

import fcntl
import gc
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from tenacity import retry, retry_if_exception_type, stop_after_delay

from samegoal_pipelines.postgres.databases import prepare_dagster_storage
from samegoal_pipelines.postgres.server import EmbeddedPostgres
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import let_roles_log_in
from samegoal_pipelines_tests.databases import with_database

SHARED_HOME = "SAMEGOAL_TEST_HOME"

# As in the Makefile: otherwise every process that a test starts compiles the whole package.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell's background jobs ignore Ctrl-C, and so would the programs that tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that no change fails for code that it has not touched. No time limits,
# because a busy machine would miss them. `--hypothesis-profile=default` looks for other examples.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that all workers of this run share. The environment names it."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED_HOME] = tempfile.mkdtemp(prefix="samegoal-tests-")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep imports out of garbage collection, which would take an eighth of all CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder. The last worker has stopped the server."""
    if not hasattr(config, "workerinput") and (home := os.environ.pop(SHARED_HOME, None)):
        EmbeddedPostgres(Path(home)).stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_dagster_instance_left() -> Iterator[None]:
    """Forget the instance that Dagster keeps in a context variable.

    Instances that close in another order than they were opened leave a dead one there, and the next test to
    load definitions would fail with "undefined DagsterInstance weakref".
    """
    yield
    if states := sys.modules.get("dagster._core.storage.defs_state.base"):
        states._current_storage.set(None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A real embedded Postgres for the session. It does not wait for the disk."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with EmbeddedPostgres(Path(os.environ[SHARED_HOME]), settings) as server:
        yield server


@pytest.fixture(scope="session")
def warehouse_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with an empty, migrated warehouse, to be copied by `database_url`."""
    return _template(postgres, "migrated_warehouse", "template1", _migrate)


@pytest.fixture(scope="session")
def deployment_template(postgres: EmbeddedPostgres, warehouse_template: str) -> str:
    """The name of a database that also has Dagster's tables. Making them takes longer than a short test."""
    return _template(postgres, "migrated_deployment", warehouse_template, _make_dagster_tables)


def _template(postgres: EmbeddedPostgres, name: str, source: str, prepare: Callable[[str], None]) -> str:
    """Make a database to copy from, once for all workers."""
    with (postgres.folder / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _admin(postgres, "select from pg_database where datname = %s", name):
            _admin(postgres, f"create database building_{name} template {source}")
            prepare(with_database(postgres.url, f"building_{name}"))
            _admin(postgres, f"alter database building_{name} rename to {name}")
    return name


def _migrate(url: str) -> None:
    engine = warehouse_engine.connect(url)
    warehouse_engine.migrate(engine)
    let_roles_log_in(engine)
    engine.dispose()


def _make_dagster_tables(url: str) -> None:
    from dagster_postgres.storage import DagsterPostgresStorage

    DagsterPostgresStorage(prepare_dagster_storage(url)).event_log_storage.dispose()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database of this test's own, with nothing in it."""
    yield from _database(postgres, "template1")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, warehouse_template: str) -> Iterator[str]:
    """The URL of a database of this test's own, with an empty warehouse."""
    yield from _database(postgres, warehouse_template)


@pytest.fixture(scope="module")
def module_database_url(postgres: EmbeddedPostgres, warehouse_template: str) -> Iterator[str]:
    """The same for a module whose tests leave the rows as they found them."""
    yield from _database(postgres, warehouse_template)


@pytest.fixture
def deployment_url(postgres: EmbeddedPostgres, deployment_template: str) -> Iterator[str]:
    """The URL of a database of this test's own, with an empty warehouse and an empty Dagster instance."""
    yield from _database(postgres, deployment_template)


@pytest.fixture
def warehouse(database_url: str) -> Iterator[sa.Engine]:
    """An engine on an empty warehouse of this test's own."""
    engine = warehouse_engine.connect(database_url)
    yield engine
    engine.dispose()


_SHAPE = """
select md5(string_agg(part, ';' order by part)) from (
    select concat(oid, nspname, nspacl) from pg_namespace where nspname !~ '^pg_(temp|toast)'
    union all
    select concat(oid, relname, relacl, relowner, reloptions, relrowsecurity, relforcerowsecurity)
    from pg_class where oid > 16384 and relkind <> 't'
    union all
    select concat(attrelid, attname, atttypid, attnotnull, attacl) from pg_attribute where attrelid > 16384
    union all
    select concat(oid, proname, prosrc, proacl) from pg_proc where oid > 16384
    union all
    select concat(oid, tgname, tgenabled) from pg_trigger
    union all
    select concat(oid, polname) from pg_policy
    union all
    select concat(oid, conname) from pg_constraint where oid > 16384
    union all
    select concat(oid, defaclacl) from pg_default_acl
    union all
    select concat(setrole, setconfig) from pg_db_role_setting
    where setdatabase = (select oid from pg_database where datname = current_database())
) as catalogs(part)
"""


_free: dict[str, list[str]] = defaultdict(list)
"""Template → its copies that no test uses now, emptied."""


def _database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A copy of a database. Emptying one that a test has used takes a tenth of making and dropping one."""
    if _free[template]:
        name = _free[template].pop()
    else:
        name = f"test_{uuid.uuid4().hex}"
        _admin(postgres, f"create database {name} template {template}")
    url = with_database(postgres.url, name)
    yield url
    _admin(postgres, "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", name)
    if _emptied(url, with_database(postgres.url, template)):
        _free[template].append(name)
    else:
        _admin(postgres, f"drop database {name} with (force)")


def _emptied(url: str, template: str) -> bool:
    """Empty the tables that are empty in the template. False if the database has another shape by now."""
    shape, kept = _shape_and_filled(template)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        shape_now, filled = _look_into(cursor)
        if shape_now != shape or not kept <= filled:
            return False
        if names := filled - kept:
            cursor.execute(f"truncate {', '.join(names)} restart identity cascade")
    return True


@cache
def _shape_and_filled(template: str) -> tuple[str, set[str]]:
    with closing(psycopg2.connect(template)) as connection:
        return _look_into(connection.cursor())


def _look_into(cursor: Any) -> tuple[str, set[str]]:
    """A digest of the catalog, without rows, and the tables with rows."""
    cursor.execute(_SHAPE)
    shape = str(cursor.fetchone()[0])
    cursor.execute("select oid::regclass::text from pg_class where relkind = 'r' and oid > 16384")
    filled = [f"select '{name}' where exists (select from {name})" for (name,) in cursor]
    cursor.execute(" union all ".join(filled) or "select where false")
    return shape, {name for (name,) in cursor}


@retry(retry=retry_if_exception_type(psycopg2.errors.ObjectInUse), stop=stop_after_delay(120), reraise=True)
def _admin(postgres: EmbeddedPostgres, statement: str, *parameters: object) -> bool:
    """Run a statement outside any transaction. Return whether it found a row.

    Postgres waits five seconds for sessions that have ended to leave a database; a busy machine takes longer.
    """
    with closing(psycopg2.connect(with_database(postgres.url, "postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return bool(cursor.rowcount > 0)

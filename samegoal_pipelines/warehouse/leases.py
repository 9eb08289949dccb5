"""Leases of runs: advisory locks of Postgres sessions, which end with the process or host that runs them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from samegoal_pipelines.postgres.errors import WarehouseError, from_database
from samegoal_pipelines.warehouse.engine import transaction

RENEW_EVERY = 3.0  # seconds
_PROBES = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "75000",
}
"""Postgres ends the session, and with it the lease, of a host that has not answered for 75 seconds."""


@contextmanager
def lease(engine: sa.Engine, run_id: str) -> Iterator[None]:
    """Hold the lease of a run. It is taken again if a restart of Postgres ends its session."""
    over = threading.Event()
    held = [_take(engine, run_id)]

    def renew() -> None:
        while not over.wait(RENEW_EVERY):
            with suppress(DBAPIError, psycopg2.Error, WarehouseError):
                if held[0].invalidated or held[0].closed:
                    held[0] = _take(engine, run_id)
                held[0].execute(sa.text("select 1"))

    thread = threading.Thread(target=renew, name=f"lease of {run_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        held[0].close()


def is_leased(engine: sa.Engine, run_id: str) -> bool:
    """Whether a process executes the run."""
    with transaction(engine, "looking for runs in progress") as connection:
        return not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_key(run_id))))


def _take(engine: sa.Engine, run_id: str) -> sa.Connection:
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # closed at the end, which ends the lease, and not reused
        probes = (sa.func.set_config(name, value, False) for name, value in _PROBES.items())
        connection.execute(sa.select(*probes, sa.func.pg_advisory_lock_shared(_key(run_id))))
    except (DBAPIError, psycopg2.Error) as error:
        raise from_database(error, "taking the lease of the run") from None
    return connection


def _key(run_id: str) -> sa.Function[int]:
    return sa.func.hashtextextended(run_id, 0)

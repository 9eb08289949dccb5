"""Leases of runs: advisory locks of Postgres sessions, which end with the processes that execute the runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from samegoal_pipelines.warehouse.engine import transaction


@contextmanager
def lease(engine: sa.Engine, run_id: str) -> Iterator[None]:
    """Hold the lease of a run."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # closed at the end, which ends the lease, and not reused
        connection.execute(sa.select(sa.func.pg_advisory_lock_shared(_key(run_id))))
        yield


def is_leased(engine: sa.Engine, run_id: str) -> bool:
    """Whether a process executes the run.

    Raises:
        WarehouseError: as `transaction` does.
    """
    with transaction(engine, "looking for runs in progress") as connection:
        return not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_key(run_id))))


def _key(run_id: str) -> sa.Function[int]:
    return sa.func.hashtextextended(run_id, 0)

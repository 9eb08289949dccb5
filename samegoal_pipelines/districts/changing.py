"""One change of the registry at a time, so that what was looked up still holds when it is written.

A secret is sealed, and the key file changed, under the same lock: no secret can be sealed with a key that is
being dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.warehouse.engine import as_writer


@contextmanager
def changing(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """A transaction as this district's writer, while no other change of the registry is under way."""
    with as_writer(engine, district_id, step) as connection:
        connection.execute(sa.text(f"lock table {districts.fullname} in share row exclusive mode"))
        yield connection

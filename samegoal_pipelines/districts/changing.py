"""Change the registry under one lock, so that what was read is still true when it is written.

Secrets are encrypted and the key file is changed under the same lock, so no secret can be encrypted with a
key that is being removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import districts
from samegoal_pipelines.warehouse.engine import as_writer


@contextmanager
def changing(engine: sa.Engine, district_id: str, step: str) -> Iterator[sa.Connection]:
    """A transaction as this district's writer, with no other change of the registry in progress."""
    with as_writer(engine, district_id, step) as connection:
        connection.execute(sa.text(f"lock table {districts.fullname} in share row exclusive mode"))
        yield connection

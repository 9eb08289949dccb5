"""The stored registrar's worklist: the current one of each district, always replaced as a whole."""

from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from samegoal_pipelines.errors import SYNC, Kind
from samegoal_pipelines.tables.warehouse import registrar_worklist
from samegoal_pipelines.tables.worklist import REGISTRAR_WORKLIST
from samegoal_pipelines.warehouse.engine import as_operator, as_writer, lock
from samegoal_pipelines.warehouse.errors import LateRunError
from samegoal_pipelines.warehouse.rows import typed
from samegoal_pipelines.warehouse.snapshots import find_first, of_district


def read_worklist(engine: sa.Engine, district_id: str) -> list[dict[str, Any]]:
    """The district's current list in its order."""
    c = registrar_worklist.c
    query = sa.select(*(c[name] for name in REGISTRAR_WORKLIST.names)).where(c.district_id == district_id)
    with as_operator(engine, "reading the registrar's worklist") as connection:
        return [dict(row) for row in connection.execute(query.order_by(c.line)).mappings()]


def publish_worklist(
    engine: sa.Engine,
    worklist: pd.DataFrame,
    *,
    district_id: str,
    snapshot_date: date,
    held_by: str | None = None,
) -> None:
    """Make this the district's list if it belongs to the published snapshot, or to one held since.

    A snapshot held for a later night, or held after this one, keeps its list.

    Args:
        held_by: the run that holds the snapshot. None: it is published.

    Raises:
        LateRunError: the list belongs to an older snapshot, or to none.
    """
    rows = typed(worklist, REGISTRAR_WORKLIST).to_pylist()
    whose = {"district_id": district_id, "snapshot_date": snapshot_date}
    lines = [whose | row | {"line": line} for line, row in enumerate(rows, 1)]
    with as_writer(engine, district_id, "writing the registrar's worklist") as connection:
        lock(connection, district_id)
        newest = find_first(connection, of_district(district_id, "published", "held"))
        holding = newest.run_id if newest and newest.held else None
        if newest is None or newest.snapshot_date != snapshot_date or holding != held_by:
            raise LateRunError(
                f"the night {snapshot_date} is not the newest that is published or held of the district, so "
                "the registrar's worklist stays as it is",
                kind=Kind.OUTDATED,
                next_step=f"run the whole night: {SYNC}",
            )
        connection.execute(
            sa.delete(registrar_worklist).where(registrar_worklist.c.district_id == district_id)
        )
        if lines:
            connection.execute(sa.insert(registrar_worklist), lines)

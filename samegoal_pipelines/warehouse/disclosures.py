"""Record who took data or a secret out of the warehouse with a command, and when."""

from datetime import date
from typing import Literal

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import disclosures
from samegoal_pipelines.warehouse.engine import as_writer


def record_disclosure(
    engine: sa.Engine,
    district_id: str,
    what: Literal["export", "client secret"],
    *,
    by: str,
    snapshot_date: date | None = None,
    students: int | None = None,
    parents: int | None = None,
) -> None:
    """Add one row. Call this before the data leaves, so that nothing is disclosed without a record."""
    with as_writer(engine, district_id, f"{district_id}: recording the disclosure") as connection:
        counts = {"snapshot_date": snapshot_date, "students": students, "parents": parents}
        row = {"district_id": district_id, "disclosed_by": by, "what": what} | counts
        connection.execute(sa.insert(disclosures).values(**row))

"""The registrar's worklist as a reader of the table finds it."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from samegoal_pipelines.tables.warehouse import registrar_worklist
from samegoal_pipelines.warehouse.engine import as_operator


@dataclass(frozen=True)
class WorklistItem:
    """One row of `registrar_worklist`."""

    district_id: str
    snapshot_date: date
    student_id: int | None
    student_number: str | None
    building: str | None
    building_reporting_id: str | None
    problem: str
    enrollment_id: int | None
    detail: str
    fix: str


def read_worklist(engine: sa.Engine, district_id: str, *, building: str | None = None) -> list[WorklistItem]:
    """The district's current list in its order, of all schools or of one."""
    columns = [registrar_worklist.c[name] for name in WorklistItem.__dataclass_fields__]
    query = sa.select(*columns).where(registrar_worklist.c.district_id == district_id)
    if building is not None:
        query = query.where(registrar_worklist.c.building == building)
    with as_operator(engine, "reading the registrar's worklist") as connection:
        found = connection.execute(query.order_by(registrar_worklist.c.line))
        return [WorklistItem(**row._mapping) for row in found]

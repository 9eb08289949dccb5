"""Small snapshots for the warehouse's tests: a few literal students, made into the frames of `publish`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from samegoal_pipelines.warehouse.publish import Published, publish
from samegoal_pipelines.warehouse.tables import PARENTS, STATUS, STUDENTS, History

NIGHT = date(2026, 9, 1)
STARTED = datetime(2026, 9, 1, 6, tzinfo=UTC)
TYPES = {sa.BigInteger: pa.int64(), sa.Text: pa.string(), sa.Date: pa.date32(), sa.Boolean: pa.bool_()}


@dataclass(frozen=True)
class FewStudents:
    """What `publish` takes."""

    status: pd.DataFrame
    students: pd.DataFrame
    parents: pd.DataFrame
    kept: frozenset[int] = frozenset()


def student(student_id: int, **facts: Any) -> dict[str, Any]:
    """One student's facts: columns of status and demographics, and `parents`: parent_id → columns."""
    return {"student_id": student_id, "student_number": f"{student_id:05}", "status": "ENROLLED", **facts}


def snapshot(*students: Mapping[str, Any], kept: frozenset[int] = frozenset()) -> FewStudents:
    """The frames of these students."""
    parents = [
        {
            "student_id": one["student_id"],
            "student_number": one["student_number"],
            "parent_id": parent_id,
            "last_name": "Tran",
            **facts,
        }
        for one in students
        for parent_id, facts in one.get("parents", {}).items()
    ]
    status = [{"reason": "current_enrollment", **one} for one in students]
    return FewStudents(frame(STATUS, status), frame(STUDENTS, students), frame(PARENTS, parents), kept)


def frame(history: History, rows: Any) -> pd.DataFrame:
    """The columns of a table, as Arrow-backed pandas; a fact that is not given is null."""
    columns = {
        name: pa.array([row.get(name) for row in rows], TYPES[type(history.table.c[name].type)])
        for name in history.columns
    }
    return pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)


def publish_night(
    engine: sa.Engine,
    night: int,
    what: FewStudents,
    *,
    district_id: str = "grand-bend",
    run_id: str | None = None,
) -> Published:
    """Publish as of so many days after the first night; each call is a run, begun after the last."""
    global _runs
    _runs += 1
    return publish(
        engine,
        district_id=district_id,
        snapshot_date=NIGHT + timedelta(days=night),
        snapshot=what,
        run_id=run_id or f"run-{_runs}",
        started_at=STARTED + timedelta(seconds=_runs),
    )


_runs = 0


def rows(engine: sa.Engine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, as plain tuples."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), parameters)]


def views(engine: sa.Engine, district_id: str = "grand-bend") -> dict[str, list[tuple[Any, ...]]]:
    """All that SameGoal can read of a district, in a fixed order."""
    return {
        view: rows(
            engine,
            f"select row_to_json(v)::text from samegoal.{view} as v where district_id = :district order by 1",
            district=district_id,
        )
        for view in ("student_status", "student_demographics", "parent_demographics", "student_details")
    }

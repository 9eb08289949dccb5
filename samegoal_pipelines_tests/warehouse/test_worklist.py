"""The registrar's worklist of each district: the current one, whole, and nobody else's."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from samegoal_pipelines.schemas.worklist import FIX, NEVER_CLOSED, TIE, RegistrarWorklist
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.erase import erase_rows
from samegoal_pipelines.warehouse.errors import UnfitSnapshot, WarehouseError
from samegoal_pipelines.warehouse.worklist import (
    NightNotPublished,
    WorklistItem,
    publish_worklist,
    read_worklist,
    replace_worklist,
)
from samegoal_pipelines_tests.transforms.builders import table
from samegoal_pipelines_tests.warehouse.snapshots_at_hand import NIGHT as FIRST_NIGHT
from samegoal_pipelines_tests.warehouse.snapshots_at_hand import publish_night, rows, snapshot, student

NIGHT = date(2026, 10, 12)


def item(
    student: int | None, enrollment: int | None, problem: str = NEVER_CLOSED, **more: Any
) -> dict[str, Any]:
    return {
        "student_id": student,
        "student_number": None if student is None else f"{student:05}",
        "problem": problem,
        "enrollment_id": enrollment,
        "detail": "from 2024-08-14",
        "fix": FIX[problem],
        **more,
    }


def worklist(*items: dict[str, Any]) -> pd.DataFrame:
    return table(RegistrarWorklist, items)


def replace(
    engine: sa.Engine, listed: pd.DataFrame, district_id: str = "grand-bend", night: date = NIGHT
) -> None:
    with as_writer(engine, district_id, "writing the registrar's worklist") as connection:
        replace_worklist(connection, listed, district_id=district_id, snapshot_date=night)


def test_what_was_written_is_read_in_its_order(warehouse: sa.Engine) -> None:
    strange = 'Dr. "King", Jr.\nAcademy'
    replace(
        warehouse,
        worklist(
            item(7, 3, building=strange, building_reporting_id="001"), item(None, None), item(1, 9, TIE)
        ),
    )
    first, second, third = read_worklist(warehouse, "grand-bend")
    assert first == WorklistItem(
        district_id="grand-bend",
        snapshot_date=NIGHT,
        student_id=7,
        student_number="00007",
        building=strange,
        building_reporting_id="001",
        problem=NEVER_CLOSED,
        enrollment_id=3,
        detail="from 2024-08-14",
        fix=FIX[NEVER_CLOSED],
    )
    assert (second.student_id, second.student_number, second.enrollment_id) == (None, None, None)
    assert third.problem == TIE


def test_tonights_list_takes_the_place_of_last_nights(warehouse: sa.Engine) -> None:
    replace(warehouse, worklist(item(1, 1), item(2, 2)))
    replace(warehouse, worklist(item(2, 2), item(3, 3)), night=date(2026, 10, 13))
    found = read_worklist(warehouse, "grand-bend")
    assert [(one.student_id, one.snapshot_date.day) for one in found] == [(2, 13), (3, 13)]


def test_a_night_without_problems_empties_the_list(warehouse: sa.Engine) -> None:
    replace(warehouse, worklist(item(1, 1)))
    replace(warehouse, worklist())
    assert read_worklist(warehouse, "grand-bend") == []


def test_another_district_keeps_its_list(warehouse: sa.Engine) -> None:
    replace(warehouse, worklist(item(1, 1)))
    replace(warehouse, worklist(item(2, 2)), district_id="riverside")
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_one_school_may_be_asked_for(warehouse: sa.Engine) -> None:
    replace(warehouse, worklist(item(1, 1, building="Austin"), item(2, 2, building="Zavala"), item(3, 3)))
    found = read_worklist(warehouse, "grand-bend", building="Zavala")
    assert [one.student_id for one in found] == [2]


def test_it_may_be_replaced_twice_in_one_transaction(warehouse: sa.Engine) -> None:
    with as_writer(warehouse, "grand-bend", "twice") as connection:
        for student in (1, 2):
            replace_worklist(
                connection, worklist(item(student, 1)), district_id="grand-bend", snapshot_date=NIGHT
            )
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [2]


def test_a_transaction_that_fails_leaves_last_nights_list(warehouse: sa.Engine) -> None:
    replace(warehouse, worklist(item(1, 1)))
    with suppress(RuntimeError), as_writer(warehouse, "grand-bend", "failing") as connection:
        replace_worklist(connection, worklist(item(2, 2)), district_id="grand-bend", snapshot_date=NIGHT)
        raise RuntimeError
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_the_same_problem_twice_is_refused_without_quoting_it(warehouse: sa.Engine) -> None:
    with pytest.raises(WarehouseError) as refused:
        replace(warehouse, worklist(item(None, None), item(None, None)))
    assert "2024" not in str(refused.value)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]


def test_a_frame_of_other_columns_or_types_is_refused_without_quoting_it(warehouse: sa.Engine) -> None:
    with pytest.raises(UnfitSnapshot, match="the columns must be student_id, student_number"):
        replace(warehouse, worklist(item(1, 1)).drop(columns="fix"))
    ids_as_text = worklist(item(1, 1)).assign(
        student_id=pd.arrays.ArrowExtensionArray(pa.array(["Ana"], pa.string()))
    )
    with pytest.raises(UnfitSnapshot, match=r"registrar_worklist.student_id: not all values") as refused:
        replace(warehouse, ids_as_text)
    assert "Ana" not in str(refused.value)


def test_a_writer_of_another_district_cannot_write_it(warehouse: sa.Engine) -> None:
    with pytest.raises(WarehouseError), as_writer(warehouse, "riverside", "writing") as connection:
        replace_worklist(connection, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=NIGHT)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]


def test_a_list_belongs_to_the_night_that_is_published(warehouse: sa.Engine) -> None:
    publish_night(warehouse, 0, snapshot(student(1)))
    publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert len(read_worklist(warehouse, "grand-bend")) == 1
    for night in (FIRST_NIGHT - timedelta(days=1), FIRST_NIGHT + timedelta(days=1)):
        with pytest.raises(NightNotPublished, match="run the whole night"):
            publish_worklist(warehouse, worklist(item(2, 2)), district_id="grand-bend", snapshot_date=night)
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_a_district_that_was_erased_meanwhile_gets_no_list(warehouse: sa.Engine) -> None:
    publish_night(warehouse, 0, snapshot(student(1)))
    publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert erase_rows(warehouse, "grand-bend", "Pat")["registrar_worklist"] == 1
    with pytest.raises(NightNotPublished):
        publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]

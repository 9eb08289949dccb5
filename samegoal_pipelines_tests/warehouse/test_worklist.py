"""The registrar's worklist of each district: the current one, whole, and nobody else's."""

from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.worklist import FIX, NEVER_CLOSED, REGISTRAR_WORKLIST, TIE
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.erase import erase_rows
from samegoal_pipelines.warehouse.errors import UnfitSnapshotError, WarehouseError
from samegoal_pipelines.warehouse.worklist import NotTheNewestError, publish_worklist, replace_worklist
from samegoal_pipelines_tests.transforms.builders import table
from samegoal_pipelines_tests.warehouse.factories import NIGHT as FIRST_NIGHT
from samegoal_pipelines_tests.warehouse.factories import (
    gate_of,
    hold_night,
    publish_night,
    rows,
    snapshot,
    student,
)
from samegoal_pipelines_tests.warehouse.worklist_factories import WorklistItem, read_worklist

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
    return table(REGISTRAR_WORKLIST, items)


def replace(
    engine: sa.Engine, listed: pd.DataFrame, district_id: str = "grand-bend", night: date = NIGHT
) -> None:
    with as_writer(engine, district_id, "writing the registrar's worklist") as connection:
        replace_worklist(connection, listed, district_id=district_id, snapshot_date=night)


def test_what_was_written_is_read_in_its_order(warehouse):
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


def test_tonights_list_takes_the_place_of_last_nights(warehouse):
    replace(warehouse, worklist(item(1, 1), item(2, 2)))
    replace(warehouse, worklist(item(2, 2), item(3, 3)), night=date(2026, 10, 13))
    found = read_worklist(warehouse, "grand-bend")
    assert [(one.student_id, one.snapshot_date.day) for one in found] == [(2, 13), (3, 13)]


def test_a_night_without_problems_empties_the_list(warehouse):
    replace(warehouse, worklist(item(1, 1)))
    replace(warehouse, worklist())
    assert read_worklist(warehouse, "grand-bend") == []


def test_another_district_keeps_its_list(warehouse):
    replace(warehouse, worklist(item(1, 1)))
    replace(warehouse, worklist(item(2, 2)), district_id="riverside")
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_one_school_may_be_asked_for(warehouse):
    replace(warehouse, worklist(item(1, 1, building="Austin"), item(2, 2, building="Zavala"), item(3, 3)))
    found = read_worklist(warehouse, "grand-bend", building="Zavala")
    assert [one.student_id for one in found] == [2]


def test_it_may_be_replaced_twice_in_one_transaction(warehouse):
    with as_writer(warehouse, "grand-bend", "twice") as connection:
        for student in (1, 2):
            replace_worklist(
                connection, worklist(item(student, 1)), district_id="grand-bend", snapshot_date=NIGHT
            )
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [2]


def test_a_transaction_that_fails_leaves_last_nights_list(warehouse):
    replace(warehouse, worklist(item(1, 1)))
    with suppress(RuntimeError), as_writer(warehouse, "grand-bend", "failing") as connection:
        replace_worklist(connection, worklist(item(2, 2)), district_id="grand-bend", snapshot_date=NIGHT)
        raise RuntimeError
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_the_same_problem_twice_is_refused_without_quoting_it(warehouse):
    with pytest.raises(WarehouseError) as refused:
        replace(warehouse, worklist(item(None, None), item(None, None)))
    assert "2024" not in str(refused.value)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]


def test_a_frame_of_other_columns_or_types_is_refused_without_quoting_it(warehouse):
    with pytest.raises(UnfitSnapshotError, match="the columns must be student_id, student_number"):
        replace(warehouse, worklist(item(1, 1)).drop(columns="fix"))
    ids_as_text = worklist(item(1, 1)).assign(
        student_id=pd.arrays.ArrowExtensionArray(pa.array(["Ana"], pa.string()))
    )
    with pytest.raises(UnfitSnapshotError, match=r"registrar_worklist.student_id: not all values") as refused:
        replace(warehouse, ids_as_text)
    assert "Ana" not in str(refused.value)


def test_a_writer_of_another_district_cannot_write_it(warehouse):
    with pytest.raises(WarehouseError), as_writer(warehouse, "riverside", "writing") as connection:
        replace_worklist(connection, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=NIGHT)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]


def test_a_list_belongs_to_the_night_that_is_published(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert len(read_worklist(warehouse, "grand-bend")) == 1
    for night in (FIRST_NIGHT - timedelta(days=1), FIRST_NIGHT + timedelta(days=1)):
        with pytest.raises(NotTheNewestError, match="run the whole night"):
            publish_worklist(warehouse, worklist(item(2, 2)), district_id="grand-bend", snapshot_date=night)
    assert [one.student_id for one in read_worklist(warehouse, "grand-bend")] == [1]


def test_a_district_that_was_erased_meanwhile_gets_no_list(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert erase_rows(warehouse, "grand-bend", "Pat")["registrar_worklist"] == 1
    with pytest.raises(NotTheNewestError):
        publish_worklist(warehouse, worklist(item(1, 1)), district_id="grand-bend", snapshot_date=FIRST_NIGHT)
    assert rows(warehouse, "select count(*) from samegoal.registrar_worklist") == [(0,)]


def hold(engine: sa.Engine, night: int, run_id: str) -> None:
    """Hold a night as that run: there is nobody in it."""
    hold_night(engine, night, snapshot(), gate_of(), run_id=run_id)


def list_night(engine: sa.Engine, night: int, student_id: int, **further: Any) -> bool:
    """Offer a list with this student; whether it was taken. Days are counted from the first night."""
    try:
        publish_worklist(
            engine,
            worklist(item(student_id, 1)),
            district_id="grand-bend",
            snapshot_date=FIRST_NIGHT + timedelta(days=night),
            **further,
        )
    except NotTheNewestError:
        return False
    return True


def listed(engine: sa.Engine) -> list[tuple[int, int | None]]:
    """Night and student of each row, nights counted from the first."""
    return [
        ((one.snapshot_date - FIRST_NIGHT).days, one.student_id)
        for one in read_worklist(engine, "grand-bend")
    ]


def test_a_held_night_brings_its_list_and_the_publication_of_that_night_the_next_one(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    assert list_night(warehouse, 0, 1)
    hold(warehouse, 1, "held")
    assert list_night(warehouse, 1, 2, held_by="held")
    assert listed(warehouse) == [(1, 2)]
    publish_night(warehouse, 1, snapshot(student(1)))
    assert not list_night(warehouse, 1, 2, held_by="held")  # it is held no more
    assert list_night(warehouse, 1, 3)
    assert listed(warehouse) == [(1, 3)]


def test_a_published_night_that_is_run_again_and_held_brings_its_list(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    hold(warehouse, 0, "held")
    assert list_night(warehouse, 0, 2, held_by="held")
    assert not list_night(warehouse, 0, 1)  # by the first run, which is slow
    assert listed(warehouse) == [(0, 2)]


def test_of_two_runs_that_hold_a_night_the_later_ones_list_stands(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    for run_id in ("first", "second"):
        hold(warehouse, 1, run_id)
    assert list_night(warehouse, 1, 2, held_by="second")
    assert not list_night(warehouse, 1, 1, held_by="first")
    assert listed(warehouse) == [(1, 2)]


def test_an_older_night_held_or_published_takes_no_newer_ones_list(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    hold(warehouse, 1, "newer")
    hold(warehouse, 0, "older")
    assert list_night(warehouse, 1, 2, held_by="newer")
    assert not list_night(warehouse, 0, 1, held_by="older")
    assert not list_night(warehouse, 0, 1)
    assert listed(warehouse) == [(1, 2)]


def test_a_held_nights_list_goes_with_its_district(warehouse):
    publish_night(warehouse, 0, snapshot(student(1)))
    hold(warehouse, 1, "held")
    assert list_night(warehouse, 1, 2, held_by="held")
    assert erase_rows(warehouse, "grand-bend", "Pat")["registrar_worklist"] == 1
    assert not list_night(warehouse, 1, 2, held_by="held")
    assert listed(warehouse) == []

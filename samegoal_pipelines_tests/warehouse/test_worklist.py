"""The registrar's worklist of each district: the current one, whole, and nobody else's."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from samegoal_pipelines.tables.worklist import FIX, NEVER_CLOSED, REGISTRAR_WORKLIST, TIE
from samegoal_pipelines.warehouse import worklist as warehouse_worklist
from samegoal_pipelines.warehouse.erase import erase_rows
from samegoal_pipelines.warehouse.errors import LateRunError, UnfitSnapshotError, WarehouseError
from samegoal_pipelines.warehouse.worklist import publish_worklist
from samegoal_pipelines_tests.transforms.builders import table
from samegoal_pipelines_tests.warehouse.factories import (
    NIGHT,
    gate_of,
    hold_night,
    publish_night,
    read_worklist,
    snapshot,
    student,
)


def item(student: int | None, enrollment: int | None, problem: str = NEVER_CLOSED, **more: Any) -> dict:
    number = None if student is None else f"{student:05}"
    row = {"student_id": student, "student_number": number, "problem": problem, "enrollment_id": enrollment}
    return {**row, "detail": "from 2024-08-14", "fix": FIX[problem], **more}


def worklist(*items: dict[str, Any]) -> pd.DataFrame:
    return table(REGISTRAR_WORKLIST, items)


@pytest.fixture
def published(warehouse: sa.Engine) -> sa.Engine:
    """A warehouse in which Grand Bend and Riverside have one published night."""
    for district_id in ("grand-bend", "riverside"):
        publish_night(warehouse, 0, snapshot(student(1)), district_id=district_id)
    return warehouse


def replace(engine: sa.Engine, *items: dict[str, Any], district_id: str = "grand-bend") -> None:
    publish_worklist(engine, worklist(*items), district_id=district_id, snapshot_date=NIGHT)


def students(engine: sa.Engine, district_id: str = "grand-bend") -> list[int | None]:
    return [one.student_id for one in read_worklist(engine, district_id)]


def test_what_was_written_is_read_in_its_order(published):
    strange = 'Dr. "King", Jr.\nAcademy'
    school = {"building": strange, "building_reporting_id": "001"}
    replace(published, item(7, 3, **school), item(None, None), item(1, 9, TIE))
    first, second, third = read_worklist(published)
    written = {"district_id": "grand-bend", "snapshot_date": NIGHT, **item(7, 3, **school), "line": 1}
    assert dict(first._mapping) == written
    assert (second.student_id, second.student_number, second.enrollment_id) == (None, None, None)
    assert third.problem == TIE
    in_product = warehouse_worklist.read_worklist(published, "grand-bend")
    assert [row["student_id"] for row in in_product] == [7, None, 1]


def test_a_list_takes_the_place_of_the_districts_own_last_one(published):
    replace(published, item(1, 1), item(2, 2))
    replace(published, item(1, 1), district_id="riverside")
    replace(published, item(2, 2), item(3, 3))
    assert students(published) == [2, 3]
    replace(published)
    assert (students(published), students(published, "riverside")) == ([], [1])


def test_the_same_problem_twice_is_refused_without_quoting_it_and_the_list_stays(published):
    replace(published, item(1, 1))
    with pytest.raises(WarehouseError) as refused:
        replace(published, item(None, None), item(None, None))
    assert "2024" not in str(refused.value)
    assert students(published) == [1]


def test_a_frame_of_other_types_is_refused_without_quoting_it(published):
    ids_as_text = worklist(item(1, 1)).assign(student_id=pd.array(["Ana"], pd.ArrowDtype(pa.string())))
    with pytest.raises(UnfitSnapshotError, match=r"registrar_worklist.student_id: not all values") as refused:
        publish_worklist(published, ids_as_text, district_id="grand-bend", snapshot_date=NIGHT)
    assert "Ana" not in str(refused.value)


@pytest.fixture
def offer(published: sa.Engine) -> Callable[..., bool]:
    """Offer a list with this student, of so many days after the first night. True: it was taken."""

    def offered(night: int, student_id: int, held_by: str | None = None) -> bool:
        tonight, before = NIGHT + timedelta(days=night), read_worklist(published)
        offer = partial(publish_worklist, district_id="grand-bend", snapshot_date=tonight, held_by=held_by)
        try:
            offer(published, worklist(item(student_id, 1)))
        except LateRunError:
            assert read_worklist(published) == before
            return False
        (one,) = read_worklist(published)
        assert (one.snapshot_date, one.student_id) == (tonight, student_id)
        return True

    return offered


def hold(engine: sa.Engine, night: int, run_id: str) -> None:
    """Hold a night as that run: there is nobody in it."""
    hold_night(engine, night, snapshot(), gate_of(), run_id=run_id)


def test_a_list_belongs_to_the_night_that_is_published(offer):
    assert offer(0, 1)
    assert not offer(-1, 2)
    assert not offer(1, 2)


@pytest.mark.parametrize("held_by", [None, "held"])
def test_a_district_that_was_erased_meanwhile_gets_no_list(published, offer, held_by):
    hold(published, 1, "held")
    night = 1 if held_by else 0
    assert offer(night, 1, held_by) == bool(held_by)
    erase_rows(published, "grand-bend", "Pat")
    assert not offer(night, 1, held_by)
    assert read_worklist(published) == []


def test_a_held_night_brings_its_list_and_the_publication_of_that_night_the_next_one(published, offer):
    assert offer(0, 1)
    hold(published, 1, "first")
    hold(published, 1, "held")
    assert offer(1, 2, "held")
    assert not offer(1, 1, "first")  # of two runs that hold a night, the later one's list stands
    publish_night(published, 1, snapshot(student(1)))
    assert not offer(1, 2, "held")  # it is held no more
    assert offer(1, 3)


def test_a_published_night_that_is_run_again_and_held_brings_its_list(published, offer):
    hold(published, 0, "held")
    assert offer(0, 2, "held")
    assert not offer(0, 1)  # by the first run, which is slow


def test_an_older_night_held_or_published_takes_no_newer_ones_list(published, offer):
    hold(published, 1, "newer")
    hold(published, 0, "older")
    assert offer(1, 2, "newer")
    assert not offer(0, 1, "older")
    assert not offer(0, 1)

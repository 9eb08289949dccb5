"""Erasing a district's rows: all of them, nobody else's, and a record of how many."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse import erase
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines.warehouse.errors import SnapshotInProgressError
from samegoal_pipelines_tests.warehouse.factories import every_byte, publish_night, rows, snapshot, student
from samegoal_pipelines_tests.warehouse.role_fixtures import OURS, THEIRS, fill, guarded


@pytest.fixture
def filled(warehouse: sa.Engine, tmp_path: Path) -> sa.Engine:
    """Two districts that have rows in every table, and no erasure that waits for its end."""
    fill(warehouse, tmp_path)
    with warehouse.begin() as connection:
        connection.execute(sa.text("delete from samegoal.erasures"))
    return warehouse


def test_no_table_with_a_district_is_forgotten(warehouse):
    assert {table.name for table in erase.TABLES} == {*guarded(warehouse)} - {"erasures"}


def test_every_row_of_the_district_goes_and_no_other_is_touched(filled):
    before, theirs = every_byte(filled, OURS), every_byte(filled, THEIRS)
    assert all(found for name, found in before.items() if name != "erasures")
    counted = erase.count_rows(filled, OURS)

    erased = erase.erase_rows(filled, OURS, "Pat")

    assert erased == counted == {name: len(found) for name, found in before.items() if found}
    assert {name for name, found in every_byte(filled, OURS).items() if found} == {"erasures"}
    assert every_byte(filled, THEIRS) == theirs
    assert erase.count_rows(filled, OURS) == {}


def test_the_record_has_counts_and_who_and_nothing_of_anybody(filled):
    erased = erase.erase_rows(filled, OURS, "Pat")
    assert erase.is_unfinished(filled, OURS)
    erase.finish(filled, OURS, 7)
    assert not erase.is_unfinished(filled, OURS)
    ((record,),) = rows(filled, "select to_jsonb(e) - 'erased_at' - 'erasure_id' from samegoal.erasures as e")
    assert record == {"district_id": OURS, "erased_by": "Pat", "rows_erased": erased, "files_erased": 7}


def test_erasing_waits_for_a_run_that_publishes_and_gives_up_in_plain_words(filled, monkeypatch):
    before = every_byte(filled, OURS)
    with as_writer(filled, OURS, "publishing") as publishing:
        warehouse_engine.lock(publishing, OURS)
        monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
        with pytest.raises(SnapshotInProgressError, match="wait until the other run is done"):
            erase.erase_rows(filled, OURS, "Pat")
    assert every_byte(filled, OURS) == before


def test_a_student_whose_erasure_is_lifted_is_published_again_even_if_nothing_else_has_changed(warehouse):
    both = snapshot(student(1), student(2))
    publish_night(warehouse, 0, both)
    assert erase.erase_student_rows(warehouse, OURS, 2, "00002", "Pat")["student_status_history"] == 1
    assert erase.lift(warehouse, OURS, "00002") == 1
    publish_night(warehouse, 0, both)
    assert rows(warehouse, "select student_id from samegoal.student_status order by 1") == [(1,), (2,)]

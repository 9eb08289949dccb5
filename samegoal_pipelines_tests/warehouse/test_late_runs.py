"""Runs that come late, or two at once: who may publish, and who is told what."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.engine import Role, as_writer, take_role
from samegoal_pipelines.warehouse.errors import LateRunError, SnapshotInProgressError
from samegoal_pipelines_tests.reporting.factories import register
from samegoal_pipelines_tests.warehouse.factories import (
    STARTED,
    attempts,
    every_byte,
    fail_night,
    publish_night,
    rows,
    snapshot,
    student,
    views,
)
from samegoal_pipelines_tests.warehouse.role_fixtures import is_refused, login

ANA, BEN = student(1), student(2)


def published_students(engine: sa.Engine) -> list[tuple]:
    return rows(engine, "select student_id from samegoal.student_status order by 1")


def test_an_older_night_is_refused(warehouse):
    publish_night(warehouse, 1, snapshot(ANA))
    before = views(warehouse)
    with pytest.raises(
        LateRunError,
        match=r"the night 2026-09-01 is older than 2026-09-02, which is published and stays; run the current "
        r"night: .*; if it is the current one, check this machine.s clock .* erase grand-bend --yes",
    ):
        publish_night(warehouse, 0, snapshot(BEN))
    assert views(warehouse) == before


def test_a_run_that_was_overtaken_cannot_publish(warehouse):
    """A run that hung until a second run of the night was done must not put older rows in its place."""
    publish_night(warehouse, 0, snapshot(ANA), run_id="second")
    with pytest.raises(LateRunError, match="run second, which began later, has published the night 2026-09"):
        publish_night(warehouse, 0, snapshot(BEN), started_at=STARTED)
    assert published_students(warehouse) == [(1,)]


def test_the_lock_is_let_go_with_the_transaction_or_the_connection_and_limits_nothing_else(
    warehouse, monkeypatch
):
    for _ in range(2):  # the first time of this district, and when its row is there
        with as_writer(warehouse, "grand-bend", "publishing") as holding:
            unlimited = holding.scalar(sa.text("show statement_timeout"))
            warehouse_engine.lock(holding, "grand-bend")
            warehouse_engine.lock(holding, "grand-bend")  # it has it already
            assert holding.scalar(sa.text("show statement_timeout")) == unlimited
            with monkeypatch.context() as impatient, ThreadPoolExecutor(3) as threads:
                impatient.setattr(warehouse_engine, "LOCK_SECONDS", 1)
                waiting = [threads.submit(publish_night, warehouse, 0, snapshot(BEN)) for _ in range(3)]
                for one in waiting:
                    with pytest.raises(SnapshotInProgressError):
                        one.result()

    with warehouse.connect() as lost:
        take_role(lost, Role.WRITER, "grand-bend")
        warehouse_engine.lock(lost, "grand-bend")
        process = lost.scalar(sa.text("select pg_backend_pid()"))
        publish_night(warehouse, 0, snapshot(BEN), district_id="riverside")
        with warehouse.connect() as killing:
            killing.execute(sa.text("select pg_terminate_backend(:process)"), {"process": process})
        publish_night(warehouse, 0, snapshot(ANA))
        lost.invalidate()
    assert published_students(warehouse) == [(1,), (2,)]


def test_a_reader_holds_up_no_publication(warehouse, monkeypatch):
    """Advisory locks are anybody's, who may log in; the row that a publication locks is not."""
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    publish_night(warehouse, 0, snapshot(ANA))
    reader = login(warehouse, Role.READER)
    with reader.connect() as reading:
        keys = sa.text("select pg_advisory_lock(hashtextextended('publishing grand-bend', 0))")
        reading.execute(keys)
        assert is_refused(reading, "select from samegoal.locks for update")
        assert is_refused(reading, "lock table samegoal.locks in access share mode")
        publish_night(warehouse, 1, snapshot(BEN))
    reader.dispose()
    assert published_students(warehouse) == [(2,)]


def test_the_same_run_may_publish_again_after_an_unknown_commit(warehouse):
    publish_night(warehouse, 0, snapshot(ANA), run_id="one")
    publish_night(warehouse, 0, snapshot(ANA, BEN), run_id="one")
    assert attempts(warehouse, "run_id", "state", "students") == [("one", "published", 2)]


def erase(engine: sa.Engine, moment: str) -> None:
    """Leave the mark that erasing the district at this moment leaves, and take its registration away."""
    with engine.begin() as connection:
        connection.exec_driver_sql("delete from samegoal.districts")
        connection.exec_driver_sql(
            "insert into samegoal.erasures (district_id, erased_at, erased_by, rows_erased)"
            " values ('grand-bend', %s, 'mvega', '{}')",
            (moment,),
        )


def test_a_run_that_outlived_the_erasure_of_its_district_leaves_nothing(warehouse):
    """Neither rows nor a reason may come back of a district whose every row was promised to be gone."""
    for again in (False, True):
        erase(warehouse, "2026-09-01 07:00Z")  # the run below began an hour before
        if again:
            register(warehouse, "grand-bend")
        before = every_byte(warehouse)
        with pytest.raises(LateRunError, match="erased after this run had begun, and nothing of it was"):
            publish_night(warehouse, 0, snapshot(ANA))
        fail_night(warehouse, 0, "publishing: the district was erased", run_id="late")
        assert every_byte(warehouse) == before
        assert attempts(warehouse, "run_id") == []


def test_a_district_that_was_registered_again_after_its_erasure_is_published(warehouse):
    erase(warehouse, "2026-09-01 05:00Z")
    with pytest.raises(LateRunError):
        publish_night(warehouse, 0, snapshot(ANA))  # not registered: nobody can have asked for this
    publish_night(warehouse, 0, snapshot(ANA), district_id="riverside")
    register(warehouse, "grand-bend")
    assert publish_night(warehouse, 0, snapshot(ANA)).students == 1

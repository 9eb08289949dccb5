"""Postgres or the landing fails in the middle: all of the night is there or none; the next run finishes."""

import itertools
import os

import psycopg2
import pytest
from fsspec.implementations.local import LocalFileSystem

from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse import session
from samegoal_pipelines.warehouse.engine import as_writer
from samegoal_pipelines_tests.cli.asking import run
from samegoal_pipelines_tests.faults.conftest import OURS
from samegoal_pipelines_tests.mass_changes import TOMORROW

PUBLISHING = "published_snapshot: publishing: "
_numbers = itertools.count()


@pytest.fixture
def changed(published) -> None:
    """Tonight is another content than was ever published, so that there is something to write."""
    ((shown,),) = published.pipeline.rows("select min(student_id) from samegoal.student_status")
    record = next(row for row in published.district.rows("Student/Student") if row["StudentID"] == shown)
    published.district.edit("Demographics/Name", record["NameID"], FirstName=f"Robin {next(_numbers)}")


def last_attempt(published) -> tuple:
    (attempt,) = published.pipeline.rows(
        "select state, held_reason, run_id, landed_run_id from samegoal.snapshots "
        "order by snapshot_id desc limit 1"
    )
    return attempt


def execute(*statements: str) -> None:
    with psycopg2.connect(os.environ["SAMEGOAL_DATABASE_URL"]) as connection:
        for statement in statements:
            connection.cursor().execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("sqlstate", "says", "to_do"),
    [
        ("53100", "the disk of the Postgres server is full", "free space on it"),
        ("23505", "a row broke a constraint", "report it"),
    ],
)
def test_a_write_that_postgres_refuses_leaves_last_nights_snapshot_and_quotes_no_row(
    published, changed, fails, sqlstate, says, to_do
):
    execute(
        f"""create function public.refuse() returns trigger language plpgsql as $$
        begin raise exception 'Key (last_name)=(Sentinel)' using errcode = '{sqlstate}'; end $$""",
        "create trigger refuse before insert on samegoal.student_changes for each row "
        "execute function public.refuse()",
    )
    try:
        fails(f"{PUBLISHING}{says} (SQLSTATE {sqlstate})", to_do, step="")
    finally:
        execute("drop function public.refuse() cascade")


def test_another_run_that_does_not_end_is_waited_for_and_then_named(published, changed, fails, monkeypatch):
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    with as_writer(published.pipeline.deployment.warehouse, OURS, "publishing") as other:
        warehouse_engine.lock(other, OURS)
        fails(
            "another run has been publishing this district for 1 s",
            "wait until the other run is done",
            step="published_snapshot: ",
        )


def test_a_table_that_somebody_has_locked_is_waited_for_and_then_said(published, changed, fails, monkeypatch):
    monkeypatch.setattr(warehouse_engine, "LOCK_SECONDS", 1)
    with psycopg2.connect(os.environ["SAMEGOAL_DATABASE_URL"]) as other:
        other.cursor().execute("lock table samegoal.student_changes in share mode")
        fails(f"{PUBLISHING}Postgres gave up waiting for a lock (SQLSTATE 55P03)", step="")
    other.close()


def break_commit(monkeypatch, moment: str) -> list[str]:
    """The connection breaks at the commit that publishes: before Postgres has heard of it, or after."""
    real, broken = session.record_published, []

    def recorded(connection, *arguments):
        monkeypatch.setattr(session, "record_published", real)
        commit = connection.dialect.do_commit

        def breaking(publishing) -> None:
            connection.dialect.do_commit = commit
            broken.append(moment)
            if moment == "after":
                commit(publishing)
            driver = publishing.driver_connection
            execute(f"select pg_terminate_backend({driver.info.backend_pid}, 10000)")
            publishing.cursor().execute("select 1")  # of a session that is gone: the driver's own error

        connection.dialect.do_commit = breaking
        return real(connection, *arguments)

    monkeypatch.setattr(session, "record_published", recorded)
    return broken


def test_a_commit_that_never_arrived_publishes_nothing_and_the_next_run_finishes(
    published, changed, fails, tonight, monkeypatch
):
    break_commit(monkeypatch, "before")
    fails(PUBLISHING, "run again", step="")
    assert tonight().returncode == 0


def test_a_commit_whose_answer_was_lost_is_known_to_have_published(published, changed, tonight, monkeypatch):
    """Dagster's run is red, for its step has failed; what counts is what SameGoal reads."""
    before = published.pipeline.published()
    broken = break_commit(monkeypatch, "after")
    answered = tonight()
    assert broken == ["after"]
    assert answered.returncode == 0
    assert f"{OURS}: published " in answered.stderr
    there = published.pipeline.published()
    assert there != before
    state, reason, run_id, _ = last_attempt(published)
    assert (state, reason) == ("published", None)
    status = published.pipeline.rows("select status from dagster.runs where run_id = :id", id=run_id)
    assert status == [("FAILURE",)]
    assert tonight().returncode == 0
    assert published.pipeline.published() == there


def test_a_landing_that_cannot_be_written_publishes_nothing(published, fails, monkeypatch, tmp_path):
    (tmp_path / "landing").write_text("a file where the folder should be")
    monkeypatch.setenv("SAMEGOAL_LANDING_URL", str(tmp_path / "landing"))
    fails("raw_", "check that", step="")


@pytest.mark.parametrize("full", ["Student.parquet", "landed.json"])
def test_a_landing_whose_disk_is_full_publishes_nothing_and_the_next_run_finishes(
    published, fails, tonight, monkeypatch, full
):
    real = LocalFileSystem.open

    def opened(self, path, mode="rb", **how):
        into = "/dev/full" if path.endswith(full) and "w" in mode else path
        return real(self, into, mode, **how)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFileSystem, "open", opened)
        fails(f"{OURS} on {TOMORROW} failed: cannot write", "No space left on device", step="")
    assert tonight().returncode == 0
    _, _, run_id, landed_run_id = last_attempt(published)
    assert run_id == landed_run_id


def test_a_landed_file_that_is_corrupt_stops_no_night_and_is_named_where_it_is_needed(published, tonight):
    """Nor does what a killed run left half landed."""
    ((number,),) = published.pipeline.rows("select min(student_number) from samegoal.student_demographics")
    landing = published.pipeline.deployment.settings.home / "landing" / OURS
    assert tonight().returncode == 0
    for file in landing.rglob("EntryWithdrawal.parquet"):
        file.write_bytes(file.read_bytes()[:-40])
    killed = landing / TOMORROW.isoformat() / "zz-killed" / "raw_students"
    killed.mkdir(parents=True)
    (killed / "Student.parquet").write_bytes(b"PAR1")
    (killed / "landed.json").write_text('{"asset": "raw_st')
    asked = run("explain", OURS, number)
    assert "landed file EntryWithdrawal of raw_enrollments" in asked.stdout + asked.stderr
    assert "Traceback" not in asked.stderr
    assert tonight().returncode == 0
    assert "landed file" not in "".join(run("explain", OURS, number)[1:])

"""A publish that is cut off at any moment leaves all old or all new, and stands in nobody's way.

What all new would be is published for a second district, which nobody disturbs.
"""

import itertools
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
import sqlalchemy as sa

from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse import engine as warehouse_engine
from samegoal_pipelines.warehouse.errors import LateRunError, WarehouseError
from samegoal_pipelines_tests.warehouse.factories import STARTED, publish_night, rows, snapshot, student
from samegoal_pipelines_tests.warehouse.role_fixtures import guarded

OURS, UNDISTURBED = "grand-bend", "riverside"
KILLS = 60  # and one between any two statements, below
RERUNS = 20  # of each night
EVERYBODY = 100

# A process that has imported the product forks those that are killed: each starts in 0.1 s.
forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(["pytest", __name__])

Contents = dict[str, tuple[int, int]]


def content(number: int) -> SnapshotPayload:
    """Students of whom a few come, go and change from one number to the next; some are unreadable."""
    everybody = []
    for n in range(1, EVERYBODY):
        draw = random.Random(f"student {n}, number {number}")
        draw = draw if draw.random() < 0.3 else random.Random(f"student {n}")
        if draw.random() < 0.8:
            everybody.append(
                student(
                    n,
                    status=draw.choice(["ENROLLED", "INACTIVE"]),
                    building=draw.choice(["Elm", "Oak"]),
                    first_name=draw.choice(["Ana", "Ben"]),
                    parents={n: {"rank": draw.choice([1, 2])}},
                )
            )
    unreadable = set(range(1, EVERYBODY, 5)) - {one["student_id"] for one in everybody}
    return snapshot(*everybody, carried_over=frozenset(unreadable))


def publish_number(engine: sa.Engine, number: int, district_id: str, run_id: str, late: int = 0) -> None:
    started = STARTED + timedelta(minutes=number, seconds=late)
    whose = {"district_id": district_id, "run_id": run_id, "started_at": started}
    publish_night(engine, number // RERUNS, content(number), **whose)


def everything_of(engine: sa.Engine, district_id: str) -> Contents:
    """How many rows each table holds of a district, and a sum of their hashes: one moment's view.

    Left out are names of runs, moments, and runs that another one has superseded.
    """
    apart = ["district_id", "snapshot_id", "run_id", "started_at", "published_at"]
    query = """
        select count(*), coalesce(sum(hashtextextended((to_jsonb(t) - :apart)::text, 0)), 0)
        from samegoal.{} as t
        where district_id = :district and to_jsonb(t) ->> 'state' is distinct from 'superseded'
    """
    of = {"apart": apart, "district": district_id}
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        return {
            table: tuple(connection.execute(sa.text(query.format(table)), of).one())
            for table in guarded(engine)
        }


def published_undisturbed(engine: sa.Engine, number: int) -> Contents:
    """What all new is."""
    publish_number(engine, number, UNDISTURBED, f"undisturbed {number}")
    return everything_of(engine, UNDISTURBED)


# -- a process that can be killed --


def publishing(engine: sa.Engine, number: int, *, dies_before: int = 0) -> tuple[BaseProcess, Connection]:
    """A process that has begun to publish, and the pipe on which it says that it is done."""
    pipe, theirs = forking.Pipe()
    url = engine.url.render_as_string(hide_password=False)
    process: BaseProcess = forking.Process(
        target=_publish_and_report, args=(theirs, url, number, dies_before)
    )
    process.start()
    theirs.close()
    assert pipe.recv() == "begins"
    return process, pipe


def _publish_and_report(pipe: Connection, url: str, number: int, dies_before: int) -> None:
    engine = warehouse_engine.connect(url)
    with disturbed(engine, dies_before, lambda _: os.kill(os.getpid(), signal.SIGKILL)):
        pipe.send("begins")
        publish_number(engine, number, OURS, f"child {os.getpid()}")
        pipe.send("done")


@contextmanager
def disturbed(engine: sa.Engine, before: int, what: Callable[[int], None]) -> Iterator[None]:
    """Do `what`, given the session's process id, before the n-th statement or commit from now; 0: never.

    The moment after a commit counts as one more.
    """
    left = 0

    def tick(session: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            what(session.info.backend_pid)

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, *arguments: Any, **named: Any) -> None:
            tick(self.connection)
            super().execute(*arguments, **named)

        def copy_expert(self, *arguments: Any, **named: Any) -> None:
            tick(self.connection)
            super().copy_expert(*arguments, **named)

    class Session(psycopg2.extensions.connection):
        def cursor(self, *arguments: Any, **named: Any) -> Any:
            return super().cursor(*arguments, **{"cursor_factory": Cursor, **named})

        def commit(self) -> None:
            tick(self)
            super().commit()
            tick(self)

    def listen(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        named["connection_factory"] = Session

    sa.event.listen(engine, "do_connect", listen)
    with engine.connect():
        left = before
    yield
    sa.event.remove(engine, "do_connect", listen)


# -- what is to be seen --


@pytest.mark.slow
def test_kills_at_random_moments_leave_all_old_or_all_new(warehouse):
    """A few kills in a row, each of the next run; then a run that nobody kills finishes."""
    draw = random.Random(200)
    kills, seconds = 0, 0.1
    publish_number(warehouse, 0, OURS, "first")
    new = published_undisturbed(warehouse, 0)
    for number in itertools.count(1):
        old, new = new, published_undisturbed(warehouse, number)
        assert old != new
        for _ in range(10):
            process, pipe = publishing(warehouse, number)
            killed = not pipe.poll(draw.uniform(0, seconds))
            process.kill()
            process.join()
            kills += killed
            seconds *= 1.01 if killed else 0.95  # so that most kills come in time, first statement to last
            found = everything_of(warehouse, OURS)
            assert found in ((old, new) if killed else (new,))
            if found == new:
                break
        publish_number(warehouse, number, OURS, f"next after {number}", late=1)
        assert everything_of(warehouse, OURS) == new
        if kills >= KILLS:
            break


@pytest.mark.slow
def test_a_kill_between_any_two_statements_leaves_all_old_or_all_new(warehouse):
    """Of the second run of a second night, which has the most to do."""
    for number in (0, RERUNS):
        publish_number(warehouse, number, OURS, f"before {number}")
        old = published_undisturbed(warehouse, number)
    new = published_undisturbed(warehouse, RERUNS + 1)
    deaths = 0
    while everything_of(warehouse, OURS) == old:
        deaths += 1
        process, _ = publishing(warehouse, RERUNS + 1, dies_before=deaths)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        wait_for_the_dead(warehouse)
    assert everything_of(warehouse, OURS) == new
    assert deaths > 20
    publish_number(warehouse, RERUNS + 1, OURS, "next", late=1)
    assert everything_of(warehouse, OURS) == new


def wait_for_the_dead(engine: sa.Engine) -> None:
    """Until Postgres has noticed that the other side is gone: nobody else is in a transaction."""
    others = "select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not rows(engine, f"{others} and datname = current_database() and state <> 'idle'"):
            return
        time.sleep(0.001)
    pytest.fail("a killed process still has a transaction")


@pytest.mark.slow
def test_a_session_that_the_server_ends_in_the_middle_has_published_nothing(warehouse):
    publish_number(warehouse, 0, OURS, "before")
    old = published_undisturbed(warehouse, 0)
    new = published_undisturbed(warehouse, RERUNS)
    errors: list[WarehouseError] = []
    while everything_of(warehouse, OURS) == old:
        cut_off = same_database(warehouse)
        before = 2 + len(errors)  # the first asks whether the session is there, or takes another
        with disturbed(cut_off, before, lambda session: end(warehouse, session)):
            try:
                publish_number(cut_off, RERUNS, OURS, "cut off")
            except WarehouseError as error:
                errors.append(error)
        cut_off.dispose()
    assert everything_of(warehouse, OURS) == new
    assert len(errors) > 20
    assert {(error.transient, str(error).partition(":")[0]) for error in errors} == {(True, "publishing")}


def end(engine: sa.Engine, session: int) -> None:
    rows(engine, "select pg_terminate_backend(:session, 120000)", session=session)


def same_database(engine: sa.Engine) -> sa.Engine:
    """Another engine on it, with sessions of its own."""
    return warehouse_engine.connect(engine.url.render_as_string(hide_password=False))


def test_a_run_that_lost_its_session_cannot_publish_over_the_one_that_came_after(warehouse):
    publish_number(warehouse, 1, OURS, "first")
    hung = same_database(warehouse)

    def lose(session: int) -> None:
        end(warehouse, session)
        publish_number(warehouse, RERUNS + 1, OURS, "came after")

    with disturbed(hung, 20, lose):
        with pytest.raises(WarehouseError):
            publish_number(hung, RERUNS, OURS, "hung")
    after = everything_of(warehouse, OURS)
    with pytest.raises(LateRunError, match="run came after, which began later"):
        publish_number(hung, RERUNS, OURS, "hung")
    assert everything_of(warehouse, OURS) == after
    hung.dispose()

"""Who gets a connection first, and that decoding holds none."""

import threading

import pytest

from samegoal_pipelines.qmlativ.client import Workers
from samegoal_pipelines.qmlativ.errors import ReadCancelledError

LONG = 60


@pytest.fixture
def workers():
    made = Workers(1)
    yield made
    made.close()


def test_the_run_next_task_gets_the_next_connection_and_equals_go_in_turn(workers):
    free, done = threading.Event(), []
    tasks = [workers.submit(lambda: free.wait(LONG))]
    for name, priority in [("third", 5), ("fourth", 5), ("second", 2), ("first", 1)]:
        tasks.append(workers.submit(lambda name=name: done.append(name), priority=priority))
    free.set()
    for task in tasks:
        task.result(LONG)
    assert done == ["first", "second", "third", "fourth"]


def test_a_connection_is_free_again_while_its_answer_is_decoded(workers):
    asked_again = threading.Event()
    first = workers.submit(lambda: 1, lambda answer: asked_again.wait(LONG) and answer + 1)
    workers.submit(asked_again.set)
    assert first.result(LONG) == 2


class Room(threading.BoundedSemaphore):
    """Tells when somebody has to wait for it."""

    def __init__(self, places):
        super().__init__(places)
        self.waited_for = threading.Event()

    def acquire(self, *_):
        if super().acquire(blocking=False):
            return True
        self.waited_for.set()
        return super().acquire()


def test_answers_that_wait_for_a_core_do_not_pile_up_in_memory(workers):
    """Of one connection and one core, two answers may be there, and one more on its way."""
    go_on, asked = threading.Event(), []
    workers._room = Room(workers._room._initial_value)

    def decode(answer):
        go_on.wait(LONG)
        return answer

    pages = [workers.submit(lambda n=n: asked.append(n) or n, decode) for n in range(10)]
    assert workers._room.waited_for.wait(LONG)
    assert asked == [0, 1, 2]
    assert not any(page.done() for page in pages)
    go_on.set()
    assert [page.result(LONG) for page in pages] == list(range(10))


def test_what_goes_wrong_in_asking_or_decoding_reaches_who_waits_and_takes_no_thread_with_it(workers):
    def fail(*_):
        raise ValueError("no")

    for task in [workers.submit(fail), workers.submit(lambda: 1, fail)] * 5:
        with pytest.raises(ValueError, match="no"):
            task.result(LONG)
    assert [workers.submit(fail, lambda answer: answer).exception(LONG).args for _ in range(5)] == [
        ("no",)
    ] * 5
    assert workers.submit(lambda: 1, lambda answer: answer + 1).result(LONG) == 2


def test_after_closing_nothing_begins(workers):
    waiting = workers.submit(lambda: 1)
    workers.close()
    assert waiting.result(LONG) == 1
    with pytest.raises(ReadCancelledError):
        workers.submit(lambda: pytest.fail("begun"))

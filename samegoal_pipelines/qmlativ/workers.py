"""The threads of a client: one per allowed concurrent request, and others that decode answers.

Answers are decoded in separate threads, so that no connection waits for a core. Tasks wait for a connection
by priority, not in order of arrival, because the longest listing decides how long a night takes.
"""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import PriorityQueue
from typing import Any, NamedTuple

from samegoal_pipelines.qmlativ.errors import ReadCancelledError

Decode = Callable[[Any], Any]


class _Task(NamedTuple):
    """Tasks ordered by priority (1 first), and then by arrival."""

    priority: int
    number: int
    future: Future[Any]
    ask: Callable[[], Any]
    decode: Decode | None


class Workers:
    """`connections` threads that send requests. After `close`, `submit` raises `ReadCancelledError`."""

    def __init__(self, connections: int) -> None:
        cores = min(connections, os.cpu_count() or 1)
        self._askers = ThreadPoolExecutor(connections, thread_name_prefix="qmlativ")
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoding")
        self._room = threading.BoundedSemaphore(2 * cores)  # limits the answers in memory
        self._numbers = itertools.count()
        self._waiting: PriorityQueue[_Task] = PriorityQueue()

    def submit(
        self, ask: Callable[[], Any], decode: Decode | None = None, *, priority: int = 0
    ) -> Future[Any]:
        """Run `ask` on a connection, lowest `priority` first, and then `decode` on its result."""
        task = _Task(priority, next(self._numbers), Future(), ask, decode)
        self._waiting.put(task)
        try:
            self._askers.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return task.future

    def close(self) -> None:
        """Wait until all tasks are done. Cancel the requests first, so that the tasks end at once."""
        self._askers.shutdown(wait=True)
        self._decoders.shutdown(wait=True)

    def _run_next(self) -> None:
        """Run the first task by priority, not the one that was submitted for this thread."""
        task = self._waiting.get()
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            answer = task.ask()
            if task.decode is None:
                task.future.set_result(answer)
            else:
                self._room.acquire()
                self._decoders.submit(self._decode, task.future, task.decode, answer)
        except BaseException as error:
            task.future.set_exception(error)

    def _decode(self, future: Future[Any], decode: Decode, answer: Any) -> None:
        try:
            future.set_result(decode(answer))
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._room.release()

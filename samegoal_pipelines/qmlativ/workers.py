"""The threads of a client: one per allowed concurrent request, and others that decode answers.

Answers are decoded in separate threads, so that no connection waits for a core. Tasks wait for a connection
by priority, not in order of arrival, because the longest listing decides how long a night takes.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
    """`connections` threads that send requests. After `cancel`, `submit` raises `ReadCancelledError`."""

    def __init__(self, connections: int) -> None:
        cores = min(connections, os.cpu_count() or 1)
        self._askers = ThreadPoolExecutor(connections, thread_name_prefix="qmlativ")
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoding")
        self._room = threading.BoundedSemaphore(2 * cores)  # limits the answers in memory
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[_Task] = []

    def submit(
        self, ask: Callable[[], Any], decode: Decode | None = None, *, priority: int = 0
    ) -> Future[Any]:
        """Run `ask` on a connection, lowest `priority` first, and then `decode` on its result."""
        task = _Task(priority, next(self._numbers), Future(), ask, decode)
        with self._lock:
            heapq.heappush(self._waiting, task)
        try:
            self._askers.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return task.future

    def cancel(self) -> None:
        """Start no more tasks. Those that have not started fail with `ReadCancelledError`."""
        self._askers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(ReadCancelledError())

    def close(self) -> None:
        """Wait until nothing runs. Call `cancel` first."""
        self._askers.shutdown(wait=True)
        self._decoders.shutdown(wait=True)

    def _run_next(self) -> None:
        """Run the first task by priority, not the one that was submitted for this thread."""
        with self._lock:
            if not self._waiting:  # cancelled
                return
            task = heapq.heappop(self._waiting)
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

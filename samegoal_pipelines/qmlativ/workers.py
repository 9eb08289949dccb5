"""The threads of a client: some ask Qmlativ, as many as there may be requests at once; others decode what
came.

An answer is decoded elsewhere than where it was asked for, so that no connection waits for a core. Who waits
for a connection goes by priority, not by who came first: the longest listing, whose pages lead to each other,
decides how long a night takes. Knows no HTTP, no object and no page.
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
    """Tasks in order of priority (1 comes first); tasks of one priority in the order they came."""

    priority: int
    number: int
    future: Future[Any]
    ask: Callable[[], Any]
    decode: Decode | None


class Workers:
    """`connections` threads that ask. After `cancel`, `submit` raises `ReadCancelledError`."""

    def __init__(self, connections: int) -> None:
        cores = min(connections, os.cpu_count() or 1)
        self._askers = ThreadPoolExecutor(connections, thread_name_prefix="qmlativ")
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoding")
        self._room = threading.BoundedSemaphore(2 * cores)  # answers in memory do not pile up
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[_Task] = []

    def submit(
        self, ask: Callable[[], Any], decode: Decode | None = None, *, priority: int = 0
    ) -> Future[Any]:
        """Run `ask` on a connection, the lowest `priority` first, and then `decode` on what it returned."""
        task = _Task(priority, next(self._numbers), Future(), ask, decode)
        with self._lock:
            heapq.heappush(self._waiting, task)
        try:
            self._askers.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return task.future

    def cancel(self) -> None:
        """Begin nothing any more: who waits for a task that had not begun gets `CancelledError`."""
        self._askers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.future.cancel()

    def close(self) -> None:
        """Wait until nothing runs. To be cancelled first."""
        self._askers.shutdown(wait=True)
        self._decoders.shutdown(wait=True)

    def _run_next(self) -> None:
        """Runs on a connection: the task that comes first now, not the one that called for a thread."""
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

"""The threads of a client: as many requests at once as it has connections, while others decode answers.

A thread gives its connection back before it decodes, so that no connection waits for a core. Tasks wait for a
connection by priority, because the longest listing decides how long a night takes.
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


class _Task(NamedTuple):
    """Tasks are ordered by priority, 1 first, and then by arrival."""

    priority: int
    number: int
    future: Future[Any]
    ask: Callable[[], Any]
    decode: Callable[[Any], Any]


class Workers:
    """Threads for `connections` requests, and one more per core, which also limits the answers in memory."""

    def __init__(self, connections: int) -> None:
        threads = connections + (os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="qmlativ")
        self._connections = threading.Semaphore(connections)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[_Task] = []

    def submit(
        self,
        ask: Callable[[], Any],
        decode: Callable[[Any], Any] = lambda answer: answer,
        *,
        priority: int = 0,
    ) -> Future[Any]:
        """Run `ask` on a connection, lowest `priority` first, and then `decode` on its result.

        Raises `ReadCancelledError` after `cancel`.
        """
        task = _Task(priority, next(self._numbers), Future(), ask, decode)
        with self._lock:
            heapq.heappush(self._waiting, task)
        try:
            self._threads.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return task.future

    def cancel(self) -> None:
        """Start no more tasks. Those that have not started fail with `ReadCancelledError`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(ReadCancelledError())

    def close(self) -> None:
        """Wait until nothing runs. Call `cancel` first."""
        self._threads.shutdown(wait=True)

    def _run_next(self) -> None:
        """Run the first task by priority, not the one that was submitted for this thread."""
        with self._connections:
            with self._lock:
                if not self._waiting:  # cancelled
                    return
                task = heapq.heappop(self._waiting)
            if not task.future.set_running_or_notify_cancel():
                return
            try:
                answer = task.ask()
            except BaseException as error:
                task.future.set_exception(error)
                return
        try:
            task.future.set_result(task.decode(answer))
        except BaseException as error:
            task.future.set_exception(error)

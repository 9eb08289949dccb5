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
from typing import Any

from samegoal_pipelines.qmlativ.errors import ReadCancelledError

Decode = Callable[[Any], Any]


class Workers:
    """`connections` threads that send requests. After `close`, `submit` raises `ReadCancelledError`."""

    def __init__(self, connections: int) -> None:
        cores = min(connections, os.cpu_count() or 1)
        self._askers = ThreadPoolExecutor(connections, thread_name_prefix="qmlativ")
        self._decoders = ThreadPoolExecutor(cores, thread_name_prefix="decoding")
        self._room = threading.BoundedSemaphore(2 * cores)  # limits the answers in memory
        self._arrivals = itertools.count()
        self._waiting: PriorityQueue[tuple[int, int, Callable[[], None]]] = PriorityQueue()

    def submit(
        self, ask: Callable[[], Any], decode: Decode | None = None, *, priority: int = 0
    ) -> Future[Any]:
        """Run `ask` on a connection, lowest `priority` first, and then `decode` on its result."""
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                answer = ask()
                if decode is None:
                    future.set_result(answer)
                else:
                    self._room.acquire()
                    self._decoders.submit(self._decode, future, decode, answer)
            except BaseException as error:
                future.set_exception(error)

        self._waiting.put((priority, next(self._arrivals), run))
        try:
            self._askers.submit(self._run_next)
        except RuntimeError:  # shut down
            raise ReadCancelledError() from None
        return future

    def close(self) -> None:
        """Wait until all tasks are done. Cancel the requests first, so that the tasks end at once."""
        self._askers.shutdown(wait=True)
        self._decoders.shutdown(wait=True)

    def _run_next(self) -> None:
        """Run the first task by priority, not the one that was submitted for this thread."""
        *_, run = self._waiting.get()
        run()

    def _decode(self, future: Future[Any], decode: Decode, answer: Any) -> None:
        try:
            future.set_result(decode(answer))
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._room.release()

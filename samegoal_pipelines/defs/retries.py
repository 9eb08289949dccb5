"""The number and the waits of a run's retries of steps that failed for a temporary reason.

The waits belong to a run, not to its steps, so that a night with many failures still ends in time. A waiting
run keeps its place among the runs of its host, which spares an unavailable source.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

RETRIES = 2
LONGEST_WAIT = 300.0  # seconds: no retry if a source asks for a longer wait
_GROWTH = 3
_SPREAD = 0.25  # so that districts that failed together do not retry together


class Retries:
    """The remaining waits of one run.

    Args:
        first_wait: approximate seconds before the first retry. The second waits three times as long. 0: no
            retry.
    """

    def __init__(self, first_wait: float) -> None:
        self._left: Iterator[float] = iter(
            [first_wait * _GROWTH**n for n in range(RETRIES if first_wait else 0)]
        )

    def wait_after(self, error: Exception) -> float | None:
        """Seconds until the failed step is retried. None: no retry."""
        if not getattr(error, "transient", False):
            return None
        asked_for = getattr(error, "retry_after", None) or 0.0
        if asked_for > LONGEST_WAIT or (wait := next(self._left, None)) is None:
            return None
        return max(asked_for, wait * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311

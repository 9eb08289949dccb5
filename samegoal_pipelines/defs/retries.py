"""How often, and after which wait, a run tries a step again that failed for a reason that may pass by itself.

The waits belong to a run, not to its steps: a night that stumbles here and there is over in bounded time. A
run that waits keeps its place among the runs of its host, which spares a source that is down.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

RETRIES = 2
LONGEST_WAIT = 300.0  # seconds: a source that asks for more is left alone
_GROWTH = 3
_SPREAD = 0.25  # so that districts which failed together do not come back together


class Retries:
    """The waits that are left to one run.

    Args:
        first_wait: seconds before the first retry, about; the second waits three times as long. 0: no retry.
    """

    def __init__(self, first_wait: float) -> None:
        self._left: Iterator[float] = iter(
            [first_wait * _GROWTH**n for n in range(RETRIES if first_wait else 0)]
        )

    def wait_after(self, error: Exception) -> float | None:
        """Seconds until the failed step is tried again; None: it is not."""
        if not getattr(error, "transient", False):
            return None
        asked_for = getattr(error, "retry_after", None) or 0.0
        if asked_for > LONGEST_WAIT or (wait := next(self._left, None)) is None:
            return None
        return max(asked_for, wait * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311

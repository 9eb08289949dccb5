"""The requests that a sandbox server received, for tests."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """A request: what was asked, of which district (by base path), and how it was answered."""

    kind: str  # token, metadata, describe or list
    district: str | None
    method: str
    path: str
    query: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    entity: int = 0
    object: str = ""
    page: int = 0
    size: int = 0
    status: int = 0  # of the answer; 0 if the connection was dropped

    @property
    def fields(self) -> list[str]:
        """The searchFields, in the order of their index."""
        names = (f"searchFields[{number}]" for number in range(len(self.query)))
        return [self.query[name] for name in names if name in self.query]


@dataclass
class Traffic:
    """The requests to a server so far. A request is logged when its answer is ready."""

    log: deque[Call] = field(default_factory=lambda: deque(maxlen=50_000))
    peak_concurrency: int = 0  # the most requests, apart from tokens, that were being answered at once
    _in_progress: int = 0

    def requests(self, **wanted: Any) -> list[Call]:
        """The requests with these attributes, such as ``kind="list", object="Student/Student"``."""
        return [
            call
            for call in list(self.log)
            if all(getattr(call, name) == value for name, value in wanted.items())
        ]

    @property
    def token_calls(self) -> int:
        """How many tokens were asked for."""
        return len(self.requests(kind="token"))

    def clear(self) -> None:
        """Forget everything so far."""
        self.log.clear()
        self.peak_concurrency = 0

    @contextmanager
    def recording(self, call: Call) -> Iterator[None]:
        """Count and log a request while it is being answered."""
        counts = call.kind != "token"
        self._in_progress += counts
        self.peak_concurrency = max(self.peak_concurrency, self._in_progress)
        try:
            yield
        finally:
            self._in_progress -= counts
            self.log.append(call)

"""The rules of `Paging.Next`, and a walk over all pages that loads ahead.

Only the page number and size are taken from `Next`. The requested path is built here, so an answer cannot
redirect a request elsewhere.

    {"Objects": [...], "Paging": {"Next": "/Custom/1/Enrollment/EntryWithdrawal/2/10000"}}
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from samegoal_pipelines.qmlativ.connection import Connection
from samegoal_pipelines.qmlativ.decode import Page
from samegoal_pipelines.qmlativ.errors import MalformedAnswerError

_NEXT = re.compile(r"/?(Custom/\d{1,9}/\w+/\w+)/(\d{1,9})/(\d{1,9})", re.ASCII)
_PAGING_LAST = re.compile(rb'\]\s*,\s*"Paging"\s*:\s*\{\s*"Next"\s*:\s*("[^"\\]*"|null)\s*\}\s*\}\s*\Z')
_PEEK = 1024


class Listing(NamedTuple):
    """A listing: its path relative to the base URL, without page and size, and its name in errors."""

    path: str
    label: str

    def where(self, number: int) -> str:
        """The page's name in errors."""
        return f"{self.label}, page {number}"


class PageRef(NamedTuple):
    """A page: its number, from 1, and the maximum number of rows per page."""

    number: int
    size: int


def following(value: Any, here: PageRef, rows_so_far: int, listing: Listing) -> PageRef | None:
    """The page that `Paging.Next` of `here` leads to. None at the end.

    At the end, Next is null, empty, missing, or leads to the page just read. Otherwise it must lead to the
    next number of the same listing. A server that reduces our page size may continue with its own size if no
    row is skipped.
    """
    if value is None or value == "":
        return None
    match = _NEXT.fullmatch(value) if isinstance(value, str) else None
    wrong = ""
    if match is None or match[1].lower() != listing.path.strip("/").lower():
        wrong = "does not lead to a page of this object; it was not followed"
    else:
        there = PageRef(int(match[2]), int(match[3]))
        if there == here:
            return None
        if there.number <= here.number:
            wrong = f"runs in a circle, back to page {there.number}"
        elif there.number > here.number + 1:
            wrong = f"skips to page {there.number}"
        elif there.size != here.size and (there.number - 1) * there.size != rows_so_far:
            wrong = "changes the page size during the read, so that rows would be lost"
    if wrong:
        raise MalformedAnswerError(f"Paging.Next {wrong}", listing.where(here.number))
    return there


def peek(body: bytes) -> str | None:
    """`Paging.Next` of a page that is not decoded yet, or None if it is not certain.

    It looks for Paging as the last member of the document. The pattern allows no escaped quote, and the
    document ends outside of any text, so no value of a row can match.
    """
    match = _PAGING_LAST.search(body, max(0, len(body) - _PEEK))
    return json.loads(match[1]) if match else None


class PageWalk:
    """All pages of a listing, in order, loaded ahead.

    `load` starts a request, and its future is the decoded page. `load` calls the function it is given as soon
    as the body has arrived, so that the next page loads while this one is decoded. `expected_rows`, if known
    from last time, says which pages to load at once. Following Next still decides which pages belong to the
    read, so a wrong expectation costs requests but never rows. `short` counts short pages before the last.
    """

    def __init__(
        self,
        listing: Listing,
        load: Callable[[PageRef, Callable[[bytes], None]], Future[Page]],
        connection: Connection,
        expected_rows: int,
    ) -> None:
        self._listing, self._load = listing, load
        self._size, self._max_pages = connection.page_size, connection.max_pages
        self._known = min(-(-expected_rows // self._size), self._max_pages)
        self._ahead = connection.connections
        self._reached = 1
        self._loading: dict[PageRef, Future[Page]] = {}
        self._lock = threading.Lock()
        self._over = False
        self.short = 0

    def __iter__(self) -> Iterator[Page]:
        here: PageRef | None = PageRef(1, self._size)
        rows = 0
        try:
            while here is not None:
                self._reached = here.number
                self._start(here)
                if here.size == self._size:
                    for number in range(here.number, min(self._known, here.number + self._ahead - 1) + 1):
                        self._start(PageRef(number, self._size))
                page = self._loading[here].result()
                del self._loading[here]
                yield page
                rows += page.table.num_rows
                there = following(page.next, here, rows, self._listing) if page.table.num_rows else None
                if there and there.number > self._max_pages:
                    raise MalformedAnswerError(
                        f"Paging.Next goes on after {self._max_pages:,} pages, more than any district has: "
                        "nothing of this object was kept",
                        self._listing.where(here.number),
                    )
                if there and page.table.num_rows < there.size:
                    self.short += 1
                here = there
        finally:
            with self._lock:
                self._over = True
                for future in self._loading.values():
                    future.cancel()

    def _start(self, ref: PageRef) -> None:
        """Load a page, unless it is loading already or the walk is over."""
        with self._lock:
            if not self._over and ref not in self._loading:
                self._loading[ref] = self._load(ref, partial(self._glance, ref))

    def _glance(self, here: PageRef, body: bytes) -> None:
        """Start loading the page after `here` if its body already shows that there is one."""
        try:
            there = following(peek(body), here, -1, self._listing)
        except MalformedAnswerError:
            return  # raised again once the page is decoded
        last = min(self._max_pages, self._reached + self._ahead)
        if there and there.size == here.size and there.number <= last:
            self._start(there)

"""Which page comes next: the rules of `Paging.Next`, and a walk along it that loads ahead.

A `Next` is only ever read for its page number and size; the path that is requested is made here, so no
request can go where an answer wants it to. No HTTP, no JSON decoding, no rows.

    {"Objects": [...], "Paging": {"Next": "/Custom/1/Enrollment/EntryWithdrawal/2/10000"}}
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from samegoal_pipelines.qmlativ.decode import Page
from samegoal_pipelines.qmlativ.errors import MalformedAnswerError

_NEXT = re.compile(r"/?(Custom/\d{1,9}/\w+/\w+)/(\d{1,9})/(\d{1,9})", re.ASCII)
_PAGING = rb'"Paging"\s*:\s*\{\s*"Next"\s*:\s*("[^"\\]*"|null)\s*\}\s*'
_AT_TAIL = re.compile(rb"\]\s*,\s*" + _PAGING + rb"\}\s*\Z")
_AT_HEAD = re.compile(rb"\s*\{\s*" + _PAGING + rb",")
_PEEK = 1024


class Listing(NamedTuple):
    """What is paged through: its path below the base URL, without page and size, and its name in errors."""

    path: str
    label: str

    def where(self, number: int) -> str:
        """How an error names a page."""
        return f"{self.label}, page {number}"


class PageRef(NamedTuple):
    """A page: its number, from 1, and how many rows a page has at most."""

    number: int
    size: int


def following(value: Any, here: PageRef, rows_so_far: int, listing: Listing) -> PageRef | None:
    """The page that `Paging.Next` of `here` leads to; None at the end.

    The end is a Next that is null, empty, absent, or leads to the page just read. Any other must lead to the
    next number of the same listing. A server that cuts our page size may go on in its own, if no row is
    jumped over.
    """
    if value is None or value == "":
        return None
    where = listing.where(here.number)
    match = _NEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1].lower() != listing.path.strip("/").lower():
        raise MalformedAnswerError(
            "Paging.Next does not lead to a page of this object; it was not followed", where
        )
    there = PageRef(int(match[2]), int(match[3]))
    if there == here:
        return None
    if there.number <= here.number:
        raise MalformedAnswerError(f"Paging.Next runs in a circle, back to page {there.number}", where)
    if there.number > here.number + 1:
        raise MalformedAnswerError(f"Paging.Next skips to page {there.number}", where)
    if there.size != here.size and (there.number - 1) * there.size != rows_so_far:
        raise MalformedAnswerError(
            "Paging.Next changes the page size in mid-read, so that rows would be lost", where
        )
    return there


def peek(body: bytes) -> str | None:
    """`Paging.Next` of a page that is not decoded yet, or None where a glance cannot tell for certain.

    Looks for Paging as the last or first member of the document. Between the brackets of the pattern no quote
    is escaped, and the document begins and ends outside of any text: no value of a row can look like it.
    """
    match = _AT_TAIL.search(body, max(0, len(body) - _PEEK)) or _AT_HEAD.match(body[:_PEEK])
    return json.loads(match[1]) if match else None


class PageWalk:
    """All pages of a listing, in order, loaded ahead of being asked for.

    `load` starts a request and decodes what comes; the future's page is awaited here. It calls the function
    that it is given with the body as soon as that is there: so the next page is under way while this one is
    decoded. `expected_rows`, if known from last time, tells which pages to load at once; whether they belong
    to the read is still decided by following Next, page by page, so a wrong expectation costs requests and
    never rows.
    """

    def __init__(
        self,
        listing: Listing,
        load: Callable[[PageRef, Callable[[bytes], None]], Future[Page]],
        *,
        page_size: int,
        max_pages: int,
        ahead: int,
        expected_rows: int = 0,
    ) -> None:
        self._listing = listing
        self._load = load
        self._size = page_size
        self._max_pages = max_pages
        self._ahead = ahead
        self._known = min(-(-expected_rows // page_size), max_pages)
        self._reached = 1
        self._loading: dict[PageRef, Future[Page]] = {}
        self._lock = threading.Lock()
        self._over = False
        self.short: list[int] = []

    def __iter__(self) -> Iterator[Page]:
        here: PageRef | None = PageRef(1, self._size)
        rows = 0
        try:
            while here is not None:
                self._reached = here.number
                if here.size == self._size:
                    for number in range(here.number, min(self._known, here.number + self._ahead - 1) + 1):
                        self._start(PageRef(number, self._size))
                page = self._start(here).result()
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
                    self.short.append(here.number)
                here = there
        finally:
            with self._lock:
                self._over = True
                for future in self._loading.values():
                    future.cancel()

    def _start(self, ref: PageRef) -> Future[Page]:
        with self._lock:
            if ref not in self._loading:
                self._loading[ref] = self._load(ref, lambda body: self._glance(ref, body))
            return self._loading[ref]

    def _glance(self, here: PageRef, body: bytes) -> None:
        """Start loading the page after `here`, if a look at its body tells that there is one."""
        try:
            there = following(peek(body), here, -1, self._listing)
        except MalformedAnswerError:
            return  # said again, aloud, once the page is decoded
        if (
            there
            and there.size == here.size
            and there.number <= min(self._max_pages, self._reached + self._ahead)
        ):
            with self._lock:
                if not self._over and there not in self._loading:
                    self._loading[there] = self._load(there, lambda body: self._glance(there, body))

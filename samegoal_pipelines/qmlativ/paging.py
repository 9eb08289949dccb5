"""One listing as it is requested, the rules of `Paging.Next`, and a walk over all pages that loads ahead.

Only the page number and size are taken from `Next`. The requested path is built here, so an answer cannot
redirect a request elsewhere.

    {"Objects": [...], "Paging": {"Next": "/Custom/1/Enrollment/EntryWithdrawal/2/10000"}}
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from samegoal_pipelines.qmlativ.decode import Page, PageDecoder
from samegoal_pipelines.qmlativ.errors import MalformedAnswerError
from samegoal_pipelines.qmlativ.transport import Answer
from samegoal_pipelines.tables.declaration import Column, QmlativObject

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.client import QmlativClient

_FIRST = (
    *("SchoolYear", "Entity"),  # others wait for these
    *("NameAddress", "NamePhone", "StudentGuardian", "NameEmail", "Name", "Student"),
    *("EntryWithdrawal", "Address"),
)
"""Then the objects with the most rows: a long listing that starts late ends last. The rest are short."""
_NEXT = re.compile(r"/?(Custom/\d{1,9}/\w+/\w+)/(\d{1,9})/(\d{1,9})", re.ASCII)
_PAGING_LAST = re.compile(rb'\]\s*,\s*"Paging"\s*:\s*\{\s*"Next"\s*:\s*("[^"\\]*"|null)\s*\}\s*\}\s*\Z')
_PEEK = 1024
SearchCondition = dict[str, Any]


class PageRef(NamedTuple):
    """A page: its number, from 1, and the maximum number of rows per page."""

    number: int
    size: int


class Listing:
    """One object for one school year, or the rows of it that meet a condition.

    Attributes:
        fields: the granted fields.
        path: the path relative to the base URL, without page and size.
        label: the name in errors.
        finds_keys: whether the server can search for keys, as far as known.
    """

    def __init__(
        self,
        client: QmlativClient,
        wanted: QmlativObject,
        year: int | None,
        only_rows: SearchCondition | None = None,
    ) -> None:
        self.client, self.wanted, self.year, self._only_rows = client, wanted, year, only_rows
        self.fields = client.granted(wanted)
        self.path = f"/Custom/{client.entity_id}/{wanted.path}"
        self.label = wanted.listing(year, in_part=only_rows is not None)
        self.decode = PageDecoder(self.fields).decode
        self.priority = 1 + (*_FIRST, wanted.name).index(wanted.name)
        self.finds_keys = True

    def where(self, number: int) -> str:
        """The page's name in errors."""
        return f"{self.label}, page {number}"

    def ask(
        self, where: str, page: PageRef, fields: Sequence[Column], on_key: Sequence[dict[str, Any]] = ()
    ) -> Answer:
        """Request a page of these fields, ordered by primary key, with the conditions on the rows."""
        query: dict[str, Any] = {} if self.year is None else {"SchoolYearID": self.year}
        query |= {f"searchFields[{number}]": each.name for number, each in enumerate(fields)}
        conditions: list[dict[str, Any]] = []
        if self.wanted.only:
            flag = {"FieldName": self.wanted.only, "ConditionType": "Equal", "Value": "true"}
            conditions.append({"StringSearchCondition": flag})
        if self._only_rows:
            conditions.append(self._only_rows)
        conditions += [{"LongSearchCondition": condition} for condition in on_key]
        search: dict[str, Any] = {"SearchSort": [{"FieldName": self.wanted.key, "Descending": False}]}
        if conditions:
            group = {"ConditionGroupType": "And", "Conditions": conditions}
            search["SearchCondition"] = {"SearchConditionGroup": group}
        path = f"{self.path}/{page.number}/{page.size}?{urlencode(query)}"
        return self.client.ask(where, "POST", path, json=search)


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
    with suppress(ValueError):  # such as invalid UTF-8
        return json.loads(match[1]) if match else None
    return None


class PageWalk:
    """All pages of a listing, in order, loaded ahead.

    The next page loads as soon as a body has arrived, while it is decoded. `expected_rows`, if known from
    last time, says which pages to load at once. Following Next still decides which pages belong to the read,
    so a wrong expectation costs requests but never rows. `short` counts short pages before the last, and
    `retries` the repeated requests.
    """

    def __init__(self, listing: Listing, expected_rows: int) -> None:
        self._listing, connection = listing, listing.client.connection
        self._size, self._max_pages = connection.page_size, connection.max_pages
        self._known = min(-(-expected_rows // self._size), self._max_pages)
        self._ahead, self._room = connection.connections, connection.max_bytes
        self._reached = 1
        self._loading: dict[PageRef, Future[Page]] = {}
        self._lock = threading.Lock()  # several threads load pages
        self._over = False
        self.short = self.retries = 0

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

    def _start(self, page: PageRef) -> None:
        """Load a page, unless it is loading already or the walk is over."""
        with self._lock:
            if not self._over and page not in self._loading:
                self._loading[page] = self._listing.client.workers.submit(
                    partial(self._body, page),
                    partial(self._listing.decode, where=self._listing.where(page.number)),
                    priority=self._listing.priority,
                )

    def _body(self, here: PageRef) -> bytes:
        """Load a page, and start the one after it if its body already shows it. Runs on a connection."""
        where = self._listing.where(here.number)
        answer = self._listing.ask(where, here, self._listing.fields)
        with self._lock:
            self.retries += answer.retries
            self._room -= len(answer.body)
            if self._room < 0:
                most = self._listing.client.connection.max_bytes // 2**20
                raise MalformedAnswerError(
                    f"the pages so far are larger than {most:,} MB, more than any district has: nothing of "
                    "this object was kept",
                    where,
                )
        with suppress(MalformedAnswerError):  # raised again once the page is decoded
            there = following(peek(answer.body), here, -1, self._listing)
            if there and there.number <= min(self._max_pages, self._reached + self._ahead):
                self._start(there)
        return answer.body

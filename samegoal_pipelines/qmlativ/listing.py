"""Read all of one object for one school year: walk and merge the pages, and read again if they do not fit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pyarrow as pa

from samegoal_pipelines.errors import REPORT, Kind
from samegoal_pipelines.qmlativ.decode import Page, PageDecoder
from samegoal_pipelines.qmlativ.errors import (
    AccessRefusedError,
    MalformedAnswerError,
    QmlativError,
    RequestRefusedError,
    SourceUnavailableError,
)
from samegoal_pipelines.qmlativ.merging import (
    InconsistentPagesError,
    MergedPages,
    gaps_between,
    merge_pages,
    questions,
    same_rows,
)
from samegoal_pipelines.qmlativ.paging import Listing, PageRef, PageWalk
from samegoal_pipelines.tables.declaration import UNREADABLE, Column, QmlativObject

if TYPE_CHECKING:
    from samegoal_pipelines.qmlativ.client import QmlativClient

_FIRST = (
    *("SchoolYear", "Entity"),  # others wait for these
    *("NameAddress", "NamePhone", "StudentGuardian", "NameEmail", "Name", "Student"),
    *("EntryWithdrawal", "Address"),
)
"""Then the objects with the most rows: a long listing that starts late ends last. The rest are short."""
ATTEMPTS = 3  # to read an object until its pages fit
ROWS_THAT_TELL = 20  # fewer rows may be wrong by chance
SEARCH_FAILED = (RequestRefusedError, AccessRefusedError, MalformedAnswerError, SourceUnavailableError)
"""What a server may answer to a search that it does not support."""
Progress = Callable[[int], None]
"""Called with the rows of each page."""
SearchCondition = dict[str, Any]


class Reading(NamedTuple):
    """An object's rows, and the account of the read: counts and names, never a value.

    The account is the object's row in the table of reads (`tables.reads`), with lists that are not JSON yet.
    """

    table: pa.Table
    account: dict[str, Any]


def count_rows(table: pa.Table) -> dict[str, int]:
    """The columns of an account that depend on the kept rows."""
    return {"Rows": table.num_rows, "Unreadable": table.num_rows - table[UNREADABLE.name].null_count}


class ListingReader:
    """Reads one listing on the client's connections."""

    def __init__(
        self,
        client: QmlativClient,
        wanted: QmlativObject,
        year: int | None,
        only_rows: SearchCondition | None = None,
    ) -> None:
        self._client, self._connection = client, client.connection
        self._wanted, self._year, self._only_rows = wanted, year, only_rows
        self._fields = client.granted(wanted)
        label = wanted.listing(year, in_part=only_rows is not None)
        self._listing = Listing(f"/Custom/{client.entity_id}/{wanted.path}", label)
        self._priority = 1 + (*_FIRST, wanted.name).index(wanted.name)
        self._decoder = PageDecoder(self._fields)
        self._query = _query(self._fields, year)
        self._search = _search(wanted, only_rows)
        self._lock = threading.Lock()  # several threads load pages
        self._pages = self._retries = self._bytes = self._short = 0
        self._absent: frozenset[str] = frozenset()
        self._can_ask_for_keys = True

    def read(self, expected_rows: int | None = None, progress: Progress | None = None) -> Reading:
        """Read all rows. Raises `QmlativError` if the pages did not fit on any attempt.

        If a read cannot show whether rows were lost between its pages, because the server does not sort or
        search by key, the next read must return the same rows.
        """
        started = time.monotonic()
        last: pa.Table | None = None
        for reread in range(ATTEMPTS):
            try:
                merged, gaps_checked = self._once(expected_rows or 0, progress)
            except InconsistentPagesError:
                last = None
                continue
            if gaps_checked or (last is not None and same_rows(merged.table, last)):
                seconds = round(time.monotonic() - started, 3)
                return self._reading(merged, Rereads=reread, GapsChecked=gaps_checked, Seconds=seconds)
            last = merged.table
        raise QmlativError("data changed while it was read", self._listing.label, transient=True)

    def has_rows(self) -> bool:
        """Whether the listing has any row, by a request for one."""
        page: Page = self._load(PageRef(1, size=1), lambda _: None).result()
        return bool(page.table.num_rows)

    def _once(self, expected_rows: int, progress: Progress | None) -> tuple[MergedPages, bool]:
        """The rows of one walk, and whether it is certain that no row was lost between two pages."""
        self._bytes = 0
        walk = PageWalk(self._listing, self._load, self._connection, expected_rows)
        tables: list[pa.Table] = []
        absent: list[frozenset[str]] = []
        seen: dict[tuple[int | None, int | None], int] = {}  # first and last key → the page
        for number, page in enumerate(walk, start=1):
            keys = page.table[self._wanted.key]
            ends = (keys[0].as_py(), keys[-1].as_py()) if len(keys) else (None, None)
            if ends[0] != ends[1] and (earlier := seen.setdefault(ends, number)) != number:
                raise MalformedAnswerError(
                    f"brings the rows of page {earlier} again: Paging.Next runs in a circle",
                    self._listing.where(number),
                )
            self._pages += 1
            tables.append(page.table)
            if page.table.num_rows:
                absent.append(page.absent)
            if progress:
                progress(page.table.num_rows)
        self._short = walk.short
        self._absent = frozenset.intersection(*absent) if absent else frozenset()
        for asked in self._fields:
            if asked.name in self._absent and not asked.optional:
                raise AccessRefusedError(
                    f"the field {asked.name} is missing from every row", self._listing.label
                )
        merged = merge_pages(tables, self._wanted.key, keep_repeats=self._wanted.keep_repeats)
        return merged, self._gaps_checked(tables, merged.in_order)

    def _gaps_checked(self, tables: Sequence[pa.Table], in_order: bool) -> bool:
        """Whether it is certain that no row was lost. Raises `InconsistentPagesError` if one was.

        It is certain for a single page, and if Qmlativ can search for the keys between the pages.
        """
        if len(tables) == 1:
            return True
        if not (in_order and self._can_ask_for_keys):
            return False
        gaps = gaps_between(tables, self._wanted.key)
        asked = [
            self._client.workers.submit(partial(self._keys_found, each))
            for each in questions(gaps, self._wanted.key)
        ]
        try:
            found = [key for each in asked for key in each.result()]
        except SEARCH_FAILED:  # the pages arrived, so this search is the problem
            self._can_ask_for_keys = False
            return False
        if any(key in gap for key in found for gap in gaps):
            raise InconsistentPagesError
        return not found  # a server that ignores conditions returns other keys

    def _keys_found(self, conditions: Sequence[dict[str, Any]]) -> list[int | None]:
        """The keys of this listing's rows that meet the conditions. Runs on a connection."""
        where = f"{self._listing.label}, check between pages"
        key = self._wanted.fields[0]
        answer = self._client.ask(
            where,
            "POST",
            f"{self._listing.path}/1/{self._connection.page_size}?{_query([key], self._year)}",
            json=_search(self._wanted, self._only_rows, conditions),
        )
        return list(PageDecoder([key]).decode(answer.body, where).table[key.name].to_pylist())

    def _load(self, ref: PageRef, glance: Callable[[bytes], None]) -> Future[Page]:
        return self._client.workers.submit(
            partial(self._body, ref, glance),
            partial(self._decoder.decode, where=self._listing.where(ref.number)),
            priority=self._priority,
        )

    def _body(self, ref: PageRef, glance: Callable[[bytes], None]) -> bytes:
        """Load one page. Runs on a connection."""
        where = self._listing.where(ref.number)
        path = f"{self._listing.path}/{ref.number}/{ref.size}?{self._query}"
        answer = self._client.ask(where, "POST", path, json=self._search)
        with self._lock:
            self._retries += answer.retries
            self._bytes += len(answer.body)
            if self._bytes > self._connection.max_bytes:
                raise MalformedAnswerError(
                    f"the pages so far are larger than {self._connection.max_bytes // 2**20:,} MB, more than "
                    "any district has: nothing of this object was kept",
                    where,
                )
        glance(answer.body)
        return answer.body

    def _reading(self, merged: MergedPages, **facts: Any) -> Reading:
        """The table with all declared columns, and its account."""
        rows = merged.table.num_rows
        columns = {
            each.name: merged.table[each.name] if each in self._fields else pa.nulls(rows, each.arrow_type)
            for each in self._wanted.fields
        }
        asked = [each.name for each in self._fields]
        account: dict[str, Any] = {
            "Path": self._listing.path,
            "Fields": asked,
            "Missing": sorted({*columns} - {*asked} | self._absent),
            "SchoolYearIDs": [] if self._year is None else [self._year],
            "YearsNotRead": [],
            "Arrived": {self._listing.label: rows},
            **count_rows(merged.table),
            "Repeats": merged.repeats,
            "Pages": self._pages,
            "ShortPages": self._short,
            "Retries": self._retries,
            **facts,
        }
        if account["Unreadable"] == rows >= ROWS_THAT_TELL:  # the field has changed, not some rows
            detail = "a field has a wrong type in every row"
            raise QmlativError(detail, self._listing.label, kind=Kind.DEFECT, next_step=REPORT)
        return Reading(pa.table({**columns, UNREADABLE.name: merged.table[UNREADABLE.name]}), account)


def _query(asked: Sequence[Column], school_year_id: int | None) -> str:
    year = {} if school_year_id is None else {"SchoolYearID": school_year_id}
    return urlencode({**year, **{f"searchFields[{number}]": each.name for number, each in enumerate(asked)}})


def _search(
    wanted: QmlativObject, only_rows: SearchCondition | None, on_key: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The search: order by primary key, and conditions on the rows."""
    conditions: list[dict[str, Any]] = []
    if wanted.only:
        flag = {"FieldName": wanted.only, "ConditionType": "Equal", "Value": "true"}
        conditions.append({"StringSearchCondition": flag})
    if only_rows:
        conditions.append(only_rows)
    conditions += [{"LongSearchCondition": condition} for condition in on_key]
    search: dict[str, Any] = {"SearchSort": [{"FieldName": wanted.key, "Descending": False}]}
    if conditions:
        group = {"ConditionGroupType": "And", "Conditions": conditions}
        search["SearchCondition"] = {"SearchConditionGroup": group}
    return search

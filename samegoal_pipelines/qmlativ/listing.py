"""Read all of one listing: merge its pages, and read again if they do not fit.

Rows can be inserted, deleted and changed while a client pages. Every read is ordered by the primary key, so
the keys must rise over all pages. If a row of an earlier page is deleted, all later rows move up by one, and
the first row of the next page slips onto a page that was already read. The pages do not show this. But the
lost row's key is between the last key of one page and the first key of the next, so a search for keys in
these gaps finds it. After an empty last page, whose rows may all have slipped, the gap has no end. That is
one small request per object, or none if the keys have no gaps.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
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
from samegoal_pipelines.qmlativ.paging import Listing, PageRef, PageWalk
from samegoal_pipelines.tables.declaration import UNREADABLE, YEAR_ASKED

ATTEMPTS = 3  # to read an object until its pages fit
ROWS_THAT_TELL = 20  # fewer rows may be wrong by chance
_NARROW = 100  # keys; a wider gap is searched by its ends
_LONGEST_LIST = 1000
_HIGHEST_KEY = 2**63 - 1
SEARCH_FAILED = (RequestRefusedError, AccessRefusedError, MalformedAnswerError, SourceUnavailableError)
"""What a server may answer to a search that it does not support."""
Progress = Callable[[int], None]
"""Called with the rows of each page."""


class InconsistentPagesError(Exception):  # `read_listing` catches it and reads again
    """The pages of one read are not one set of rows, because something changed between two of them."""


class Reading(NamedTuple):
    """An object's rows, and the account of the read: counts and names, never a value.

    The account is the object's row in the table of reads (`tables.reads`), with lists that are not JSON yet.
    """

    table: pa.Table
    account: dict[str, Any]


def count_rows(table: pa.Table) -> dict[str, int]:
    """The columns of an account that depend on the kept rows."""
    return {"Rows": table.num_rows, "Unreadable": table.num_rows - table[UNREADABLE.name].null_count}


def read_listing(listing: Listing, expected_rows: int, progress: Progress | None) -> Reading:
    """Read all rows. Raises `QmlativError` if the pages did not fit on any attempt.

    If a read cannot show whether rows were lost between its pages, because the server does not sort or
    search by key, the next read must return the same rows.
    """
    started = time.monotonic()
    last: pa.Table | None = None
    pages_read = retries = 0
    for reread in range(ATTEMPTS):
        walk = PageWalk(listing, expected_rows)
        pages = _read_pages(listing, walk, progress)
        tables = [page.table for page in pages]
        pages_read, retries = pages_read + len(pages), retries + walk.retries
        try:
            table, repeats, in_order = merge_pages(
                tables, listing.wanted.key, keep_repeats=listing.wanted.keep_repeats
            )
            certain = len(pages) == 1 or (in_order and _no_key_in_gaps(listing, tables))
        except InconsistentPagesError:
            last = None
            continue
        if certain or (last is not None and same_rows(table, last)):
            account = {
                "Repeats": repeats,
                "Pages": pages_read,
                "ShortPages": walk.short,
                "Retries": retries,
                "Rereads": reread,
                "GapsChecked": certain,
                "Seconds": round(time.monotonic() - started, 3),
            }
            return _reading(listing, table, _fields_in_no_row(pages), account)
        last = table
    raise QmlativError("data changed while it was read", listing.label, transient=True)


def _read_pages(listing: Listing, walk: PageWalk, progress: Progress | None) -> list[Page]:
    """The pages of one walk. Raises `QmlativError` if pages repeat or a required field is in no row."""
    pages: list[Page] = []
    seen: dict[tuple[int | None, int | None], int] = {}  # first and last key → the page
    for number, page in enumerate(walk, start=1):
        keys = page.table[listing.wanted.key]
        ends = (keys[0].as_py(), keys[-1].as_py()) if len(keys) else (None, None)
        if ends[0] != ends[1] and (earlier := seen.setdefault(ends, number)) != number:
            raise MalformedAnswerError(
                f"brings the rows of page {earlier} again: Paging.Next runs in a circle",
                listing.where(number),
            )
        pages.append(page)
        if progress:
            progress(page.table.num_rows)
    absent = _fields_in_no_row(pages)
    for asked in listing.fields:
        if asked.name in absent and not asked.optional:
            raise AccessRefusedError(f"the field {asked.name} is missing from every row", listing.label)
    return pages


def _fields_in_no_row(pages: Sequence[Page]) -> frozenset[str]:
    absent = [page.absent for page in pages if page.table.num_rows]
    return frozenset.intersection(*absent) if absent else frozenset()


def _no_key_in_gaps(listing: Listing, tables: Sequence[pa.Table]) -> bool:
    """Whether Qmlativ finds no row between these pages. False if it cannot search for their keys.

    Raises `InconsistentPagesError` if a row was lost.
    """
    if not listing.finds_keys:
        return False
    key, where = listing.wanted.fields[0], f"{listing.label}, check between pages"
    first_page = PageRef(1, listing.client.connection.page_size)

    def keys_found(conditions: Sequence[dict[str, Any]]) -> list[int | None]:
        answer = listing.ask(where, first_page, [key], conditions)
        return list(PageDecoder([key]).decode(answer.body, where).table[key.name].to_pylist())

    gaps = gaps_between(tables, key.name)
    submit = listing.client.workers.submit
    asked = [submit(partial(keys_found, each)) for each in questions(gaps, key.name)]
    try:
        found = [key for each in asked for key in each.result()]
    except SEARCH_FAILED:  # the pages arrived, so this search is the problem
        listing.finds_keys = False
        return False
    if any(key in gap for key in found for gap in gaps):
        raise InconsistentPagesError
    return not found  # a server that ignores conditions returns other keys


def _reading(listing: Listing, table: pa.Table, absent: frozenset[str], facts: dict[str, Any]) -> Reading:
    """The table with the columns of `QmlativObject.table`, and its account."""
    rows, asked = table.num_rows, [each.name for each in listing.fields]
    columns = {
        each.name: table[each.name] if each.name in asked else pa.nulls(rows, each.arrow_type)
        for each in listing.wanted.fields
    }
    account: dict[str, Any] = {
        "Path": listing.path,
        "Fields": asked,
        "Missing": sorted({*columns} - {*asked} | absent),
        "SchoolYearIDs": [] if listing.year is None else [listing.year],
        "YearsNotRead": [],
        "Arrived": {listing.label: rows},
        **count_rows(table),
        **facts,
    }
    if account["Unreadable"] == rows >= ROWS_THAT_TELL:  # the field has changed, not some rows
        detail = "a field has a wrong type in every row"
        raise QmlativError(detail, listing.label, kind=Kind.DEFECT, next_step=REPORT)
    if listing.wanted.year_column == YEAR_ASKED.name:
        columns[YEAR_ASKED.name] = pa.repeat(pa.scalar(listing.year, YEAR_ASKED.arrow_type), rows)
    return Reading(pa.table({**columns, UNREADABLE.name: table[UNREADABLE.name]}), account)


def merge_pages(pages: Sequence[pa.Table], key: str, *, keep_repeats: bool) -> tuple[pa.Table, int, bool]:
    """The rows of one read, the number of exact repeats, and whether keys only rise.

    Exact repeats are dropped unless `keep_repeats`. Raises `InconsistentPagesError` if a key came with
    different contents (not with `keep_repeats`). Rows with a null or unreadable key stay as they are.
    """
    table = pa.concat_tables(pages)
    keys = np.asarray(table[key].drop_null())
    steps = np.diff(keys)
    if (steps > 0).all():
        return table, 0, True
    repeats = len(keys) - len(np.unique(keys))
    if repeats and not keep_repeats:
        rows, table = table.num_rows, without_repeats(table, key)
        if rows - table.num_rows < repeats:
            raise InconsistentPagesError
        steps = np.diff(np.asarray(table[key].drop_null()))
    return table, repeats, bool((steps >= 0).all())


def same_rows(one: pa.Table, other: pa.Table) -> bool:
    """Whether two reads of an object returned the same rows, in any order."""
    order = [(name, "ascending") for name in one.column_names]
    return bool(one.equals(other) or one.sort_by(order).equals(other.sort_by(order)))


def without_repeats(table: pa.Table, key: str) -> pa.Table:
    """The rows without exact repeats. Rows with a null key all stay."""
    repeated = table.to_pandas(types_mapper=pd.ArrowDtype).duplicated().to_numpy()
    return table.filter(pa.array(~repeated | np.asarray(table[key].is_null())))


def gaps_between(pages: Sequence[pa.Table], key: str) -> list[range]:
    """The keys between the pages of an ordered read, and after them if the last page is empty.

    Rows without a readable key do not count.
    """
    readable = [keys for page in pages if len(keys := page[key].drop_null())]
    gaps = [range(before[-1].as_py() + 1, after[0].as_py()) for before, after in pairwise(readable)]
    if readable and not pages[-1].num_rows:
        gaps.append(range(readable[-1][-1].as_py() + 1, _HIGHEST_KEY))
    return [gap for gap in gaps if gap]


def questions(gaps: Sequence[range], key: str) -> list[list[dict[str, Any]]]:
    """The search conditions of each request: narrow gaps as lists of keys, each wide gap by its ends."""
    wide = [gap for gap in gaps if gap.stop - gap.start > _NARROW]
    keys = [value for gap in gaps if gap not in wide for value in gap]
    lists = [keys[start : start + _LONGEST_LIST] for start in range(0, len(keys), _LONGEST_LIST)]
    return [
        *([{"FieldName": key, "ConditionType": "List", "List": some}] for some in lists),
        *(
            [
                {"FieldName": key, "ConditionType": "GreaterEqual", "Value": gap.start},
                {"FieldName": key, "ConditionType": "Less", "Value": gap.stop},
            ]
            for gap in wide
        ),
    ]

"""Merge the pages of one read, and detect whether the data changed during the read.

Rows can be inserted, deleted and changed while a client pages. Every read is ordered by the primary key, so
the keys must rise over all pages. If a row of an earlier page is deleted, all later rows move up by one, and
the first row of the next page slips onto a page that was already read. The pages do not show this. But the
lost row's key is between the last key of one page and the first key of the next, so a search for keys in
these gaps finds it. That is one small request per object, or none if the keys have no gaps.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

_NARROW = 100  # keys; a wider gap is searched by its ends
_LONGEST_LIST = 1000


class InconsistentPagesError(Exception):  # `listing` catches it and reads again
    """The pages of one read are not one set of rows, because something changed between two of them."""


class MergedPages(NamedTuple):
    """One read's rows. `repeats` counts exact repeats. `in_order` says whether keys only rise."""

    table: pa.Table
    repeats: int
    in_order: bool


def merge_pages(pages: Sequence[pa.Table], key: str, *, keep_repeats: bool) -> MergedPages:
    """Merge the pages of one read. Exact repeats are dropped and counted, unless `keep_repeats`.

    Raises `InconsistentPagesError` if a key came with different contents (not with `keep_repeats`). Rows with
    a null or unreadable key stay as they are.
    """
    table = pa.concat_tables(pages)
    keys = np.asarray(table[key].drop_null())
    steps = np.diff(keys)
    if (steps > 0).all():
        return MergedPages(table, 0, in_order=True)
    repeats = len(keys) - len(np.unique(keys))
    if repeats and not keep_repeats:
        rows, table = table.num_rows, without_repeats(table, key)
        if rows - table.num_rows < repeats:
            raise InconsistentPagesError
        steps = np.diff(np.asarray(table[key].drop_null()))
    return MergedPages(table, repeats, in_order=bool((steps >= 0).all()))


def same_rows(one: pa.Table, other: pa.Table) -> bool:
    """Whether two reads of an object returned the same rows, in any order."""
    order = [(name, "ascending") for name in one.column_names]
    return bool(one.equals(other) or one.sort_by(order).equals(other.sort_by(order)))


def without_repeats(table: pa.Table, key: str) -> pa.Table:
    """The rows without exact repeats. Rows with a null key all stay."""
    repeated = table.to_pandas(types_mapper=pd.ArrowDtype).duplicated().to_numpy()
    return table.filter(pa.array(~repeated | np.asarray(table[key].is_null())))


def gaps_between(pages: Sequence[pa.Table], key: str) -> list[range]:
    """The keys between the pages of an ordered read. Rows without a readable key do not count."""
    readable = [keys for page in pages if len(keys := page[key].drop_null())]
    gaps = [range(before[-1].as_py() + 1, after[0].as_py()) for before, after in pairwise(readable)]
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

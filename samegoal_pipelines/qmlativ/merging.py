"""Merge the pages of one read, and detect whether the data changed during the read.

Rows can be inserted, deleted and changed while a client pages. Every read is ordered by the primary key, so
the keys must rise over all pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa


class InconsistentPagesError(Exception):  # `listing` catches it and reads again
    """The same key came with two contents, because something changed between two pages."""


class MergedPages(NamedTuple):
    """One read's rows. `repeats` counts dropped exact repeats. `in_order` says whether keys only rise.

    `gaps_checked` is false if a row lost between two pages would go unnoticed.
    """

    table: pa.Table
    pages: int
    repeats: int
    in_order: bool
    gaps_checked: bool = True


def merge_pages(pages: Sequence[pa.Table], key: str, *, keep_repeats: bool) -> MergedPages:
    """Merge the pages of one read. Exact repeats are dropped and counted, unless `keep_repeats`.

    Raises `InconsistentPagesError` if a key came with different contents (not with `keep_repeats`). Rows with
    a null or unreadable key stay as they are.
    """
    table = pa.concat_tables(pages)
    keys = _keys(table, key)
    steps = np.diff(keys)
    if (steps > 0).all():
        return MergedPages(table, len(pages), 0, True)
    distinct, counts = np.unique(keys, return_counts=True)
    repeats = int(counts.sum() - len(distinct))
    if keep_repeats:
        return MergedPages(table, len(pages), repeats, bool((steps >= 0).all()))
    if repeats:
        table = without_repeats(table, [key])
        keys = _keys(table, key)
        if len(keys) != len(distinct):
            raise InconsistentPagesError
    return MergedPages(table, len(pages), repeats, bool((np.diff(keys) > 0).all()))


def same_rows(one: MergedPages, other: MergedPages) -> bool:
    """Whether two reads of an object returned the same rows, in any order."""
    if one.table.num_rows != other.table.num_rows:
        return False
    return bool(one.table.equals(other.table) or _sorted(one.table).equals(_sorted(other.table)))


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(name, "ascending") for name in table.column_names])


def without_repeats(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows without exact repeats."""
    # Compare only rows with a repeated key.
    keys = list(zip(*(table[name].to_pylist() for name in key), strict=True))
    counts = Counter(keys)
    suspects = [row for row, value in enumerate(keys) if counts[value] > 1 and None not in value]
    if not suspects:
        return table
    seen: set[tuple[object, ...]] = set()
    keep = np.ones(table.num_rows, dtype=bool)
    columns = table.take(pa.array(suspects)).to_pydict().values()
    for row, content in zip(suspects, zip(*columns, strict=True), strict=True):
        keep[row] = content not in seen
        seen.add(content)
    return table.filter(pa.array(keep))


def _keys(table: pa.Table, key: str) -> np.ndarray:
    return np.asarray(table[key].drop_null())

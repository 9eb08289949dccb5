"""Checks over whole columns: a boolean per row, computed by Arrow or numpy, true if the row is sound.

Which table has which check is declared in `checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

Mask: TypeAlias = pd.Series


def arrow(column: pd.Series) -> pyarrow.Array:
    """The column as one Arrow array."""
    values = pyarrow.array(column.array)
    return values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values


def mask(values: pyarrow.Array, *, null: bool = True) -> Mask:
    """A check's answer from an Arrow array of booleans, with `null` in place of unknown values."""
    if values.null_count:
        if null and pc.all(values).as_py():  # usually there is nothing to fill
            return all_true(len(values))
        values = values.fill_null(null)
    return pd.Series(values.to_numpy(zero_copy_only=False))


def all_true(rows: int) -> Mask:
    """The answer of a check that all rows pass."""
    return pd.Series(np.ones(rows, bool))


def given(column: pd.Series) -> Mask:
    """True if the column is not null."""
    values = arrow(column)
    return mask(values.is_valid()) if values.null_count else all_true(len(values))


def not_before(later: pd.Series, earlier: pd.Series) -> Mask:
    """True unless one day is before the other. A missing day passes."""
    return mask(pc.greater_equal(arrow(later), arrow(earlier)))


def each_text(column: pd.Series, judge: Callable[[pyarrow.Array], pyarrow.Array]) -> Mask:
    """The result of `judge` for each text, called once per distinct text. Null passes."""
    texts = arrow(column)
    if not pyarrow.types.is_dictionary(texts.type):
        return mask(judge(texts))
    fine = judge(texts.dictionary).to_numpy(zero_copy_only=False)
    if fine.all():
        return all_true(len(texts))
    return pd.Series(np.append(fine, True)[texts.indices.fill_null(len(fine)).to_numpy()])


def one_of(column: pd.Series, values: Iterable[str]) -> Mask:
    """True for a text that is one of these, or null."""
    allowed = pyarrow.array([*values, None])
    return each_text(column, lambda texts: pc.is_in(texts, value_set=allowed))


def unique(frame: pd.DataFrame, key: tuple[str, ...], *, null: bool = False) -> Mask:
    """True if a key is in one row only, because lookups need unique keys. With `null`, null may repeat."""
    values = arrow(frame[key[0]])
    if len(key) == 1 and not values.null_count and pyarrow.types.is_integer(values.type):
        # sorting integers is the fastest test of uniqueness
        keys = values.to_numpy()
        if (keys[1:] > keys[:-1]).all() or (np.diff(np.sort(keys)) != 0).all():
            return all_true(len(keys))
    repeated = frame.duplicated(subset=list(key), keep=False)
    if null:
        repeated &= frame[list(key)].notna().all(axis="columns")
    return ~repeated.reset_index(drop=True)


def mostly(plausible: Mask, *, share: float = 0.01, rows: int = 10) -> Mask:
    """The mask, or all true if it fails in so few rows that they are odd rather than read wrongly.

    Some schools write a birth date in 1900 for "unknown", which must not stop a district. A tenth of all
    birth dates in 1900 is a fault.
    """
    odd = len(plausible) - int(plausible.sum())
    return plausible if odd > max(rows, share * len(plausible)) else all_true(len(plausible))


def years_between(column: pd.Series, first: int, last: int) -> Mask:
    """True for a day in these years (both inclusive) or a missing day."""
    bounds = [pyarrow.scalar(pd.Timestamp(year, 1, 1).date(), pyarrow.date32()) for year in (first, last + 1)]
    values = arrow(column)
    return mask(pc.and_(pc.greater_equal(values, bounds[0]), pc.less(values, bounds[1])))

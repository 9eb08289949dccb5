"""The bridge between pandas frames and the arrays that the transforms compute on.

Ids and days are plain numpy integers in which a null is `MISSING` or `NO_DAY`. Text stays in Arrow. No rule
about enrollments or people lives here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.checks import arrow
from samegoal_pipelines.tables.vocabulary import PLACEHOLDER_DATES

Columns = Mapping[str, pa.Array]
Frames = Mapping[str, pd.DataFrame]
"""Frames by name: Qmlativ object → its rows, or landed table → its rows."""

MISSING = np.iinfo(np.int64).min  # stands for a null id in numpy; Qmlativ never uses it
NO_DAY = np.iinfo(np.int32).min  # stands for a null day; days count from `EPOCH`
FOREVER = np.iinfo(np.int32).max  # stands for a null end day
NOWHERE = -1  # the result of a lookup that found no row
EPOCH = date(1970, 1, 1)

_PLACEHOLDER_DAYS = sorted((day - EPOCH).days for day in PLACEHOLDER_DATES)
*_EARLY_PLACEHOLDERS, _LAST_PLACEHOLDER = _PLACEHOLDER_DAYS

# Use a dense table from id to row while the range of ids is at most this many times their number.
DENSE_ENOUGH = 4


def columns_of(frame: pd.DataFrame) -> dict[str, pa.Array]:
    """The frame's columns as contiguous Arrow arrays, copied only if necessary."""
    return {str(name): arrow(column) for name, column in frame.items()}


def frame_of(columns: Columns) -> pd.DataFrame:
    """A pandas frame on Arrow columns, without a copy."""
    return pd.DataFrame({name: pd.arrays.ArrowExtensionArray(values) for name, values in columns.items()})


def frame_from(records: Iterable[Mapping[str, Any]], types: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """A pandas frame on Arrow columns of these types, from rows as dictionaries."""
    table = pa.Table.from_pylist(list(records), pa.schema(types))
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries of plain values, null as None."""
    rows: list[dict[str, Any]] = pa.table(columns_of(frame)).to_pylist()
    return rows


def ids(values: pa.Array) -> np.ndarray:
    """Integers as int64, null as `MISSING`."""
    return _filled(values, MISSING)


def days(dates: pa.Array, null: int = NO_DAY) -> np.ndarray:
    """Dates as days since 1970 (int32), null as `null`."""
    return _filled(dates.view(pa.int32()), null)


def dates(values: np.ndarray) -> pa.Array:
    """Days since 1970 as dates, `NO_DAY` as null."""
    return _masked(values, values == NO_DAY).view(pa.date32())


def flags(values: pa.Array) -> np.ndarray:
    """Flags as booleans; null counts as false."""
    return _filled(values, False)


def present(values: pa.Array) -> np.ndarray:
    """True where a value is not null."""
    return np.asarray(values.is_valid())


def storable(texts: pa.Array) -> pa.Array:
    """Texts without NUL, which Postgres cannot store."""
    data = texts.buffers()[2] if len(texts) else None
    if data is not None and not np.frombuffer(data, np.uint8).all():  # check all texts at once
        texts = pc.replace_substring(texts, "\0", "")
    return texts


def given(texts: pa.Array) -> pa.Array:
    """Texts without NUL, blank ones as null, because some screens save spaces for "none"."""
    texts = storable(texts)
    blank = pc.or_(pc.equal(pc.binary_length(texts), 0), pc.utf8_is_space(texts))
    return pc.if_else(blank.fill_null(False), None, texts) if pc.any(blank).as_py() else texts


def real_dates(dates: pa.Array) -> pa.Array:
    """Dates, with null for those that some screens save for "no date"."""
    stored = _stored(dates.view(pa.int32()))  # what is stored for a null does no harm here
    if not len(stored) or (stored.min() > _EARLY_PLACEHOLDERS[-1] and stored.max() < _LAST_PLACEHOLDER):
        return dates
    return pc.if_else(pa.array(np.isin(days(dates), _PLACEHOLDER_DAYS)), None, dates)


def clean(values: pa.Array) -> pa.Array:
    """Texts as `given` and dates as `real_dates` make them; anything else as it is."""
    if pa.types.is_string(values.type):
        return given(values)
    return real_dates(values) if pa.types.is_date32(values.type) else values


def take(values: pa.Array, rows: np.ndarray) -> pa.Array:
    """The values of these rows; null for a row that is `NOWHERE`.

    Keep millions of rows that share a few texts as a dictionary array: a small number per row, not a string.
    """
    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(take(values.indices, rows), values.dictionary, safe=False)
    lost = rows < 0
    if not values.null_count and not lost.any():  # numpy is twice as fast here
        if pa.types.is_integer(values.type):
            return pa.array(values.to_numpy()[rows])
        if pa.types.is_date32(values.type):
            return dates(days(values)[rows])
    return values.take(_masked(rows, lost))


def plain(values: pa.Array) -> pa.Array:
    """Strings in place of a dictionary array, for a published table."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _masked(values: np.ndarray, null: np.ndarray) -> pa.Array:
    return pa.array(values, mask=null) if null.any() else pa.array(values)


def _filled(values: pa.Array, null: int | bool) -> np.ndarray:
    """The values, with `null` for nulls. With many nulls, numpy takes half as long as `fill_null`."""
    return np.where(present(values), _stored(values), null) if values.null_count else np.asarray(values)


def _stored(values: pa.Array) -> np.ndarray:
    """The values without a copy; anything for nulls."""
    _, stored = values.buffers()
    return np.asarray(pa.Array.from_buffers(values.type, len(values), [None, stored], offset=values.offset))


def group_codes(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A small number per row, equal for equal keys, and the key for each number.

    If the keys are dense, the numbers are in key order, because a subtraction replaces hashing.
    """
    if not len(keys):
        return keys, keys
    low, high = int(keys.min()), int(keys.max())
    if high - low < DENSE_ENOUGH * len(keys):
        return keys - low, low + np.arange(high - low + 1)  # high + 1 may not fit int64
    codes, found = pd.factorize(keys)
    return codes, found


def first_that_holds(holds: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray:
    """For each row, the position in `names` of the first name in `holds` that is true, or `NOWHERE`."""
    position = {name: np.int8(n) for n, name in enumerate(names)}
    return np.select([*holds.values()], [position[name] for name in holds], np.int8(NOWHERE))


def best_rows(codes: np.ndarray, groups: int, fields: Sequence[np.ndarray]) -> np.ndarray:
    """The greatest row of each group: by the first field, then by the second, and so on.

    `codes` are the rows' groups, each in range(groups). Returns a row number per group, or `NOWHERE` for a
    group without rows. Among rows that are equal in every field, the last one wins.

    Sorting millions of rows by several columns would take ten times as long. Instead, only the rows that are
    still in the lead are compared by the next field.
    """
    rows = np.arange(len(codes))
    for field in fields:
        if len(rows) < len(field):
            field = field[rows]
        best = np.full(groups, np.iinfo(field.dtype).min, field.dtype)
        np.maximum.at(best, codes, field)
        leading = np.flatnonzero(field == best[codes])  # positions select faster than a mask
        if len(leading) < len(rows):
            rows, codes = rows[leading], codes[leading]
    chosen = np.full(groups, NOWHERE)
    chosen[codes] = rows
    return chosen


def best_row_of(
    wanted: np.ndarray, keys: np.ndarray, eligible: np.ndarray, fields: Sequence[np.ndarray]
) -> np.ndarray:
    """For each wanted key, its greatest eligible row by the fields, or `NOWHERE`."""
    rows = np.flatnonzero(eligible & (keys != MISSING))
    codes, found = group_codes(keys[rows])
    best = best_rows(codes, len(found), [field[rows] for field in fields])
    at = np.append(best, NOWHERE)[find_rows(wanted, found)]
    return np.asarray(np.append(rows, NOWHERE)[at])


def lowest_first(values: np.ndarray) -> np.ndarray:
    """Integers as a field for `best_rows`, so that the lowest wins and null comes last."""
    missing = values == MISSING
    if missing.any():
        values = np.where(missing, values.max() + 1, values)
    return -values


def find_rows(wanted: np.ndarray, keys: np.ndarray, what: str = "a key") -> np.ndarray:
    """For each wanted key, the row of the table with these keys, or `NOWHERE`. Null is not found.

    Raises ValueError, naming `what`, if a key occurs twice.
    """
    rows = np.flatnonzero(keys != MISSING)
    keys = keys[rows]
    low, high = (int(keys.min()), int(keys.max())) if len(rows) else (0, -1)
    if high - low < DENSE_ENOUGH * len(keys):
        table = np.full(high - low + 3, NOWHERE)  # one more on either side for keys out of range
        table[keys - (low - 1)] = rows
        if np.count_nonzero(table != NOWHERE) == len(keys):
            return table.take(wanted - (low - 1), mode="clip")
    elif (index := pd.Index(keys)).is_unique:
        return np.asarray(np.append(rows, NOWHERE)[index.get_indexer(wanted)])
    raise ValueError(f"{what} is not unique: several rows have the same key")

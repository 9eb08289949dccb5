"""A snapshot's frames as rows of the history tables: declared types, in key order, and hashed.

If a row's hash is new, Postgres compares the columns themselves. So a change of the hash costs one slower
night, and no false change appears. Equal rows must have equal hashes on every machine and in every version of
the libraries, so only wrapping 64-bit integer arithmetic is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.history import HISTORIES, History
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.errors import UnfitSnapshotError

Keys = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_NULL = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_VERSION = b"samegoal rows 1"
_WORD = 8  # bytes
_AT_ONCE = 1 << 21  # bytes of padded text


@dataclass(frozen=True)
class Rows:
    """The rows of one history table that a snapshot wants, in key order."""

    history: History
    table: pa.Table
    keys: tuple[Keys, ...]
    """One array per key column."""
    hashes: Hashes


@dataclass(frozen=True)
class Content:
    """The whole content of a snapshot. If `hash` is equal, publishing it again would change nothing."""

    all_rows: tuple[Rows, ...]
    """The rows of the three tables."""
    carried_over: Keys
    hash: bytes
    payload: SnapshotPayload

    @property
    def status(self) -> Rows:
        """The rows of `student_status`."""
        return self.all_rows[0]

    def with_tables(self, tables: Iterable[pa.Table]) -> Content:
        """The same keys and hashes with these tables."""
        changed = (replace(rows, table=table) for rows, table in zip(self.all_rows, tables, strict=True))
        return replace(self, all_rows=tuple(changed))


def content_of(payload: SnapshotPayload) -> Content:
    """The rows of a validated snapshot, hashed before the district is locked. Raises `UnfitSnapshotError`."""
    frames = payload.published().values()
    all_rows = status, students, parents = [_rows_of(*pair) for pair in zip(frames, HISTORIES, strict=True)]
    carried_over = np.array(sorted(payload.carried_over), dtype=np.int64)
    if not np.array_equal(status.keys[0], students.keys[0]):
        strangers = len(np.setxor1d(status.keys[0], students.keys[0]))
        raise UnfitSnapshotError(f"students with a status or demographics, but not both: {strangers:,}")
    if strangers := int((~np.isin(parents.keys[0], status.keys[0])).sum()):
        raise UnfitSnapshotError(f"parent rows without a student in the snapshot: {strangers:,}")
    if twofold := int(np.isin(status.keys[0], carried_over).sum()):
        raise UnfitSnapshotError(f"students both carried over and published: {twofold:,}")
    digest = hashlib.sha256(_VERSION)
    for part in [*(part for rows in all_rows for part in (*rows.keys, rows.hashes)), carried_over]:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(part, dtype="<i8").data)
    return Content(tuple(all_rows), carried_over, digest.digest(), payload)


def _rows_of(frame: pd.DataFrame, history: History) -> Rows:
    """The rows of a frame that matches its declaration, in key order."""
    table = typed(frame, history.declared)
    order = np.lexsort([table.column(key).to_numpy() for key in reversed(history.key)])
    if (np.diff(order) != 1).any():
        table = table.take(pa.array(order))
    keys = tuple(table.column(key).to_numpy() for key in history.key)
    return Rows(history, table, keys, row_hashes(table))


def typed(frame: pd.DataFrame, declared: Table) -> pa.Table:
    """The frame's columns in declared order and types. Raises `UnfitSnapshotError`, without a value."""
    columns = {}
    for name, wanted in declared.arrow_types.items():
        try:
            column = pa.Array.from_pandas(frame[name])
            columns[name] = column if column.type == wanted else column.cast(wanted)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):  # their messages quote values
            raise UnfitSnapshotError(f"{declared.name}.{name}: not all values are of type {wanted}") from None
    return pa.table(columns)


def match(rows: Rows, keys: tuple[Keys, ...], hashes: Hashes) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """For each row, a place among other rows by key, and whether the row there has the same key and hash."""
    if not len(hashes):
        return np.zeros(len(rows.hashes), dtype=np.int64), np.zeros(len(rows.hashes), dtype=bool)
    new, old = rows.keys[0], keys[0]
    if len(keys) > 1:  # as one number each, in the same order: the ranks of the parts
        packed = np.zeros(len(new) + len(old), dtype=np.int64)
        for mine, theirs in zip(rows.keys, keys, strict=True):
            parts, ranks = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
            packed = packed * len(parts) + ranks
        new, old = np.split(packed, [len(new)])
    place = np.minimum(np.searchsorted(old, new), len(old) - 1)
    return place, (old[place] == new) & (hashes[place] == rows.hashes)


class Contents:
    """The contents of consecutive nights. A row that stays the same from night to night is stored once."""

    def __init__(self) -> None:
        self._nights: list[tuple[Content, list[npt.NDArray[np.int64]]]] = []
        self._pools: list[list[pa.Table]] = [[], [], []]

    def add(self, content: Content) -> None:
        """Add the next night."""
        before, chosen = self._nights[-1:], []
        for n, rows in enumerate(content.all_rows):
            positions = np.full(len(rows.hashes), -1, dtype=np.int64)
            for last, stored in before:
                place, same = match(rows, last.all_rows[n].keys, last.all_rows[n].hashes)
                positions[same] = stored[n][place[same]]
            fresh = np.flatnonzero(positions < 0)
            pooled = sum(table.num_rows for table in self._pools[n])
            positions[fresh] = np.arange(pooled, pooled + len(fresh))
            self._pools[n].append(rows.table.take(pa.array(fresh)))
            chosen.append(positions)
        bare = {name: frame.iloc[:0] for name, frame in content.payload.published().items()}
        small = content.with_tables([rows.table.slice(0, 0) for rows in content.all_rows])
        self._nights.append((replace(small, payload=content.payload._replace(**bare)), chosen))

    def __iter__(self) -> Iterator[Content]:
        pools = [pa.concat_tables(pool).combine_chunks() for pool in self._pools if pool]
        for content, chosen in self._nights:
            yield content.with_tables(
                [pool.take(pa.array(places)) for pool, places in zip(pools, chosen, strict=True)]
            )


# -- hashes, column by column --


def row_hashes(table: pa.Table) -> Hashes:
    """The hash of each row, over all columns: integers, dates, flags and texts."""
    hashes = np.full(table.num_rows, table.num_columns, dtype=np.uint64)
    for column in table.columns:
        hashes = _mix(hashes + _column_hashes(column))
    return hashes.view(np.int64)


def _mix(words: _Words) -> _Words:
    words = words * _MULTIPLIER
    words ^= words >> _HALF
    return words


def _column_hashes(column: pa.ChunkedArray) -> _Words:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if array.null_count == len(array):  # a field that is not granted
        return np.full(len(array), _NULL, dtype=np.uint64)
    if pa.types.is_string(array.type):
        hashes = _text_hashes(array.fill_null("") if array.null_count else array)
    else:
        numbers = array.cast(pa.int32()) if pa.types.is_date32(array.type) else array
        hashes = _mix(numbers.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))
    if array.null_count:
        hashes[pc.is_null(array).to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _text_hashes(array: pa.StringArray) -> _Words:
    """The hashes of texts without nulls.

    Arrow pads all texts to the longest, so that numpy finds their words at fixed offsets. If padding would
    need too much memory, each half is hashed separately, because only a few texts are long.
    """
    _, offsets, _ = array.buffers()
    lengths = np.diff(np.frombuffer(offsets, np.int32, len(array) + 1, 4 * array.offset))
    words = max(1, -(-int(lengths.max()) // _WORD))
    if words * _WORD * len(array) > _AT_ONCE and len(array) > 1:
        half = len(array) // 2
        return np.concatenate([_text_hashes(array[:half]), _text_hashes(array[half:])])
    _, _, data = pc.ascii_rpad(array, words * _WORD, padding="\0").buffers()
    word = np.frombuffer(data, "<u8", words * len(array)).reshape(len(array), words).T
    hashes = _mix(_mix(lengths.astype(np.uint64)) ^ word[0])
    for place in range(1, words):
        np.copyto(hashes, _mix(hashes ^ word[place]), where=lengths > place * _WORD)
    return hashes

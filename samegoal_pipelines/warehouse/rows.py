"""A snapshot's frames as rows of the history tables: declared columns and types, in order of unique keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.history import HISTORIES, History
from samegoal_pipelines.transforms.snapshot import SnapshotPayload
from samegoal_pipelines.warehouse.errors import UnfitSnapshotError
from samegoal_pipelines.warehouse.hashing import Hashes, content_hash, row_hashes

Keys = npt.NDArray[np.int64]


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
    all_rows = status, students, parents = [rows_of(*pair) for pair in zip(frames, HISTORIES, strict=True)]
    carried_over = np.array(sorted(payload.carried_over), dtype=np.int64)
    if not np.array_equal(status.keys[0], students.keys[0]):
        strangers = len(np.setxor1d(status.keys[0], students.keys[0]))
        raise UnfitSnapshotError(f"students with a status or demographics, but not both: {strangers:,}")
    if strangers := int((~np.isin(parents.keys[0], status.keys[0])).sum()):
        raise UnfitSnapshotError(f"parent rows without a student in the snapshot: {strangers:,}")
    if twofold := int(np.isin(status.keys[0], carried_over).sum()):
        raise UnfitSnapshotError(f"students both carried over and published: {twofold:,}")
    hashes = [part for rows in all_rows for part in (*rows.keys, rows.hashes)]
    return Content(tuple(all_rows), carried_over, content_hash([*hashes, carried_over]), payload)


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


def match(rows: Rows, keys: tuple[Keys, ...], hashes: Hashes) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """For each row, a place among other rows by key, and whether the row there has the same key and hash."""
    if not len(hashes):
        return np.zeros(len(rows.hashes), dtype=np.int64), np.zeros(len(rows.hashes), dtype=bool)
    new, old = _as_one_number(rows.keys, keys)
    place = np.minimum(np.searchsorted(old, new), len(old) - 1)
    return place, (old[place] == new) & (hashes[place] == rows.hashes)


def _as_one_number(new: tuple[Keys, ...], old: tuple[Keys, ...]) -> tuple[Keys, Keys]:
    """Keys of several columns as one number each, in the same order: the ranks of their parts."""
    if len(new) == 1:
        return new[0], old[0]
    packed = np.zeros(len(new[0]) + len(old[0]), dtype=np.int64)
    for mine, theirs in zip(new, old, strict=True):
        parts, ranks = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
        packed = packed * len(parts) + ranks
    return packed[: len(new[0])], packed[len(new[0]) :]


def rows_of(frame: pd.DataFrame, history: History) -> Rows:
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

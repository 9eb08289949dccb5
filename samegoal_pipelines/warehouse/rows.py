"""A snapshot's frames as rows of the history tables: declared columns and types, each key once, in its order.

The frames were checked where they were made; what is checked here is what the tables rely on. No database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.arrow_types import arrow_types
from samegoal_pipelines.tables.history import PARENTS, STATUS, STUDENTS, History
from samegoal_pipelines.warehouse.errors import UnfitSnapshotError
from samegoal_pipelines.warehouse.hashing import Hashes, content_hash, row_hashes

Keys = npt.NDArray[np.int64]


class Snapshot(Protocol):
    """What `publish` takes: three frames and the ids of students who keep what was last published."""

    @property
    def status(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def students(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def parents(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def kept(self) -> Iterable[Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Rows:
    """The rows of one history table that a snapshot wants, in the order of their keys.

    `keys` has one array per key column.
    """

    history: History
    table: pa.Table
    keys: tuple[Keys, ...]
    hashes: Hashes


@dataclass(frozen=True)
class Content:
    """All that a snapshot says; equal `hash` means that publishing it again would change nothing."""

    status: Rows
    students: Rows
    parents: Rows
    kept: Keys
    hash: bytes

    @property
    def all_rows(self) -> tuple[Rows, ...]:
        """The rows of the three tables."""
        return (self.status, self.students, self.parents)


def content_of(snapshot: Snapshot) -> Content:
    """The rows of a snapshot.

    Raises:
        UnfitSnapshotError: a frame does not fit its table, or the frames do not fit each other.
    """
    status, students, parents = (
        rows_of(frame, history)
        for frame, history in (
            (snapshot.status, STATUS),
            (snapshot.students, STUDENTS),
            (snapshot.parents, PARENTS),
        )
    )
    kept = np.unique(np.fromiter((int(student_id) for student_id in snapshot.kept), dtype=np.int64))
    if not np.array_equal(status.keys[0], students.keys[0]):
        strangers = len(np.setxor1d(status.keys[0], students.keys[0]))
        raise UnfitSnapshotError(f"{strangers} student(s) have a status or demographics, but not both")
    if strangers := int((~np.isin(parents.keys[0], status.keys[0])).sum()):
        raise UnfitSnapshotError(f"{strangers} parent row(s) belong to no student of the snapshot")
    if twofold := int(np.isin(status.keys[0], kept).sum()):
        raise UnfitSnapshotError(f"{twofold} student(s) are to be kept as they were and to be published anew")
    hashes = [part for rows in (status, students, parents) for part in (*rows.keys, rows.hashes)]
    return Content(status, students, parents, kept, content_hash([*hashes, kept]))


def rows_of(frame: pd.DataFrame, history: History) -> Rows:
    """The frame's rows as the table wants them.

    Raises:
        UnfitSnapshotError: columns, types or keys are not those of the table; names no value.
    """
    name = history.table.name.removesuffix("_history")
    if set(frame.columns) != set(history.columns):
        missing = ", ".join(sorted(set(history.columns) - set(frame.columns))) or "none"
        unknown = (
            ", ".join(sorted({str(column) for column in frame.columns} - set(history.columns))) or "none"
        )
        raise UnfitSnapshotError(f"{name}: columns missing: {missing}; columns unknown: {unknown}")
    columns = []
    for column, wanted in arrow_types(history.declared).items():
        try:
            columns.append(_column(frame[column], wanted))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):  # their messages quote values
            raise UnfitSnapshotError(f"{name}.{column}: not all values are of type {wanted}") from None
        if not history.table.c[column].nullable and columns[-1].null_count:
            raise UnfitSnapshotError(f"{name}.{column}: {columns[-1].null_count} row(s) have no value")
    table = pa.table(columns, names=list(history.columns))
    keys = _keys(table, history)
    if not _ascending(keys):
        table = table.take(pa.array(np.lexsort(keys[::-1])))
        keys = _keys(table, history)
        if not _ascending(keys):
            raise UnfitSnapshotError(f"{name}: rows with the same {' and '.join(history.key)}")
    return Rows(history, table, keys, row_hashes(table))


def _column(series: pd.Series, wanted: pa.DataType) -> pa.ChunkedArray:
    column = pa.Array.from_pandas(series)
    if not isinstance(column, pa.ChunkedArray):
        column = pa.chunked_array([column])
    return column if column.type == wanted else column.cast(wanted)


def _keys(table: pa.Table, history: History) -> tuple[Keys, ...]:
    return tuple(table.column(key).to_numpy() for key in history.key)


def _ascending(keys: tuple[Keys, ...]) -> bool:
    """Whether each key is greater than the one before it."""
    greater = np.zeros(max(len(keys[0]) - 1, 0), dtype=bool)
    equal = ~greater
    for key in keys:
        greater |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    return bool(greater.all())

"""Stable hashes of rows and of whole snapshots, computed column by column on the client.

If a row's hash is new, Postgres compares the columns themselves. So a change of this algorithm costs one
slower night, and no false change appears. Equal rows must have equal hashes on every machine and in every
version of the libraries, so only wrapping 64-bit integer arithmetic is used.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Words = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.int64]

_MULTIPLIER = np.uint64(0x9FB21C651E98DF25)
_NULL = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_VERSION = b"samegoal rows 1"
_WORD = 8  # bytes
_AT_ONCE = 1 << 21  # bytes of padded text


def row_hashes(table: pa.Table) -> Hashes:
    """The hash of each row, over all columns: integers, dates, flags and texts."""
    hashes = np.full(table.num_rows, table.num_columns, dtype=np.uint64)
    for column in table.columns:
        hashes = _mix(hashes + _column_hashes(column))
    return hashes.view(np.int64)


def content_hash(parts: Iterable[npt.NDArray[Any]]) -> bytes:
    """One hash of a whole snapshot: its row hashes in key order, and its other facts."""
    digest = hashlib.sha256(_VERSION)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(part, dtype="<i8").data)
    return digest.digest()


def _mix(words: Words) -> Words:
    words = words * _MULTIPLIER
    words ^= words >> _HALF
    return words


def _column_hashes(column: pa.ChunkedArray) -> Words:
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


def _text_hashes(array: pa.StringArray) -> Words:
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

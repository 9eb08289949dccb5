"""Bulk transfer between Arrow and Postgres by COPY: rows in as CSV, keys and hashes out as binary.

Nothing here decides what to write.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql

from samegoal_pipelines.warehouse.hashing import Hashes
from samegoal_pipelines.warehouse.rows import Keys, Rows
from samegoal_pipelines.warehouse.tables import SCHEMA, History

_CHUNK = 1 << 20


def copy_in(
    cursor: Any, table: str, rows: Rows, chosen: pa.Array | None, district_id: str, night: date
) -> None:
    """Load rows (all, or those at the chosen positions), valid from `night`, into `table`.

    Arrow writes a null as nothing and an empty text as "", which COPY tells apart in the same way.
    """
    content, hashes = rows.table, pa.array(rows.hashes)
    if chosen is not None:
        content, hashes = content.take(chosen), hashes.take(chosen)
    if not content.num_rows:
        return
    loaded = pa.table(
        [
            pa.repeat(district_id, content.num_rows),
            *content.columns,
            pa.repeat(pa.scalar(night), content.num_rows),
            hashes,
        ],
        names=list(rows.history.loaded),
    )
    text = io.BytesIO()
    pyarrow.csv.write_csv(loaded, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(
        table, _identifiers(rows.history.loaded)
    )
    cursor.copy_expert(statement, text, _CHUNK)


def current_keys(cursor: Any, history: History, district_id: str) -> tuple[tuple[Keys, ...], Hashes]:
    """The keys of a district's current rows, in order, and the rows' hashes.

    None of these columns can be null, so each row of binary COPY has the same length: a count of fields, then
    for each field its length and eight bytes, all big-endian.
    """
    columns = (*history.key, "row_hash")
    query = sql.SQL(
        "copy (select {columns} from {table} where district_id = {district} and valid_to is null"
        " order by {key}) to stdout (format binary)"
    ).format(
        columns=_identifiers(columns),
        table=sql.Identifier(SCHEMA, history.table.name),
        district=sql.Literal(district_id),
        key=_identifiers(history.key),
    )
    answer = io.BytesIO()
    cursor.copy_expert(query, answer, _CHUNK)
    fields = [part for column in columns for part in ((f"{column} length", ">i4"), (column, ">i8"))]
    row = np.dtype([("fields", ">i2"), *fields])
    header = 19 if answer.tell() else 0  # signature, flags and the length of an extension that is not there
    count = (answer.tell() - header - 2) // row.itemsize  # the last two bytes mark the end
    found = np.frombuffer(answer.getbuffer(), dtype=row, count=count, offset=header)
    *keys, hashes = (found[column].astype(np.int64) for column in columns)
    return tuple(keys), hashes


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)

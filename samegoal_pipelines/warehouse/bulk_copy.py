"""Bulk transfer between Arrow and Postgres by COPY: rows in as CSV, keys and hashes out as binary."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql

from samegoal_pipelines.tables.history import History
from samegoal_pipelines.tables.sql import SCHEMA
from samegoal_pipelines.warehouse.hashing import Hashes
from samegoal_pipelines.warehouse.rows import Keys, Rows

_CHUNK = 1 << 20
# The bytes that binary COPY puts around one value: signature, flags, extension, field count, length, trailer.
_BEFORE_VALUE = 11 + 4 + 4 + 2 + 4
_AFTER_VALUE = 2


def copy_in(
    cursor: Any, target: sql.Identifier, rows: Rows, chosen: pa.Array | None, district_id: str, night: date
) -> None:
    """Load rows (all, or those at the chosen positions), valid from `night`, into a temporary table.

    Arrow writes null as nothing and an empty text as "", and COPY reads them the same way.
    """
    content, hashes = rows.table, pa.array(rows.hashes)
    if chosen is not None:
        content, hashes = content.take(chosen), hashes.take(chosen)
    district, first = (pa.repeat(one, len(hashes)) for one in (district_id, pa.scalar(night)))
    names = list(rows.history.loaded)
    loaded = pa.table([district, *content.columns, first, hashes], names=names)
    text = io.BytesIO()
    pyarrow.csv.write_csv(loaded, text, pyarrow.csv.WriteOptions(include_header=False))
    text.seek(0)
    statement = sql.SQL("copy {} ({}) from stdin (format csv)")
    cursor.copy_expert(statement.format(target, identifiers(names)), text, _CHUNK)


def current_keys(cursor: Any, history: History, district_id: str) -> tuple[tuple[Keys, ...], Hashes]:
    """The keys of a district's current rows, in order, and the rows' hashes.

    Postgres concatenates them, eight big-endian bytes each, because reading many COPY rows is slow on the
    client. One value holds up to 1 GB, which is forty million rows.
    """
    columns = (*history.key, "row_hash")
    query = sql.SQL(
        "copy (select string_agg({packed}, '' order by {key}) from {table}"
        " where district_id = {district} and valid_to is null) to stdout (format binary)"
    ).format(
        packed=sql.SQL(" || ").join(
            sql.SQL("int8send({})").format(sql.Identifier(column)) for column in columns
        ),
        table=sql.Identifier(SCHEMA, history.table.name),
        district=sql.Literal(district_id),
        key=identifiers(history.key),
    )
    answer = io.BytesIO()
    cursor.copy_expert(query, answer, _CHUNK)
    found = np.frombuffer(answer.getbuffer()[_BEFORE_VALUE:-_AFTER_VALUE], dtype=">i8")
    *keys, hashes = found.reshape(-1, len(columns)).T.astype(np.int64)
    return tuple(keys), hashes


def identifiers(names: Sequence[str], *table: str) -> sql.Composed:
    """Names of columns, of a table if one is named, with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(*table, name) for name in names)

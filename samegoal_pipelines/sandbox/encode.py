"""Turns columns into the JSON of a page, a column at a time.

Arrow builds the text of each cell and joins cells to rows; the rows of a page then lie behind one another
in one buffer, which is the body. Only rows with a raw override are touched one by one. No filtering and no
paging here.
"""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.objects import RAW

_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def encode_objects(table: pa.Table, fields: Sequence[str]) -> bytes:
    """The rows of a table as the inside of a JSON array: ``{"A":1},{"A":2}`` (empty for no rows)."""
    if not table.num_rows:
        return b""
    if not fields:
        return b",".join([b"{}"] * table.num_rows)
    parts: list[pa.Array | str] = []
    for number, field in enumerate(fields):
        parts += [f"{'{' if number == 0 else ','}{json.dumps(field)}:", _cells(_one_chunk(table[field]))]
    parts.append("},")
    rows = pc.binary_join_element_wise(*parts, "")
    if RAW in table.column_names:
        rows = _with_overrides(rows, _one_chunk(table[RAW]), fields)
    return _joined(rows)[:-1]


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array; slices stay slices."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _cells(column: pa.Array) -> pa.Array:
    """Each cell as JSON text."""
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        text = column.cast(pa.string())
    elif pa.types.is_date(column.type):
        text = pc.binary_join_element_wise('"', column.cast(pa.string()), 'T00:00:00"', "")
    else:
        text = pc.binary_join_element_wise('"', _escaped(column), '"', "")
    return text.fill_null("null") if text.null_count else text


def _escaped(column: pa.Array) -> pa.Array:
    """Text with JSON's escapes; nearly no page needs any, so look first."""
    special = pc.match_substring_regex(column, _NEEDS_ESCAPE)
    if not pc.any(special).as_py():
        return column
    written = [json.dumps(text, ensure_ascii=False)[1:-1] for text in column.filter(special).to_pylist()]
    return pc.replace_with_mask(column, special.fill_null(False), pa.array(written, pa.string()))


def _with_overrides(rows: pa.Array, raw: pa.Array, fields: Sequence[str]) -> pa.Array:
    """Rows that carry a raw override are written anew; anything JSON can say may come out."""
    overridden = raw.is_valid()
    if not pc.any(overridden).as_py():
        return rows
    written = []
    for row, override in zip(
        rows.filter(overridden).to_pylist(), raw.filter(overridden).to_pylist(), strict=True
    ):
        asked = {field: value for field, value in json.loads(override).items() if field in fields}
        written.append(json.dumps(json.loads(row[:-1]) | asked) + ",")
    return pc.replace_with_mask(rows, overridden, pa.array(written, pa.string()))


def _joined(texts: pa.StringArray) -> bytes:
    """All texts of the array one after the other: its data buffer, as it lies there."""
    _, offsets, data = texts.buffers()
    ends = memoryview(offsets).cast("i")
    return data[ends[texts.offset] : ends[texts.offset + len(texts)]].to_pybytes()

"""Decode a page's bytes into Arrow columns of the declared types.

Nearly every page is decoded by Arrow's JSON reader with an explicit schema. Any other page is decoded value
by value: invalid JSON is refused, and a value of the wrong type becomes null and moves to the column
`Unreadable`. A text that is too long also becomes null, and only its length is kept.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from samegoal_pipelines.qmlativ.errors import MalformedAnswerError
from samegoal_pipelines.tables.declaration import UNREADABLE, Column, Type

_MAX_DEPTH = 64
MAX_TEXT = 4_000  # characters; a longer text is unreadable
_YEAR_1 = (dt.date(1, 1, 1) - dt.date(1970, 1, 1)).days
# Of all formats that Python reads. It also accepts some other letters and a NUL in the time.
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.Z+-]*)?", re.ASCII)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]', re.DOTALL)
_LARGE = 2**16  # bytes; counting the brackets of a page takes a fifth of the time to read it
_PAGE_END = re.compile(rb"}\s*}\s*\Z")  # closes two objects. Rows hold no objects, so no row ends like this
_Wrong = dict[int, dict[str, Any]]  # row → field → value as received


class Page(NamedTuple):
    """One page: declared columns, `Unreadable`, the raw `Paging.Next`, and the fields that no row has."""

    table: pa.Table
    next: Any
    absent: frozenset[str]


class PageDecoder:
    """Decodes the pages of one read, which have the requested fields in order."""

    def __init__(self, fields: Sequence[Column]) -> None:
        self._fields = tuple(fields)
        raw = {"integer": pa.int64(), "text": pa.string(), "date": pa.string(), "flag": pa.bool_()}
        # Types are declared, never inferred. A page with another type is decoded strictly.
        row = pa.struct([(field.name, raw[field.type]) for field in fields])
        schema = pa.schema([("Objects", pa.list_(row)), ("Paging", pa.struct([("Next", pa.string())]))])
        self._parsing = pj.ParseOptions(
            explicit_schema=schema, newlines_in_values=True, unexpected_field_behavior="ignore"
        )

    def decode(self, body: bytes, where: str) -> Page:
        """Raises `MalformedAnswerError` if the bytes are not a valid page."""
        wrong: _Wrong = {}
        columns, following = self._quick(body) or self._strict(body, where, wrong)
        for number, field in enumerate(self._fields):
            if field.type == "date":
                columns[number] = _dates(columns[number], field.name, wrong)
            elif field.type == "text":
                columns[number] = _texts(columns[number], field.name, wrong)
        rows = len(columns[0])
        names = [field.name for field in self._fields]
        absent = frozenset(
            name
            for name, column in zip(names, columns, strict=True)
            if rows and column.null_count == rows and f'"{name}"'.encode() not in body
        )
        unreadable: list[str | None] = [None] * rows
        for row, values in wrong.items():
            unreadable[row] = json.dumps({name: _shown(value) for name, value in values.items()})
        columns.append(pa.array(unreadable, pa.string()))
        return Page(pa.table(columns, [*names, UNREADABLE.name]), following, absent)

    def _quick(self, body: bytes) -> tuple[list[pa.Array], Any] | None:
        """Columns, with dates as text, and `Paging.Next`, by Arrow. None if the page needs the strict way."""
        if not body[:64].lstrip().startswith(b"{"):
            return None  # also because pyarrow 26 crashes on the document `null`
        reading = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
        try:
            if not body.isascii():
                body.decode()  # Arrow accepts invalid UTF-8
            document = pj.read_json(pa.BufferReader(body), reading, self._parsing)
        except (UnicodeDecodeError, pa.ArrowException):
            return None
        if document.num_rows != 1:
            return None
        objects, paging = (document[name].chunk(0) for name in ("Objects", "Paging"))
        if objects.null_count or paging.null_count or (rows := objects.flatten()).null_count:
            return None
        return rows.flatten(), paging.field("Next")[0].as_py()

    def _strict(self, body: bytes, where: str, wrong: _Wrong) -> tuple[list[pa.Array], Any]:
        """The same, value by value. Values of another type go to `wrong`."""
        document = parse_json(body, where)
        objects = document.get("Objects") if isinstance(document, dict) else None
        if not isinstance(objects, list) or not all(isinstance(row, dict) for row in objects):
            raise MalformedAnswerError("the answer has no list of objects in Objects", where)
        paging = document.get("Paging")
        if not isinstance(paging, dict):
            raise MalformedAnswerError("the answer has no Paging", where)
        return [_column(objects, field, wrong) for field in self._fields], paging.get("Next")


def parse_json(body: bytes, where: str) -> Any:
    """Parse one strict JSON document: no NaN, no repeated key, no invalid UTF-8, no deep nesting."""
    with suppress(ValueError):
        if all(depth <= _MAX_DEPTH for depth in _depths(body)):
            return json.loads(
                body.decode("utf-8-sig"),
                object_pairs_hook=_object,
                parse_constant=_refuse_constant,
                parse_float=_number,
            )
    raise MalformedAnswerError("the answer is not valid JSON", where)


def is_cut(body: bytes) -> bool:
    """Whether a JSON document ends with an open bracket."""
    if len(body) > _LARGE and _PAGE_END.search(body[-64:]):
        return False
    if body.count(b"[") == body.count(b"]") and body.count(b"{") == body.count(b"}"):
        return False
    depth = 0
    for depth in _depths(body):
        if not 0 <= depth <= _MAX_DEPTH:
            return False  # not JSON or too deep: the decoder reports it
    return depth > 0


def _depths(body: bytes) -> Iterator[int]:
    """The nesting after each bracket. Brackets in texts do not count."""
    depth = 0
    for token in _BRACKETS.finditer(body):
        if token[0][:1] != b'"':
            depth += 1 if token[1] else -1
            yield depth


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _refuse_constant(_: str) -> Any:
    raise ValueError


def _number(text: str) -> float | str:
    """A number with a fraction, which is always a wrong value. Text if it does not fit a float."""
    number = float(text)
    return number if math.isfinite(number) else text


def _column(objects: list[dict[str, Any]], field: Column, wrong: _Wrong) -> pa.Array:
    fits = _FITS[field.type]
    values = [row.get(field.name) for row in objects]
    for row, value in enumerate(values):
        if value is not None and not fits(value):
            wrong.setdefault(row, {})[field.name] = value
            values[row] = None
    return pa.array(values, pa.string() if field.type == "date" else field.arrow_type)


def _is_text(value: Any) -> bool:
    """Whether UTF-8 can encode the string: JSON may contain half of a surrogate pair."""
    try:
        return isinstance(value, str) and bool(value.isascii() or value.encode())
    except UnicodeEncodeError:
        return False


_FITS: dict[Type, Callable[[Any], bool]] = {
    "integer": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "text": _is_text,
    "date": _is_text,
    "flag": lambda value: isinstance(value, bool),
}


def _dates(texts: pa.Array, name: str, wrong: _Wrong) -> pa.Array:
    """Calendar days as written, ignoring time and zone. Invalid dates go to `wrong`."""
    if pc.all(pc.ends_with(texts, "T00:00:00"), min_count=0).as_py():  # the documented format
        with suppress(pa.ArrowInvalid):
            dates = texts.cast(pa.timestamp("s")).cast(pa.date32())
            earliest = pc.min(dates.cast(pa.int32())).as_py()
            if earliest is None or earliest >= _YEAR_1:
                return dates
    encoded = texts.dictionary_encode()
    days = [_day(text) for text in encoded.dictionary.to_pylist()]
    dates = pa.array(days, pa.date32()).take(encoded.indices)
    for row in pc.indices_nonzero(pc.and_(dates.is_null(), texts.is_valid())).to_pylist():
        wrong.setdefault(row, {})[name] = texts[row].as_py()
    return dates


def _texts(texts: pa.Array, name: str, wrong: _Wrong) -> pa.Array:
    """The texts. A text that is too long goes to `wrong`."""
    if (pc.max(pc.binary_length(texts)).as_py() or 0) <= MAX_TEXT:
        return texts
    too_long = pc.greater(pc.utf8_length(texts), MAX_TEXT)
    for row in pc.indices_nonzero(too_long).to_pylist():
        wrong.setdefault(row, {})[name] = texts[row].as_py()
    return pc.if_else(too_long, pa.scalar(None, texts.type), texts)


def _day(text: str) -> dt.date | None:
    try:
        return dt.datetime.fromisoformat(text).date() if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _shown(value: Any) -> Any:
    """The value as received. One that is too long is replaced by its length."""
    length = len(value if isinstance(value, str) else json.dumps(value))
    return value if length <= MAX_TEXT else f"{length:,} characters"

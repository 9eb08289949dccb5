"""What a listing shows: its rows, and pages of them as JSON.

Through a school's entity, objects that have an EntityID show only the rows of that entity. Not here: who may
read what (``district``), HTTP (``server``).
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.sandbox.district import SandboxDistrict
from samegoal_pipelines.sandbox.lookups import GRADES
from samegoal_pipelines.sandbox.rows import ODD_VALUES
from samegoal_pipelines.sandbox.search import Search

_KEPT = 400  # pages and lists of rows, of about a megabyte each


@dataclass(frozen=True)
class Listing:
    """What a listing asks for, apart from the page."""

    object: str
    entity: int
    year: int | None
    fields: tuple[str, ...]
    search: bytes
    ignored_conditions: frozenset[str]


class Listings:
    """The pages of all listings, kept while the district's tables stay the same. Thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[pa.Table, pa.Table, Any]] = {}
        self._lock = threading.RLock()

    def page(
        self, district: SandboxDistrict, listing: Listing, number: int, size: int, *, compress: bool
    ) -> bytes:
        """The JSON of a page, compressed if asked for."""
        table, years = district.tables[listing.object], district.tables["District/SchoolYear"]

        def kept(part: tuple[Any, ...], make: Callable[[], Any]) -> Any:
            key = district.id, listing, part
            with self._lock:  # pages of one listing are asked for at once, and its rows are ordered only once
                found = self._kept.get(key)
                if found is None or found[0] is not table or found[1] is not years:  # edits replace tables
                    made = make()
                    if len(self._kept) >= _KEPT:
                        self._kept.clear()
                    found = self._kept[key] = table, years, made
            return found[2]

        def make() -> bytes:
            rows = kept((), lambda: _rows_shown(district, listing))
            body = _page_body(rows, listing, number, size, district.paging_end)
            return gzip.compress(body, 1, mtime=0) if compress else body

        page: bytes = kept((number, size, district.paging_end, compress), make)
        return page


def _rows_shown(district: SandboxDistrict, listing: Listing) -> pa.Table:
    name, table = listing.object, district.tables[listing.object]
    columns = set(table.column_names)
    if "SchoolYearID" in columns and name != "District/SchoolYear":
        table = table.filter(pc.equal(table["SchoolYearID"], pa.scalar(listing.year, pa.int64())))
    if "EntityID" in columns and name != "District/Entity" and listing.entity != district.entity_id:
        table = table.filter(pc.equal(table["EntityID"], listing.entity))
    if name == "Student/Student":
        table = _with_grade_of(table, listing.year, district.current_year_id())
    table = Search(listing.search).apply(table, listing.ignored_conditions)
    return table.select([*listing.fields, *columns & {ODD_VALUES}]).combine_chunks()


def _with_grade_of(table: pa.Table, year: int | None, current: int | None) -> pa.Table:
    """Grade as Qmlativ computes it for another year; a grade without GradeNumeric stays as it is."""
    if year is None or current is None or year == current:
        return table
    numeric = pc.add(table["GradeNumeric"].combine_chunks(), year - current)
    in_school = pc.and_(pc.greater_equal(numeric, -2), pc.less_equal(numeric, 12))
    computed = pa.array(GRADES).take(pc.add(pc.if_else(in_school, numeric, None), 2))
    grade = pc.if_else(numeric.is_valid(), computed, table["Grade"].combine_chunks())
    return table.set_column(table.column_names.index("Grade"), "Grade", grade)


def _page_body(rows: pa.Table, listing: Listing, number: int, size: int, paging_end: str) -> bytes:
    def path(page: int) -> dict[str, str]:
        return {"Next": f"/Custom/{listing.entity}/{listing.object}/{page}/{size}"}

    first = min((number - 1) * size, rows.num_rows)
    ends: dict[str, dict[str, Any]] = {
        "null": {"Next": None},
        "empty": {"Next": ""},
        "absent": {},
        "same": path(number),
        "beyond": path(number + 1) if first < rows.num_rows else {"Next": None},
    }
    paging = path(number + 1) if first + size < rows.num_rows else ends[paging_end]
    shown = rows.slice(first, size)
    columns = [_json_values(shown[name]) for name in listing.fields]
    objects = [dict(zip(listing.fields, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if ODD_VALUES not in shown.column_names:
        return orjson.dumps({"Objects": objects, "Paging": paging})
    for row, odd in zip(objects, shown[ODD_VALUES].to_pylist(), strict=True):
        row.update({name: value for name, value in json.loads(odd or "{}").items() if name in row})
    # orjson refuses 2**70 and lone surrogates
    return json.dumps({"Objects": objects, "Paging": paging}).encode()


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_date(column.type):
        column = pc.binary_join_element_wise(column.cast(pa.string()), "T00:00:00", "")
    values: list[Any] = column.to_pylist()
    return values

"""What a listing shows: its rows, as pages of JSON, kept while the district's tables stay the same.

Through a school's entity, objects that have an EntityID show only the rows of that entity. Not here: who may
read what (``district``), HTTP (``server``).
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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


@dataclass
class Page:
    """The JSON of a page."""

    body: bytes

    @cached_property
    def gzipped(self) -> bytes:
        """The body compressed, quickly rather than well."""
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return packer.compress(self.body) + packer.flush()


class Listings:
    """The pages of all listings. Thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[Any, tuple[tuple[pa.Table, ...], Any]] = {}
        self._lock = threading.RLock()

    def page(self, district: SandboxDistrict, listing: Listing, number: int, size: int) -> Page:
        """A page, made now or kept from before."""

        def make() -> Page:
            rows = self._unless_edited(district, listing, (), lambda: rows_shown(district, listing))
            return Page(_page_body(rows, district, listing, number, size))

        page: Page = self._unless_edited(district, listing, (number, size, district.paging_end), make)
        return page

    def _unless_edited(
        self, district: SandboxDistrict, listing: Listing, part: tuple[Any, ...], make: Callable[[], Any]
    ) -> Any:
        """What was made before of the same tables, or is made now."""
        source = district.tables[listing.object], district.tables["District/SchoolYear"]
        key = district.id, listing, part
        with self._lock:  # pages of one listing are asked for at once, and its rows are ordered only once
            tables, made = self._kept.get(key, ((), None))
            if [*map(id, tables)] != [*map(id, source)]:
                made = make()
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[key] = source, made
        return made


def rows_shown(district: SandboxDistrict, listing: Listing) -> pa.Table:
    """All rows of a listing with the fields asked for, and the hidden column if there is one."""
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


def _page_body(table: pa.Table, district: SandboxDistrict, listing: Listing, number: int, size: int) -> bytes:
    def path(page: int) -> str:
        return f"/Custom/{listing.entity}/{listing.object}/{page}/{size}"

    first = min((number - 1) * size, table.num_rows)
    ends = {
        "null": {"Next": None},
        "empty": {"Next": ""},
        "absent": {},
        "same": {"Next": path(number)},
        "beyond": {"Next": path(number + 1) if first < table.num_rows else None},
    }
    paging = {"Next": path(number + 1)} if first + size < table.num_rows else ends[district.paging_end]
    shown = table.slice(first, size)
    columns = [_json_values(shown[name]) for name in listing.fields]
    rows = [dict(zip(listing.fields, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if ODD_VALUES not in shown.column_names:
        return orjson.dumps({"Objects": rows, "Paging": paging})
    for row, odd in zip(rows, shown[ODD_VALUES].to_pylist(), strict=True):
        row.update({name: value for name, value in json.loads(odd or "{}").items() if name in row})
    # orjson refuses 2**70 and lone surrogates
    return json.dumps({"Objects": rows, "Paging": paging}).encode()


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_date(column.type):
        column = pc.binary_join_element_wise(column.cast(pa.string()), "T00:00:00", "")
    values: list[Any] = column.to_pylist()
    return values

"""What a listing shows: its rows, in the order and under the conditions asked for, and pages of them as JSON.

Through a school's entity, objects that have an EntityID show only the rows of that entity. Not here: who may
read what (``district``), HTTP (``server``).

Of the contract's condition types, these are the ones that the client uses. Comparisons with null are neither
true nor false, as in SQL. A value is read as the type of its field, whatever the condition is called:
connectors ask for a flag with a StringSearchCondition.
"""

import functools
import gzip
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from starlette.exceptions import HTTPException

from samegoal_pipelines.sandbox.district import ENTITY_ID, SandboxDistrict
from samegoal_pipelines.sandbox.objects import ODD_VALUES, grade_codes

_KEPT = 400  # pages and lists of rows, of about a megabyte each
_JOINS = {"And": pc.and_kleene, "Or": pc.or_kleene}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": pc.equal,
    "Less": pc.less,
    "LessEqual": pc.less_equal,
    "GreaterEqual": pc.greater_equal,
}


@dataclass(frozen=True)
class Listing:
    """What a listing asks for, apart from the page."""

    object: str
    entity: int
    year: int | None
    fields: tuple[str, ...]
    search: bytes
    granted: frozenset[str]
    refused_conditions: frozenset[str]
    ignored_conditions: frozenset[str]

    def check_field(self, name: str) -> str:
        """The name of a field. Refuses one that is not granted."""
        if name not in self.granted:
            raise HTTPException(403, f"Field {name} of {self.object} is not available to this integration")
        return name


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
            body = _page_body(rows, listing, number, size)
            return gzip.compress(body, 1, mtime=0) if compress else body

        page: bytes = kept((number, size, compress), make)
        return page


def _rows_shown(district: SandboxDistrict, listing: Listing) -> pa.Table:
    name, table = listing.object, district.tables[listing.object]
    columns = set(table.column_names)
    if "SchoolYearID" in columns and name != "District/SchoolYear":
        table = table.filter(pc.equal(table["SchoolYearID"], pa.scalar(listing.year, pa.int64())))
    if "EntityID" in columns and name != "District/Entity" and listing.entity != ENTITY_ID:
        table = table.filter(pc.equal(table["EntityID"], listing.entity))
    if name == "Student/Student":
        table = _with_grade_of(table, listing.year, district.current_year_id())
    table = _found(table, listing)
    return table.select([*listing.fields, *columns & {ODD_VALUES}]).combine_chunks()


def _with_grade_of(table: pa.Table, year: int | None, current: int | None) -> pa.Table:
    """Grade as Qmlativ computes it for another year; a grade without GradeNumeric stays as it is."""
    if year is None or current is None or year == current:
        return table
    numeric = table["GradeNumeric"].to_pandas()
    computed = grade_codes(numeric.fillna(99).to_numpy(int) + year - current)
    grades = table["Grade"].to_pandas().where(numeric.isna(), computed)
    grade = pa.array(grades, pa.string(), from_pandas=True)
    return table.set_column(table.column_names.index("Grade"), "Grade", grade)


def _page_body(rows: pa.Table, listing: Listing, number: int, size: int) -> bytes:
    first = min((number - 1) * size, rows.num_rows)
    goes_on = first + size < rows.num_rows
    following = f"/Custom/{listing.entity}/{listing.object}/{number + 1}/{size}" if goes_on else None
    shown = rows.slice(first, size)
    columns = [_json_values(shown[name]) for name in listing.fields]
    objects = [dict(zip(listing.fields, cells, strict=True)) for cells in zip(*columns, strict=True)]
    page = {"Objects": objects, "Paging": {"Next": following}}
    if ODD_VALUES not in shown.column_names:
        return orjson.dumps(page)
    for row, odd in zip(objects, shown[ODD_VALUES].to_pylist(), strict=True):
        row.update({name: value for name, value in json.loads(odd or "{}").items() if name in row})
    return json.dumps(page).encode()  # orjson refuses 2**70 and lone surrogates


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_date(column.type):
        column = pc.binary_join_element_wise(column.cast(pa.string()), "T00:00:00", "")
    values: list[Any] = column.to_pylist()
    return values


def _found(table: pa.Table, listing: Listing) -> pa.Table:
    """The rows that match, in order; without an order and in ties, in the order of storage."""
    try:
        search = json.loads(listing.search or "{}")
        if condition := search.get("SearchCondition"):
            table = table.filter(_mask(table, condition, listing))
        order = [
            (listing.check_field(each["FieldName"]), "descending" if each.get("Descending") else "ascending")
            for each in search.get("SearchSort") or []
        ]
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise HTTPException(400, f"SearchCondition or SearchSort is not understood: {error!r}") from error
    return table.take(pc.sort_indices(table, sort_keys=order)) if order and table.num_rows > 1 else table


def _mask(table: pa.Table, condition: Mapping[str, Any], listing: Listing) -> Any:
    ((kind, body),) = condition.items()  # several need a group
    if kind == "SearchConditionGroup":
        masks = [_mask(table, nested, listing) for nested in body["Conditions"]]
        return functools.reduce(_JOINS[body["ConditionGroupType"]], masks)
    if not kind.endswith("SearchCondition") or kind in listing.refused_conditions:
        raise ValueError(f"unknown condition {kind[:40]}")
    column, how = table[listing.check_field(body["FieldName"])], body["ConditionType"]
    if kind in listing.ignored_conditions:  # it matches every row
        return pa.chunked_array([pa.repeat(True, table.num_rows)])
    if how == "Null":
        return pc.is_null(column)
    if how == "List":
        values = [_value(column, each) for each in body["List"]]
        return pc.is_in(column, value_set=pa.array(values, column.type))
    return _COMPARISONS[how](column, _value(column, body["Value"]))


def _value(column: Any, value: Any) -> pa.Scalar:
    if value is None:
        raise ValueError("a condition without a value")
    text = pa.scalar(str(value))
    return (text.cast(pa.timestamp("s")) if pa.types.is_date(column.type) else text).cast(column.type)

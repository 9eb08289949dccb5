"""What a listing shows: its rows, in the order and under the conditions asked for, and pages of them as JSON.

Through a school's entity, objects that have an EntityID show only the rows of that entity. Not here: tokens
and HTTP (``server``).

Of the contract's condition types, these are the ones that the client uses. Comparisons with null are not
true, as in SQL. A value is read as the type of its field, whatever the condition is called: connectors ask
for a flag with a StringSearchCondition.
"""

import datetime as dt
import json
import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from samegoal_pipelines.sandbox.district import ENTITY_ID, FIELDS, Rows, SandboxDistrict, grade_code
from samegoal_pipelines.sandbox.faults import Call

_JOINS = {"And": all, "Or": any}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equal": operator.eq,
    "Less": operator.lt,
    "LessEqual": operator.le,
    "GreaterEqual": operator.ge,
}
_PYTHON_TYPES = {"integer": int, "flag": bool}  # the others are text
_READ_AS: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "flag": lambda text: {"true": True, "false": False}[text.lower()],
    "date": lambda text: dt.datetime.fromisoformat(text).isoformat(),
}
"""Type of a field → how the value of a condition is read; any other as text."""


class Listing:
    """What a listing asks of a district. Refuses what is not granted or makes no sense."""

    def __init__(self, call: Call, district: SandboxDistrict, granted: Collection[str]) -> None:
        asked = call.query.get("SchoolYearID", "0")
        if call.page < 1 or call.size < 1:
            raise HTTPException(400, "page and pageSize start at 1")
        if not re.fullmatch(r"\d{1,9}", asked):
            raise HTTPException(400, "SchoolYearID must be a number")
        self.call, self.district, self.granted = call, district, granted
        self.table, self.types = district.tables[call.object], FIELDS[call.object]
        self.current_year = district.current_year_id()
        self.year = int(asked) or self.current_year
        self.fields = tuple(map(self._check_field, call.fields or list(self.types)[:1]))

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything that decides its rows. An edit of the district puts another table in a table's place."""
        district, call = self.district, self.call
        settings = self.granted, district.refused_conditions, district.ignored_conditions
        asked = id(self.table), call.entity, self.year, self.current_year, call.body
        return (*asked, *map(frozenset, settings))

    def _check_field(self, name: str) -> str:
        if name not in self.granted:
            where = self.call.object
            raise HTTPException(403, f"Field {name} of {where} is not available to this integration")
        return name

    def rows(self) -> Rows:
        """The rows that it shows; without an order and in ties, in the order of storage."""
        name, rows = self.call.object, self.table
        if "SchoolYearID" in self.types and name != "District/SchoolYear":
            rows = [row for row in rows if row["SchoolYearID"] == self.year]
        if "EntityID" in self.types and name != "District/Entity" and self.call.entity != ENTITY_ID:
            rows = [row for row in rows if row["EntityID"] == self.call.entity]
        if name == "Student/Student" and self.year != self.current_year:
            rows = [self._in_year(row) for row in rows]
        try:
            search = json.loads(self.call.body or "{}")
            if condition := search.get("SearchCondition"):
                rows = list(filter(self._predicate(condition), rows))
            for order in reversed(search.get("SearchSort") or []):
                key = self._sort_key(order["FieldName"])
                rows = sorted(rows, key=key, reverse=bool(order.get("Descending")))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"SearchCondition or SearchSort is not understood: {error!r}") from error
        return rows

    def _in_year(self, student: dict[str, Any]) -> dict[str, Any]:
        """The student with the Grade of the year asked for, as Qmlativ computes it from GradeNumeric."""
        numeric = student["GradeNumeric"]
        if not isinstance(numeric, int) or self.year is None or self.current_year is None:
            return student
        return student | {"Grade": grade_code(numeric + self.year - self.current_year)}

    def _predicate(self, condition: Mapping[str, Any]) -> Callable[[dict[str, Any]], bool]:
        """Whether a row matches."""
        ((kind, body),) = condition.items()  # several need a group
        if kind == "SearchConditionGroup":
            join, nested = _JOINS[body["ConditionGroupType"]], list(map(self._predicate, body["Conditions"]))
            return lambda row: join(matches(row) for matches in nested)
        if not kind.endswith("SearchCondition") or kind in self.district.refused_conditions:
            raise ValueError(f"unknown condition {kind[:40]}")
        cell, how = self._cell(body["FieldName"]), body["ConditionType"]
        read = _READ_AS.get(self.types[body["FieldName"]], str)
        if kind in self.district.ignored_conditions:  # it matches every row
            return bool
        if how == "Null":
            return lambda row: cell(row) is None
        if how == "List":
            values = {read(str(value)) for value in body["List"]}
            return lambda row: cell(row) in values
        compare, wanted = _COMPARISONS[how], read(str(body["Value"]))
        return lambda row: (found := cell(row)) is not None and compare(found, wanted)

    def _cell(self, name: str) -> Callable[[dict[str, Any]], Any]:
        """How a field is compared: a value of another type than declared counts as null."""
        kind = _PYTHON_TYPES.get(self.types[self._check_field(name)], str)
        return lambda row: row[name] if type(row[name]) is kind else None

    def _sort_key(self, name: str) -> Callable[[dict[str, Any]], tuple[bool, Any]]:
        cell = self._cell(name)
        return lambda row: ((found := cell(row)) is None, found)

    def page(self, rows: Rows, size: int) -> bytes:
        """The JSON of the page asked for, of these rows."""
        call, first = self.call, (self.call.page - 1) * size
        goes_on = first + size < len(rows)
        following = f"/Custom/{call.entity}/{call.object}/{call.page + 1}/{size}" if goes_on else None
        objects = [{name: row[name] for name in self.fields} for row in rows[first : first + size]]
        page = {"Objects": objects, "Paging": {"Next": following}}
        try:
            return orjson.dumps(page)
        except TypeError:  # orjson refuses 2**70 and lone surrogates
            return json.dumps(page).encode()

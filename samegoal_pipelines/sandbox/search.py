"""SearchCondition and SearchSort, evaluated on a table. Errors become HTTP 400.

Of the contract's condition types, these are the ones that the client uses. Comparisons with null are neither
true nor false, as in SQL. A value is read as the type of its field, whatever the condition is called:
connectors ask for a flag with a StringSearchCondition.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from starlette.exceptions import HTTPException

Condition = Mapping[str, Any]
_GROUP = "SearchConditionGroup"
_JOINS = {"And": pc.and_kleene, "Or": pc.or_kleene}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equal": pc.equal,
    "Less": pc.less,
    "LessEqual": pc.less_equal,
    "Greater": pc.greater,
    "GreaterEqual": pc.greater_equal,
}


class Search:
    """The body of a listing's POST."""

    def __init__(self, body: bytes) -> None:
        with _understood():
            content = json.loads(body or "{}")
            self.condition: Condition = content.get("SearchCondition") or {}
            self.sort = [
                (item["FieldName"], "descending" if item.get("Descending") else "ascending")
                for item in content.get("SearchSort") or []
            ]
            single = list(_single_conditions(self.condition))
            self.kinds = {kind for kind, _ in single}
            self.fields = [body["FieldName"] for _, body in single] + [name for name, _ in self.sort]

    def apply(self, table: pa.Table, ignored: Collection[str] = ()) -> pa.Table:
        """The rows that match, in order; without an order and in ties, in the order of storage.

        Conditions of an ``ignored`` kind match every row.
        """
        with _understood():
            if self.condition:
                table = table.filter(_mask(table, self.condition, ignored))
            if self.sort and table.num_rows > 1:
                table = table.take(pc.sort_indices(table, sort_keys=self.sort))
        return table


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise HTTPException(400, f"SearchCondition or SearchSort is not understood: {error!r}") from error


def _single_conditions(condition: Condition) -> Iterator[tuple[str, Condition]]:
    """Kind and body of every condition, those in groups included."""
    for kind, body in condition.items():
        if kind == _GROUP:
            for nested in body["Conditions"]:
                yield from _single_conditions(nested)
        else:
            yield kind, body


def _mask(table: pa.Table, condition: Condition, ignored: Collection[str]) -> Any:
    ((kind, body),) = condition.items()  # several need a group
    if kind == _GROUP:
        masks = [_mask(table, nested, ignored) for nested in body["Conditions"]]
        return functools.reduce(_JOINS[body["ConditionGroupType"]], masks)
    if not kind.endswith("SearchCondition"):
        raise ValueError(f"unknown condition {kind[:40]}")
    if kind in ignored:
        return pa.chunked_array([pa.repeat(True, table.num_rows)])
    column, how = table[body["FieldName"]], body["ConditionType"]
    if how == "Null":
        return pc.is_null(column)
    if how == "List":
        return pc.is_in(
            column, value_set=pa.array([_value(column, each) for each in body["List"]], column.type)
        )
    return _COMPARISONS[how](column, _value(column, body["Value"]))


def _value(column: Any, value: Any) -> pa.Scalar:
    if value is None:
        raise ValueError("a condition without a value")
    text = pa.scalar(str(value))
    return (text.cast(pa.timestamp("s")) if pa.types.is_date(column.type) else text).cast(column.type)

"""SearchCondition and SearchSort, evaluated on a table.

Comparisons with null are neither true nor false, as in the SQL behind Qmlativ. A value is read as the type
of its field, whatever the condition is called: connectors ask for a flag with a StringSearchCondition.
Errors become HTTP 400.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.exceptions import HTTPException

GROUP = "SearchConditionGroup"
Condition = Mapping[str, Any]


def _value(column: Any, value: Any) -> pa.Scalar:
    if value is None:
        raise ValueError("a condition without a value")
    text = pa.scalar(str(value))
    return (text.cast(pa.timestamp("s")) if pa.types.is_date(column.type) else text).cast(column.type)


def _between(column: Any, body: Condition) -> Any:
    low, high = ("LowValue", "HighValue") if "LowValue" in body else ("Value", "Value2")
    at_least = pc.greater_equal(column, _value(column, body[low]))
    return pc.and_kleene(at_least, pc.less_equal(column, _value(column, body[high])))


def _in_list(column: Any, body: Condition) -> Any:
    wanted = pa.array([_value(column, value) for value in body["List"]], column.type)
    return pc.if_else(pc.is_valid(column), pc.is_in(column, value_set=wanted), pa.scalar(None, pa.bool_()))


def _comparison(compare: Callable[..., Any]) -> Callable[[Any, Condition], Any]:
    return lambda column, body: compare(column, _value(column, body.get("Value")))


def _text(match: Callable[..., Any]) -> Callable[[Any, Condition], Any]:
    return lambda column, body: match(column, str(body.get("Value")))


_TESTS: dict[str, Callable[[Any, Condition], Any]] = {
    "Equal": _comparison(pc.equal),
    "Less": _comparison(pc.less),
    "LessEqual": _comparison(pc.less_equal),
    "Greater": _comparison(pc.greater),
    "GreaterEqual": _comparison(pc.greater_equal),
    "BetweenInclusive": _between,
    "Null": lambda column, _: pc.is_null(column),
    "List": _in_list,
    "Like": _text(pc.match_like),
    "Begins": _text(pc.starts_with),
    "Contains": _text(pc.match_substring),
    "Ends": _text(pc.ends_with),
}
"""ConditionType → test; each has a Not form."""
_JOINS = {"And": pc.and_kleene, "Or": pc.or_kleene}


class Search:
    """The body of a listing's POST."""

    def __init__(self, body: bytes) -> None:
        with _understood():
            content = json.loads(body or "{}")
            self.condition: Condition = content.get("SearchCondition") or {}
            self.sort = [
                (item["FieldName"], bool(item.get("Descending"))) for item in content.get("SearchSort") or []
            ]
            self.kinds = {kind for kind, _ in _single_conditions(self.condition)}
            self.fields = [body["FieldName"] for _, body in _single_conditions(self.condition)]
            self.fields += [field for field, _ in self.sort]

    def apply(self, table: pa.Table, ignored: Collection[str] = ()) -> pa.Table:
        """The rows that match, in order; without an order and in ties, in the order of storage.

        Conditions of an ``ignored`` kind match every row.
        """
        with _understood():
            if self.condition:
                mask = _mask(table, self.condition, ignored)
                table = table.filter(mask, null_selection_behavior="drop")
            if self.sort and table.num_rows > 1:
                keys = [(field, "descending" if down else "ascending") for field, down in self.sort]
                table = table.take(pc.sort_indices(table, sort_keys=keys))
        return table


@contextmanager
def _understood() -> Iterator[None]:
    """Answer 400 if the search has another form than expected."""
    try:
        yield
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise HTTPException(400, f"SearchCondition or SearchSort is not understood: {error!r}") from error


def _single_conditions(condition: Condition) -> Iterator[tuple[str, Condition]]:
    """Kind and body of every condition, those in groups included."""
    for kind, body in condition.items():
        if kind == GROUP:
            for nested in body["Conditions"]:
                yield from _single_conditions(nested)
        else:
            yield kind, body


def _mask(table: pa.Table, condition: Condition, ignored: Collection[str]) -> Any:
    ((kind, body),) = condition.items()  # several need a group
    if kind == GROUP:
        masks = [_mask(table, nested, ignored) for nested in body["Conditions"]]
        return functools.reduce(_JOINS[body["ConditionGroupType"]], masks)
    if not kind.endswith("SearchCondition"):
        raise ValueError(f"unknown condition {kind[:40]}")
    if kind in ignored:
        return pa.array(np.ones(table.num_rows, bool))
    column, how = table[body["FieldName"]], str(body["ConditionType"])
    found = _TESTS[how.removeprefix("Not")](column, body)
    return pc.invert(found) if how.startswith("Not") else found

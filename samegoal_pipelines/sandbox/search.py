"""SearchCondition and SearchSort of a POSTed listing, evaluated on a table.

Comparisons with null are neither true nor false, as in the SQL behind Qmlativ. Values are read by the
declared type of their field, whatever the name of the condition (connectors ask ``IsStudentName`` with a
StringSearchCondition). No HTTP here; what cannot be understood raises BadSearch, and the server answers
400.
"""

import datetime as dt
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_COMPARE: dict[str, Callable[..., Any]] = {
    "Equal": pc.equal,
    "NotEqual": pc.not_equal,
    "Less": pc.less,
    "LessEqual": pc.less_equal,
    "Greater": pc.greater,
    "GreaterEqual": pc.greater_equal,
}
_TEXT: dict[str, Callable[..., Any]] = {
    "Like": pc.match_like,
    "Begins": pc.starts_with,
    "Contains": pc.match_substring,
    "Ends": pc.ends_with,
}


class BadSearch(ValueError):
    """A condition or a sort order that the server does not understand."""


def condition_fields(condition: Any) -> Iterator[str]:
    """The fields that a SearchCondition names, so that grants can be checked."""
    for kind, body in _entries(condition):
        if kind == "SearchConditionGroup":
            for nested in body.get("Conditions") or []:
                yield from condition_fields(nested)
        else:
            yield _field(body)


def condition_kinds(condition: Any) -> Iterator[str]:
    """The kinds of the conditions that a SearchCondition joins, such as "LongSearchCondition"."""
    for kind, body in _entries(condition):
        if kind == "SearchConditionGroup":
            for nested in body.get("Conditions") or []:
                yield from condition_kinds(nested)
        else:
            yield kind


def without_kinds(condition: Any, kinds: Collection[str]) -> Any:
    """A SearchCondition without the conditions of these kinds; None where nothing is left of it."""
    kept: dict[str, Any] = {}
    for kind, body in _entries(condition):
        if kind != "SearchConditionGroup":
            if kind not in kinds:
                kept[kind] = body
            continue
        nested = [without_kinds(each, kinds) for each in body.get("Conditions") or []]
        if any(nested):
            kept[kind] = {**body, "Conditions": [each for each in nested if each]}
    return kept or None


def sort_fields(sort: Any) -> Iterator[str]:
    """The fields that a SearchSort names."""
    for item in sort:
        yield _field(item)


def matching(table: pa.Table, condition: Any) -> pa.Table:
    """The rows for which a SearchCondition holds; all of them without one."""
    if not condition:
        return table
    return table.filter(_mask(table, condition), null_selection_behavior="drop")


def ordered(table: pa.Table, sort: list[Mapping[str, Any]]) -> pa.Table:
    """The rows in the order of SearchSort; without one, and in ties, in the order of storage."""
    if not sort or table.num_rows < 2:
        return table
    keys = [(_field(item), "descending" if item.get("Descending") else "ascending") for item in sort]
    return table.take(pc.sort_indices(table, sort_keys=keys))


def _entries(condition: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(condition, dict) or not all(isinstance(body, dict) for body in condition.values()):
        raise BadSearch("SearchCondition must be an object of conditions")
    return list(condition.items())


def _field(body: Mapping[str, Any]) -> str:
    field = body.get("FieldName") if isinstance(body, Mapping) else None
    if not isinstance(field, str):
        raise BadSearch("A condition and a sort order need a FieldName")
    return field


def _mask(table: pa.Table, condition: Any) -> Any:
    masks = [
        _group(table, body) if kind == "SearchConditionGroup" else _single(table, kind, body)
        for kind, body in _entries(condition)
    ]
    if len(masks) != 1:
        raise BadSearch("Several conditions need a SearchConditionGroup")
    return masks[0]


def _group(table: pa.Table, body: Mapping[str, Any]) -> Any:
    join = {"And": pc.and_kleene, "Or": pc.or_kleene}.get(str(body.get("ConditionGroupType")))
    conditions = body.get("Conditions")
    if join is None or not isinstance(conditions, list) or not conditions:
        raise BadSearch("A SearchConditionGroup needs a ConditionGroupType (And, Or) and Conditions")
    return reduce(join, [_mask(table, nested) for nested in conditions])


def _single(table: pa.Table, kind: str, body: Mapping[str, Any]) -> Any:
    if not kind.endswith("SearchCondition"):
        raise BadSearch(f"Unknown condition {kind[:40]}")
    column, how = table[_field(body)], str(body.get("ConditionType"))

    def value(name: str = "Value") -> pa.Scalar:
        return pa.scalar(_typed(body.get(name), column.type), column.type)

    if how in _COMPARE:
        return _COMPARE[how](column, value())
    if how == "BetweenInclusive":
        low, high = ("LowValue", "HighValue") if "LowValue" in body else ("Value", "Value2")
        return pc.and_kleene(pc.greater_equal(column, value(low)), pc.less_equal(column, value(high)))
    if how in ("Null", "NotNull"):
        return pc.is_null(column) if how == "Null" else pc.is_valid(column)
    if how in ("List", "NotList"):
        return _in_list(column, body.get("List"), negate=how == "NotList")
    plain = how.removeprefix("Not")
    if plain in _TEXT and pa.types.is_string(column.type):
        found = _TEXT[plain](column, str(body.get("Value")))
        return found if how == plain else pc.invert(found)
    raise BadSearch(f"Unknown ConditionType {how[:40]}")


def _in_list(column: Any, values: Any, *, negate: bool) -> Any:
    if not isinstance(values, list):
        raise BadSearch("List conditions need a List")
    wanted = pa.array([_typed(value, column.type) for value in values], column.type)
    found = pc.is_in(column, value_set=wanted)
    known = pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))
    return pc.invert(known) if negate else known


def _typed(value: Any, type_: Any) -> Any:
    """A condition's value, as the type of its field."""
    try:
        if pa.types.is_boolean(type_):
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if pa.types.is_integer(type_):
            return operator.index(int(value))
        if pa.types.is_date(type_):
            return dt.datetime.fromisoformat(str(value)).date()
    except (KeyError, ValueError, TypeError):
        raise BadSearch(f"A value cannot be read as {type_}") from None
    if not isinstance(value, str):
        raise BadSearch("A text field is compared with text")
    return value

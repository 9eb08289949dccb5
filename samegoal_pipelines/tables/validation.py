"""Check a frame against its declaration; the report names columns, checks and counts, never a value.

Here: the pandera schema that is derived from a declaration, and `validate`. Not here: the declarations, nor
checks of single tables (`checks`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow.compute as pc
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from samegoal_pipelines.tables.arrow_types import arrow_types
from samegoal_pipelines.tables.checks import checks_of
from samegoal_pipelines.tables.declaration import UNREADABLE, Table
from samegoal_pipelines.tables.masks import Mask, all_true, arrow, given, mask, unique

WHOLE_TABLE = "(table)"
# A column's name in a report is cut here: an unexpected name can be anything.
NAME_LENGTH = 60


@cache
def schema_of(table: Table) -> pa.DataFrameSchema:
    """The pandera schema: exactly the declared columns, types and key; nothing is converted."""
    checks: dict[str | None, list[pa.Check]] = {}
    for each in _checks(table):
        checks.setdefault(each.column, []).append(_check(each.function, each.name))
    types = arrow_types(table)
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                pd.ArrowDtype(types[column.name]),
                checks=checks.get(column.name),
                nullable=not column.required,
                description=column.description,
            )
            for column in table.columns
        },
        checks=checks.get(None),
        strict=True,
        coerce=False,
        name=table.name,
        description=table.description,
    )


class _Asked(NamedTuple):
    """A check of a column, or of the whole table, under the name that a report shows."""

    column: str | None
    name: str
    function: Callable[[Any], Any]


@cache
def _checks(table: Table) -> tuple[_Asked, ...]:
    """What a table's rows are checked for beyond their types: its key, then what is registered for it."""
    asked: list[_Asked] = []
    if UNREADABLE in table.columns:
        key_is_given = partial(_key_is_given, table.key)
        asked.append(_Asked(None, "the_key_is_given_unless_it_was_unreadable", key_is_given))
        asked.append(_Asked(UNREADABLE.name, "is_a_json_object", _is_json_object))
    if table.key and not table.key_repeats:
        is_unique = partial(_is_unique, table.key, UNREADABLE in table.columns)
        asked.append(_Asked(None, "the_key_is_unique", is_unique))
    asked += (_Asked(each.column, each.function.__name__, each.function) for each in checks_of(table))
    return tuple(asked)


def _check(function: Callable[[Any], Any], name: str) -> pa.Check:
    # ignore_na makes pandera copy or scan whole frames around each check; our masks say themselves what a
    # null means. Without n_failure_cases pandera would copy out every row that failed, for minutes where
    # millions did.
    return pa.Check(function, name=name, ignore_na=False, n_failure_cases=1)


def _is_unique(key: tuple[str, ...], null: bool, frame: pd.DataFrame) -> Mask:
    """Two rows with one key would make every lookup a guess."""
    return unique(frame, key, null=null)


def _key_is_given(key: tuple[str, ...], frame: pd.DataFrame) -> Mask:
    """A key is null only in a row that says so in Unreadable."""
    keys = [given(frame[name]) for name in key]
    if all(each.all() for each in keys):
        return all_true(len(frame))
    return pd.concat(keys, axis="columns").all(axis="columns") | given(frame[UNREADABLE.name])


def _is_json_object(column: pd.Series) -> Mask:
    """Otherwise the rules do not know which field was unreadable."""
    values = arrow(column)
    return mask(pc.and_(pc.starts_with(values, "{"), pc.ends_with(values, "}")))


class Failure(NamedTuple):
    """Which check failed, on which column, in how many rows."""

    column: str
    check: str
    rows: int


@dataclass(frozen=True)
class SchemaReport:
    """What a check of a frame against its declaration found."""

    table: str
    rows: int
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        """Whether the frame is as declared."""
        return not self.failures

    def summary(self) -> str:
        """One line: the table, its rows, and what failed how often."""
        if self.ok:
            return f"{self.table}: {self.rows} rows, sound"
        found = "; ".join(f"{failure.column}: {failure.check} ({failure.rows})" for failure in self.failures)
        return f"{self.table}: {self.rows} rows, {found}"


def validate(frame: pd.DataFrame, table: Table) -> SchemaReport:
    """Check a frame against its declaration and report all that fails, by column and check.

    A frame that is as declared costs one pass over its columns. Only for another one is pandera asked what is
    wrong, because its setup per column takes longer than the checks themselves. pandera's own messages quote
    the values that failed; what leaves this function holds none, and no exception of pandera's does either.
    """
    if _is_as_declared(frame, table):
        return SchemaReport(table.name, len(frame), ())
    failures: set[Failure] = set()
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures = _failures(errors.schema_errors, len(frame))
    failures |= _other_types(frame, table)
    return SchemaReport(table.name, len(frame), tuple(sorted(failures)))


def _is_as_declared(frame: pd.DataFrame, table: Table) -> bool:
    """Whether the frame has everything that its schema asks for."""
    types = _types(table)
    if len(frame.columns) != len(types) or dict(frame.dtypes) != types:
        return False
    if any(column.required and frame[column.name].isna().any() for column in table.columns):
        return False
    try:
        return all(
            np.all(each.function(frame if each.column is None else frame[each.column]))
            for each in _checks(table)
        )
    except Exception:  # the report says which check stumbled
        return False


@cache
def _types(table: Table) -> dict[str, pd.ArrowDtype]:
    return {name: pd.ArrowDtype(kind) for name, kind in arrow_types(table).items()}


def _failures(errors: list[SchemaError], rows: int) -> set[Failure]:
    """What failed. That a check stumbled counts only where nothing else did, such as a column's type."""
    stumbled = [error for error in errors if error.reason_code is SchemaErrorReason.CHECK_ERROR]
    found = [error for error in errors if error.reason_code is not SchemaErrorReason.CHECK_ERROR]
    return {_failure(error, rows) for error in found or stumbled}


def _other_types(frame: pd.DataFrame, table: Table) -> set[Failure]:
    """Columns of another type than declared; pandera lets some pass, such as numpy's int64 for Arrow's."""
    declared = _types(table)
    return {
        Failure(_name(name), f"has the type {declared[name]}", len(frame))
        for name, dtype in frame.dtypes.items()
        if name in declared and dtype != declared[name]
    }


def _failure(error: SchemaError, rows: int) -> Failure:
    check = error.check
    match error.reason_code:
        case SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
            return Failure(_name(error.failure_cases), "is missing", rows)
        case SchemaErrorReason.COLUMN_NOT_IN_SCHEMA:
            return Failure(_name(error.failure_cases), "is not expected", rows)
        case SchemaErrorReason.WRONG_DATATYPE:
            return Failure(_name(error.schema.name), f"has the type {error.schema.dtype.type}", rows)
        case SchemaErrorReason.SERIES_CONTAINS_NULLS:
            return Failure(_name(error.schema.name), "is given", _violations(error, rows))
        case SchemaErrorReason.CHECK_ERROR:
            return Failure(_column(error), f"{_sentence(check)}, which could not be checked", rows)
    return Failure(_column(error), _sentence(check), _violations(error, rows))


def _sentence(check: Any) -> str:
    """A check's name is its function's, which says what ought to be."""
    return str(getattr(check, "name", None) or "check").replace("_", " ")


def _column(error: SchemaError) -> str:
    return _name(error.schema.name) if isinstance(error.schema, pa.Column) else WHOLE_TABLE


def _name(name: Any) -> str:
    return str(name)[:NAME_LENGTH]


def _violations(error: SchemaError, rows: int) -> int:
    """In how many rows the check failed; all of them, where it judges the table as a whole."""
    output = error.check_output
    return int((~output.astype(bool)).sum()) if isinstance(output, pd.Series) else rows

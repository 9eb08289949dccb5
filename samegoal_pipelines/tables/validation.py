"""Check a frame against its declaration; the report names columns, checks and counts, never a value."""

from functools import cache, partial, reduce
from typing import TypeAlias

import pandas as pd
import pandera.pandas as pa
import pyarrow.compute as pc
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from samegoal_pipelines.tables.checks import Check, Mask, arrow, checks_of, given, unique
from samegoal_pipelines.tables.declaration import UNREADABLE, Table

Failure: TypeAlias = tuple[str, str, int]
"""The column, the failed check, and its number of rows."""
WHOLE_TABLE = "(table)"
# A report shortens column names, because an unexpected name can be anything.
NAME_LENGTH = 60


@cache
def schema_of(table: Table) -> pa.DataFrameSchema:
    """The pandera schema: exactly the declared columns, types and key, without conversion."""
    # With ignore_na, pandera would copy or scan whole frames around each check, and our masks already handle
    # nulls. Without n_failure_cases, pandera would copy every failed row, which takes minutes for millions.
    checks: dict[str | None, list[pa.Check]] = {}
    for each in _checks(table):
        check = pa.Check(partial(_as_pandas, each), name=each.name, ignore_na=False, n_failure_cases=1)
        checks.setdefault(each.column, []).append(check)
    types = _types(table)
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                types[column.name],
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


@cache
def _checks(table: Table) -> tuple[Check, ...]:
    """The checks of a table beyond its types: the key, then the registered checks."""
    checks: list[Check] = []
    raw = UNREADABLE in table.columns
    if raw:
        key_is_given = partial(_key_is_given, table.key)
        checks.append(Check("the_key_is_given_unless_it_was_unreadable", key_is_given))
        checks.append(Check("is_a_json_object", _is_json_object, UNREADABLE.name))
    if table.key and not table.key_repeats:
        checks.append(Check("the_key_is_unique", partial(unique, key=table.key, null=raw)))
    return (*checks, *checks_of(table))


def _key_is_given(key: tuple[str, ...], frame: pd.DataFrame) -> Mask:
    """A key is only null if the row lists it in Unreadable."""
    keys = reduce(pc.and_, (given(frame[name]) for name in key))
    return pc.or_(keys, given(frame[UNREADABLE.name]))


def _is_json_object(column: pd.Series) -> Mask:
    """The rules need it to know which field was unreadable."""
    values = arrow(column)
    return pc.and_(pc.starts_with(values, "{"), pc.ends_with(values, "}"))


def _as_pandas(check: Check, checked: pd.DataFrame | pd.Series) -> pd.Series | bool:
    """A check's result as pandera takes it."""
    mask = check.function(checked)
    return mask if isinstance(mask, bool) else mask.fill_null(True).to_pandas()


def violations(frame: pd.DataFrame, table: Table) -> str:
    """What a frame violates of its declaration, in one line with columns, checks and rows. Empty: nothing.

    pandera only runs if something is wrong, because its setup per column takes longer than the checks. Its
    messages quote failed values, so neither they nor its exceptions leave this function.
    """
    if _is_as_declared(frame, table):
        return ""
    failures: set[Failure] = set()
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        # A check that raised only counts if nothing else failed, such as a column's type.
        stumbled = [e for e in errors.schema_errors if e.reason_code is SchemaErrorReason.CHECK_ERROR]
        found = [e for e in errors.schema_errors if e.reason_code is not SchemaErrorReason.CHECK_ERROR]
        failures = {_failure(error, frame) for error in found or stumbled}
    types = _types(table)  # pandera accepts some others, such as numpy's int64 for Arrow's
    failures |= {
        (str(name), f"has the type {types[name]}", len(frame))
        for name, dtype in frame.dtypes.items()
        if name in types and dtype != types[name]
    }
    listed = "; ".join(f"{column}: {check} ({rows})" for column, check, rows in sorted(failures))
    return f"{table.name}: {len(frame)} rows, {listed}" if failures else ""


@cache
def _types(table: Table) -> dict[str, pd.ArrowDtype]:
    return {name: pd.ArrowDtype(kind) for name, kind in table.arrow_types.items()}


def _is_as_declared(frame: pd.DataFrame, table: Table) -> bool:
    """Whether the frame passes everything in its schema."""
    types = _types(table)
    if len(frame.columns) != len(types) or dict(frame.dtypes) != types:
        return False
    if any(column.required and frame[column.name].isna().any() for column in table.columns):
        return False
    try:
        masks = (
            check.function(frame if check.column is None else frame[check.column]) for check in _checks(table)
        )
        return all(mask if isinstance(mask, bool) else not mask.false_count for mask in masks)
    except Exception:  # the report says which check raised
        return False


def _failure(error: SchemaError, frame: pd.DataFrame) -> Failure:
    """The failure in a pandera error, and its rows: all of them for a check of the whole table."""
    column = str(error.schema.name)[:NAME_LENGTH] if isinstance(error.schema, pa.Column) else WHOLE_TABLE
    check = str(getattr(error.check, "name", None) or "check").replace("_", " ")
    output = error.check_output
    rows = len(frame)
    failed = int((~output.astype(bool)).sum()) if isinstance(output, pd.Series) else rows
    match error.reason_code:
        case SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
            return (str(error.failure_cases)[:NAME_LENGTH], "is missing", rows)
        case SchemaErrorReason.COLUMN_NOT_IN_SCHEMA:
            return (str(error.failure_cases)[:NAME_LENGTH], "is not expected", rows)
        case SchemaErrorReason.WRONG_DATATYPE:
            return (column, f"has the type {error.schema.dtype.type}", rows)
        case SchemaErrorReason.SERIES_CONTAINS_NULLS:
            return (column, "is given", int(frame[error.schema.name].isna().sum()))
        case SchemaErrorReason.CHECK_ERROR:
            return (column, f"{check}, which could not be checked", rows)
    return (column, check, failed)

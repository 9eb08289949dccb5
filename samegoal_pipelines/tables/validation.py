"""Check a frame against its declaration; the report names columns, checks and counts, never a value."""

from functools import cache, partial

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from samegoal_pipelines.tables.checks import CHECKS, Check, Mask, unique
from samegoal_pipelines.tables.declaration import UNREADABLE, Table

# A report shortens column names, because an unexpected name can be anything.
NAME_LENGTH = 60


@cache
def schema_of(table: Table) -> pa.DataFrameSchema:
    """The pandera schema: exactly the declared columns, types and key, without conversion."""
    # With ignore_na, pandera would copy or scan whole frames around each check, and our masks already handle
    # nulls. Without n_failure_cases, pandera would copy every failed row, which takes minutes for millions.
    checks = [
        pa.Check(partial(_without_nulls, check), name=name, ignore_na=False, n_failure_cases=1)
        for name, check in _checks(table).items()
    ]
    types = _types(table)
    columns = {
        column.name: pa.Column(
            types[column.name], nullable=not column.required, description=column.description
        )
        for column in table.columns
    }
    return pa.DataFrameSchema(
        columns, checks, strict=True, coerce=False, name=table.name, description=table.description
    )


@cache
def _checks(table: Table) -> dict[str, Check]:
    """The checks of a table beyond its types: the key, then the registered checks."""
    checks: dict[str, Check] = {}
    raw, unreadable = UNREADABLE in table.columns, UNREADABLE.name
    if raw:
        checks["the key is given unless it was unreadable"] = lambda rows: (
            rows[[*table.key]].notna().all(axis="columns") | rows[unreadable].notna()
        )
        # The rules need it to know which field was unreadable.
        checks[f"{unreadable}: is a json object"] = lambda rows: (
            rows[unreadable].str.startswith("{") & rows[unreadable].str.endswith("}")
        )
    if table.key and not table.key_repeats:
        checks["the key is unique"] = partial(unique, key=table.key, null=raw)
    registered = CHECKS.get(table.name, {})
    return checks | {name: registered[name] for name in registered if name not in table.without_checks}


def _without_nulls(check: Check, frame: pd.DataFrame) -> Mask:
    """A check's result as pandera takes it."""
    mask = check(frame)
    return mask if isinstance(mask, bool) else mask.fillna(True)


def violations(frame: pd.DataFrame, table: Table) -> str:
    """What a frame violates of its declaration, in one line with columns, checks and rows. Empty: nothing.

    pandera only runs if something is wrong, because its setup per column takes longer than the checks. Its
    messages quote failed values, so neither they nor its exceptions leave this function.
    """
    if _is_as_declared(frame, table):
        return ""
    types, rows = _types(table), len(frame)
    failures = {  # pandera accepts some other types, such as numpy's int64 for Arrow's
        f"{name}: has the type {types[name]} ({rows})"
        for name, dtype in frame.dtypes.items()
        if name in types and dtype != types[name]
    }
    try:
        schema_of(table).validate(frame, lazy=True)
    except SchemaErrors as errors:
        # A check that raised only counts if nothing else failed, such as a column's type.
        raised = [e for e in errors.schema_errors if e.reason_code is SchemaErrorReason.CHECK_ERROR]
        found = [e for e in errors.schema_errors if e.reason_code is not SchemaErrorReason.CHECK_ERROR]
        failures |= {_failure(error, frame) for error in found or raised}
    return f"{table.name}: {rows} rows, {'; '.join(sorted(failures))}" if failures else ""


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
        masks = (check(frame) for check in _checks(table).values())
        return all(mask if isinstance(mask, bool) else mask.all() for mask in masks)
    except Exception:  # the report says which check raised
        return False


def _failure(error: SchemaError, frame: pd.DataFrame) -> str:
    """The failure in a pandera error, and its rows: all of them if it is not about single rows."""
    rows, output = len(frame), error.check_output
    match error.reason_code:
        case SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
            return f"{str(error.failure_cases)[:NAME_LENGTH]}: is missing ({rows})"
        case SchemaErrorReason.COLUMN_NOT_IN_SCHEMA:
            return f"{str(error.failure_cases)[:NAME_LENGTH]}: is not expected ({rows})"
        case SchemaErrorReason.WRONG_DATATYPE:
            return f"{error.schema.name}: has the type {error.schema.dtype.type} ({rows})"
        case SchemaErrorReason.SERIES_CONTAINS_NULLS:
            return f"{error.schema.name}: is given ({frame[error.schema.name].isna().sum()})"
    check = str(getattr(error.check, "name", None) or "check")
    check = check if ": " in check else f"(table): {check}"
    if error.reason_code is SchemaErrorReason.CHECK_ERROR:
        return f"{check}, which could not be checked ({rows})"
    failed = int((~output.astype(bool)).sum()) if isinstance(output, pd.Series) else rows
    return f"{check} ({failed})"

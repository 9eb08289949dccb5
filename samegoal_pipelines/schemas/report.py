"""Checking a frame against its model, and a report that names columns and checks and counts, never a value.

Here: `validate`, and the columns' descriptions for the Dagster UI. Not here: any model.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

WHOLE_TABLE = "(table)"
# A column's name in a report is cut here: an unexpected one may come from anywhere.
NAME_LENGTH = 60


class Failure(NamedTuple):
    """Which check failed, on which column, in how many rows."""

    column: str
    check: str
    rows: int


@dataclass(frozen=True)
class SchemaReport:
    """What a check of a frame against its model found."""

    table: str
    rows: int
    failures: tuple[Failure, ...]

    @property
    def ok(self) -> bool:
        """Whether the frame is as the model wants it."""
        return not self.failures

    def summary(self) -> str:
        """One line: the table, its rows, and what failed how often."""
        if self.ok:
            return f"{self.table}: {self.rows} rows, sound"
        found = "; ".join(f"{failure.column}: {failure.check} ({failure.rows})" for failure in self.failures)
        return f"{self.table}: {self.rows} rows, {found}"


class ColumnDescription(NamedTuple):
    """A column as the Dagster UI shows it."""

    name: str
    dtype: str
    description: str
    nullable: bool


def validate(frame: pd.DataFrame, model: type[pa.DataFrameModel]) -> SchemaReport:
    """Check a frame against its model and report all that fails, by column and check.

    pandera's own messages quote the values that failed; what leaves this function holds none, and no
    exception of pandera's does either.
    """
    failures: set[Failure] = set()
    try:
        model.validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures = _failures(errors.schema_errors, len(frame))
    failures |= _other_types(frame, model)
    return SchemaReport(model.__name__, len(frame), tuple(sorted(failures)))


def column_descriptions(model: type[pa.DataFrameModel]) -> list[ColumnDescription]:
    """The model's columns in their order."""
    return [
        ColumnDescription(name, str(column.dtype.type), column.description or "", bool(column.nullable))
        for name, column in model.to_schema().columns.items()
    ]


def _failures(errors: list[SchemaError], rows: int) -> set[Failure]:
    """What failed. That a check stumbled counts only where nothing else did, such as a column's type."""
    stumbled = [error for error in errors if error.reason_code is SchemaErrorReason.CHECK_ERROR]
    found = [error for error in errors if error.reason_code is not SchemaErrorReason.CHECK_ERROR]
    return {_failure(error, rows) for error in found or stumbled}


def _other_types(frame: pd.DataFrame, model: type[pa.DataFrameModel]) -> set[Failure]:
    """Columns of another type than declared; pandera lets some pass, such as numpy's int64 for Arrow's."""
    declared = {name: column.dtype.type for name, column in model.to_schema().columns.items()}
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
            return Failure(_column(error), f"{_told(check)}, which could not be checked", rows)
    return Failure(_column(error), _told(check), _violations(error, rows))


def _told(check: Any) -> str:
    """A check's name is its method's, which says what ought to be."""
    return str(getattr(check, "name", None) or "check").replace("_", " ")


def _column(error: SchemaError) -> str:
    return _name(error.schema.name) if isinstance(error.schema, pa.Column) else WHOLE_TABLE


def _name(name: Any) -> str:
    return str(name)[:NAME_LENGTH]


def _violations(error: SchemaError, rows: int) -> int:
    """In how many rows the check failed; all of them, where it judges the table as a whole."""
    output = error.check_output
    return int((~output.astype(bool)).sum()) if isinstance(output, pd.Series) else rows

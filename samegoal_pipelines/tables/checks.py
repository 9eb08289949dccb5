"""Checks of a table's rows beyond types and key, registered with `@check(TABLE)`.

A check takes the frame or one column and returns a `Mask`, computed by Arrow or numpy over whole columns. A
report shows its name, which says what should be true. Checks of every table are in `validation`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.enrollments import (
    EXCLUDED_ENROLLMENTS,
    FILTERED_ENROLLMENTS,
    SCHOOL,
    SCHOOL_YEAR,
    STUDENT_STATUS,
    UNCERTAIN_STUDENTS,
)
from samegoal_pipelines.tables.people import (
    CONFIDENTIAL_PHONES,
    PARENT_CONTACTS,
    PARENT_DEMOGRAPHICS,
    STUDENT_DEMOGRAPHICS,
)
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.vocabulary import (
    CECS,
    EXCLUDED,
    GRADUATED_CODE,
    QUARANTINED,
    STATUS_OF_REASON,
    STATUSES,
    UNCERTAIN,
)
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST

Mask: TypeAlias = pd.Series


def arrow(column: pd.Series) -> pyarrow.Array:
    """The column as one Arrow array."""
    values = pyarrow.array(column.array)
    return values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values


def mask(values: pyarrow.Array, *, null: bool = True) -> Mask:
    """A check's answer from an Arrow array of booleans, with `null` in place of unknown values."""
    if values.null_count:
        if null and pc.all(values).as_py():  # usually there is nothing to fill
            return all_true(len(values))
        values = values.fill_null(null)
    return pd.Series(values.to_numpy(zero_copy_only=False))


def all_true(rows: int) -> Mask:
    """The answer of a check that all rows pass."""
    return pd.Series(np.ones(rows, bool))


def given(column: pd.Series) -> Mask:
    """True if the column is not null."""
    values = arrow(column)
    return mask(values.is_valid()) if values.null_count else all_true(len(values))


def not_before(later: pd.Series, earlier: pd.Series) -> Mask:
    """True unless one day is before the other. A missing day passes."""
    return mask(pc.greater_equal(arrow(later), arrow(earlier)))


def each_text(column: pd.Series, judge: Callable[[pyarrow.Array], pyarrow.Array]) -> Mask:
    """The result of `judge` for each text, called once per distinct text. Null passes."""
    texts = arrow(column)
    if not pyarrow.types.is_dictionary(texts.type):
        return mask(judge(texts))
    fine = judge(texts.dictionary).to_numpy(zero_copy_only=False)
    if fine.all():
        return all_true(len(texts))
    return pd.Series(np.append(fine, True)[texts.indices.fill_null(len(fine)).to_numpy()])


def one_of(column: pd.Series, values: Iterable[str]) -> Mask:
    """True for a text that is one of these, or null."""
    allowed = pyarrow.array([*values, None])
    return each_text(column, lambda texts: pc.is_in(texts, value_set=allowed))


def unique(frame: pd.DataFrame, key: tuple[str, ...], *, null: bool = False) -> Mask:
    """True if a key is in one row only, because lookups need unique keys. With `null`, null may repeat."""
    values = arrow(frame[key[0]])
    if len(key) == 1 and not values.null_count and pyarrow.types.is_integer(values.type):
        # sorting integers is the fastest test of uniqueness
        keys = values.to_numpy()
        if (keys[1:] > keys[:-1]).all() or (np.diff(np.sort(keys)) != 0).all():
            return all_true(len(keys))
    repeated = frame.duplicated(subset=list(key), keep=False)
    if null:
        repeated &= frame[list(key)].notna().all(axis="columns")
    return ~repeated.reset_index(drop=True)


def mostly(plausible: Mask, *, share: float = 0.01, rows: int = 10) -> Mask:
    """The mask, or all true if it fails in so few rows that they are odd rather than read wrongly.

    Some schools write a birth date in 1900 for "unknown", which must not stop a district. A tenth of all
    birth dates in 1900 is a fault.
    """
    odd = len(plausible) - int(plausible.sum())
    return plausible if odd > max(rows, share * len(plausible)) else all_true(len(plausible))


def years_between(column: pd.Series, first: int, last: int) -> Mask:
    """True for a day in these years (both inclusive) or a missing day."""
    bounds = [pyarrow.scalar(pd.Timestamp(year, 1, 1).date(), pyarrow.date32()) for year in (first, last + 1)]
    values = arrow(column)
    return mask(pc.and_(pc.greater_equal(values, bounds[0]), pc.less(values, bounds[1])))


# -- the checks --

Function = Callable[[Any], Any]


class Check(NamedTuple):
    """A check of a column, or of the whole table if there is no column, and its name in reports."""

    column: str | None
    name: str
    function: Function


_CHECKS: dict[str, list[Check]] = defaultdict(list)


def check(table: Table, column: str | None = None) -> Callable[[Function], Function]:
    """Register a check for all tables of this name."""

    def register(function: Function) -> Function:
        _CHECKS[table.name].append(Check(column, function.__name__, function))
        return function

    return register


def checks_of(table: Table) -> list[Check]:
    """The checks of a table."""
    return [each for each in _CHECKS[table.name] if each.name not in table.without_checks]


# -- as Qmlativ gives them: only structure, because the rules handle odd content --


@check(SCHOOL_YEAR.table, "IsCurrentYearForProvidedEntity")
def one_year_is_current(column: pd.Series) -> bool:
    """Without a current year, every open enrollment would look forgotten, and every student inactive."""
    return column.empty or bool(column.fillna(False).any())


@check(SCHOOL_YEAR.table, "NumericYear")
def is_a_calendar_year(column: pd.Series) -> Mask:
    """Check that it is not the year's id, which is also a number."""
    values = arrow(column)
    return mask(pc.and_(pc.greater_equal(values, 1900), pc.less_equal(values, 2200)))


@check(SCHOOL.table)
def one_name_and_number_per_school_and_year(frame: pd.DataFrame) -> Mask:
    """A row may repeat, but two different ones would make the building ambiguous."""
    once = frame[["SchoolID", "SchoolYearID", "Name", "StateAssignedID"]].drop_duplicates()
    clashing = once.loc[once.duplicated(["SchoolID", "SchoolYearID"], keep=False)].index
    return pd.Series(~frame.index.isin(clashing))


@check(READS, "Rows")
def is_a_count(column: pd.Series) -> Mask:
    """Not negative."""
    return (column >= 0).astype(bool)


# -- enrollments --


@check(FILTERED_ENROLLMENTS)
@check(STUDENT_STATUS)
def the_last_day_is_not_before_the_first(frame: pd.DataFrame) -> Mask:
    """Such an enrollment was never effective, so it cannot count."""
    return not_before(frame["last_day"], frame["first_day"])


@check(FILTERED_ENROLLMENTS, "withdrawal_code")
def is_not_cecs(column: pd.Series) -> Mask:
    """Cross-entity course enrollments never count."""
    return each_text(column, lambda codes: pc.not_equal(pc.utf8_upper(pc.utf8_trim_whitespace(codes)), CECS))


@check(FILTERED_ENROLLMENTS, "withdrawal_code")
def is_trimmed_and_not_blank(column: pd.Series) -> Mask:
    """A padded 01 would not match 01."""
    return each_text(
        column,
        lambda codes: pc.and_(pc.equal(pc.utf8_trim_whitespace(codes), codes), pc.not_equal(codes, "")),
    )


@check(FILTERED_ENROLLMENTS, "first_day")
def mostly_lies_in_1990_to_2100(column: pd.Series) -> Mask:
    """One odd date is a typing error, many are a date read wrongly."""
    return mostly(years_between(column, 1990, 2100))


@check(EXCLUDED_ENROLLMENTS)
def outcome_and_reason_belong_together(frame: pd.DataFrame) -> Mask:
    """Each reason has one outcome, and no other reasons exist."""
    excluded = (frame["outcome"] == "excluded") & one_of(frame["reason"], EXCLUDED).array
    quarantined = (frame["outcome"] == "quarantined") & one_of(frame["reason"], QUARANTINED).array
    return mask(arrow(excluded | quarantined), null=False)


@check(EXCLUDED_ENROLLMENTS)
def the_dates_bear_the_reason_out(frame: pd.DataFrame) -> Mask:
    """`never_closed` is open, `outside_window` has ended, and `never_effective` ends before it begins."""
    reason, ended = frame["reason"], given(frame["last_day"]).array
    wrong = ((reason == "never_closed") & ended) | ((reason == "outside_window") & ~ended)
    effective = not_before(frame["last_day"], frame["first_day"]).array
    return mask(arrow(~(wrong | ((reason == "never_effective") & effective))))


@check(EXCLUDED_ENROLLMENTS)
def cecs_is_excluded_as_cecs(frame: pd.DataFrame) -> Mask:
    """The reason cecs means the code CECS, except for conflicting duplicates."""
    codes = arrow(frame["withdrawal_code"])
    cecs = pc.equal(pc.utf8_upper(codes.dictionary), CECS).take(codes.indices).fill_null(False)
    said = pc.equal(arrow(frame["reason"]), "cecs")
    contradicting = pc.equal(arrow(frame["reason"]), "conflicting_duplicate")
    return mask(pc.or_(pc.equal(cecs, said), contradicting))


# -- statuses --


@check(STUDENT_STATUS)
def an_enrollment_decides_one_status(frame: pd.DataFrame) -> Mask:
    """An enrollment belongs to one student."""
    return unique(frame, ("enrollment_id",))


@check(STUDENT_STATUS, "status")
def is_one_of_the_four(column: pd.Series) -> Mask:
    """No other statuses exist."""
    return one_of(column, STATUSES)


@check(STUDENT_STATUS)
def status_and_reason_belong_together(frame: pd.DataFrame) -> Mask:
    """Each reason has one status, and no other reasons exist."""
    position = pc.index_in(arrow(frame["reason"]), value_set=pyarrow.array(STATUS_OF_REASON))
    expected = pc.index_in(pyarrow.array(STATUS_OF_REASON.values()), value_set=pyarrow.array(STATUSES))
    actual = pc.index_in(arrow(frame["status"]), value_set=pyarrow.array(STATUSES))
    return mask(pc.equal(expected.take(position), actual), null=False)


def _left(frame: pd.DataFrame) -> pyarrow.Array:
    status = arrow(frame["status"])
    return pc.or_(pc.equal(status, "GRADUATED"), pc.equal(status, "INACTIVE"))


@check(STUDENT_STATUS)
def who_left_has_a_last_day(frame: pd.DataFrame) -> Mask:
    """Graduated and inactive students have a last day."""
    return mask(pc.or_(pc.invert(_left(frame)), arrow(frame["last_day"]).is_valid()))


@check(STUDENT_STATUS)
def graduated_means_code_01(frame: pd.DataFrame) -> Mask:
    """Exactly the students who left with code 01 are graduated."""
    said = pc.equal(arrow(frame["status"]), "GRADUATED")
    graduated = pc.equal(arrow(frame["withdrawal_code"]), GRADUATED_CODE).fill_null(False)
    return mask(pc.or_(pc.invert(_left(frame)), pc.equal(graduated, said)))


@check(UNCERTAIN_STUDENTS, "reasons")
def are_reasons_that_make_uncertain(column: pd.Series) -> Mask:
    """An enrollment that was never effective leaves nothing in doubt."""
    return pd.Series(
        [set(reasons.split(",")) <= set(UNCERTAIN) for reasons in column.fillna("").tolist()], dtype=bool
    )


@check(REGISTRAR_WORKLIST, "problem")
def is_a_known_problem(column: pd.Series) -> Mask:
    """No other problems exist."""
    return one_of(column, PROBLEMS)


# -- people --


@check(STUDENT_DEMOGRAPHICS, "birth_date")
def mostly_lies_in_1980_to_2100(column: pd.Series) -> Mask:
    """One odd date is a typing error, many are a date read wrongly."""
    return mostly(years_between(column, 1980, 2100))


@check(PARENT_DEMOGRAPHICS, "has_restricted_access")
def is_answered_for_all_or_for_none(column: pd.Series) -> Mask:
    """The field is granted for all rows or none. If granted, an unanswered one counts as true."""
    known = given(column)
    return known if known.any() else all_true(len(known))


@check(PARENT_DEMOGRAPHICS)
def restricted_access_leaves_no_contact(frame: pd.DataFrame) -> Mask:
    """A parent under restriction has no contact data."""
    restricted = mask(arrow(frame["has_restricted_access"]), null=False)
    if not restricted.any():
        return all_true(len(frame))
    reachable = pd.concat([given(frame[name]) for name in PARENT_CONTACTS], axis="columns").any(
        axis="columns"
    )
    return ~(restricted & reachable)


@check(CONFIDENTIAL_PHONES)
def a_number_is_one_person_s(frame: pd.DataFrame) -> Mask:
    """A number belongs to a student or a parent, not both."""
    return given(frame["student_id"]) ^ given(frame["parent_id"])

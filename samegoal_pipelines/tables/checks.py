"""Checks of a table's rows beyond types and key: `CHECKS`.

A check takes the frame or one column and returns a `Mask`, computed by Arrow or numpy over whole columns. A
report shows its name, which says what should be true. Checks of every table are in `validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
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


def between(column: pd.Series, first: int | date, last: int | date) -> Mask:
    """True for a number or day from first to last, or a missing one."""
    values = arrow(column)
    bounds = pyarrow.array([first, last], values.type)
    return mask(pc.and_(pc.greater_equal(values, bounds[0]), pc.less_equal(values, bounds[1])))


# -- of single tables --


def _one_name_and_number_per_school_and_year(frame: pd.DataFrame) -> Mask:
    """A row may repeat, but two different ones would make the building ambiguous."""
    once = frame[["SchoolID", "SchoolYearID", "Name", "StateAssignedID"]].drop_duplicates()
    clashing = once.loc[once.duplicated(["SchoolID", "SchoolYearID"], keep=False)].index
    return pd.Series(~frame.index.isin(clashing))


def _is_trimmed_and_not_blank(codes: pyarrow.Array) -> pyarrow.Array:
    return pc.and_(pc.equal(pc.utf8_trim_whitespace(codes), codes), pc.not_equal(codes, ""))


def _outcome_and_reason_belong_together(frame: pd.DataFrame) -> Mask:
    excluded = (frame["outcome"] == "excluded") & one_of(frame["reason"], EXCLUDED).array
    quarantined = (frame["outcome"] == "quarantined") & one_of(frame["reason"], QUARANTINED).array
    return mask(arrow(excluded | quarantined), null=False)


def _the_dates_bear_the_reason_out(frame: pd.DataFrame) -> Mask:
    """`never_closed` is open, `outside_window` has ended, and `never_effective` ends before it begins."""
    reason, ended = frame["reason"], given(frame["last_day"]).array
    wrong = ((reason == "never_closed") & ended) | ((reason == "outside_window") & ~ended)
    effective = not_before(frame["last_day"], frame["first_day"]).array
    return mask(arrow(~(wrong | ((reason == "never_effective") & effective))))


def _cecs_is_excluded_as_cecs(frame: pd.DataFrame) -> Mask:
    """Except for conflicting duplicates."""
    codes = arrow(frame["withdrawal_code"])
    cecs = pc.equal(pc.utf8_upper(codes.dictionary), CECS).take(codes.indices).fill_null(False)
    said = pc.equal(arrow(frame["reason"]), "cecs")
    contradicting = pc.equal(arrow(frame["reason"]), "conflicting_duplicate")
    return mask(pc.or_(pc.equal(cecs, said), contradicting))


def _status_and_reason_belong_together(frame: pd.DataFrame) -> Mask:
    position = pc.index_in(arrow(frame["reason"]), value_set=pyarrow.array(STATUS_OF_REASON))
    expected = pc.index_in(pyarrow.array(STATUS_OF_REASON.values()), value_set=pyarrow.array(STATUSES))
    actual = pc.index_in(arrow(frame["status"]), value_set=pyarrow.array(STATUSES))
    return mask(pc.equal(expected.take(position), actual), null=False)


def _stayed(frame: pd.DataFrame) -> pyarrow.Array:
    status = arrow(frame["status"])
    return pc.invert(pc.or_(pc.equal(status, "GRADUATED"), pc.equal(status, "INACTIVE")))


def _graduated_means_code_01(frame: pd.DataFrame) -> Mask:
    said = pc.equal(arrow(frame["status"]), "GRADUATED")
    graduated = pc.equal(arrow(frame["withdrawal_code"]), GRADUATED_CODE).fill_null(False)
    return mask(pc.or_(_stayed(frame), pc.equal(graduated, said)))


def _is_answered_for_all_or_for_none(column: pd.Series) -> Mask:
    """The field is granted for all rows or none. If granted, an unanswered one counts as true."""
    known = given(column)
    return known if known.any() else all_true(len(known))


def _restricted_access_leaves_no_contact(frame: pd.DataFrame) -> Mask:
    restricted = mask(arrow(frame["has_restricted_access"]), null=False)
    if not restricted.any():
        return all_true(len(frame))
    contacts = pd.concat([given(frame[name]) for name in PARENT_CONTACTS], axis="columns")
    return ~(restricted & contacts.any(axis="columns"))


class Check(NamedTuple):
    """A check of a column, or of the whole table if there is no column, and its name in reports."""

    column: str | None
    name: str
    function: Callable[[Any], Any]


_DAYS_IN_ORDER = Check(  # such an enrollment was never effective, so it cannot count
    None,
    "the_last_day_is_not_before_the_first",
    lambda frame: not_before(frame["last_day"], frame["first_day"]),
)
CHECKS: dict[str, list[Check]] = {
    # As Qmlativ gives them: only structure, because the rules handle odd content.
    SCHOOL_YEAR.name: [
        # Without a current year, every open enrollment would look forgotten, and every student inactive.
        Check(
            "IsCurrentYearForProvidedEntity",
            "one_year_is_current",
            lambda column: column.empty or bool(column.fillna(False).any()),
        ),
        # Not the year's id, which is also a number.
        Check("NumericYear", "is_a_calendar_year", lambda column: between(column, 1900, 2200)),
    ],
    SCHOOL.name: [
        Check(None, "one_name_and_number_per_school_and_year", _one_name_and_number_per_school_and_year)
    ],
    READS.name: [Check("Rows", "is_a_count", lambda column: (column >= 0).astype(bool))],
    FILTERED_ENROLLMENTS.name: [
        _DAYS_IN_ORDER,
        Check(
            "withdrawal_code",
            "is_not_cecs",
            lambda column: each_text(
                column, lambda codes: pc.not_equal(pc.utf8_upper(pc.utf8_trim_whitespace(codes)), CECS)
            ),
        ),
        # A padded 01 would not match 01.
        Check(
            "withdrawal_code",
            "is_trimmed_and_not_blank",
            lambda column: each_text(column, _is_trimmed_and_not_blank),
        ),
        Check(
            "first_day",
            "mostly_lies_in_1990_to_2100",
            lambda column: mostly(between(column, date(1990, 1, 1), date(2100, 12, 31))),
        ),
    ],
    EXCLUDED_ENROLLMENTS.name: [
        Check(None, "outcome_and_reason_belong_together", _outcome_and_reason_belong_together),
        Check(None, "the_dates_bear_the_reason_out", _the_dates_bear_the_reason_out),
        Check(None, "cecs_is_excluded_as_cecs", _cecs_is_excluded_as_cecs),
    ],
    STUDENT_STATUS.name: [
        _DAYS_IN_ORDER,
        Check(None, "an_enrollment_decides_one_status", lambda frame: unique(frame, ("enrollment_id",))),
        Check("status", "is_one_of_the_four", lambda column: one_of(column, STATUSES)),
        Check(None, "status_and_reason_belong_together", _status_and_reason_belong_together),
        Check(
            None,
            "who_left_has_a_last_day",
            lambda frame: mask(pc.or_(_stayed(frame), arrow(frame["last_day"]).is_valid())),
        ),
        Check(None, "graduated_means_code_01", _graduated_means_code_01),
    ],
    # An enrollment that was never effective leaves nothing in doubt.
    UNCERTAIN_STUDENTS.name: [
        Check(
            "reasons",
            "are_reasons_that_make_uncertain",
            lambda column: (
                column.fillna("").map(lambda text: {*text.split(",")} <= {*UNCERTAIN}).astype(bool)
            ),
        )
    ],
    REGISTRAR_WORKLIST.name: [
        Check("problem", "is_a_known_problem", lambda column: one_of(column, PROBLEMS))
    ],
    STUDENT_DEMOGRAPHICS.name: [
        Check(
            "birth_date",
            "mostly_lies_in_1980_to_2100",
            lambda column: mostly(between(column, date(1980, 1, 1), date(2100, 12, 31))),
        )
    ],
    PARENT_DEMOGRAPHICS.name: [
        Check("has_restricted_access", "is_answered_for_all_or_for_none", _is_answered_for_all_or_for_none),
        Check(None, "restricted_access_leaves_no_contact", _restricted_access_leaves_no_contact),
    ],
    CONFIDENTIAL_PHONES.name: [
        Check(
            None,
            "a_number_is_one_person_s",
            lambda frame: given(frame["student_id"]) ^ given(frame["parent_id"]),
        )
    ],
}
"""Table → its checks."""


def checks_of(table: Table) -> list[Check]:
    """The checks of a table."""
    return [each for each in CHECKS.get(table.name, ()) if each.name not in table.without_checks]

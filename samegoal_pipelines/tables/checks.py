"""Checks of a table's rows beyond types and key: `CHECKS`.

Arrow or numpy compute each check over whole columns. Checks of every table are in `validation`.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import reduce
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from samegoal_pipelines.tables import enrollments, people, vocabulary
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST

Mask: TypeAlias = "pyarrow.Array | bool"
"""True for each sound row; null passes. A single boolean speaks for all rows."""
Check: TypeAlias = Callable[[pd.DataFrame], Mask]


def arrow(column: pd.Series) -> pyarrow.Array:
    """The column as one Arrow array."""
    values = pyarrow.array(column.array)
    return values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else values


def given(column: pd.Series) -> pyarrow.Array:
    """True if the column is not null."""
    return arrow(column).is_valid()


def not_before(later: pd.Series, earlier: pd.Series) -> pyarrow.Array:
    """True unless one day is before the other. A missing day passes."""
    return pc.greater_equal(arrow(later), arrow(earlier))


def each_text(column: pd.Series, judge: Callable[[pyarrow.Array], pyarrow.Array]) -> pyarrow.Array:
    """The result of `judge` for each text, called once per distinct text of a dictionary. Null passes."""
    texts = arrow(column)
    if not pyarrow.types.is_dictionary(texts.type):
        return judge(texts)
    return judge(texts.dictionary).take(texts.indices)


def unique(frame: pd.DataFrame, key: tuple[str, ...], *, null: bool = False) -> Mask:
    """True if a key is in one row only, because lookups need unique keys. With `null`, null may repeat."""
    values = arrow(frame[key[0]])
    if len(key) == 1 and not values.null_count and pyarrow.types.is_integer(values.type):
        # sorting integers is the fastest test of uniqueness
        keys = values.to_numpy()
        if (keys[1:] > keys[:-1]).all() or (np.diff(np.sort(keys)) != 0).all():
            return True
    repeated = frame.duplicated(subset=list(key), keep=False)
    if null:
        repeated &= frame[list(key)].notna().all(axis="columns")
    return pyarrow.array(~repeated)


def mostly(plausible: pyarrow.Array, *, share: float = 0.01, rows: int = 10) -> Mask:
    """The mask, or true if it fails in so few rows that they are odd rather than read wrongly.

    Some schools write a birth date in 1900 for "unknown", which must not stop a district. A tenth of all
    birth dates in 1900 is a fault.
    """
    odd = pc.invert(plausible).true_count
    return plausible if odd > max(rows, share * len(plausible)) else True


def between(column: pd.Series, first: int | date, last: int | date) -> pyarrow.Array:
    """True for a number or day from first to last, or a missing one."""
    values = arrow(column)
    bounds = pyarrow.array([first, last], values.type)
    return pc.and_(pc.greater_equal(values, bounds[0]), pc.less_equal(values, bounds[1]))


def follows(column: pd.Series, reason: pd.Series, rules: Mapping[str, str]) -> pyarrow.Array:
    """True if the column has the value that the rules give this reason."""
    results = pyarrow.array({*rules.values()})
    expected = pc.index_in(pyarrow.array(rules.values()), value_set=results)
    position = each_text(reason, lambda texts: pc.index_in(texts, value_set=pyarrow.array(rules)))
    actual = each_text(column, lambda texts: pc.index_in(texts, value_set=results))
    return pc.equal(expected.take(position), actual).fill_null(False)


# -- of single tables --


def _one_name_and_number_per_school_and_year(frame: pd.DataFrame) -> Mask:
    """A row may repeat, but two different ones would make the building ambiguous."""
    once = frame[["SchoolID", "SchoolYearID", "Name", "StateAssignedID"]].drop_duplicates()
    clashing = once.loc[once.duplicated(["SchoolID", "SchoolYearID"], keep=False)].index
    return pyarrow.array(~frame.index.isin(clashing))


def _one_year_is_current(frame: pd.DataFrame) -> Mask:
    """Without one, every open enrollment would look forgotten, and every student inactive."""
    return frame.empty or bool(frame["IsCurrentYearForProvidedEntity"].fillna(False).any())


def _is_cecs(codes: pyarrow.Array) -> pyarrow.Array:
    return pc.equal(pc.utf8_upper(pc.utf8_trim_whitespace(codes)), vocabulary.CECS)


def _is_trimmed_and_not_blank(codes: pyarrow.Array) -> pyarrow.Array:
    return pc.and_(pc.equal(pc.utf8_trim_whitespace(codes), codes), pc.not_equal(codes, ""))


def _the_dates_bear_the_reason_out(frame: pd.DataFrame) -> Mask:
    """`never_closed` is open, `outside_window` has ended, and `never_effective` ends before it begins."""
    reason, ended = arrow(frame["reason"]), given(frame["last_day"])
    effective = not_before(frame["last_day"], frame["first_day"]).fill_null(True)
    contradictions = {"never_closed": ended, "outside_window": pc.invert(ended), "never_effective": effective}
    return pc.invert(
        reduce(pc.or_, (pc.and_(pc.equal(reason, name), wrong) for name, wrong in contradictions.items()))
    )


def _cecs_is_excluded_as_cecs(frame: pd.DataFrame) -> Mask:
    """Except for conflicting duplicates."""
    reason, cecs = arrow(frame["reason"]), each_text(frame["withdrawal_code"], _is_cecs).fill_null(False)
    return pc.or_(pc.equal(pc.equal(reason, "cecs"), cecs), pc.equal(reason, "conflicting_duplicate"))


def _stayed(frame: pd.DataFrame) -> pyarrow.Array:
    left = pyarrow.array(["GRADUATED", "INACTIVE"])
    return pc.invert(pc.is_in(arrow(frame["status"]), value_set=left))


def _graduated_means_code_01(frame: pd.DataFrame) -> Mask:
    said = pc.equal(arrow(frame["status"]), "GRADUATED")
    graduated = pc.equal(arrow(frame["withdrawal_code"]), vocabulary.GRADUATED_CODE).fill_null(False)
    return pc.or_(_stayed(frame), pc.equal(graduated, said))


def _is_answered_for_all_or_for_none(frame: pd.DataFrame) -> Mask:
    """The field is granted for all rows or none. If granted, an unanswered one counts as true."""
    known = given(frame["has_restricted_access"])
    return known if known.true_count else True


def _doubts_are_known(frame: pd.DataFrame) -> Mask:
    """An enrollment that was never effective leaves nothing in doubt."""
    each = [{*reasons.split(",")} <= {*vocabulary.UNCERTAIN} for reasons in frame["reasons"].fillna("")]
    return pyarrow.array(each, pyarrow.bool_())


def _restricted_access_leaves_no_contact(frame: pd.DataFrame) -> Mask:
    contacts = reduce(pc.or_, (given(frame[name]) for name in people.PARENT_CONTACTS))
    return pc.invert(pc.and_(arrow(frame["has_restricted_access"]), contacts))


# An enrollment that ends before it begins was never effective, so it cannot count.
_DAYS_IN_ORDER: dict[str, Check] = {
    "the last day is not before the first": lambda frame: not_before(frame["last_day"], frame["first_day"])
}
CHECKS: dict[str, dict[str, Check]] = {
    # As Qmlativ gives them: only structure, because the rules handle odd content.
    enrollments.SCHOOL_YEAR.name: {
        "IsCurrentYearForProvidedEntity: one year is current": _one_year_is_current,
        # Not the year's id, which is also a number.
        "NumericYear: is a calendar year": lambda frame: between(frame["NumericYear"], 1900, 2200),
    },
    enrollments.SCHOOL.name: {
        "one name and number per school and year": _one_name_and_number_per_school_and_year
    },
    READS.name: {"Rows: is a count": lambda frame: pc.greater_equal(arrow(frame["Rows"]), 0)},
    enrollments.FILTERED_ENROLLMENTS.name: _DAYS_IN_ORDER
    | {
        "withdrawal_code: is not cecs": lambda frame: each_text(
            frame["withdrawal_code"], lambda codes: pc.invert(_is_cecs(codes))
        ),
        # A padded 01 would not match 01.
        "withdrawal_code: is trimmed and not blank": lambda frame: each_text(
            frame["withdrawal_code"], _is_trimmed_and_not_blank
        ),
        "first_day: mostly lies in 1990 to 2100": lambda frame: mostly(
            between(frame["first_day"], date(1990, 1, 1), date(2100, 12, 31))
        ),
    },
    enrollments.EXCLUDED_ENROLLMENTS.name: {
        "outcome and reason belong together": lambda frame: follows(
            frame["outcome"], frame["reason"], vocabulary.OUTCOME_OF_REASON
        ),
        "the dates bear the reason out": _the_dates_bear_the_reason_out,
        "cecs is excluded as cecs": _cecs_is_excluded_as_cecs,
    },
    enrollments.STUDENT_STATUS.name: _DAYS_IN_ORDER
    | {
        "an enrollment decides one status": lambda frame: unique(frame, ("enrollment_id",)),
        "status and reason belong together": lambda frame: follows(
            frame["status"], frame["reason"], vocabulary.STATUS_OF_REASON
        ),
        "who left has a last day": lambda frame: pc.or_(_stayed(frame), given(frame["last_day"])),
        "graduated means code 01": _graduated_means_code_01,
    },
    enrollments.UNCERTAIN_STUDENTS.name: {"reasons: are reasons that make uncertain": _doubts_are_known},
    REGISTRAR_WORKLIST.name: {
        "problem: is a known problem": lambda frame: pc.is_in(
            arrow(frame["problem"]), value_set=pyarrow.array([*PROBLEMS, None])
        )
    },
    people.STUDENT_DEMOGRAPHICS.name: {
        "birth_date: mostly lies in 1980 to 2100": lambda frame: mostly(
            between(frame["birth_date"], date(1980, 1, 1), date(2100, 12, 31))
        )
    },
    people.PARENT_DEMOGRAPHICS.name: {
        "has_restricted_access: is answered for all or for none": _is_answered_for_all_or_for_none,
        "restricted access leaves no contact": _restricted_access_leaves_no_contact,
    },
    people.CONFIDENTIAL_PHONES.name: {
        "a number is one person's": lambda frame: pc.xor(
            given(frame["student_id"]), given(frame["parent_id"])
        )
    },
}
"""Table → its checks by name, which says what should be true of the rows, or of a column before a colon."""

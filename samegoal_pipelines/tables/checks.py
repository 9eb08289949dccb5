"""Checks of a table's rows beyond types and key: `CHECKS`.

A check takes the frame or one column and returns a `Mask`, computed by Arrow or numpy over whole columns. A
report shows its name, which says what should be true. Checks of every table are in `validation`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from samegoal_pipelines.tables import enrollments, people, vocabulary
from samegoal_pipelines.tables.declaration import Table
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST

Mask: TypeAlias = "pyarrow.Array | bool"
"""True for each sound row; null passes. A single boolean speaks for all rows."""


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


def one_of(column: pd.Series, values: Iterable[str]) -> pyarrow.Array:
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


def _is_answered_for_all_or_for_none(column: pd.Series) -> Mask:
    """The field is granted for all rows or none. If granted, an unanswered one counts as true."""
    known = given(column)
    return known if known.true_count else True


def _restricted_access_leaves_no_contact(frame: pd.DataFrame) -> Mask:
    contacts = reduce(pc.or_, (given(frame[name]) for name in people.PARENT_CONTACTS))
    return pc.invert(pc.and_(arrow(frame["has_restricted_access"]), contacts))


class Check(NamedTuple):
    """A check of the whole table, or of a column, and its name in reports."""

    name: str
    function: Callable[[Any], Mask]
    column: str | None = None


_OUTCOMES = dict.fromkeys(vocabulary.EXCLUDED, "excluded") | dict.fromkeys(
    vocabulary.QUARANTINED, "quarantined"
)
# An enrollment that ends before it begins was never effective, so it cannot count.
_DAYS_IN_ORDER = Check(
    "the_last_day_is_not_before_the_first", lambda frame: not_before(frame["last_day"], frame["first_day"])
)
CHECKS: dict[str, list[Check]] = {
    # As Qmlativ gives them: only structure, because the rules handle odd content.
    enrollments.SCHOOL_YEAR.name: [
        # Without a current year, every open enrollment would look forgotten, and every student inactive.
        Check(
            "one_year_is_current",
            lambda column: column.empty or bool(column.fillna(False).any()),
            "IsCurrentYearForProvidedEntity",
        ),
        # Not the year's id, which is also a number.
        Check("is_a_calendar_year", lambda column: between(column, 1900, 2200), "NumericYear"),
    ],
    enrollments.SCHOOL.name: [
        Check("one_name_and_number_per_school_and_year", _one_name_and_number_per_school_and_year)
    ],
    READS.name: [Check("is_a_count", lambda column: pc.greater_equal(arrow(column), 0), "Rows")],
    enrollments.FILTERED_ENROLLMENTS.name: [
        _DAYS_IN_ORDER,
        Check(
            "is_not_cecs",
            lambda column: each_text(column, lambda codes: pc.invert(_is_cecs(codes))),
            "withdrawal_code",
        ),
        # A padded 01 would not match 01.
        Check(
            "is_trimmed_and_not_blank",
            lambda column: each_text(column, _is_trimmed_and_not_blank),
            "withdrawal_code",
        ),
        Check(
            "mostly_lies_in_1990_to_2100",
            lambda column: mostly(between(column, date(1990, 1, 1), date(2100, 12, 31))),
            "first_day",
        ),
    ],
    enrollments.EXCLUDED_ENROLLMENTS.name: [
        Check(
            "outcome_and_reason_belong_together",
            lambda frame: follows(frame["outcome"], frame["reason"], _OUTCOMES),
        ),
        Check("the_dates_bear_the_reason_out", _the_dates_bear_the_reason_out),
        Check("cecs_is_excluded_as_cecs", _cecs_is_excluded_as_cecs),
    ],
    enrollments.STUDENT_STATUS.name: [
        _DAYS_IN_ORDER,
        Check("an_enrollment_decides_one_status", lambda frame: unique(frame, ("enrollment_id",))),
        Check("is_one_of_the_four", lambda column: one_of(column, vocabulary.STATUSES), "status"),
        Check(
            "status_and_reason_belong_together",
            lambda frame: follows(frame["status"], frame["reason"], vocabulary.STATUS_OF_REASON),
        ),
        Check("who_left_has_a_last_day", lambda frame: pc.or_(_stayed(frame), given(frame["last_day"]))),
        Check("graduated_means_code_01", _graduated_means_code_01),
    ],
    # An enrollment that was never effective leaves nothing in doubt.
    enrollments.UNCERTAIN_STUDENTS.name: [
        Check(
            "are_reasons_that_make_uncertain",
            lambda column: pyarrow.array(
                [{*text.split(",")} <= {*vocabulary.UNCERTAIN} for text in column.fillna("")], pyarrow.bool_()
            ),
            "reasons",
        )
    ],
    REGISTRAR_WORKLIST.name: [
        Check("is_a_known_problem", lambda column: one_of(column, PROBLEMS), "problem")
    ],
    people.STUDENT_DEMOGRAPHICS.name: [
        Check(
            "mostly_lies_in_1980_to_2100",
            lambda column: mostly(between(column, date(1980, 1, 1), date(2100, 12, 31))),
            "birth_date",
        )
    ],
    people.PARENT_DEMOGRAPHICS.name: [
        Check("is_answered_for_all_or_for_none", _is_answered_for_all_or_for_none, "has_restricted_access"),
        Check("restricted_access_leaves_no_contact", _restricted_access_leaves_no_contact),
    ],
    people.CONFIDENTIAL_PHONES.name: [
        Check(
            "a_number_is_one_person_s",
            lambda frame: pc.xor(given(frame["student_id"]), given(frame["parent_id"])),
        )
    ],
}
"""Table → its checks."""


def checks_of(table: Table) -> list[Check]:
    """The checks of a table."""
    return [each for each in CHECKS.get(table.name, ()) if each.name not in table.without_checks]

"""Checks of a table's rows beyond types and key: `CHECKS`.

pandas or Arrow compute each check over whole columns. Checks of every table are in `validation`.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import reduce
from operator import or_
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables import enrollments, people, vocabulary
from samegoal_pipelines.tables.reads import READS
from samegoal_pipelines.tables.worklist import PROBLEMS, REGISTRAR_WORKLIST

Mask: TypeAlias = pd.Series | bool
"""True for each sound row; null passes. A single boolean speaks for all rows."""
Check: TypeAlias = Callable[[pd.DataFrame], Mask]


def arrow(column: pd.Series) -> pa.Array:
    """The column as one Arrow array, copied only if necessary."""
    values = pa.array(column.array)
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def each_text(column: pd.Series, judge: Callable[[str], object], result: str = "bool") -> pd.Series:
    """The result of `judge` for each text, called once per distinct text. Null stays null."""
    texts = arrow(column).dictionary_encode()
    results = pa.array([judge(text) for text in texts.dictionary.to_pylist()], result)
    return pd.Series(pd.arrays.ArrowExtensionArray(results.take(texts.indices)), column.index)


def unique(frame: pd.DataFrame, key: tuple[str, ...], *, null: bool = False) -> Mask:
    """True if a key is in one row only, because lookups need unique keys. With `null`, null may repeat."""
    values = arrow(frame[key[0]])
    if len(key) == 1 and not values.null_count and pa.types.is_integer(values.type):
        # sorting integers is the fastest test of uniqueness
        keys = values.to_numpy()
        if (keys[1:] > keys[:-1]).all() or (np.diff(np.sort(keys)) != 0).all():
            return True
    repeated = frame.duplicated(subset=list(key), keep=False)
    if null:
        repeated &= frame[list(key)].notna().all(axis="columns")
    return ~repeated


def mostly(plausible: pd.Series) -> Mask:
    """The mask, or true if it fails in so few rows that they are odd rather than read wrongly.

    Some schools write a birth date in 1900 for "unknown", which must not stop a district. A tenth of all
    birth dates in 1900 is a fault.
    """
    return plausible if (~plausible).sum() > max(10, 0.01 * len(plausible)) else True


def follows(column: pd.Series, reason: pd.Series, rules: Mapping[str, str]) -> pd.Series:
    """True if the column has the value that the rules give this reason."""
    expected = each_text(reason, rules.get, "string")
    return (each_text(column, str, "string") == expected).fillna(False)


# -- of single tables --


def _one_name_and_number_per_school_and_year(schools: pd.DataFrame) -> Mask:
    """A row may repeat, but two different ones would make the building ambiguous."""
    once = schools[["SchoolID", "SchoolYearID", "Name", "StateAssignedID"]].drop_duplicates()
    clashing = once.duplicated(["SchoolID", "SchoolYearID"], keep=False)
    return ~clashing.reindex(schools.index, fill_value=False)


def _one_year_is_current(years: pd.DataFrame) -> Mask:
    """Without one, every open enrollment would look forgotten, and every student inactive."""
    return years.empty or bool(years["IsCurrentYearForProvidedEntity"].fillna(False).any())


def _is_cecs(code: str) -> bool:
    return code.strip().upper() == vocabulary.CECS


def _the_dates_bear_the_reason_out(excluded: pd.DataFrame) -> Mask:
    """`never_closed` is open, `outside_window` has ended, and `never_effective` ends before it begins."""
    ended = excluded["last_day"].notna()
    effective = (excluded["last_day"] >= excluded["first_day"]).fillna(True)
    contradictions = {"never_closed": ended, "outside_window": ~ended, "never_effective": effective}
    wrong = (each_text(excluded["reason"], name.__eq__) & holds for name, holds in contradictions.items())
    return ~reduce(or_, wrong)


def _cecs_is_excluded_as_cecs(excluded: pd.DataFrame) -> Mask:
    """Except for conflicting duplicates."""
    cecs = each_text(excluded["withdrawal_code"], _is_cecs).fillna(False)
    said, twofold = (
        each_text(excluded["reason"], reason.__eq__) for reason in ("cecs", "conflicting_duplicate")
    )
    return (said == cecs) | twofold


def _left(statuses: pd.DataFrame) -> pd.Series:
    return statuses["status"].isin(["GRADUATED", "INACTIVE"])


def _graduated_means_code_01(statuses: pd.DataFrame) -> Mask:
    graduated = (statuses["withdrawal_code"] == vocabulary.GRADUATED_CODE).fillna(False)
    return ~_left(statuses) | (graduated == (statuses["status"] == "GRADUATED"))


def _is_answered_for_all_or_for_none(parents: pd.DataFrame) -> Mask:
    """The field is granted for all rows or none. If granted, an unanswered one counts as true."""
    known = parents["has_restricted_access"].notna()
    return known if known.any() else True


def _restricted_access_leaves_no_contact(parents: pd.DataFrame) -> Mask:
    contacts = parents[[*people.PARENT_CONTACTS]].notna().any(axis="columns")
    return ~(parents["has_restricted_access"] & contacts)


def _leaves_doubt(reasons: str) -> bool:
    """An enrollment that was never effective leaves nothing in doubt."""
    return {*reasons.split(",")} <= {*vocabulary.UNCERTAIN}


# An enrollment that ends before it begins was never effective, so it cannot count.
_DAYS_IN_ORDER: dict[str, Check] = {
    "the last day is not before the first": lambda frame: frame["last_day"] >= frame["first_day"]
}
CHECKS: dict[str, dict[str, Check]] = {
    # As Qmlativ gives them: only structure, because the rules handle odd content.
    enrollments.SCHOOL_YEAR.name: {
        "IsCurrentYearForProvidedEntity: one year is current": _one_year_is_current,
        # Not the year's id, which is also a number.
        "NumericYear: is a calendar year": lambda years: years["NumericYear"].between(1900, 2200),
    },
    enrollments.SCHOOL.name: {
        "one name and number per school and year": _one_name_and_number_per_school_and_year
    },
    READS.name: {"Rows: is a count": lambda reads: reads["Rows"] >= 0},
    enrollments.FILTERED_ENROLLMENTS.name: _DAYS_IN_ORDER
    | {
        "withdrawal_code: is not cecs": lambda counted: ~each_text(counted["withdrawal_code"], _is_cecs),
        # A padded 01 would not match 01.
        "withdrawal_code: is trimmed and not blank": lambda counted: each_text(
            counted["withdrawal_code"], lambda code: code == code.strip() != ""
        ),
        "first_day: mostly lies in 1990 to 2100": lambda counted: mostly(
            counted["first_day"].between(date(1990, 1, 1), date(2100, 12, 31))
        ),
    },
    enrollments.EXCLUDED_ENROLLMENTS.name: {
        "outcome and reason belong together": lambda excluded: follows(
            excluded["outcome"], excluded["reason"], vocabulary.OUTCOME_OF_REASON
        ),
        "the dates bear the reason out": _the_dates_bear_the_reason_out,
        "cecs is excluded as cecs": _cecs_is_excluded_as_cecs,
    },
    enrollments.STUDENT_STATUS.name: _DAYS_IN_ORDER
    | {
        "an enrollment decides one status": lambda statuses: unique(statuses, ("enrollment_id",)),
        "status and reason belong together": lambda statuses: follows(
            statuses["status"], statuses["reason"], vocabulary.STATUS_OF_REASON
        ),
        "who left has a last day": lambda statuses: ~_left(statuses) | statuses["last_day"].notna(),
        "graduated means code 01": _graduated_means_code_01,
    },
    enrollments.UNCERTAIN_STUDENTS.name: {
        "reasons: are reasons that make uncertain": lambda frame: each_text(frame["reasons"], _leaves_doubt)
    },
    REGISTRAR_WORKLIST.name: {
        "problem: is a known problem": lambda listed: listed["problem"].isin([*PROBLEMS, None])
    },
    people.STUDENT_DEMOGRAPHICS.name: {
        "birth_date: mostly lies in 1980 to 2100": lambda students: mostly(
            students["birth_date"].between(date(1980, 1, 1), date(2100, 12, 31))
        )
    },
    people.PARENT_DEMOGRAPHICS.name: {
        "has_restricted_access: is answered for all or for none": _is_answered_for_all_or_for_none,
        "restricted access leaves no contact": _restricted_access_leaves_no_contact,
    },
    people.CONFIDENTIAL_PHONES.name: {
        "a number is one person's": lambda phones: phones["student_id"].isna() ^ phones["parent_id"].isna()
    },
}
"""Table → its checks by name, which says what should be true of the rows, or of a column before a colon."""

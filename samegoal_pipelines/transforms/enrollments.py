"""Which enrollments count: the import window, CECS, and rows that cannot be relied on.

Every row of Qmlativ's EntryWithdrawal is counted, excluded (the rules do not count it) or quarantined (it
cannot be relied on). The three add up to the rows that came, apart from repeats of the same row.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from samegoal_pipelines.tables.enrollments import FILTERED_ENROLLMENTS
from samegoal_pipelines.tables.lineage import LINEAGE
from samegoal_pipelines.tables.vocabulary import CECS, OUTCOME_OF_REASON
from samegoal_pipelines.transforms.columns import (
    EPOCH,
    MISSING,
    NO_DAY,
    NOWHERE,
    Columns,
    Frames,
    best_rows,
    clean,
    columns_of,
    dates,
    days,
    find_rows,
    first_that_holds,
    flags,
    frame_of,
    group_codes,
    ids,
    present,
    real_dates,
    storable,
    take,
)
from samegoal_pipelines.transforms.entities import included_entities

_FIELDS = {
    name: origin.value[0].rpartition(".")[2] for name, origin in LINEAGE[FILTERED_ENROLLMENTS.name].items()
}
"""Column → the field that it is, unless it needs a rule."""
UNKNOWN_CODE = 1  # position in the codes that `_withdrawal_codes` returns, after "no code"


class FilteredEnrollments(NamedTuple):
    """The enrollments that count, the others with their reasons, and the number of repeats."""

    enrollments: pd.DataFrame
    excluded: pd.DataFrame
    repeated: int
    placeholder_dates: int = 0
    """Rows with a placeholder for "no date"."""


def filter_enrollments(raw: Frames, today: date) -> FilteredEnrollments:
    """Sort `raw_enrollments` (Qmlativ object → frame) into rows that count on `today` and rows that do not.

    Raises ValueError if there are enrollments but no school year is flagged as current.
    """
    unrepeated, repeated = collapse_repeats(raw["EntryWithdrawal"])
    entries, placeholder_dates = _with_real_dates(columns_of(unrepeated))
    codes, row_codes = _withdrawal_codes(columns_of(raw["WithdrawalCode"]), ids(entries["WithdrawalCodeID"]))
    last_day, is_open = _last_days(entries)
    outcome = _decide(raw, entries, codes, row_codes, last_day, is_open, today)
    schools = columns_of(raw["School"])
    buildings = {
        name: storable(schools[_FIELDS[name]]).dictionary_encode()
        for name in ("building", "building_reporting_id")
    }
    school_rows = find_school_rows(schools, ids(entries["SchoolID"]), ids(entries["SchoolYearID"]))

    def pick(chosen: np.ndarray) -> dict[str, pa.Array]:
        """The declared columns of these rows."""
        special = {
            **{name: take(texts, school_rows[chosen]) for name, texts in buildings.items()},
            "last_day": dates(last_day[chosen]),
            "withdrawal_code": take(codes.dictionary_encode(), row_codes[chosen]),
            "is_default_entity": pa.array(flags(entries["IsDefaultEntity"])[chosen]),
        }
        return {
            name: special[name] if name in special else take(clean(entries[field]), chosen)
            for name, field in _FIELDS.items()
        }

    excluded = np.flatnonzero(outcome != NOWHERE)
    said = {
        "outcome": take(pa.array(OUTCOME_OF_REASON.values()).dictionary_encode(), outcome[excluded]),
        "reason": take(pa.array(OUTCOME_OF_REASON).dictionary_encode(), outcome[excluded]),
    }
    return FilteredEnrollments(
        enrollments=frame_of(pick(np.flatnonzero(outcome == NOWHERE))),
        excluded=frame_of(pick(excluded) | said),
        repeated=repeated,
        placeholder_dates=placeholder_dates,
    )


def window_start(today: date) -> date:
    """The same calendar day one year ago, which counts. 29 February counts from 28 February."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return date(today.year - 1, today.month, day)


def rows_of_students(raw: Frames, students: Sequence[int] | np.ndarray) -> dict[str, pd.DataFrame]:
    """`raw_enrollments` with only the rows of these students, and those that contradict one of theirs."""
    entries = raw["EntryWithdrawal"]
    columns = columns_of(entries[["EntryWithdrawalID", "StudentID"]])
    keys, theirs = ids(columns["EntryWithdrawalID"]), np.isin(ids(columns["StudentID"]), students)
    wanted = theirs | np.isin(keys, keys[theirs])
    return {**raw, "EntryWithdrawal": entries.loc[wanted].reset_index(drop=True)}


def collapse_repeats(entries: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows without exact repeats, and the number of repeats."""
    keys = columns_of(entries[["EntryWithdrawalID"]])["EntryWithdrawalID"]
    suspects = np.flatnonzero(_comes_again(ids(keys)))
    repeats = suspects[entries.iloc[suspects].duplicated().to_numpy()]
    if not len(repeats):
        return entries, 0
    return entries.drop(index=entries.index[repeats]).reset_index(drop=True), len(repeats)


def count_outcomes(filtered: FilteredEnrollments) -> dict[str, int]:
    """Count the rows by outcome and reason, and two more numbers that are reported.

    `cecs_only_students` have no other enrollments, so they have no status. `flagged_without_code` are counted
    rows that Qmlativ flags as cross-entity courses although they do not have the code.
    """
    reasons = filtered.excluded["reason"]
    return {
        "counted": len(filtered.enrollments),
        "repeated": filtered.repeated,
        "placeholder_dates": filtered.placeholder_dates,
        **{reason: int((reasons == reason).sum()) for reason in OUTCOME_OF_REASON},
        "cecs_only_students": cecs_only(filtered.enrollments, filtered.excluded)["student_id"].nunique(),
        "flagged_without_code": int(filtered.enrollments["is_cross_entity_course"].sum()),
    }


def cecs_only(enrollments: pd.DataFrame, excluded: pd.DataFrame) -> pd.DataFrame:
    """The excluded rows of students who only have cross-entity course enrollments."""
    is_cecs = excluded["reason"] == "cecs"
    others = pd.concat([excluded.loc[~is_cecs, "student_id"], enrollments["student_id"]])
    cecs = excluded[is_cecs].dropna(subset="student_id")
    return cecs[~cecs["student_id"].isin(others)]


def _with_real_dates(entries: Columns) -> tuple[dict[str, pa.Array], int]:
    """The entries with null for each placeholder date, and how many rows had one."""
    dated = {field: real_dates(entries[field]) for field in ("StartDate", "EndDate", "WithdrawalDate")}
    rows = np.zeros(len(entries["StartDate"]), bool)
    for field, real in dated.items():
        if real is not entries[field]:
            rows |= present(entries[field]) & ~present(real)
    return {**entries, **dated}, int(rows.sum())


def _last_days(entries: Columns) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the last day, and whether it has none."""
    end, withdrawal = days(entries["EndDate"]), days(entries["WithdrawalDate"])
    # A student is not in membership on the withdrawal date, so the last day is the day before.
    last_day = np.where(end == NO_DAY, withdrawal - (withdrawal != NO_DAY), end)
    is_open = last_day == NO_DAY
    unreadable = entries["Unreadable"]
    for row in np.flatnonzero(present(unreadable)):
        fields = json.loads(unreadable[row].as_py())
        if "EndDate" in fields or (end[row] == NO_DAY and "WithdrawalDate" in fields):
            last_day[row], is_open[row] = NO_DAY, False  # it may have ended, but we cannot read when
    return last_day, is_open


def _decide(
    raw: Frames,
    entries: Columns,
    codes: pa.Array,
    row_codes: np.ndarray,
    last_day: np.ndarray,
    is_open: np.ndarray,
    today: date,
) -> np.ndarray:
    """For each row, the position in OUTCOME_OF_REASON of the first reason that applies, or `NOWHERE`."""
    start = (window_start(today) - EPOCH).days
    enrollment, student, entity = (
        ids(entries[f"{one}ID"]) for one in ("EntryWithdrawal", "Student", "Entity")
    )
    first_day, entities = days(entries["StartDate"]), included_entities(raw)
    year_known, year_counts = _school_years(columns_of(raw["SchoolYear"]), ids(entries["SchoolYearID"]))
    no_entity = (entity == MISSING) & (entities is not None)
    elsewhere = no_entity & False if entities is None else ~no_entity & ~np.isin(entity, entities)
    cecs = np.asarray([code is not None and code.upper() == CECS for code in codes.to_pylist()])
    holds = {
        "conflicting_duplicate": _comes_again(enrollment) & (enrollment != MISSING),
        "cecs": cecs[row_codes],
        "entity_not_included": elsewhere,
        "outside_window": (last_day < start) & (last_day != NO_DAY),
        "never_closed": is_open & year_known & ~year_counts,
        "unreadable": present(entries["Unreadable"]) | (enrollment == MISSING),
        "no_student": student == MISSING,
        "no_start_date": first_day == NO_DAY,
        # Checked before the code: such a row cannot count, whatever its code, so nothing is in doubt.
        "never_effective": (last_day < first_day) & (last_day != NO_DAY),
        "no_entity": no_entity,
        "unknown_withdrawal_code": row_codes == UNKNOWN_CODE,
        "no_school_year": is_open & ~year_known,
    }
    return first_that_holds(holds, OUTCOME_OF_REASON)


def _comes_again(keys: np.ndarray) -> np.ndarray:
    """True where a key occurs in more than one row."""
    if (keys[1:] > keys[:-1]).all():  # read in key order, so there are no repeats
        return np.zeros(len(keys), bool)
    codes, found = group_codes(keys)
    return np.asarray(np.bincount(codes, minlength=len(found))[codes] > 1)


def _withdrawal_codes(listed: Columns, row_ids: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The distinct trimmed codes, after entries for "no code" and "unknown", and each row's position in them.

    The same code has another id each year. An id without a code, or with two different codes, is unknown,
    because it might be CECS.
    """
    code_of: dict[int, str] = {}
    for key, code in zip(
        ids(listed["WithdrawalCodeID"]).tolist(), storable(listed["Code"]).to_pylist(), strict=True
    ):
        trimmed = (code or "").strip()
        code_of[key] = trimmed if code_of.get(key, trimmed) == trimmed else ""
    distinct = sorted({*code_of.values()} - {""})
    position = {"": UNKNOWN_CODE} | {code: n for n, code in enumerate(distinct, start=UNKNOWN_CODE + 1)}
    known = [*(position[code] for code in code_of.values()), UNKNOWN_CODE]
    at = find_rows(row_ids, np.fromiter(code_of, np.int64, len(code_of)))
    positions = np.asarray(known, np.int8 if len(distinct) < 100 else np.int32)[at]
    positions *= row_ids != MISSING  # no id means no code, at position zero
    return pa.array([None, None, *distinct], pa.string()), positions


def _school_years(years: Columns, row_years: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, whether its school year is listed, and whether it is current or upcoming."""
    current = flags(years["IsCurrentYearForProvidedEntity"])
    if len(row_years) and not current.any():
        raise ValueError("SchoolYear: no year is flagged as current, so no open enrollment can be placed")
    keys = ids(years["SchoolYearID"])
    listed = ~present(years["Unreadable"]) & (keys != MISSING)
    counts = listed & (current | flags(years["IsUpcomingYearForProvidedEntity"]))
    known = np.unique(keys[listed])
    at = find_rows(row_years, known)
    return at != NOWHERE, np.append(np.isin(known, keys[counts]), False)[at]


def find_school_rows(schools: Columns, row_schools: np.ndarray, row_years: np.ndarray) -> np.ndarray:
    """For each row, the row of `schools` for its school and year, or else the school's latest one."""
    keys, years = ids(schools["SchoolID"]), ids(schools["SchoolYearID"])
    school_codes, school_ids = group_codes(keys)
    year_codes, year_ids = group_codes(years)
    shape = (len(school_ids) + 1, len(year_ids) + 1)  # an extra row and column for what is not listed
    latest = best_rows(school_codes, len(school_ids), [years])
    table = np.full(shape, NOWHERE)
    table[:-1, :] = latest[:, None]
    table[school_codes, year_codes] = np.arange(len(keys))
    return np.asarray(table[find_rows(row_schools, school_ids), find_rows(row_years, year_ids)])


# -- whether EndDate is the last day enrolled, as the rules assume --

# A student is not in membership on the withdrawal date, so WithdrawalDate is one day after EndDate. If both
# are the same day, one of them means something else in this district.
INCLUSIVE, SAME_DAY = 1, 0
ROWS_THAT_TELL = 20
SHARE_THAT_CONTRADICTS = 0.6


def observe_end_dates(raw: Frames) -> dict[int, int]:
    """Days from EndDate to WithdrawalDate → rows of EntryWithdrawal with both, the most common first."""
    dates = columns_of(raw["EntryWithdrawal"][["EndDate", "WithdrawalDate"]])
    end, withdrawal = (days(real_dates(dates[field])) for field in ("EndDate", "WithdrawalDate"))
    both = (end != NO_DAY) & (withdrawal != NO_DAY)
    seen: dict[int, int] = pd.Series(withdrawal[both].astype(np.int64) - end[both]).value_counts().to_dict()
    return seen


def contradicts_inclusive_reading(seen: Mapping[int, int]) -> bool:
    """Whether `observe_end_dates` saw enough rows, and in most of them both dates are the same day."""
    rows = sum(seen.values())
    return rows >= ROWS_THAT_TELL and seen.get(SAME_DAY, 0) >= SHARE_THAT_CONTRADICTS * rows

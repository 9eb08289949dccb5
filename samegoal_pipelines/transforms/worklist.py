"""Find the enrollments that a registrar should check in Qmlativ.

The rules are in `enrollments` and `status`, the fix for each problem is in `tables.worklist`, and the list is
stored by `warehouse`.

A no-show (never effective) is no problem. The only thing about a person in the list is the student number.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from samegoal_pipelines.tables import worklist as problems
from samegoal_pipelines.tables.vocabulary import GRADUATED_CODE, UNCERTAIN
from samegoal_pipelines.transforms.columns import (
    MISSING,
    NO_DAY,
    NOWHERE,
    RowIndex,
    best_row_of,
    best_rows,
    columns_of,
    days,
    flags,
    frame_of,
    group_codes,
    ids,
    present,
    storable,
    take,
    take_text,
)
from samegoal_pipelines.transforms.moved_past import find_moved
from samegoal_pipelines.transforms.status import PAST, UPCOMING, deciding_order

Columns = Mapping[str, pa.Array]

# A school closes its year with a code if at least this share of the year's enrollments, and at least this
# many, end on one day with that code.
YEAR_END_SHARE = 0.5
YEAR_END_ENROLLMENTS = 20

# What the snapshot takes from the deciding enrollment: column → its name for people.
_PUBLISHED = {"school_id": "school", "entity_id": "entity", "withdrawal_code": "withdrawal code"}


_IDENTITY = {
    "student number": ["StudentNumber"],
    "state id": ["CalculatedStudentStateID"],
    "name and birth date": ["FirstName", "LastName", "BirthDate"],
}
"""What only one student should have → the fields of Student and Name."""


class _Found(NamedTuple):
    """Enrollments with one problem, and a text for each."""

    problem: str
    table: Columns
    rows: np.ndarray
    detail: pa.Array


def list_problems(
    raw_enrollments: Mapping[str, pd.DataFrame],
    raw_students: Mapping[str, pd.DataFrame],
    enrollments: pd.DataFrame,
    excluded: pd.DataFrame,
    statuses: pd.DataFrame,
    uncertain: pd.DataFrame,
    today: date,
    published: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """The registrar's worklist (`tables.worklist.REGISTRAR_WORKLIST`), by school, problem and student.

    Takes both frames of `filter_enrollments` and both of `classify_students`, computed from `raw_enrollments`
    for `today`. Student numbers are those of the latest year in `raw_students`.

    Args:
        published: both frames of `filter_enrollments` of the last published night before. None: there is
            nothing to compare with.
    """
    counted, unused = columns_of(enrollments), columns_of(excluded)
    found = [
        _never_closed(unused, columns_of(raw_enrollments["SchoolYear"])),
        _upcoming_after_withdrawal(counted, columns_of(statuses), today),
        _cecs_only(unused, counted),
        _ties(counted, columns_of(statuses), today),
        *_quarantined(unused, columns_of(raw_enrollments["EntryWithdrawal"]), columns_of(uncertain)),
        _flagged_without_code(counted),
        _possible_duplicates(raw_students, columns_of(statuses)),
    ]
    if published is not None:
        tonight = {"enrollments": enrollments, "excluded": excluded}
        found.append(_the_past_moved(published, tonight, today))
    return _in_order(_once(pa.concat_tables([_table(one) for one in found])), raw_students)


# -- the problems --


def _never_closed(excluded: Columns, years: Columns) -> _Found:
    """Open enrollments of school years that are over."""
    rows = _with_reason(excluded, "never_closed")
    keys = ids(years["SchoolYearID"])
    named = best_row_of(
        ids(excluded["school_year_id"])[rows], keys, present(years["Description"]), [np.arange(len(keys))]
    )
    school_year = take(storable(years["Description"]), named)
    detail = _joined(_period(excluded, rows), ", never ended, school year ", school_year)
    return _Found(problems.NEVER_CLOSED, excluded, rows, detail)


def _upcoming_after_withdrawal(counted: Columns, statuses: Columns, today: date) -> _Found:
    """Upcoming enrollments that keep students ENROLLED who have left.

    The student is between two enrollments, and the last one ended with a withdrawal code, unless the school
    closes its year with that code for everybody. Graduates (01) are always listed.
    """
    when, order = deciding_order(counted, today)
    student = ids(counted["student_id"])
    between = pc.equal(statuses["reason"], "between_enrollments").to_numpy(zero_copy_only=False)
    students = ids(statuses["student_id"])[between]
    last = best_row_of(students, student, when == PAST, order)

    left = present(counted["withdrawal_code"])[last] if len(last) else np.zeros(0, bool)
    left &= ~_closes_the_year(counted)[last] if left.any() else True
    students, last = students[left], last[left]

    upcoming = np.flatnonzero(when == UPCOMING)
    at = RowIndex(students, "student_id").find(student[upcoming])
    rows, last = upcoming[at != NOWHERE], np.append(last, NOWHERE)[at[at != NOWHERE]]
    detail = _joined(
        _period(counted, rows),
        "; left after ",
        take(counted["last_day"], last).cast(pa.string()),
        " with code ",
        take_text(counted["withdrawal_code"], last),
    )
    return _Found(problems.UPCOMING_AFTER_WITHDRAWAL, counted, rows, detail)


def _closes_the_year(counted: Columns) -> np.ndarray:
    """Whether most enrollments of the same school and year end on the same day with the same code."""
    school = _packed(ids(counted["school_id"]), ids(counted["school_year_id"]))
    codes = counted["withdrawal_code"].indices.fill_null(-1).to_numpy()
    ending = _packed(school, days(counted["last_day"]), codes)
    of_school, alike = np.bincount(school)[school], np.bincount(ending)[ending]
    graduates = [code == GRADUATED_CODE for code in counted["withdrawal_code"].dictionary.to_pylist()]
    usual = (alike >= YEAR_END_ENROLLMENTS) & (alike >= YEAR_END_SHARE * of_school)
    return np.asarray(usual & ~np.asarray([*graduates, False])[codes])


def _cecs_only(excluded: Columns, counted: Columns) -> _Found:
    """The latest enrollment of each student who only has cross-entity course enrollments."""
    student = ids(excluded["student_id"])
    cecs = np.zeros(len(student), bool)
    cecs[_with_reason(excluded, "cecs")] = True
    cecs &= student != MISSING
    others = np.unique(np.concatenate([student[~cecs], ids(counted["student_id"])]))

    rows = np.flatnonzero(cecs)
    rows = rows[~np.isin(student[rows], others)]
    codes, found = group_codes(student[rows])
    order = [days(excluded["first_day"])[rows], ids(excluded["enrollment_id"])[rows]]
    latest = best_rows(codes, len(found), order)
    latest = latest[latest != NOWHERE]
    number = pa.array(np.bincount(codes, minlength=len(found))[codes[latest]] if len(rows) else latest)
    rows = rows[latest]
    noun = pc.if_else(pc.equal(number, 1), " enrollment", " enrollments")
    detail = _joined(number.cast(pa.string()), noun, ", all CECS; the latest ", _period(excluded, rows))
    return _Found(problems.CECS_ONLY, excluded, rows, detail)


def _ties(counted: Columns, statuses: Columns, today: date) -> _Found:
    """Enrollments that lose to the deciding one only because of its higher id."""
    order = deciding_order(counted, today)[1][:-1]
    deciding = RowIndex(ids(counted["enrollment_id"]), "enrollment_id").find(ids(statuses["enrollment_id"]))
    at = RowIndex(ids(statuses["student_id"]), "student_id").find(ids(counted["student_id"]))
    rival = np.append(deciding, NOWHERE)[at]
    rows = np.flatnonzero((rival != NOWHERE) & (rival != np.arange(len(rival))))
    for field in order:
        rows = rows[field[rows] == field[rival[rows]]]
    rival = rival[rows]

    differing = [
        pc.if_else(pc.equal(*(_comparable(counted[column], at) for at in (rows, rival))), "", f", {name}")
        for column, name in _PUBLISHED.items()
    ]
    differences = _joined(*differing)
    detail = _joined(
        _period(counted, rows),
        "; enrollment ",
        take(counted["enrollment_id"], rival).cast(pa.string()),
        " decided only because its id is higher; they differ in: ",
        pc.if_else(pc.equal(differences, ""), "nothing", pc.utf8_slice_codeunits(differences, 2)),
    )
    return _Found(problems.TIE, counted, rows, detail)


def _quarantined(excluded: Columns, entries: Columns, uncertain: Columns) -> Iterator[_Found]:
    """Quarantined rows, by reason."""
    in_doubt = RowIndex(ids(uncertain["student_id"]), "student_id")
    for reason in UNCERTAIN:
        rows = _with_reason(excluded, reason)
        carried_over = in_doubt.find(ids(excluded["student_id"])[rows]) != NOWHERE
        consequence = pc.if_else(
            pa.array(carried_over), "; the student is carried over as last published", ""
        )
        detail = _joined(_period(excluded, rows), _oddness(reason, excluded, rows, entries), consequence)
        yield _Found(problems.quarantined_as(reason), excluded, rows, detail)


def _oddness(reason: str, excluded: Columns, rows: np.ndarray, entries: Columns) -> pa.Array:
    """Which field or id a row was quarantined for, never a field's value."""
    if reason == "unreadable":
        fields = _unreadable_fields(entries)
        chosen = pa.array(rows)
        enrollments, students = (
            excluded[name].take(chosen).to_pylist() for name in ("enrollment_id", "student_id")
        )
        named = [", ".join(sorted(fields.get(key, ()))) for key in zip(enrollments, students, strict=True)]
        return _joined("; unreadable: ", pa.array(named, pa.string()))
    if reason == "unknown_withdrawal_code":
        keys = ids(entries["EntryWithdrawalID"])
        at = best_row_of(
            ids(excluded["enrollment_id"])[rows], keys, np.ones(len(keys), bool), [np.arange(len(keys))]
        )
        return _joined("; WithdrawalCodeID ", take(entries["WithdrawalCodeID"], at).cast(pa.string()))
    if reason == "no_school_year":
        return _joined("; SchoolYearID ", take(excluded["school_year_id"], rows).cast(pa.string()))
    return pa.array([""] * len(rows), pa.string())


def _flagged_without_code(counted: Columns) -> _Found:
    """Counted enrollments that Qmlativ flags as cross-entity course enrollments."""
    rows = np.flatnonzero(flags(counted["is_cross_entity_course"]))
    return _Found(problems.FLAGGED_WITHOUT_CODE, counted, rows, _period(counted, rows))


def _possible_duplicates(raw_students: Mapping[str, pd.DataFrame], statuses: Columns) -> _Found:
    """Students with a status who share a number, a state id, or both name and birth date with another one."""
    table = ids(statuses["student_id"])
    records = raw_students["Student"].sort_values("SchoolYearIDAsked", kind="stable")
    records = records[records["StudentID"].isin(table)].drop_duplicates("StudentID", keep="last")
    names = raw_students["Name"].dropna(subset="NameID").drop_duplicates("NameID")
    people = records.merge(names, on="NameID", how="left", validate="many_to_one")
    shared: dict[int, list[str]] = {}
    for what, columns in _IDENTITY.items():
        known = people.dropna(subset=columns)
        keys = known[columns].astype(str).apply(lambda values: values.str.strip().str.casefold())
        keys = keys[(keys != "").all(axis=1)]
        keys = keys[keys.duplicated(keep=False)]
        for _, group in known["StudentID"].loc[keys.index].groupby([keys[name] for name in columns]):
            for student in group:
                others = ", ".join(str(other) for other in group if other != student)
                shared.setdefault(int(student), []).append(f"same {what} as StudentID {others}")
    rows = np.flatnonzero(np.isin(table, list(shared)))
    detail = pa.array(["; ".join(shared[student]) for student in table[rows].tolist()], pa.string())
    return _Found(problems.POSSIBLE_DUPLICATE, statuses, rows, detail)


def _the_past_moved(
    published: Mapping[str, pd.DataFrame], tonight: Mapping[str, pd.DataFrame], today: date
) -> _Found:
    """Enrollments that ended long ago, as they were in the published night."""
    before, rows, changed = find_moved(published, tonight, today)
    detail = _joined("was ", _period(before, rows), "; changed since the last published night: ", changed)
    return _Found(problems.THE_PAST_MOVED, before, rows, detail)


# -- helpers --


def _with_reason(excluded: Columns, reason: str) -> np.ndarray:
    """The rows with this reason."""
    reasons = excluded["reason"]
    position = pc.index(reasons.dictionary, reason).as_py()
    return np.flatnonzero(reasons.indices.to_numpy() == position) if position >= 0 else np.empty(0, np.int64)


def _unreadable_fields(entries: Columns) -> dict[tuple[int | None, int | None], set[str]]:
    """Enrollment and student → the names of the fields with a wrong type."""
    rows = pa.array(np.flatnonzero(present(entries["Unreadable"]) | ~present(entries["EntryWithdrawalID"])))
    names = ("EntryWithdrawalID", "StudentID", "Unreadable")
    columns = (entries[name].take(rows).to_pylist() for name in names)
    found: dict[tuple[int | None, int | None], set[str]] = {}
    for enrollment, student, unreadable in zip(*columns, strict=True):
        fields = json.loads(unreadable) if unreadable else ["EntryWithdrawalID"]
        found.setdefault((enrollment, student), set()).update(fields)
    return found


def _packed(*columns: np.ndarray) -> np.ndarray:
    """A small number per row, equal for rows that are equal in every column."""
    number = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        codes, found = pd.factorize(column)
        number = pd.factorize(number * (len(found) + 1) + codes)[0]
    return number


def _comparable(values: pa.Array, rows: np.ndarray) -> pa.Array:
    """The values of these rows as texts, with a text for null, so that null equals null."""
    return take_text(values, rows).cast(pa.string()).fill_null("")


def _period(table: Columns, rows: np.ndarray) -> pa.Array:
    """`from 2026-08-12 to 2026-09-30` of each row."""
    first = take(table["first_day"], rows).cast(pa.string()).fill_null("an unknown day")
    last = _joined(" to ", take(table["last_day"], rows).cast(pa.string()))
    ended = pa.array(days(table["last_day"])[rows] != NO_DAY)
    return _joined("from ", first, pc.if_else(ended, last, ""))


def _joined(*parts: pa.Array | str) -> pa.Array:
    """The parts of each row joined. Null means unknown."""
    return pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="unknown")


# -- the list --


def _table(found: _Found) -> pa.Table:
    columns = {
        name: take_text(found.table[name], found.rows)
        for name in ("student_id", "enrollment_id", "building", "building_reporting_id")
    }
    number = len(found.rows)
    texts = {"problem": pa.repeat(found.problem, number), "detail": found.detail}
    return pa.table(columns | texts | {"fix": pa.repeat(problems.FIX[found.problem], number)})


def _once(listed: pa.Table) -> pd.DataFrame:
    """One row per problem, student and enrollment: the first of them, with their number."""
    frame = frame_of({name: listed[name].combine_chunks() for name in listed.column_names})
    key = ["problem", "student_id", "enrollment_id"]
    again = frame.duplicated(key, keep=False)
    if not again.any():
        return frame
    rows = frame.loc[again].groupby(key, dropna=False, sort=False)["detail"].transform("size")
    frame.loc[again, "detail"] = frame.loc[again, "detail"] + " (" + rows.astype("string[pyarrow]") + " rows)"
    return frame.loc[~frame.duplicated(key)].reset_index(drop=True)


def _in_order(worklist: pd.DataFrame, raw_students: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The list with student numbers, by school (none last), problem, student and enrollment."""
    columns = columns_of(worklist)
    keys = {name: columns[name] for name in ("building", "student_id", "enrollment_id")}
    keys["problem"] = pc.index_in(columns["problem"], pa.array(problems.PROBLEMS))
    by = [(name, "ascending") for name in ("building", "problem", "student_id", "enrollment_id")]
    order = pc.sort_indices(pa.table(keys), sort_keys=by)
    columns = {name: values.take(order) for name, values in columns.items()}
    students = columns_of(raw_students["Student"])
    columns["student_number"] = _student_numbers(students, ids(columns["student_id"]))
    return frame_of({name: columns[name] for name in problems.REGISTRAR_WORKLIST.names})


def _student_numbers(records: Columns, students: np.ndarray) -> pa.Array:
    """The students' numbers from the latest year that has one."""
    numbered, year = present(records["StudentNumber"]), ids(records["SchoolYearIDAsked"])
    at = best_row_of(students, ids(records["StudentID"]), numbered, [year])
    return take(storable(records["StudentNumber"]), at)
